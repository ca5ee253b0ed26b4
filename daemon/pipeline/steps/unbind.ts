/** Takes a function from its driver and checks that it is free. The undo lets the old driver have it again. */
import { RevivedError } from '../../errors.ts';
import type { Host } from '../../host/host.ts';
import type { FunctionAddress } from '../../pci/address.ts';
import { deviceDirectory } from '../../pci/device.ts';
import type { Card } from '../../pci/inventory.ts';
import { readOverride } from '../../pci/override.ts';
import { writeAttribute } from '../../sysfs/attribute.ts';
import { readLinkName } from '../../sysfs/read.ts';
import type { StepExecutor } from '../step.ts';

export const unbind: StepExecutor<'unbind'> = {
  describe: () => ({
    detail: 'take it from its driver',
    undo: 'bind the old driver',
    expectedMs: 100,
  }),
  survey: ({ fn }, host) => ({ driver: driverOf(host, fn) ?? null }),
  async run({ fn }, { host }) {
    const driver = driverOf(host, fn);
    if (driver === undefined) return 'no driver has it';
    await unbindFrom(host, fn, driver);
    return `${driver} let go`;
  },
  async undo({ fn }, undo, { host }) {
    const driver = undo['driver'];
    if (typeof driver !== 'string' || driverOf(host, fn) === driver) return;
    await bindTo(host, fn, driver);
  },
};

/** The driver that has a function now. */
export function driverOf(host: Host, fn: FunctionAddress): string | undefined {
  return readLinkName(`${deviceDirectory(host.paths.sys, fn)}/driver`);
}

/** The drivers that have the functions of a card now, in one text: another one where any has changed. */
export function driversOf(host: Host, { functions }: Card): string {
  return functions.map((fn) => driverOf(host, fn.address) ?? '-').join(' ');
}

/** Unbinds and checks. Rejects with `stuck` when the driver never lets go, `failed` when it still has it. */
export async function unbindFrom(host: Host, fn: FunctionAddress, driver: string): Promise<void> {
  const path = `${host.paths.sys}/bus/pci/drivers/${driver}/unbind`;
  // ENODEV: the driver lost it in the meantime, which is what is wanted.
  await writeAttribute(host.io, path, fn, host.deadlines.bind, ['ENODEV']);
  if (driverOf(host, fn) === driver) {
    throw new RevivedError('failed', `${fn} is still bound to ${driver} after unbinding it.`);
  }
}

/**
 * Binds a function to one driver, whatever the override says at the moment, and checks that it has it. The override is
 * aimed at the driver for the probe and put back afterwards, on the error path too.
 */
async function bindTo(host: Host, fn: FunctionAddress, driver: string): Promise<void> {
  const path = `${deviceDirectory(host.paths.sys, fn)}/driver_override`;
  const before = await readOverride(host, fn);
  if (before !== driver)
    await writeAttribute(host.io, path, `${driver}\n`, host.deadlines.attributeWrite);
  try {
    const other = driverOf(host, fn);
    if (other !== undefined && other !== driver) await unbindFrom(host, fn, other);
    await probe(host, fn, driver);
  } finally {
    if (before !== driver)
      await writeAttribute(host.io, path, `${before}\n`, host.deadlines.attributeWrite);
  }
}

/** Asks the kernel to probe; drivers_probe answers 0 with no driver bound too, so the link is what counts. */
export async function probe(host: Host, fn: FunctionAddress, driver: string): Promise<void> {
  if (driverOf(host, fn) === driver) return;
  const path = `${host.paths.sys}/bus/pci/drivers_probe`;
  await writeAttribute(host.io, path, fn, host.deadlines.bind, ['EINVAL', 'ENODEV']);
  if (driverOf(host, fn) !== driver) {
    throw new RevivedError(
      'failed',
      `The driver ${driver} did not take ${fn}.`,
      `The kernel log says why: journalctl -k --grep ${fn}`,
    );
  }
}
