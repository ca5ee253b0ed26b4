/** Power-on of a simulated machine, and what ends a boot. */
import { randomUUID } from 'node:crypto';
import { healFresh, rescan } from './bus.ts';
import { bindTo, driverNamed, registerDriver, unbind } from './drivers.ts';
import type { MachineState } from './state.ts';
import { type Core, enumeratedAt } from './topology.ts';

/** Drivers first (in their order), then all devices; then what this machine binds differently. */
export function boot(core: Core): void {
  const { state } = core;
  const { drivers, vfioIds, bindings } = state.bootOptions;
  state.bootId = randomUUID();
  if (vfioIds.length > 0) registerDriver(core, 'vfio-pci', vfioIds);
  for (const name of drivers) registerDriver(core, name);
  state.booting = true;
  rescan(core);
  state.booting = false;
  for (const device of Object.values(state.devices)) {
    if (!device.enumerated) continue;
    // Firmware has enabled decoding and placed the ROMs; the drivers are on already.
    device.command |= 0x0103;
    device.romProgrammed = true;
  }
  for (const [address, wanted] of Object.entries(bindings)) rebind(core, address, wanted);
  const hasDisplay = Object.values(state.devices).some((one) => one.nodes.includes('drm/card0'));
  state.consoles = {
    vtcon0: { name: '(S) VGA+', bound: !hasDisplay },
    vtcon1: { name: '(M) frame buffer device', bound: hasDisplay },
  };
}

/** The host restarts: cold start for every card that a reboot can heal, everything else from the start. */
export function reboot(core: Core): void {
  const { state } = core;
  for (const device of Object.values(state.devices)) {
    device.enumerated = false;
    device.noBusReset = false;
    device.driver = null;
    device.group = null;
    device.nodes = [];
    core.touch(device.address);
    if (device.bridge !== null) {
      device.bridge.powerOff = false;
      device.bridge.slotState = 'on';
    }
  }
  for (const [card, ailment] of Object.entries(state.ailments)) {
    if (ailment.sign === 'power' || ailment.healsBy.includes('reboot-host')) healFresh(core, card);
  }
  state.drivers = [];
  for (const module of Object.values(state.modules)) module.loaded = false;
  state.bootVga = null;
  state.holders = [];
  state.pending = [];
  state.finished = {};
  boot(core);
}

/** S3 and back: power is cut below the ports; what is still enumerated gets its saved registers back. */
export function suspend(core: Core): void {
  for (const [card, ailment] of Object.entries(core.state.ailments)) {
    if (!ailment.healsBy.includes('suspend')) continue;
    const known = enumeratedAt(core.state, `${card}.0`) !== undefined;
    healFresh(core, card);
    for (const device of Object.values(core.state.devices)) {
      if (!device.address.startsWith(`${card}.`) || !known) continue;
      // Saved on the way down, while it was dead.
      device.bars = ailment.clean ? 'programmed' : 'ones';
      device.command = ailment.clean ? 0x0103 : 0x0507;
    }
  }
  core.log('PM: suspend exit');
}

function rebind(core: Core, address: string, wanted: string | null): void {
  const device = enumeratedAt(core.state, address);
  if (device === undefined) return;
  unbind(core, device);
  if (wanted === null) return;
  const driver = driverNamed(core.state, wanted);
  if (driver === undefined) return;
  device.override = wanted;
  bindTo(core, driver, device);
}

/** Every device of a machine, for a full look at the files. */
export function allAddresses(state: MachineState): readonly string[] {
  return Object.keys(state.devices);
}
