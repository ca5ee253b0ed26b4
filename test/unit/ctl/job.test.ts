import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  jobBrush,
  newSteps,
  outcomeText,
  progressText,
  stepLine,
} from '../../../daemon/ctl/job.ts';
import { createPaint } from '../../../daemon/ctl/paint.ts';
import { printable } from '../../../daemon/ctl/printable.ts';
import { decodeJob } from '../../../daemon/ctl/shapes.ts';
import { doneJob, runningJob } from './recorded.ts';

const running = decodeJob('/org/revived/jobs/7', runningJob, printable);
const done = decodeJob('/org/revived/jobs/7', doneJob, printable);
const names = (steps: readonly { name: string; state: string }[]) =>
  steps.map(({ name, state }) => `${name} ${state}`);

test('each step is told once, when it has ended', () => {
  assert.deepEqual(names(newSteps(null, running)), ['unbind 0000:01:00.0 done']);
  assert.deepEqual(names(newSteps(running, running)), []);
  assert.deepEqual(names(newSteps(running, done)), ['rung bus done']);
  assert.equal(newSteps(null, done).length, 2);
});

test('a step that is undone is told again', () => {
  const steps = done.steps.map((step) => ({ ...step, state: 'undone' }));
  assert.equal(newSteps(done, { ...done, steps }).length, 2);
});

test('lines of a job', () => {
  const [step] = done.steps;
  assert.ok(step !== undefined);
  const paint = createPaint(false);
  assert.equal(stepLine(step, paint), '  ok              12 ms  unbind 0000:01:00.0: let go');
  const failed = { ...step, state: 'undo-failed', ms: 61_000, detail: '' };
  assert.equal(stepLine(failed, paint), '  undo-failed 1 min 1 s  unbind 0000:01:00.0');
  assert.equal(progressText(running), '[ 25 %] rung bus');
  assert.equal(progressText({ ...running, steps: [], progress: 9 }), '[100 %] reset');
  assert.equal(outcomeText(done), 'job 7, reset of 0000:01:00: done in 3.2 s');
  const bad = { ...done, state: 'failed', error: 'still wedged' };
  assert.equal(outcomeText(bad), 'job 7, reset of 0000:01:00: failed after 3.2 s: still wedged');
});

test('verdicts have their colours', () => {
  const paint = createPaint(true);
  const shown = ['done', 'failed', 'stuck', 'cancelled'].map((state) =>
    jobBrush(state, paint)('x'),
  );
  assert.deepEqual(
    shown.map((text) => text.slice(2, 4)),
    ['32', '31', '31', '33'],
  );
});
