import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomeOf, tally, tallyLine } from '../tally.ts';

const files = ['/build/a.test.mjs'];
const plain = { name: 'it works', details: {} };

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
  const empty = { name: '/build/a.test.mjs', details: {} };
  assert.equal(outcomeOf(empty, 'passed', files).state, 'failed');
});

test('a group is no test, but counts where it broke by itself', () => {
  const group = { name: 'group', details: { type: 'suite' } };
  assert.equal(outcomeOf(group, 'passed', files).state, 'grouping');
  const byTests = Object.assign(new Error('1 subtest failed'), { failureType: 'subtestsFailed' });
  const byItself = Object.assign(new Error('before'), { failureType: 'hookFailed' });
  const ended = (error: Error) =>
    outcomeOf({ name: 'group', details: { type: 'suite', error } }, 'failed', files).state;
  assert.equal(ended(byTests), 'grouping');
  assert.equal(ended(byItself), 'failed');
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
