import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client } from '../../../../daemon/ctl/client.ts';
import { reset } from '../../../../daemon/ctl/verbs/reset.ts';
import {
  argsOf,
  clientOf,
  doneJob,
  hear,
  hostile,
  hostileShown,
  illCard,
  illPath,
  type Situation,
} from '../recorded.ts';

/** A daemon with this card, whose reset is done at once. */
function clientWith(card: object) {
  const called: string[] = [];
  const client: Client = clientOf({
    subscribe: async () => undefined,
    getProperties: async (path) => (path === illPath ? card : doneJob),
    async callMethod({ member, path, signature, args }) {
      called.push([member, path, signature, ...args].join(' '));
      return ['/org/revived/jobs/7'];
    },
  });
  return { client, called };
}

async function ran(situation: Situation, options: { rung?: string } = {}, card: object = illCard) {
  const { client, called } = clientWith(card);
  const heard = hear(situation);
  const code = await reset.run(client, argsOf(['01:00'], options), heard.out);
  return { code, called, stdout: heard.stdout(), stderr: heard.stderr() };
}

const whole = `Reset ${illPath} s `;

test('where nobody can be asked, or --yes was given, it is done', async () => {
  for (const situation of [{}, { yes: true, answer: false }]) {
    const { code, called } = await ran(situation);
    assert.equal(code, 0);
    assert.deepEqual(called, [whole]);
  }
});

test('a person is told what would be reached, and asked', async () => {
  const yes = await ran({ answer: true });
  assert.equal(yes.code, 0);
  assert.deepEqual(yes.called, [whole]);
  assert.ok(
    yes.stdout.startsWith(`0000:01:00  TU104
  bus also resets 0000:01:00.1
  remove-rescan: takes it off the bus
`),
  );
  const no = await ran({ answer: false });
  assert.equal(no.code, 1);
  assert.deepEqual(no.called, []);
  assert.equal(no.stderr, 'revivectl: Nothing was done.\n');
});

test('a gentle rung is not asked about', async () => {
  const Ladder = [{ Rung: 'flr', Available: true, Reaches: ['0000:01:00.0'] }];
  const { code, called } = await ran({ answer: false }, { rung: 'flr' }, { ...illCard, Ladder });
  assert.equal(code, 0);
  assert.deepEqual(called, [`${whole}flr`]);
});

test('only the rung that was asked for is asked about', async () => {
  const { code, stdout } = await ran({ answer: true }, { rung: 'remove-rescan' });
  assert.equal(code, 0);
  assert.doesNotMatch(stdout, /bus also resets/);
});

test('a rung that the card has not is not found, with those that it has', async () => {
  await assert.rejects(ran({ answer: true }, { rung: 'd3cold' }), {
    code: 'not-found',
    message: "Card 0000:01:00 has no rung 'd3cold'.",
    advice: 'It has: flr, bus, remove-rescan.',
  });
});

test('what is no address is refused before anybody is asked', async () => {
  const running = reset.run(clientOf({}), argsOf(['win10']), hear().out);
  await assert.rejects(running, { code: 'invalid-argument' });
});

test('the text of the question is made printable', async () => {
  const { stdout } = await ran({ answer: true }, {}, { ...illCard, Name: hostile });
  assert.ok(stdout.startsWith(`0000:01:00  ${hostileShown}\n`));
});
