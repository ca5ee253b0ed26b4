/** Frames of libvirt's stream: u32 length (itself included), six words of header, payload. */
import { malformed } from './xdr.ts';

/** Bytes of length word and header (src/rpc/virnetprotocol.x). */
const headerBytes = 28;
/** Longest frame: VIR_NET_MESSAGE_MAX without the length word; libvirtd closes on more. */
export const maxFrameBytes = 33_554_432 + 4;

/** What a frame is; 3 to 6 are streams and file descriptors, which we never ask for. */
export const frameTypes = { call: 0, reply: 1, message: 2 } as const;
export const frameStatus = { ok: 0, error: 1 } as const;

export interface FrameHeader {
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
  readonly type: number;
  readonly serial: number;
  readonly status: number;
}

export interface Frame extends FrameHeader {
  readonly payload: Buffer;
}

/** One frame as bytes. The payload is copied. */
export function encodeFrame(header: FrameHeader, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(headerBytes + payload.length);
  bytes.writeUInt32BE(bytes.length, 0);
  bytes.writeUInt32BE(header.program, 4);
  bytes.writeUInt32BE(header.version, 8);
  bytes.writeInt32BE(header.procedure, 12);
  bytes.writeUInt32BE(header.type, 16);
  bytes.writeUInt32BE(header.serial, 20);
  bytes.writeUInt32BE(header.status, 24);
  payload.copy(bytes, headerBytes);
  return bytes;
}

/** Cuts a byte stream into frames, however it was split or merged on its way. Holds at most one frame. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #held = 0;
  // Bytes that have to be there before anything can be said; the whole frame once its length is known.
  #wanted = 4;

  /** Calls back for each whole frame, in order, at once. Throws `libvirt` at an impossible length. */
  push(chunk: Buffer, onFrame: (frame: Frame) => void): void {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    while (this.#held >= this.#wanted) {
      const bytes = this.#joined();
      if (this.#wanted === 4) {
        this.#wanted = frameLength(bytes);
        continue;
      }
      const rest = bytes.subarray(this.#wanted);
      const frame = decodeFrame(bytes.subarray(0, this.#wanted));
      this.#chunks = rest.length === 0 ? [] : [rest];
      this.#held = rest.length;
      this.#wanted = 4;
      onFrame(frame);
    }
  }

  // Joins once per frame, not once per chunk: a large frame in small pieces stays linear.
  #joined(): Buffer {
    const [only] = this.#chunks;
    if (only !== undefined && this.#chunks.length === 1) return only;
    const bytes = Buffer.concat(this.#chunks, this.#held);
    this.#chunks = [bytes];
    return bytes;
  }
}

function frameLength(bytes: Buffer): number {
  const length = bytes.readUInt32BE(0);
  if (length < headerBytes || length > maxFrameBytes) throw malformed(`a frame of ${length} bytes`);
  return length;
}

function decodeFrame(bytes: Buffer): Frame {
  return {
    program: bytes.readUInt32BE(4),
    version: bytes.readUInt32BE(8),
    procedure: bytes.readInt32BE(12),
    type: bytes.readUInt32BE(16),
    serial: bytes.readUInt32BE(20),
    status: bytes.readUInt32BE(24),
    payload: bytes.subarray(headerBytes),
  };
}
