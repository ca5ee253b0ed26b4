import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor, withDeadline } from '../../daemon/deadline.ts';

test('work in time passes through, also its failure', async () => {
  assert.equal(await withDeadline(Promise.resolve(7), 1000, 'it'), 7);
  await assert.rejects(withDeadline(Promise.reject(new Error('no')), 1000, 'it'), /no/);
});

test('work that never ends is given up by name', async () => {
  await assert.rejects(withDeadline(new Promise(() => {}), 10, 'The reset'), {
    code: 'timed-out',
    message: /The reset did not end within 10 ms/,
  });
});

test('a condition is looked at until it holds', async () => {
  let looks = 0;
  assert.equal(await waitFor(() => (++looks === 3 ? 'yes' : undefined), 1000, 1), 'yes');
  assert.equal(await waitFor(() => undefined, 10, 1), undefined);
});

test('an abort ends the wait early', async () => {
  const abort = new AbortController();
  const start = performance.now();
  const waiting = waitFor(() => undefined, 60_000, 60_000, abort.signal);
  setImmediate(() => abort.abort());
  assert.equal(await waiting, undefined);
  assert.ok(performance.now() - start < 5000);
});
