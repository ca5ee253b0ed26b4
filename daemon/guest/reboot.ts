/**
 * Does what the reboot state machine decides: stops guests, tells everybody, asks logind, starts again what was stopped for
 * nothing. Each state is on disk before anything is done for it, so a daemon that was killed goes on from there.
 */
import { later } from '../deadline.ts';
import { asRevivedError, RevivedError, sentence } from '../errors.ts';
import type { Power } from '../host/power.ts';
import type { MarkRebootRequired } from '../host/reboot-required.ts';
import { isActive } from '../libvirt/news.ts';
import type { LibvirtEvent } from '../libvirt/session.ts';
import type { Log } from '../log.ts';
import type { CardAddress } from '../pci/address.ts';
import { printable } from '../printable.ts';
import { isReset } from './crash-policy.ts';
import {
  catchGuest,
  createGuestEnds,
  type GuestControl,
  isRunning,
  type OnRefusal,
  stopGuest,
} from './guest-stop.ts';
import { surveyHost } from './host-survey.ts';
import { createLateEnds } from './late-ends.ts';
import { readRebootState, writeRebootState } from './reboot-file.ts';
import {
  type DomainName,
  type InstallPolicy,
  initialState,
  isAttempt,
  isRequired,
  isWanted,
  type RebootEffect,
  type RebootInput,
  type RebootState,
  type StoppedDomain,
} from './reboot-state.ts';
import { rebootStep } from './reboot-step.ts';
import { domainWord, reasonText, rebootLines, wallText } from './reboot-words.ts';
import type { ResumeBook } from './resume-book.ts';
import type { RunBook } from './runs.ts';
import { createUndo } from './undo.ts';

/** A display driver in a guest is another than before. */
interface InstalledDriver {
  readonly uuid: string;
  readonly domain: string;
  readonly card: CardAddress;
  readonly from: string;
  readonly to: string;
  readonly oldSeenAt: number;
}

export interface RebootParts {
  /** The id of this boot. */
  readonly boot: string;
  /** reboot.json. */
  readonly path: string;
  readonly book: ResumeBook;
  readonly power: Power;
  readonly control: GuestControl;
  readonly markRequired: MarkRebootRequired;
  readonly settings: (domain: string) => {
    readonly afterDriverInstall: InstallPolicy;
    readonly onRefusal: OnRefusal;
  };
  /** Milliseconds: to cancel a reboot, and for a guest to shut down. */
  readonly times: () => { readonly graceMs: number; readonly shutdownMs: number };
  readonly cardsOf: (uuid: string) => readonly CardAddress[];
  /** How runs ended, or were about to: also what a daemon before has heard. `id` is that of the run, until the next one. */
  readonly runs: Pick<RunBook, 'get' | 'all'>;
  readonly log: Log;
  readonly onChange: () => void;
  /** Milliseconds that libvirt gets to come back before domains that were stopped for nothing count as not started. */
  readonly libvirtMs?: number | undefined;
}

export interface Reboot {
  state(): RebootState;
  onDriverChange(change: InstalledDriver): void;
  /** All events of libvirt. The first snapshot lets an attempt of a daemon before this one go on. */
  onEvent(event: LibvirtEvent): void;
  /** True for a domain that is stopped for a reboot of the host, or was: it starts again by us, after that or without it. */
  holds(uuid: string): boolean;
  /** These resolve when it is on disk, and reject with `refused` where it cannot be done now. */
  arm(domain: DomainName, by: string): Promise<void>;
  rebootNow(by: string): Promise<void>;
  cancel(by: string): Promise<void>;
  /**
   * The daemon ends in order: nothing is decided or begun any more, so that what fails because of that end is no answer. What
   * is decided already is still written. Call it before libvirt is left.
   */
  close(): void;
}

/** Reads what a daemon before this one has left in this boot. Never rejects: a file that cannot be believed is said. */
export async function openReboot(parts: RebootParts): Promise<Reboot> {
  const { book, boot, control, log, power, runs } = parts;
  const ends = createGuestEnds();
  /** Domains whose QEMU said that the guest reset itself, until it is gone. */
  const resetting = new Set<string>();
  const lateEnds = createLateEnds();
  let attempt = new AbortController();
  let hasBegun = false;
  let isClosed = false;
  let state = initialState(boot, book.resumed());
  let work = Promise.resolve();

  /** The next state at once; on disk, and done, in turn. Resolves when it is on disk. */
  const dispatch = (input: RebootInput): Promise<void> => {
    if (isClosed) return Promise.resolve();
    const before = state;
    const { state: next, effects } = rebootStep(before, input, parts.times().graceMs);
    if (next === before && effects.length === 0) return Promise.resolve();
    state = next;
    for (const { id, level, text, domain } of rebootLines(before, next)) {
      log[level]({ id, ...(domain === undefined ? {} : { domain }) }, text);
    }
    if (next.attempt !== before.attempt) {
      attempt.abort();
      attempt = new AbortController();
    }
    parts.onChange();
    const saved = work.then(save);
    work = saved.then((problem) => act(effects, next.attempt, problem));
    return saved.then(() => undefined);
  };

  /** Why it is not on disk; undefined when it is. */
  const save = async (): Promise<string | undefined> => {
    const { kept, others } = state;
    const isComing = isAttempt(state) || kept.length > 0 || others.length > 0;
    try {
      await writeRebootState(parts.path, state);
      if (!book.isBusy()) await book.plan(isComing ? [...kept, ...others] : undefined);
    } catch (thrown) {
      const why = asRevivedError(thrown).message;
      log.error({ why }, 'How far a reboot of the host is cannot be kept on disk');
      return why;
    }
    await mark();
    return undefined;
  };

  const mark = (): Promise<void> =>
    parts.markRequired(isRequired(state)).catch((thrown: unknown) => {
      const why = asRevivedError(thrown).message;
      log.warn({ why }, 'That the host has to reboot cannot be marked in /run, ignoring');
    });

  const act = async (
    effects: readonly RebootEffect[],
    of: number,
    problem: string | undefined,
  ): Promise<void> => {
    for (const effect of effects) {
      if (isClosed) return;
      // What an attempt wanted is not done after it; timers and announcements are no part of that.
      const isAnyones = effect.kind === 'wake' || effect.kind === 'withdraw';
      if (state.attempt !== of && !isAnyones) continue;
      if (problem !== undefined && isAttempt(state)) {
        void dispatch({ kind: 'failed', attempt: of, why: `its state cannot be kept: ${problem}` });
        return;
      }
      await perform(effect, of);
    }
  };

  /** Work that takes long goes on by itself, and says its end with the attempt that it is for. */
  const perform = async (effect: RebootEffect, of: number): Promise<void> => {
    const { signal } = attempt;
    const failed = (thrown: unknown): void => {
      if (signal.aborted) return;
      void dispatch({ kind: 'failed', attempt: of, why: sentence(asRevivedError(thrown)) });
    };
    switch (effect.kind) {
      case 'wake':
        later(
          Math.max(0, effect.at - Date.now()),
          () => void dispatch({ kind: 'tick', now: Date.now() }),
        );
        return;
      case 'catch':
        catchGuest(effect.domain, parts).then(
          () => dispatch({ kind: 'caught', attempt: of }),
          async (thrown: unknown) => {
            // Where nobody can tell, it may well be off, and is to start after the reboot.
            const { uuid } = effect.domain;
            if (await isRunning(control, uuid).catch(() => false))
              void dispatch({ kind: 'started', uuid });
            failed(thrown);
          },
        );
        return;
      case 'survey':
        surveyHost(parts, state.until).then((found) => {
          return dispatch({ kind: 'surveyed', attempt: of, ...found, now: Date.now() });
        }, failed);
        return;
      case 'stop':
        for (const domain of effect.domains) {
          stop(domain, signal).then(() => {
            const { uuid } = domain;
            return dispatch({ kind: 'domain-stopped', attempt: of, uuid, now: Date.now() });
          }, failed);
        }
        return;
      case 'announce':
        await power.announce(effect.until, wallText(state)).catch(ignored);
        return;
      case 'withdraw':
        await power.withdraw(effect.until).catch(ignored);
        return;
      case 'check':
        surveyHost(parts, state.until).then(({ running, due }) => {
          const now = Date.now();
          return running.length === 0
            ? dispatch({ kind: 'clear', attempt: of, due, now })
            : dispatch({ kind: 'surveyed', attempt: of, running, due, now });
        }, failed);
        return;
      case 'reboot':
        // From here on there is no way back, and nothing lies between.
        void dispatch({ kind: 'sent', attempt: of });
        power.reboot().catch(failed);
        return;
      case 'start-again':
        void undo.start(effect.domains).then(() => dispatch({ kind: 'undone', attempt: of }));
        return;
    }
  };

  const stop = async (domain: StoppedDomain, signal: AbortSignal): Promise<void> => {
    const { uuid, name } = domain;
    const stopped = stopGuest(domain, {
      control,
      ends,
      signal,
      ms: parts.times().shutdownMs,
      onRefusal: parts.settings(name).onRefusal,
      onStep(what) {
        lateEnds.asked(uuid, what);
        log.info({ domain: name, by: what }, `Shutting down domain ${printable(name)}`);
      },
    });
    await stopped.catch((thrown: unknown) => {
      // Its owner was asked to shut it down: then it is to stay off.
      if (asRevivedError(thrown).code === 'refused') lateEnds.forget(uuid);
      throw thrown;
    });
  };

  const undo = createUndo({
    ...{ control, log, runs, libvirtMs: parts.libvirtMs },
    onFailed: (domain, why) => void dispatch({ kind: 'start-failed', domain, why }),
  });

  const ignored = (thrown: unknown): void => {
    const why = asRevivedError(thrown).message;
    log.warn({ why }, 'The reboot of the host cannot be announced through logind, ignoring');
  };

  const refused = (message: string, advice?: string): Promise<never> =>
    Promise.reject(new RevivedError('refused', message, advice));

  const refuseClosed = (): void => {
    if (isClosed) throw new RevivedError('cancelled', 'revived stops.', 'Try again in a moment.');
  };

  const policyOf = (name: string): InstallPolicy => parts.settings(name).afterDriverInstall;

  const onStopped = (uuid: string, name: string, detail: string): void => {
    ends.ended(uuid);
    const restart = resetting.delete(uuid);
    const isLate = lateEnds.take(uuid, detail);
    const order = runs.get(uuid)?.id ?? 0;
    const input = { order, policy: policyOf(name), now: Date.now() };
    void dispatch({ kind: 'stopped', uuid, restart, ...input });
    if (!isLate || isAttempt(state)) return;
    if (state.kept.some((one) => one.uuid === uuid)) return;
    void undo.start([{ uuid, name }]);
  };

  /** From a snapshot; in an attempt, one that runs is still to be caught or stopped. */
  const seeRunning = (running: ReadonlySet<string>): void => {
    if (isAttempt(state)) return;
    for (const { uuid } of [...state.kept, ...state.unstarted]) {
      if (running.has(uuid)) void dispatch({ kind: 'started', uuid });
    }
  };

  const goOn = async (running: ReadonlySet<string>): Promise<void> => {
    hasBegun = true;
    // Asked only where it matters: what is held is then known before anybody else hears of this snapshot.
    const goingDown = state.phase === 'rebooting' && (await power.isGoingDown().catch(() => false));
    const now = Date.now();
    void dispatch({ kind: 'began', boot, now, goingDown, resumed: book.resumed() });
    seeRunning(running);
    // What happened while nobody listened.
    for (const { uuid, name } of state.marked) {
      if (running.has(uuid)) continue;
      const [run, policy] = [runs.get(uuid), policyOf(name)];
      const end = { restart: run?.due === 'reboot', order: run?.id ?? 0 };
      void dispatch({ kind: 'stopped', uuid, ...end, policy, now });
    }
    work = work.then(mark);
  };

  try {
    const found = await readRebootState(parts.path);
    if (found?.boot === boot) state = found;
  } catch (thrown) {
    const why = asRevivedError(thrown).message;
    log.error({ why }, 'How far a reboot of the host was cannot be read: it is not gone on with');
  }

  return {
    state: () => state,
    holds(uuid) {
      const held = isAttempt(state) ? [...state.kept, ...state.others] : state.kept;
      return held.some((one) => one.uuid === uuid);
    },
    onDriverChange({ uuid, domain: name, card, from, to, oldSeenAt }) {
      const policy = policyOf(name);
      const domain = { uuid, name };
      const now = Date.now();
      void dispatch({ kind: 'driver-changed', domain, card, from, to, policy, oldSeenAt, now });
    },
    onEvent(event) {
      if (event.kind === 'synced') {
        const active = event.domains.filter((domain) => isActive(domain.state));
        const running = new Set(active.map(({ uuid }) => uuid));
        if (hasBegun) seeRunning(running);
        else void goOn(running);
        return undo.synced();
      }
      const { uuid, name, id } = event.domain;
      if (event.kind === 'reboot') {
        const domain = { uuid, name };
        const seen = { order: id ?? 0, policy: policyOf(name), now: Date.now() };
        void dispatch({ kind: 'restarted', domain, ...seen });
      } else if (event.kind === 'ending' && isReset(event.reason)) resetting.add(uuid);
      else if (event.kind !== 'lifecycle') return;
      else if (event.event === 'started') {
        resetting.delete(uuid);
        lateEnds.forget(uuid);
        void dispatch({ kind: 'started', uuid });
      } else if (event.event === 'stopped') onStopped(uuid, name, event.detail);
    },
    async arm(domain, by) {
      refuseClosed();
      const mark = domainWord(state, domain.uuid);
      if (mark === 'guest-restarting' || mark === 'reboot-pending' || mark === 'rebooting') {
        return refused(
          `Domain ${printable(domain.name)} has a driver installed already: ${reasonText(state)}.`,
          'To reboot the host: revivectl reboot now',
        );
      }
      log.info({ id: 'host-reboot-arm', domain: domain.name, by }, 'Armed for a driver install');
      return dispatch({ kind: 'arm', domain, cards: parts.cardsOf(domain.uuid) });
    },
    async rebootNow(by) {
      refuseClosed();
      if (state.phase !== 'idle') {
        return refused(`A reboot is under way: ${reasonText(state)}.`);
      }
      if (!isWanted(state)) {
        return refused(
          'No reboot is pending: no driver install was seen in a guest that has a card.',
          'To reboot the host all the same: systemctl reboot',
        );
      }
      log.warn({ id: 'host-reboot-consent', by }, 'Somebody agrees to a reboot of the host');
      return dispatch({ kind: 'consent' });
    },
    async cancel(by) {
      refuseClosed();
      if (state.phase === 'rebooting' && state.sent) {
        return refused('It is too late: the host reboots already.');
      }
      const { kept, marked, phase, unstarted } = state;
      if (phase === 'idle' && [...kept, ...marked, ...unstarted].length === 0) {
        return refused('There is nothing to cancel: no reboot is pending, and no domain is armed.');
      }
      log.warn({ id: 'host-reboot-cancel', by }, 'Somebody cancels a reboot of the host');
      return dispatch({ kind: 'cancel', by });
    },
    close() {
      isClosed = true;
      attempt.abort();
      undo.close();
    },
  };
}
