/**
 * Modules that hook pci_dev_specific_reset, as vendor-reset does (facts/kernel.md 0.8, 4; lab.md, stand-in): asked only
 * where `device_specific` is in reset_method, and that only since they were loaded; they answer 0 whatever came of it.
 */
import { modelOf } from './models.ts';
import type { DeviceState, ModuleState } from './state.ts';
import { answers, type Core, cardAddressOf, functionsOf, modelFor, say } from './topology.ts';

export interface ModuleOptions {
  /** `1002:731f`: the devices in its table. */
  readonly ids: readonly string[];
  /** modprobe finds it, and the kernel takes it. */
  readonly loads?: boolean;
  /** What its resets come to; `done` by default. */
  readonly outcome?: ModuleState['outcome'];
  /** The audio function of the card does not come back with it. */
  readonly losesAudio?: boolean;
  /** As vendor-reset, and not the stand-in: from its first probe on the kernel's bus reset is forbidden for the device. */
  readonly forbidsBusReset?: boolean;
}

/** Puts a module on the disk of the machine, or changes the one that is there. */
export function installModule(core: Core, name: string, options: ModuleOptions): void {
  const { ids, loads = true, outcome = 'done', losesAudio = false } = options;
  const { forbidsBusReset = false } = options;
  const loaded = core.state.modules[name]?.loaded ?? false;
  core.state.modules[name] = { ids, loads, outcome, losesAudio, forbidsBusReset, loaded };
}

/** modprobe; false where there is no such module, or the kernel refuses it. */
export function loadModule(core: Core, name: string): boolean {
  const module = core.state.modules[name];
  if (module === undefined) return false;
  if (!module.loads) core.log(`${name}: version magic '6.1.0 SMP' should be '6.12.117-sim SMP'`);
  else if (!module.loaded) core.log(`${name.replaceAll('-', '_')}_hook: installed`);
  module.loaded = module.loads;
  return module.loads;
}

/** rmmod. reset_method keeps what it listed: it is asked again only when somebody writes to it. */
export function unloadModule(core: Core, name: string): void {
  const module = core.state.modules[name];
  if (module !== undefined) module.loaded = false;
}

/** The loaded module that has a device in its table. */
export function moduleFor(core: Core, device: DeviceState): ModuleState | undefined {
  const { id } = modelOf(device.model);
  return Object.values(core.state.modules).find((one) => one.loaded && one.ids.includes(id));
}

/** Its probe, by which the kernel asks whether the method can be had. */
export function probeModule(core: Core, device: DeviceState): boolean {
  const module = moduleFor(core, device);
  if (module?.forbidsBusReset === true) device.noBusReset = true;
  return module !== undefined;
}

/**
 * One reset. `heal` ends what a reset of that kind can heal. ENOTTY where it leaves the card to the kernel: amdgpu has it
 * (vendor-reset, amd_common_pre_reset).
 */
export function resetByModule(
  core: Core,
  device: DeviceState,
  module: ModuleState,
  heal: () => void,
): string | null {
  if (device.driver === 'amdgpu') return 'ENOTTY';
  const tell = (text: string): void =>
    say(core, device, `AMD_${device.model.toUpperCase()}: ${text}`);
  tell('performing pre-reset');
  tell('performing reset');
  const before = answers(core.state, device) ? '0, sol reg: 1' : 'ffffffff, sol reg: ffffffff';
  tell(`SMU response reg: ${before}, mp1 intr enabled? no, bl ready? yes`);
  if (module.outcome === 'done') heal();
  const alive = answers(core.state, device);
  if (module.outcome === 'smu-error') {
    // smum_send_msg_to_smc says it without the family, and the reset goes on to call itself done (facts/kernel.md 3.3, 38).
    say(core, device, 'SMU error 0xff');
    tell('BACO reset successful');
  } else if (module.outcome === 'fails' || !alive) tell('failed to reset device');
  tell('performing post-reset');
  tell('reset result = 0');
  for (const one of functionsOf(core.state, cardAddressOf(device.address))) {
    core.touch(one.address);
    if (module.losesAudio && modelFor(one).classCode.startsWith('0403')) one.plugged = false;
    // post_reset puts both functions to sleep.
    if (alive && modelFor(one).pm !== 'none') one.powerState = 'D3hot';
  }
  return null;
}
