/** A socket between the daemon and a real libvirtd: passes everything on and tells when each event came past. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type DomainEvent, readEvent } from '../../daemon/libvirt/event.ts';
import { type Frame, FrameReader, frameTypes } from '../../daemon/libvirt/frame.ts';
import { isEventProgram } from '../../daemon/libvirt/protocol.ts';
import { XdrReader } from '../../daemon/libvirt/xdr.ts';

/** `at`: performance.now() when its bytes had come from libvirtd and before any went on to the daemon. */
type Listener = (event: DomainEvent, at: number) => void;

/** Listens at `path` and passes on to `target`; the function ends it. */
export async function startEventTap(
  path: string,
  target: string,
  onEvent: Listener,
): Promise<() => Promise<void>> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(target);
    const reader = new FrameReader();
    client.on('data', (chunk: Buffer) => upstream.write(chunk));
    upstream.on('data', (chunk: Buffer) => {
      const at = performance.now();
      reader.push(chunk, (frame) => {
        const event = eventOf(frame);
        if (event !== null) onEvent(event, at);
      });
      client.write(chunk);
    });
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
  return async () => {
    for (const socket of sockets) socket.destroy();
    const closed = once(server, 'close');
    server.close();
    await closed;
  };
}

function eventOf({ type, program, procedure, payload }: Frame): DomainEvent | null {
  if (type !== frameTypes.message || !isEventProgram(program)) return null;
  return readEvent(procedure, new XdrReader(payload));
}
