/**
 * What happens on a fresh connection, in this order: authenticate, open, register for events, list. Events
 * that come while the list is made are held back, so that the snapshot is followed by what came after it and
 * nothing falls between the two (facts/libvirt.md 2).
 */
import { atDeadline } from '../deadline.ts';
import { RevivedError } from '../errors.ts';
import type { Connection } from './connection.ts';
import type { Domains } from './domains.ts';
import type { DomainEvent, DomainStatus } from './event.ts';
import { authTypes, events, LibvirtError, monitorEvent, procedures } from './protocol.ts';

/** Authenticates and opens `uri`. Returns libvirt's version (`9.0.0`). Rejects with `refused` or `libvirt`. */
export async function openSession(
  connection: Connection,
  uri: string,
  timeoutMs: number,
): Promise<string> {
  // Not a formality: for root this call is what authenticates (facts/libvirt.md 3.6).
  const types = await connection.call(
    procedures.authList,
    () => {},
    (r) => Array.from({ length: r.count(maxAuthTypes, 'kinds of authentication') }, () => r.u32()),
    timeoutMs,
  );
  if (!types.includes(authTypes.none)) {
    if (!types.includes(authTypes.polkit)) {
      throw new RevivedError(
        'refused',
        'libvirt asks for a password (SASL) on its local socket, which revived cannot give.',
        'Set auth_unix_rw to "none" or "polkit" in libvirtd.conf or virtqemud.conf.',
      );
    }
    await connection.call(
      procedures.authPolkit,
      () => {},
      (r) => r.i32(),
      timeoutMs,
    );
  }
  await connection.call(
    procedures.open,
    (w) => w.optionalString(uri).u32(0),
    () => {},
    timeoutMs,
  );
  const version = await connection.call(
    procedures.libVersion,
    () => {},
    (r) => r.u64(),
    timeoutMs,
  );
  return [version / 1_000_000, (version / 1000) % 1000, version % 1000].map(Math.floor).join('.');
}

const maxAuthTypes = 20;

/** Registers for the events of all domains that revived reads. */
export async function registerEvents(connection: Connection, timeoutMs: number): Promise<void> {
  await Promise.all(
    Object.values(events).map(({ id }) =>
      connection.call(
        procedures.registerEvent,
        (w) => w.i32(id).u32(0),
        (r) => r.i32(),
        timeoutMs,
      ),
    ),
  );
  // Only the qemu driver has it; on a connection to another one there are no such guests.
  await connection
    .call(
      procedures.registerMonitorEvent,
      (w) => w.u32(0).optionalString(monitorEvent.name).u32(0),
      (r) => r.i32(),
      timeoutMs,
    )
    .catch((error: unknown) => {
      if (!(error instanceof LibvirtError)) throw error;
    });
}

/** What comes out of a session, in order: a snapshot, then what has happened since. */
export type LibvirtEvent =
  | {
      readonly kind: 'synced';
      readonly version: string;
      readonly domains: readonly DomainStatus[];
    }
  | DomainEvent;

/** Puts the snapshot before the events that came while it was made. */
export interface Hold {
  /** An event from the connection. */
  event(event: DomainEvent): void;
  /** Makes the snapshot (again, while events could not be held) and delivers it. */
  sync(domains: Pick<Domains, 'list'>, version: string): Promise<void>;
  /** Forgets what is held; nothing is delivered any more. */
  drop(): void;
}

/** A hook can block the list for as long as it runs (facts/libvirt.md 1.5); events are not held that long. */
export interface HoldLimits {
  readonly events: number;
  readonly ms: number;
}

/** Lists made before a snapshot is given that may lack the last events. */
const maxLists = 5;

/** A hold that is closed at first: events wait for the first snapshot. */
export function createHold(deliver: (event: LibvirtEvent) => void, limits: HoldLimits): Hold {
  // Held from the first moment: an event can come between the answers to two registrations.
  let held: DomainEvent[] | undefined = [];
  let dropped = false;
  let endLimit = () => {};

  function release(): void {
    endLimit();
    const events = held ?? [];
    held = undefined;
    for (const event of events) if (!dropped) deliver(event);
  }

  return {
    event(event) {
      if (dropped) return;
      if (held === undefined) return deliver(event);
      held.push(event);
      if (held.length >= limits.events) release();
    },
    async sync(domains, version) {
      for (let left = maxLists; ; left -= 1) {
        held ??= [];
        endLimit = atDeadline(limits.ms, release);
        const found = await domains.list();
        if (dropped) return;
        // Events went out before this list was whole: it may be older than they are.
        if (held === undefined && left > 1) continue;
        deliver({ kind: 'synced', version, domains: found });
        return release();
      }
    },
    drop() {
      dropped = true;
      endLimit();
      held = undefined;
    },
  };
}
