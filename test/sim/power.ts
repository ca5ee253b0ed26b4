/** Runtime power of a device: power/control, d3cold_allowed, and what they do to power_state (facts/kernel.md 1). */
import type { DeviceState, MachineState } from './state.ts';
import {
  answers,
  bridgeOf,
  type Core,
  cardAddressOf,
  enumeratedBelow,
  inUse,
  kernelNumber,
  modelFor,
  runtimeStatus,
  sameWord,
  say,
} from './topology.ts';

/** power/control: `on` resumes and pins, `auto` lets it idle; EINVAL for other words. */
export function setControl(core: Core, device: DeviceState, value: string): string | null {
  if (sameWord(value, 'on')) {
    device.control = 'on';
    wake(core, device);
  } else if (sameWord(value, 'auto')) {
    device.control = 'auto';
    if (device.bridge === null) idle(core, device);
    else cutIfIdle(core, device);
  } else return 'EINVAL';
  core.touch(device.address);
  return null;
}

/** d3cold_allowed: any number; the device is resumed. */
export function setD3coldAllowed(core: Core, device: DeviceState, value: string): string | null {
  const number = kernelNumber(value);
  if (number === undefined) return 'EINVAL';
  device.d3coldAllowed = number !== 0;
  wake(core, device);
  idle(core, device);
  core.touch(device.address);
  return null;
}

/** Brings a sleeping device to D0; one that does not answer ends in D3cold, with a line in the log. */
export function wake(core: Core, device: DeviceState): void {
  if (device.powerState !== 'D3hot' && device.powerState !== 'D3cold') return;
  const from = device.powerState;
  if (from === 'D3cold') healByColdStart(core, device);
  core.touch(device.address);
  if (answers(core.state, device)) {
    device.powerState = 'D0';
    return;
  }
  device.powerState = 'D3cold';
  say(core, device, `Unable to change power state from ${from} to D0, device inaccessible`);
}

/** Lets a device sleep if nothing keeps it awake; D3cold once all functions below a port that can cut power sleep. */
export function idle(core: Core, device: DeviceState): void {
  const awake = device.control === 'on' || inUse(core.state, device) || device.bridge !== null;
  if (awake || modelFor(device).pm === 'none') return;
  // A host driver decides for itself; none of those here suspends.
  if (device.driver !== null && device.driver !== 'vfio-pci') return;
  // PMCSR of a dead device cannot be written; the kernel takes it for D3cold.
  const alive = answers(core.state, device);
  if (!alive && device.powerState === 'D0') {
    say(core, device, 'Unable to change power state from D0 to D3hot, device inaccessible');
  }
  device.powerState = alive ? 'D3hot' : 'D3cold';
  core.touch(device.address);
  const parent = device.parent === null ? undefined : core.state.devices[device.parent];
  if (parent !== undefined) cutIfIdle(core, parent);
}

// The port is suspended with all that is below it, if they all may lose their power (pci_bridge_d3_update).
function cutIfIdle(core: Core, port: DeviceState): void {
  const siblings = enumeratedBelow(core.state, port.address);
  const bridge = bridgeOf(port);
  const cold =
    bridge?.d3cold === true &&
    port.control === 'auto' &&
    port.d3coldAllowed &&
    siblings.every((one) => asleep(core.state, one) && one.d3coldAllowed);
  if (!cold) return;
  bridge.cold = true;
  port.powerState = 'D3cold';
  core.touch(port.address);
  for (const sibling of siblings) {
    sibling.powerState = 'D3cold';
    core.touch(sibling.address);
  }
}

function asleep(state: MachineState, device: DeviceState): boolean {
  return runtimeStatus(state, device) === 'suspended' && modelFor(device).pm !== 'none';
}

// Power was off and comes back. The kernel restores the registers on the way to D0.
function healByColdStart(core: Core, device: DeviceState): void {
  const card = cardAddressOf(device.address);
  const parent = device.parent === null ? undefined : core.state.devices[device.parent];
  const bridge = bridgeOf(parent);
  if (bridge?.cold !== true) return;
  bridge.cold = false;
  if (parent !== undefined) {
    parent.powerState = 'D0';
    core.touch(parent.address);
  }
  if (core.state.ailments[card]?.healsBy.includes('d3cold') !== true) return;
  delete core.state.ailments[card];
  for (const sibling of enumeratedBelow(core.state, device.parent)) core.touch(sibling.address);
}
