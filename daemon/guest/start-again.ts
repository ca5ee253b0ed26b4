/** Starts a domain again whose run ended in a reboot or a crash: once its cards are home, and within limits. */
import { atDeadline } from '../deadline.ts';
import { asRevivedError, sentence } from '../errors.ts';
import type { Domains } from '../libvirt/domains.ts';
import { isActive } from '../libvirt/news.ts';
import { LibvirtError } from '../libvirt/protocol.ts';
import type { Log } from '../log.ts';
import type { LeaseBook } from '../pipeline/lease.ts';
import type { Service } from '../pipeline/service.ts';
import { recentStarts, refuseStart } from './crash-policy.ts';
import type { RunBook } from './runs.ts';

export interface StartAgainParts {
  readonly libvirt: Pick<Domains, 'create' | 'domainState'>;
  readonly service: Pick<Service, 'onChange'>;
  readonly leases: Pick<LeaseBook, 'all'>;
  readonly runs: RunBook;
  readonly log: Log;
  /** False while the host is about to reboot, for example: the domain then stays off. */
  readonly mayStart: (uuid: string) => boolean;
  readonly onNote: (uuid: string, note: string) => void;
  readonly nowUsec: () => number;
  /** How long the cards may take to come home, in ms. */
  readonly homeMs?: number;
}

export interface StartAgain {
  /** A start of the domain is due (Run.due says why). Does nothing while one is under way. */
  begin(uuid: string): void;
  /** It runs, or is gone: what was due is not any more. */
  drop(uuid: string): void;
  close(): void;
}

/** The ladder in the background takes 300 s at most, and waits 60 s before for QEMU to be gone (host/host.ts). */
const defaultHomeMs = 400_000;
/** VIR_ERR_OPERATION_INVALID: it runs already, or something that it needs does not (its network, for example). */
const operationInvalid = 55;

/** Builds the executor; nothing is started before it is told. */
export function createStartAgain(parts: StartAgainParts): StartAgain {
  const { libvirt, leases, runs, log } = parts;
  /** Ends the waits for cards, by domain. */
  const underWay = new Map<string, () => void>();

  const areHome = (uuid: string): boolean =>
    !leases.all().some((lease) => lease.uuid === uuid && lease.state !== 'stranded');

  /** home: or stranded, then the start says why; dropped: it is not waited for any more. */
  const whenHome = (uuid: string): Promise<'home' | 'late' | 'dropped'> =>
    new Promise((resolve) => {
      const end = (how: 'home' | 'late' | 'dropped'): void => {
        stopLimit();
        stopListening();
        resolve(how);
      };
      const stopLimit = atDeadline(parts.homeMs ?? defaultHomeMs, () => end('late'));
      const look = (): void => {
        if (areHome(uuid)) end('home');
      };
      const stopListening = parts.service.onChange((change) => {
        if (change.kind !== 'job') look();
      });
      underWay.set(uuid, () => end('dropped'));
      look();
    });

  const start = async (uuid: string): Promise<void> => {
    const kind = runs.get(uuid)?.due ?? null;
    if (kind === null) return;
    const home = await whenHome(uuid);
    const run = runs.get(uuid);
    // Somebody else has started it, or it is gone; or the daemon ends, and the next one goes on.
    if (home === 'dropped' || run === undefined || run.due !== kind || run.running) return;
    const give = async (note: string): Promise<void> => {
      await runs.set({ ...run, due: null });
      parts.onNote(uuid, note);
    };
    if (home === 'late') {
      return give('It is not started again: its cards did not come home. See revivectl status.');
    }
    if (!parts.mayStart(uuid)) return runs.set({ ...run, due: null });
    const against = refuseStart(kind, run.starts, parts.nowUsec());
    if (against !== undefined) return give(against);
    const starts = [...recentStarts(run.starts, parts.nowUsec()), { kind, at: parts.nowUsec() }];
    // Before it is done: a daemon that dies here must not start it without end.
    await runs.set({ ...run, starts });
    const why = kind === 'crash' ? 'it crashed' : 'it rebooted';
    log.info({ domain: run.name }, `A guest is started again: ${why}`);
    try {
      await libvirt.create(uuid);
    } catch (thrown) {
      const error = asRevivedError(thrown);
      const isInvalid = error instanceof LibvirtError && error.number === operationInvalid;
      if (isInvalid && isActive((await libvirt.domainState(uuid)).state)) return;
      // Without libvirt it stays due, until libvirt is there again; or the daemon ends, and the next one goes on.
      if (error.code === 'cancelled') throw error;
      if (error.code === 'libvirt' && !(error instanceof LibvirtError)) throw error;
      const now = runs.get(uuid);
      if (now?.running === false) await runs.set({ ...now, due: null });
      parts.onNote(uuid, `It could not be started again after ${why}: ${sentence(error)}`);
    }
  };

  return {
    begin(uuid) {
      if (underWay.has(uuid)) return;
      underWay.set(uuid, () => {});
      start(uuid)
        .catch((thrown: unknown) => {
          log.warn({ why: asRevivedError(thrown).message }, 'A guest is not started again yet');
        })
        .finally(() => underWay.delete(uuid));
    },
    drop: (uuid) => underWay.get(uuid)?.(),
    close() {
      for (const end of [...underWay.values()]) end();
    },
  };
}
