/**
 * One connection to one libvirt socket: calls with deadlines, messages, and a pulse. It never reconnects;
 * when it ends, for whatever reason, it says so once and every open call is rejected.
 */
import { createConnection, type Socket } from 'node:net';
import { atDeadline, every } from '../deadline.ts';
import { RevivedError } from '../errors.ts';
import { encodeFrame, type Frame, FrameReader, frameStatus, frameTypes } from './frame.ts';
import {
  decodeError,
  isEventProgram,
  keepalive,
  type Procedure,
  protocolVersion,
} from './protocol.ts';
import { malformed, XdrReader, XdrWriter } from './xdr.ts';

export interface Connection {
  /**
   * One call. Rejects with libvirt's error, with `timed-out` after `timeoutMs` (a late answer is dropped),
   * with `limit-exceeded` when too much is open already, or with the reason why the connection ended.
   */
  call<T>(
    procedure: Procedure,
    encode: (writer: XdrWriter) => void,
    decode: (reader: XdrReader) => T,
    timeoutMs: number,
  ): Promise<T>;
  /** Ends it; open calls are rejected with `reason`. */
  close(reason: RevivedError): void;
}

export interface ConnectionOptions {
  readonly path: string;
  /** Time for connect(2) in ms; longer only when the server's backlog is full. */
  readonly connectMs: number;
  /** Silence in ms after which the server is asked for a sign of life. */
  readonly pingMs: number;
  /** Unanswered questions after which it counts as dead. */
  readonly pings: number;
  /** A message (event), synchronously from the socket's data. A throw ends the connection. */
  readonly onMessage: (message: number, reader: XdrReader) => void;
  /** Once, when an open connection has ended. */
  readonly onClose: (reason: RevivedError) => void;
}

/** Calls that wait for an answer, those that we gave up on included. */
const maxOpenCalls = 256;
/** Bytes that may wait for the server to read them. */
const maxUnsentBytes = 16 * 1024 * 1024;

interface OpenCall {
  readonly procedure: Procedure;
  /** Undefined once its deadline has passed: the serial is kept so that the late answer is known. */
  settle: ((frame: Frame) => void) | undefined;
  readonly reject: (reason: RevivedError) => void;
  readonly inTime: () => void;
}

/** Connects. Rejects with `libvirt` and what to do where nobody listens. */
export function openConnection(options: ConnectionOptions): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path: options.path });
    const connected = atDeadline(options.connectMs, () =>
      refuse('it does not accept the connection'),
    );
    const refuse = (why: string) => {
      connected();
      socket.destroy();
      reject(notReachable(options.path, why));
    };
    socket.once('error', (error: NodeJS.ErrnoException) => refuse(error.code ?? error.message));
    socket.once('connect', () => {
      connected();
      socket.removeAllListeners('error');
      resolve(serve(socket, options));
    });
  });
}

function serve(socket: Socket, options: ConnectionOptions): Connection {
  const calls = new Map<number, OpenCall>();
  const frames = new FrameReader();
  let serial = 0;
  let ended: RevivedError | undefined;
  let heard = true;
  let unanswered = 0;

  const stopPulse = every(options.pingMs, () => {
    // Anything that was read since the last turn is a sign of life (virkeepalive.c does the same).
    unanswered = heard ? 0 : unanswered + 1;
    heard = false;
    if (unanswered >= options.pings) {
      end(lost(options.path, `it gave no sign of life for ${options.pings * options.pingMs} ms`));
    } else {
      sendKeepalive(keepalive.ping);
    }
  });

  function end(reason: RevivedError): void {
    if (ended !== undefined) return;
    ended = reason;
    stopPulse();
    socket.destroy();
    for (const call of calls.values()) {
      call.inTime();
      if (call.settle !== undefined) call.reject(reason);
    }
    calls.clear();
    options.onClose(reason);
  }

  function sendKeepalive(procedure: number): void {
    const type = frameTypes.message;
    const { program } = keepalive;
    socket.write(
      encodeFrame(
        { program, version: protocolVersion, procedure, type, serial: 0, status: frameStatus.ok },
        Buffer.alloc(0),
      ),
    );
  }

  function receive(frame: Frame): void {
    if (ended !== undefined) return;
    // By type before serial: real events carry serial 1, like our first call (facts/libvirt.md 3.2).
    if (frame.type === frameTypes.message) receiveMessage(frame);
    else if (frame.type === frameTypes.reply) receiveReply(frame);
    else throw malformed(`a frame of type ${frame.type}`);
  }

  function receiveReply(frame: Frame): void {
    const call = calls.get(frame.serial);
    if (call === undefined) throw malformed(`an answer to call ${frame.serial}, which is not open`);
    if (
      frame.program !== call.procedure.program ||
      frame.procedure !== call.procedure.number ||
      (frame.status !== frameStatus.ok && frame.status !== frameStatus.error)
    ) {
      throw malformed(`an answer to ${call.procedure.name} that belongs to something else`);
    }
    calls.delete(frame.serial);
    call.inTime();
    call.settle?.(frame);
  }

  function receiveMessage(frame: Frame): void {
    if (frame.program === keepalive.program) {
      if (frame.procedure === keepalive.ping) sendKeepalive(keepalive.pong);
    } else if (isEventProgram(frame.program)) {
      options.onMessage(frame.procedure, new XdrReader(frame.payload));
    }
  }

  socket.on('data', (chunk: Buffer) => {
    heard = true;
    try {
      frames.push(chunk, receive);
    } catch (error) {
      end(error instanceof RevivedError ? error : malformed(String(error)));
    }
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    end(lost(options.path, error.code ?? error.message));
  });
  socket.on('close', () => end(lost(options.path, 'it closed the connection')));

  function nextSerial(): number {
    do serial = serial >= 0xffffffff ? 1 : serial + 1;
    while (calls.has(serial));
    return serial;
  }

  return {
    close: end,
    call(procedure, encode, decode, timeoutMs) {
      return new Promise((resolve, reject) => {
        if (ended !== undefined) throw ended;
        if (calls.size >= maxOpenCalls || socket.writableLength > maxUnsentBytes) {
          throw new RevivedError(
            'limit-exceeded',
            `libvirt has ${calls.size} calls open that it has not answered; ${procedure.name} was not sent.`,
            'Wait until libvirt answers, or restart it if it hangs.',
          );
        }
        const writer = new XdrWriter();
        encode(writer);
        const own = nextSerial();
        const call: OpenCall = {
          procedure,
          reject,
          settle(frame) {
            try {
              if (frame.status === frameStatus.error) reject(decodeError(procedure, frame.payload));
              else resolve(decodeWhole(frame.payload, decode));
            } catch (error) {
              reject(error);
              throw error;
            }
          },
          inTime: atDeadline(timeoutMs, () => {
            call.settle = undefined;
            reject(
              new RevivedError(
                'timed-out',
                `libvirt did not answer ${procedure.name} within ${timeoutMs} ms.`,
                'Another job or a hook may hold the domain; look at `virsh domjobinfo` and the log of libvirtd.',
              ),
            );
          }),
        };
        calls.set(own, call);
        socket.write(
          encodeFrame(
            {
              ...{ program: procedure.program, version: protocolVersion },
              ...{ procedure: procedure.number, type: frameTypes.call },
              ...{ serial: own, status: frameStatus.ok },
            },
            writer.payload(),
          ),
        );
      });
    },
  };
}

function decodeWhole<T>(payload: Buffer, decode: (reader: XdrReader) => T): T {
  const reader = new XdrReader(payload);
  const value = decode(reader);
  reader.end();
  return value;
}

function lost(path: string, why: string): RevivedError {
  return new RevivedError(
    'libvirt',
    `The connection to libvirt (${path}) is lost: ${why}.`,
    'revived reconnects by itself; if it stays lost, look at libvirtd or virtqemud.',
  );
}

function notReachable(path: string, why: string): RevivedError {
  return new RevivedError(
    'libvirt',
    `libvirt cannot be reached through ${path}: ${why}.`,
    why === 'EACCES'
      ? 'Run revived as root.'
      : 'Start it: `systemctl start libvirtd.socket` (or virtqemud.socket).',
  );
}
