/**
 * driver_override of a function. Its show function takes the device's lock on most kernels (drivers/pci/pci-sysfs.c; 6.1
 * does, Debian's 6.12 does not), so a plain read stands still for as long as a reset of the card hangs: it goes through a
 * child, as writes do (invariant 3; facts/kernel.md 0.4).
 */
import { RevivedError } from '../errors.ts';
import type { SysfsIo } from '../sysfs/io.ts';
import type { FunctionAddress } from './address.ts';
import { deviceDirectory } from './device.ts';

/** What a read of it needs; a Host is one. */
export interface OverrideReader {
  readonly paths: { readonly sys: string };
  readonly io: SysfsIo;
  /** `attributeRead` in milliseconds. */
  readonly deadlines: { readonly attributeRead: number };
}

const maxBytes = 256;

/** Its value; `(null)` and a missing file are empty. Rejects with `stuck` when the kernel does not answer in time. */
export async function readOverride(from: OverrideReader, fn: FunctionAddress): Promise<string> {
  const path = `${deviceDirectory(from.paths.sys, fn)}/driver_override`;
  const result = await from.io.read(path, maxBytes, from.deadlines.attributeRead);
  if (result.state === 'stuck') {
    throw new RevivedError(
      'stuck',
      `The kernel does not say which driver ${fn} is kept for: child ${result.pid} is in D state, because a reset or a driver holds the device.`,
      'Nothing more is done to this card until it returns; if it never does, only a host reboot helps.',
    );
  }
  const value = result.state === 'ok' ? result.data.toString('latin1').trimEnd() : '';
  return value === '(null)' ? '' : value;
}
