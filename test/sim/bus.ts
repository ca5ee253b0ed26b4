/**
 * Devices come and go: remove, rescan, boot (drivers/pci/{probe,remove,bus}.c, vgaarb.c; facts/kernel.md 0.10-0.12).
 */
import { attach, unbind } from './drivers.ts';
import { isVga } from './models.ts';
import { probeMethods } from './reset.ts';
import type { DeviceState, MachineState } from './state.ts';
import {
  answers,
  below,
  type Core,
  cardAddressOf,
  functionOf,
  functionsOf,
  modelFor,
  reachable,
  say,
  subtree,
} from './topology.ts';

/** A device and everything below it, the deepest first: the order in which they are removed. */
export function removalOrder(state: MachineState, device: DeviceState): readonly DeviceState[] {
  return [device, ...subtree(state, device.address)].filter((one) => one.enumerated).reverse();
}

/** pci_stop_and_remove_bus_device. The caller has made sure that no remove() would wait. */
export function removeDevice(core: Core, device: DeviceState): void {
  for (const one of removalOrder(core.state, device)) {
    unbind(core, one);
    if (one.group !== null) core.log(`pci ${one.address}: Removing from iommu group ${one.group}`);
    one.enumerated = false;
    one.group = null;
    core.touch(one.address);
    if (core.state.bootVga === one.address) passBootVga(core);
  }
}

/**
 * pci_rescan_bus of the whole machine: devices that answer and are not known get known, with everything at its
 * default; then drivers are offered to them, at once and whatever drivers_autoprobe says (facts/kernel.md 0.11).
 */
export function rescan(core: Core): void {
  for (const card of Object.keys(core.state.ailments)) healByRescan(core, card);
  scanAndAttach(core, null);
}

/** Finds what is new below a bridge (null: the root bus) and offers it to the drivers. */
export function scanAndAttach(core: Core, bridge: string | null): void {
  for (const device of scanBus(core, bridge)) attach(core, device);
}

// A card of which the kernel knows nothing any more is set up from scratch.
function healByRescan(core: Core, card: string): void {
  const ailment = core.state.ailments[card];
  const functions = functionsOf(core.state, card);
  if (ailment?.healsBy.includes('remove-rescan') !== true) return;
  if (functions.some((one) => one.enumerated)) return;
  healFresh(core, card);
}

/** Ends an ailment without a saved state to restore: the card is as after power-on. */
export function healFresh(core: Core, card: string): void {
  const ailment = core.state.ailments[card];
  if (ailment === undefined) return;
  delete core.state.ailments[card];
  for (const device of functionsOf(core.state, card)) {
    loseRegisters(core, device);
    const bridge = device.parent === null ? undefined : core.state.devices[device.parent];
    if (ailment.sign !== 'power' || !bridge?.bridge) continue;
    bridge.bridge.powerOff = false;
    core.touch(bridge.address);
  }
}

/** The device lost power: COMMAND and BARs (a switch: its bus numbers) are 0. */
export function loseRegisters(core: Core, device: DeviceState): void {
  device.bars = 'zero';
  device.command = 0;
  device.romProgrammed = false;
  core.touch(device.address);
}

function scanBus(core: Core, bridge: string | null): DeviceState[] {
  const found: DeviceState[] = [];
  const devices = below(core.state, bridge);
  for (const device of devices) {
    if (device.enumerated || !answers(core.state, device)) continue;
    // pci_scan_slot: other functions are looked for only where function 0 answers.
    const first = core.state.devices[`${cardAddressOf(device.address)}.0`];
    const slotAnswers = first !== undefined && answers(core.state, first);
    if (functionOf(device.address) > 0 && !slotAnswers) continue;
    addDevice(core, device);
    found.push(device);
  }
  for (const device of devices) {
    if (device.bridge !== null && device.enumerated && reachable(core.state, device)) {
      found.push(...scanBus(core, device.address));
    }
  }
  return found;
}

// pci_device_add: defaults everywhere; reset methods by what is on the bus so far; a group; BARs.
function addDevice(core: Core, device: DeviceState): void {
  const model = modelFor(device);
  device.enumerated = true;
  device.probed = false;
  device.driver = null;
  device.override = null;
  device.control = 'on';
  device.d3coldAllowed = model.pm !== 'none';
  device.powerState = 'unknown';
  device.enabled = 0;
  device.nodes = [];
  device.errors = {};
  device.busyUntil = 0;
  if (device.noRoom) {
    device.noRoom = false;
    device.bars = 'unassigned';
    say(core, device, 'BAR 0: failed to assign');
  } else device.bars = 'programmed';
  core.touch(device.address);
  // A bridge has no bus below it yet: pci_init_reset_methods runs before its children are found.
  device.methods = probeMethods(core, device);
  device.resettable = device.methods.length > 0;
  device.probed = true;
  if (core.state.iommu) {
    device.group = groupFor(core.state, device);
    core.log(`pci ${device.address}: Adding to iommu group ${device.group}`);
  }
  const isBootVga = isVga(model) && core.state.bootVga === null;
  device.shadowRom = isBootVga && model.rom > 0;
  if (isBootVga) setBootVga(core, device);
}

// pci_device_group looks for siblings only where the function is known to have some: when it is found again one by
// one, that is what its own header says. QEMU's functions then end up in groups of their own (seen in the lab).
function groupFor(state: MachineState, device: DeviceState): number {
  const withPort = device.groupKey === device.parent;
  const joins = state.booting || withPort || device.multifunction;
  const numbers = new Set<number>();
  for (const other of Object.values(state.devices)) {
    if (other.group === null) continue;
    if (other.groupKey === device.groupKey && joins) return other.group;
    numbers.add(other.group);
  }
  let free = 0;
  while (numbers.has(free)) free++;
  return free;
}

function setBootVga(core: Core, device: DeviceState): void {
  core.state.bootVga = device.address;
  core.touch(device.address);
  core.log(`pci ${device.address}: vgaarb: setting as boot VGA device`);
}

function passBootVga(core: Core): void {
  core.state.bootVga = null;
  const next = Object.values(core.state.devices).find(
    (device) => device.enumerated && isVga(modelFor(device)),
  );
  if (next !== undefined) setBootVga(core, next);
}
