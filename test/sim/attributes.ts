/** The attribute files of a device as sysfs shows them: name -> content and mode (drivers/pci/pci-sysfs.c). */
import { configSpace, resourceText } from './config-space.ts';
import { isVga } from './models.ts';
import type { DeviceState, MachineState } from './state.ts';
import { answers, modelFor, runtimeStatus } from './topology.ts';

export interface Attribute {
  readonly content: string | Buffer;
  readonly mode: 0o444 | 0o644 | 0o200;
}

/** All attributes of an enumerated device, nested ones as `power/control`. */
export function attributesOf(
  state: MachineState,
  device: DeviceState,
): ReadonlyMap<string, Attribute> {
  const files = new Map<string, Attribute>();
  const shows = (name: string, value: string | number): void => {
    files.set(name, { content: `${value}\n`, mode: 0o444 });
  };
  const keeps = (name: string, value: string | number): void => {
    files.set(name, { content: `${value}\n`, mode: 0o644 });
  };
  const takes = (name: string): void => {
    files.set(name, { content: '', mode: 0o200 });
  };
  const model = modelFor(device);
  const [vendor = '', id = ''] = model.id.split(':');
  const [subVendor = '', subDevice = ''] = model.subsystem.split(':');
  shows('vendor', `0x${vendor}`);
  shows('device', `0x${id}`);
  shows('subsystem_vendor', `0x${subVendor}`);
  shows('subsystem_device', `0x${subDevice}`);
  shows('class', `0x${model.classCode}`);
  shows('revision', `0x${model.revision.toString(16).padStart(2, '0')}`);
  shows('modalias', modaliasOf(model.id, model.subsystem, model.classCode));
  files.set('resource', { content: resourceText(device), mode: 0o444 });
  const config = configSpace(state, device);
  files.set('config', { content: config, mode: 0o644 });
  keeps('driver_override', device.override ?? '(null)');
  keeps('enable', device.enabled);
  keeps('numa_node', -1);
  keeps('d3cold_allowed', device.d3coldAllowed ? 1 : 0);
  shows('power_state', device.powerState);
  keeps('power/control', device.control);
  shows('power/runtime_status', runtimeStatus(state, device));
  takes('remove');
  takes('rescan');
  if (device.resettable) {
    takes('reset');
    keeps('reset_method', device.methods.join(' '));
  }
  if (isVga(model)) shows('boot_vga', state.bootVga === device.address ? 1 : 0);
  if (model.pcie) linkFiles(shows, device, answers(state, device));
  if (model.aer) aerFiles(shows, device);
  if (device.bridge !== null) {
    takes('reset_subordinate');
    // The registers (drivers/pci/pci-sysfs.c): what the kernel has is the name below pci_bus.
    shows('secondary_bus_number', config.readUInt8(0x19));
    shows('subordinate_bus_number', config.readUInt8(0x1a));
    takes(`pci_bus/${busName(device.bridge.secondary)}/rescan`);
  }
  return files;
}

// Read live, all ones from a dead device (facts/kernel.md 0.5), but for the speeds that it can do.
function linkFiles(
  shows: (name: string, value: string) => void,
  device: DeviceState,
  alive: boolean,
): void {
  shows('current_link_speed', alive ? '2.5 GT/s PCIe' : 'Unknown');
  shows('current_link_width', alive ? `${device.lanes}` : '63');
  shows('max_link_speed', '2.5 GT/s PCIe');
  shows('max_link_width', alive ? `${modelFor(device).lanes}` : '63');
}

// Names of aer_correctable_error_string and aer_uncorrectable_error_string (drivers/pci/pcie/aer.c).
const correctable = 'RxErr BadTLP BadDLLP Rollover Timeout NonFatalErr CorrIntErr HeaderOF';
const uncorrectable =
  'Undefined DLP SDES TLP FCP CmpltTO CmpltAbrt UnxCmplt RxOF MalfTLP ECRC UnsupReq ACSViol UncorrIntErr BlockedTLP AtomicOpBlocked TLPBlockedErr PoisonTLPBlocked';
const aerSeverities = [
  ['correctable', correctable, 'COR', 'cor'],
  ['fatal', uncorrectable, 'FATAL', 'fatal'],
  ['nonfatal', uncorrectable, 'NONFATAL', 'nonfatal'],
] as const;

// What was counted, whether the device answers or not (aer_dev_fatal_show and its like).
function aerFiles(
  shows: (name: string, value: string | number) => void,
  device: DeviceState,
): void {
  for (const [severity, names, total, short] of aerSeverities) {
    const counts = names
      .split(' ')
      .map((name) => [name, device.errors[`${severity} ${name}`] ?? 0] as const);
    const sum = counts.reduce((all, [, count]) => all + count, 0);
    const lines = [...counts, [`TOTAL_ERR_${total}`, sum]].map(
      ([name, count]) => `${name} ${count}`,
    );
    shows(`aer_dev_${severity}`, lines.join('\n'));
    if (device.bridge === null || device.parent !== null) continue;
    shows(`aer_rootport_total_err_${short}`, device.errors[severity] ?? 0);
  }
}

function modaliasOf(id: string, subsystem: string, classCode: string): string {
  const wide = (hex: string): string => hex.toUpperCase().padStart(8, '0');
  const [v = '', d = ''] = id.split(':');
  const [sv = '', sd = ''] = subsystem.split(':');
  const [bc, sc, i] = [0, 2, 4].map((at) => classCode.slice(at, at + 2).toUpperCase());
  return `pci:v${wide(v)}d${wide(d)}sv${wide(sv)}sd${wide(sd)}bc${bc}sc${sc}i${i}`;
}

/** `0000:01` of bus 1. */
export function busName(bus: number): string {
  return `0000:${bus.toString(16).padStart(2, '0')}`;
}
