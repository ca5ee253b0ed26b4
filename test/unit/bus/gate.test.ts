/** What polkit cannot be made to do on order in test/integration/bus.test.ts: to be silent, slow or odd. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BusCall } from '../../../daemon/bus/connection.ts';
import { createGate } from '../../../daemon/bus/gate.ts';
import { Variant } from '../../../daemon/bus/wire.ts';
import { RevivedError } from '../../../daemon/errors.ts';

const user = { sender: ':1.7', uid: 1000 };
const root = { sender: ':1.8', uid: 0 };
const reset = { polkit: 'org.revived1.reset' } as const;

function gateWith(answer: (call: BusCall) => readonly unknown[]) {
  const asked: { call: BusCall; timeoutMs: number }[] = [];
  const gate = createGate(async (call, timeoutMs) => {
    asked.push({ call, timeoutMs });
    return answer(call);
  });
  return { gate, asked };
}

function silence(call: BusCall): readonly unknown[] {
  if (call.member === 'CancelCheckAuthorization') return [];
  throw new RevivedError('timed-out', 'polkit did not answer within 10 s.');
}

test('root and free methods pass without a question', async () => {
  const { gate, asked } = gateWith(silence);
  await gate.admit(reset, root, 'M', true);
  await gate.admit('root', root, 'M', true);
  await gate.admit('free', user, 'M', true);
  assert.deepEqual(asked, []);
});

test("what is root's alone is denied without a question", async () => {
  const { gate, asked } = gateWith(() => [[true, false, {}]]);
  await assert.rejects(gate.admit('root', user, 'Hook', true), { code: 'not-authorised' });
  assert.deepEqual(asked, []);
});

test('the question names the caller by its bus name, and waits longer where a person is asked', async () => {
  const { gate, asked } = gateWith(() => [[true, false, {}]]);
  await gate.admit(reset, user, 'M', true);
  await gate.admit(reset, user, 'M', false);
  const [loud, quiet] = asked;
  assert.deepEqual(loud?.call.body?.slice(0, 2), [
    ['system-bus-name', { name: new Variant('s', ':1.7') }],
    'org.revived1.reset',
  ]);
  assert.deepEqual([loud?.call.body?.[3], loud?.timeoutMs], [1, 120_000]);
  assert.deepEqual([quiet?.call.body?.[3], quiet?.timeoutMs], [0, 10_000]);
});

test('silence is a denial, and the open question is taken back', async () => {
  const { gate, asked } = gateWith(silence);
  await assert.rejects(gate.admit(reset, user, 'M', true), {
    code: 'not-authorised',
    message: /polkit gave no verdict: polkit did not answer within 10 s/,
  });
  const [question, cancel] = asked;
  assert.equal(cancel?.call.member, 'CancelCheckAuthorization');
  assert.equal(cancel?.call.body?.[0], question?.call.body?.[4]);
});

test('an answer that is no clear yes is a denial', async () => {
  const answers = [
    [],
    [true],
    ['yes'],
    [[1, false, {}]],
    [['true']],
    [[false, true, {}]],
    [{ 0: true }],
  ];
  for (const answer of answers) {
    const { gate } = gateWith(() => answer);
    await assert.rejects(gate.admit(reset, user, 'M', true), { code: 'not-authorised' });
  }
});

test('a caller that the bus does not know is denied', async () => {
  const gone = gateWith(() => {
    throw new RevivedError('unreachable', 'no such name');
  });
  await assert.rejects(gone.gate.callerOf(':1.9'), { code: 'not-authorised' });
  await assert.rejects(gateWith(() => ['0']).gate.callerOf(':1.9'), { code: 'not-authorised' });
  await assert.rejects(gateWith(() => []).gate.callerOf(':1.9'), { code: 'not-authorised' });
  assert.deepEqual(await gateWith(() => [1000]).gate.callerOf(':1.7'), user);
});
