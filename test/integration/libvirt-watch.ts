/** A client of ours that remembers what it heard, for tests against a real libvirtd. */
import type { TestContext } from 'node:test';
import {
  createLibvirtClient,
  type LibvirtClient,
  type LibvirtState,
  type Timings,
} from '../../daemon/libvirt/client.ts';
import type { LibvirtEvent } from '../../daemon/libvirt/session.ts';
import { createLog } from '../../daemon/log.ts';
import type { Uri } from './libvirtd.ts';

export interface Watch {
  readonly client: LibvirtClient;
  readonly events: LibvirtEvent[];
  readonly states: LibvirtState[];
  readonly lines: string[];
  /** Resolves when the condition holds; looked at after each event, state or log line. */
  until(condition: () => boolean): Promise<void>;
  /** Resolves with the next snapshot that comes after the `count` events heard so far. */
  synced(count?: number): Promise<Extract<LibvirtEvent, { kind: 'synced' }>>;
}

/** Starts one; it is stopped when the test ends. */
export function watchLibvirt(
  t: TestContext,
  socket: string,
  uri: Uri,
  timings: Partial<Timings> = {},
): Watch {
  const events: LibvirtEvent[] = [];
  const states: LibvirtState[] = [];
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const look = () => {
    for (const one of waiting) one();
  };
  const keep =
    <T>(list: T[]) =>
    (item: T) => {
      list.push(item);
      look();
    };
  const client = createLibvirtClient({
    sockets: [socket],
    uri,
    log: createLog('text', 'info', keep(lines)),
    onEvent: keep(events),
    onState: keep(states),
    timings,
  });
  t.after(() => client.stop());
  client.start();
  const until = (condition: () => boolean) =>
    new Promise<void>((resolve) => {
      const one = () => {
        if (!condition()) return;
        waiting.delete(one);
        resolve();
      };
      waiting.add(one);
      one();
    });
  return {
    ...{ client, events, states, lines, until },
    async synced(count = 0) {
      const find = () => events.slice(count).find((event) => event.kind === 'synced');
      await until(() => find() !== undefined);
      const found = find();
      if (found?.kind !== 'synced') throw new Error('no snapshot');
      return found;
    },
  };
}

/** Events in one word each: `started/booted`, `agent/disconnected`, `device-added/rng0`, ... */
export function words(events: readonly LibvirtEvent[], name?: string): readonly string[] {
  return events.flatMap((event) => {
    if (event.kind === 'synced') return ['synced'];
    if (name !== undefined && event.domain.name !== name) return [];
    switch (event.kind) {
      case 'lifecycle':
        return [`${event.event}/${event.detail}`];
      case 'agent':
        return [`agent/${event.state}`];
      case 'reboot':
        return ['reboot'];
      case 'ending':
        return [`ending/${event.reason}`];
      default:
        return [`${event.kind}/${event.alias}`];
    }
  });
}
