/**
 * What guests do to cards: hooks and libvirt events, each of which may come late, twice or not at all (facts/libvirt.md
 * 1.4). Every handler is idempotent: it compares the leases with what it is told and does what is missing.
 */
import type { Config } from '../config/config.ts';
import { later, withDeadline } from '../deadline.ts';
import { asRevivedError, RevivedError, sentence } from '../errors.ts';
import type { Host } from '../host/host.ts';
import { type CardAddress, cardOf, type FunctionAddress } from '../pci/address.ts';
import { companions, readInventory } from '../pci/inventory.ts';
import type { DomainBook, DomainNews, KnownDomain } from './domains.ts';
import type { Handover } from './handover.ts';
import type { Homecoming } from './homecoming.ts';
import { readHostNeeds } from './host-needs.ts';
import { adoptedHome, type Lease, type LeaseBook, readHome } from './lease.ts';
import { noteOf, planStart, type StartPlan } from './preflight.ts';
import type { HookCall } from './service.ts';

/** What a domain's XML says, as far as cards are concerned. */
export interface DomainConfig {
  readonly name: string;
  readonly uuid: string;
  /** Functions passed by `<hostdev type='pci'>`. */
  readonly functions: readonly FunctionAddress[];
  /** managed='yes' for all of them: libvirt has promised to give them back to the host. */
  readonly managed?: boolean;
}

export interface GuestParts {
  readonly host: Host;
  readonly leases: LeaseBook;
  readonly handover: Handover;
  readonly homecoming: Homecoming;
  readonly domains: DomainBook;
  readonly config: () => Config;
  readonly readDomain: (xml: string) => DomainConfig;
  /** XML by name or uuid from libvirt; never used for a hook (invariant 1). */
  readonly fetchXml: (domain: string, inactive: boolean) => Promise<string>;
  readonly onCard: (card: CardAddress) => void;
  /** Whether a guest that has stopped crashed, as far as libvirt's events say it; unset: never. */
  readonly crashed?: (uuid: string) => boolean;
}

export interface Guests {
  hook(call: HookCall): Promise<void>;
  /** The plan for a domain's start, and what doctor says of it. Rejects with the refusal. */
  plan(domain: DomainConfig, xml: string): Promise<StartPlan>;
  /** Everything that libvirt has, after each (re)connect. */
  onDomains(domains: readonly KnownDomain[]): void;
  /** The connection to libvirt has ended or stands anew: its list is younger than the starts that are under way. */
  onLibvirtState(): void;
  onNews(news: DomainNews): void;
}

/** A domain that is being started: no word of its end has come since. */
interface Start {
  /** On the clock of performance.now(). */
  readonly since: number;
  /** Its cards are with it, or it was refused. */
  hasEnded: boolean;
  /** The connection to libvirt ended in it, or was made: the next list knows of it, or it is none any more. */
  isCut: boolean;
  /** It came to nothing: what it takes goes home. */
  isOver: boolean;
}

/** libvirt goes on only after `stopped`, so what we do in it is short (invariant 2). */
const stoppedBudgetMs = 5000;
/** A start that has said nothing for this long after its `prepare` is none any more. */
const startMs = 150_000;
/** libvirt's hook gives up after 150 s: the answer must come before. */
const maxPrepareMs = 140_000;
/** On top of the configured waits, for the steps themselves. */
const prepareSlackMs = 20_000;
/** Domains whose XML is asked for at once: libvirt/connection.ts has 256 calls open at most, and others ask too. */
const learnAtOnce = 32;
const cameToNothing = 'its start came to nothing';

/** Builds the handlers. */
export function createGuests(parts: GuestParts): Guests {
  const { host, leases, handover, homecoming, domains, config } = parts;
  const leasesOf = (uuid: string): readonly Lease[] =>
    leases.all().filter((lease) => lease.uuid === uuid);
  const cardsOf = (domain: DomainConfig): readonly CardAddress[] => [
    ...new Set(domain.functions.map(cardOf)),
  ];
  const starting = new Map<string, Start>();
  let latest: readonly KnownDomain[] = [];
  const hasCrashed = (uuid: string): boolean => parts.crashed?.(uuid) === true;
  const quietly = (ended: Promise<void>): void => {
    ended.catch(() => undefined); // its job and the log tell
  };

  const plan = (domain: DomainConfig, xml: string): Promise<StartPlan> =>
    planStart(host, xml, () => ({
      domain: domain.name,
      uuid: domain.uuid,
      requested: domain.functions,
      inventory: readInventory(host.paths.sys),
      leases: leases.all(),
      config: config(),
      needs: readHostNeeds(host.paths),
      reviveMs: config().prepareReviveSeconds * 1000,
    }));

  /** The one hook that blocks, with a bound. Waits for a return of the same card that still runs. */
  const prepare = async (domain: DomainConfig, xml: string): Promise<void> => {
    if (config().unmanagedDomains.has(domain.name)) return;
    const { cards: planned, notes, findings } = await plan(domain, xml);
    for (const note of notes) host.log.info({ domain: domain.name }, note);
    for (const finding of findings) {
      if (finding.severity !== 'note') host.log.info({ domain: domain.name }, noteOf(finding));
    }
    if (planned.length === 0) return;
    const cards = planned.map(({ card }) => card);
    const start = { since: performance.now(), hasEnded: false, isCut: false, isOver: false };
    starting.set(domain.uuid, start);
    const holder = { domain: domain.name, uuid: domain.uuid };
    const { ended } = handover.take(cards, holder, 'hook prepare');
    const taken = ended.finally(() => {
      start.hasEnded = true;
    });
    quietly(
      taken.then(() => {
        if (start.isOver && !starting.has(domain.uuid)) released(domain.uuid, cameToNothing);
      }),
    );
    const waits = (config().prepareReviveSeconds + config().holdersSeconds) * 1000;
    const limit = Math.min(waits + prepareSlackMs, maxPrepareMs);
    const names = cards.map((card) => card.address).join(', ');
    try {
      await withDeadline(ended, limit, `Handing over ${names}`);
    } catch (thrown) {
      const error = asRevivedError(thrown);
      if (error.code !== 'timed-out') throw error;
      // The job goes on. What it has taken when libvirt says `release` for the refused start goes home then; what it
      // takes later (it may wait for a return still) goes home at once, unless the domain is being started again.
      quietly(
        ended.then(() => {
          if (!starting.has(domain.uuid)) released(domain.uuid, 'its start was refused');
        }),
      );
      throw new RevivedError(
        'busy',
        `${error.message} The work goes on in the background.`,
        'See revivectl status, then start the domain again.',
      );
    }
    if (!start.isOver) return;
    throw new RevivedError(
      'cancelled',
      `The start of ${domain.name} came to nothing while its cards were made ready: they go home.`,
      'Start the domain again.',
    );
  };

  /** A start of which libvirt knows nothing: what it has got goes home, and what it takes yet, when it has taken it. */
  const giveUp = (uuid: string, start: Start): void => {
    if (starting.get(uuid) !== start) return;
    starting.delete(uuid);
    start.isOver = true;
    if (start.hasEnded) released(uuid, cameToNothing);
  };

  /** Only for cards that libvirt bound itself: it rebinds them right after (invariant 2). */
  const stopped = async (uuid: string): Promise<void> => {
    const adopted = leasesOf(uuid).filter((lease) => lease.boundBy === 'libvirt');
    const crash = hasCrashed(uuid);
    const revived = adopted.map(
      (lease) => handover.reviveOnly(lease.card, stoppedBudgetMs, 'hook stopped', crash).ended,
    );
    const all = Promise.allSettled(revived).then(() => undefined);
    await withDeadline(all, stoppedBudgetMs, 'Reviving the cards').catch(() => undefined); // libvirt must go on
  };

  /**
   * libvirt's event for a guest that is gone. Hooks and events come by different ways: one that is late must not take the
   * card from the next start of the same domain, whose own `release` is still to come.
   */
  const stoppedEvent = (uuid: string): void => {
    if (!starting.has(uuid)) released(uuid, 'libvirt event stopped');
  };

  /** The guest is gone: its cards come home, in the background. */
  const released = (uuid: string, requestedBy: string, extra = ''): void => {
    starting.delete(uuid);
    const crash = extra === 'crashed' || hasCrashed(uuid);
    for (const lease of leasesOf(uuid)) {
      const { state, card } = lease;
      // One that comes home already, or was left on its way by an attempt that found it in use.
      const isOnItsWay = (state === 'returning' || state === 'resetting') && handover.busy(card);
      if (state !== 'stranded' && !isOnItsWay) {
        homecoming.bring(lease.card, requestedBy, crash);
      }
    }
  };

  /** A running domain with cards that we did not hand over: libvirt bound them while we were away. */
  const adopt = async (domain: DomainConfig): Promise<void> => {
    if (config().unmanagedDomains.has(domain.name)) return;
    const unknown = cardsOf(domain).filter(
      (one) => leases.get(one) === undefined && !handover.busy(one),
    );
    // In every usual start there is a lease: libvirt waits for this answer, so sysfs is not read for nothing.
    if (unknown.length === 0) return;
    const there = readInventory(host.paths.sys);
    for (const address of unknown) {
      const card = there.cards.get(address);
      if (card === undefined) continue;
      const wanted = new Set(domain.functions.filter((fn) => cardOf(fn) === address));
      const moving = { ...card, functions: companions(card, wanted) };
      const found = await readHome(host, moving).catch((error: unknown) => {
        // Its reset hangs. The next news of the domain or list of domains asks again.
        host.log.warn({ card: address }, sentence(asRevivedError(error)));
      });
      // Both may have changed while the kernel was asked.
      if (found === undefined || leases.get(address) !== undefined || handover.busy(address))
        continue;
      await leases.set({
        card: address,
        domain: domain.name,
        uuid: domain.uuid,
        since: Date.now() * 1000,
        state: 'lent',
        boundBy: 'libvirt',
        home: adoptedHome(found, domain.managed === true, leases.all()),
        reason: '',
      });
      host.log.info(
        { domain: domain.name, card: address },
        'Found the card with a running domain: libvirt handed it over and will give it back itself',
      );
      parts.onCard(address);
    }
  };

  /** A return left it behind, and its guest runs with it all the same: it comes home when that has ended. */
  const readopt = (domain: DomainConfig): void => {
    if (starting.has(domain.uuid)) return;
    const passed = new Set(cardsOf(domain));
    for (const lease of leasesOf(domain.uuid)) {
      const { card, state } = lease;
      if (state !== 'stranded' || !passed.has(card) || handover.busy(card)) continue;
      // While a child hangs with it in the kernel, that is what people see of it.
      if (host.stuck.of(card) !== undefined) continue;
      quietly(leases.set({ ...lease, state: 'lent', reason: '' }).then(() => parts.onCard(card)));
    }
  };

  /** Taken from a guest that runs on (detach-device), for which libvirt runs no hook (facts/libvirt.md 1.4). */
  const detached = (domain: DomainConfig, asked: ReadonlySet<Lease>): void => {
    if (starting.has(domain.uuid)) return;
    const passed = new Set(cardsOf(domain));
    for (const lease of leasesOf(domain.uuid)) {
      // What it got after libvirt was asked is not in that answer.
      if (lease.state !== 'lent' || !asked.has(lease) || passed.has(lease.card)) continue;
      homecoming.bring(lease.card, 'it was detached from its domain');
    }
  };

  const learn = async (uuid: string, running: boolean): Promise<void> => {
    const asked = new Set(leasesOf(uuid));
    try {
      const known = parts.readDomain(await parts.fetchXml(uuid, !running));
      domains.setCards(uuid, cardsOf(known));
      // It may have stopped while libvirt made the XML: a lease made now would outlive its guest.
      if (!running || !domains.isActive(uuid)) return;
      readopt(known);
      await adopt(known);
      detached(known, asked);
    } catch (thrown) {
      const why = asRevivedError(thrown).message;
      host.log.debug({ uuid, why }, 'The XML of a domain could not be read, ignoring');
    }
  };

  /** Ends where a younger list has come. */
  const learnAll = async (list: readonly KnownDomain[]): Promise<void> => {
    // Of those that run the cards are out.
    const ordered = [...list].sort((a, b) => Number(b.running) - Number(a.running));
    latest = ordered;
    for (let from = 0; from < ordered.length && latest === ordered; from += learnAtOnce) {
      const batch = ordered.slice(from, from + learnAtOnce);
      await Promise.all(
        batch.map(({ uuid, running }) => learn(uuid, running || domains.isActive(uuid))),
      );
    }
  };

  return {
    plan,
    async hook(call) {
      const domain = parts.readDomain(call.xml);
      if (domain.name !== call.domain) {
        throw new RevivedError(
          'invalid-argument',
          `The XML is that of domain "${domain.name}", not of "${call.domain}".`,
          'Hook call and XML must belong together: this is no call of libvirt.',
        );
      }
      switch (call.operation) {
        case 'prepare':
          domains.setCards(domain.uuid, cardsOf(domain), domain.name);
          return prepare(domain, call.xml);
        case 'started':
        case 'reconnect':
          starting.delete(domain.uuid);
          domains.setState(domain.uuid, domain.name, 'running');
          domains.setCards(domain.uuid, cardsOf(domain));
          return adopt(domain);
        case 'stopped':
          return stopped(domain.uuid);
        case 'release':
          domains.setState(domain.uuid, domain.name, 'shutoff');
          // The reason came with libvirt 10.5 (facts/libvirt.md 1.1).
          return released(domain.uuid, 'hook release', call.extra);
        default:
          throw new RevivedError(
            'invalid-argument',
            `"${call.operation}" is no operation of libvirt's qemu hook that revived serves.`,
            'Known: prepare, started, stopped, release, reconnect.',
          );
      }
    },
    onDomains(list) {
      domains.replace(list);
      const running = new Set(list.filter((one) => one.running).map((one) => one.uuid));
      for (const [uuid, start] of starting) {
        if (running.has(uuid)) continue;
        // To libvirt a domain is paused from before its `prepare` on (facts/libvirt.md 1.2). A list that may be older than the
        // start says nothing of it: look again when it must have come to something.
        const left = startMs - (performance.now() - start.since);
        if (start.isCut || left <= 0) giveUp(uuid, start);
        else {
          later(left, () => {
            if (!domains.isActive(uuid)) giveUp(uuid, start);
          });
        }
      }
      for (const lease of leases.all()) {
        if (lease.uuid === '' || lease.state === 'stranded' || handover.busy(lease.card)) continue;
        if (starting.has(lease.uuid)) continue;
        if (!running.has(lease.uuid)) {
          homecoming.bring(lease.card, 'its domain was found stopped');
        } else if (lease.state !== 'lent') {
          quietly(leases.set({ ...lease, state: 'lent' }));
        }
      }
      quietly(learnAll(list));
    },
    onLibvirtState() {
      for (const start of starting.values()) start.isCut = true;
    },
    onNews(news) {
      switch (news.kind) {
        case 'state':
          domains.setState(news.uuid, news.name, news.state);
          if (news.state === 'shutoff') stoppedEvent(news.uuid);
          else if (news.state === 'running') {
            starting.delete(news.uuid);
            quietly(learn(news.uuid, true));
          }
          return;
        case 'defined':
          domains.setState(news.uuid, news.name, undefined);
          quietly(learn(news.uuid, false));
          return;
        case 'undefined':
          return domains.remove(news.uuid);
        case 'devices':
          quietly(learn(news.uuid, true));
          return;
      }
    },
  };
}
