/** A machine, declared: ports, switches, cards. Gives the state before its first boot (see boot.ts). */
import { type Bar, type ModelName, modelOf } from './models.ts';
import type { BootOptions, BridgeState, DeviceState, MachineState } from './state.ts';

export interface FunctionSpec {
  readonly model: ModelName;
  /** Function number; by default its place in the list. */
  readonly fn?: number;
  /** Driver at boot: by default the first one that matches; null leaves it unbound. */
  readonly driver?: string | null;
  /** A reset by kernel quirk, and one by ACPI _RST. */
  readonly deviceSpecific?: boolean;
  readonly acpiReset?: boolean;
}

interface PortSpec {
  readonly model?: ModelName;
  /** `0000:00:04.0`; only for root ports, by default counted up from 00:01.0. */
  readonly address?: string;
  /** Name of its slot; none by default. */
  readonly slot?: string;
  /** Slot with a power controller: by default, when there is a slot. */
  readonly powerController?: boolean;
  /** Which functions say "multifunction" in their header: all (default), or as in QEMU the first one. */
  readonly multifunctionBit?: 'all' | 'first';
  /** The platform can take power away below it. */
  readonly d3cold?: boolean;
  /** `together` (default): one IOMMU group for the card; `apart`: one each; `with-port`: the port is in it as well. */
  readonly groups?: 'together' | 'apart' | 'with-port';
  readonly functions?: readonly FunctionSpec[];
  /** A switch instead of a card. */
  readonly upstream?: ModelName;
  readonly downstream?: readonly PortSpec[];
}

export interface MachineSpec {
  readonly ports: readonly PortSpec[];
  /** Other devices of the root bus; by default what a q35 machine has. */
  readonly rootDevices?: readonly { readonly address: string; readonly model: ModelName }[];
  /** Drivers in the order of their registration. */
  readonly drivers?: readonly string[];
  /** vfio-pci.ids=..., which also puts vfio-pci before all others. */
  readonly vfioIds?: readonly string[];
  readonly iommu?: boolean;
  /** A clock that can wake it from S3; none by default, so that no rung lets it sleep unasked. */
  readonly rtc?: boolean;
  /** What powering a slot off does: QEMU ejects the device for good (facts/kernel.md 9.2). */
  readonly slotPower?: 'real' | 'ejects';
}

const defaultDrivers = [
  'pcieport',
  'virtio-pci',
  'ahci',
  'lpc_ich',
  'i801_smbus',
  'bochs-drm',
  'snd_hda_intel',
  'xhci_hcd',
  'nvme',
  'e1000e',
  'vfio-pci',
] as const;

const q35: NonNullable<MachineSpec['rootDevices']> = [
  { address: '0000:00:00.0', model: 'q35-host' },
  { address: '0000:00:1f.0', model: 'lpc' },
  { address: '0000:00:1f.2', model: 'ahci' },
  { address: '0000:00:1f.3', model: 'smbus' },
];

/** The machine as it is before power-on: nothing enumerated, registers as firmware leaves them. */
export function machine(spec: MachineSpec): MachineState {
  const builder = new Builder(spec);
  for (const { address, model } of spec.rootDevices ?? q35) {
    builder.addRootDevice(address, model);
  }
  for (const [place, port] of spec.ports.entries()) {
    builder.addPort(port, null, port.address ?? rootPortAddress(place));
  }
  return builder.build();
}

/** `0000:00:01.0`, eight to a slot: 64 ports fit on the root bus. */
function rootPortAddress(place: number): string {
  return `0000:00:${hex2(1 + (place >> 3))}.${place & 7}`;
}

class Builder {
  readonly #spec: MachineSpec;
  readonly #devices: DeviceState[] = [];
  readonly #bindings: Record<string, string | null> = {};
  readonly #space = new AddressSpace();
  #buses = 0;

  constructor(spec: MachineSpec) {
    this.#spec = spec;
  }

  addRootDevice(address: string, model: ModelName): void {
    this.#add(address, model, null, null, `slot ${address.slice(0, -2)}`);
  }

  addPort(port: PortSpec, parent: string | null, address: string): void {
    const bridge = this.#bridge(port);
    const own = parent === null ? 'root-port' : 'xio3130-downstream';
    this.#add(address, port.model ?? own, parent, bridge, address);
    const bus = `0000:${hex2(bridge.secondary)}:00`;
    if (port.upstream !== undefined) this.#addSwitch(port, port.upstream, address, bus);
    for (const [place, fn] of (port.functions ?? []).entries()) {
      this.#addFunction(port, fn, `${bus}.${fn.fn ?? place}`, address);
    }
    bridge.subordinate = this.#buses;
  }

  build(): MachineState {
    const { vfioIds = [], drivers = defaultDrivers } = this.#spec;
    const sorted = this.#devices.sort((a, b) => (a.address < b.address ? -1 : 1));
    const bootOptions: BootOptions = { drivers, vfioIds, bindings: this.#bindings };
    return {
      iommu: this.#spec.iommu ?? true,
      rtc: this.#spec.rtc ?? false,
      bootOptions,
      devices: Object.fromEntries(sorted.map((device) => [device.address, device])),
      drivers: [],
      modules: {},
      bootVga: null,
      booting: false,
      bootId: '',
      ailments: {},
      recoverFails: {},
      afterGuest: {},
      faults: [],
      pending: [],
      finished: {},
      nextPending: 1,
      holders: [],
      consoles: {},
      autoprobe: true,
      clockMs: 0,
      delayScale: 1,
      log: [],
      logged: 0,
      resets: [],
      writes: [],
    };
  }

  #addSwitch(port: PortSpec, upstream: ModelName, parent: string, bus: string): void {
    const bridge = this.#bridge({});
    const address = `${bus}.0`;
    this.#add(address, upstream, parent, bridge, address);
    for (const [place, one] of (port.downstream ?? []).entries()) {
      this.addPort(one, address, `0000:${hex2(bridge.secondary)}:${hex2(place)}.0`);
    }
    bridge.subordinate = this.#buses;
  }

  #addFunction(port: PortSpec, fn: FunctionSpec, address: string, parent: string): void {
    const keys = { together: address.slice(0, -2), apart: address, 'with-port': parent };
    const device = this.#add(address, fn.model, parent, null, keys[port.groups ?? 'together'], {
      multifunction:
        (port.functions ?? []).length > 1 &&
        (port.multifunctionBit !== 'first' || address.endsWith('.0')),
    });
    device.deviceSpecific = fn.deviceSpecific ?? false;
    device.acpiReset = fn.acpiReset ?? false;
    if (fn.driver !== undefined) this.#bindings[address] = fn.driver;
  }

  #bridge(port: PortSpec): BridgeState {
    this.#buses++;
    return {
      secondary: this.#buses,
      subordinate: this.#buses,
      slot: port.slot ?? null,
      powerController: port.powerController ?? port.slot !== undefined,
      powerOff: false,
      slotState: 'on',
      ejects: this.#spec.slotPower === 'ejects',
      d3cold: port.d3cold ?? false,
      cold: false,
    };
  }

  #add(
    address: string,
    model: ModelName,
    parent: string | null,
    bridge: BridgeState | null,
    groupKey: string,
    more: { readonly multifunction?: boolean } = {},
  ): DeviceState {
    const device: DeviceState = {
      address,
      model,
      parent,
      bridge,
      bases: this.#space.place(modelOf(model).bars, modelOf(model).rom),
      groupKey,
      multifunction: more.multifunction ?? false,
      plugged: true,
      bars: 'programmed',
      command: 0x0103,
      romProgrammed: true,
      deviceSpecific: false,
      noBusReset: false,
      acpiReset: false,
      noRoom: false,
      shadowRom: false,
      lanes: modelOf(model).lanes,
      enumerated: false,
      probed: false,
      driver: null,
      override: null,
      methods: [],
      resettable: false,
      control: 'on',
      d3coldAllowed: false,
      powerState: 'unknown',
      enabled: 0,
      group: null,
      nodes: [],
      errors: {},
      busyUntil: 0,
    };
    this.#devices.push(device);
    return device;
  }
}

// Small and big ones apart, or the alignment of the big ones would waste most of the space below 4 GiB.
const windows = {
  io: { from: 0x1000, to: 0x1_0000 },
  small32: { from: 0xf000_0000, to: 0xfec0_0000 },
  big32: { from: 0x8000_0000, to: 0xf000_0000 },
  mem64: { from: 0x40_0000_0000, to: 2 ** 46 },
} as const;
const bigBar = 0x10_0000;

/** Places for BARs, as firmware would find them: naturally aligned, never twice. */
class AddressSpace {
  readonly #next = new Map<keyof typeof windows, number>();

  place(bars: readonly Bar[], rom: number): Record<string, number> {
    const bases: Record<string, number> = {};
    for (const bar of bars) bases[bar.index] = this.#take(bar.kind, bar.size);
    if (rom > 0) bases[6] = this.#take('mem32', rom);
    return bases;
  }

  #take(kind: Bar['kind'], size: number): number {
    const window = kind !== 'mem32' ? kind : size < bigBar ? 'small32' : 'big32';
    const { from, to } = windows[window];
    const base = Math.ceil((this.#next.get(window) ?? from) / size) * size;
    if (base + size > to) throw new Error(`the machine has no room for so many ${kind} BARs`);
    this.#next.set(window, base + size);
    return base;
  }
}

function hex2(value: number): string {
  return value.toString(16).padStart(2, '0');
}
