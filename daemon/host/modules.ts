/**
 * Loads kernel modules through systemd's modprobe@.service: the daemon itself may not, nor may it look into /lib/modules
 * (ProtectKernelModules). Done means that the module or its driver is there: the unit says success whatever modprobe says.
 */
import { waitFor } from '../deadline.ts';
import { RevivedError } from '../errors.ts';
import { present, readAttribute } from '../sysfs/read.ts';

/** Asks systemd to start a unit; tells whether its job is still under way. */
export type StartUnit = (unit: string) => Promise<() => Promise<boolean>>;

/** `driver`: a PCI driver of that name is there. `module`: it has registers with no bus of ours. */
type ModuleSign = 'driver' | 'module';
export type LoadModule = (name: string, sign: ModuleSign) => Promise<void>;

const loadMs = 15_000;

/** True when a loadable module is in the kernel and its init has ended (kernel/module/sysfs: initstate). */
export function isModuleLive(sys: string, module: string): boolean {
  return readAttribute(`${sys}/module/${module.replaceAll('-', '_')}/initstate`) === 'live';
}

/** A loader: resolves when the sign is there; rejects as soon as modprobe has ended without it. */
export function createModuleLoader(sys: string, startUnit: StartUnit): LoadModule {
  return async (name, sign) => {
    if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) {
      throw new RevivedError('invalid-argument', `"${name}" is no name of a module.`);
    }
    const there = () =>
      sign === 'module' ? isModuleLive(sys, name) : present(`${sys}/bus/pci/drivers/${name}`);
    // Module names take either sign; `_` needs no escaping in a unit's instance name.
    const underWay = await startUnit(`modprobe@${name.replaceAll('-', '_')}.service`);
    const ended = await waitFor(
      async () => {
        // Asked first: what the job did before it ended is there by then.
        const ended = !(await underWay());
        return there() || ended ? true : undefined;
      },
      loadMs,
      50,
    );
    if (there()) return;
    throw new RevivedError(
      'failed',
      ended === true
        ? `The kernel module ${name} could not be loaded: it is not installed for this kernel, or the kernel refuses it.`
        : `The kernel module ${name} was not loaded within ${loadMs / 1000} s.`,
      `Try it by hand to see why: modprobe ${name}`,
    );
  };
}
