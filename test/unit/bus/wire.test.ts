import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeBody,
  decodeHeader,
  encode,
  lengthsOf,
  messageType,
  type Outgoing,
  prefixLength,
  Variant,
} from '../../../daemon/bus/wire.ts';
import { anyCharacter } from '../any-character.ts';

const message: Outgoing = {
  type: messageType.call,
  flags: 4,
  serial: 77,
  path: '/org/revived',
  interface: 'org.revived1.Manager',
  member: 'Plan',
  destination: 'org.revived',
  signature: 'st',
  body: ['win10', 12n],
};

function split(bytes: Buffer): { header: Buffer; body: Buffer } {
  const { header, body } = lengthsOf(bytes.subarray(0, prefixLength));
  assert.equal(header + body, bytes.length);
  return { header: bytes.subarray(0, header), body: bytes.subarray(header) };
}

function roundTrip(signature: string, value: readonly unknown[]): readonly unknown[] {
  const { header, body } = split(encode({ ...message, signature, body: value }));
  return decodeBody(header, decodeHeader(header).signature, body);
}

test('a header comes back as it was sent', () => {
  const { header } = split(encode(message));
  const { body: _body, ...sent } = message;
  assert.deepEqual(decodeHeader(header), {
    ...sent,
    errorName: undefined,
    replySerial: undefined,
    sender: undefined,
  });
});

test('bodies come back as they were sent, whatever stands in them', () => {
  const text = fc.string({ unit: anyCharacter }).filter((value) => !value.includes('\0'));
  // dbus-next cannot send these two keys; ours are names of the table and object paths.
  const key = fc.string({ minLength: 1, maxLength: 20 }).filter((name) => {
    return !name.includes('\0') && name !== '__proto__' && name !== 'constructor';
  });
  const value = text.map((content) => new Variant('s', content));
  const dict = fc.dictionary(key, value, { noNullPrototype: true, maxKeys: 5 });
  fc.assert(
    fc.property(
      text,
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.boolean(),
      fc.array(text, { maxLength: 5 }),
      fc.array(dict, { maxLength: 3 }),
      (...body) => {
        assert.deepEqual(roundTrip('stbasaa{sv}', body), body);
      },
    ),
    { numRuns: 100 },
  );
});

test('nested variants keep their types', () => {
  const steps = [{ Ms: new Variant('u', 5) }];
  const [value] = roundTrip('v', [new Variant('aa{sv}', steps)]);
  assert.deepEqual(value, new Variant('aa{sv}', steps));
});

test('a body that cannot be read is an invalid argument, not a crash', () => {
  const { header, body } = split(encode({ ...message, signature: 'u', body: [0] }));
  assert.throws(() => decodeBody(header, 'h', body), { code: 'invalid-argument' });
  assert.throws(() => decodeBody(header, 's', Buffer.from([9, 0])), { code: 'invalid-argument' });
});

test('any bytes behind a fixed signature give values or an invalid argument', () => {
  const prefix = Buffer.from('l');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        assert.equal(decodeBody(prefix, 'sa{sv}', Buffer.from(bytes)).length, 2);
      } catch (error) {
        assert.match(String(error), /cannot be read/);
      }
    }),
  );
});

test('a key that names the prototype stays in its dict', () => {
  const evil = Object.fromEntries([['x__proto__', new Variant('b', true)]]);
  const bytes = encode({ ...message, signature: 'a{sv}', body: [evil] });
  const at = bytes.indexOf('x__proto__');
  bytes.write('__proto__\0', at);
  bytes.writeUInt32LE(9, at - 4);
  // The string is one byte shorter; the signature of the variant moves with it.
  bytes.copyWithin(at + 10, at + 11, at + 14);
  const { header, body } = split(bytes);
  const [dict] = decodeBody(header, 'a{sv}', body);
  assert.equal(Object.hasOwn(Object(dict), 'auth.no_user_interaction'), false);
  assert.equal(Object.getPrototypeOf({}), Object.prototype);
});

test('a body that does not fit its signature is not sent', () => {
  assert.throws(() => encode({ ...message, signature: 's', body: [5] }));
  assert.throws(() => encode({ ...message, signature: 'ss', body: ['x'] }));
});
