/**
 * Handing cards over and taking them back, as jobs: one owner per card (its lock), the lease on disk before the first step
 * and after the last one. Who asks, and why, is the desk's business.
 */
import type { Config } from '../config/config.ts';
import { atDeadline } from '../deadline.ts';
import { asRevivedError, RevivedError, sentence } from '../errors.ts';
import type { Host } from '../host/host.ts';
import { createLock, type Lock } from '../host/lock.ts';
import { refuseStuck } from '../host/stuck.ts';
import type { CardAddress } from '../pci/address.ts';
import type { Health } from '../pci/health.ts';
import { type Card, readInventory, refresh } from '../pci/inventory.ts';
import type { RungName } from '../pci/rung-name.ts';
import { checkCard } from '../reset/verify.ts';
import { type Job, type JobBook, logEnd } from './job.ts';
import type { Journal } from './journal.ts';
import {
  anyDriver,
  beforeLeases,
  cardFromHome,
  type Home,
  type Lease,
  type LeaseBook,
  maxTextLength,
  readHome,
  stillLent,
  withoutShared,
} from './lease.ts';
import { mend, methodMendSteps, powerMendSteps } from './mend.ts';
import {
  detachSteps,
  moduleSteps,
  planReturn,
  type Reset,
  refuseForeignLease,
  takeSteps,
} from './plan.ts';
import { isLeftBehind, never, runSteps } from './runner.ts';
import type { Step } from './step.ts';
import { driversOf } from './steps/unbind.ts';

export interface HandoverParts {
  readonly host: Host;
  readonly leases: LeaseBook;
  readonly jobs: JobBook;
  readonly journal: Journal;
  readonly config: () => Config;
  /** Hears of each new verdict. */
  readonly onHealth: (card: CardAddress, health: Health) => void;
  readonly onLease: (card: CardAddress) => void;
  /** It is stranded because a child hangs with it. */
  readonly onHang: (card: CardAddress) => void;
  /** Throws `refused` with the reason where none of these rungs (null: of its ladder) can be done to the card as things are. */
  readonly refuseUndoable: (card: CardAddress, order: readonly RungName[] | null) => void;
  /** True when the domain of a lease has run with it. */
  readonly hadGuest: (lease: Lease) => boolean;
}

interface Holder {
  /** Both empty for a person. */
  readonly domain: string;
  readonly uuid: string;
}

export interface Handover {
  /** True while a job works on the card or waits for it. */
  busy(card: CardAddress): boolean;
  /** Takes all cards, or none: a failure gives back those that were taken. Resolves when they are lent. */
  take(cards: readonly Card[], holder: Holder, requestedBy: string): Started;
  /** `afterCrash`: its guest left it in the middle of something, so it is reset even where it looks healthy. */
  giveBack(card: CardAddress, requestedBy: string, afterCrash?: boolean): Started;
  reset(card: Card, order: readonly RungName[] | null, requestedBy: string): Started;
  /** For a card that libvirt bound itself: revive it before libvirt rebinds it; rebinding is libvirt's (invariant 2). */
  reviveOnly(
    card: CardAddress,
    budgetMs: number,
    requestedBy: string,
    afterCrash?: boolean,
  ): Started;
}

export interface Started {
  readonly job: number;
  /** Settles with the job. */
  readonly ended: Promise<void>;
}

/** Builds the handover over its parts. */
export function createHandover(parts: HandoverParts): Handover {
  const { host, leases, jobs, journal, config } = parts;
  const locks = new Map<CardAddress, Lock>();
  const lockOf = (card: CardAddress): Lock => {
    const lock = locks.get(card) ?? createLock(`card ${card}`);
    locks.set(card, lock);
    return lock;
  };
  const setLease = async (lease: Lease): Promise<void> => {
    await leases.set(lease);
    parts.onLease(lease.card);
  };
  /** The lease at the start of a job. Where it cannot be kept, the card is not touched: a crash would lose its home. */
  const beginLease = async (lease: Lease): Promise<void> => {
    const before = leases.get(lease.card);
    try {
      await setLease(lease);
    } catch (thrown) {
      await (before === undefined ? leases.drop(lease.card) : leases.set(before)).catch(
        () => undefined, // the disk refuses this too; in memory it is as before
      );
      throw new RevivedError(
        'failed',
        `Card ${lease.card} is left as it is: its lease cannot be written (${asRevivedError(thrown).message}).`,
        `Make room for ${host.paths.leases}.`,
        { cause: thrown },
      );
    }
  };
  const dropLease = async (card: CardAddress): Promise<void> => {
    await leases.drop(card);
    parts.onLease(card);
  };
  /** It is home again. That this kernel has seen a guest with it and no bad end speaks for the kernel (host/ledger.ts). */
  const cameHome = async (lease: Lease): Promise<void> => {
    const { card, home } = lease;
    await dropLease(card);
    const id = home.functions[0]?.id;
    if (id === undefined || !parts.hadGuest(lease)) return;
    await host.ledger.addEnd({ card, id }, host.kernel, { cleanAt: Date.now() * 1000 });
  };
  /** `seen`: what a step of the job has found; undefined where something has happened to the card since. */
  const recheck = async (card: Card, seen?: Health): Promise<void> => {
    parts.onHealth(card.address, seen ?? (await checkCard(host, card)));
  };

  /** Runs `work` as a job that owns the cards; ends the job and its journal entry whatever happens. */
  const start = (
    operation: 'prepare' | 'return' | 'reset' | 'take',
    subject: string,
    cards: readonly CardAddress[],
    requestedBy: string,
    work: (job: Job) => Promise<void>,
  ): Started => {
    const job = jobs.start(operation, subject, cards, requestedBy);
    const owned = [...cards].sort().reduceRight<() => Promise<void>>(
      (inner, card) => () => lockOf(card).run(inner),
      () => {
        // Not waited for: the journal keeps the order, and each step waits for its own entry.
        void journal.append({ event: 'begin', job: job.view });
        return work(job);
      },
    );
    const ended = owned().then(
      () => job.finish('done', ''),
      (thrown: unknown) => {
        const error = asRevivedError(thrown);
        const ended = job.signal.aborted ? 'cancelled' : 'failed';
        job.finish(error.code === 'stuck' ? 'stuck' : ended, sentence(error));
        throw error;
      },
    );
    const written = ended.finally(async () => {
      await journal.append({ event: 'job', job: job.view });
      if (jobs.running().length === 0) await journal.rotate();
      logEnd(host.log, job);
    });
    written.catch(() => undefined); // whoever wants the outcome has `ended`; it is in the job and the log as well
    return { job: job.id, ended: written };
  };

  /** What is there now; of a port that another lease has pinned already, what was there before that. */
  const homeOf = async (card: Card): Promise<Home> => {
    const home = await readHome(host, card).catch(async (error: unknown) => {
      await recheck(card); // that its reset hangs is what people see of it from now on
      throw error;
    });
    const others = leases.all().filter((one) => one.card !== card.address);
    return beforeLeases(home, others);
  };

  const strand = async (lease: Lease, error: RevivedError): Promise<void> => {
    const reason = sentence(error).slice(0, maxTextLength);
    try {
      await setLease({ ...lease, state: 'stranded', reason });
    } finally {
      // The hang need not be what failed first.
      const hangs = host.stuck.of(lease.card) !== undefined;
      if (hangs || error.code === 'stuck') parts.onHang(lease.card);
    }
  };

  const takeOne = async (card: Card, holder: Holder, job: Job): Promise<void> => {
    // Read anew now that the card is ours: the job before this one may just have given it back.
    const now = readInventory(host.paths.sys);
    const current = refresh(card, now.functions);
    const old = leases.get(card.address);
    refuseForeignLease(old, holder);
    // What was found with a running guest was no home: only what we recorded before we touched it is one.
    const home = old?.boundBy === 'revived' ? old.home : await homeOf(current);
    const lease: Lease = {
      card: card.address,
      ...holder,
      since: Date.now() * 1000,
      state: 'taking',
      boundBy: 'revived',
      home,
      reason: '',
    };
    await beginLease(lease);
    const steps = takeSteps(current, config(), config().prepareReviveSeconds * 1000);
    job.expect(steps.length);
    let seen: Health | undefined;
    try {
      const { signal } = job;
      seen = await runSteps(steps, { host, job, journal, onFailure: 'rollback', signal });
    } catch (thrown) {
      const error = asRevivedError(thrown);
      // What is not undone, or was not at home before, stays on record: something has to be given back still.
      if (old !== undefined || isLeftBehind(error)) await strand(lease, error);
      else await dropLease(card.address);
      throw error;
    } finally {
      await recheck(current, seen);
    }
    try {
      await setLease({ ...lease, state: 'lent' });
    } catch (thrown) {
      // A restart would not know that it is lent: it goes home while we still do.
      await returnOne(lease, job, never);
      throw thrown;
    }
  };

  /** A card that came home in part and then died: its functions are taken from their drivers, or no rung may touch it. */
  const detachFirst = async (
    lease: Lease,
    card: Card,
    anyway: boolean,
  ): Promise<readonly Step[]> => {
    const current = refresh(card, readInventory(host.paths.sys).functions);
    const steps = detachSteps(current);
    if (lease.boundBy === 'libvirt' || !steps.some((step) => step.step === 'unbind')) return [];
    const { state } = await checkCard(host, card);
    return anyway || !(state === 'healthy' || state === 'unknown') ? steps : [];
  };

  const returnOne = async (
    lease: Lease,
    job: Job,
    signal: AbortSignal,
    reset?: Reset,
  ): Promise<void> => {
    const isAsked = reset?.evenIfHealthy === true;
    const isAfterCrash = reset?.afterCrash === true;
    const plan = planReturn(
      withoutShared(lease, leases.all()),
      config(),
      host.deadlines.reviveInBackground,
      reset,
    );
    const card = cardFromHome(lease.card, lease.home);
    const base = { host, job, journal };
    const methods = () => methodMendSteps(lease, host.paths.sys, config());
    job.expect(plan.close.length + plan.revive.length + plan.giveBack.length);
    let isMended = false;
    let notReset: RevivedError | undefined;
    let seen: Health | undefined;
    try {
      try {
        const stop = { ...base, onFailure: 'stop', signal } as const;
        await mend(powerMendSteps(lease, host.paths.sys), stop);
        const detach = await detachFirst(lease, card, isAsked);
        await runSteps([...detach, ...plan.close], stop);
        // Not before: while somebody has it open, what is not in the list must not be (facts/kernel.md 1, reset_method).
        isMended = await mend(methods(), stop);
        seen = await runSteps(plan.revive, stop);
      } catch (thrown) {
        notReset = asRevivedError(thrown);
        // A reset that was due and not done, on a card that lives and that nobody has open: it goes home.
        const isDue = isAsked || isAfterCrash;
        const fit = isDue && notReset.code !== 'stuck' && notReset.code !== 'busy';
        const { state } = fit ? await checkCard(host, card) : { state: 'unknown' };
        if (!fit || !(state === 'healthy' || state === 'unknown')) throw notReset;
        await runSteps(plan.close, { ...base, onFailure: 'stop', signal: never });
      }
      // What libvirt bound it has given back by now; the rest stays where it was found (invariant 2). A rung may have pinned
      // power, which is put back.
      const isOurs = (step: Step): boolean =>
        lease.boundBy === 'revived' ||
        step.step === 'restore-power' ||
        (step.step === 'bind-home' && step.args.driver === anyDriver);
      const giveBack = [...(isMended ? [] : methods()), ...plan.giveBack.filter(isOurs)];
      const drivers = driversOf(host, card);
      await runSteps(giveBack, { ...base, onFailure: 'go-on', signal: never });
      // A driver that has just bound it has done more to it than a check sees beforehand.
      if (driversOf(host, card) !== drivers) seen = undefined;
      await cameHome(lease);
    } catch (thrown) {
      const error = asRevivedError(thrown);
      // Somebody has it open still: it is as lent as before, and comes home when that has ended.
      if (error.code === 'busy' && !isAsked) await setLease(stillLent(lease));
      else await strand(lease, error);
      seen = undefined;
      throw error;
    } finally {
      await recheck(card, seen);
    }
    if (notReset === undefined) return;
    if (!isAfterCrash) throw notReset;
    host.log.warn({ card: lease.card }, `Not reset after a crash: ${sentence(notReset)}`);
  };

  return {
    busy: (card) => locks.get(card)?.free === false,
    take(cards, holder, requestedBy) {
      const subject =
        holder.domain === '' ? cards.map((card) => card.address).join(' ') : holder.domain;
      const operation = holder.domain === '' ? 'take' : 'prepare';
      const addresses = cards.map((card) => card.address);
      return start(operation, subject, addresses, requestedBy, async (job) => {
        const taken: CardAddress[] = [];
        try {
          for (const card of cards) {
            await takeOne(card, holder, job);
            taken.push(card.address);
          }
        } catch (thrown) {
          for (const address of taken.reverse()) {
            const lease = leases.get(address);
            // The failure of the start is what is reported; a card that cannot go home is stranded and says so itself.
            if (lease !== undefined) await returnOne(lease, job, never).catch(() => undefined);
          }
          throw thrown;
        }
      });
    },
    giveBack(card, requestedBy, afterCrash) {
      return start('return', card, [card], requestedBy, async (job) => {
        const lease = leases.get(card);
        if (lease === undefined) return;
        refuseStuck(host.stuck, card);
        await beginLease({ ...lease, state: 'returning' });
        await returnOne(lease, job, job.signal, afterCrash === true ? resetAfterCrash : undefined);
      });
    },
    reset(card, order, requestedBy) {
      return start('reset', card.address, [card.address], requestedBy, async (job) => {
        const old = leases.get(card.address);
        const current = refresh(card, readInventory(host.paths.sys).functions);
        const { signal } = job;
        // What the module gives is known when it is there; until then nothing is taken from anybody.
        const module = moduleSteps(current, config().cards.get(card.address));
        await runSteps(module, { host, job, journal, onFailure: 'stop', signal });
        parts.refuseUndoable(card.address, order);
        const lease: Lease = old ?? {
          card: card.address,
          domain: '',
          uuid: '',
          since: Date.now() * 1000,
          state: 'resetting',
          boundBy: 'revived',
          home: await homeOf(current),
          reason: '',
        };
        await beginLease({ ...lease, state: 'resetting' });
        if (old === undefined) {
          try {
            const steps = detachSteps(current);
            await runSteps(steps, { host, job, journal, onFailure: 'rollback', signal });
          } catch (thrown) {
            const error = asRevivedError(thrown);
            if (isLeftBehind(error)) await strand(lease, error);
            else await dropLease(card.address);
            throw error;
          }
        }
        await returnOne(lease, job, job.signal, { order, evenIfHealthy: true });
      });
    },
    reviveOnly(card, budgetMs, requestedBy, afterCrash) {
      return start('return', card, [card], requestedBy, async (job) => {
        const lease = leases.get(card);
        if (lease === undefined) return;
        const reset = afterCrash === true ? resetAfterCrash : undefined;
        const plan = planReturn(lease, config(), budgetMs, reset);
        // libvirt rebinds when the budget is used up: from then on no rung may begin.
        const stop = atDeadline(budgetMs, () => jobs.cancel(job.id));
        try {
          const { signal } = job;
          const steps = [...plan.close, ...plan.revive];
          await runSteps(steps, { host, job, journal, onFailure: 'stop', signal });
        } finally {
          stop();
        }
      });
    },
  };
}

const resetAfterCrash: Reset = { order: null, evenIfHealthy: false, afterCrash: true };
