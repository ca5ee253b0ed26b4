/** What goes wrong: the wedge, dead cards, lost BARs and functions, paths that fail or hang; and who holds what. */
import { loseRegisters } from './bus.ts';
import { idle } from './power.ts';
import { resetAfterVfioClose } from './reset.ts';
import type { Ailment, DeviceState, Healer, MachineState } from './state.ts';
import {
  type Core,
  cardAddressOf,
  functionsOf,
  inUse,
  runtimeStatus,
  say,
  subtree,
} from './topology.ts';

export type Severity = 'fatal' | 'nonfatal' | 'correctable';

export interface AilmentOptions {
  /** What brings the card back; nothing by default. */
  readonly healsBy?: readonly Healer[];
  /** How it shows: config reads as ones (default), "not ready" for good, BARs zero. */
  readonly sign?: 'ff' | 'crs' | 'bars';
  /** Its registers survive; by default a reset "restores" what was read from the dead device. */
  readonly clean?: boolean;
}

/** The lab's wedge: the Power Controller bit of the port above is set, the registers below are gone. */
export function wedge(core: Core, card: string, healsBy: readonly Healer[]): void {
  const port = portAbove(core.state, card);
  core.state.ailments[card] = { sign: 'power', healsBy, clean: false };
  cutPower(core, port);
}

/** Clears the bit: config answers again, COMMAND and BARs are 0. */
export function unwedge(core: Core, card: string): void {
  const port = portAbove(core.state, card);
  if (port.bridge !== null) port.bridge.powerOff = false;
  if (core.state.ailments[card]?.sign === 'power') delete core.state.ailments[card];
  touchAll(core, port);
}

/** The card stops working without anybody touching its slot. */
export function die(core: Core, card: string, options: AilmentOptions): void {
  core.state.ailments[card] = ailmentFrom(options);
  for (const device of functionsOf(core.state, card)) core.touch(device.address);
}

/** The card dies like that each time when a guest lets go of it: the reset bug. Undefined: not any more. */
export function dieAfterGuest(core: Core, card: string, options: AilmentOptions | undefined): void {
  if (options === undefined) delete core.state.afterGuest[card];
  else core.state.afterGuest[card] = ailmentFrom(options);
}

/** One function is gone from the bus; the kernel finds out at the next rescan. */
export function loseFunction(core: Core, address: string): void {
  const device = known(core.state, address);
  device.plugged = false;
  core.touch(address);
}

/** BAR registers read 0 now, or (`rescan`) the next rescan finds no room for them. */
export function loseBars(core: Core, card: string, when: 'now' | 'rescan'): void {
  for (const device of functionsOf(core.state, card)) {
    if (when === 'now') loseRegisters(core, device);
    else device.noRoom = true;
  }
}

/** The link of a card comes up with so many lanes, until its next reset. */
export function narrowLink(core: Core, address: string, lanes: number): void {
  known(core.state, address).lanes = lanes;
  core.touch(address);
}

/**
 * A device with AER, or a port, reports an error: it counts at the device that saw it and at the root port (aer_isr_one_error,
 * pci_rootport_aer_stats_incr), and the log has the lines of facts/kernel.md 3.3, 19. What the kernel's recovery does to the
 * functions below is not modelled.
 */
export function reportError(core: Core, address: string, severity: Severity, name: string): void {
  const device = known(core.state, address);
  let root = device;
  while (root.parent !== null) root = known(core.state, root.parent);
  for (const [one, key] of [
    [device, `${severity} ${name}`],
    [root, severity],
  ] as const) {
    one.errors[key] = (one.errors[key] ?? 0) + 1;
    core.touch(one.address);
  }
  const word = {
    fatal: 'Uncorrected (Fatal)',
    nonfatal: 'Uncorrected (Non-Fatal)',
    correctable: 'Correctable',
  }[severity];
  say(core, root, `AER: ${word} error message received from ${address}`);
  say(core, device, `PCIe Bus Error: severity=${word}, type=Transaction Layer, (Receiver ID)`);
}

/** A process opens a device node. */
export function hold(core: Core, pid: number, name: string, node: string): void {
  core.state.holders.push({ pid, name, node });
  for (const device of Object.values(core.state.devices)) {
    if (!inUse(core.state, device) || !node.endsWith(`/${device.group}`)) continue;
    if (device.powerState === 'D3hot') device.powerState = 'D0';
    core.touch(device.address);
  }
}

/** A process closes all it holds. VFIO resets what it can at the last close of a bus (facts/kernel.md 0.6, 0.7). */
export function letGo(core: Core, pid: number): void {
  const { state } = core;
  const before = Object.values(state.devices).filter((device) => inUse(state, device));
  state.holders = state.holders.filter((holder) => holder.pid !== pid);
  const closed = before.filter((device) => !inUse(state, device));
  // By bus, its first function.
  const buses = new Map([...closed].reverse().map((device) => [device.parent, device]));
  for (const [parent, device] of buses) {
    const stillOpen = before.some((one) => one.parent === parent && inUse(state, one));
    if (parent !== null && !stillOpen) resetAfterVfioClose(core, device);
  }
  for (const card of new Set(closed.map((device) => cardAddressOf(device.address)))) {
    const ailment = state.afterGuest[card];
    if (ailment !== undefined) state.ailments[card] = ailment;
  }
  for (const device of closed) {
    if (runtimeStatus(state, device) === 'suspended') idle(core, device);
    core.touch(device.address);
  }
}

function ailmentFrom({ healsBy = [], sign = 'ff', clean = false }: AilmentOptions): Ailment {
  return { sign, healsBy, clean };
}

function cutPower(core: Core, port: DeviceState): void {
  if (port.bridge !== null) port.bridge.powerOff = true;
  for (const device of subtree(core.state, port.address)) loseRegisters(core, device);
  touchAll(core, port);
}

function touchAll(core: Core, port: DeviceState): void {
  core.touch(port.address);
  for (const device of subtree(core.state, port.address)) core.touch(device.address);
}

function portAbove(state: MachineState, card: string): DeviceState {
  return known(state, functionsOf(state, card)[0]?.parent ?? `the port above ${card}`);
}

function known(state: MachineState, address: string): DeviceState {
  const device = state.devices[address];
  if (device === undefined) throw new Error(`the simulated machine has no ${address}`);
  return device;
}
