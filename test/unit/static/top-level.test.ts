import assert from 'node:assert/strict';
import { test } from 'node:test';
import { topLevelRule } from '../../static/top-level.ts';

test('a name that was not agreed on is named once', () => {
  const fine = ['Makefile', 'daemon/main.ts', '.ci/run'].map((path) => [path, ''] as const);
  assert.deepEqual(topLevelRule(new Map(fine)), []);
  const more = [...fine, ['scripts/a.sh', ''] as const, ['scripts/b.sh', ''] as const];
  assert.equal(topLevelRule(new Map(more)).length, 1);
});
