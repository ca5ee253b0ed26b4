/** Starts again what was stopped for a reboot of the host that was then given up; waits for libvirt where it is away. */
import { atDeadline } from '../deadline.ts';
import { asRevivedError } from '../errors.ts';
import { LibvirtError } from '../libvirt/protocol.ts';
import type { Log } from '../log.ts';
import { printable } from '../printable.ts';
import { type GuestControl, isRunning } from './guest-stop.ts';
import type { DomainName } from './reboot-state.ts';
import type { RunBook } from './runs.ts';

export interface UndoParts {
  readonly control: Pick<GuestControl, 'domainState' | 'create'>;
  readonly runs: Pick<RunBook, 'get'>;
  readonly log: Log;
  /** It stays off; `why` is libvirt's reason. */
  readonly onFailed: (domain: DomainName, why: string) => void;
  /** Milliseconds that libvirt gets to come back, for all of them together. */
  readonly libvirtMs?: number | undefined;
}

export interface Undo {
  /** Each of them that does not run, in this order. Resolves when each runs or has failed; never rejects. */
  start(domains: readonly DomainName[]): Promise<void>;
  /** libvirt is there (again). */
  synced(): void;
  /** Nothing is started any more, and no failure is one. */
  close(): void;
}

/** As long as it gets after a boot (resume.ts). */
const usualLibvirtMs = 600_000;

/** Nothing is to be started yet. */
export function createUndo(parts: UndoParts): Undo {
  const { control, log } = parts;
  const waiting = new Set<() => void>();
  let isClosed = false;

  /** True when libvirt is back before `end` (performance.now). */
  const back = (end: number): Promise<boolean> =>
    new Promise((resolve) => {
      const settle = (isBack: boolean): void => {
        calm();
        waiting.delete(onBack);
        resolve(isBack);
      };
      const onBack = (): void => settle(true);
      const calm = atDeadline(Math.max(0, end - performance.now()), () => settle(false));
      waiting.add(onBack);
    });

  const startOne = async (domain: DomainName, end: number): Promise<void> => {
    const { uuid, name } = domain;
    while (!isClosed) {
      try {
        // One that is due starts by itself, once its card is home (start-again.ts).
        const isDue = (parts.runs.get(uuid)?.due ?? null) !== null;
        if (!isDue && !(await isRunning(control, uuid))) await control.create(uuid);
        return;
      } catch (thrown) {
        if (isAbsence(thrown) && (await back(end))) continue;
        if (await isRunning(control, uuid).catch(() => false)) return; // by somebody else, in the same moment
        if (isClosed) return;
        const why = asRevivedError(thrown).message;
        log.error(
          { id: 'start-again-failed', domain: name, why },
          `Domain ${printable(name)} was stopped for a reboot that was given up, and cannot be started again: start it by hand`,
        );
        parts.onFailed(domain, why);
        return;
      }
    }
  };

  return {
    async start(domains) {
      const end = performance.now() + (parts.libvirtMs ?? usualLibvirtMs);
      for (const domain of domains) await startOne(domain, end);
    },
    synced() {
      for (const onBack of [...waiting]) onBack();
    },
    close() {
      isClosed = true;
      for (const onBack of [...waiting]) onBack();
    },
  };
}

// Errors of libvirt itself have a number: then it is there. One that does not answer in time hangs, or will be found to.
function isAbsence(thrown: unknown): boolean {
  const { code } = asRevivedError(thrown);
  return (code === 'libvirt' || code === 'timed-out') && !(thrown instanceof LibvirtError);
}
