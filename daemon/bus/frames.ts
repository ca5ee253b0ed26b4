/** Cuts the byte stream of a bus into messages, with a bound for each: what is too big is skipped, not kept. */
import { RevivedError } from '../errors.ts';
import { decodeBody, decodeHeader, type Header, lengthsOf, prefixLength } from './wire.ts';

/** Bytes. The bus itself allows 64 MiB arrays and 128 MiB messages: no header and no call of ours comes near these. */
export const frameLimits = { header: 16_384, body: 65_536, trustedBody: 33_554_432 } as const;

export interface Frame {
  readonly header: Header;
  /** Reads the body now. Throws `invalid-argument` (unreadable) or `limit-exceeded` (it was skipped for its size). */
  readonly body: () => readonly unknown[];
}

export interface FrameReader {
  /** Takes bytes as they come and calls back for each whole message, in order. Throws only when the stream is lost. */
  push(chunk: Buffer): void;
}

/**
 * A reader over one connection. `bodyLimit` decides from the header how many bytes of body are kept.
 * A header that is too big or broken is reported through `onSkipped` and its message skipped.
 */
export function createFrameReader(options: {
  readonly bodyLimit: (header: Header) => number;
  readonly onFrame: (frame: Frame) => void;
  readonly onSkipped: (reason: string) => void;
}): FrameReader {
  let chunks: Buffer[] = [];
  let have = 0;
  let skip = 0;
  let stage: Stage = { kind: 'prefix' };

  const take = (length: number): Buffer => {
    const all = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
    chunks = [all.subarray(length)];
    have -= length;
    return all.subarray(0, length);
  };
  const finish = (frame: Frame): void => {
    stage = { kind: 'prefix' };
    options.onFrame(frame);
  };
  const skipWhole = (length: number, reason: string): void => {
    stage = { kind: 'prefix' };
    skip = length;
    options.onSkipped(reason);
  };

  const readPrefix = (): void => {
    const prefix = take(prefixLength);
    const order = prefix[0];
    if (order !== 0x6c && order !== 0x42) {
      throw new RevivedError('unreachable', 'The bus sent bytes that are no D-Bus message.');
    }
    const lengths = lengthsOf(prefix);
    if (lengths.header > frameLimits.header) {
      skipWhole(lengths.header - prefixLength + lengths.body, 'a message with an oversized header');
      return;
    }
    stage = { kind: 'fields', prefix, fields: lengths.header - prefixLength, body: lengths.body };
  };
  const readFields = (at: Extract<Stage, { kind: 'fields' }>): void => {
    const bytes = Buffer.concat([at.prefix, take(at.fields)]);
    const header = headerOrUndefined(bytes);
    if (header === undefined) {
      skipWhole(at.body, 'a message with an unreadable header');
      return;
    }
    const limit = options.bodyLimit(header);
    if (at.body > limit) {
      skip = at.body;
      finish({ header, body: () => tooBig(at.body, limit) });
      return;
    }
    stage = { kind: 'body', prefix: at.prefix, header, length: at.body };
  };
  const readBody = (at: Extract<Stage, { kind: 'body' }>): void => {
    const bytes = take(at.length);
    finish({
      header: at.header,
      body: () => decodeBody(at.prefix, at.header.signature, bytes),
    });
  };

  return {
    push(chunk) {
      chunks.push(chunk);
      have += chunk.length;
      for (;;) {
        if (skip > 0) {
          const length = Math.min(skip, have);
          take(length);
          skip -= length;
          if (skip > 0) return;
        }
        if (have < needed(stage)) return;
        if (stage.kind === 'prefix') readPrefix();
        else if (stage.kind === 'fields') readFields(stage);
        else readBody(stage);
      }
    },
  };
}

type Stage =
  | { readonly kind: 'prefix' }
  | {
      readonly kind: 'fields';
      readonly prefix: Buffer;
      readonly fields: number;
      readonly body: number;
    }
  | {
      readonly kind: 'body';
      readonly prefix: Buffer;
      readonly header: Header;
      readonly length: number;
    };

function needed(stage: Stage): number {
  if (stage.kind === 'prefix') return prefixLength;
  return stage.kind === 'fields' ? stage.fields : stage.length;
}

function headerOrUndefined(bytes: Buffer): Header | undefined {
  try {
    return decodeHeader(bytes);
  } catch {
    return undefined; // reported by the caller through onSkipped
  }
}

function tooBig(length: number, limit: number): never {
  throw new RevivedError(
    'limit-exceeded',
    `The message has ${length} bytes of arguments; at most ${limit} are taken.`,
  );
}
