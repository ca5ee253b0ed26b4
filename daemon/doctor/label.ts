/** How findings name things: the same in every language. */
import { idOf, isDisplay, isUsbController, type PciFunction } from '../pci/device.ts';
import { familyOf } from '../pci/quirks.ts';
import { printable } from '../printable.ts';

/** `0000:0b:00.0 (AMD Navi 10, 1002:731f)`. */
export function label(fn: PciFunction): string {
  const known = made.get(fn);
  if (known !== undefined) return known;
  const text = `${fn.address} (${what(fn)}${fn.driver === undefined ? '' : `, ${printable(fn.driver)}`})`;
  made.set(fn, text);
  return text;
}

const made = new WeakMap<PciFunction, string>();

/** The first four labels, and how many more there are. */
export function labels(list: readonly PciFunction[]): string {
  return listed(list.map(label));
}

/** The first four, and how many more there are. */
export function listed(list: readonly string[]): string {
  const more = list.length - 4;
  return list.slice(0, 4).join(', ') + (more > 0 ? ` (+${more})` : '');
}

/** A domain's name, or several, quoted; names can be anything. */
export function quoted(...names: readonly string[]): string {
  return listed(names.map((name) => `"${printable(name.slice(0, 100))}"`));
}

function what(fn: PciFunction): string {
  const family = familyOf(fn);
  if (family !== undefined) return `${family.name}, ${idOf(fn)}`;
  const kind = kinds.find(([prefix]) => fn.classCode?.startsWith(prefix) === true)?.[1];
  if (isDisplay(fn)) return `GPU, ${idOf(fn)}`;
  if (isUsbController(fn)) return `USB, ${idOf(fn)}`;
  return kind === undefined ? idOf(fn) : `${kind}, ${idOf(fn)}`;
}

const kinds: readonly (readonly [string, string])[] = [
  ['0108', 'NVMe'],
  ['0106', 'SATA'],
  ['01', 'storage'],
  ['02', 'network'],
  ['04', 'audio'],
  ['0601', 'ISA'],
  ['0c05', 'SMBus'],
];
