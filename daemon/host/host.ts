/** The edges of the machine in one object: what steps and rungs act through. Built in main.ts, faked in no test. */
import type { Log } from '../log.ts';
import type { Paths } from '../paths.ts';
import type { SysfsIo } from '../sysfs/io.ts';
import type { Baseline } from './baseline.ts';
import type { KernelLog } from './kernel-log.ts';
import type { Ledger } from './ledger.ts';
import type { Lock } from './lock.ts';
import type { LoadModule } from './modules.ts';
import type { HostRisk } from './risk.ts';
import type { StuckChildren } from './stuck.ts';
import type { Sleep } from './suspend.ts';

/** Limits in milliseconds. Times seen on real kernels are in facts/kernel.md 9.3 and 0.3. */
export interface Deadlines {
  /** A read of config space. */
  readonly configRead: number;
  /** A read that takes device_lock: driver_override. */
  readonly attributeRead: number;
  /** A write that only takes device_lock: override, power, reset_method. */
  readonly attributeWrite: number;
  /** A write that takes a device out of D3cold: as a reset, the kernel waits for its link and for itself (pci_dev_wait, 60 s). */
  readonly wake: number;
  /** bind, unbind, drivers_probe: a driver's whole probe or remove. */
  readonly bind: number;
  /** How long holders of a device node are waited for. */
  readonly holders: number;
  /** Until QEMU has let go of /dev/vfio/N after `release`. */
  readonly closed: number;
  /** Until a device is there again after a rescan. */
  readonly appear: number;
  /** The whole ladder in `prepare`, and in the background after a guest. */
  readonly reviveInPrepare: number;
  readonly reviveInBackground: number;
}

export const defaultDeadlines: Deadlines = {
  configRead: 5_000,
  attributeRead: 5_000,
  attributeWrite: 10_000,
  wake: 80_000,
  bind: 30_000,
  holders: 10_000,
  closed: 60_000,
  appear: 10_000,
  reviveInPrepare: 100_000,
  reviveInBackground: 300_000,
};

export interface Host {
  readonly paths: Paths;
  readonly io: SysfsIo;
  readonly log: Log;
  readonly kernelLog: KernelLog;
  /** remove, rescan and slot power are serialised over the whole machine (invariant 11). */
  readonly rescanLock: Lock;
  readonly stuck: StuckChildren;
  readonly ledger: Ledger;
  readonly baseline: Baseline;
  readonly risk: HostRisk;
  /** Kernel release, as `uname -r`. */
  readonly kernel: string;
  readonly deadlines: Deadlines;
  /** S3, for the rung that needs it. */
  readonly suspend: Sleep;
  /** Loads a kernel module; rejects with the reason. */
  readonly loadModule: LoadModule;
}
