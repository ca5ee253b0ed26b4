import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  cardOf,
  functionAddress,
  parseCardAddress,
  parseFunctionAddress,
  pathElement,
} from '../../../daemon/pci/address.ts';

test('what people type becomes what sysfs spells', () => {
  assert.equal(parseFunctionAddress(' 0B:00.1 '), '0000:0b:00.1');
  assert.equal(parseCardAddress('0b:00'), '0000:0b:00');
  assert.equal(parseCardAddress('0000:0b:00.0'), '0000:0b:00');
});

test('what is no address is none', () => {
  for (const text of [
    '',
    '0b',
    '0b:00.8',
    '0000:0b:20.0',
    '0000:0b:00.0/../x',
    '0000:0b:00.0\n1',
    '../../etc',
  ]) {
    assert.equal(parseFunctionAddress(text), undefined, text);
  }
});

test('four numbers in range give an address and its card, others none', () => {
  const numbers = fc.tuple(fc.nat(0xffff), fc.nat(0xff), fc.nat(0x1f), fc.nat(7));
  fc.assert(
    fc.property(numbers, ([domain, bus, slot, fn]) => {
      const address = functionAddress(domain, bus, slot, fn);
      assert.ok(address !== undefined);
      assert.equal(parseFunctionAddress(address), address);
      assert.equal(parseCardAddress(cardOf(address)), cardOf(address));
      assert.match(pathElement(address), /^[0-9a-f_]+$/);
    }),
  );
  assert.equal(functionAddress(0, 256, 0, 0), undefined);
  assert.equal(functionAddress(0, 0, 32, 0), undefined);
  assert.equal(functionAddress(0, 0, 0, 8), undefined);
  assert.equal(functionAddress(Number.NaN, 0, 0, 0), undefined);
});
