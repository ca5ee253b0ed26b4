/**
 * Errors that the PCI Express links of a card reported, as the kernel counts them since it knows the device: aer_dev_* of every
 * function and port, aer_rootport_total_err_* of the root port (drivers/pci/pcie/aer.c). The root port's move where the
 * function's own stay 0 or are absent (facts/kernel.md 0.13). Reads take no lock and never block.
 */
import { readAttribute } from '../sysfs/read.ts';
import type { FunctionAddress } from './address.ts';
import { deviceDirectory } from './device.ts';

const severities = ['fatal', 'nonfatal', 'correctable'] as const;
type Severity = (typeof severities)[number];

/** Counts by `0000:00:04.0 fatal SDES`. Empty where there is no AER. */
export type AerCounts = ReadonlyMap<string, number>;

export interface AerRise {
  readonly address: FunctionAddress;
  readonly severity: Severity;
  /** `2 (SDES, CmpltTO)`: how many, and which where the kernel says so. */
  readonly what: string;
}

const rootPortFiles: Readonly<Record<Severity, string>> = {
  fatal: 'aer_rootport_total_err_fatal',
  nonfatal: 'aer_rootport_total_err_nonfatal',
  correctable: 'aer_rootport_total_err_cor',
};
/** What a root port was told, not what it saw itself. */
const told = 'reported to it';
const maxLines = 64;

/** Reads the counters of these functions and ports. What is missing is left out. */
export function readAerCounts(sys: string, addresses: readonly FunctionAddress[]): AerCounts {
  const counts = new Map<string, number>();
  for (const address of addresses) {
    const directory = deviceDirectory(sys, address);
    for (const severity of severities) {
      const own = readAttribute(`${directory}/aer_dev_${severity}`);
      // No file for one severity, none for the others (aer_stats_attrs_are_visible).
      if (own === undefined) break;
      for (const line of own.split('\n').slice(0, maxLines)) {
        // Names may have spaces: the ABI text has long ones, the kernel prints short ones (facts/kernel.md 1).
        const [, name = '', digits = ''] = /^(\S.{0,40}?) (\d{1,15})$/.exec(line) ?? [];
        if (name === '' || name.startsWith('TOTAL_')) continue;
        counts.set(`${address} ${severity} ${name}`, Number(digits));
      }
      const total = readAttribute(`${directory}/${rootPortFiles[severity]}`);
      if (total !== undefined && /^\d{1,15}$/.test(total)) {
        counts.set(`${address} ${severity} ${told}`, Number(total));
      }
    }
  }
  return counts;
}

/** What was counted between two readings. A smaller number is of a device that was found anew, and counts from 0. */
export function aerRises(
  before: AerCounts,
  after: AerCounts,
  addresses: readonly FunctionAddress[],
): readonly AerRise[] {
  return addresses.flatMap((address) =>
    severities.flatMap((severity) => {
      const prefix = `${address} ${severity} `;
      let own = 0;
      let all = 0;
      const names: string[] = [];
      for (const [key, now] of after) {
        if (!key.startsWith(prefix)) continue;
        const rise = riseOf(before.get(key) ?? 0, now);
        if (rise === 0) continue;
        const name = key.slice(prefix.length);
        if (name === told) all = rise;
        else {
          own += rise;
          names.push(name);
        }
      }
      const count = Math.max(own, all);
      if (count === 0) return [];
      const what = names.length === 0 ? `${count}` : `${count} (${names.join(', ')})`;
      return [{ address, severity, what }];
    }),
  );
}

/**
 * The baseline as the counters have it that were found anew between two readings, as after a rescan, and count from 0: what had
 * risen before stays risen. Such counts are below 0.
 */
export function carriedOver(baseline: AerCounts, before: AerCounts, after: AerCounts): AerCounts {
  const carried = new Map(baseline);
  for (const [key, then] of before) {
    const isAnew = (after.get(key) ?? 0) < then;
    if (isAnew) carried.set(key, 0 - riseOf(baseline.get(key) ?? 0, then));
  }
  return carried;
}

function riseOf(then: number, now: number): number {
  return now < then ? now : now - then;
}

/** One line for people: `0000:00:04.0: fatal PCIe errors (AER): 1 (SDES)`. */
export function riseText({ address, severity, what }: AerRise): string {
  return `${address}: ${severity} PCIe errors (AER): ${what}`;
}
