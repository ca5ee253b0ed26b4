/** What a path below sys means to the simulated kernel. Spellings of one file give one key. */
import { attributesOf } from './attributes.ts';
import { driverNamed, isKnownDriver, recoverPathOf } from './drivers.ts';
import { portOfSlot } from './slot.ts';
import type { DeviceState, DriverState, MachineState } from './state.ts';
import { enumeratedAt } from './topology.ts';

export type Target = { readonly key: string } & (
  | { readonly kind: 'device'; readonly device: DeviceState; readonly attribute: string }
  | { readonly kind: 'driver'; readonly driver: DriverState; readonly file: DriverFile }
  | { readonly kind: 'slot'; readonly port: DeviceState }
  | { readonly kind: 'rescan' }
  | { readonly kind: 'drivers_probe' }
  | { readonly kind: 'drivers_autoprobe' }
  | { readonly kind: 'console'; readonly name: string }
  | { readonly kind: 'recover'; readonly device: DeviceState }
);

type DriverFile = 'bind' | 'unbind' | 'new_id' | 'remove_id';

const addressPattern = /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;
const driverFiles: readonly string[] = ['bind', 'unbind', 'new_id', 'remove_id'];

/** Finds what `path` (relative to sys) names now; undefined when there is no such file of ours. */
export function targetOf(state: MachineState, path: string): Target | undefined {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts[0] === 'devices' && parts[1] === 'pci0000:00') return inDevice(state, parts.slice(2));
  if (parts[0] === 'class' && parts[1] === 'vtconsole') return consoleBind(state, parts.slice(2));
  if (parts[0] === 'kernel' && parts[1] === 'debug') return inDebug(state, parts.join('/'));
  if (parts[0] !== 'bus' || parts[1] !== 'pci') return undefined;
  const rest = parts.slice(2);
  switch (rest[0]) {
    case 'devices':
      return inDevice(state, rest.slice(1));
    case 'drivers':
      return inDriver(state, rest.slice(1));
    case 'slots':
      return inSlot(state, rest.slice(1));
    case 'rescan':
    case 'drivers_probe':
    case 'drivers_autoprobe':
      return rest.length === 1 ? { kind: rest[0], key: `bus/${rest[0]}` } : undefined;
    default:
      return undefined;
  }
}

// One or more nested device directories, then the attribute.
function inDevice(state: MachineState, parts: readonly string[]): Target | undefined {
  const depth = parts.findIndex((part) => !addressPattern.test(part));
  if (depth < 1) return undefined;
  const device = enumeratedAt(state, parts[depth - 1] ?? '');
  const rest = parts.slice(depth);
  if (device === undefined) return undefined;
  if (rest[0] === 'driver') {
    return device.driver === null ? undefined : inDriver(state, [device.driver, ...rest.slice(1)]);
  }
  if (rest[0] === 'pci_bus' && rest[2] === 'rescan') return { kind: 'rescan', key: 'bus/rescan' };
  const attribute = rest.join('/');
  if (!attributesOf(state, device).has(attribute)) return undefined;
  return { kind: 'device', device, attribute, key: `${device.address}/${attribute}` };
}

function inDriver(state: MachineState, parts: readonly string[]): Target | undefined {
  const [name, file, ...more] = parts;
  const driver = driverNamed(state, name ?? '');
  if (driver === undefined || file === undefined) return undefined;
  if (addressPattern.test(file)) {
    const bound = enumeratedAt(state, file)?.driver === driver.name;
    return bound ? inDevice(state, [file, ...more]) : undefined;
  }
  if (more.length > 0 || !isDriverFile(file)) return undefined;
  return { kind: 'driver', driver, file, key: `driver/${driver.name}/${file}` };
}

function isDriverFile(file: string): file is DriverFile {
  return driverFiles.includes(file);
}

function inDebug(state: MachineState, path: string): Target | undefined {
  const device = Object.values(state.devices).find((one) => recoverPathOf(one) === path);
  return device && { kind: 'recover', device, key: path };
}

function inSlot(state: MachineState, parts: readonly string[]): Target | undefined {
  const port = portOfSlot(state, parts[0] ?? '');
  if (port === undefined || parts[1] !== 'power' || parts.length !== 2) return undefined;
  return { kind: 'slot', port, key: `slot/${parts[0]}/power` };
}

function consoleBind(state: MachineState, parts: readonly string[]): Target | undefined {
  const name = parts[0] ?? '';
  if (state.consoles[name] === undefined || parts[1] !== 'bind') return undefined;
  return { kind: 'console', name, key: `console/${name}` };
}

/**
 * Key of a path that need not exist now: faults may be laid on files that come later (`bind` of a driver,
 * attributes of a removed device).
 */
export function keyOf(state: MachineState, path: string): string {
  const known = targetOf(state, path);
  if (known !== undefined) return known.key;
  const parts = path.split('/').filter((part) => part !== '');
  const place = parts.findLastIndex((part) => addressPattern.test(part));
  if (place >= 0) return parts.slice(place).join('/');
  const driver = parts.at(-2) ?? '';
  if (isKnownDriver(driver)) return `driver/${driver}/${parts.at(-1)}`;
  return path;
}
