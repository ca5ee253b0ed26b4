import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forbiddenRule } from '../../static/forbidden.ts';

function judged(path: string, line: string): number {
  return forbiddenRule(new Map([[path, `first\n${line}\n`]])).length;
}

test('what silences the compiler is named, everywhere', () => {
  for (const mark of ['ignore', 'expect-error', 'nocheck']) {
    assert.equal(judged('daemon/a.ts', `// @ts${'-'}${mark}`), 1);
    assert.equal(judged('test/unit/a.test.ts', `// @ts${'-'}${mark}`), 1);
  }
  assert.equal(judged('daemon/a.ts', `const a = b as ${'unknown'} as C;`), 1);
});

test('timers belong to deadline.ts', () => {
  assert.equal(judged('daemon/bus/a.ts', 'setTimeout(f, 10);'), 1);
  assert.equal(judged('daemon/bus/a.ts', 'clearTimeout(t); type T = typeof setTimeout;'), 0);
  assert.equal(judged('daemon/bus/a.ts', `import { setTimeout as s } from 'timers/promises';`), 1);
  assert.equal(judged('daemon/deadline.ts', 'setTimeout(f, 10);'), 0);
  assert.equal(judged('test/unit/a.test.ts', 'setTimeout(f, 10);'), 0);
});

test('a test that does not run is named', () => {
  for (const line of ['test.skip(', 'it.only(', 'describe.todo(', '{ skip: true }', 't.skip()']) {
    assert.equal(judged('test/unit/a.test.ts', line), 1, line);
    assert.equal(judged('daemon/a.ts', line), 0, line);
  }
});

test('unfinished work is named, with its line', () => {
  for (const word of ['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X']) {
    const [complaint] = forbiddenRule(new Map([['daemon/a.ts', `first\n// ${word}: later\n`]]));
    assert.match(complaint ?? '', /^daemon\/a\.ts:2: unfinished/);
  }
});
