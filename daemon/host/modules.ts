/**
 * Loads kernel modules through systemd's modprobe@.service: the daemon itself may not (ProtectKernelModules). Done means
 * that the driver is there; the unit's own success says only that modprobe ran.
 */
import { waitFor } from '../deadline.ts';
import { RevivedError } from '../errors.ts';
import { present } from '../sysfs/read.ts';

/** Asks systemd to start a unit. */
export type StartUnit = (unit: string) => Promise<void>;

const loadMs = 15_000;

/** A loader for PCI drivers: resolves when `<sys>/bus/pci/drivers/<name>` is there. */
export function createModuleLoader(
  sys: string,
  startUnit: StartUnit,
): (driver: string) => Promise<void> {
  return async (driver) => {
    if (!/^[A-Za-z0-9_-]{1,64}$/.test(driver)) {
      throw new RevivedError('invalid-argument', `"${driver}" is no name of a driver.`);
    }
    // Module names take either sign; `_` needs no escaping in a unit's instance name.
    await startUnit(`modprobe@${driver.replaceAll('-', '_')}.service`);
    const directory = `${sys}/bus/pci/drivers/${driver}`;
    const loaded = await waitFor(() => (present(directory) ? true : undefined), loadMs, 50);
    if (loaded === true) return;
    throw new RevivedError(
      'failed',
      `The kernel module ${driver} could not be loaded: its driver did not appear.`,
      `Try it by hand to see why: modprobe ${driver}`,
    );
  };
}
