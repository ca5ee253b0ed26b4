/**
 * Watches which display drivers Windows guests have for the cards lent to them: after the installation of one the host has to
 * be rebooted, and nothing else tells. Asks gently: only while the agent is connected, few at a time, less often where it
 * fails, not at all where the guest is no Windows or its agent may not run programs.
 *
 * A change counts when the new version was read twice in a row: the second time soon after the first. A version that comes
 * and goes between two reads of the old one is none. Versions of an earlier boot of the host are remembered, not compared: the
 * reboot that a change would have needed has happened. A driver that is removed is remembered too, and told as no change.
 */
import { atDeadline } from '../deadline.ts';
import { asRevivedError, RevivedError, sentence } from '../errors.ts';
import type { Ledger } from '../host/ledger.ts';
import type { Log } from '../log.ts';
import type { CardAddress } from '../pci/address.ts';
import type { GuestAgent } from './agent.ts';
import {
  type DisplayDriver,
  driversInRegistry,
  driversInWmi,
  registryQueries,
  versionFor,
  wmiQuery,
} from './driver-version.ts';

/** A domain that runs with lent graphics cards. */
interface WatchedDomain {
  readonly uuid: string;
  readonly name: string;
  readonly cards: readonly {
    readonly card: CardAddress;
    /** `1002:731f`, of its display function. */
    readonly id: string;
  }[];
}

/** Versions are as Windows has them; empty: no driver of its own for the card. */
export interface DriverChange {
  readonly uuid: string;
  readonly domain: string;
  readonly card: CardAddress;
  readonly from: string;
  readonly to: string;
  /** Milliseconds since the epoch when `from` was read last in this run; 0: not in this run. */
  readonly oldSeenAt: number;
}

export interface SeenVersion {
  readonly uuid: string;
  readonly domain: string;
  readonly card: CardAddress;
  readonly version: string;
}

export interface DriverWatch {
  /** It runs, and with these cards; again when the cards change. */
  onDomainStarted(domain: WatchedDomain): void;
  onDomainStopped(uuid: string): void;
  onAgent(uuid: string, connected: boolean): void;
  /** News may have been missed: all that runs is asked anew. */
  onResync(): void;
  /** What the guests that run now have, as last read. */
  versions(): readonly SeenVersion[];
  close(): void;
}

export interface Clock {
  /** Calls back after `ms` unless the returned end is called first. */
  after(ms: number, act: () => void): () => void;
  /** Microseconds since the epoch. */
  nowUsec(): number;
}

export const systemClock: Clock = { after: atDeadline, nowUsec: () => Date.now() * 1000 };

export interface DriverWatchParts {
  readonly agent: GuestAgent;
  readonly ledger: Pick<Ledger, 'drivers' | 'setDriver'>;
  /** Seconds between two reads; 0: none. */
  readonly pollSeconds: () => number;
  /** Id of the boot of the host. */
  readonly boot: string;
  readonly log: Log;
  readonly onChange: (change: DriverChange) => void;
  /** `versions` gives something else. */
  readonly onSeen: (uuid: string) => void;
  /** Why a guest cannot be, or is not, watched: for people. Undefined: it can, or need not be. Called again with the same. */
  readonly onNote: (uuid: string, note: string | undefined) => void;
  readonly clock: Clock;
}

/** Guests that are asked at once: libvirt runs five calls of ours at a time, and hanging agents must leave some free. */
const maxAtOnce = 2;
/** A new version is read again after this long, or after the usual time where that is shorter. */
const confirmMs = 5_000;
const firstMs = 1_000;
/** The usual time doubles with each failure, up to this. */
const maxPauseMs = 3_600_000;

interface Watched {
  domain: WatchedDomain;
  /** Undefined: not heard of yet, so it is tried. */
  connected: boolean | undefined;
  /** What has been found out about this connection of the agent: it need not be asked again. */
  verdict: 'unknown' | 'windows' | 'leave';
  failures: number;
  /** Ends the wait for the next read. */
  cancel: () => void;
  reading: boolean;
  readonly seen: Map<CardAddress, string>;
  /** A version read once that is not the one in the ledger. */
  readonly pending: Map<CardAddress, string>;
  /** When the version of the ledger was read last, in ms since the epoch. */
  readonly agreedAt: Map<CardAddress, number>;
}

/** Builds the watch; it does nothing until it hears of a domain. */
export function createDriverWatch(parts: DriverWatchParts): DriverWatch {
  const { agent, ledger, log, clock } = parts;
  const watched = new Map<string, Watched>();
  /** Domains whose turn has come, in order. */
  const queue: string[] = [];
  let atOnce = 0;

  const plan = (uuid: string, ms: number): void => {
    const one = watched.get(uuid);
    if (one === undefined) return;
    one.cancel();
    one.cancel = () => {};
    if (one.connected === false || one.verdict === 'leave' || parts.pollSeconds() === 0) return;
    one.cancel = clock.after(ms, () => {
      if (!queue.includes(uuid)) queue.push(uuid);
      serve();
    });
  };

  const serve = (): void => {
    while (atOnce < maxAtOnce) {
      const uuid = queue.shift();
      if (uuid === undefined) return;
      const one = watched.get(uuid);
      if (one === undefined || one.reading || one.connected === false) continue;
      one.reading = true;
      atOnce += 1;
      void turn(uuid, one);
    }
  };

  const turn = async (uuid: string, one: Watched): Promise<void> => {
    const usual = parts.pollSeconds() * 1000;
    let next = usual;
    try {
      const drivers = await read(uuid, one);
      one.failures = 0;
      // It may have stopped meanwhile, and even run anew: this answer is of its last run.
      if (drivers !== undefined && watched.get(uuid) === one) {
        parts.onNote(uuid, undefined);
        await compare(one, drivers);
      }
      if (one.pending.size > 0) next = Math.min(usual, confirmMs);
    } catch (thrown) {
      failed(uuid, one, asRevivedError(thrown));
      next = Math.min(usual * 2 ** Math.min(one.failures, 20), Math.max(maxPauseMs, usual));
    } finally {
      one.reading = false;
      atOnce -= 1;
      if (watched.get(uuid) === one) plan(uuid, next);
      serve();
    }
  };

  const failed = (uuid: string, one: Watched, error: RevivedError): void => {
    one.failures += 1;
    const fields = { domain: one.domain.name, why: sentence(error) };
    log.debug(fields, 'The display driver of a guest could not be read');
    // libvirt's word for an agent that is not there is said by its own event as well, and is no fault of anybody.
    if (one.failures === 2 && one.connected === true && watched.get(uuid) === one) {
      parts.onNote(uuid, `Its display driver cannot be read: ${sentence(error)}`);
    }
  };

  const leave = (uuid: string, one: Watched, note?: string): undefined => {
    one.verdict = 'leave';
    if (watched.get(uuid) === one) parts.onNote(uuid, note);
    return undefined;
  };

  /** The drivers of the guest; undefined where it is left alone. Rejects where they could not be read. */
  const read = async (
    uuid: string,
    one: Watched,
  ): Promise<readonly DisplayDriver[] | undefined> => {
    if (one.verdict === 'unknown') {
      const { enabled } = await agent.info(uuid);
      if (!enabled.has('guest-get-osinfo')) {
        // Without its version: an agent that calls itself something else each time would fill the log.
        return leave(
          uuid,
          one,
          'Its guest agent does not say which system it is: driver installations are not noticed.',
        );
      }
      if ((await agent.osId(uuid)) !== 'mswindows') return leave(uuid, one);
      if (!enabled.has('guest-exec') || !enabled.has('guest-exec-status')) {
        return leave(
          uuid,
          one,
          'Its guest agent may not run programs (guest-exec is blocked): driver installations are not noticed. Allow it in the guest, or run revivectl reboot arm before you install one.',
        );
      }
      one.verdict = 'windows';
    }
    const outputs: string[] = [];
    for (const query of registryQueries) {
      outputs.push((await agent.exec(uuid, query.path, query.args)).out);
    }
    const found = driversInRegistry(outputs);
    const { cards } = one.domain;
    if (found !== undefined && cards.every(({ id }) => versionFor(id, found) !== undefined)) {
      return found;
    }
    // The registry keeps drivers of cards that were there once; WMI tells of present ones.
    const { out } = await agent.exec(uuid, wmiQuery.path, wmiQuery.args);
    const present = driversInWmi(out);
    if (present === undefined) {
      throw new RevivedError('libvirt', 'Neither reg.exe nor PowerShell gave its display drivers.');
    }
    return present;
  };

  const compare = async (one: Watched, drivers: readonly DisplayDriver[]): Promise<void> => {
    const { uuid, name } = one.domain;
    for (const { card, id } of one.domain.cards) {
      const version = versionFor(id, drivers);
      if (version === undefined) continue; // two cards of a kind with a driver each: not to be told apart
      if (one.seen.get(card) !== version) {
        one.seen.set(card, version);
        parts.onSeen(uuid);
      }
      const last = ledger
        .drivers()
        .find((entry) => entry.uuid === uuid && entry.card === card && entry.id === id);
      const sameBoot = last?.boot === parts.boot;
      if (last?.version === version && sameBoot) {
        one.pending.delete(card);
        one.agreedAt.set(card, clock.nowUsec() / 1000);
        continue;
      }
      if (last !== undefined && sameBoot && one.pending.get(card) !== version) {
        one.pending.set(card, version);
        continue;
      }
      one.pending.delete(card);
      const fields = { domain: name, card, version };
      // One that was removed is no install: that comes next, or never.
      if (last !== undefined && sameBoot && version !== '') {
        log.warn({ ...fields, from: last.version }, 'A guest has got another display driver');
        // Before it is written down: told twice is better than never.
        const oldSeenAt = one.agreedAt.get(card) ?? 0;
        parts.onChange({ uuid, domain: name, card, from: last.version, to: version, oldSeenAt });
      } else log.info(fields, 'The display driver of a guest');
      one.agreedAt.set(card, clock.nowUsec() / 1000);
      await ledger.setDriver({ uuid, card, id, version, boot: parts.boot, since: clock.nowUsec() });
    }
  };

  const forget = (uuid: string): void => {
    const one = watched.get(uuid);
    if (one === undefined) return;
    one.cancel();
    watched.delete(uuid);
    if (one.seen.size > 0) parts.onSeen(uuid);
  };

  /** What was heard of agents before their domain was known to run. */
  const agents = new Map<string, boolean>();
  const maxAgents = 16_384;

  return {
    onDomainStarted(domain) {
      if (domain.cards.length === 0) return forget(domain.uuid);
      const known = watched.get(domain.uuid);
      if (known !== undefined) {
        known.domain = domain;
        return;
      }
      watched.set(domain.uuid, {
        domain,
        connected: agents.get(domain.uuid),
        verdict: 'unknown',
        failures: 0,
        cancel: () => {},
        reading: false,
        seen: new Map(),
        pending: new Map(),
        agreedAt: new Map(),
      });
      plan(domain.uuid, firstMs);
    },
    onDomainStopped(uuid) {
      agents.delete(uuid);
      forget(uuid);
    },
    onAgent(uuid, connected) {
      if (agents.size < maxAgents || agents.has(uuid)) agents.set(uuid, connected);
      const one = watched.get(uuid);
      if (one === undefined) return;
      one.connected = connected;
      // Another system may have booted, or another agent.
      one.verdict = 'unknown';
      one.failures = 0;
      if (connected) plan(uuid, firstMs);
      else one.cancel();
    },
    onResync() {
      agents.clear();
      for (const [uuid, one] of watched) {
        one.connected = undefined;
        one.verdict = 'unknown';
        one.failures = 0;
        plan(uuid, firstMs);
      }
    },
    versions: () =>
      [...watched.values()].flatMap(({ domain: { uuid, name }, seen }) =>
        [...seen].map(([card, version]) => ({ uuid, domain: name, card, version })),
      ),
    close() {
      for (const uuid of [...watched.keys()]) forget(uuid);
    },
  };
}
