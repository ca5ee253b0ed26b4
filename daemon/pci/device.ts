/** One PCI function as sysfs shows it: identity, driver, group, place. Reads only what never blocks. */
import { readAttribute, readLink, readLinkName } from '../sysfs/read.ts';
import type { FunctionAddress } from './address.ts';
import { isFunctionAddress } from './address.ts';

export interface PciFunction {
  readonly address: FunctionAddress;
  /** Lower case hex, four digits each; undefined when unknown. */
  readonly vendor: string | undefined;
  readonly device: string | undefined;
  /** Six hex digits: base class, subclass, programming interface. */
  readonly classCode: string | undefined;
  readonly driver: string | undefined;
  /** IOMMU group number; undefined without an IOMMU. */
  readonly group: string | undefined;
  /** Bridges above, nearest first: the downstream port of a switch, its upstream port, the root port. */
  readonly ports: readonly FunctionAddress[];
  /** True for an SR-IOV virtual function. */
  readonly virtual: boolean;
  /** The function that a virtual one came from. */
  readonly parent?: FunctionAddress;
}

/** Directory of a function: `<sys>/bus/pci/devices/<address>`. */
export function deviceDirectory(sys: string, address: string): string {
  return `${sys}/bus/pci/devices/${address}`;
}

// modalias_show of drivers/pci/pci-sysfs.c: one read for six facts, takes no lock.
const modaliasPattern =
  /^pci:v0000([0-9A-F]{4})d0000([0-9A-F]{4})sv[0-9A-F]{8}sd[0-9A-F]{8}bc([0-9A-F]{2})sc([0-9A-F]{2})i([0-9A-F]{2})$/;

/** Reads one function. Missing attributes stay undefined; never throws. */
export function readFunction(sys: string, address: FunctionAddress): PciFunction {
  const directory = deviceDirectory(sys, address);
  const alias = modaliasPattern.exec(readAttribute(`${directory}/modalias`) ?? '');
  const identity =
    alias === null
      ? {
          vendor: hex(readAttribute(`${directory}/vendor`), 4),
          device: hex(readAttribute(`${directory}/device`), 4),
          classCode: hex(readAttribute(`${directory}/class`), 6),
        }
      : {
          vendor: alias[1]?.toLowerCase(),
          device: alias[2]?.toLowerCase(),
          classCode: `${alias[3]}${alias[4]}${alias[5]}`.toLowerCase(),
        };
  const physical = readLink(`${directory}/physfn`);
  const parent = physical?.split('/').at(-1) ?? '';
  const place = (readLink(directory) ?? '').split('/').filter(isFunctionAddress);
  return {
    address,
    ...identity,
    driver: readLinkName(`${directory}/driver`),
    group: readLinkName(`${directory}/iommu_group`),
    ports: place.filter((element) => element !== address).reverse(),
    virtual: physical !== undefined,
    ...(isFunctionAddress(parent) ? { parent } : {}),
  };
}

/** True for PCI-to-PCI bridges (ports and switches): they carry cards, they are none. */
export function isBridge(fn: PciFunction): boolean {
  return fn.classCode?.startsWith('0604') === true;
}

/** True for display controllers of any kind (VGA, 3D, other). */
export function isDisplay(fn: PciFunction): boolean {
  return fn.classCode?.startsWith('03') === true;
}

/** True for USB host controllers. */
export function isUsbController(fn: PciFunction): boolean {
  return fn.classCode?.startsWith('0c03') === true;
}

/** `1002:731f`, with question marks for what is unknown. */
export function idOf(fn: PciFunction): string {
  return `${fn.vendor ?? '????'}:${fn.device ?? '????'}`;
}

function hex(text: string | undefined, width: number): string | undefined {
  const digits = text?.replace(/^0x/, '').toLowerCase();
  return digits !== undefined && new RegExp(`^[0-9a-f]{${width}}$`).test(digits)
    ? digits
    : undefined;
}

/** Vendor and device of any function, bridges included. */
export function idParts(
  sys: string,
  address: FunctionAddress,
): { readonly vendor: string | undefined; readonly device: string | undefined } {
  const directory = deviceDirectory(sys, address);
  return {
    vendor: hex(readAttribute(`${directory}/vendor`), 4),
    device: hex(readAttribute(`${directory}/device`), 4),
  };
}
