/** The first bytes on a bus socket. */
import net from 'node:net';
import { atDeadline } from '../deadline.ts';

/**
 * Connects to a bus socket and authenticates: a NUL, AUTH EXTERNAL with our uid in hex, OK, BEGIN (D-Bus specification,
 * "Authentication Protocol"). The socket comes back paused, with nothing of the message stream read.
 * Rejects with a plain Error.
 */
export function authenticated(path: string, timeoutMs: number): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(path);
    let answer = '';
    const calm = atDeadline(timeoutMs, () =>
      give(new Error(`no answer within ${timeoutMs / 1000} s`)),
    );
    const give = (error: Error | undefined): void => {
      calm();
      socket.removeAllListeners();
      if (error === undefined) {
        resolve(socket);
        return;
      }
      socket.on('error', () => undefined); // destroyed below: what comes late is ignored
      socket.destroy();
      reject(error);
    };
    socket.on('connect', () => {
      const uid = Buffer.from(String(process.geteuid?.() ?? 0)).toString('hex');
      socket.write(`\0AUTH EXTERNAL ${uid}\r\n`);
    });
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
      if (!answer.includes('\n') && answer.length < 1024) return;
      if (!answer.startsWith('OK ')) {
        give(new Error(`it refused us: ${answer.trim().slice(0, 200)}`));
        return;
      }
      socket.pause();
      socket.write('BEGIN\r\n');
      give(undefined);
    });
    socket.on('error', give);
    socket.on('close', () => give(new Error('the bus closed the connection')));
  });
}
