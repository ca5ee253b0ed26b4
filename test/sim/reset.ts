/**
 * Resets: reset, reset_method, reset_subordinate, and the bus reset of VFIO's last close (drivers/pci/pci.c,
 * pci-sysfs.c; facts/kernel.md 0.1-0.3, 0.6-0.9, 1, 2; times: 9.3).
 */
import { moduleFor, probeModule, resetByModule } from './modules.ts';
import { wake } from './power.ts';
import { type DeviceState, type Healer, type ResetMethod, resetMethods } from './state.ts';
import {
  ailmentOf,
  answers,
  type Core,
  cardAddressOf,
  enumeratedBelow,
  functionOf,
  kernelNumber,
  modelFor,
  sameWord,
  say,
  subtree,
} from './topology.ts';

/** How an operation ended and how long it took in the kernel. */
export interface Outcome {
  readonly errno: string | null;
  readonly delayMs: number;
}

const done = (delayMs: number): Outcome => ({ errno: null, delayMs });
const failed = (errno: string, delayMs = 0): Outcome => ({ errno, delayMs });

/** pci_dev_wait doubles its delay and gives up after 60 s: at 65535 ms. */
const gaveUpAfter = 65535;

/** Writes to `reset`: exactly 1; the methods in order, the next one only after ENOTTY. */
export function resetFunction(core: Core, device: DeviceState, value: string): Outcome {
  if (kernelNumber(value) !== 1) return failed('EINVAL');
  if (device.methods.length === 0) return failed('ENOTTY');
  wake(core, device);
  let delayMs = 0;
  for (const method of device.methods) {
    const outcome = runMethod(core, device, method);
    delayMs += outcome.delayMs;
    if (outcome.errno !== 'ENOTTY') return { errno: outcome.errno, delayMs };
  }
  return failed('ENOTTY', delayMs);
}

/** Writes to `reset_method`: names separated by spaces, `default`, or an empty line. All or nothing. */
export function chooseMethods(core: Core, device: DeviceState, value: string): string | null {
  core.touch(device.address);
  if (sameWord(value, '')) {
    device.methods = [];
    say(core, device, 'All device reset methods disabled by user');
    return null;
  }
  if (sameWord(value, 'default')) {
    device.methods = probeMethods(core, device);
    return null;
  }
  const chosen: ResetMethod[] = [];
  for (const word of value.replace(/\n$/, '').split(' ')) {
    const name = word.trim();
    if (name === '') continue;
    const method = resetMethods.find((one) => one === name);
    if (method === undefined || method === 'cxl_bus') {
      say(core, device, `Invalid reset method '${name}'`);
      return 'EINVAL';
    }
    if (!isSupported(core, device, method)) {
      say(core, device, `Unsupported reset method '${name}'`);
      return 'EINVAL';
    }
    chosen.push(method);
  }
  if (isSupported(core, device, 'device_specific') && chosen[0] !== 'device_specific') {
    say(core, device, 'Device-specific reset disabled/de-prioritized by user');
  }
  device.methods = chosen;
  return null;
}

/** pci_init_reset_methods: every method that can be had now, in the kernel's order. */
export function probeMethods(core: Core, device: DeviceState): ResetMethod[] {
  return resetMethods.filter((method) => isSupported(core, device, method));
}

/** A read of amdgpu_gpu_recover: its return code as text, its verdict in the log (amdgpu_device.c, 6.12). */
export function recoverGpu(core: Core, device: DeviceState): string {
  if (core.state.recoverFails[cardAddressOf(device.address)] === 'skipped') {
    say(core, device, 'GPU recovery disabled.');
    return '0\n';
  }
  core.state.resets.push({ method: 'amdgpu', address: device.address });
  say(core, device, 'GPU reset begin!');
  say(core, device, 'MODE1 reset');
  const outcome = core.state.recoverFails[cardAddressOf(device.address)];
  if (outcome === 'failed') {
    say(core, device, 'GPU mode1 reset failed');
    say(core, device, 'GPU reset(1) failed');
    say(core, device, 'GPU reset end with ret = -62');
    return '-62\n';
  }
  healSaved(core, [device], 'amdgpu');
  say(core, device, 'GPU reset succeeded, trying to resume');
  say(core, device, 'GPU reset(1) succeeded!');
  return '0\n';
}

/** Writes to a bridge's `reset_subordinate`. EAGAIN while something below is locked. */
export function resetSubordinate(
  core: Core,
  bridge: DeviceState,
  value: string,
  locked: (address: string) => boolean,
): Outcome {
  const number = kernelNumber(value);
  if (number === undefined) return failed('EINVAL');
  if (number === 0) return done(0);
  const tree = [bridge, ...subtree(core.state, bridge.address)].filter((one) => one.enumerated);
  if (tree.some((one) => locked(one.address))) return failed('EAGAIN');
  // pci_bus_resettable
  if (tree.some((one) => one.noBusReset)) return failed('ENOTTY');
  core.state.resets.push({ method: 'subordinate', address: bridge.address });
  return secondaryBusReset(core, bridge, 'bus reset');
}

/**
 * What VFIO does when the last function of a bus is closed: a bus reset, if all functions of the bus are bound to it,
 * else nothing at all; never with a line in the log.
 */
export function resetAfterVfioClose(core: Core, device: DeviceState): void {
  const bridge = device.parent === null ? undefined : core.state.devices[device.parent];
  const siblings = enumeratedBelow(core.state, device.parent);
  const impossible = siblings.some((one) => one.driver !== 'vfio-pci' || one.noBusReset);
  if (bridge === undefined || impossible) return;
  core.state.resets.push({ method: 'vfio-close', address: device.address });
  secondaryBusReset(core, bridge, 'bus reset');
}

function isSupported(core: Core, device: DeviceState, method: ResetMethod): boolean {
  const model = modelFor(device);
  switch (method) {
    case 'device_specific':
      return device.deviceSpecific || probeModule(core, device);
    case 'acpi':
      return device.acpiReset;
    case 'flr':
      return model.pcie && model.flr;
    case 'pm':
      // PMCSR of a dead device reads all ones, and so NoSoftRst+.
      return model.pm === 'soft-reset' && answers(core.state, device);
    case 'bus':
      return !device.noBusReset && (hasResetSlot(core, device) || isAloneOnBus(core, device));
    case 'af_flr':
    case 'cxl_bus':
      return false;
  }
}

// pci_dev_reset_slot_function: a hotplug slot that can reset, and a function that is not known to have siblings. A
// function beside function 0 learns that only after its methods have been probed, unless its header says so: found
// again below a slot it lists `bus`, and is refused when it asks for it (seen in the lab).
function hasResetSlot(core: Core, device: DeviceState): boolean {
  const port = device.parent === null ? undefined : core.state.devices[device.parent];
  const knownToHaveSiblings =
    device.multifunction || (functionOf(device.address) > 0 && device.probed);
  return (
    port?.bridge?.slot != null &&
    port.driver === 'pcieport' &&
    device.bridge === null &&
    !knownToHaveSiblings
  );
}

// pci_parent_bus_reset: not on a root bus, and no other device that the kernel knows on the bus by now.
function isAloneOnBus(core: Core, device: DeviceState): boolean {
  return (
    device.parent !== null &&
    subtree(core.state, device.address).every((one) => !one.enumerated) &&
    enumeratedBelow(core.state, device.parent).every((one) => one === device)
  );
}

function runMethod(core: Core, device: DeviceState, method: ResetMethod): Outcome {
  if (!isSupported(core, device, method)) return failed('ENOTTY');
  core.state.resets.push({ method, address: device.address });
  const heal = (): void => healSaved(core, [device], method);
  switch (method) {
    case 'device_specific': {
      const module = device.deviceSpecific ? undefined : moduleFor(core, device);
      if (module === undefined) heal();
      const errno = module === undefined ? null : resetByModule(core, device, module, heal);
      return { errno, delayMs: 230 };
    }
    case 'acpi':
      heal();
      return done(100);
    case 'flr': {
      heal();
      if (answers(core.state, device)) return done(120);
      say(
        core,
        device,
        'timed out waiting for pending transaction; performing function level reset anyway',
      );
      sayGaveUp(core, device, 'FLR');
      return failed('ENOTTY', 69_600);
    }
    case 'pm':
      heal();
      return done(40);
    case 'bus': {
      const bridge = core.state.devices[device.parent ?? ''];
      return bridge === undefined ? failed('ENOTTY') : secondaryBusReset(core, bridge, 'bus reset');
    }
    case 'af_flr':
    case 'cxl_bus':
      return failed('ENOTTY');
  }
}

// pci_bridge_secondary_bus_reset. Only the first child is waited for, and none when no child has a PM capability
// (d3cold_delay 0): then it is a success whoever is dead.
function secondaryBusReset(core: Core, bridge: DeviceState, why: string): Outcome {
  const children = enumeratedBelow(core.state, bridge.address);
  const reached = subtree(core.state, bridge.address);
  healSaved(core, children, 'bus');
  healSaved(core, reached, 'subordinate');
  const first = children[0];
  if (first === undefined) return done(2);
  if (children.every((child) => modelFor(child).pm === 'none')) return done(40);
  if (answers(core.state, first)) return done(150);
  sayGaveUp(core, first, why);
  return failed('ENOTTY', 70_200);
}

/** Ends the ailment of the cards of `devices` if `healer` can; what was saved of dead devices is restored. */
function healSaved(core: Core, devices: readonly DeviceState[], healer: Healer): void {
  for (const device of devices) {
    const ailment = ailmentOf(core.state, device);
    if (ailment === undefined || !ailment.healsBy.includes(healer)) continue;
    const card = cardAddressOf(device.address);
    const bridge = device.parent === null ? undefined : core.state.devices[device.parent];
    const functions = enumeratedBelow(core.state, device.parent).filter(
      (one) => cardAddressOf(one.address) === card,
    );
    delete core.state.ailments[card];
    if (ailment.sign === 'power' && bridge?.bridge) bridge.bridge.powerOff = false;
    for (const one of functions) {
      core.touch(one.address);
      if (ailment.clean) {
        one.bars = 'programmed';
        one.command = 0x0103;
      } else if (ailment.sign === 'ff' || ailment.sign === 'power') {
        // Ones were saved, ones are restored: it answers, and its BARs are wrong (lab.md, stand-in).
        one.bars = 'ones';
        one.command = 0x0507;
      }
    }
    if (bridge !== undefined) core.touch(bridge.address);
  }
}

function sayGaveUp(core: Core, device: DeviceState, why: string): void {
  for (let ms = 1023; ms < gaveUpAfter; ms = 2 * ms + 1) {
    say(core, device, `not ready ${ms}ms after ${why}; waiting`);
  }
  say(core, device, `not ready ${gaveUpAfter}ms after ${why}; giving up`);
}
