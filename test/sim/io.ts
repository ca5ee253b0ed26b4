/**
 * The daemon's doors, onto a simulated kernel in the same process. Time is the kernel's: with a virtual clock nothing
 * is waited for, results carry the time it would have taken, and what would not return by its deadline is `stuck`.
 */
import type { KernelLog } from '../../daemon/host/kernel-log.ts';
import { type Paths, pathsFrom } from '../../daemon/paths.ts';
import type { IoResult, SysfsIo } from '../../daemon/sysfs/io.ts';
import type { SimKernel, WriteOutcome } from './kernel.ts';
import { ddLine } from './strerror.ts';

/** Pids of stuck children: above pid_max (4194304), so they are nobody's. */
const firstPid = 5_000_000;

export interface SimIo extends SysfsIo {
  /** Every write that came through here, in order. */
  readonly writes: readonly { readonly path: string; readonly value: string }[];
}

/** The door to a simulated kernel. `onFreed` hears of a stuck access that came back after all, as in sysfs/child.ts. */
export function simIo(
  kernel: SimKernel,
  onFreed: (path: string, pid: number, ms: number) => void = () => {},
): SimIo {
  const writes: { path: string; value: string }[] = [];
  const elapse = async (ms: number): Promise<void> => {
    if (kernel.clock === 'virtual') kernel.advance(ms);
    else if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  };
  const settle = async (
    doing: 'writing' | 'reading',
    path: string,
    outcome: WriteOutcome & { readonly data?: Buffer },
    deadlineMs: number,
  ): Promise<IoResult> => {
    const { errno, delayMs, pending, data = Buffer.alloc(0) } = outcome;
    if (pending !== null) {
      const start = kernel.now();
      const pid = firstPid + pending;
      const stop = kernel.onEnded((id) => {
        if (id !== pending) return;
        stop();
        onFreed(path, pid, kernel.now() - start);
      });
      await elapse(deadlineMs);
      return { state: 'stuck', ms: deadlineMs, pid };
    }
    if (delayMs > deadlineMs) {
      await elapse(deadlineMs);
      return { state: 'stuck', ms: deadlineMs, pid: firstPid };
    }
    await elapse(delayMs);
    if (errno === null) return { state: 'ok', ms: delayMs, data };
    return { state: 'error', ms: delayMs, errno, message: ddLine(doing, path, errno) };
  };
  return {
    writes,
    write(path, value, deadlineMs) {
      writes.push({ path, value });
      return settle('writing', path, kernel.write(path, value), deadlineMs);
    },
    read(path, length, deadlineMs) {
      return settle('reading', path, kernel.read(path, length), deadlineMs);
    },
  };
}

/** The kernel log of a simulated machine, as the daemon reads it. */
export function simKernelLog(kernel: SimKernel): KernelLog {
  return {
    cursor: () => kernel.log.length,
    since: (cursor, needles, limit) =>
      kernel.log
        .slice(cursor)
        .filter((line) => needles.some((needle) => line.includes(needle)))
        .slice(-limit),
    unreadable: () => undefined,
    close: () => {},
  };
}

/** Environment that points a daemon at a simulated machine; `dd` comes from installDd (dd-wrapper.ts). */
export function simEnvironment(
  kernel: SimKernel,
  dd?: string,
): Readonly<Record<'REVIVED_SYS' | 'REVIVED_PROC' | 'REVIVED_DEV' | 'REVIVED_DD', string>> {
  return {
    REVIVED_SYS: kernel.sys,
    REVIVED_PROC: `${kernel.root}/proc`,
    REVIVED_DEV: `${kernel.root}/dev`,
    REVIVED_DD: dd ?? '/nonexistent/dd',
  };
}

/** Paths of a daemon on a simulated machine; its own state goes into the machine's directory too. */
export function simPaths(kernel: SimKernel, dd?: string): Paths {
  return pathsFrom({
    ...simEnvironment(kernel, dd),
    RUNTIME_DIRECTORY: `${kernel.root}/run`,
    STATE_DIRECTORY: `${kernel.root}/state`,
    CONFIGURATION_DIRECTORY: `${kernel.root}/etc`,
    REVIVED_VENDOR_CONFIG: `${kernel.root}/vendor`,
  });
}
