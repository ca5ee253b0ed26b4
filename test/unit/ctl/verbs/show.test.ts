import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Call } from '../../../../daemon/ctl/client.ts';
import { show } from '../../../../daemon/ctl/verbs/show.ts';
import { RevivedError } from '../../../../daemon/errors.ts';
import { argsOf, clientOf, domainPath, hear, tree, uuid } from '../recorded.ts';

/** A daemon that knows the one domain, under any of the names given. */
function clientWith(...names: string[]) {
  const asked: Call[] = [];
  const client = clientOf({
    getManagedObjects: async () => tree,
    async callMethod(call) {
      asked.push(call);
      if (names.includes(String(call.args[0]))) return [domainPath];
      throw new RevivedError('not-found', 'There is no such domain.');
    },
  });
  return { client, asked };
}

test('a card, however its address is written, without asking for a domain', async () => {
  for (const typed of ['0b:00', '0000:0B:00', '0000:0b:00.1']) {
    const { client, asked } = clientWith();
    const { out, stdout } = hear();
    assert.equal(await show.run(client, argsOf([typed]), out), 0);
    assert.match(stdout(), /^0000:0b:00 {2}Navi 10/);
    assert.deepEqual(asked, []);
  }
});

test('a domain by name or uuid, with its cards', async () => {
  for (const typed of ['win10', uuid, 'my "win" 10']) {
    const { client, asked } = clientWith(typed);
    const { out, stdout } = hear();
    assert.equal(await show.run(client, argsOf([typed]), out), 0);
    assert.equal(
      stdout(),
      `win10
  UUID   ${uuid}
  State  running

Cards
  0000:0b:00  Navi 10 [Radeon RX 5700]  lent  win10  healthy
`,
    );
    assert.deepEqual(
      asked.map(({ member, args }) => [member, ...args]),
      [['GetDomain', typed]],
    );
  }
});

test('a domain that is called like a card', async () => {
  const { client } = clientWith('0c:00');
  const { out, stdout } = hear();
  assert.equal(await show.run(client, argsOf(['0c:00']), out), 0);
  assert.match(stdout(), /^win10\n/);
});

test('neither card nor domain is not found, in words that fit', async () => {
  const { client } = clientWith();
  await assert.rejects(show.run(client, argsOf(['0c:00']), hear().out), {
    code: 'not-found',
    message: 'There is no card 0000:0c:00 here.',
  });
  await assert.rejects(show.run(client, argsOf(['nix']), hear().out), {
    code: 'not-found',
    message: 'There is no such domain.',
  });
});

test('a daemon that fails otherwise is not made a missing card', async () => {
  const failure = new RevivedError('failed', 'It broke.');
  const client = clientOf({
    getManagedObjects: async () => tree,
    callMethod: () => Promise.reject(failure),
  });
  await assert.rejects(show.run(client, argsOf(['0c:00']), hear().out), failure);
});

test('--json is the one object', async () => {
  const { client } = clientWith('win10');
  const card = hear({ json: true });
  await show.run(client, argsOf(['0b:00']), card.out);
  assert.equal(JSON.parse(card.stdout()).domain, 'win10');
  const domain = hear({ json: true });
  await show.run(client, argsOf(['win10']), domain.out);
  const seen = { driverVersion: '', rebootState: '' };
  const wanted = { uuid, name: 'win10', state: 'running', cards: ['0000:0b:00'], ...seen };
  assert.deepEqual(JSON.parse(domain.stdout()), wanted);
});

test('a domain that went away between two questions is not found', async () => {
  const client = clientOf({ getManagedObjects: async () => ({}), callMethod: async () => ['/x'] });
  await assert.rejects(show.run(client, argsOf(['win10']), hear().out), { code: 'not-found' });
});
