import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPaint, wantsColour } from '../../../daemon/ctl/paint.ts';

test('colours are for terminals, unless somebody says no', () => {
  assert.equal(wantsColour(true, false, {}), true);
  assert.equal(wantsColour(true, false, { NO_COLOR: '' }), true);
  assert.equal(wantsColour(false, false, {}), false);
  assert.equal(wantsColour(true, true, {}), false);
  assert.equal(wantsColour(true, false, { NO_COLOR: '1' }), false);
  assert.equal(wantsColour(true, false, { TERM: 'dumb' }), false);
});

test('a brush without colours leaves the text alone', () => {
  assert.equal(createPaint(false).red('x'), 'x');
  assert.equal(createPaint(true).red('x'), '\u001b[31mx\u001b[0m');
  assert.equal(createPaint(true).red(''), '');
});
