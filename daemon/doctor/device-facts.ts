/**
 * What the rules want to know of a function beyond its identity. Attributes that never block (sysfs/read.ts); on a captured host
 * config space, and the state of links, which on the host itself only a process of its own may ask for.
 */
import type { FunctionAddress } from '../pci/address.ts';
import { deviceDirectory, isBridge, type PciFunction } from '../pci/device.ts';
import type { Inventory } from '../pci/inventory.ts';
import { readAttribute, readRegister } from '../sysfs/read.ts';
import type { HostFiles } from './captured.ts';

export interface DeviceFacts {
  readonly bootVga: boolean | undefined;
  /** Names in reset_method; empty: the kernel knows no way. */
  readonly resetMethods: readonly string[] | undefined;
  readonly d3coldAllowed: boolean | undefined;
  /** Lanes and GT/s of the link, now and at most. */
  readonly link: Link | undefined;
}

export interface Link {
  readonly width: number;
  readonly maxWidth: number;
  readonly speed: number;
  readonly maxSpeed: number;
}

/** Reads one function; what is missing is undefined. `asDisplay`: what only displays have; `links`: see readRegister. */
export function readDeviceFacts(
  sys: string,
  address: FunctionAddress,
  { asDisplay, links }: { readonly asDisplay: boolean; readonly links: boolean },
): DeviceFacts {
  const directory = deviceDirectory(sys, address);
  const read = (name: string) => readAttribute(`${directory}/${name}`);
  const methods = read('reset_method');
  return {
    bootVga: asDisplay ? flag(read('boot_vga')) : undefined,
    resetMethods: methods?.split(' ').filter((name) => name !== ''),
    d3coldAllowed: flag(read('d3cold_allowed')),
    link: links ? linkOf((name) => readRegister(`${directory}/${name}`)) : undefined,
  };
}

/** Neither it nor a port above it sleeps, as far as the kernel says without asking the hardware. */
export function isAwake(sys: string, { address, ports }: PciFunction): boolean {
  return [address, ...ports].every((one) => {
    const directory = deviceDirectory(sys, one);
    const state = readAttribute(`${directory}/power_state`) ?? 'D0';
    const status = readAttribute(`${directory}/power/runtime_status`) ?? 'active';
    return state === 'D0' && (status === 'active' || status === 'unsupported');
  });
}

function linkOf(read: (name: string) => string | undefined): Link | undefined {
  const width = Number(read('current_link_width') ?? Number.NaN);
  const maxWidth = Number(read('max_link_width') ?? Number.NaN);
  // "16.0 GT/s PCIe"; a dead function says "Unknown" and 63 (facts/kernel.md 0, finding 5).
  const speed = Number.parseFloat(read('current_link_speed') ?? '');
  const maxSpeed = Number.parseFloat(read('max_link_speed') ?? '');
  const sane = width > 0 && width <= 32 && maxWidth > 0 && maxWidth <= 32;
  return sane && speed > 0 && maxSpeed > 0 ? { width, maxWidth, speed, maxSpeed } : undefined;
}

function flag(text: string | undefined): boolean | undefined {
  return text === '1' ? true : text === '0' ? false : undefined;
}

/**
 * The inventory of a captured tree, completed with what a copy loses: groups that only /sys/kernel/iommu_groups names, and
 * the bridges above a function, which a copy without links does not show, from the bus numbers in the bridges' config space.
 */
export function completed(files: HostFiles, inventory: Inventory): Inventory {
  const groupOf = groupsByLists(files, inventory);
  const bridges = Array.from(inventory.functions.values())
    .filter(isBridge)
    .flatMap((fn) => busesOf(files, fn));
  const complete = (fn: PciFunction): PciFunction => {
    const bus = Number.parseInt(fn.address.slice(-7, -5), 16);
    const segment = fn.address.slice(0, -8);
    const above = bridges
      .filter((one) => one.segment === segment && one.first <= bus && bus <= one.last)
      .sort((a, b) => b.first - a.first)
      .map((one) => one.address);
    return {
      ...fn,
      group: fn.group ?? groupOf.get(fn.address),
      ports: fn.ports.length > 0 ? fn.ports : above,
    };
  };
  const functions = new Map(
    Array.from(inventory.functions, ([address, fn]) => [address, complete(fn)]),
  );
  const cards = new Map(
    Array.from(inventory.cards, ([address, card]) => {
      const own = card.functions.map((fn) => functions.get(fn.address) ?? fn);
      return [address, { address, functions: own, ports: own[0]?.ports ?? [] }];
    }),
  );
  const groups = new Map<string, FunctionAddress[]>();
  for (const fn of functions.values()) {
    if (fn.group !== undefined) groups.set(fn.group, [...(groups.get(fn.group) ?? []), fn.address]);
  }
  const iommu = inventory.iommu ?? (groups.size > 0 ? true : undefined);
  return { functions, cards, groups, iommu };
}

function groupsByLists(files: HostFiles, inventory: Inventory): ReadonlyMap<string, string> {
  const groupOf = new Map<string, string>();
  const lost = Array.from(inventory.functions.values()).some((fn) => fn.group === undefined);
  if (!lost || inventory.iommu !== true) return groupOf;
  for (const group of files.names('/sys/kernel/iommu_groups') ?? []) {
    for (const name of files.names(`/sys/kernel/iommu_groups/${group}/devices`) ?? []) {
      groupOf.set(name, group);
    }
  }
  return groupOf;
}

// PCI_SECONDARY_BUS 0x19, PCI_SUBORDINATE_BUS 0x1a (include/uapi/linux/pci_regs.h). Never read on a live host: it can block.
function busesOf(files: HostFiles, fn: PciFunction) {
  const config = files.bytes(`/sys/bus/pci/devices/${fn.address}/config`, 65536);
  const first = config?.[0x19];
  const last = config?.[0x1a];
  if (first === undefined || last === undefined || first === 0 || first === 0xff) return [];
  return [{ address: fn.address, segment: fn.address.slice(0, -8), first, last }];
}
