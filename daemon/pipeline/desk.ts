/**
 * The desk: implements the pipeline for the front doors. Shows the views, passes hooks and libvirt's news to `guests`, and decides
 * whether what a person asks for may be done now.
 */
import type { Config } from '../config/config.ts';
import { later, waitFor } from '../deadline.ts';
import { asRevivedError, RevivedError, sentence } from '../errors.ts';
import type { Host } from '../host/host.ts';
import { medianMs } from '../host/outcome.ts';
import type { CardAddress } from '../pci/address.ts';
import type { Health } from '../pci/health.ts';
import { type Card, isInteresting, readInventory } from '../pci/inventory.ts';
import { createInventoryCache } from '../pci/inventory-cache.ts';
import { isRungName, type RungName } from '../pci/rung-name.ts';
import { refuseVirtual } from '../pci/sriov.ts';
import { rungAgainst } from '../reset/revive.ts';
import { checkCard } from '../reset/verify.ts';
import type { LeftOver } from '../sysfs/left-over.ts';
import { createDomainBook, type DomainNews, type KnownDomain } from './domains.ts';
import { createGuests, type DomainConfig } from './guests.ts';
import { createHandover, type Started } from './handover.ts';
import { createHomecoming } from './homecoming.ts';
import { readHostNeeds, refuseByHand } from './host-needs.ts';
import { createJobBook } from './job.ts';
import type { Journal } from './journal.ts';
import type { Stamp } from './journal-entry.ts';
import { cardFromHome, type Lease, type LeaseBook } from './lease.ts';
import { planPrepare } from './plan.ts';
import { recoverPast } from './recover.ts';
import { kernelFindings, logFindings, quarantineFindings } from './recovery.ts';
import type { Change, Finding, Pipeline, PipelineManager, RungView } from './service.ts';
import { type CardSources, cardView, planReturnView, resetLadder, startView } from './views.ts';

export interface DeskParts {
  readonly host: Host;
  readonly leases: LeaseBook;
  readonly journal: Journal;
  readonly stamp: Stamp;
  readonly version: string;
  readonly config: () => Config;
  readonly reload: () => Promise<void>;
  readonly readDomain: (xml: string) => DomainConfig;
  readonly libvirtState: () => Pick<PipelineManager, 'libvirt' | 'libvirtVersion'>;
  /** XML by name or uuid, as the next start will use it or as it runs. Rejects with `not-found`, `libvirt`, `timed-out`. */
  readonly fetchXml: (domain: string, inactive: boolean) => Promise<string>;
  /** What is to be said about guests. */
  readonly guestFindings?: () => readonly Finding[];
  /** Whether a guest that has stopped crashed, as far as libvirt's events say it. */
  readonly crashed?: (uuid: string) => boolean;
}

export interface Desk extends Pipeline {
  onDomains(domains: readonly KnownDomain[]): void;
  onNews(news: DomainNews): void;
  onLibvirtState(): void;
  /** A child that hung in the kernel came back. */
  onFreed(card: CardAddress): void;
  /** What a daemon before us, or a boot before this one, had in hand: brought to an end, or remembered. Call it first. */
  recover(leftOver?: readonly LeftOver[]): Promise<void>;
  /** First checks of the cards that people care about; nothing that sleeps is woken. */
  checkAll(): Promise<void>;
  /** Waits for running jobs, at most `ms`: used at the end of the process. */
  settle(ms: number, intervalMs?: number): Promise<void>;
}

/** How long the cards that were left half-way wait for libvirt to say which domains run. */
const libvirtListMs = 8_000;
const maxListeners = 64;

/** Builds the desk. Nothing runs before the first request. */
export function createDesk(parts: DeskParts): Desk {
  const { host, leases, journal, config } = parts;
  /** libvirt has said what runs. */
  let listed = false;
  const listeners = new Set<(change: Change) => void>();
  const health = new Map<CardAddress, Health>();
  const tell = (change: Change): void => {
    for (const listener of listeners) listener(change);
  };

  const inventory = createInventoryCache(host.paths.sys);
  const cardChanged = (address: CardAddress): void => {
    inventory.forget();
    tell({ kind: 'card', address });
  };

  const jobs = createJobBook(journal.past.lastJob + 1, (id, cards) => {
    tell({ kind: 'job', id });
    for (const address of cards) cardChanged(address);
    tell({ kind: 'manager' });
  });
  const domains = createDomainBook((uuid) => tell({ kind: 'domain', uuid }));
  const handover = createHandover({
    host,
    leases,
    jobs,
    journal,
    config,
    onHealth(card, verdict) {
      health.set(card, verdict);
      cardChanged(card);
    },
    onLease(card) {
      cardChanged(card);
      for (const { uuid } of domains.all()) tell({ kind: 'domain', uuid });
    },
    onHang: (card) => homecoming.afterHang(card),
    refuseUndoable: (card, order) => refuseUndoable(card, order),
    hadGuest: ({ uuid, since, boundBy }) =>
      uuid !== '' && (boundBy === 'libvirt' || domains.activeAt(uuid) >= since),
  });
  host.risk.onMark(() => tell({ kind: 'manager' }));
  const homecoming = createHomecoming({ host, leases, handover, isActive: domains.isActive });
  const guests = createGuests({
    host,
    leases,
    handover,
    homecoming,
    domains,
    config,
    readDomain: parts.readDomain,
    fetchXml: parts.fetchXml,
    ...(parts.crashed === undefined ? {} : { crashed: parts.crashed }),
    onCard: cardChanged,
  });

  const sources = (): CardSources => ({
    sys: host.paths.sys,
    inventory: inventory.read(),
    leases: new Map(leases.all().map((lease) => [lease.card, lease])),
    health,
    jobs: jobs.all(),
    config: config(),
    against: (card, rung) => rungAgainst(host, card, rung),
    outcomes: host.ledger.outcomes(),
    kernel: host.kernel,
  });
  const cardOrThrow = (address: CardAddress): Card => {
    const lease = leases.get(address);
    const card =
      inventory.read().cards.get(address) ?? (lease && cardFromHome(address, lease.home));
    if (card !== undefined) return card;
    throw new RevivedError(
      'not-found',
      `There is no card ${address} on this host.`,
      'See revivectl list --all.',
    );
  };
  const started = ({ job, ended }: Started): number => {
    ended.catch(() => undefined); // its job and the log tell
    return job;
  };

  /** Nothing is reset or moved while somebody uses it or a job has it (invariant 5). */
  const refuseInUse = (address: CardAddress): void => {
    if (handover.busy(address)) {
      const job = jobs.running().find((one) => one.cards.includes(address));
      throw new RevivedError(
        'busy',
        `Card ${address} is being worked on (job ${job?.id ?? '?'}: ${job?.operation ?? '?'}).`,
        'Wait until that has ended: revivectl monitor.',
      );
    }
    const pid = host.stuck.of(address);
    if (pid !== undefined) {
      throw new RevivedError(
        'refused',
        `Card ${address} is wedged: child ${pid} hangs in the kernel with it (D state).`,
        'Nothing risky is done to it until that child returns; if it never does, reboot the host.',
      );
    }
    const lease = leases.get(address);
    if (lease === undefined || lease.state === 'stranded') return;
    throw new RevivedError(
      'refused',
      `Card ${address} is ${lease.domain === '' ? 'taken by hand' : `with domain ${lease.domain}`}: nothing is reset or moved while somebody uses it.`,
      lease.domain === ''
        ? `Give it back first: revivectl return ${address}`
        : `Stop domain ${lease.domain} first.`,
    );
  };

  const refuseAtRisk = (): void => {
    const risk = host.risk.reason();
    if (risk !== '') {
      throw new RevivedError(
        'refused',
        `No card is reset while the host is at risk (${risk}).`,
        'Look at the kernel log. When the host is well: revivectl quarantine clear host',
      );
    }
  };
  /** What cannot be done is refused before the card is taken from anybody. */
  const refuseUndoable = (
    address: CardAddress,
    order: readonly RungName[] | null,
    ladder: readonly RungView[] = cardView(address, sources())?.ladder ?? [],
  ): void => {
    const asked = ladder.filter(
      ({ rung }) => order === null || order.some((name) => name === rung),
    );
    if (asked.some((entry) => entry.available)) return;
    const why = asked.map((entry) => `${entry.rung}: ${entry.reason}`).join('; ');
    throw new RevivedError(
      'refused',
      `Card ${address} cannot be reset ${order === null ? '' : 'like this '}here and now: ${why || 'the rung is not in its ladder'}.`,
      `See the ladder in: revivectl show ${address}`,
    );
  };

  return {
    manager: () => ({
      version: parts.version,
      ...parts.libvirtState(),
      iommu: inventory.read().iommu === true,
      runningJobs: jobs.running().length,
      hostAtRisk: host.risk.reason(),
      findings: [
        ...logFindings(host.kernelLog.unreadable()),
        ...kernelFindings(host.ledger.kernels(), host.kernel),
        ...quarantineFindings(host.ledger.quarantine(), host.kernel),
        ...(parts.guestFindings?.() ?? []),
      ],
      quarantine: host.ledger.quarantine().map(({ card, kind, name, kernel, since }) => {
        const active = kernel === host.kernel;
        return { card, kind, name, kernel, active, sinceUsec: since };
      }),
    }),
    cards() {
      const all = sources();
      const addresses = new Set([...all.inventory.cards.keys(), ...all.leases.keys()]);
      return [...addresses].sort().flatMap((address) => cardView(address, all) ?? []);
    },
    domains: () =>
      domains.all().map((domain) => {
        const lent = leases.all().filter((lease) => lease.uuid === domain.uuid);
        const cards = new Set([...lent.map((lease) => lease.card), ...domain.cards]);
        return { ...domain, cards: [...cards].sort() };
      }),
    jobs: () => jobs.all(),
    onChange(listener) {
      if (listeners.size >= maxListeners) {
        throw new RevivedError('limit-exceeded', 'Too many listeners.');
      }
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    hook: (call) => guests.hook(call),
    async plan(domain, operation) {
      const xml = await parts.fetchXml(domain, true);
      const known = parts.readDomain(xml);
      if (operation === 'return') {
        const own = leases.all().filter((lease) => lease.uuid === known.uuid);
        return planReturnView(known.name, own, config());
      }
      try {
        return startView(known.name, await guests.plan(known, xml));
      } catch (thrown) {
        const refusal = sentence(asRevivedError(thrown));
        return { domain: known.name, operation, refusal, notes: [], steps: [] };
      }
    },
    reset(address, rung, requestedBy) {
      const card = cardOrThrow(address);
      if (rung !== null && !isRungName(rung)) {
        throw new RevivedError(
          'invalid-argument',
          `There is no rung "${rung}".`,
          `See the ladder in: revivectl show ${address}`,
        );
      }
      refuseInUse(address);
      refuseByHand(card, readHostNeeds(host.paths));
      refuseVirtual(card, readInventory(host.paths.sys));
      refuseAtRisk();
      const order = rung === null ? null : [rung];
      refuseUndoable(address, order, resetLadder(address, sources()));
      return started(handover.reset(card, order, requestedBy));
    },
    take(address, requestedBy) {
      const card = cardOrThrow(address);
      refuseInUse(address);
      refuseByHand(card, readHostNeeds(host.paths));
      const { cards } = planPrepare({
        domain: '(by hand)',
        uuid: '',
        requested: card.functions.map((fn) => fn.address),
        inventory: readInventory(host.paths.sys),
        leases: leases.all(),
        config: config(),
        needs: readHostNeeds(host.paths),
        reviveMs: 0,
      });
      const moving = cards.map((one) => one.card);
      return started(handover.take(moving, { domain: '', uuid: '' }, requestedBy));
    },
    giveBack(address, requestedBy) {
      cardOrThrow(address);
      const lease = leases.get(address);
      if (lease === undefined)
        throw new RevivedError('refused', `Card ${address} is at home already.`);
      const domain = domains.all().find((one) => lease.uuid !== '' && one.uuid === lease.uuid);
      if (domain !== undefined && domain.state !== 'shutoff' && domain.state !== 'crashed') {
        throw new RevivedError(
          'refused',
          `Card ${address} is with domain ${lease.domain}, which is ${domain.state}.`,
          'Stop the domain; the card then comes home by itself.',
        );
      }
      const begun = handover.giveBack(address, requestedBy);
      homecoming.watch(address, begun.ended);
      return begun.job;
    },
    cancel: (id) => jobs.cancel(id),
    async check(address) {
      const verdict = await checkCard(host, cardOrThrow(address));
      health.set(address, verdict);
      cardChanged(address);
      return verdict;
    },
    history: (limit) => journal.jobs(Math.max(1, Math.min(1000, limit))),
    outcomes: () =>
      host.ledger.outcomes().map(({ ms, last, ...outcome }) => {
        return { ...outcome, medianMs: medianMs(ms), lastUsec: last };
      }),
    reload: () => parts.reload(),
    async clearQuarantine(card, name) {
      const cleared = await host.ledger.clearQuarantine(
        (entry) => (card === null || entry.card === card) && (name === null || entry.name === name),
      );
      host.log.warn({ card, name, cleared }, 'Quarantine was cleared by hand');
      tell({ kind: 'manager' });
      for (const address of inventory.read().cards.keys()) tell({ kind: 'card', address });
      return cleared;
    },
    async clearHostRisk() {
      const cleared = await host.risk.clear();
      if (cleared) host.log.warn({}, 'That the host is at risk was cleared by hand');
      tell({ kind: 'manager' });
      return cleared;
    },
    onDomains(list) {
      listed = true;
      guests.onDomains(list);
      tell({ kind: 'manager' });
    },
    onNews: (news) => guests.onNews(news),
    onLibvirtState() {
      guests.onLibvirtState();
      tell({ kind: 'manager' });
    },
    onFreed(card) {
      host.log.warn({ card }, 'A child that hung in the kernel with this card has returned');
      if (host.stuck.of(card) === undefined) {
        // What the child hung in stayed open until now (runner.ts).
        void journal.endOpen(card, 'its child hung in the kernel and has returned');
        homecoming.look();
      }
      cardChanged(card);
    },
    async recover(leftOver = []) {
      const { stamp } = parts;
      await recoverPast({ host, leases, journal, stamp, lost: leases.lost, leftOver });
      const halfWay = (isWanted: (lease: Lease) => boolean): void => {
        for (const lease of leases.all()) {
          const hangs = host.stuck.of(lease.card) !== undefined;
          if (lease.state === 'stranded' && hangs) homecoming.afterHang(lease.card);
          if (lease.state === 'lent' || lease.state === 'stranded') continue;
          if (!isWanted(lease) || handover.busy(lease.card)) continue;
          homecoming.bring(lease.card, 'it was left half-way by a daemon before this one');
        }
      };
      halfWay((lease) => lease.uuid === '');
      // A domain's: libvirt may be starting it right now, and tells so with its first list. Without libvirt nobody is.
      const before = new Set(leases.all());
      later(libvirtListMs, () => {
        if (!listed) halfWay((lease) => before.has(lease));
      });
      tell({ kind: 'manager' });
    },
    async checkAll() {
      for (const card of inventory.read().cards.values()) {
        const lent = leases.get(card.address) !== undefined;
        if (!(isInteresting(card) || lent) || handover.busy(card.address)) continue;
        const verdict = await checkCard(host, card);
        // A job that came in between knows better.
        if (!handover.busy(card.address)) health.set(card.address, verdict);
        tell({ kind: 'card', address: card.address });
      }
    },
    async settle(ms, intervalMs = 50) {
      await waitFor(() => (jobs.running().length === 0 ? true : undefined), ms, intervalMs);
    },
  };
}
