/**
 * The devices that the simulated machine can hold: ids, class, capabilities, BARs. QEMU's ones are as the lab kernel
 * sees them (facts/kernel.md 9.1); the GPUs carry what section 8 lists for their family.
 */

export interface Bar {
  readonly index: number;
  readonly size: number;
  readonly kind: 'io' | 'mem32' | 'mem64';
  readonly prefetch?: boolean;
}

export interface Model {
  /** `1002:731f`, lower case. */
  readonly id: string;
  readonly subsystem: string;
  /** Six hex digits. */
  readonly classCode: string;
  readonly revision: number;
  readonly bars: readonly Bar[];
  /** Size of the expansion ROM BAR; 0 for none. */
  readonly rom: number;
  /** PCI Express capability: link files, FLR. */
  readonly pcie: boolean;
  readonly flr: boolean;
  /** Power management capability; `soft-reset` (NoSoftRst-) gives the reset method `pm`. */
  readonly pm: 'none' | 'soft-reset' | 'no-soft-reset';
  /** Advanced Error Reporting capability: the aer_* files. */
  readonly aer: boolean;
  /** Lanes of its link. */
  readonly lanes: number;
  readonly bridge: boolean;
}

const K = 1024;
const M = 1024 * K;

const plain: Omit<Model, 'id' | 'classCode'> = {
  subsystem: '1af4:1100',
  revision: 0,
  bars: [],
  rom: 0,
  pcie: false,
  flr: false,
  pm: 'none',
  aer: false,
  lanes: 1,
  bridge: false,
};

const mem32 = (index: number, size: number): Bar => ({ index, size, kind: 'mem32' });
const mem64 = (index: number, size: number): Bar => ({ index, size, kind: 'mem64' });
const prefetch = (bar: Bar): Bar => ({ ...bar, prefetch: true });
const io = (index: number, size: number): Bar => ({ index, size, kind: 'io' });

const port: Omit<Model, 'id'> = {
  ...plain,
  subsystem: '0000:0000',
  classCode: '060400',
  pcie: true,
  aer: true,
  bridge: true,
};

// An AMD board: BAR0 VRAM, BAR2 doorbells, BAR4 I/O, BAR5 registers. quirk_no_pm_reset: no `pm` (facts/kernel.md 2).
const amdGpu: Omit<Model, 'id'> = {
  ...plain,
  subsystem: '1002:0e3a',
  classCode: '030000',
  revision: 0xc1,
  bars: [prefetch(mem64(0, 256 * M)), prefetch(mem64(2, 2 * M)), io(4, 256), mem32(5, M)],
  rom: 128 * K,
  pcie: true,
  pm: 'no-soft-reset',
  aer: true,
  lanes: 16,
};

const cardAudio: Omit<Model, 'id'> = {
  ...plain,
  subsystem: '1002:ab28',
  classCode: '040300',
  bars: [mem32(0, 16 * K)],
  pcie: true,
  pm: 'no-soft-reset',
};

const cardUsb: Omit<Model, 'id'> = {
  ...plain,
  subsystem: '1002:0408',
  classCode: '0c0330',
  bars: [mem64(0, M)],
  pcie: true,
  pm: 'no-soft-reset',
};

const cardUcsi: Omit<Model, 'id'> = { ...cardUsb, classCode: '0c8000', bars: [mem64(0, 16 * K)] };

const models = {
  // QEMU (facts/kernel.md 9.1, lab.md "Devices that give the right shapes")
  'q35-host': { ...plain, id: '8086:29c0', classCode: '060000' },
  lpc: { ...plain, id: '8086:2918', classCode: '060100', revision: 2 },
  ahci: {
    ...plain,
    id: '8086:2922',
    classCode: '010601',
    revision: 2,
    bars: [io(4, 32), mem32(5, 4 * K)],
  },
  smbus: { ...plain, id: '8086:2930', classCode: '0c0500', revision: 2, bars: [io(4, 64)] },
  'virtio-blk': {
    ...plain,
    id: '1af4:1001',
    classCode: '010000',
    bars: [io(0, 128), mem32(1, 4 * K), prefetch(mem64(4, 16 * K))],
  },
  'virtio-serial': {
    ...plain,
    id: '1af4:1003',
    classCode: '078000',
    bars: [io(0, 64), mem32(1, 4 * K), prefetch(mem64(4, 16 * K))],
  },
  'root-port': { ...port, id: '1b36:000c', subsystem: '1b36:0000' },
  'x3130-upstream': { ...port, id: '104c:8232', revision: 2, flr: true },
  'xio3130-downstream': { ...port, id: '104c:8233', revision: 1, flr: true },
  bochs: {
    ...plain,
    id: '1234:1111',
    classCode: '038000',
    revision: 2,
    bars: [prefetch(mem32(0, 16 * M)), mem32(2, 4 * K)],
    rom: 32 * K,
    pcie: true,
  },
  hda: {
    ...plain,
    id: '8086:293e',
    classCode: '040300',
    revision: 3,
    bars: [mem32(0, 16 * K)],
  },
  'ati-vga': {
    ...plain,
    id: '1002:5046',
    classCode: '030000',
    bars: [prefetch(mem32(0, 16 * M)), io(1, 256), mem32(2, 16 * K)],
    rom: 64 * K,
  },
  xhci: {
    ...plain,
    id: '1b36:000d',
    classCode: '0c0330',
    revision: 1,
    bars: [mem64(0, 16 * K)],
    pcie: true,
  },
  'virtio-gpu': {
    ...plain,
    id: '1af4:1050',
    classCode: '038000',
    revision: 1,
    bars: [mem32(1, 4 * K), prefetch(mem64(4, 16 * K))],
    pcie: true,
    flr: true,
    pm: 'soft-reset',
  },
  nvme: {
    ...plain,
    id: '1b36:0010',
    classCode: '010802',
    revision: 2,
    bars: [mem64(0, 16 * K)],
    pcie: true,
    flr: true,
    pm: 'no-soft-reset',
  },
  e1000e: {
    ...plain,
    id: '8086:10d3',
    classCode: '020000',
    bars: [mem32(0, 128 * K), mem32(1, 128 * K), io(2, 32), mem32(3, 16 * K)],
    rom: 256 * K,
    pcie: true,
    pm: 'soft-reset',
    aer: true,
  },
  // Boards (facts/kernel.md 8)
  'amd-upstream': { ...port, id: '1002:1478', revision: 0xc1, pm: 'no-soft-reset', lanes: 16 },
  'amd-downstream': { ...port, id: '1002:1479', pm: 'no-soft-reset', lanes: 16 },
  polaris: { ...amdGpu, id: '1002:67df', revision: 0xe7 },
  'polaris-audio': { ...cardAudio, id: '1002:aaf0' },
  navi10: { ...amdGpu, id: '1002:731f' },
  'navi10-audio': { ...cardAudio, id: '1002:ab38' },
  navi21: { ...amdGpu, id: '1002:73bf' },
  'navi21-audio': { ...cardAudio, id: '1002:ab28' },
  'navi21-usb': { ...cardUsb, id: '1002:73a6' },
  'navi21-ucsi': { ...cardUcsi, id: '1002:73a4' },
  nvidia: {
    ...amdGpu,
    id: '10de:2204',
    subsystem: '10de:147d',
    revision: 0xa1,
    bars: [mem32(0, 16 * M), prefetch(mem64(1, 256 * M)), prefetch(mem64(3, 32 * M)), io(5, 128)],
    rom: 512 * K,
  },
  // On a kernel without quirk_no_flr (before 5.8).
  'matisse-usb': {
    ...plain,
    id: '1022:149c',
    classCode: '0c0330',
    bars: [mem64(0, M)],
    pcie: true,
    flr: true,
    pm: 'soft-reset',
  },
  'nvidia-audio': { ...cardAudio, id: '10de:1aef', subsystem: '10de:147d', revision: 0xa1 },
} as const satisfies Record<string, Model>;

export type ModelName = keyof typeof models;

/** The model of that name. */
export function modelOf(name: ModelName): Model {
  return models[name];
}

/** True for VGA class (0300), which is what boot_vga and the VGA arbiter look at (pci_is_vga). */
export function isVga(model: Model): boolean {
  return model.classCode.startsWith('0300');
}
