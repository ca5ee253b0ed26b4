/**
 * Follows the guests that have lent cards, from libvirt's events and the leases: who runs, whose agent is there, how a run
 * ended; and passes that on to those who act on it. Nothing here is called from a hook.
 */
import type { Ledger } from '../host/ledger.ts';
import type { Domains } from '../libvirt/domains.ts';
import { isActive } from '../libvirt/news.ts';
import type { LibvirtEvent } from '../libvirt/session.ts';
import type { Log } from '../log.ts';
import type { LeaseBook } from '../pipeline/lease.ts';
import type { Finding, Service } from '../pipeline/service.ts';
import { createGuestAgent } from './agent.ts';
import {
  createDriverWatch,
  type DriverChange,
  type SeenVersion,
  systemClock,
} from './driver-watch.ts';

export interface FollowParts {
  readonly libvirt: Pick<Domains, 'agentCommand'>;
  readonly service: Pick<Service, 'onChange'>;
  readonly leases: Pick<LeaseBook, 'all'>;
  readonly ledger: Pick<Ledger, 'drivers' | 'setDriver'>;
  readonly driverPollSeconds: () => number;
  readonly boot: string;
  readonly log: Log;
  readonly onDriverChange: (change: DriverChange) => void;
}

export interface Follower {
  /** After the pipeline has heard it. */
  onEvent(event: LibvirtEvent): void;
  /** The configuration was read anew. */
  onConfig(): void;
  driverVersions(): readonly SeenVersion[];
  findings(): readonly Finding[];
  close(): void;
}

/** Starts to follow: the leases at once, libvirt with its first snapshot. */
export function followGuests(parts: FollowParts): Follower {
  const { leases, log } = parts;
  /** Names of the domains that run, by uuid. */
  const running = new Map<string, string>();
  /** What a person should know of a guest, by uuid, until its next run. */
  const notes = new Map<string, string>();

  const watch = createDriverWatch({
    agent: createGuestAgent(parts.libvirt),
    ledger: parts.ledger,
    pollSeconds: parts.driverPollSeconds,
    boot: parts.boot,
    log,
    onChange: parts.onDriverChange,
    onNote(uuid, note) {
      const domain = running.get(uuid) ?? '';
      notes.set(uuid, note);
      log.warn({ domain }, note);
    },
    clock: systemClock,
  });

  const refresh = (uuid: string): void => {
    const name = running.get(uuid);
    if (name === undefined) return;
    const lent = leases.all().filter((lease) => lease.uuid === uuid && lease.state === 'lent');
    const cards = lent.flatMap(({ card, home }) => {
      const display = home.functions.find((fn) => fn.classCode.startsWith('03'));
      return display === undefined ? [] : [{ card, id: display.id }];
    });
    watch.onDomainStarted({ uuid, name, cards });
  };
  const started = (uuid: string, name: string): void => {
    running.set(uuid, name);
    refresh(uuid);
  };
  const stopped = (uuid: string): void => {
    running.delete(uuid);
    notes.delete(uuid);
    watch.onDomainStopped(uuid);
  };

  const end = parts.service.onChange((change) => {
    if (change.kind === 'domain') refresh(change.uuid);
  });

  return {
    onEvent(event) {
      switch (event.kind) {
        case 'synced': {
          const active = new Map(
            event.domains.flatMap(({ uuid, name, state }) =>
              isActive(state) ? [[uuid, name] as const] : [],
            ),
          );
          for (const uuid of [...running.keys()]) if (!active.has(uuid)) stopped(uuid);
          for (const [uuid, name] of active) started(uuid, name);
          watch.onResync();
          return;
        }
        case 'lifecycle': {
          const { uuid, name } = event.domain;
          if (event.event === 'started') started(uuid, name);
          if (event.event === 'stopped') stopped(uuid);
          return;
        }
        case 'agent':
          return watch.onAgent(event.domain.uuid, event.state === 'connected');
        default:
          return;
      }
    },
    onConfig: () => watch.onResync(),
    driverVersions: () => watch.versions(),
    findings: () =>
      [...notes].map(([uuid, note]) => ({
        rule: 'guest-agent',
        severity: 'note',
        subject: `domain:${running.get(uuid) ?? uuid}`,
        message: note,
      })),
    close() {
      end();
      watch.close();
    },
  };
}
