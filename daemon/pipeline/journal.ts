/**
 * The write-ahead journal: one JSON line per event, on disk (fdatasync) before the step is done (invariant 8). When a file is
 * full a new one begins with what is still open, so that rotation never loses an open entry.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { distrust, readOwn, writeWhole } from '../host/atomic-file.ts';
import type { Log } from '../log.ts';
import {
  type JournalEntry,
  journalVersion,
  type Line,
  openingOf,
  type PastEntry,
  parseLine,
  type Stamp,
} from './journal-entry.ts';
import type { JobView } from './service.ts';

/** What an earlier daemon left: all since it began, or all there is. */
interface Past {
  /** Oldest first. */
  readonly entries: readonly PastEntry[];
  /** The highest number of a job. */
  readonly lastJob: number;
}

export interface Journal {
  /** As it was found at the opening. */
  readonly past: Past;
  append(...entries: readonly JournalEntry[]): Promise<void>;
  /** Finished jobs, newest first. */
  jobs(limit: number): Promise<readonly JobView[]>;
  /** Resolves when everything before it is written; starts a new file when this one is full. */
  rotate(): Promise<void>;
  close(): Promise<void>;
}

/** Bytes after which a file is rotated, and the most that is ever read back. */
const rotateBytes = 4 * 1024 * 1024;
const maxReadBytes = 16 * 1024 * 1024;

/** Opens the journal. `stamp` goes into every line. Never throws: without a disk it only logs. */
export async function openJournal(path: string, stamp: Stamp, log: Log): Promise<Journal> {
  let file: FileHandle | undefined;
  let size = 0;
  let told = false;
  let rotateAt = rotateBytes;
  let closed = false;
  let isLost = false;
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
      file = await openOwn(path, log);
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
  const past = await readPast(path, log);
  /** Lines of what is not ended yet, by what it is. */
  const openLines = new Map<string, string>();
  let lastJob = past.lastJob;

  let queue: Promise<void> = Promise.resolve();
  const inOrder = (work: () => Promise<void>): Promise<void> => {
    queue = queue.then(work).catch(tell);
    return queue;
  };
  const lineOf = (entry: JournalEntry): string => {
    const line = { v: journalVersion, at: Date.now() * 1000, ...stamp, ...entry };
    return `${JSON.stringify(entry.event === 'daemon' ? { ...line, lastJob } : line)}\n`;
  };
  const rotateIfFull = async (): Promise<void> => {
    if (file === undefined || size < rotateAt) return;
    await file.close();
    file = undefined;
    // Where it cannot be moved, the next try is as far away as this one was.
    rotateAt = size + rotateBytes;
    try {
      const mark = lineOf({ event: 'daemon', state: 'started' });
      await rename(path, `${path}.1`);
      await writeWhole(path, [mark, ...openLines.values()].join(''));
      rotateAt = rotateBytes;
    } finally {
      await reopen();
    }
  };
  return {
    past,
    append: (...entries) =>
      inOrder(async () => {
        const lines = entries.map((entry) => ({ line: lineOf(entry), opening: openingOf(entry) }));
        for (const entry of entries) if (entry.event === 'begin') lastJob = entry.job.id;
        for (const { line, opening } of lines) {
          if (opening?.open === true) openLines.set(opening.key, line);
          else if (opening !== undefined) openLines.delete(opening.key);
        }
        // After a failure (a full disk) each entry tries anew; what was cut off gets its end of line first.
        if (file === undefined && !closed) await reopen();
        if (file === undefined) return;
        const all = lines.map(({ line }) => line).join('');
        try {
          await file.appendFile(all);
          await file.datasync();
        } catch (error) {
          await file.close();
          file = undefined;
          isLost = true;
          throw error;
        }
        if (isLost) log.info({ path }, 'The journal can be written again');
        isLost = false;
        told = false;
        size += Buffer.byteLength(all);
        await rotateIfFull();
      }),
    async jobs(limit) {
      const texts = [await readText(`${path}.1`, tell), await readText(path, tell)];
      const found = texts.flatMap((text) => text.split('\n')).flatMap(jobIn);
      return found.reverse().slice(0, limit);
    },
    rotate: () => inOrder(rotateIfFull),
    close: () =>
      inOrder(async () => {
        closed = true;
        await file?.close();
        file = undefined;
      }),
  };
}

const journalFlags =
  constants.O_RDWR |
  constants.O_APPEND |
  constants.O_CREAT |
  constants.O_NOFOLLOW |
  constants.O_NONBLOCK;

// A file that somebody else could have written is put aside, not read and not continued.
async function openOwn(path: string, log: Log): Promise<FileHandle> {
  for (const isRetry of [false, true]) {
    const file = await open(path, journalFlags, 0o600).catch((error: unknown) => {
      if (!isRetry && error instanceof Error && 'code' in error && error.code === 'ELOOP') {
        return undefined;
      }
      throw error;
    });
    const why = file === undefined ? 'it is a link' : distrust(await file.stat());
    if (file !== undefined && why === undefined) return file;
    await file?.close();
    if (isRetry) throw new Error(`${path} is not trusted: ${why}`);
    const aside = `${path}.untrusted`;
    await rename(path, aside);
    log.error(
      { path, why, aside },
      'The journal is not trusted and was put aside: its history and what it says of a crash are lost',
    );
  }
  throw new Error(`${path} cannot be opened`);
}

async function readText(path: string, tell: (error: unknown) => void): Promise<string> {
  const text = await readOwn(path, maxReadBytes).catch((error: unknown) => {
    tell(error);
    return undefined;
  });
  return text ?? '';
}

const startedMark = '"event":"daemon","state":"started"';

// Only what came after the last start is not settled yet; where the rotation was cut off, that is in the older file.
async function readPast(path: string, log: Log): Promise<Past> {
  const quiet = (error: unknown): void => {
    log.warn(
      { path, why: error instanceof Error ? error.message : String(error) },
      'The journal cannot be read: what was in hand before is known from the leases alone',
    );
  };
  let text = await readText(path, quiet);
  if (!text.includes(startedMark)) text = (await readText(`${path}.1`, quiet)) + text;
  const mark = text.lastIndexOf(startedMark);
  const begin = mark < 0 ? 0 : text.lastIndexOf('\n', mark) + 1;
  const lines = text
    .slice(begin)
    .split('\n')
    .filter((line) => line !== '')
    .map(parseLine);
  const count = (kind: Line['kind']): number => lines.filter((line) => line.kind === kind).length;
  const skipped = { torn: count('torn'), foreign: count('foreign'), newer: count('newer') };
  if (skipped.torn + skipped.foreign + skipped.newer > 0) {
    log.warn(
      { path, ...skipped },
      'Lines of the journal were skipped: cut off, not ours, or written by a newer version',
    );
  }
  const entries = lines.flatMap((line) => (line.kind === 'entry' ? [line.entry] : []));
  return { entries, lastJob: entries.reduce(highestJob, 0) };
}

function highestJob(highest: number, entry: PastEntry): number {
  switch (entry.event) {
    case 'daemon':
      return Math.max(highest, entry.lastJob);
    case 'begin':
    case 'job':
      return Math.max(highest, entry.job.id);
    default:
      return highest;
  }
}

function jobIn(line: string): readonly JobView[] {
  if (!line.includes('"event":"job"')) return [];
  const parsed = parseLine(line);
  return parsed.kind === 'entry' && parsed.entry.event === 'job' ? [parsed.entry.job] : [];
}
