/** Who sits where and who answers: questions to the state of a machine, without effects. */
import { type Model, modelOf } from './models.ts';
import type { Ailment, BridgeState, DeviceState, MachineState } from './state.ts';

/** What every part of the simulated kernel works on. */
export interface Core {
  readonly state: MachineState;
  /** The device's files on disk have to be looked at again. */
  touch(address: string): void;
  /** One line of the kernel log. */
  log(line: string): void;
  /** Milliseconds of the machine's clock. */
  now(): number;
}

/** A device that the kernel knows. */
export function enumeratedAt(state: MachineState, address: string): DeviceState | undefined {
  const device = state.devices[address];
  return device?.enumerated === true ? device : undefined;
}

/** Model of a device. */
export function modelFor(device: DeviceState): Model {
  return modelOf(device.model);
}

/** `0000:01:00` of `0000:01:00.0`. */
export function cardAddressOf(address: string): string {
  return address.slice(0, address.lastIndexOf('.'));
}

/** Function number of an address. */
export function functionOf(address: string): number {
  return Number(address.at(-1));
}

/** All functions of a slot, there or not, in function order. */
export function functionsOf(state: MachineState, card: string): readonly DeviceState[] {
  return Object.values(state.devices).filter((device) => cardAddressOf(device.address) === card);
}

/** Devices right below a bridge; null is the root bus. */
export function below(state: MachineState, bridge: string | null): readonly DeviceState[] {
  return Object.values(state.devices).filter((device) => device.parent === bridge);
}

/** Devices below a bridge at any depth, nearest first. */
export function subtree(state: MachineState, bridge: string): readonly DeviceState[] {
  return below(state, bridge).flatMap((device) => [device, ...subtree(state, device.address)]);
}

/** What the kernel knows right below a bridge. */
export function enumeratedBelow(
  state: MachineState,
  bridge: string | null,
): readonly DeviceState[] {
  return below(state, bridge).filter((device) => device.enumerated);
}

// Bridges above a device, nearest first.
function bridgesAbove(state: MachineState, device: DeviceState): readonly DeviceState[] {
  const parent = device.parent === null ? undefined : state.devices[device.parent];
  return parent === undefined ? [] : [parent, ...bridgesAbove(state, parent)];
}

/** The bridge part of a device; undefined for endpoints. */
export function bridgeOf(device: DeviceState | undefined): BridgeState | undefined {
  return device?.bridge ?? undefined;
}

/** What is wrong with the card of a device, other than power being off above it. */
export function ailmentOf(state: MachineState, device: DeviceState): Ailment | undefined {
  return state.ailments[cardAddressOf(device.address)];
}

/** True when config space answers with what the device is. */
export function answers(state: MachineState, device: DeviceState): boolean {
  if (!device.plugged || !reachable(state, device)) return false;
  const sign = ailmentOf(state, device)?.sign;
  return sign !== 'ff' && sign !== 'crs';
}

/** True when nothing above the device keeps config cycles from it. */
export function reachable(state: MachineState, device: DeviceState): boolean {
  return bridgesAbove(state, device).every(
    // A switch that lost its bus numbers forwards nothing (facts/kernel.md 9.2).
    (bridge) =>
      bridge.plugged &&
      bridge.bridge?.powerOff === false &&
      (bridge.parent === null || bridge.bars === 'programmed') &&
      ailmentOf(state, bridge)?.sign !== 'ff',
  );
}

/** True when the device answers and its registers are as the kernel set them: a driver can work with it. */
export function works(state: MachineState, device: DeviceState): boolean {
  return answers(state, device) && shownBars(state, device) === 'programmed';
}

/** The state of the BAR registers as config space shows it. */
export function shownBars(state: MachineState, device: DeviceState): DeviceState['bars'] {
  return ailmentOf(state, device)?.sign === 'bars' ? 'zero' : device.bars;
}

/** A guest has the function's group open. */
export function inUse(state: MachineState, device: DeviceState): boolean {
  return (
    device.driver === 'vfio-pci' &&
    device.group !== null &&
    state.holders.some((holder) => holder.node.endsWith(`/vfio/${device.group}`))
  );
}

/** Runtime power status as power/runtime_status prints it. */
export function runtimeStatus(state: MachineState, device: DeviceState): 'active' | 'suspended' {
  if (device.control === 'on' || device.bridge !== null) return 'active';
  if (device.driver === 'vfio-pci') return inUse(state, device) ? 'active' : 'suspended';
  return device.driver === null ? 'suspended' : 'active';
}

/** Directory below sys: `devices/pci0000:00/0000:00:04.0/0000:01:00.0`. */
export function directoryOf(state: MachineState, device: DeviceState): string {
  const above = bridgesAbove(state, device).map((bridge) => bridge.address);
  return ['devices/pci0000:00', ...above.reverse(), device.address].join('/');
}

/** One log line of a device, with the prefix that dev_printk gives it. */
export function say(core: Core, device: DeviceState, text: string): void {
  const prefix =
    device.driver ?? (device.enumerated && device.bridge !== null ? 'pcieport' : 'pci');
  core.log(`${prefix} ${device.address}: ${text}`);
}

/** A number as kstrtoul reads it (base 0, one trailing newline allowed); undefined for anything else. */
export function kernelNumber(value: string): number | undefined {
  const text = value.replace(/\n$/, '').replace(/^\+/, '');
  if (/^0x[0-9a-f]+$/i.test(text)) return Number.parseInt(text, 16);
  if (/^0[0-7]*$/.test(text)) return Number.parseInt(text, 8);
  return /^[1-9][0-9]*$/.test(text) ? Number(text) : undefined;
}

/** sysfs_streq: equal but for one trailing newline. */
export function sameWord(value: string, word: string): boolean {
  return value === word || value === `${word}\n`;
}
