/**
 * Stops a guest for a reboot of the host: asks its agent, then presses its power button, and waits for its end with a
 * deadline. What a guest that does not obey means is said by its domain's policy.
 */
import { atDeadline } from '../deadline.ts';
import { asRevivedError, RevivedError } from '../errors.ts';
import type { Domains } from '../libvirt/domains.ts';
import { isActive } from '../libvirt/news.ts';
import type { Log } from '../log.ts';
import { printable } from '../printable.ts';
import { refuseResuming } from './host-survey.ts';
import type { DomainName } from './reboot-state.ts';
import type { ResumeBook } from './resume-book.ts';

/** wait: the reboot is given up. save: its memory goes to disk. destroy: its plug is pulled. */
export type OnRefusal = 'wait' | 'save' | 'destroy';

export type GuestControl = Pick<
  Domains,
  'list' | 'domainState' | 'shutdown' | 'managedSave' | 'destroy' | 'create' | 'isPersistent'
>;

export interface StopParts {
  readonly control: Pick<
    GuestControl,
    'domainState' | 'shutdown' | 'managedSave' | 'destroy' | 'isPersistent'
  >;
  readonly ends: GuestEnds;
  /** For the agent and the power button together. */
  readonly ms: number;
  readonly onRefusal: OnRefusal;
  /** Aborted: the reboot is not wanted any more; rejects with `cancelled`. */
  readonly signal: AbortSignal;
  readonly onStep: (what: string) => void;
}

/** Resolves when the domain does not run any more; rejects with `refused` and the reason where it goes on. */
export async function stopGuest(domain: DomainName, parts: StopParts): Promise<void> {
  const { control, ends, signal, onRefusal } = parts;
  const { uuid } = domain;
  const name = printable(domain.name);
  const isOff = async (): Promise<boolean> => {
    const known = await control.domainState(uuid).catch((thrown: unknown) => {
      if (asRevivedError(thrown).code === 'not-found') return undefined; // transient, and over
      throw thrown;
    });
    return known === undefined || !isActive(known.state);
  };
  // An answer after the guest is gone (number 55: it does not run) is no error: whether it is gone is looked at.
  const ask = async (what: string, call: Promise<void>): Promise<boolean> => {
    parts.onStep(what);
    return call.then(
      () => true,
      () => false, // no agent, or one that does not answer: what comes next is gone for
    );
  };
  // Waited for from before it is asked: it may be gone before the answer is here.
  const end = (): Promise<boolean> => ends.wait(uuid, parts.ms / 2, signal);
  const stayOn = (): void => {
    if (signal.aborted) throw new RevivedError('cancelled', 'The reboot was given up.');
  };

  if (await isOff()) return;
  if (onRefusal !== 'destroy' && !(await control.isPersistent(uuid))) {
    throw refusal(name, 'is transient: nothing could start it again after the reboot');
  }
  stayOn();
  const byAgent = end();
  const obeys = await ask('agent', control.shutdown(uuid, 'agent'));
  if (obeys && ((await byAgent) || (await isOff()))) return;
  stayOn();
  const byButton = end();
  await ask('power button', control.shutdown(uuid, 'acpi'));
  if ((await byButton) || (await isOff())) return;
  stayOn();
  if (onRefusal === 'wait') {
    throw refusal(name, `has not shut down within ${Math.round(parts.ms / 1000)} s`);
  }
  const last = onRefusal === 'save' ? control.managedSave(uuid) : control.destroy(uuid);
  parts.onStep(onRefusal);
  const failure = await last.then(
    () => undefined,
    (thrown: unknown) => asRevivedError(thrown).message,
  );
  if (await isOff()) return;
  throw refusal(name, `has not shut down, and on-refusal: ${onRefusal} failed: ${failure ?? ''}`);
}

/**
 * Pulls the plug of a guest that has just shut itself down to restart. Rejects with `refused` where that is not done, and with
 * libvirt's error where the guest runs on or nobody can tell.
 */
export async function catchGuest(
  { uuid, name }: DomainName,
  parts: {
    readonly book: Pick<ResumeBook, 'isBusy'>;
    readonly control: Pick<GuestControl, 'domainState' | 'destroy' | 'isPersistent'>;
    readonly log: Log;
  },
): Promise<void> {
  const { book, control, log } = parts;
  refuseResuming(book);
  if (!(await control.isPersistent(uuid))) {
    throw new RevivedError(
      'refused',
      `Domain ${printable(name)} is transient: nothing could start it again after the reboot.`,
      'Define it, or shut it down and reboot the host by hand.',
    );
  }
  log.warn(
    { id: 'guest-caught', domain: name },
    `Domain ${printable(name)} has shut itself down to restart: it is stopped until the host has rebooted`,
  );
  await control.destroy(uuid).catch(async (thrown: unknown) => {
    if (await isRunning(control, uuid)) throw thrown;
  });
}

/** True while the domain is active. Rejects where libvirt does not tell. */
export async function isRunning(
  control: Pick<GuestControl, 'domainState'>,
  uuid: string,
): Promise<boolean> {
  return isActive((await control.domainState(uuid)).state);
}

function refusal(name: string, what: string): RevivedError {
  return new RevivedError('refused', `Domain ${name} ${what}.`, 'Shut it down by hand.');
}

/** Who waits for the end of which guest; fed by libvirt's events. */
export interface GuestEnds {
  /** True when it ends within `ms`; false then, and when the signal aborts. */
  wait(uuid: string, ms: number, signal: AbortSignal): Promise<boolean>;
  ended(uuid: string): void;
}

/** Nobody waits yet. */
export function createGuestEnds(): GuestEnds {
  const waiting = new Map<string, Set<(ended: boolean) => void>>();
  return {
    wait(uuid, ms, signal) {
      return new Promise((resolve) => {
        const own = waiting.get(uuid) ?? new Set();
        waiting.set(uuid, own);
        const settle = (ended: boolean): void => {
          calm();
          signal.removeEventListener('abort', abort);
          own.delete(settle);
          if (own.size === 0 && waiting.get(uuid) === own) waiting.delete(uuid);
          resolve(ended);
        };
        const abort = (): void => settle(false);
        const calm = atDeadline(ms, abort);
        signal.addEventListener('abort', abort);
        own.add(settle);
        if (signal.aborted) abort();
      });
    },
    ended(uuid) {
      for (const settle of [...(waiting.get(uuid) ?? [])]) settle(true);
    },
  };
}
