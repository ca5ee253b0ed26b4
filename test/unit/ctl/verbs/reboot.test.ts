import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Call } from '../../../../daemon/ctl/client.ts';
import { reboot } from '../../../../daemon/ctl/verbs/reboot.ts';
import { alarmedManager, argsOf, clientOf, domainPath, hear, tree } from '../recorded.ts';

const pending = {
  ...tree,
  '/org/revived': { 'org.revived1.Manager': alarmedManager },
  [domainPath]: {
    'org.revived1.Domain': {
      ...tree[domainPath]?.['org.revived1.Domain'],
      DriverVersion: '32.0.1',
      RebootState: 'reboot-pending',
    },
  },
};

const run = async (
  operands: readonly string[],
  objects: typeof tree | typeof pending,
  json = false,
) => {
  const { out, stdout } = hear({ json });
  const calls: Call[] = [];
  const client = clientOf({
    getManagedObjects: async () => objects,
    async callMethod(call) {
      calls.push(call);
      return [];
    },
  });
  const exit = await reboot.run(client, argsOf(operands), out);
  return { exit, text: stdout(), calls: calls.map(({ member, args }) => [member, ...args]) };
};

test('status says why, until when it can be cancelled, and which domains it is about', async () => {
  assert.match((await run([], tree)).text, /^no reboot is pending/);
  const lines = (await run(['status'], pending)).text.split('\n');
  assert.equal(lines[0], 'reboot-pending: win10 got a driver');
  assert.match(lines[1] ?? '', /^the host reboots at 2023-11-1/);
  assert.match(lines[2] ?? '', /^win10 +reboot-pending +32\.0\.1$/);
  const shown: unknown = JSON.parse((await run([], pending, true)).text);
  assert.ok(typeof shown === 'object' && shown !== null);
  assert.deepEqual(Object.keys(shown), ['state', 'reason', 'atUsec', 'domains']);
});

test('arm, now and cancel ask the daemon; what is misspelt asks nothing', async () => {
  assert.deepEqual((await run(['arm', 'win10'], tree)).calls, [['ArmReboot', 'win10']]);
  assert.deepEqual((await run(['now'], pending)).calls, [['RebootNow']]);
  assert.deepEqual((await run(['cancel'], pending)).calls, [['CancelReboot']]);
  for (const operands of [['arm'], ['now', 'win10'], ['rm']]) {
    await assert.rejects(run(operands, tree), { code: 'invalid-argument' });
  }
});
