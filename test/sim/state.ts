/**
 * The whole state of a simulated machine as plain data: it goes into one JSON file when several processes share
 * the machine (dd.ts). What the kernel believes and what the hardware is are separate fields: that they differ
 * is what the project is about.
 */
import type { ModelName } from './models.ts';

/** Names of reset_method in the kernel's order of trying (facts/kernel.md 1). */
export const resetMethods = [
  'device_specific',
  'acpi',
  'flr',
  'af_flr',
  'pm',
  'bus',
  'cxl_bus',
] as const;
export type ResetMethod = (typeof resetMethods)[number];

/** What can bring a dead card back: a reset method, or something done to the card as a whole. */
export type Healer =
  | ResetMethod
  | 'subordinate'
  | 'amdgpu'
  | 'remove-rescan'
  | 'slot-power'
  | 'd3cold'
  | 'suspend'
  | 'reboot-host';

/**
 * What the hardware holds in its BAR registers (for a bridge: in its bus numbers).
 * `ones`: restored from a save of the dead device, the register keeps its size mask (lab.md, vendor-reset stand-in).
 * `unassigned`: the kernel had no room for it (facts/kernel.md 0.12).
 */
type BarState = 'programmed' | 'zero' | 'ones' | 'unassigned';

export interface BridgeState {
  readonly secondary: number;
  subordinate: number;
  /** Name below bus/pci/slots; null for a port without a slot. */
  readonly slot: string | null;
  readonly powerController: boolean;
  /** Slot Control, Power Controller Control: what is below is off the air. */
  powerOff: boolean;
  /** What pciehp believes. */
  slotState: 'on' | 'off';
  /** QEMU unplugs the device when its slot is powered off by pciehp (facts/kernel.md 9.2). */
  readonly ejects: boolean;
  /** The platform can cut power below this port (_PR3). */
  readonly d3cold: boolean;
  /** It has done so. */
  cold: boolean;
}

export interface DeviceState {
  readonly address: string;
  readonly model: ModelName;
  /** The bridge above; null on the root bus. */
  readonly parent: string | null;
  readonly bridge: BridgeState | null;
  /** Start addresses of the BARs by index, the ROM as 6. Fixed for the machine's life. */
  readonly bases: Readonly<Record<string, number>>;
  /** Devices with the same key share an IOMMU group. */
  readonly groupKey: string;
  /** Header type bit 7: QEMU sets it for function 0 alone, boards for all functions. */
  readonly multifunction: boolean;

  // Hardware
  plugged: boolean;
  bars: BarState;
  command: number;
  /** Firmware programs the ROM BAR, the kernel does not (pci_std_update_resource). */
  romProgrammed: boolean;
  /** A kernel quirk or vendor-reset answers for it. */
  deviceSpecific: boolean;
  /** PCI_DEV_FLAGS_NO_BUS_RESET, which stays when the module that set it goes. */
  noBusReset: boolean;
  acpiReset: boolean;
  /** Its ROM is the copy that the firmware left at c0000 (pci_fixup_video). */
  shadowRom: boolean;
  /** Lanes that its link came up with. */
  lanes: number;
  /** The next rescan finds no room for its BARs. */
  noRoom: boolean;

  // The kernel's view, meaningful while it is enumerated
  enumerated: boolean;
  /** It has been added completely: pci_scan_slot has told it of its siblings. */
  probed: boolean;
  driver: string | null;
  override: string | null;
  methods: ResetMethod[];
  /** The files reset and reset_method exist: there was a method when the device was added. */
  resettable: boolean;
  control: 'on' | 'auto';
  d3coldAllowed: boolean;
  powerState: 'unknown' | 'D0' | 'D3hot' | 'D3cold';
  enabled: number;
  group: number | null;
  /** Class devices of the bound driver below the device: `drm/card0`, `sound/card1`. */
  nodes: string[];
  /** Errors that the kernel has counted since it knows it, by `fatal SDES`; of a root port also by `fatal`: what was reported to it. */
  errors: Record<string, number>;
  /** Its lock is held until then (milliseconds of the machine's clock). */
  busyUntil: number;
}

/** A module of modules.ts. */
export interface ModuleState {
  readonly ids: readonly string[];
  readonly loads: boolean;
  readonly outcome: 'done' | 'fails' | 'smu-error';
  readonly losesAudio: boolean;
  readonly forbidsBusReset: boolean;
  loaded: boolean;
}

export interface DriverState {
  readonly name: string;
  /** Ids from a module parameter or new_id. */
  dynamicIds: string[];
}

/** Why a card does not work. `power`: its port has the power controller bit set (lab.md, "The wedge"). */
export interface Ailment {
  readonly sign: 'power' | 'ff' | 'crs' | 'bars';
  readonly healsBy: readonly Healer[];
  /** Comes back with its registers as they were, instead of what a reset saved from the dead device. */
  readonly clean: boolean;
}

export interface PathFault {
  readonly kind: 'hang' | 'fail' | 'slow';
  /** See target.ts. */
  readonly key: string;
  readonly errno: string;
  readonly ms: number;
  left: number;
}

/** A write or read that is in the kernel and does not return. */
export interface Pending {
  readonly id: number;
  readonly key: string;
  readonly path: string;
  /** Null for a read. */
  readonly value: string | null;
  /** Devices whose lock it holds. */
  readonly locks: readonly string[];
  /** It holds pci_rescan_remove_lock. */
  readonly rescanLock: boolean;
  /** A `hang` fault: only `unhang` ends it. Else it goes on when what it waits for is free. */
  readonly fault: boolean;
}

export interface Holder {
  readonly pid: number;
  readonly name: string;
  readonly node: string;
}

export interface ResetEvent {
  readonly method: ResetMethod | 'subordinate' | 'vfio-close' | 'slot-power' | 'amdgpu';
  readonly address: string;
}

export interface MachineState {
  readonly iommu: boolean;
  /** A clock that can wake it from S3. */
  readonly rtc: boolean;
  readonly bootOptions: BootOptions;
  /** By address, in address order. */
  devices: Record<string, DeviceState>;
  /** In the order of their registration. */
  drivers: DriverState[];
  /** On disk, loaded or not. By name. */
  modules: Record<string, ModuleState>;
  bootVga: string | null;
  /** First enumeration: IOMMU groups are made when all functions are known, hotplug slots later. */
  booting: boolean;
  bootId: string;
  /** By card address. */
  ailments: Record<string, Ailment>;
  /** amdgpu cannot reset these and says so, or does not try (gpu_recovery=0). By card address. */
  recoverFails: Record<string, 'failed' | 'skipped'>;
  /** Applied to a card when its guest lets go. By card address. */
  afterGuest: Record<string, Ailment>;
  faults: PathFault[];
  pending: Pending[];
  finished: Record<string, string | null>;
  nextPending: number;
  holders: Holder[];
  /** vtconN -> bound. */
  consoles: Record<string, { readonly name: string; bound: boolean }>;
  autoprobe: boolean;
  /** Milliseconds of the virtual clock. */
  clockMs: number;
  /** Times that the kernel takes are multiplied by this: 1 in virtual time, 0 where a real process would wait. */
  delayScale: number;
  log: string[];
  logged: number;
  resets: ResetEvent[];
  writes: { readonly path: string; readonly value: string }[];
}

/** What reboot needs to know. */
export interface BootOptions {
  readonly drivers: readonly string[];
  readonly vfioIds: readonly string[];
  /** Bound to something else than the first match, or (null) left unbound. By address. */
  readonly bindings: Readonly<Record<string, string | null>>;
}
