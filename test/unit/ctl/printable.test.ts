import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cut, jsonText, printable } from '../../../daemon/ctl/printable.ts';
import { anyCharacter } from '../any-character.ts';
import { hostile, hostileShown } from './recorded.ts';

// Every second character is one that matters: C0, C1, or the punctuation block with the bidirectional controls.
const codes = [fc.integer({ min: 0, max: 0xff }), fc.integer({ min: 0x2000, max: 0x2070 })];
const unit = fc.oneof(...codes.map((code) => code.map((value) => String.fromCharCode(value))));
const anyText = fc.oneof(fc.string({ unit }), fc.string({ unit: anyCharacter }));

test('control characters of all kinds become visible', () => {
  assert.equal(printable(hostile), hostileShown);
  assert.equal(printable('Ünïcödé ☃ 日本'), 'Ünïcödé ☃ 日本');
});

test('whatever the daemon says, nothing in it can act on a terminal', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      assert.doesNotMatch(printable(text), /[\p{Cc}\u2028\u2029]|\p{Bidi_Control}/u);
    }),
  );
});

test('JSON is safe to show and stays the same value', () => {
  fc.assert(
    fc.property(anyText, fc.constantFrom(0, 2), (text, indent) => {
      const shown = jsonText({ [text]: [text] }, indent);
      assert.deepEqual(JSON.parse(shown), JSON.parse(JSON.stringify({ [text]: [text] })));
      assert.doesNotMatch(shown, /[^\P{Cc}\n]|\p{Bidi_Control}/u);
    }),
  );
  assert.equal(jsonText({ a: [1] }, 2), '{\n  "a": [\n    1\n  ]\n}');
});

test('cutting counts code points', () => {
  assert.equal(cut('日本語😀😀', 5), '日本語😀😀');
  assert.equal(cut('日本語😀😀', 4), '日本語…');
  assert.equal(cut('abc', 0), '…');
});
