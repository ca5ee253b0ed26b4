import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columns } from '../../../daemon/ctl/columns.ts';

test('columns are as wide as their widest cell, in code points, and paint is not counted', () => {
  const brush = (text: string) => `<${text}>`;
  assert.deepEqual(
    columns(
      [
        ['a', '日本', 'x'],
        [{ text: 'bbb', brush }, 'c', 'long last'],
      ],
      ' ',
    ),
    [' a    日本  x', ' <bbb>  c   long last'],
  );
});

test('rows may differ in length, and no line ends in spaces', () => {
  assert.deepEqual(columns([['a', 'b'], ['c'], ['dddd', '']]), ['a     b', 'c', 'dddd']);
  assert.deepEqual(columns([]), []);
});
