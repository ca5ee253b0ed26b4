import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Call } from '../../../../daemon/ctl/client.ts';
import { quarantine } from '../../../../daemon/ctl/verbs/quarantine.ts';
import { alarmedManager, argsOf, clientOf, hear, manager } from '../recorded.ts';

const run = async (operands: readonly string[], properties: unknown, json = false) => {
  const { out, stdout } = hear({ json });
  const calls: Call[] = [];
  const client = clientOf({
    getProperties: async () => properties,
    async callMethod(call) {
      calls.push(call);
      return call.member === 'ClearHostRisk' ? [true] : [1];
    },
  });
  const exit = await quarantine.run(client, argsOf(operands), out);
  return { exit, text: stdout(), calls: calls.map(({ member, args }) => [member, ...args]) };
};

test('lists what is in quarantine, below what concerns the host', async () => {
  const lines = (await run([], alarmedManager)).text.split('\n');
  assert.deepEqual(lines.slice(0, 2), ['host at risk: soft lockup', 'boot 6.11']);
  assert.match(lines[3] ?? '', /^0000:0b:00 +rung +flr +6\.12 +1970-01-01/);
  assert.equal((await run([], manager)).text, 'nothing is in quarantine\n');
});

test('a kernel that does not run is said to be that', async () => {
  const [entry] = alarmedManager.Quarantine;
  const other = { ...alarmedManager, Quarantine: [{ ...entry, Active: false }] };
  assert.match((await run([], other)).text, /6\.12 \(not running\)/);
});

test('--json has all three', async () => {
  const shown: unknown = JSON.parse((await run([], alarmedManager, true)).text);
  assert.ok(typeof shown === 'object' && shown !== null);
  assert.deepEqual(Object.keys(shown), ['hostAtRisk', 'findings', 'quarantine']);
});

const clears: readonly (readonly [readonly string[], readonly unknown[]])[] = [
  [['clear'], ['ClearQuarantine', '', '']],
  [
    ['clear', '0b:00.0'],
    ['ClearQuarantine', '0000:0b:00', ''],
  ],
  [
    ['clear', '0b:00', 'flr'],
    ['ClearQuarantine', '0000:0b:00', 'flr'],
  ],
  [['clear', 'host'], ['ClearHostRisk']],
];
for (const [operands, call] of clears) {
  test(`${operands.join(' ')} asks for ${call.join(' ')}`, async () => {
    const { exit, calls } = await run(operands, manager);
    assert.deepEqual([exit, calls], [0, [call]]);
  });
}

test('another word than clear is refused with the line of help', async () => {
  await assert.rejects(run(['empty'], manager), { code: 'invalid-argument' });
  await assert.rejects(run(['clear', 'x'], manager), { code: 'invalid-argument' });
});
