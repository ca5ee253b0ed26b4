/**
 * Guests whose card does not survive a reboot from inside them: libvirt runs no hook for one, and QEMU only resets the card
 * (facts/libvirt.md 1.5). There a reboot is made a stop for the run (virDomainSetLifecycleAction, needs QEMU 6), so that the
 * card comes home, is revived and goes out again with a start of ours. The domain's definition stays as it is.
 */
import type { DomainSettings } from '../config/config.ts';
import { asRevivedError, sentence } from '../errors.ts';
import type { Domains } from '../libvirt/domains.ts';
import { LibvirtError } from '../libvirt/protocol.ts';
import type { Log } from '../log.ts';
import type { Card } from '../pci/inventory.ts';
import { quirkOf } from '../pci/quirks.ts';
import type { Run, RunBook } from './runs.ts';

export type GuestReboot = 'pass' | 'cold';

/** What a reboot from inside a guest with these cards means: what is configured, else what their families need. */
export function guestRebootOf(
  settings: DomainSettings | undefined,
  cards: readonly Card[],
): GuestReboot {
  if (cards.length === 0) return 'pass';
  if (settings?.guestReboot !== undefined) return settings.guestReboot;
  return cards.some((card) => quirkOf(card).guestReboot === 'cold') ? 'cold' : 'pass';
}

export interface RebootActionParts {
  readonly libvirt: Pick<Domains, 'isPersistent' | 'setRebootAction'>;
  /** `<on_reboot>` of the stored definition; null where it says nothing. */
  readonly onReboot: (uuid: string) => Promise<string | null>;
  readonly runs: RunBook;
  readonly log: Log;
  /** Why a guest's reboots are left as they are: for people. */
  readonly onNote: (uuid: string, note: string) => void;
}

export interface RebootActions {
  /** Makes it so for the run, where it is not yet. Idempotent; `isAsked`: a person has configured it. */
  want(uuid: string, wanted: GuestReboot, isAsked: boolean): Promise<void>;
  /** Another run, or another configuration: what failed is tried again. */
  forget(uuid: string): void;
}

/** Builds the executor. */
export function createRebootActions(parts: RebootActionParts): RebootActions {
  const { libvirt, runs, log } = parts;
  /** The last wish by domain: one that failed is not repeated at each change of a lease. */
  const wishes = new Map<string, GuestReboot>();

  const makeCold = async (run: Run, isAsked: boolean): Promise<void> => {
    const { uuid } = run;
    if (!(await libvirt.isPersistent(uuid))) {
      return parts.onNote(
        uuid,
        'Its card may not survive a reboot from inside, but a transient domain cannot be stopped and started again: define it, or shut it down and start it anew instead of rebooting it.',
      );
    }
    const own = (await parts.onReboot(uuid)) ?? 'restart';
    // Somebody wants it to stop, or to stay as it is, after a reboot.
    if (own !== 'restart' && !isAsked) return;
    // Before it is done: a libvirt that does not answer in time, or is gone, may have done it all the same.
    await keep(run, true);
    if (own !== 'destroy') {
      await libvirt.setRebootAction(uuid, 'destroy').catch(async (thrown: unknown) => {
        if (thrown instanceof LibvirtError) await keep(run, false);
        throw thrown;
      });
    }
    say(run, 'a stop, a reset of its card and a start');
  };
  const makeWarm = async (run: Run): Promise<void> => {
    const { uuid } = run;
    if ((await parts.onReboot(uuid)) !== 'destroy') await libvirt.setRebootAction(uuid, 'restart');
    await keep(run, false);
    say(run, 'left to the guest');
  };
  const keep = async ({ uuid, id }: Run, cold: boolean): Promise<void> => {
    const run = runs.get(uuid);
    // What libvirt was told ended with the run that it was told of.
    if (run === undefined || run.id !== id || !run.running) return;
    await runs.set({ ...run, cold });
  };
  const say = ({ name }: Run, means: string): void => {
    log.info({ domain: name }, `A reboot from inside this guest is ${means}`);
  };

  return {
    async want(uuid, wanted, isAsked) {
      const run = runs.get(uuid);
      if (run === undefined || wishes.get(uuid) === wanted) return;
      wishes.set(uuid, wanted);
      if (run.cold === (wanted === 'cold')) return;
      try {
        await (wanted === 'cold' ? makeCold(run, isAsked) : makeWarm(run));
      } catch (thrown) {
        const why = sentence(asRevivedError(thrown));
        const what = wanted === 'cold' ? 'not made a stop' : 'a stop still';
        parts.onNote(uuid, `A reboot from inside it is ${what}: ${why}`);
      }
    },
    forget: (uuid) => void wishes.delete(uuid),
  };
}
