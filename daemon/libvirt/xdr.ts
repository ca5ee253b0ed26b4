/**
 * XDR (RFC 4506) as far as libvirt's protocol uses it: big endian, everything padded to 4 bytes.
 * What a peer sends is not trusted: every length is checked against a limit and against what is there.
 */
import { RevivedError } from '../errors.ts';

/** Bytes of the longest string either side may send (REMOTE_STRING_MAX, facts/libvirt.md 3.2). */
export const maxStringBytes = 4_194_304;

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** True for a uuid as people write it, in lower or upper case. */
export function isUuid(text: string): boolean {
  return uuidPattern.test(text.toLowerCase());
}

/** Builds one payload. Rejects arguments that the protocol cannot carry with `invalid-argument`. */
export class XdrWriter {
  #bytes = Buffer.alloc(256);
  #length = 0;

  /** The payload so far; a view, valid until the next write. */
  payload(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  u32(value: number): this {
    const at = this.#grow(4);
    this.#bytes.writeUInt32BE(value, at);
    return this;
  }

  i32(value: number): this {
    const at = this.#grow(4);
    this.#bytes.writeInt32BE(value, at);
    return this;
  }

  /** UTF-8. A NUL is refused: libvirt would silently cut the text there and act on another name. */
  string(value: string): this {
    const size = Buffer.byteLength(value);
    if (size > maxStringBytes) {
      throw new RevivedError(
        'invalid-argument',
        `A text of ${size} bytes is too long for libvirt, which takes at most ${maxStringBytes}.`,
      );
    }
    if (value.includes('\0')) {
      throw new RevivedError('invalid-argument', 'A text for libvirt must not contain a NUL byte.');
    }
    // First the room: growing replaces the buffer.
    const at = this.u32(size).#grow(padded(size));
    this.#bytes.write(value, at, 'utf8');
    return this;
  }

  /** A `remote_string`: present or not, then the text. */
  optionalString(value: string | null): this {
    return value === null ? this.u32(0) : this.u32(1).string(value);
  }

  /** 16 raw bytes. `invalid-argument` where the text is no uuid. */
  uuid(text: string): this {
    if (!isUuid(text)) {
      throw new RevivedError(
        'invalid-argument',
        `${JSON.stringify(text.slice(0, 64))} is no uuid.`,
      );
    }
    const at = this.#grow(16);
    this.#bytes.write(text.replaceAll('-', ''), at, 'hex');
    return this;
  }

  // Reserves zeroed bytes (the padding) and returns where they begin.
  #grow(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(this.#length, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, at);
      this.#bytes = larger;
    }
    return at;
  }
}

/** Reads one payload. Throws `libvirt` where data is cut short, too long or has something left over. */
export class XdrReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  i32(): number {
    return this.#bytes.readInt32BE(this.#take(4));
  }

  /** Numbers beyond 2^53 lose precision; libvirt's versions are far below. */
  u64(): number {
    return Number(this.#bytes.readBigUInt64BE(this.#take(8)));
  }

  /** Bytes that are no UTF-8 become U+FFFD: names are shown with it, never looked up by it. */
  string(): string {
    const size = this.count(maxStringBytes, 'bytes of text');
    const at = this.#take(padded(size));
    return this.#bytes.toString('utf8', at, at + size);
  }

  optionalString(): string | null {
    return this.u32() === 0 ? null : this.string();
  }

  /** 16 raw bytes as canonical lower case text. */
  uuid(): string {
    const at = this.#take(16);
    const hex = this.#bytes.toString('hex', at, at + 16);
    const part = (from: number, to: number) => hex.slice(from, to);
    return `${part(0, 8)}-${part(8, 12)}-${part(12, 16)}-${part(16, 20)}-${part(20, 32)}`;
  }

  /** The length word of an array or a text, at most `max`. */
  count(max: number, what: string): number {
    const value = this.u32();
    if (value > max) throw malformed(`${value} ${what}, more than the ${max} of the protocol`);
    return value;
  }

  /** Everything has to be read: messages of this protocol never change (facts/libvirt.md 3.1). */
  end(): void {
    const left = this.#bytes.length - this.#at;
    if (left !== 0) throw malformed(`${left} bytes left over`);
  }

  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) {
      throw malformed(`cut short: ${count} bytes wanted, ${this.#bytes.length - at} there`);
    }
    this.#at = at + count;
    return at;
  }
}

/** A peer that does not speak the protocol: the connection cannot go on. */
export function malformed(what: string): RevivedError {
  return new RevivedError(
    'libvirt',
    `libvirt sent a message that makes no sense (${what}).`,
    'Check that the socket belongs to libvirtd or virtqemud.',
  );
}

function padded(size: number): number {
  return (size + 3) & ~3;
}
