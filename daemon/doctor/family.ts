/**
 * What the rules need to know of a device's family: its name, the ladder that suits it, and what is hazardous about it.
 * Ids: pci.ids, amdgpu's PCI table, vendor-reset's device list, xhci-pci and quirks.c (facts/kernel.md 2 to 8).
 */
import type { PciFunction } from '../pci/device.ts';

interface Hazards {
  /** A reset of the bus leaves it dead or half dead. `some`: on some boards. */
  readonly bus?: 'yes' | 'some';
  /** A function level reset hangs it or the host. `quirked`: newer kernels do not use it any more. */
  readonly flr?: 'yes' | 'some' | 'quirked';
  /** A USB controller that does not survive, or that takes the host along. */
  readonly usb?: 'dies' | 'host' | 'quirked';
  /** Does not come back from D3cold on some boards. */
  readonly d3cold?: true;
  /** Nothing resets it between two guests. */
  readonly none?: true;
}

export interface Family {
  readonly name: string;
  readonly kind: 'gpu' | 'apu' | 'usb' | 'other';
  /** Names of rungs, in the order in which they suit it. */
  readonly ladder: readonly string[];
  readonly hazards: Hazards;
  /** The card carries a PCIe switch whose ports isolate the functions (1002:1478/1479, 1022:1470/1471). */
  readonly cardSwitch: boolean;
  /** The module vendor-reset has a procedure for it. */
  readonly vendorReset: boolean;
  /** Its firmware has no part for a BIOS guest any more. */
  readonly uefiOnly: boolean;
  /** Its last Windows driver refuses a guest that shows KVM (NVIDIA before 465). */
  readonly hidesNeeded: boolean;
}

type Row = readonly [
  name: string,
  kind: Family['kind'],
  vendor: string,
  ids: string,
  traits?: Partial<Omit<Family, 'name' | 'kind'>>,
];

const last = ['remove-rescan', 'suspend', 'reboot-host'];
const byModule = ['device_specific', 'amdgpu', ...last];
const byBus = ['bus', 'subordinate', 'remove-rescan', 'slot-power', 'suspend', 'reboot-host'];
const byFlr = ['flr', ...byBus];
const usual = ['device_specific', 'flr', 'af_flr', 'acpi', 'pm', ...byBus];
const resetBug = { hazards: { bus: 'yes' }, ladder: byModule, vendorReset: true } as const;
const gcn = { hazards: { bus: 'some' }, ladder: ['pm', ...byBus] } as const;
const apu = {
  hazards: { none: true },
  ladder: ['amdgpu', 'remove-rescan', 'reboot-host'],
} as const;
const rdna = { cardSwitch: true, ladder: ['bus', 'subordinate', 'amdgpu', ...last] } as const;
const soc = { ladder: ['pm', 'remove-rescan', 'suspend', 'reboot-host'] } as const;

// Ids: single ones, or ranges with a dash.
const rows: readonly Row[] = [
  ['AMD Oland', 'gpu', '1002', '6600-6631', gcn],
  ['AMD Bonaire', 'gpu', '1002', '6640-665f', gcn],
  ['AMD Hainan', 'gpu', '1002', '6660-666f', gcn],
  ['AMD Cayman', 'gpu', '1002', '6700-671f', gcn],
  ['AMD Barts', 'gpu', '1002', '6720-673f', gcn],
  ['AMD Turks', 'gpu', '1002', '6740-675f', gcn],
  ['AMD Caicos', 'gpu', '1002', '6760-677f', gcn],
  ['AMD Tahiti', 'gpu', '1002', '6780-679f', gcn],
  ['AMD Hawaii', 'gpu', '1002', '67a0-67bf', gcn],
  ['AMD Polaris 10', 'gpu', '1002', '67c0-67df 6fdf', resetBug],
  ['AMD Polaris 11', 'gpu', '1002', '67e0-67ff', resetBug],
  ['AMD Pitcairn', 'gpu', '1002', '6800-681f', gcn],
  ['AMD Cape Verde', 'gpu', '1002', '6820-683f', gcn],
  ['AMD Evergreen', 'gpu', '1002', '6880-68ff', gcn],
  ['AMD Topaz', 'gpu', '1002', '6900-6907', gcn],
  ['AMD Tonga', 'gpu', '1002', '6920-693f', gcn],
  ['AMD Vega M', 'gpu', '1002', '694c-694f', resetBug],
  ['AMD Polaris 12', 'gpu', '1002', '6980-699f', resetBug],
  [
    'AMD Vega 12',
    'gpu',
    '1002',
    '69a0-69af',
    { ...resetBug, cardSwitch: true, vendorReset: false },
  ],
  [
    'AMD Vega 10',
    'gpu',
    '1002',
    '6860-687f',
    {
      ...resetBug,
      ladder: ['device_specific', ...last],
      cardSwitch: true,
      hazards: { bus: 'yes', d3cold: true },
    },
  ],
  [
    'AMD Vega 20',
    'gpu',
    '1002',
    '66a0-66af',
    { ...resetBug, ladder: ['device_specific', ...last], cardSwitch: true },
  ],
  ['AMD Fiji', 'gpu', '1002', '7300 730f', gcn],
  [
    'AMD Navi 10',
    'gpu',
    '1002',
    '7310-731f',
    { ...resetBug, cardSwitch: true, hazards: { bus: 'yes', d3cold: true } },
  ],
  ['AMD Navi 14', 'gpu', '1002', '7340-734f', { ...resetBug, cardSwitch: true }],
  ['AMD Navi 12', 'gpu', '1002', '7360-7362', { ...resetBug, cardSwitch: true }],
  ['AMD Arcturus', 'gpu', '1002', '7388-7390', { ...resetBug, cardSwitch: true }],
  [
    'AMD Aldebaran',
    'gpu',
    '1002',
    '7408-740f',
    { hazards: { bus: 'yes', flr: 'some' }, ladder: ['reboot-host'] },
  ],
  [
    'AMD MI300',
    'gpu',
    '1002',
    '74a0-75bf',
    { hazards: { bus: 'yes', flr: 'yes' }, ladder: ['reboot-host'] },
  ],
  ['AMD Navi 21', 'gpu', '1002', '73a0-73bf', rdna],
  ['AMD Navi 22', 'gpu', '1002', '73c0-73df', rdna],
  ['AMD Navi 23', 'gpu', '1002', '73e0-73ef 73ff', rdna],
  ['AMD Navi 24', 'gpu', '1002', '7420-743f', rdna],
  [
    'AMD Navi 31',
    'gpu',
    '1002',
    '7440-745f',
    { ...rdna, hazards: { bus: 'some' }, uefiOnly: true },
  ],
  [
    'AMD Navi 32',
    'gpu',
    '1002',
    '7460-747f',
    { ...rdna, hazards: { bus: 'some' }, uefiOnly: true },
  ],
  [
    'AMD Navi 33',
    'gpu',
    '1002',
    '7480-749f 73f0',
    { ...rdna, hazards: { bus: 'some' }, uefiOnly: true },
  ],
  [
    'AMD Navi 48',
    'gpu',
    '1002',
    '7550-755f',
    {
      cardSwitch: true,
      ladder: ['amdgpu', ...last],
      hazards: { bus: 'yes', d3cold: true },
      uefiOnly: true,
    },
  ],
  [
    'AMD Navi 44',
    'gpu',
    '1002',
    '7590-759f',
    {
      cardSwitch: true,
      ladder: ['amdgpu', ...last],
      hazards: { bus: 'yes', d3cold: true },
      uefiOnly: true,
    },
  ],
  ['AMD Kaveri', 'apu', '1002', '1304-131d', apu],
  ['AMD Kabini', 'apu', '1002', '9830-985f', apu],
  ['AMD Carrizo', 'apu', '1002', '9870-9877', apu],
  ['AMD Stoney', 'apu', '1002', '98e4', apu],
  ['AMD Llano or Trinity', 'apu', '1002', '9640-964f 9900-99a4', apu],
  ['AMD Raven', 'apu', '1002', '15dd 15d8', apu],
  ['AMD Renoir', 'apu', '1002', '1636', apu],
  ['AMD Cezanne', 'apu', '1002', '1638 15e7', apu],
  ['AMD Lucienne', 'apu', '1002', '164c', apu],
  ['AMD Rembrandt', 'apu', '1002', '1681 164d', apu],
  ['AMD Van Gogh', 'apu', '1002', '163f', apu],
  ['AMD Mendocino', 'apu', '1002', '1506', apu],
  ['AMD Raphael', 'apu', '1002', '164e', apu],
  ['AMD Granite Ridge', 'apu', '1002', '13c0', apu],
  ['AMD Phoenix', 'apu', '1002', '15bf 15c8', apu],
  ['AMD Hawk Point', 'apu', '1002', '1900 1901', apu],
  ['AMD Strix', 'apu', '1002', '150e 1114', apu],
  ['AMD Strix Halo', 'apu', '1002', '1586', apu],
  [
    'NVIDIA Tesla',
    'gpu',
    '10de',
    '0190-06bf 06e0-06ff 0840-08bf 0a20-0a7f 0ca0-0cbf',
    { hidesNeeded: true },
  ],
  [
    'NVIDIA Fermi',
    'gpu',
    '10de',
    '06c0-06df 0dc0-0dff 0e20-0e3f 0f00-0f0f 1040-109f 1140-117f 1200-125f',
    { hidesNeeded: true },
  ],
  ['NVIDIA Kepler', 'gpu', '10de', '0fc0-0fff 1000-103f 1180-11ff 1280-12bf'],
  ['NVIDIA Maxwell', 'gpu', '10de', '1340-13ff 1400-143f 1600-17ff'],
  ['NVIDIA Pascal', 'gpu', '10de', '15f0-15ff 1b00-1cff 1d01-1d7f'],
  ['NVIDIA Volta', 'gpu', '10de', '1d80-1dff'],
  ['NVIDIA Turing', 'gpu', '10de', '1e00-1fff 2180-21ff'],
  ['NVIDIA Ampere', 'gpu', '10de', '2080-20ff 2200-25ff', { ladder: byFlr, uefiOnly: true }],
  [
    'NVIDIA Hopper',
    'gpu',
    '10de',
    '2300-237f',
    { ladder: ['flr', 'remove-rescan', 'reboot-host'], hazards: { bus: 'yes' } },
  ],
  ['NVIDIA Ada', 'gpu', '10de', '2680-28ff', { ladder: byFlr, uefiOnly: true }],
  [
    'NVIDIA Blackwell GB202',
    'gpu',
    '10de',
    '2b80-2bff',
    { hazards: { flr: 'yes' }, uefiOnly: true },
  ],
  [
    'NVIDIA Blackwell',
    'gpu',
    '10de',
    '2900-297f 2c00-2c7f 2d00-2dff 2f00-2f7f',
    { ladder: byFlr, uefiOnly: true },
  ],
  [
    'Intel Arc Alchemist',
    'gpu',
    '8086',
    '4f80-4f88 5690-56cf',
    { ladder: byFlr, cardSwitch: true, uefiOnly: true },
  ],
  [
    'Intel Arc Battlemage',
    'gpu',
    '8086',
    'e200-e223',
    { ladder: byFlr, cardSwitch: true, uefiOnly: true },
  ],
  [
    'Intel Rocket Lake or later iGPU',
    'apu',
    '8086',
    '4c80-4cff 9a00-9aff 4680-46ff a720-a7ff',
    { hazards: { flr: 'some' }, ladder: ['suspend', 'reboot-host'] },
  ],
  [
    'Renesas uPD72020x',
    'usb',
    '1912',
    '0014 0015',
    {
      hazards: { usb: 'dies', bus: 'yes' },
      ladder: ['pm', 'remove-rescan', 'slot-power', 'suspend', 'reboot-host'],
    },
  ],
  [
    'AMD Raphael USB',
    'usb',
    '1022',
    '15b8',
    { ...soc, hazards: { usb: 'host', flr: 'yes' }, ladder: ['reboot-host'] },
  ],
  [
    'AMD Matisse or Starship USB',
    'usb',
    '1022',
    '149c 148c',
    { ...soc, hazards: { usb: 'quirked', flr: 'quirked' } },
  ],
  [
    'AMD Zeppelin USB',
    'usb',
    '1022',
    '145c 145f',
    { ...soc, hazards: { usb: 'dies', flr: 'some' } },
  ],
  ['AMD Starship audio', 'other', '1022', '1487', { ...soc, hazards: { flr: 'quirked' } }],
  ['AMD FCH SATA', 'other', '1022', '7901', { ...soc, hazards: { flr: 'quirked' } }],
  ['Samsung SM961', 'other', '144d', 'a804', { hazards: { flr: 'quirked' } }],
  [
    'SM2262 or SM2263 NVMe',
    'other',
    '126f',
    '2262 2263',
    { hazards: { flr: 'some' }, ladder: ['pm', ...byBus] },
  ],
  ['Intel 82579 Ethernet', 'other', '8086', '1502 1503', { hazards: { flr: 'quirked' } }],
  [
    'Atheros Wi-Fi',
    'other',
    '168c',
    '0030 0032-0034 003c 003e',
    { hazards: { bus: 'yes' }, ladder: ['pm', 'reboot-host'] },
  ],
  [
    'ASMedia ASM1164',
    'other',
    '1b21',
    '1164',
    { hazards: { bus: 'yes' }, ladder: ['pm', 'remove-rescan', 'reboot-host'] },
  ],
];

const byId = new Map<string, Family>();
for (const [name, kind, vendor, ids, traits] of rows) {
  const ladder = vendor === '10de' ? byBus : usual;
  const plain = { cardSwitch: false, vendorReset: false, uefiOnly: false, hidesNeeded: false };
  const family: Family = { name, kind, ladder, hazards: {}, ...plain, ...traits };
  for (const range of ids.split(' ')) {
    const [first = '', end = first] = range.split('-');
    for (let id = Number.parseInt(first, 16); id <= Number.parseInt(end, 16); id++) {
      byId.set(`${vendor}:${id.toString(16).padStart(4, '0')}`, family);
    }
  }
}

/** The family of a function; undefined when its ids are unknown. */
export function familyOf(
  fn: Pick<PciFunction, 'vendor' | 'device' | 'classCode'>,
): Family | undefined {
  const family = byId.get(`${fn.vendor}:${fn.device}`);
  // Ranges of display ids also hold the audio and USB functions of some cards.
  const display = family?.kind === 'gpu' || family?.kind === 'apu';
  return display && fn.classCode !== undefined && !fn.classCode.startsWith('03')
    ? undefined
    : family;
}

/** The ladder for devices of which nothing is known: mild to drastic. */
export const usualLadder: readonly string[] = usual;
