/** A socket between a client and a real libvirtd: passes everything on and notes what the client asks. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type Frame, FrameReader } from '../../daemon/libvirt/frame.ts';

export interface Tap {
  readonly path: string;
  /** Procedure numbers that the client called, one list for each connection that it made. */
  readonly calls: readonly number[][];
  close(): Promise<void>;
}

/** Listens at `path` and passes on to `target`. */
export async function startTap(path: string, target: string): Promise<Tap> {
  const calls: number[][] = [];
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const own: number[] = [];
    calls.push(own);
    const upstream = connect(target);
    const reader = new FrameReader();
    const note = (frame: Frame) => {
      if (frame.type === 0) own.push(frame.procedure);
    };
    client.on('data', (chunk: Buffer) => {
      reader.push(chunk, note);
      upstream.write(chunk);
    });
    upstream.on('data', (chunk: Buffer) => client.write(chunk));
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => undefined); // its close says the same
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  server.listen(path);
  await once(server, 'listening');
  return {
    path,
    calls,
    async close() {
      for (const socket of sockets) socket.destroy();
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
}
