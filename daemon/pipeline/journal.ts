/**
 * The write-ahead journal: one JSON line per event, on disk (fdatasync) before the step is done (invariant 8). The
 * reader skips what it does not understand and counts it. Rotated between jobs only, so that no open entry is lost.
 */
import { type FileHandle, open, rename } from 'node:fs/promises';
import { readWhole } from '../host/atomic-file.ts';
import type { Log } from '../log.ts';
import { isCardAddress } from '../pci/address.ts';
import type { JobView, StepRecord } from './service.ts';
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
      file = await open(path, 'a+', 0o600);
      size = (await file.stat()).size;
      // A line that a crash has cut off must not take the next one with it.
      const { buffer } = await file.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1));
      if (size > 0 && buffer.toString() !== '\n') await file.appendFile('\n');
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
        try {
          await rename(path, `${path}.1`);
        } finally {
          await reopen();
        }
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
    'progress' in value &&
    typeof value.progress === 'number' &&
    'startedUsec' in value &&
    typeof value.startedUsec === 'number' &&
    'finishedUsec' in value &&
    typeof value.finishedUsec === 'number' &&
    'requestedBy' in value &&
    typeof value.requestedBy === 'string' &&
    'steps' in value &&
    Array.isArray(value.steps) &&
    value.steps.every(isStepRecord) &&
    'cards' in value &&
    Array.isArray(value.cards) &&
    value.cards.every((card: unknown) => typeof card === 'string' && isCardAddress(card)) &&
    'error' in value &&
    typeof value.error === 'string'
  );
}

function isStepRecord(value: unknown): value is StepRecord {
  return (
    typeof value === 'object' &&
    value !== null &&
    'name' in value &&
    typeof value.name === 'string' &&
    'state' in value &&
    typeof value.state === 'string' &&
    'ms' in value &&
    typeof value.ms === 'number' &&
    'detail' in value &&
    typeof value.detail === 'string'
  );
}
