/**
 * Keeps PCI functions out of runtime sleep: power/control=on pins D0, d3cold_allowed=0 forbids that power is cut. A card
 * that falls into D3cold under a guest, or after vendor-reset, may not come back (facts/kernel.md 4, 6 row 6).
 */
import { asRevivedError } from '../errors.ts';
import type { FunctionAddress } from '../pci/address.ts';
import { deviceDirectory } from '../pci/device.ts';
import { writeAttribute } from '../sysfs/attribute.ts';
import { readAttribute } from '../sysfs/read.ts';
import type { Host } from './host.ts';

/** What is written, in this order: a file of the function and its value. */
export const awakeSettings = [
  ['power/control', 'on'],
  ['d3cold_allowed', '0'],
] as const;

/** Writes what differs, where there is such a file; gives the number of changes. Rejects with the first failure. */
export async function keepAwake(host: Host, devices: readonly FunctionAddress[]): Promise<number> {
  let changed = 0;
  for (const device of devices) {
    const directory = deviceDirectory(host.paths.sys, device);
    const { wake, attributeWrite } = host.deadlines;
    for (const [name, value] of awakeSettings) {
      const now = readAttribute(`${directory}/${name}`);
      if (now === undefined || now === value) continue;
      const isCold = readAttribute(`${directory}/power_state`) === 'D3cold';
      await writeAttribute(host.io, `${directory}/${name}`, value, isCold ? wake : attributeWrite);
      changed++;
    }
  }
  return changed;
}

/** As keepAwake; never rejects, but says what could not be written. */
export async function triedAwake(
  host: Host,
  devices: readonly FunctionAddress[],
): Promise<readonly string[]> {
  try {
    await keepAwake(host, devices);
    return [];
  } catch (thrown) {
    return [asRevivedError(thrown).message];
  }
}

/** The functions that sleep, or that the kernel could not wake: `power_state` is its own belief and never blocks. */
export function sleepersOf(
  sys: string,
  devices: readonly FunctionAddress[],
): readonly FunctionAddress[] {
  return devices.filter((device) => {
    const directory = deviceDirectory(sys, device);
    const status = readAttribute(`${directory}/power/runtime_status`) ?? '';
    return (
      /^(suspended|suspending|resuming|error)$/.test(status) ||
      readAttribute(`${directory}/power_state`) === 'D3cold'
    );
  });
}
