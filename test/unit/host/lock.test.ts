import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLock } from '../../../daemon/host/lock.ts';

test('one at a time, in order, also after a failure', async () => {
  const lock = createLock('the test');
  const order: number[] = [];
  let inside = 0;
  const work = (n: number) => async () => {
    inside++;
    assert.equal(inside, 1);
    await new Promise((resolve) => setImmediate(resolve));
    order.push(n);
    inside--;
    if (n === 2) throw new Error('two');
    return n;
  };
  const results = await Promise.allSettled([1, 2, 3].map((n) => lock.run(work(n))));
  assert.deepEqual(order, [1, 2, 3]);
  assert.deepEqual(
    results.map((result) => result.status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  assert.equal(lock.free, true);
});

test('the queue is bounded', async () => {
  const lock = createLock('the test');
  let open: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const waiting = Array.from({ length: 64 }, () => lock.run(() => gate));
  await assert.rejects(() => lock.run(async () => {}), { code: 'limit-exceeded' });
  open();
  await Promise.all(waiting);
});
