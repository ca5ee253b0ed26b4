/** The other end of a libvirt socket, for what a real libvirtd never does: lies, silence, broken frames. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { RevivedError } from '../../../daemon/errors.ts';
import { type Connection, openConnection } from '../../../daemon/libvirt/connection.ts';
import { encodeFrame, type Frame, FrameReader } from '../../../daemon/libvirt/frame.ts';
import { XdrWriter } from '../../../daemon/libvirt/xdr.ts';

export interface Peer {
  readonly path: string;
  /** The frames that came in, over all connections. */
  readonly received: Frame[];
  /** Connections so far. */
  connections(): number;
  /** To the newest connection. */
  send(bytes: Buffer): void;
  /** Ends the newest connection. */
  hangUp(): void;
  /** Reads no more from the newest connection. */
  pause(): void;
  /** Resolves when the condition holds; looked at after each frame that came in. */
  until(condition: () => boolean): Promise<void>;
  close(): Promise<void>;
}

/** Answers one frame; what it returns is sent. Nothing: silence. */
export type Script = (frame: Frame) => Buffer | undefined;

/** Listens on a socket of its own (or at `path`) and answers each whole frame by the script. */
export async function startPeer(script: Script, path?: string): Promise<Peer> {
  const dir = await mkdtemp(join(tmpdir(), 'revived-peer-'));
  const at = path ?? join(dir, 'libvirt-sock');
  const received: Frame[] = [];
  const sockets: Socket[] = [];
  const waiting = new Set<() => void>();
  const server = createServer((socket) => {
    sockets.push(socket);
    const reader = new FrameReader();
    socket.on('error', () => undefined); // the client may be gone: that is part of the tests
    socket.on('data', (chunk: Buffer) => {
      reader.push(chunk, (frame) => {
        received.push(frame);
        const answer = script(frame);
        if (answer !== undefined) socket.write(answer);
        for (const look of waiting) look();
      });
    });
  });
  server.listen(at);
  await once(server, 'listening');
  return {
    path: at,
    received,
    connections: () => sockets.length,
    send: (bytes) => void sockets.at(-1)?.write(bytes),
    hangUp: () => void sockets.at(-1)?.end(),
    pause: () => void sockets.at(-1)?.pause(),
    until(condition) {
      return new Promise((resolve) => {
        const look = () => {
          if (!condition()) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      });
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      const closed = once(server, 'close');
      server.close();
      await closed;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** An answer with status OK to a call. */
export function reply(call: Frame, encode: (writer: XdrWriter) => void = () => {}): Buffer {
  const writer = new XdrWriter();
  encode(writer);
  return encodeFrame({ ...call, type: 1, status: 0 }, writer.payload());
}

/** An answer with status ERROR to a call. */
export function fault(call: Frame, number: number, message: string): Buffer {
  const writer = new XdrWriter().i32(number).i32(10).optionalString(message).i32(2);
  writer.u32(0).optionalString(null).optionalString(null).optionalString(null);
  writer.i32(-1).i32(-1).u32(0);
  return encodeFrame({ ...call, type: 1, status: 1 }, writer.payload());
}

/** A message of the REMOTE program, with serial 1 as real servers send it. */
function message(procedure: number, encode: (writer: XdrWriter) => void): Buffer {
  const writer = new XdrWriter();
  encode(writer);
  const header = { program: 0x20008086, version: 1, procedure, type: 2, serial: 1, status: 0 };
  return encodeFrame(header, writer.payload());
}

export const sampleUuid = '6695eb01-f6a4-8304-79aa-97f2502e193f';

/** A lifecycle event of the sample domain. */
export function lifecycle(event: number, detail: number, name = 'test'): Buffer {
  return message(318, (w) => w.i32(0).string(name).uuid(sampleUuid).i32(-1).i32(event).i32(detail));
}

/** What a healthy libvirtd with one running domain answers, by procedure number. */
const healthy: Readonly<Record<number, (writer: XdrWriter) => void>> = {
  1: () => {},
  66: (w) => w.u32(1).u32(0),
  157: (w) => w.u32(0).u32(9_000_000),
  212: (w) => w.i32(1).i32(1),
  273: (w) => w.u32(1).string('test').uuid(sampleUuid).i32(1).u32(1),
  316: (w) => w.i32(0),
};

/** The script of a healthy libvirtd, keep-alive included. */
export function healthyScript(frame: Frame): Buffer | undefined {
  if (frame.program === 0x6b656570) {
    return frame.procedure === 1
      ? encodeFrame({ ...frame, procedure: 2 }, Buffer.alloc(0))
      : undefined;
  }
  const encode = healthy[frame.procedure];
  return encode === undefined ? fault(frame, 39, 'unknown procedure') : reply(frame, encode);
}

/** Bytes from the hex words of a recording; quoted text stands for its bytes. */
export function recorded(text: string): Buffer {
  const parts = text.match(/"[^"]*"|[0-9a-f]+/g) ?? [];
  return Buffer.concat(
    parts.map((part) =>
      part.startsWith('"') ? Buffer.from(part.slice(1, -1)) : Buffer.from(part, 'hex'),
    ),
  );
}

/** A connection to the peer on which nothing but answers is expected; both end with the test. */
export async function connectTo(peer: Peer, t: TestContext): Promise<Connection> {
  const connection = await openConnection({
    ...{ path: peer.path, connectMs: 1000, pingMs: 60_000, pings: 5 },
    onMessage: () => {},
    onClose: () => {},
  });
  t.after(async () => {
    connection.close(new RevivedError('cancelled', 'the test is over'));
    await peer.close();
  });
  return connection;
}
