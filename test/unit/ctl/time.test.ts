import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockText, dateText, durationText } from '../../../daemon/ctl/time.ts';

test('durations', () => {
  const shown = [0, 12.4, 999, 1000, 3249, 59_949, 59_950, 61_000, 125_400].map(durationText);
  const wanted = ['0 ms', '12 ms', '999 ms', '1.0 s', '3.2 s', '59.9 s'];
  assert.deepEqual(shown, [...wanted, '1 min 0 s', '1 min 1 s', '2 min 5 s']);
});

test('dates are local, and 0 is none', () => {
  const usec = new Date(2026, 0, 5, 7, 8, 9).getTime() * 1000;
  assert.equal(dateText(usec), '2026-01-05 07:08:09');
  assert.equal(clockText(usec), '07:08:09');
  assert.equal(dateText(0), '-');
  assert.equal(dateText(1e300), '-');
});
