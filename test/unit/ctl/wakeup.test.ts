import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWakeup } from '../../../daemon/ctl/wakeup.ts';

const never = 60_000;

test('a ring ends the wait', async () => {
  const wakeup = createWakeup();
  setImmediate(() => wakeup.ring());
  await wakeup.wait(never);
});

test('rings while nobody waits count as one', async () => {
  const wakeup = createWakeup();
  wakeup.ring();
  wakeup.ring();
  await wakeup.wait(never);
  let over = false;
  const second = wakeup.wait(5).then(() => {
    over = true;
  });
  await Promise.resolve();
  assert.equal(over, false);
  await second;
});

test('the limit ends the wait too', async () => {
  await createWakeup().wait(1);
});
