import assert from 'node:assert/strict';
import { test } from 'node:test';
import { list } from '../../../../daemon/ctl/verbs/list.ts';
import { argsOf, clientOf, hear, hostile, hostileShown, tree } from '../recorded.ts';

const client = clientOf({ getManagedObjects: async () => tree });

test('interesting cards, and domains with cards', async () => {
  const { out, stdout } = hear();
  assert.equal(await list.run(client, argsOf(), out), 0);
  assert.equal(
    stdout(),
    `CARD        NAME                      STATE     DOMAIN  HEALTH
0000:01:00  TU104                     stranded  -       wedged
0000:0b:00  Navi 10 [Radeon RX 5700]  lent      win10   healthy

DOMAIN  STATE    CARDS
win10   running  0000:0b:00
`,
  );
});

test('--all has all of them, hostile names made printable', async () => {
  const { out, stdout } = hear();
  await list.run(client, argsOf([], { all: true }), out);
  assert.match(stdout(), /^0000:02:00 {2}NVMe {22}home {6}- {7}unknown$/m);
  assert.ok(stdout().includes(`\n${hostileShown}  shutoff\n`));
});

test('--json has the same choice', async () => {
  for (const [options, cards, domains] of [
    [{}, ['0000:01:00', '0000:0b:00'], ['win10']],
    [{ all: true }, ['0000:01:00', '0000:02:00', '0000:0b:00'], [hostile, 'win10']],
  ] as const) {
    const { out, stdout } = hear({ json: true });
    await list.run(client, argsOf([], options), out);
    const shown = JSON.parse(stdout());
    assert.deepEqual(Object.keys(shown), ['cards', 'domains']);
    assert.deepEqual(
      shown.cards.map((card: { address: string }) => card.address),
      cards,
    );
    assert.deepEqual(
      shown.domains.map((domain: { name: string }) => domain.name),
      domains,
    );
  }
});

test('an empty host says so', async () => {
  const { out, stdout } = hear();
  await list.run(clientOf({ getManagedObjects: async () => ({}) }), argsOf(), out);
  assert.equal(stdout(), 'no cards\n');
});
