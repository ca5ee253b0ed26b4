/**
 * Follows the guests that have lent cards, from libvirt's events and the leases: who runs, whose agent is there, how a run
 * ended; and passes that on to those who act on it. Nothing here is called while a hook waits, but `crashed`.
 */
import type { Config } from '../config/config.ts';
import type { Ledger } from '../host/ledger.ts';
import type { Domains } from '../libvirt/domains.ts';
import type { DomainStatus } from '../libvirt/event.ts';
import { isActive } from '../libvirt/news.ts';
import type { LibvirtEvent } from '../libvirt/session.ts';
import type { Log } from '../log.ts';
import { cardFromHome, type LeaseBook } from '../pipeline/lease.ts';
import type { Finding, Service } from '../pipeline/service.ts';
import { createGuestAgent } from './agent.ts';
import { endOfRun, isReset, isStartDue, type RunEnd, recentStarts } from './crash-policy.ts';
import {
  type Clock,
  createDriverWatch,
  type DriverChange,
  type SeenVersion,
  systemClock,
} from './driver-watch.ts';
import { createRebootActions, guestRebootOf } from './guest-reboot.ts';
import type { Run, RunBook } from './runs.ts';
import { createStartAgain } from './start-again.ts';

export interface FollowParts {
  readonly libvirt: Pick<
    Domains,
    'agentCommand' | 'create' | 'domainState' | 'isPersistent' | 'setRebootAction'
  >;
  /** `<on_reboot>` of the stored definition; null where it says nothing. */
  readonly onReboot: (uuid: string) => Promise<string | null>;
  readonly service: Pick<Service, 'onChange'>;
  readonly leases: Pick<LeaseBook, 'all'>;
  readonly ledger: Pick<Ledger, 'drivers' | 'setDriver'>;
  readonly runs: RunBook;
  readonly config: () => Pick<Config, 'domains' | 'driverPollSeconds'>;
  readonly boot: string;
  readonly log: Log;
  readonly onDriverChange: (change: DriverChange) => void;
  /** A guest resets itself, and will be a stop: before libvirt says that it has stopped. */
  readonly onGuestReset: (uuid: string) => void;
  /** Asked before a domain is started again; false: it stays off, and somebody else sees to it. */
  readonly mayStart: (uuid: string) => boolean;
  /** What `driverVersions` or `findings` give is another now. */
  readonly onView: () => void;
  /** Of the driver watch; the system's where it is left out. */
  readonly clock?: Clock;
}

export interface Follower {
  /** After the pipeline has heard it. */
  onEvent(event: LibvirtEvent): void;
  /** The configuration was read anew. */
  onConfig(): void;
  /** True for a guest that was running and has ended, or is ending, without a word of its QEMU. */
  crashed(uuid: string): boolean;
  driverVersions(): readonly SeenVersion[];
  findings(): readonly Finding[];
  close(): void;
}

type GuestRule = 'guest-agent' | 'guest-reboot' | 'guest-restart';

interface Running {
  readonly name: string;
  readonly id: number | null;
  /** QEMU's first word for why it ends (facts/libvirt.md 1.4 has libvirt's); the second is for libvirt's own signal. */
  goodbye: string | undefined;
}

const nowUsec = () => systemClock.nowUsec();

/** Starts to follow: the leases at once, libvirt with its first snapshot. */
export function followGuests(parts: FollowParts): Follower {
  const { leases, log, runs } = parts;
  const running = new Map<string, Running>();
  /** What a person should know of a guest, by uuid and rule, until it is so no more, its next run or its end. */
  const notes = new Map<string, Map<GuestRule, Finding>>();
  const settingsOf = (name: string) => parts.config().domains.get(name);

  const note = (
    uuid: string,
    rule: GuestRule,
    severity: Finding['severity'],
    message: string,
  ): void => {
    const domain = running.get(uuid)?.name ?? runs.get(uuid)?.name ?? uuid;
    const own = notes.get(uuid) ?? new Map<GuestRule, Finding>();
    // A guest can bring it about again and again: that fills no log.
    if (own.get(rule)?.message === message) return;
    notes.set(uuid, own.set(rule, { rule, severity, subject: `domain:${domain}`, message }));
    log.warn({ domain }, message);
    parts.onView();
  };
  const agentNote = (uuid: string, message: string | undefined): void => {
    if (message !== undefined) note(uuid, 'guest-agent', 'note', message);
    else if (notes.get(uuid)?.delete('guest-agent')) parts.onView();
  };
  const forgetNotes = (uuid: string): void => {
    const had = notes.get(uuid)?.size ?? 0;
    notes.delete(uuid);
    if (had > 0) parts.onView();
  };
  const watch = createDriverWatch({
    agent: createGuestAgent(parts.libvirt),
    ledger: parts.ledger,
    pollSeconds: () => parts.config().driverPollSeconds,
    boot: parts.boot,
    log,
    onChange: parts.onDriverChange,
    onSeen: parts.onView,
    onNote: agentNote,
    clock: parts.clock ?? systemClock,
  });
  const actions = createRebootActions({
    ...{ libvirt: parts.libvirt, onReboot: parts.onReboot, runs, log },
    onNote(uuid, message) {
      // One that has stopped meanwhile needs nothing any more.
      if (running.has(uuid)) note(uuid, 'guest-reboot', 'warning', message);
    },
  });
  const again = createStartAgain({
    ...{ libvirt: parts.libvirt, service: parts.service, leases, runs, log, nowUsec },
    mayStart: parts.mayStart,
    onNote: (uuid, message) => note(uuid, 'guest-restart', 'warning', message),
  });

  /** What is lent to it has changed, or what is wanted of it. */
  const refresh = (uuid: string): void => {
    const guest = running.get(uuid);
    if (guest === undefined) return;
    const { name, id } = guest;
    const lent = leases.all().filter((lease) => lease.uuid === uuid && lease.state === 'lent');
    const cards = lent.flatMap(({ card, home }) => {
      const display = home.functions.find((fn) => fn.classCode.startsWith('03'));
      return display === undefined ? [] : [{ card, id: display.id }];
    });
    const settings = settingsOf(name);
    const watched = settings?.afterDriverInstall === 'off' ? [] : cards;
    watch.onDomainStarted({ uuid, name, cards: watched });
    if (watched.length === 0) agentNote(uuid, undefined);
    // Without a card: also one that is just being stopped, whose reboot must be known as one still.
    if (lent.length === 0) return;
    if (runs.get(uuid) === undefined) {
      const none = { cold: false, due: null, starts: [] };
      void runs.set({ uuid, name, id, running: true, ...none });
    }
    const wanted = guestRebootOf(
      settings,
      lent.map(({ card, home }) => cardFromHome(card, home)),
    );
    void actions.want(uuid, wanted, settings?.guestReboot !== undefined);
  };

  const started = (uuid: string, name: string, id: number | null): void => {
    const run = runs.get(uuid);
    const isSame = run?.running === true && run.id === id;
    // It was about to stop when the daemon before us ended.
    const goodbye = isSame && run.due === 'reboot' ? 'guest-reset' : undefined;
    if (!isSame) forgetNotes(uuid);
    running.set(uuid, {
      name,
      id,
      goodbye: isSame ? (running.get(uuid)?.goodbye ?? goodbye) : undefined,
    });
    if (run !== undefined && !isSame) {
      again.drop(uuid);
      void runs.set({ ...run, name, id, running: true, cold: false, due: null });
    }
    actions.forget(uuid);
    refresh(uuid);
  };

  const leftRunning = (uuid: string): void => {
    running.delete(uuid);
    watch.onDomainStopped(uuid);
    actions.forget(uuid);
  };

  const finish = (run: Run, end: RunEnd): void => {
    const due = isStartDue(end, settingsOf(run.name)) ? end : null;
    const { uuid, name, starts } = run;
    const isWanted = due !== null || recentStarts(starts, nowUsec()).length > 0;
    void (isWanted ? runs.set({ ...run, running: false, cold: false, due }) : runs.drop(uuid));
    if (end === 'crash') {
      const then = due === null ? 'It stays off (restart: never)' : 'It is started again';
      log.warn({ domain: name }, `A guest has crashed, or its QEMU was killed. ${then}`);
    }
    if (due !== null) again.begin(uuid);
  };

  const stopped = (uuid: string, detail: string): void => {
    const goodbye = running.get(uuid)?.goodbye;
    forgetNotes(uuid);
    leftRunning(uuid);
    const run = runs.get(uuid);
    if (run?.running === true) finish(run, endOfRun(run, detail, goodbye));
  };

  /** What has stopped while nobody looked: libvirt tells why in part only (facts/libvirt.md 1.4). */
  const missed = (run: Run, status: DomainStatus): void => {
    if (run.due !== null) {
      void runs.set({ ...run, running: false, cold: false });
      again.begin(run.uuid);
      return;
    }
    if (!run.running) {
      if (recentStarts(run.starts, nowUsec()).length === 0) void runs.drop(run.uuid);
      return;
    }
    const end = endOfRun(run, status.reason, undefined);
    if (end === 'stop' && run.cold) {
      log.info(
        { domain: run.name },
        'A guest stopped while revived was not there: whether it was to reboot is not known, so it stays off',
      );
    }
    finish(run, end);
  };

  const synced = (domains: readonly DomainStatus[]): void => {
    const listed = new Map(domains.map((domain) => [domain.uuid, domain]));
    const isRunning = (uuid: string) => isActive(listed.get(uuid)?.state ?? 'shutoff');
    for (const uuid of [...running.keys()]) if (!isRunning(uuid)) leftRunning(uuid);
    for (const uuid of [...notes.keys()]) {
      // That it could not be started again stays with a domain that is off.
      if (!isRunning(uuid)) agentNote(uuid, undefined);
      if (!listed.has(uuid)) forgetNotes(uuid);
    }
    for (const run of runs.all()) {
      const status = listed.get(run.uuid);
      if (status === undefined) void runs.drop(run.uuid);
      else if (!isActive(status.state)) missed(run, status);
    }
    for (const { uuid, name, id } of domains) if (isRunning(uuid)) started(uuid, name, id);
    watch.onResync();
  };

  const goodbye = (uuid: string, reason: string): void => {
    const guest = running.get(uuid);
    if (guest === undefined || guest.goodbye !== undefined) return;
    guest.goodbye = reason;
    const run = runs.get(uuid);
    if (!isReset(reason) || run?.running !== true || !run.cold) return;
    void runs.set({ ...run, due: 'reboot' });
    parts.onGuestReset(uuid);
  };

  const end = parts.service.onChange((change) => {
    if (change.kind === 'domain') refresh(change.uuid);
  });

  return {
    onEvent(event) {
      if (event.kind === 'synced') return synced(event.domains);
      const { uuid, name, id } = event.domain;
      switch (event.kind) {
        case 'lifecycle':
          if (event.event === 'started') started(uuid, name, id);
          if (event.event === 'shutdown') goodbye(uuid, 'shutdown');
          if (event.event === 'stopped') stopped(uuid, event.detail);
          if (event.event === 'undefined' && !running.has(uuid)) {
            again.drop(uuid);
            forgetNotes(uuid);
            void runs.drop(uuid);
          }
          return;
        case 'ending':
          return goodbye(uuid, event.reason);
        case 'agent':
          return watch.onAgent(uuid, event.state === 'connected');
        default:
          return;
      }
    },
    onConfig() {
      watch.onResync();
      for (const uuid of running.keys()) {
        actions.forget(uuid);
        refresh(uuid);
      }
    },
    crashed(uuid) {
      const guest = running.get(uuid);
      return guest !== undefined && (guest.goodbye ?? 'guest-panic') === 'guest-panic';
    },
    driverVersions: () => watch.versions(),
    findings: () => [...notes.values()].flatMap((own) => [...own.values()]),
    close() {
      end();
      again.close();
      watch.close();
    },
  };
}
