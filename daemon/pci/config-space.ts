/**
 * What the first 256 bytes of config space show of a function that answers: is everything where the kernel put it? Layout:
 * include/uapi/linux/pci_regs.h. Pure; no read is asked for here.
 */

/** Flags of include/linux/ioport.h as the `resource` file prints them. */
const ioResource = 0x100n;
const memory64 = 0x100000n;
const unsetAddress = 0x20000000n;

const headerBytes = 64;
const standardBytes = 256;
/** PCI_FIND_CAP_TTL of drivers/pci/pci.h. */
const mostCapabilities = 48;
const powerManagement = 0x01;
const express = 0x10;
/** Integrated into the root complex: these have no link (pcie_cap_has_lnkctl of drivers/pci/access.c). */
const linkless: ReadonlySet<number> = new Set([9, 10]);

/** A link status register of nobody. */
export const deadStatus = 0xffff;

export type CapabilityWalk =
  | {
      readonly state: 'whole';
      readonly pmcsr: number | undefined;
      readonly linkStatus: number | undefined;
    }
  | { readonly state: 'broken'; readonly why: string };

/**
 * Follows the capability list. Broken: a part of it reads as ones (facts/kernel.md 3.1 point 9). Healthy devices with lists that
 * point into the header or turn in a circle exist: there it ends, as it does for the kernel (__pci_find_next_cap_ttl), and where
 * the bytes end. `pmcsr` is the power management status register, `linkStatus` that of the PCI Express link, where the function has one.
 */
export function walkCapabilities(bytes: Buffer): CapabilityWalk {
  const hasList = (bytes.readUInt16LE(0x06) & 0x10) !== 0;
  let pmcsr: number | undefined;
  let linkStatus: number | undefined;
  let at = hasList ? bytes.readUInt8(0x34) : 0;
  for (let count = 0; count < mostCapabilities; count++) {
    const offset = at & 0xfc;
    if (at === 0xff) return { state: 'broken', why: 'a pointer of its capability list reads ff' };
    // Of who has no CAP_SYS_ADMIN the kernel shows the header only.
    if (offset < headerBytes || offset + 8 > Math.min(bytes.length, standardBytes)) break;
    const id = bytes.readUInt8(offset);
    if (id === 0xff) {
      return { state: 'broken', why: `the capability at ${hex(offset, 2)} reads ff` };
    }
    if (id === powerManagement) pmcsr = bytes.readUInt16LE(offset + 4);
    if (id === express) linkStatus = linkStatusAt(bytes, offset);
    at = bytes.readUInt8(offset + 1);
  }
  return { state: 'whole', pmcsr, linkStatus };
}

// PCI_EXP_FLAGS_TYPE of PCI_EXP_FLAGS, and PCI_EXP_LNKSTA.
function linkStatusAt(bytes: Buffer, express: number): number | undefined {
  const type = (bytes.readUInt16LE(express + 2) >> 4) & 0xf;
  const at = express + 0x12;
  return linkless.has(type) || at + 2 > bytes.length ? undefined : bytes.readUInt16LE(at);
}

/**
 * Compares the BAR registers with the kernel's `resource` file: zero or foreign values mean that the function was
 * reset without its state coming back (facts/kernel.md 0.12, 3.1 point 8). Undefined when they agree.
 */
export function barFault(bytes: Buffer, resource: string | undefined): string | undefined {
  if (resource === undefined || (bytes.readUInt8(0x0e) & 0x7f) !== 0) return undefined;
  const lines = resource.split('\n').slice(0, 6);
  for (let bar = 0; bar < lines.length; bar++) {
    const [start, end, flags] = (lines[bar] ?? '').split(' ').map(bigint);
    if (start === undefined || end === undefined || flags === undefined || flags === 0n) continue;
    if ((flags & unsetAddress) !== 0n) return `BAR ${bar} has no address (lost in a rescan?)`;
    if (end === 0n) continue;
    const low = BigInt(bytes.readUInt32LE(0x10 + 4 * bar));
    const is64 = (flags & memory64) !== 0n && bar < 5;
    const high = is64 ? BigInt(bytes.readUInt32LE(0x14 + 4 * bar)) : 0n;
    const mask = (flags & ioResource) !== 0n ? 0x3n : 0xfn;
    const value = ((high << 32n) | low) & ~mask;
    const expected = is64 ? start : start & 0xffffffffn;
    if (value !== expected) {
      return `BAR ${bar} reads ${value.toString(16)} where the kernel has ${start.toString(16)}: it was reset and not restored`;
    }
    if (is64) bar++;
  }
  return undefined;
}

/** Numbers of the BARs to which the kernel gave an address, by the `resource` file. */
export function placedBars(resource: string): readonly number[] {
  return resource
    .split('\n')
    .slice(0, 6)
    .flatMap((line, bar) => {
      const flags = bigint(line.split(' ')[2] ?? '') ?? 0n;
      return flags === 0n || (flags & unsetAddress) !== 0n ? [] : [bar];
    });
}

/**
 * Compares the bus numbers in a bridge's registers with what the kernel has (the name in `pci_bus`, `0000:0b`): a switch that lost
 * power forwards nothing below it (facts/kernel.md 9.2). Undefined when they agree.
 */
export function busNumberFault(bytes: Buffer, secondary: string | undefined): string | undefined {
  const [, bus] = /^[0-9a-f]{4,8}:([0-9a-f]{2})$/.exec(secondary ?? '') ?? [];
  if (bus === undefined) return undefined;
  if ((bytes.readUInt8(0x0e) & 0x7f) !== 1) return undefined;
  const read = bytes.readUInt8(0x19);
  return hex(read, 2) === bus
    ? undefined
    : `its secondary bus reads ${hex(read, 2)} where the kernel has ${bus}: it was reset and not restored`;
}

function bigint(text: string): bigint | undefined {
  return /^0x[0-9a-f]{1,16}$/.test(text) ? BigInt(text) : undefined;
}

function hex(value: number, width: number): string {
  return value.toString(16).padStart(width, '0');
}
