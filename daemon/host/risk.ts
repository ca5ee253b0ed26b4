/**
 * Is the host itself in danger? IOMMU invalidation time-outs, soft lockups and hung tasks in the kernel log say so; then no
 * further rung is done on any card until a person has looked, or the host was rebooted (invariant 9). Kept in /run.
 */
import { asRevivedError } from '../errors.ts';
import type { Log } from '../log.ts';
import { readOwn, writeWhole } from './atomic-file.ts';

export interface HostRisk {
  /** Why; empty when the host is not known to be at risk. */
  reason(): string;
  mark(reason: string): Promise<void>;
  /** True when there was something to clear. */
  clear(): Promise<boolean>;
}

// facts/kernel.md 3.3, lines 30, 31, 33 and 51; the formats are those of drivers/iommu/amd/iommu.c,
// drivers/iommu/intel/dmar.c, kernel/watchdog.c, kernel/hung_task.c and kernel/rcu/tree_stall.h.
const riskLines: readonly RegExp[] = [
  /AMD-Vi: .*Completion-Wait loop timed out/,
  /AMD-Vi: Event logged \[IOTLB_INV_TIMEOUT /,
  /DMAR: .*Invalidation Time-out Error/,
  /DMAR: .*Invalidation Completion Error/,
  /watchdog: (BUG: )?soft lockup - CPU#\d+ stuck/,
  /watchdog: .*hard LOCKUP/i,
  // The name of a task may have spaces: QEMU's threads are called `CPU 0/KVM`.
  /INFO: task .{1,64}:\d+ blocked (in I\/O wait )?for more than \d+ seconds/,
  /rcu: INFO: \S+ (self-)?detected (expedited )?stalls?/,
];
/** A child of ours that hangs on a dead card is known already (invariant 3) and is no danger to the host. */
const ownChild = /INFO: task dd:\d+ blocked (in I\/O wait )?for more than/;
const maxFileBytes = 64 * 1024;
const maxReason = 500;

/** The first of these kernel log lines that says that the host is at risk; undefined when none does. */
export function riskIn(lines: readonly string[]): string | undefined {
  return lines.find((line) => !ownChild.test(line) && riskLines.some((risk) => risk.test(line)));
}

/** Opens the mark of this boot. Never throws: what cannot be read counts as no mark, and is said. */
export async function openHostRisk(path: string, log: Log): Promise<HostRisk> {
  let reason = '';
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
      await save();
    },
    async clear() {
      const was = reason !== '';
      reason = '';
      if (was) await save();
      return was;
    },
  };
}
