/**
 * One connection to a message bus: calls with a deadline, calls of others with their sender, signals, and its loss.
 * Nothing that a peer sends can throw out of here; bytes become messages in frames.ts and wire.ts.
 */
import type net from 'node:net';
import { atDeadline } from '../deadline.ts';
import { asRevivedError, codeOfDbusName, dbusNameOf, RevivedError } from '../errors.ts';
import { socketsOf } from './address.ts';
import { createFrameReader, type Frame, frameLimits } from './frames.ts';
import { authenticated } from './handshake.ts';
import { encode, type Header, messageFlag, messageType, type Outgoing } from './wire.ts';

/** A call of ours. `interactive` lets the callee ask the user (polkit). */
export interface BusCall {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: string;
  readonly body?: readonly unknown[];
  readonly interactive?: boolean;
}

/** A call of somebody else. `body()` decodes on demand: see Frame. */
export interface IncomingCall {
  /** Unique name, set by the bus. */
  readonly sender: string;
  readonly path: string;
  readonly interface: string | undefined;
  readonly member: string;
  readonly signature: string;
  readonly body: () => readonly unknown[];
  /** The caller allows that the user is asked. */
  readonly interactive: boolean;
  readonly serial: number;
  readonly replyExpected: boolean;
}

export interface Signal {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature: string;
  readonly body: readonly unknown[];
}

/** Which signals to receive. `sender` is a unique name or `org.freedesktop.DBus`: others could be forged. */
interface Watch {
  readonly sender: string;
  readonly interface: string;
  readonly member?: string;
}

export interface Connection {
  /** Our unique name. */
  readonly name: string;
  /** Rejects with `busy` when somebody else has the name, `not-authorised` when the bus policy forbids it. */
  requestName(name: string): Promise<void>;
  /** The body of the reply. Rejects with `timed-out`, `unreachable`, or the code of the error that came back. */
  call(call: BusCall, timeoutMs: number): Promise<readonly unknown[]>;
  /** One handler for all calls to us. It must answer each; what it throws becomes an error reply. */
  onCall(handler: (call: IncomingCall) => void): void;
  /** Answers a call, unless no answer was asked for. Throws where the body does not fit the signature. */
  reply(call: IncomingCall, signature: string, body: readonly unknown[]): void;
  /** Answers a call with an error. Never throws. */
  refuse(call: IncomingCall, errorName: string, message: string): void;
  /** Broadcasts. Throws where the body does not fit the signature. */
  emit(signal: Signal): void;
  /** Adds one match rule, for the life of the connection, and calls back for each such signal. */
  watch(rule: Watch, listener: (signal: Signal) => void): Promise<void>;
  /** Calls back once when the bus goes away, not after close(). Messages that had to be skipped go to `onSkipped`. */
  onLost(listener: (reason: string) => void): void;
  onSkipped(listener: (what: string) => void): void;
  close(): void;
}

const bus = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
} as const;

/** Milliseconds. The bus itself answers in well under one. */
const busTimeout = 10_000;
/** Bytes that may wait for a bus that does not read; then it counts as lost. */
const unsentLimit = 67_108_864;
const errorTextLimit = 8192;

/** Connects, authenticates (EXTERNAL) and says Hello. Rejects with `unreachable`. */
export async function connect(address: string): Promise<Connection> {
  let failure: unknown;
  for (const path of socketsOf(address)) {
    try {
      return await greeted(createConnection(await authenticated(path, busTimeout)));
    } catch (error) {
      failure = error;
    }
  }
  throw new RevivedError(
    'unreachable',
    `The message bus at ${address} cannot be reached: ${asRevivedError(failure).message}.`,
    'See whether dbus.service runs.',
    { cause: failure },
  );
}

async function greeted(connection: Omit<Connection, 'name'>): Promise<Connection> {
  try {
    const [name] = await connection.call({ ...bus, member: 'Hello' }, busTimeout);
    return { ...connection, name: String(name) };
  } catch (error) {
    connection.close();
    throw error;
  }
}

function createConnection(socket: net.Socket): Omit<Connection, 'name'> {
  const waiting = new Map<number, Waiting>();
  const watches: { readonly rule: Watch; readonly listener: (signal: Signal) => void }[] = [];
  let handler: ((call: IncomingCall) => void) | undefined;
  let lostListener: ((reason: string) => void) | undefined;
  let skippedListener: ((what: string) => void) | undefined;
  let failure = 'the bus closed the connection';
  let closed = false;
  let lost = false;
  let lastSerial = 0;

  const nextSerial = (): number => {
    lastSerial = (lastSerial % 0xffff_ffff) + 1;
    return lastSerial;
  };
  const write = (message: Omit<Outgoing, 'serial'>, serial = nextSerial()): void => {
    if (closed) return;
    socket.write(encode({ ...message, serial }));
    if (socket.writableLength > unsentLimit) fail('the bus does not read what it is sent');
  };
  const fail = (reason: string): void => {
    failure = reason;
    socket.destroy();
  };

  const refuse = (call: IncomingCall, errorName: string, message: string): void => {
    if (!call.replyExpected) return;
    write({
      type: messageType.error,
      flags: messageFlag.noReply,
      errorName,
      replySerial: call.serial,
      destination: call.sender,
      signature: 's',
      body: [message.replaceAll('\0', '\ufffd').slice(0, errorTextLimit)],
    });
  };

  const onCallFrame = (frame: Frame): void => {
    const { header } = frame;
    if (header.sender === undefined || header.path === undefined || header.member === undefined) {
      return; // a bus never passes on such a call, and without a sender nobody could be answered
    }
    const call: IncomingCall = {
      sender: header.sender,
      path: header.path,
      interface: header.interface,
      member: header.member,
      signature: header.signature,
      body: frame.body,
      interactive: (header.flags & messageFlag.interactive) !== 0,
      serial: header.serial,
      replyExpected: (header.flags & messageFlag.noReply) === 0,
    };
    if (handler === undefined) {
      refuse(call, dbusNameOf('unknown-object'), `There is no object ${call.path} here.`);
      return;
    }
    try {
      handler(call);
    } catch (error) {
      const known = asRevivedError(error);
      refuse(call, dbusNameOf(known.code), known.message);
    }
  };
  const onReplyFrame = (frame: Frame): void => {
    const entry = expected(waiting, frame.header);
    if (entry === undefined) return; // too late, or not asked for
    entry.settle();
    try {
      const body = frame.body();
      if (frame.header.type === messageType.reply) entry.resolve(body);
      else entry.reject(remoteError(frame.header.errorName, body[0]));
    } catch (error) {
      entry.reject(error);
    }
  };
  const onSignalFrame = (frame: Frame): void => {
    for (const { rule, listener } of watches) {
      if (!matches(rule, frame.header)) continue;
      const { path = '/', interface: iface = '', member = '', signature } = frame.header;
      try {
        listener({ path, interface: iface, member, signature, body: frame.body() });
      } catch (error) {
        skippedListener?.(
          `a signal ${iface}.${member} that could not be handled: ${asRevivedError(error).message}`,
        );
      }
    }
  };

  const reader = createFrameReader({
    bodyLimit(header) {
      const trusted =
        expected(waiting, header) !== undefined ||
        watches.some(({ rule }) => matches(rule, header));
      return trusted ? frameLimits.trustedBody : frameLimits.body;
    },
    onFrame(frame) {
      const { type } = frame.header;
      if (type === messageType.call) onCallFrame(frame);
      else if (type === messageType.signal) onSignalFrame(frame);
      else if (type === messageType.reply || type === messageType.error) onReplyFrame(frame);
      // The specification wants unknown types ignored.
    },
    onSkipped: (what) => skippedListener?.(what),
  });

  socket.on('data', (chunk: Buffer) => {
    try {
      reader.push(chunk);
    } catch (error) {
      fail(asRevivedError(error).message);
    }
  });
  socket.on('error', (error) => {
    failure = error.message;
  });
  socket.on('close', () => {
    lost = !closed;
    closed = true;
    const reason = new RevivedError('unreachable', `The message bus went away: ${failure}.`);
    for (const entry of [...waiting.values()]) {
      entry.settle();
      entry.reject(reason);
    }
    if (lost) lostListener?.(failure);
  });

  socket.resume();

  const call = (request: BusCall, timeoutMs: number): Promise<readonly unknown[]> => {
    const serial = nextSerial();
    return new Promise((resolve, reject) => {
      if (closed) {
        reject(new RevivedError('unreachable', `The message bus went away: ${failure}.`));
        return;
      }
      const calm = atDeadline(timeoutMs, () => {
        waiting.delete(serial);
        reject(
          new RevivedError(
            'timed-out',
            `${request.destination} did not answer ${request.interface}.${request.member} within ${timeoutMs / 1000} s.`,
          ),
        );
      });
      const settle = (): void => {
        calm();
        waiting.delete(serial);
      };
      waiting.set(serial, { destination: request.destination, resolve, reject, settle });
      const { interactive, signature = '', body = [], ...rest } = request;
      const flags = interactive === true ? messageFlag.interactive : 0;
      try {
        write({ type: messageType.call, flags, signature, body, ...rest }, serial);
      } catch (error) {
        settle();
        reject(error);
      }
    });
  };

  return {
    call,
    async requestName(name) {
      // 4: do not queue. 1 and 4 in the answer: we own it now, we owned it before.
      const request = { ...bus, member: 'RequestName', signature: 'su', body: [name, 4] };
      const [answer] = await call(request, busTimeout);
      if (answer === 1 || answer === 4) return;
      throw new RevivedError(
        'busy',
        `The bus name ${name} is taken by another process, so nobody would reach this one.`,
        `Stop the other one: "busctl status ${name}" shows it.`,
      );
    },
    onCall(next) {
      handler = next;
    },
    reply(to, signature, body) {
      if (!to.replyExpected) return;
      write({
        type: messageType.reply,
        flags: messageFlag.noReply,
        replySerial: to.serial,
        destination: to.sender,
        signature,
        body,
      });
    },
    refuse,
    emit(signal) {
      write({ type: messageType.signal, flags: messageFlag.noReply, ...signal });
    },
    async watch(rule, listener) {
      watches.push({ rule, listener });
      const member = rule.member === undefined ? '' : `,member='${rule.member}'`;
      const text = `type='signal',sender='${rule.sender}',interface='${rule.interface}'${member}`;
      await call({ ...bus, member: 'AddMatch', signature: 's', body: [text] }, busTimeout);
    },
    onLost(listener) {
      lostListener = listener;
      if (lost) queueMicrotask(() => listener(failure));
    },
    onSkipped(listener) {
      skippedListener = listener;
    },
    close() {
      closed = true;
      socket.end();
      for (const entry of [...waiting.values()]) {
        entry.settle();
        entry.reject(new RevivedError('cancelled', 'The connection to the bus was closed.'));
      }
    },
  };
}

interface Waiting {
  readonly destination: string;
  readonly resolve: (body: readonly unknown[]) => void;
  readonly reject: (error: unknown) => void;
  readonly settle: () => void;
}

// A bus passes on only replies that were asked for; where we know who must answer we look all the same.
function expected(waiting: ReadonlyMap<number, Waiting>, header: Header): Waiting | undefined {
  if (header.type !== messageType.reply && header.type !== messageType.error) return undefined;
  const entry = header.replySerial === undefined ? undefined : waiting.get(header.replySerial);
  if (entry === undefined) return undefined;
  const exact = entry.destination.startsWith(':') || entry.destination === bus.destination;
  const fromBus = header.sender === bus.destination; // it answers for destinations that are gone
  return !exact || fromBus || header.sender === entry.destination ? entry : undefined;
}

function matches(rule: Watch, header: Header): boolean {
  return (
    header.type === messageType.signal &&
    header.sender === rule.sender &&
    header.interface === rule.interface &&
    (rule.member === undefined || header.member === rule.member)
  );
}

function remoteError(name: string | undefined, text: unknown): RevivedError {
  const message = typeof text === 'string' && text !== '' ? text : (name ?? 'unknown error');
  return new RevivedError(codeOfDbusName(name ?? ''), message, undefined, { cause: name });
}
