/**
 * The two files of dbus-next 0.10.2 that carry bytes; its own types.d.ts does not describe them.
 * Imported by wire.ts only.
 */
declare module 'dbus-next/lib/dbus-buffer.js' {
  class DBusBuffer {
    constructor(buffer: Buffer, startPos: number, endian: number);
    /** Values of a signature in the marshaller's own form: variants are [tree, [value]], dicts are lists of pairs. */
    read(signature: string): unknown[];
  }
  export = DBusBuffer;
}

declare module 'dbus-next/lib/marshall-compat.js' {
  /** Turns a body from the marshaller's form into plain values and `Variant`s, in place. Throws on nonsense. */
  export function messageToJsFmt(message: { signature: string; body: unknown[] }): {
    body: unknown[];
  };
  /** The bytes of a message and the descriptors that belong to it. Throws where the body does not fit. */
  export function marshallMessage(message: object): [Buffer, unknown[]];
}

declare module 'dbus-next/lib/variant.js' {
  export class Variant {
    readonly signature: string;
    readonly value: unknown;
    constructor(signature: string, value: unknown);
  }
}
