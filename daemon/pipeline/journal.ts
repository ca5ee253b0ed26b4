/**
 * The write-ahead journal: one JSON line per event, on disk (fdatasync) before the step is done (invariant 8). When a file is
 * full a new one begins with what is still open, so that rotation never loses an open entry.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { asRevivedError } from '../errors.ts';
import { distrust, readOwn, writeWhole } from '../host/atomic-file.ts';
import { createDisk } from '../host/disk.ts';
import type { Log } from '../log.ts';
import type { CardAddress } from '../pci/address.ts';
import {
  endingOf,
  hazardIn,
  type JournalEntry,
  journalVersion,
  type Line,
  type PastEntry,
  parseLine,
  type Stamp,
  trackOpen,
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
  /** Ends the steps and rungs of a card that are open, because the child that hung in them is back. */
  endOpen(card: CardAddress, detail: string): Promise<void>;
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
  const disk = createDisk();
  let file: FileHandle | undefined;
  let size = 0;
  let told = false;
  let rotateAt = rotateBytes;
  let closed = false;
  let isPutAside = false;
  /** False: something began or ended that the file does not have. */
  let isWhole = true;
  const tell = (error: unknown): void => {
    if (!told) {
      const why = asRevivedError(error).message;
      log.error(
        { path, why },
        'The journal cannot be written: history is lost, a crash cannot be undone exactly',
      );
    }
    told = true;
  };
  const reopen = async (): Promise<void> => {
    let opened: FileHandle | undefined;
    try {
      opened = await openOwn(path, log, () => {
        isPutAside = true;
      });
      size = (await opened.stat()).size;
      // A line that a crash has cut off must not take the next one with it.
      const { buffer } = await opened.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1));
      if (size > 0 && buffer.toString() !== '\n') await opened.appendFile('\n');
      file = opened;
    } catch (error) {
      await opened?.close().catch(() => undefined); // why it is of no use is what counts
      file = undefined;
      tell(error);
    }
  };
  await reopen();
  const { openLines, ...past } = await readPast(path, isPutAside, log);
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
  /** All that a reader needs of what was before: where a file begins, or has a gap. */
  const whatIsOpen = (): string =>
    [lineOf({ event: 'daemon', state: 'started' }), ...openLines.values()].join('');
  /** Takes note of it; gives what is to be written. */
  const note = (entry: JournalEntry): string => {
    const line = lineOf(entry);
    if (entry.event === 'begin') lastJob = entry.job.id;
    trackOpen(openLines, entry, line);
    if (entry.event !== 'daemon' || entry.state !== 'started') return line;
    // What an earlier daemon had in hand is settled by now, but for what a child of its still hangs in.
    for (const [key, open] of openLines) {
      const card = hazardIn(open);
      if (card === undefined || entry.hanging?.includes(card) !== true) openLines.delete(key);
    }
    return [line, ...openLines.values()].join('');
  };
  const rotateIfFull = async (): Promise<void> => {
    if (file === undefined || size < rotateAt) return;
    const full = file;
    const open = whatIsOpen();
    let isMoved = false;
    let isBegun = false;
    try {
      await disk.ask(async () => {
        await full.close();
        file = undefined;
        // Where it cannot be moved, the next try is as far away as this one was.
        rotateAt = size + rotateBytes;
        try {
          await rename(path, `${path}.1`);
          isMoved = true;
          await writeWhole(path, open);
          isBegun = true;
          rotateAt = rotateBytes;
        } finally {
          await reopen();
        }
      });
    } finally {
      if (isMoved && !isBegun) isWhole = false;
    }
  };
  const write = async (text: string): Promise<void> => {
    if (file === undefined && !closed) await reopen();
    if (file === undefined) return;
    try {
      await file.appendFile(text);
      await file.datasync();
    } catch (error) {
      await file.close();
      file = undefined;
      throw error;
    }
    size += Buffer.byteLength(text);
  };
  /** Writes what `make` gives when its turn has come; what cannot be written is a gap, which the next write fills. */
  const add = (make: () => string): Promise<void> =>
    inOrder(async () => {
      // After a failure (a full disk) each entry tries anew; what was cut off gets its end of line first.
      const gap = isWhole ? '' : whatIsOpen();
      const text = make();
      if (text === '') return;
      isWhole = false;
      await disk.ask(() => write(gap + text));
      if (file === undefined) return;
      isWhole = true;
      if (gap !== '') log.info({ path }, 'The journal can be written again');
      told = false;
      await rotateIfFull();
    });
  return {
    past,
    append: (...entries) => add(() => entries.map(note).join('')),
    endOpen: (card, detail) =>
      add(() => {
        const ended = [...openLines].filter(([, line]) => hazardIn(line) === card);
        for (const [key] of ended) openLines.delete(key);
        return ended.map(([, line]) => endingOf(line, Date.now() * 1000, detail)).join('');
      }),
    async jobs(limit) {
      const texts = [await readText(`${path}.1`, log), await readText(path, log)];
      const found = texts.flatMap((text) => (text ?? '').split('\n')).flatMap(jobIn);
      return found.reverse().slice(0, limit);
    },
    rotate: () => inOrder(rotateIfFull),
    close: () =>
      inOrder(async () => {
        closed = true;
        await disk.ask(async () => {
          await file?.close();
          file = undefined;
        });
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
async function openOwn(path: string, log: Log, onAside: () => void): Promise<FileHandle> {
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
    onAside();
    log.error(
      { path, why, aside },
      'The journal is not trusted and was put aside: its history and what it says of a crash are lost',
    );
  }
  throw new Error(`${path} cannot be opened`);
}

// Empty: there is no file, or nothing in it. Undefined: there is one, but it cannot be read.
async function readText(path: string, log: Log): Promise<string | undefined> {
  try {
    return (await readOwn(path, maxReadBytes)) ?? '';
  } catch (error) {
    const why = asRevivedError(error).message;
    log.warn(
      { path, why },
      'The journal cannot be read: what it says of earlier jobs is not known',
    );
    return undefined;
  }
}

const startedMark = '"event":"daemon","state":"started"';

// Only what came after the last start is not settled yet. A mark that is cut off settles nothing.
function lastStart(text: string): number | undefined {
  for (let mark = text.length; mark > 0; ) {
    mark = text.lastIndexOf(startedMark, mark - 1);
    if (mark < 0) return undefined;
    const begin = text.lastIndexOf('\n', mark) + 1;
    const { kind } = parseLine(text.slice(begin).split('\n', 1)[0] ?? '');
    if (kind === 'entry' || kind === 'newer') return begin;
  }
  return undefined;
}

interface Found extends Past {
  /** Lines of what is not ended yet, by what it is. */
  readonly openLines: Map<string, string>;
}

async function readPast(path: string, isPutAside: boolean, log: Log): Promise<Found> {
  const text = await readText(path, log);
  const start = lastStart(text ?? '');
  const older = start === undefined ? ((await readText(`${path}.1`, log)) ?? '') : '';
  // Cut off between its two renames, a rotation leaves no file or an empty one, and all is in the older one. Behind a file
  // that is damaged or not ours the older one was settled long ago: it only has the number of the last job.
  const isCutOff = text === '' && !isPutAside;
  const before = linesIn(older.slice(lastStart(older) ?? 0));
  const lines = isCutOff ? before : linesIn((text ?? '').slice(start ?? 0));
  const count = (kind: Line['kind']): number =>
    lines.filter(({ line }) => line.kind === kind).length;
  const skipped = { torn: count('torn'), foreign: count('foreign'), newer: count('newer') };
  if (skipped.torn + skipped.foreign + skipped.newer > 0) {
    log.warn(
      { path, ...skipped },
      'Lines of the journal were skipped: cut off, not ours, or written by a newer version',
    );
  }
  const openLines = new Map<string, string>();
  for (const { line, raw } of lines) {
    if (line.kind === 'entry') trackOpen(openLines, line.entry, `${raw}\n`);
  }
  const entries = entriesOf(lines);
  return { entries, openLines, lastJob: [...entriesOf(before), ...entries].reduce(highestJob, 0) };
}

interface ReadLine {
  readonly raw: string;
  readonly line: Line;
}

function linesIn(text: string): readonly ReadLine[] {
  const lines = text.split('\n').filter((raw) => raw !== '');
  return lines.map((raw) => ({ raw, line: parseLine(raw) }));
}

function entriesOf(lines: readonly ReadLine[]): readonly PastEntry[] {
  return lines.flatMap(({ line }) => (line.kind === 'entry' ? [line.entry] : []));
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
