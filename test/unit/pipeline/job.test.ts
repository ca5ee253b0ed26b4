import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createJobBook } from '../../../daemon/pipeline/job.ts';
import { card } from '../inventory-of.ts';

const cards = [card('0000:01:00')];

test('a job shows its steps as they happen and ends with its outcome', () => {
  const seen: number[] = [];
  const book = createJobBook(1, (id) => seen.push(id));
  const job = book.start('reset', '0000:01:00', cards, 'a test');
  job.expect(2);
  const end = job.begin('unbind 0000:01:00.0');
  assert.equal(job.view.steps[0]?.state, 'running');
  end('done', 'bochs-drm let go');
  assert.equal(job.view.progress, 0.5);
  job.note('rung bus', 'failed', 12, 'ENOTTY');
  job.finish('failed', 'no');
  assert.deepEqual(
    job.view.steps.map((step) => [step.name, step.state, step.detail]),
    [
      ['unbind 0000:01:00.0', 'done', 'bochs-drm let go'],
      ['rung bus', 'failed', 'ENOTTY'],
    ],
  );
  assert.equal(book.all()[0]?.state, 'failed');
  assert.equal(book.running().length, 0);
  assert.ok(seen.length >= 5);
});

test('finished jobs are kept in a bounded number, running ones all', () => {
  const book = createJobBook(1, () => {});
  const running = book.start('take', 'x', cards, 'a test');
  for (let n = 0; n < 100; n++) book.start('reset', 'x', cards, 'a test').finish('done', '');
  assert.equal(book.all().length, 33);
  assert.equal(book.running()[0]?.id, running.id);
});

test('a cancel reaches the job through its signal, and an ended job cannot be cancelled', () => {
  const book = createJobBook(7, () => {});
  const job = book.start('reset', 'x', cards, 'a test');
  book.cancel(7);
  assert.equal(job.signal.aborted, true);
  job.finish('cancelled', '');
  assert.throws(() => book.cancel(7), { code: 'refused' });
  assert.throws(() => book.cancel(8), { code: 'not-found' });
});

test('records of one job are bounded', () => {
  const book = createJobBook(1, () => {});
  const job = book.start('reset', 'x', cards, 'a test');
  for (let n = 0; n < 1000; n++) job.begin(`step ${n}`)('done', '');
  assert.equal(job.view.steps.length, 256);
});
