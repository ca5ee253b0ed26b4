/**
 * The kernel log as evidence: lines since a point in time that name one of a card's functions. /dev/kmsg is opened
 * once, non-blocking; each read(2) gives one record `prio,seq,usec,flags;text` (Documentation/ABI/testing/dev-kmsg).
 */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { asRevivedError } from '../errors.ts';

export interface KernelLog {
  /** A point in the log: now. */
  cursor(): number;
  /** Lines since a cursor that contain one of `needles`; at most `limit`, the last ones. */
  since(cursor: number, needles: readonly string[], limit: number): readonly string[];
  /** Why nothing can be read, as the system says it; undefined where it can. */
  unreadable(): string | undefined;
  close(): void;
}

/** Most records that are kept; older ones are dropped. */
const maxLines = 2000;
const maxRecord = 8192;

/** Opens the log of this host. Where it may not be read, there is no evidence, and no error: `unreadable` says why. */
export function openKernelLog(dev: string): KernelLog {
  let fd: number | undefined;
  let refusal: string | undefined;
  try {
    fd = openSync(`${dev}/kmsg`, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    refusal = asRevivedError(error).message;
  }
  const record = Buffer.alloc(maxRecord);
  let lines: { readonly at: number; readonly text: string }[] = [];
  let count = 0;
  const drain = (): void => {
    if (fd === undefined) return;
    // Bounded by the size of the ring buffer: it ends with EAGAIN when there is no newer record.
    for (;;) {
      try {
        const length = readSync(fd, record, 0, maxRecord, null);
        refusal = undefined;
        if (length === 0) break;
        lines.push({ at: count++, text: textOf(record.toString('latin1', 0, length)) });
      } catch (error) {
        // EPIPE: records were overwritten before we read them; the next read goes on with the oldest one left.
        if (hasCode(error, 'EPIPE')) continue;
        if (!hasCode(error, 'EAGAIN')) refusal = asRevivedError(error).message;
        break;
      }
    }
    if (lines.length > maxLines) lines = lines.slice(-maxLines);
  };
  return {
    cursor() {
      drain();
      return count;
    },
    since(cursor, needles, limit) {
      drain();
      return lines
        .filter(({ at, text }) => at >= cursor && needles.some((needle) => text.includes(needle)))
        .map(({ text }) => text)
        .slice(-limit);
    },
    unreadable() {
      drain();
      return refusal;
    },
    close() {
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
    },
  };
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

function textOf(record: string): string {
  const text = record.slice(record.indexOf(';') + 1);
  const end = text.indexOf('\n');
  return end < 0 ? text : text.slice(0, end);
}
