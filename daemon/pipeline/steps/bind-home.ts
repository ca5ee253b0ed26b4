/**
 * Gives a function back to the driver that it had: the override is aimed at that driver first, so that nobody else gets
 * it in between, and is put back by the steps after this one (invariant 6).
 */
import type { Host } from '../../host/host.ts';
import type { FunctionAddress } from '../../pci/address.ts';
import { deviceDirectory } from '../../pci/device.ts';
import { writeAttribute } from '../../sysfs/attribute.ts';
import { present } from '../../sysfs/read.ts';
import { anyDriver } from '../lease.ts';
import type { StepExecutor } from '../step.ts';
import { driverOf, probe, unbindFrom } from './unbind.ts';
import { untilFree } from './wait-free.ts';

/** A name that no driver has: keeps a function unbound. */
const nobody = 'none';

export const bindHome: StepExecutor<'bind-home'> = {
  describe: ({ driver }) => ({
    detail:
      driver === null
        ? 'leave it without a driver, as it was'
        : `give it back to ${driver === anyDriver ? 'whichever host driver takes it' : driver}`,
    undo: '',
    expectedMs: driver === null ? 30 : 300,
  }),
  survey: ({ fn }, host) => ({ driver: driverOf(host, fn) ?? null }),
  async run({ fn, driver }, { host, signal }) {
    const now = driverOf(host, fn);
    if (driver === anyDriver) return giveToAny(host, fn, now);
    if (now === (driver ?? undefined))
      return driver === null ? 'it has no driver' : `${driver} has it`;
    const path = `${deviceDirectory(host.paths.sys, fn)}/driver_override`;
    await writeAttribute(host.io, path, `${driver ?? nobody}\n`, host.deadlines.attributeWrite);
    if (now !== undefined) {
      if (now !== 'vfio-pci') await untilFree(host, [fn], signal);
      await unbindFrom(host, fn, now);
    }
    if (driver === null) return 'unbound';
    if (!present(`${host.paths.sys}/bus/pci/drivers/${driver}`))
      await host.loadModule(driver, 'driver');
    await probe(host, fn, driver);
    return `${driver} has it`;
  },
  undo: async () => {},
};

async function giveToAny(
  host: Host,
  fn: FunctionAddress,
  now: string | undefined,
): Promise<string> {
  if (now !== undefined && now !== 'vfio-pci') return `${now} has it`;
  const path = `${deviceDirectory(host.paths.sys, fn)}/driver_override`;
  await writeAttribute(host.io, path, '\n', host.deadlines.attributeWrite);
  if (now !== undefined) await unbindFrom(host, fn, now);
  const probe = `${host.paths.sys}/bus/pci/drivers_probe`;
  await writeAttribute(host.io, probe, fn, host.deadlines.bind, ['EINVAL', 'ENODEV']);
  return `${driverOf(host, fn) ?? 'no driver'} has it`;
}
