import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RevivedError } from '../../../daemon/errors.ts';
import { isUuid, maxStringBytes, XdrReader, XdrWriter } from '../../../daemon/libvirt/xdr.ts';
import { anyCharacter } from '../any-character.ts';
import { sampleUuid } from './peer.ts';

type Item =
  | { readonly kind: 'u32' | 'i32'; readonly value: number }
  | { readonly kind: 'string' | 'uuid'; readonly value: string }
  | { readonly kind: 'optional'; readonly value: string | null };

// Longer than the writer's first buffer, now and then. (`binary` has no lone surrogates: they have no UTF-8.)
const text = fc
  .string({ unit: anyCharacter, maxLength: 300, size: 'max' })
  .filter((value) => !value.includes('\0'));
const item = fc.oneof(
  fc.record({ kind: fc.constant('u32' as const), value: fc.nat(0xffffffff) }),
  fc.record({
    kind: fc.constant('i32' as const),
    value: fc.integer({ min: -0x80000000, max: 0x7fffffff }),
  }),
  fc.record({ kind: fc.constant('string' as const), value: text }),
  fc.record({ kind: fc.constant('uuid' as const), value: fc.uuid() }),
  fc.record({ kind: fc.constant('optional' as const), value: fc.option(text) }),
);

function write(items: readonly Item[]): Buffer {
  const writer = new XdrWriter();
  for (const one of items) {
    switch (one.kind) {
      case 'u32':
      case 'i32':
        writer[one.kind](one.value);
        break;
      case 'string':
      case 'uuid':
        writer[one.kind](one.value);
        break;
      case 'optional':
        writer.optionalString(one.value);
        break;
    }
  }
  return writer.payload();
}

function read(kinds: readonly Item['kind'][], bytes: Buffer): (string | number | null)[] {
  const reader = new XdrReader(bytes);
  const values = kinds.map((kind) => {
    if (kind === 'u32') return reader.u32();
    if (kind === 'i32') return reader.i32();
    if (kind === 'string') return reader.string();
    return kind === 'uuid' ? reader.uuid() : reader.optionalString();
  });
  reader.end();
  return values;
}

const isLibvirt = (error: unknown) => error instanceof RevivedError && error.code === 'libvirt';
const isInvalid = (error: unknown) =>
  error instanceof RevivedError && error.code === 'invalid-argument';

test('what is written is read again, in words of four bytes', () => {
  fc.assert(
    fc.property(fc.array(item, { maxLength: 20 }), (items) => {
      const bytes = write(items);
      assert.equal(bytes.length % 4, 0);
      assert.deepEqual(
        read(
          items.map((one) => one.kind),
          bytes,
        ),
        items.map((one) => one.value),
      );
    }),
  );
});

test('data that is cut short anywhere is refused', () => {
  fc.assert(
    fc.property(fc.array(item, { minLength: 1, maxLength: 8 }), fc.nat(), (items, seed) => {
      const bytes = write(items);
      const cut = bytes.subarray(0, seed % bytes.length);
      assert.throws(
        () =>
          read(
            items.map((one) => one.kind),
            cut,
          ),
        isLibvirt,
      );
    }),
  );
});

test('arbitrary bytes give values or a typed error, nothing else', () => {
  const kinds = fc.array(fc.constantFrom<Item['kind']>('u32', 'string', 'uuid', 'optional'));
  fc.assert(
    fc.property(kinds, fc.uint8Array({ maxLength: 64 }), (wanted, bytes) => {
      try {
        read(wanted, Buffer.from(bytes));
      } catch (error) {
        assert.ok(isLibvirt(error), String(error));
      }
    }),
  );
});

test('a length that lies costs no memory', () => {
  for (const length of [0xffffffff, maxStringBytes + 1, maxStringBytes, 5]) {
    const bytes = new XdrWriter().u32(length).u32(0).payload();
    assert.throws(() => new XdrReader(bytes).string(), isLibvirt, String(length));
  }
});

test('left over bytes are refused', () => {
  const reader = new XdrReader(new XdrWriter().u32(1).u32(2).payload());
  reader.u32();
  assert.throws(() => reader.end(), isLibvirt);
});

test('names stay what they are; a NUL would name another domain', () => {
  for (const name of ['a b', `"'`, 'a\nb', '../..', '$(reboot)', 'ä', '']) {
    const bytes = new XdrWriter().string(name).payload();
    assert.equal(new XdrReader(bytes).string(), name);
  }
  assert.throws(() => new XdrWriter().string('a\0b'), isInvalid);
  assert.throws(() => new XdrWriter().string('x'.repeat(maxStringBytes + 1)), isInvalid);
  assert.equal(new XdrWriter().string('x'.repeat(maxStringBytes)).payload().length, 4_194_308);
});

test('bytes that are no UTF-8 are shown, not thrown', () => {
  const bytes = Buffer.from('00000002c3280000', 'hex');
  assert.equal(new XdrReader(bytes).string(), '\ufffd(');
});

test('uuids are 16 bytes and lower case text', () => {
  const bytes = new XdrWriter().uuid(sampleUuid.toUpperCase()).payload();
  assert.equal(bytes.toString('hex'), '6695eb01f6a4830479aa97f2502e193f');
  assert.equal(new XdrReader(bytes).uuid(), sampleUuid);
  for (const bad of ['', 'test', sampleUuid.slice(1), `${sampleUuid}0`, `${sampleUuid}\n`]) {
    assert.equal(isUuid(bad), false, bad);
    assert.throws(() => new XdrWriter().uuid(bad), isInvalid, bad);
  }
});

test('versions are 64 bit numbers', () => {
  assert.equal(new XdrReader(Buffer.from('0000000000895440', 'hex')).u64(), 9_000_000);
});
