import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  agentOf,
  decodeError,
  type LibvirtError,
  lifecycleOf,
  procedures,
  stateOf,
} from '../../../daemon/libvirt/protocol.ts';
import { XdrWriter } from '../../../daemon/libvirt/xdr.ts';
import { recorded } from './peer.ts';

test('words for what libvirt numbers', () => {
  assert.deepEqual(lifecycleOf(2, 0), ['started', 'booted']);
  assert.deepEqual(lifecycleOf(3, 6), ['suspended', 'api-error']);
  assert.deepEqual(lifecycleOf(5, 1), ['stopped', 'destroyed']);
  assert.deepEqual(lifecycleOf(5, 5), ['stopped', 'failed']);
  assert.deepEqual(lifecycleOf(6, 2), ['shutdown', 'host']);
  assert.deepEqual(lifecycleOf(8, 0), ['crashed', 'panicked']);
  assert.deepEqual(stateOf(1, 1), ['running', 'booted']);
  assert.deepEqual(stateOf(3, 11), ['paused', 'starting-up']);
  assert.deepEqual(stateOf(5, 8), ['shutoff', 'daemon']);
  assert.deepEqual(agentOf(1, 2), ['connected', 'channel']);
  assert.deepEqual(agentOf(2, 1), ['disconnected', 'domain-started']);
});

test('numbers of a later libvirt are words too', () => {
  assert.deepEqual(lifecycleOf(9, 3), ['unknown-9', 'unknown-3']);
  assert.deepEqual(lifecycleOf(5, 99), ['stopped', 'unknown-99']);
  assert.deepEqual(lifecycleOf(-1, -1), ['unknown--1', 'unknown--1']);
  assert.deepEqual(stateOf(8, 0), ['unknown-8', 'unknown-0']);
  assert.deepEqual(agentOf(3, 7), ['unknown-3', 'unknown-7']);
});

test('the recorded bytes of "Domain not found" (facts/libvirt.md 3.3)', () => {
  const payload = recorded(
    '0000002a 0000000c 00000001 00000010 "Domain not found" 00000002 00000000 00000001 00000010 ' +
      '"Domain not found" 00000000 00000000 ffffffff ffffffff 00000000',
  );
  const error = decodeError(procedures.lookupByName, payload);
  assert.equal(error.number, 42);
  assert.equal(error.code, 'not-found');
  assert.match(error.message, /DOMAIN_LOOKUP_BY_NAME.*Domain not found/);
});

const faultOf = (number: number, text: string | null = 'why'): LibvirtError =>
  decodeError(
    procedures.create,
    new XdrWriter().i32(number).i32(10).optionalString(text).payload(),
  );

test('what libvirt refuses is typed', () => {
  const codes: readonly (readonly [string, readonly number[]])[] = [
    ['invalid-argument', [8, 27, 35, 67]],
    ['refused', [29, 45, 79, 88]],
    ['not-found', [42]],
    ['timed-out', [68]],
    ['libvirt', [1, 38, 39, 55, 70, 86, 12345, -1]],
  ];
  for (const [code, numbers] of codes) {
    for (const number of numbers) assert.equal(faultOf(number).code, code, String(number));
  }
});

test('the text of an error is short and cannot start a line of its own', () => {
  const error = faultOf(1, `a\nb\u001b[31m${'x'.repeat(5000)}`);
  assert.match(error.message, /a\\u000ab\\u001b\[31m/);
  assert.ok(error.message.length < 2300);
  assert.match(faultOf(1, null).message, /no message/);
});
