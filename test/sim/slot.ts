/**
 * Slot power through bus/pci/slots/N/power: drivers/pci/hotplug/pciehp_ctrl.c, as facts/kernel.md 9.2 saw it. What
 * pciehp believes and what the Power Controller bit says are two things, and the answers follow both.
 */
import { healFresh, loseRegisters, removeDevice, scanAndAttach } from './bus.ts';
import type { Outcome } from './reset.ts';
import type { BridgeState, DeviceState, MachineState } from './state.ts';
import { below, type Core, cardAddressOf, enumeratedBelow, subtree } from './topology.ts';

const powerUpMs = 1_200;
const powerDownMs = 1_100;

/** The enumerated port of a slot. */
export function portOfSlot(state: MachineState, slot: string): DeviceState | undefined {
  return Object.values(state.devices).find(
    (device) => device.enumerated && device.bridge?.slot === slot,
  );
}

/** `power` as it reads: the Power Controller bit, live; a port without that controller is always on. */
export function slotPower(bridge: BridgeState): '0' | '1' {
  return bridge.powerController && bridge.powerOff ? '0' : '1';
}

/** What is removed when the slot is switched off; empty when the write would be refused. */
export function slotVictims(port: DeviceState, state: MachineState): readonly DeviceState[] {
  const bridge = port.bridge;
  if (bridge === null || bridge.slotState === 'off' || bridge.powerOff) return [];
  return enumeratedBelow(state, port.address);
}

/** Writes to `power`. */
export function setSlotPower(core: Core, port: DeviceState, value: string): Outcome {
  const bridge = port.bridge;
  const number = /^\s*(\d+)/.exec(value)?.[1] ?? '0'; // simple_strtoul
  if (bridge === null || !['0', '1'].includes(number)) return { errno: 'EINVAL', delayMs: 0 };
  core.touch(port.address);
  return number === '0' ? switchOff(core, port, bridge) : switchOn(core, port, bridge);
}

function switchOff(core: Core, port: DeviceState, bridge: BridgeState): Outcome {
  if (bridge.slotState === 'off') {
    report(core, port, bridge, 'Already disabled');
    return { errno: 'ENODEV', delayMs: 0 };
  }
  bridge.slotState = 'off';
  // Somebody else took the power away: pciehp refuses, but believes "off" from now on.
  if (bridge.powerOff) {
    report(core, port, bridge, 'Already disabled');
    return { errno: 'EINVAL', delayMs: 0 };
  }
  for (const device of enumeratedBelow(core.state, port.address)) removeDevice(core, device);
  if (bridge.powerController) {
    bridge.powerOff = true;
    for (const device of subtree(core.state, port.address)) {
      loseRegisters(core, device);
      if (bridge.ejects) device.plugged = false;
    }
  }
  core.state.resets.push({ method: 'slot-power', address: port.address });
  return { errno: null, delayMs: powerDownMs };
}

function switchOn(core: Core, port: DeviceState, bridge: BridgeState): Outcome {
  if (bridge.slotState === 'on') {
    report(core, port, bridge, 'Already enabled');
    return { errno: 'ENODEV', delayMs: 0 };
  }
  const devices = below(core.state, port.address);
  if (devices.every((device) => !device.plugged)) {
    report(core, port, bridge, 'No adapter');
    return { errno: 'ENODEV', delayMs: 0 };
  }
  report(core, port, bridge, 'Card present');
  bridge.powerOff = false;
  bridge.slotState = 'on';
  for (const card of new Set(devices.map((device) => cardAddressOf(device.address)))) {
    const ailment = core.state.ailments[card];
    if (ailment?.sign === 'power' || ailment?.healsBy.includes('slot-power') === true) {
      healFresh(core, card);
    }
  }
  report(core, port, bridge, 'Link Up');
  scanAndAttach(core, port.address);
  return { errno: null, delayMs: powerUpMs };
}

function report(core: Core, port: DeviceState, bridge: BridgeState, text: string): void {
  core.log(`pcieport ${port.address}: pciehp: Slot(${bridge.slot}): ${text}`);
}
