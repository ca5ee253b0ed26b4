import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Ended, outcomeOf, outcomesOfFiles, tally, tallyLine } from '../tally.ts';

const files = ['/build/a.test.mjs'];
const plain = { name: 'it works', nesting: 0, details: {} };

test('a test that ran counts as it ended', () => {
  assert.deepEqual(outcomeOf(plain, 'passed', files), { name: 'it works', state: 'passed' });
  const error = new Error('1 == 2');
  const failed = outcomeOf({ ...plain, details: { error } }, 'failed', files);
  assert.deepEqual(failed, { name: 'it works', state: 'failed', reason: '1 == 2' });
});

test('a test that did not run has failed', () => {
  // node reports them as passed, a bare t.skip() with an empty reason.
  for (const mark of [true, '', 'later']) {
    assert.equal(outcomeOf({ ...plain, skip: mark }, 'passed', files).state, 'failed');
    assert.equal(outcomeOf({ ...plain, todo: mark }, 'passed', files).state, 'failed');
  }
  assert.equal(outcomeOf({ ...plain, skip: false }, 'passed', files).state, 'passed');
});

test('a file without a test has failed', () => {
  const empty = { name: '/build/a.test.mjs', nesting: 0, details: {} };
  assert.equal(outcomeOf(empty, 'passed', files).state, 'failed');
});

test('a group is no test, but counts where it broke by itself', () => {
  const group = { name: 'group', nesting: 0, details: { type: 'suite' } };
  assert.equal(outcomeOf(group, 'passed', files).state, 'grouping');
  const byTests = Object.assign(new Error('1 subtest failed'), { failureType: 'subtestsFailed' });
  const byItself = Object.assign(new Error('before'), { failureType: 'hookFailed' });
  const ended = (error: Error) =>
    outcomeOf({ ...group, details: { type: 'suite', error } }, 'failed', files).state;
  assert.equal(ended(byTests), 'grouping');
  assert.equal(ended(byItself), 'failed');
});

test('of several files in one process each must hold a test and end', () => {
  const whole = { name: 'a', nesting: 0, details: { type: 'suite' } };
  const inner: Ended = { event: { ...plain, nesting: 1 }, state: 'passed' };
  const suite = (name: string): Ended => ({ event: { ...whole, name }, state: 'passed' });
  const group: Ended = { event: { ...whole, nesting: 1 }, state: 'passed' };
  const judged = (all: readonly Ended[], files: readonly string[]) =>
    tally('unit', outcomesOfFiles(all, files, ['/build/folder.mjs']));
  assert.deepEqual(judged([inner, group, suite('a'), inner, suite('b')], ['a', 'b']), {
    passed: 2,
    failures: [],
  });
  // The tests of one file do not count for another, nor does a group without tests.
  assert.deepEqual(judged([inner, suite('a'), group, suite('b')], ['a', 'b']), {
    passed: 1,
    failures: ['b: the file holds no test'],
  });
  assert.deepEqual(judged([inner, suite('a'), inner], ['a', 'b']), {
    passed: 2,
    failures: ['b: the file did not run to its end'],
  });
  // A process that ended before any of its tests did is told by its name.
  const early: Ended = { event: { ...plain, name: '/build/folder.mjs' }, state: 'passed' };
  assert.deepEqual(judged([early, inner, suite('b')], ['b']), {
    passed: 1,
    failures: ['/build/folder.mjs: the file holds no test'],
  });
  // One that throws while it is loaded has failed once, not twice.
  const error = Object.assign(new Error('no such export'), { failureType: 'testCodeFailure' });
  const thrown: Ended = { event: { ...whole, details: { type: 'suite', error } }, state: 'failed' };
  assert.deepEqual(judged([thrown], ['a']), { passed: 0, failures: ['a: no such export'] });
});

test('a suite without a test has failed', () => {
  assert.deepEqual(tally('lab', []), { passed: 0, failures: ['lab: the suite holds no test'] });
  assert.equal(tally('unit', [{ name: 'group', state: 'grouping' }]).failures.length, 1);
});

test('the closing line adds up', () => {
  const unit = tally('unit', [
    { name: 'a', state: 'passed' },
    { name: 'b', state: 'failed', reason: 'two\n lines' },
  ]);
  const lab = tally('lab', [{ name: 'c', state: 'passed' }]);
  assert.deepEqual(unit.failures, ['b: two lines']);
  assert.equal(tallyLine([unit, lab]), '2 passed, 1 failed');
  assert.equal(tallyLine([]), '0 passed, 0 failed');
});
