/**
 * The write-ahead journal: one JSON line per event, on disk (fdatasync) before the step is done (invariant 8). The
 * reader skips what it does not understand and counts it. Rotated between jobs only, so that no open entry is lost.
 */
import { type FileHandle, open, rename } from 'node:fs/promises';
import { readWhole } from '../host/atomic-file.ts';
import type { Log } from '../log.ts';
import type { JobView } from './service.ts';
import type { Step, UndoData } from './step.ts';

type JournalEntry =
  | { readonly event: 'job'; readonly job: JobView }
  | {
      readonly event: 'intent' | 'done' | 'failed' | 'undo' | 'undone' | 'undo-failed';
      readonly job: number;
      readonly index: number;
      readonly step: Step;
      readonly undo: UndoData;
      readonly detail: string;
    };

export interface Journal {
  append(entry: JournalEntry): Promise<void>;
  /** Finished jobs, newest first. */
  jobs(limit: number): Promise<readonly JobView[]>;
  /** Called when no job runs: starts a new file when this one is big. */
  rotate(): Promise<void>;
  close(): Promise<void>;
}

/** Bytes after which a file is rotated, and the most that is ever read back. */
const rotateBytes = 4 * 1024 * 1024;
const maxReadBytes = 16 * 1024 * 1024;

/** Opens the journal. `stamp` goes into every line: boot id, kernel release. Never throws: without a disk it only logs. */
export async function openJournal(
  path: string,
  stamp: { readonly boot: string; readonly kernel: string },
  log: Log,
): Promise<Journal> {
  let file: FileHandle | undefined;
  let size = 0;
  let told = false;
  const tell = (error: unknown): void => {
    if (!told) {
      const why = error instanceof Error ? error.message : String(error);
      log.error(
        { path, why },
        'The journal cannot be written: history is lost, a crash cannot be undone exactly',
      );
    }
    told = true;
  };
  const reopen = async (): Promise<void> => {
    try {
      file = await open(path, 'a', 0o600);
      size = (await file.stat()).size;
    } catch (error) {
      file = undefined;
      tell(error);
    }
  };
  await reopen();
  let queue: Promise<void> = Promise.resolve();
  const inOrder = (work: () => Promise<void>): Promise<void> => {
    queue = queue.then(work).catch(tell);
    return queue;
  };
  return {
    append: (entry) =>
      inOrder(async () => {
        const line = `${JSON.stringify({ v: 1, at: Date.now() * 1000, ...stamp, ...entry })}\n`;
        if (file === undefined) return;
        await file.appendFile(line);
        await file.datasync();
        size += Buffer.byteLength(line);
      }),
    async jobs(limit) {
      const found = [...(await readJobs(`${path}.1`, tell)), ...(await readJobs(path, tell))];
      return found.reverse().slice(0, limit);
    },
    rotate: () =>
      inOrder(async () => {
        if (file === undefined || size < rotateBytes) return;
        await file.close();
        file = undefined;
        await rename(path, `${path}.1`);
        await reopen();
      }),
    close: () =>
      inOrder(async () => {
        await file?.close();
        file = undefined;
      }),
  };
}

async function readJobs(path: string, tell: (error: unknown) => void): Promise<JobView[]> {
  const text = await readWhole(path, maxReadBytes).catch((error: unknown) => {
    tell(error);
    return undefined;
  });
  return (text ?? '').split('\n').flatMap((line) => {
    const entry = parse(line);
    return entry === undefined ? [] : [entry];
  });
}

function parse(line: string): JobView | undefined {
  if (!line.includes('"event":"job"')) return undefined;
  try {
    const entry: unknown = JSON.parse(line);
    if (typeof entry !== 'object' || entry === null || !('job' in entry)) return undefined;
    return isJobView(entry.job) ? entry.job : undefined;
  } catch {
    return undefined; // a torn line: the write of it was cut off
  }
}

function isJobView(value: unknown): value is JobView {
  return (
    typeof value === 'object' &&
    value !== null &&
    'id' in value &&
    typeof value.id === 'number' &&
    'operation' in value &&
    typeof value.operation === 'string' &&
    'subject' in value &&
    typeof value.subject === 'string' &&
    'state' in value &&
    typeof value.state === 'string' &&
    'steps' in value &&
    Array.isArray(value.steps) &&
    'cards' in value &&
    Array.isArray(value.cards) &&
    'error' in value &&
    typeof value.error === 'string'
  );
}
