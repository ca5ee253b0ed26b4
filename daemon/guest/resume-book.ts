/**
 * /var/lib/revived/resume.json: which domains were stopped for a reboot of the host, and how far their start is after it. On
 * disk before each step, so that no domain is started more often than that, whoever is killed in between.
 */
import { rm } from 'node:fs/promises';
import { asRevivedError } from '../errors.ts';
import { readOwn, writeWhole } from '../host/atomic-file.ts';
import type { Log } from '../log.ts';
import { isRecord, isStoppedDomain } from './reboot-file.ts';
import type { StoppedDomain } from './reboot-state.ts';

export interface ResumeEntry extends StoppedDomain {
  readonly state: 'waiting' | 'starting' | 'started' | 'failed';
  /** How often its start was begun. */
  readonly tries: number;
  /** Why it failed. */
  readonly why: string;
}

export interface ResumeBook {
  /** A reboot of ours brought this boot. */
  resumed(): boolean;
  /** The domains of that reboot, in the order in which they start; empty in other boots. */
  entries(): readonly ResumeEntry[];
  /** True until each of them is started or failed. */
  isBusy(): boolean;
  /** What to start after the next reboot; undefined when none is coming. Rejects when it cannot be written. */
  plan(domains: readonly StoppedDomain[] | undefined): Promise<void>;
  /** Writes down that this boot was gone on in, once: the next one is an ordinary one. Rejects when it cannot. */
  begin(): Promise<void>;
  /** How far one of them is. Rejects when it cannot be written. */
  note(entry: ResumeEntry): Promise<void>;
}

interface File {
  /** The boot in which it was written. */
  readonly boot: string;
  /** The boot in which the domains are started; empty before it. */
  readonly resumedIn: string;
  readonly entries: readonly ResumeEntry[];
}

const version = 1;
const maxBytes = 4 * 1024 * 1024;

/** Opens the book in boot `boot`. Never rejects: what cannot be believed is said, and nothing is started. */
export async function openResumeBook(path: string, boot: string, log: Log): Promise<ResumeBook> {
  let file = await read(path, log);
  if (
    file !== undefined &&
    file.boot !== boot &&
    file.resumedIn !== '' &&
    file.resumedIn !== boot
  ) {
    // Of an earlier boot. Where the host went down in it, perhaps because of it, that is said, and not tried again.
    const isOpen = ({ state }: ResumeEntry): boolean => state === 'waiting' || state === 'starting';
    const why = 'the host went down while the domains were started';
    const entries = file.entries.map((one): ResumeEntry => {
      return isOpen(one) ? { ...one, state: 'failed', why } : one;
    });
    const next = file.entries.some(isOpen) ? { ...file, resumedIn: boot, entries } : undefined;
    const written = next === undefined ? rm(path, { force: true }) : write(path, next);
    await written.catch((thrown: unknown) => complain(log, path, thrown));
    file = next;
  }
  const isOfThisBoot = (): boolean => file !== undefined && file.boot !== boot;
  const entries = (): readonly ResumeEntry[] => (isOfThisBoot() ? (file?.entries ?? []) : []);
  const save = async (next: File): Promise<void> => {
    await write(path, next);
    file = next;
  };

  return {
    resumed: isOfThisBoot,
    entries,
    isBusy: () => entries().some(({ state }) => state === 'waiting' || state === 'starting'),
    async plan(domains) {
      if (domains === undefined) {
        // That of this boot stays, to be looked at.
        if (file === undefined || isOfThisBoot()) return;
        await rm(path, { force: true });
        file = undefined;
        return;
      }
      const next: File = {
        boot,
        resumedIn: '',
        entries: domains
          .toSorted((a, b) => a.order - b.order)
          .map((domain) => ({ ...domain, state: 'waiting', tries: 0, why: '' })),
      };
      if (JSON.stringify(next) !== JSON.stringify(file)) await save(next);
    },
    async begin() {
      if (file !== undefined && file.resumedIn !== boot) await save({ ...file, resumedIn: boot });
    },
    async note(entry) {
      if (file === undefined) return;
      const noted = file.entries.map((one) => (one.uuid === entry.uuid ? entry : one));
      await save({ ...file, entries: noted });
    },
  };
}

function write(path: string, file: File): Promise<void> {
  return writeWhole(path, JSON.stringify({ version, ...file }));
}

async function read(path: string, log: Log): Promise<File | undefined> {
  try {
    const text = await readOwn(path, maxBytes);
    const file: unknown = text === undefined ? undefined : JSON.parse(text);
    if (file === undefined) return undefined;
    if (isFile(file)) return file;
    throw new Error(`${path} is not what this version writes`);
  } catch (thrown) {
    complain(log, path, thrown);
    return undefined;
  }
}

function complain(log: Log, path: string, thrown: unknown): void {
  const why = asRevivedError(thrown).message;
  log.error(
    { id: 'resume-failed', path, why },
    'What to start after a reboot cannot be kept or read: start your domains by hand',
  );
}

function isFile(value: unknown): value is File {
  return (
    isRecord(value) &&
    value['version'] === version &&
    typeof value['boot'] === 'string' &&
    typeof value['resumedIn'] === 'string' &&
    Array.isArray(value['entries']) &&
    value['entries'].every(isEntry)
  );
}

function isEntry(value: unknown): value is ResumeEntry {
  return (
    isStoppedDomain(value) &&
    isRecord(value) &&
    ['waiting', 'starting', 'started', 'failed'].some((word) => word === value['state']) &&
    typeof value['tries'] === 'number' &&
    typeof value['why'] === 'string'
  );
}
