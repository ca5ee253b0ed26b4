/**
 * Is the host itself in danger? IOMMU invalidation time-outs, soft lockups and hung tasks in the kernel log say so
 * (reset/risk-watch.ts reads it); then no further rung is done on any card until a person has looked, or the host was rebooted
 * (invariant 9). Kept in /run.
 */
import { asRevivedError } from '../errors.ts';
import type { Log } from '../log.ts';
import { readOwn, writeWhole } from './atomic-file.ts';

export interface HostRisk {
  /** Why; empty when the host is not known to be at risk. */
  reason(): string;
  mark(reason: string): Promise<void>;
  /** Calls back when it was marked. There is one listener. */
  onMark(listener: () => void): void;
  /** True when there was something to clear. */
  clear(): Promise<boolean>;
}

const maxFileBytes = 64 * 1024;
const maxReason = 500;

/** Opens the mark of this boot. Never throws: what cannot be read counts as no mark, and is said. */
export async function openHostRisk(path: string, log: Log): Promise<HostRisk> {
  let reason = '';
  let onMark = (): void => {};
  const complain = (error: unknown): void => {
    const why = asRevivedError(error).message;
    log.error({ path, why }, 'Whether the host is at risk cannot be kept in its file, ignoring');
  };
  const save = (): Promise<void> =>
    writeWhole(path, JSON.stringify({ version: 1, reason })).catch(complain);
  try {
    const text = await readOwn(path, maxFileBytes);
    const file: unknown = text === undefined ? {} : JSON.parse(text);
    if (typeof file === 'object' && file !== null && 'reason' in file) {
      if (typeof file.reason === 'string') reason = file.reason.slice(0, maxReason);
    }
  } catch (error) {
    complain(error);
  }
  return {
    reason: () => reason,
    async mark(why) {
      if (reason !== '') return;
      reason = why.slice(0, maxReason);
      log.error(
        { reason },
        'The host is at risk: no rung is done on any card until that is cleared',
      );
      onMark();
      await save();
    },
    onMark(listener) {
      onMark = listener;
    },
    async clear() {
      const was = reason !== '';
      reason = '';
      if (was) await save();
      return was;
    },
  };
}
