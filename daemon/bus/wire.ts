/**
 * D-Bus messages as bytes: the only importer of dbus-next, and only of its marshalling.
 *
 * Its connection is not used. It parses every body before anybody may refuse it, inside a stream callback
 * without a catch: one call with signature `h` and no descriptor ends the process, whoever sends it
 * (dbus-buffer.js:177, message.js:63). Here a header is read first, and a body only when it is wanted.
 */
import DBusBuffer from 'dbus-next/lib/dbus-buffer.js';
import { marshallMessage, messageToJsFmt } from 'dbus-next/lib/marshall-compat.js';
import { Variant } from 'dbus-next/lib/variant.js';
import { RevivedError } from '../errors.ts';

export { Variant };

/** Message types and flags of the D-Bus specification, "Message Format". */
export const messageType = { call: 1, reply: 2, error: 3, signal: 4 } as const;
export const messageFlag = { noReply: 1, noAutoStart: 2, interactive: 4 } as const;

/** Bytes of a message before its header fields. */
export const prefixLength = 16;

export interface Header {
  readonly type: number;
  readonly flags: number;
  readonly serial: number;
  readonly path: string | undefined;
  readonly interface: string | undefined;
  readonly member: string | undefined;
  readonly errorName: string | undefined;
  readonly replySerial: number | undefined;
  readonly destination: string | undefined;
  readonly sender: string | undefined;
  /** Empty for a message without body. */
  readonly signature: string;
}

/** A message to be sent; `signature` and `body` must agree. */
export interface Outgoing {
  readonly type: number;
  readonly flags: number;
  readonly serial: number;
  readonly path?: string;
  readonly interface?: string;
  readonly member?: string;
  readonly errorName?: string;
  readonly replySerial?: number;
  readonly destination?: string;
  readonly signature: string;
  readonly body: readonly unknown[];
}

/** Lengths in bytes from the first 16 bytes: of the header with its padding (those 16 included), and of the body. */
export function lengthsOf(prefix: Buffer): { readonly header: number; readonly body: number } {
  const little = isLittle(prefix);
  const fields = little ? prefix.readUInt32LE(12) : prefix.readUInt32BE(12);
  const body = little ? prefix.readUInt32LE(4) : prefix.readUInt32BE(4);
  return { header: prefixLength + Math.ceil(fields / 8) * 8, body };
}

/** Reads a header (prefix and fields). Unknown fields are ignored. Throws `failed` where it makes no sense. */
export function decodeHeader(bytes: Buffer): Header {
  const values = new DBusBuffer(bytes, 0, endianOf(bytes)).read('yyyyuua(yv)');
  const [, type, flags, , , serial, list] = values;
  const fields = new Map<unknown, unknown>();
  for (const field of asList(list)) {
    const [code, variant] = asList(field);
    fields.set(code, asList(asList(variant)[1])[0]);
  }
  const text = (code: number): string | undefined => {
    const value = fields.get(code);
    return typeof value === 'string' ? value : undefined;
  };
  const replySerial = fields.get(5);
  if (typeof type !== 'number' || typeof flags !== 'number' || typeof serial !== 'number') {
    throw new RevivedError('failed', 'A D-Bus message has a broken header.');
  }
  return {
    type,
    flags,
    serial,
    path: text(1),
    interface: text(2),
    member: text(3),
    errorName: text(4),
    replySerial: typeof replySerial === 'number' ? replySerial : undefined,
    destination: text(6),
    sender: text(7),
    signature: text(8) ?? '',
  };
}

/**
 * Reads a body: plain values, `Variant`s, dicts as plain objects, 64 bit numbers as bigint. `prefix` is where the
 * byte order stands. Throws `invalid-argument` where the body cannot be read (descriptors are not supported).
 */
export function decodeBody(prefix: Buffer, signature: string, body: Buffer): readonly unknown[] {
  try {
    const raw = signature === '' ? [] : new DBusBuffer(body, 0, endianOf(prefix)).read(signature);
    return messageToJsFmt({ signature, body: raw }).body;
  } catch (error) {
    throw new RevivedError(
      'invalid-argument',
      `The body of the message (signature "${signature}") cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
      undefined,
      { cause: error },
    );
  }
}

/** The bytes of a message. Throws a plain Error where the body does not fit its signature (a bug of ours). */
export function encode(message: Outgoing): Buffer {
  const [bytes] = marshallMessage({ ...message, body: [...message.body] });
  return bytes;
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isLittle(bytes: Buffer): boolean {
  return endianOf(bytes) === 0x6c;
}

// 'l' or 'B', the first byte of every message.
function endianOf(bytes: Buffer): number {
  return bytes.readUInt8(0);
}
