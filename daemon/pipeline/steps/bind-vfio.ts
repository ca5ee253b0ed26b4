/**
 * Binds a function to vfio-pci by driver_override (invariant 6) and checks the driver link and the group node. Takes it
 * from a host driver that grabbed it in a rescan (facts/kernel.md 0.11).
 */
import { waitFor } from '../../deadline.ts';
import { RevivedError } from '../../errors.ts';
import { vfioNode } from '../../host/holders.ts';
import { deviceDirectory } from '../../pci/device.ts';
import { readOverride } from '../../pci/override.ts';
import { writeAttribute } from '../../sysfs/attribute.ts';
import { present, readLinkName } from '../../sysfs/read.ts';
import type { StepExecutor } from '../step.ts';
import { driverOf, probe, unbindFrom } from './unbind.ts';
import { untilFree } from './wait-free.ts';

const driver = 'vfio-pci';
/** devtmpfs makes the node within the bind; this is for udev hosts that replace it. */
const nodeMs = 2000;

export const bindVfio: StepExecutor<'bind-vfio'> = {
  describe: () => ({
    detail: 'bind it to vfio-pci',
    undo: 'unbind it from vfio-pci',
    expectedMs: 60,
  }),
  survey: ({ fn }, host) => ({ driver: driverOf(host, fn) ?? null }),
  async run({ fn }, { host, signal }) {
    const directory = deviceDirectory(host.paths.sys, fn);
    if (!present(`${host.paths.sys}/bus/pci/drivers/${driver}`))
      await host.loadModule(driver, 'driver');
    if ((await readOverride(host, fn)) !== driver) {
      await writeAttribute(
        host.io,
        `${directory}/driver_override`,
        `${driver}\n`,
        host.deadlines.attributeWrite,
      );
    }
    const now = driverOf(host, fn);
    if (now === driver) return 'vfio-pci has it already';
    if (now !== undefined) {
      // A rescan let the host driver grab it, and somebody may have opened it since (invariant 5).
      await untilFree(host, [fn], signal);
      await unbindFrom(host, fn, now);
    }
    await probe(host, fn, driver);
    const group = readLinkName(`${directory}/iommu_group`);
    const node = vfioNode(host.paths.dev, group ?? '?');
    const there = await waitFor(() => (present(node) ? true : undefined), nodeMs, 20, signal);
    if (there !== true) {
      throw new RevivedError(
        'failed',
        `vfio-pci has ${fn}, but ${node} did not appear.`,
        'Without an IOMMU group no guest can have the card: switch the IOMMU on (intel_iommu=on or amd_iommu=on).',
      );
    }
    return `vfio-pci, group ${group}`;
  },
  async undo({ fn }, undo, { host }) {
    if (undo['driver'] !== driver && driverOf(host, fn) === driver)
      await unbindFrom(host, fn, driver);
  },
};
