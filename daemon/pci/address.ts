/** PCI addresses: `0000:0b:00.0` is a function, `0000:0b:00` a card (all functions of one slot). */

/** `DDDD:BB:DD.F`, lower case hex, as sysfs spells it. */
export type FunctionAddress = string & { readonly __function: unique symbol };
/** `DDDD:BB:DD`. */
export type CardAddress = string & { readonly __card: unique symbol };

const functionPattern = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/;
const cardPattern = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]$/;

/** True for a full function address in sysfs spelling. */
export function isFunctionAddress(text: string): text is FunctionAddress {
  return functionPattern.test(text);
}

/** True for a full card address in sysfs spelling. */
export function isCardAddress(text: string): text is CardAddress {
  return cardPattern.test(text);
}

/** Reads what people type: upper case, a missing domain (`0b:00.0`). Undefined when it is no address. */
export function parseFunctionAddress(text: string): FunctionAddress | undefined {
  const full = withDomain(text);
  return isFunctionAddress(full) ? full : undefined;
}

/** Reads a card's address; one of a function names its card. Undefined when it is neither. */
export function parseCardAddress(text: string): CardAddress | undefined {
  const full = withDomain(text);
  if (isCardAddress(full)) return full;
  return isFunctionAddress(full) ? cardOf(full) : undefined;
}

/** The card that a function belongs to. */
export function cardOf(address: FunctionAddress): CardAddress {
  return address.slice(0, address.lastIndexOf('.')) as CardAddress;
}

/** The function number, 0 to 7. */
export function functionNumber(address: FunctionAddress): number {
  return Number(address.at(-1));
}

/** A function address from libvirt's four numbers; undefined when one is out of range. */
export function functionAddress(
  domain: number,
  bus: number,
  slot: number,
  fn: number,
): FunctionAddress | undefined {
  const hex = (value: number, width: number) => value.toString(16).padStart(width, '0');
  const inRange =
    within(domain, 0xffffffff) && within(bus, 0xff) && within(slot, 0x1f) && within(fn, 7);
  const text = `${hex(domain, 4)}:${hex(bus, 2)}:${hex(slot, 2)}.${fn}`;
  return inRange && isFunctionAddress(text) ? text : undefined;
}

/** The last element of a D-Bus object path for an address: `0000_0b_00`. */
export function pathElement(address: CardAddress | FunctionAddress): string {
  return address.replaceAll(/[:.]/g, '_');
}

function within(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}

function withDomain(text: string): string {
  const lower = text.trim().toLowerCase();
  return /^[0-9a-f]{2}:[0-9a-f]{2}(\.[0-7])?$/.test(lower) ? `0000:${lower}` : lower;
}
