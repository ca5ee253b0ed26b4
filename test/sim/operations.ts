/** What a write does, which locks it takes, and what it would wait for. One table for all writable files. */
import { removalOrder, removeDevice, rescan } from './bus.ts';
import { addId, attach, bindTo, removeId, unbind, unbindWaits } from './drivers.ts';
import { setControl, setD3coldAllowed } from './power.ts';
import { chooseMethods, type Outcome, resetFunction, resetSubordinate } from './reset.ts';
import { setSlotPower, slotVictims } from './slot.ts';
import type { DeviceState, MachineState } from './state.ts';
import type { Target } from './target.ts';
import { type Core, enumeratedAt, kernelNumber, subtree } from './topology.ts';

/** What has to be free before an operation can go on, and what it holds while it runs. */
export interface Demand {
  /** Devices whose lock it takes. */
  readonly locks: readonly string[];
  /** Devices that it keeps from config reads while it runs, beyond `locks`: it only tries their locks. */
  readonly tries: readonly string[];
  /** pci_rescan_remove_lock. */
  readonly rescanLock: boolean;
  /** A driver's remove() would wait for a guest or a program. */
  readonly waits: boolean;
}

const free: Demand = { locks: [], tries: [], rescanLock: false, waits: false };

/** The demand of a write (`value`) or of a read (null). */
export function demandOf(state: MachineState, target: Target, value: string | null): Demand {
  switch (target.kind) {
    case 'device':
      return deviceDemand(state, target.device, target.attribute, value);
    case 'driver': {
      const device = enumeratedAt(state, (value ?? '').trim());
      if (device === undefined || !target.file.endsWith('bind')) return free;
      const leaves = target.file === 'unbind' && device.driver === target.driver.name;
      return {
        ...free,
        locks: [device.address],
        waits: leaves && unbindWaits(state, device),
      };
    }
    case 'drivers_probe': {
      const device = enumeratedAt(state, (value ?? '').trim());
      return device === undefined ? free : { ...free, locks: [device.address] };
    }
    case 'rescan':
      return { ...free, rescanLock: meansYes(value) };
    case 'slot':
      return (value ?? '').startsWith('0')
        ? removal(state, slotVictims(target.port, state))
        : { ...free, rescanLock: true };
    case 'recover':
    case 'drivers_autoprobe':
    case 'console':
      return free;
  }
}

// device_lock: driver_override, power/control, enable, reset, and config access while a reset runs (facts/kernel.md 0.4).
function deviceDemand(
  state: MachineState,
  device: DeviceState,
  attribute: string,
  value: string | null,
): Demand {
  const own: Demand = { ...free, locks: [device.address] };
  switch (attribute) {
    case 'config':
      return own;
    case 'reset':
    case 'driver_override':
    case 'power/control':
    case 'enable':
      return value === null ? free : own;
    case 'remove':
      return meansYes(value) ? removal(state, [device]) : free;
    case 'rescan':
      return { ...free, rescanLock: meansYes(value) };
    case 'reset_subordinate':
      return { ...free, tries: subtree(state, device.address).map((one) => one.address) };
    default:
      return free;
  }
}

function removal(state: MachineState, victims: readonly DeviceState[]): Demand {
  const all = victims.flatMap((device) => removalOrder(state, device));
  return {
    locks: all.map((device) => device.address),
    tries: [],
    rescanLock: true,
    waits: all.some((device) => unbindWaits(state, device)),
  };
}

function meansYes(value: string | null): boolean {
  return (kernelNumber(value ?? '') ?? 0) !== 0;
}

const done: Outcome = { errno: null, delayMs: 0 };
const answer = (errno: string | null): Outcome => ({ errno, delayMs: 0 });

/** Carries a write out. `locked` tells whether another operation holds a device. */
export function perform(
  core: Core,
  target: Target,
  value: string,
  locked: (address: string) => boolean,
): Outcome {
  switch (target.kind) {
    case 'device':
      return writeAttribute(core, target.device, target.attribute, value, locked);
    case 'driver':
      return writeDriver(core, target, value);
    case 'drivers_probe': {
      const device = enumeratedAt(core.state, value.trim());
      if (device === undefined) return answer('ENODEV');
      attach(core, device); // whatever came of it (bus_rescan_devices_helper)
      return done;
    }
    case 'rescan':
      return doRescan(core, value);
    case 'slot':
      return setSlotPower(core, target.port, value);
    case 'drivers_autoprobe':
      core.state.autoprobe = !/^0/.test(value);
      return done;
    case 'recover':
      return answer('EACCES');
    case 'console': {
      const console = core.state.consoles[target.name];
      const number = kernelNumber(value);
      if (console === undefined || number === undefined) return answer('EINVAL');
      console.bound = number !== 0;
      return done;
    }
  }
}

function writeDriver(
  core: Core,
  target: Extract<Target, { kind: 'driver' }>,
  value: string,
): Outcome {
  const { driver, file } = target;
  if (file === 'new_id') return answer(addId(core, driver, value));
  if (file === 'remove_id') return answer(removeId(driver, value));
  const device = enumeratedAt(core.state, value.replace(/\n$/, ''));
  if (device === undefined) return answer('ENODEV');
  if (file === 'bind') return answer(bindTo(core, driver, device));
  if (device.driver !== driver.name) return answer('ENODEV');
  unbind(core, device);
  return done;
}

function writeAttribute(
  core: Core,
  device: DeviceState,
  attribute: string,
  value: string,
  locked: (address: string) => boolean,
): Outcome {
  core.touch(device.address);
  switch (attribute) {
    case 'reset':
      return resetFunction(core, device, value);
    case 'reset_method':
      return answer(chooseMethods(core, device, value));
    case 'reset_subordinate':
      return resetSubordinate(core, device, value, locked);
    case 'driver_override':
      // driver_set_override: the first line; an empty one clears.
      device.override = value.split('\n')[0] || null;
      return done;
    case 'power/control':
      return answer(setControl(core, device, value));
    case 'd3cold_allowed':
      return answer(setD3coldAllowed(core, device, value));
    case 'enable':
      return answer(setEnabled(device, value));
    case 'numa_node':
      return answer(kernelNumber(value) === undefined ? 'EINVAL' : null);
    case 'remove': {
      const number = kernelNumber(value);
      if (number === undefined) return answer('EINVAL');
      if (number !== 0) removeDevice(core, device);
      return done;
    }
    default:
      return attribute.endsWith('rescan') ? doRescan(core, value) : answer('EACCES');
  }
}

function doRescan(core: Core, value: string): Outcome {
  const number = kernelNumber(value);
  if (number === undefined) return answer('EINVAL');
  if (number !== 0) rescan(core);
  return done;
}

function setEnabled(device: DeviceState, value: string): string | null {
  const number = kernelNumber(value);
  if (number === undefined) return 'EINVAL';
  if (device.driver !== null) return 'EBUSY';
  if (number === 0 && device.enabled === 0) return 'EIO';
  device.enabled += number === 0 ? -1 : 1;
  return null;
}
