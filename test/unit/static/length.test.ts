import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lengthRule } from '../../static/length.ts';

test('400 lines are the limit, without a reason', () => {
  const judged = (text: string) => lengthRule(new Map([['daemon/a.ts', text]])).length;
  assert.equal(judged('x\n'.repeat(400)), 0);
  assert.equal(judged('x\n'.repeat(401)), 1);
  assert.equal(judged(`// over 400 lines because it is a table\n${'x\n'.repeat(400)}`), 0);
  assert.equal(judged(`// over 400 lines because \n${'x\n'.repeat(400)}`), 1);
});

test('only sources are measured', () => {
  assert.deepEqual(lengthRule(new Map([['package-lock.json', 'x\n'.repeat(5000)]])), []);
});
