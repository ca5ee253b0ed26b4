import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  flagOption,
  fraction,
  text,
  textVariant,
  u32,
  u64,
  variant,
} from '../../../daemon/bus/variant.ts';
import { Variant } from '../../../daemon/bus/wire.ts';

test('numbers are clamped to what their type can carry', () => {
  assert.deepEqual([u32(-1), u32(1.6), u32(2 ** 40), u32(Number.NaN)], [0, 2, 0xffff_ffff, 0]);
  assert.deepEqual(
    [u64(-5), u64(1.6), u64(2 ** 53), u64(Number.POSITIVE_INFINITY)],
    [...[0n, 2n, 2n ** 53n, 0n]],
  );
  assert.deepEqual(
    [fraction(-1), fraction(0.5), fraction(7), fraction(Number.NaN)],
    [0, 0.5, 1, 0],
  );
});

test('a string with a NUL can still be sent', () => {
  assert.equal(text('a\0b'), 'a\ufffdb');
  assert.deepEqual(textVariant('\0'), new Variant('s', '\ufffd'));
});

test('an option is absent, a boolean, or refused', () => {
  const key = 'auth.no_user_interaction';
  assert.equal(flagOption({}, key), false);
  assert.equal(flagOption({ [key]: variant('b', true) }, key), true);
  assert.equal(flagOption({ [key]: variant('b', false) }, key), false);
  assert.throws(() => flagOption({ [key]: textVariant('true') }, key), {
    code: 'invalid-argument',
  });
  assert.equal(flagOption({}, 'constructor'), false);
});
