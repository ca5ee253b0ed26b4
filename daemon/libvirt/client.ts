/**
 * The daemon's line to libvirt: connects, tells what happens, and comes back by itself. After every
 * connect: register first, list afterwards.
 */
import { existsSync, type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { atDeadline } from '../deadline.ts';
import { asRevivedError, RevivedError, sentence } from '../errors.ts';
import type { Log } from '../log.ts';
import { type Connection, openConnection } from './connection.ts';
import { createDomains, type Deadlines, type Domains } from './domains.ts';
import { readEvent } from './event.ts';
import { createHold, type LibvirtEvent, openSession, registerEvents } from './session.ts';
import { callTimings, pings } from './timings.ts';

/** absent: no socket exists; connecting: one does, but nobody answers; connected: calls and events work. */
export type LibvirtState =
  | { readonly state: 'absent' | 'connecting'; readonly reason: RevivedError | null }
  | { readonly state: 'connected'; readonly version: string; readonly socket: string };

export interface LibvirtClient extends Domains {
  start(): void;
  /** Ends the connection; open calls are rejected with `cancelled`. It can be started again. */
  stop(): void;
  state(): LibvirtState;
}

/** All in ms. */
export interface Timings extends Deadlines {
  readonly connect: number;
  readonly ping: number;
  readonly firstRetry: number;
  readonly lastRetry: number;
  /** How long events wait for a snapshot. */
  readonly hold: number;
}

export interface LibvirtClientOptions {
  /** Sockets in order; the first one that exists is used (facts/libvirt.md 3.7). */
  readonly sockets: readonly string[];
  /** `qemu:///system`. */
  readonly uri: string;
  readonly log: Log;
  /** Synchronously from the socket's data: a `synced` snapshot after each connect, then events. */
  readonly onEvent: (event: LibvirtEvent) => void;
  readonly onState: (state: LibvirtState) => void;
  readonly timings?: Partial<Timings>;
}

const defaults: Timings = {
  ...callTimings,
  firstRetry: 100,
  lastRetry: 2500,
  hold: 5000,
};
const maxHeldEvents = 1024;

/** The wait before try number `attempt` (0, 1, ...): doubles from `first` to `last` ms. */
export function retryDelay(attempt: number, first: number, last: number): number {
  return Math.min(last, first * 2 ** Math.min(attempt, 30));
}

/** One start() until its stop(): what is still under way of a stopped one must not touch the next. */
interface Run {
  stopped: boolean;
  /** Tries since a connection last held. */
  attempt: number;
  /** Once it is registered for events. */
  connection: Connection | undefined;
  /** Ends what is under way: the pause, or the connection. */
  interrupt: () => void;
}

/** A client that is not started yet. Its calls reject with `libvirt` while there is no connection. */
export function createLibvirtClient(options: LibvirtClientOptions): LibvirtClient {
  const timings: Timings = { ...defaults, ...options.timings };
  const { log, sockets } = options;
  let state: LibvirtState = { state: 'absent', reason: null };
  let run: Run | undefined;

  const domains = createDomains(() => {
    if (run?.connection !== undefined) return run.connection;
    throw absence(state.state === 'connected' ? null : state.reason);
  }, timings);

  function setState(next: LibvirtState): void {
    const before = state;
    state = next;
    if (next.state === 'connected') {
      log.info({ socket: next.socket, version: next.version }, 'connected to libvirt');
    } else if (
      next.reason !== null &&
      (before.state === 'connected' || before.reason?.message !== next.reason.message)
    ) {
      log.warn({ state: next.state }, sentence(next.reason));
    }
    if (next.state !== before.state) guarded(options.onState, next);
  }

  // A listener that throws is its own problem; the connection goes on.
  function guarded<T>(listener: (value: T) => void, value: T): void {
    try {
      listener(value);
    } catch (error) {
      log.error({ error: String(error) }, 'a listener of libvirt events failed');
    }
  }

  /** One connection, from connect to its end. Returns why it ended; rejects where it never began. */
  async function connectOnce(own: Run, socket: string): Promise<RevivedError> {
    const hold = createHold((event) => guarded(options.onEvent, event), {
      events: maxHeldEvents,
      ms: timings.hold,
    });
    let onEnd: (reason: RevivedError) => void = () => {};
    const ended = new Promise<RevivedError>((resolve) => {
      onEnd = resolve;
    });
    const connection = await openConnection({
      path: socket,
      connectMs: timings.connect,
      pingMs: timings.ping,
      pings,
      onMessage(message, reader) {
        const event = readEvent(message, reader);
        if (event !== null) hold.event(event);
      },
      onClose(reason) {
        own.connection = undefined;
        hold.drop();
        onEnd(reason);
      },
    });
    own.interrupt = () => connection.close(stopped());
    if (own.stopped) own.interrupt();
    try {
      const version = await openSession(connection, options.uri, timings.call);
      await registerEvents(connection, timings.call);
      if (own.stopped) throw stopped();
      own.connection = connection;
      setState({ state: 'connected', version, socket });
      await hold.sync(
        createDomains(() => connection, timings),
        version,
      );
    } catch (error) {
      connection.close(asRevivedError(error));
    }
    return ended;
  }

  async function keepConnected(own: Run): Promise<void> {
    while (!own.stopped) {
      const socket = sockets.find((path) => existsSync(path));
      const began = performance.now();
      const reason =
        socket === undefined
          ? noSocket(sockets)
          : await connectOnce(own, socket).catch((error: unknown) => asRevivedError(error));
      own.connection = undefined;
      if (own.stopped) return;
      setState({ state: socket === undefined ? 'absent' : 'connecting', reason });
      // One that ends as soon as it stands has not earned a quick retry.
      if (performance.now() - began > timings.lastRetry) own.attempt = 0;
      await pause(own);
    }
  }

  /** The back-off; ends at once when one of the sockets is made anew. */
  function pause(own: Run): Promise<void> {
    return new Promise((resolve) => {
      const watchers: FSWatcher[] = [];
      let over = false;
      const end = () => {
        if (over) return;
        over = true;
        stopWaiting();
        for (const watcher of watchers) watcher.close();
        own.interrupt = () => {};
        resolve();
      };
      const delay = retryDelay(own.attempt, timings.firstRetry, timings.lastRetry);
      own.attempt += 1;
      const stopWaiting = atDeadline(delay, end);
      own.interrupt = end;
      const appeared = () => {
        // It may be bound but not listened on yet: the next waits are short again.
        own.attempt = 0;
        end();
      };
      for (const directory of new Set(sockets.map((path) => dirname(path)))) {
        const watcher = watchSockets(directory, sockets, appeared);
        if (watcher !== undefined) watchers.push(watcher);
      }
      if (state.state === 'absent' && sockets.some((path) => existsSync(path))) appeared();
    });
  }

  return {
    ...domains,
    state: () => state,
    start() {
      if (run !== undefined) return;
      run = { stopped: false, attempt: 0, connection: undefined, interrupt: () => {} };
      setState({ state: 'connecting', reason: null });
      void keepConnected(run);
    },
    stop() {
      if (run === undefined) return;
      run.stopped = true;
      run.interrupt();
      run = undefined;
      setState({ state: 'absent', reason: null });
    },
  };
}

// Without the directory (libvirt was never started) or without inotify the back-off alone has to do.
function watchSockets(
  directory: string,
  sockets: readonly string[],
  appeared: () => void,
): FSWatcher | undefined {
  const names = new Set(sockets.filter((p) => dirname(p) === directory).map((p) => basename(p)));
  try {
    const watcher = watch(directory, (event, name) => {
      if (event === 'rename' && name !== null && names.has(name)) appeared();
    });
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}

function noSocket(sockets: readonly string[]): RevivedError {
  return new RevivedError(
    'libvirt',
    `libvirt is not there: none of its sockets exists (${sockets.join(', ')}).`,
    'Install and start libvirtd or virtqemud.',
  );
}

/**
 * What a call says while there is no connection, because of `reason`. How an attempt to connect ended (in a time-out, with an error of
 * libvirt) is not how this call ended: it was not made, and may be when libvirt is back.
 */
function absence(reason: RevivedError | null): RevivedError {
  if (reason?.code === 'refused' || reason?.code === 'cancelled') return reason;
  return new RevivedError(
    'libvirt',
    reason?.message ?? 'There is no connection to libvirt yet.',
    reason?.advice ?? 'Try again in a moment, or look at libvirtd.',
    { cause: reason },
  );
}

function stopped(): RevivedError {
  return new RevivedError(
    'cancelled',
    'The connection to libvirt was closed because revived stops.',
  );
}
