/**
 * Drivers and how they meet devices: drivers/pci/pci-driver.c (pci_match_device), drivers/base/{bus,dd}.c. Errno of
 * a probe on a dead device: facts/kernel.md 9.2.
 */
import { modelOf } from './models.ts';
import { idle } from './power.ts';
import type { DeviceState, DriverState, MachineState } from './state.ts';
import {
  ailmentOf,
  answers,
  type Core,
  cardAddressOf,
  inUse,
  modelFor,
  say,
  works,
} from './topology.ts';

interface DriverModel {
  /** Does the driver's static id table have this device (`1002:731f`, class)? */
  readonly matches: (id: string, classCode: string) => boolean;
  /** What probe answers when the device does not work; null: it binds all the same. */
  readonly deadErrno: string | null;
  readonly deadLog?: string;
  /** It does not become a bus master. */
  readonly masters?: false;
  /** Class devices that it makes, and how many of them under /dev. */
  readonly makes?: 'drm' | 'drm+render' | 'sound';
  /** Its remove() waits for programs that have a node open whose name starts so. */
  readonly waitsFor?: string;
}

const ofClass =
  (...classes: readonly string[]) =>
  (_id: string, classCode: string) =>
    classes.some((prefix) => classCode.startsWith(prefix));
const ofIds =
  (...ids: readonly string[]) =>
  (id: string) =>
    ids.includes(id);
const ofVendorClass = (vendor: string, classPrefix: string) => (id: string, classCode: string) =>
  id.startsWith(vendor) && classCode.startsWith(classPrefix);

/** What the simulated kernel has as modules. */
const driverModels: Readonly<Record<string, DriverModel>> = {
  pcieport: { matches: ofClass('0604'), deadErrno: 'ENODEV' },
  ahci: { matches: ofClass('010601'), deadErrno: 'ENODEV' },
  i801_smbus: { matches: ofIds('8086:2930'), deadErrno: 'ENODEV' },
  lpc_ich: { matches: ofIds('8086:2918'), deadErrno: 'ENODEV' },
  'virtio-pci': { matches: (id) => id.startsWith('1af4:10'), deadErrno: 'ENODEV' },
  'bochs-drm': {
    matches: ofIds('1234:1111'),
    deadErrno: 'ENODEV',
    deadLog: 'ID mismatch',
    masters: false,
    makes: 'drm',
  },
  // Binds a dead device: its probe goes on asynchronously (facts/kernel.md 3.2).
  snd_hda_intel: {
    matches: ofClass('040300'),
    deadErrno: null,
    deadLog: 'CORB reset timeout#2, CORBRP = 65535',
    makes: 'sound',
  },
  xhci_hcd: {
    matches: ofClass('0c0330'),
    deadErrno: 'ETIMEDOUT',
    deadLog: 'Host halt failed, -110',
  },
  nvme: { matches: ofClass('010802'), deadErrno: 'ENODEV' },
  e1000e: { matches: ofIds('8086:10d3'), deadErrno: 'EIO' },
  amdgpu: {
    matches: ofVendorClass('1002:', '03'),
    deadErrno: 'EINVAL',
    deadLog: 'Fatal error during GPU init',
    makes: 'drm+render',
  },
  nvidia: {
    matches: ofVendorClass('10de:', '03'),
    deadErrno: 'EIO',
    makes: 'drm+render',
    // Never returns while a client is there (facts/kernel.md 1, "Known to block").
    waitsFor: 'nvidia',
  },
  // Only by driver_override or by an id that somebody gives them.
  'vfio-pci': { matches: () => false, deadErrno: null },
  'pci-stub': { matches: () => false, deadErrno: null },
};

/** True when the simulated kernel has a module that registers this driver. */
export function isKnownDriver(name: string): boolean {
  return driverModels[name] !== undefined;
}

/** A registered driver; undefined when its module is not loaded. */
export function driverNamed(state: MachineState, name: string): DriverState | undefined {
  return state.drivers.find((driver) => driver.name === name);
}

// pci_match_device: an override admits one driver and that one always; else dynamic ids, then the driver's own.
function driverMatches(driver: DriverState, device: DeviceState): boolean {
  if (device.override !== null) return device.override === driver.name;
  const model = modelOf(device.model);
  if (driver.dynamicIds.includes(model.id)) return true;
  return driverModels[driver.name]?.matches(model.id, model.classCode) === true;
}

/** Binds if the driver matches. Errno as a write to the driver's `bind` gives it, null when bound. */
export function bindTo(core: Core, driver: DriverState, device: DeviceState): string | null {
  if (!driverMatches(driver, device)) return 'ENODEV';
  if (device.driver !== null) return 'EBUSY';
  const errno = probe(core, driver, device);
  if (errno !== null) return errno;
  device.driver = driver.name;
  if (driver.name === 'vfio-pci') settleInVfio(core, device);
  else {
    device.powerState = 'D0';
    device.enabled = 1;
    const masters = driverModels[driver.name]?.masters !== false;
    // Decoding; bus mastering, and INTx off for MSI.
    if (answers(core.state, device)) device.command |= masters ? 0x0406 : 0x0002;
    device.nodes = nodesFor(core.state, device);
  }
  core.touch(device.address);
  return null;
}

/** device_attach: the first registered driver whose probe succeeds gets it. Probe errors are nobody's concern. */
export function attach(core: Core, device: DeviceState): void {
  if (device.driver !== null || !device.enumerated) return;
  for (const driver of core.state.drivers) {
    if (driverMatches(driver, device) && bindTo(core, driver, device) === null) return;
  }
}

/** The driver's remove(). What it would wait for is asked first: `unbindWaits`. */
export function unbind(core: Core, device: DeviceState): void {
  const was = device.driver;
  if (was === null) return;
  device.driver = null;
  device.nodes = [];
  device.enabled = 0;
  if (was === 'vfio-pci') device.control = 'on'; // vfio_pci_core_unregister_device: pm_runtime_forbid
  if (device.powerState === 'D3hot') device.powerState = 'D0';
  if (answers(core.state, device)) device.command &= ~0x0404;
  core.touch(device.address);
}

/** Unbinding waits until somebody lets go: a guest has the group open, a program has the GPU's node open. */
export function unbindWaits(state: MachineState, device: DeviceState): boolean {
  if (inUse(state, device)) return true;
  const node = driverModels[device.driver ?? '']?.waitsFor;
  return node !== undefined && state.holders.some((h) => h.node.includes(`/${node}`));
}

/** Registers a driver (modprobe): it gets every unbound device that it matches. */
export function registerDriver(core: Core, name: string, ids: readonly string[] = []): void {
  if (driverNamed(core.state, name) !== undefined) return;
  const driver: DriverState = { name, dynamicIds: [...ids] };
  core.state.drivers.push(driver);
  attachAll(core, driver);
}

/** new_id: EEXIST when the id is already matched, EINVAL when it is none; then every unbound match is bound. */
export function addId(core: Core, driver: DriverState, value: string): string | null {
  const fields = /^([0-9a-f]{1,4})\s+([0-9a-f]{1,4})(\s|$)/i.exec(value.trim());
  if (fields === null) return 'EINVAL';
  const id = [fields[1], fields[2]]
    .map((field) => (field ?? '').toLowerCase().padStart(4, '0'))
    .join(':');
  if (driver.dynamicIds.includes(id)) return 'EEXIST';
  driver.dynamicIds.push(id);
  attachAll(core, driver);
  return null;
}

/** remove_id: ENODEV when it is not there. Bound devices stay bound. */
export function removeId(driver: DriverState, value: string): string | null {
  const id = value.trim().toLowerCase().split(/\s+/).slice(0, 2).join(':');
  const place = driver.dynamicIds.indexOf(id);
  if (place < 0) return 'ENODEV';
  driver.dynamicIds.splice(place, 1);
  return null;
}

/** The file by which amdgpu is asked to reset a card, below sys; undefined where it does not have it. */
export function recoverPathOf(device: DeviceState): string | undefined {
  const card = device.nodes.find((node) => node.startsWith('drm/card'));
  if (device.driver !== 'amdgpu' || card === undefined) return undefined;
  return `kernel/debug/dri/${card.slice('drm/card'.length)}/amdgpu_gpu_recover`;
}

function attachAll(core: Core, driver: DriverState): void {
  for (const device of Object.values(core.state.devices)) {
    if (device.enumerated && device.driver === null) bindTo(core, driver, device);
  }
}

function probe(core: Core, driver: DriverState, device: DeviceState): string | null {
  const row = driverModels[driver.name];
  if (row === undefined) return 'ENODEV';
  if (driver.name === 'vfio-pci') return device.group === null ? 'EINVAL' : null;
  if (driver.name === 'pci-stub') return null;
  const model = modelFor(device);
  // An override makes the driver look at any device; probing a foreign one fails.
  if (!row.matches(model.id, model.classCode)) return 'ENODEV';
  if (device.bars === 'unassigned') {
    say(core, device, "can't enable device: BAR 0 not assigned");
    return 'EINVAL';
  }
  if (driver.name === 'amdgpu') tryAmdgpuReset(core, device);
  if (works(core.state, device)) return null;
  if (row.deadLog !== undefined) core.log(`${driver.name} ${device.address}: ${row.deadLog}`);
  return row.deadErrno;
}

// Loading amdgpu resets some families on the way (facts/kernel.md 5), never a card whose config space is dead.
function tryAmdgpuReset(core: Core, device: DeviceState): void {
  const ailment = ailmentOf(core.state, device);
  if (ailment?.sign !== 'bars' || !ailment.healsBy.includes('amdgpu')) return;
  delete core.state.ailments[cardAddressOf(device.address)];
  core.log(`amdgpu ${device.address}: GPU mode1 reset`);
}

// vfio_pci_core_register_device: to D0, pm_runtime_allow (power/control becomes `auto`), idle to D3hot.
function settleInVfio(core: Core, device: DeviceState): void {
  device.control = 'auto';
  device.powerState = 'D0';
  idle(core, device);
  if (modelFor(device).classCode.startsWith('03')) {
    // aperture_remove_conflicting_pci_devices at bind (facts/kernel.md 1, "platform fb").
    say(core, device, 'vgaarb: deactivate vga console');
  }
}

function nodesFor(state: MachineState, device: DeviceState): string[] {
  const taken = new Set(Object.values(state.devices).flatMap((device) => device.nodes));
  const free = (prefix: string, from: number): string => {
    let number = from;
    while (taken.has(`${prefix}${number}`)) number++;
    return `${prefix}${number}`;
  };
  const isDisplay = modelFor(device).classCode.startsWith('03');
  const makes = device.driver === null ? undefined : driverModels[device.driver]?.makes;
  switch (makes ?? (device.driver === 'virtio-pci' && isDisplay ? 'drm+render' : undefined)) {
    case 'drm':
      return [free('drm/card', 0)];
    case 'drm+render':
      return [free('drm/card', 0), free('drm/renderD', 128)];
    case 'sound':
      return [free('sound/card', 0)];
    case undefined:
      return [];
  }
}
