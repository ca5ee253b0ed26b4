/**
 * All PCI functions of the host in one read, sorted into cards. A card is what moves and resets together:
 * the functions of one slot of a plug-in card. On a root bus, and in the slots of SoCs, functions that share a
 * slot number are separate devices (chipset USB beside SATA, an APU's GPU beside its USB): see `companions`.
 */
import { readNames } from '../sysfs/read.ts';
import {
  type CardAddress,
  cardOf,
  type FunctionAddress,
  functionNumber,
  isFunctionAddress,
} from './address.ts';
import {
  idOf,
  isBridge,
  isDisplay,
  isUsbController,
  type PciFunction,
  readFunction,
} from './device.ts';

export interface Card {
  readonly address: CardAddress;
  /** In the order of their function numbers; never empty. */
  readonly functions: readonly PciFunction[];
  /** Bridges from the card up to the root port, nearest first; empty on a root bus. */
  readonly ports: readonly FunctionAddress[];
}

export interface Inventory {
  readonly functions: ReadonlyMap<FunctionAddress, PciFunction>;
  readonly cards: ReadonlyMap<CardAddress, Card>;
  /** Members of each IOMMU group. */
  readonly groups: ReadonlyMap<string, readonly FunctionAddress[]>;
  /** True when the kernel made IOMMU groups; undefined when that cannot be read. */
  readonly iommu: boolean | undefined;
}

/** Most functions that are looked at; a bigger list is a broken tree, not a host. */
const maxFunctions = 16384;

/** Reads the host (or a captured tree). Never throws; what is missing is left out or undefined. */
export function readInventory(sys: string): Inventory {
  const functions = new Map<FunctionAddress, PciFunction>();
  const names = readNames(`${sys}/bus/pci/devices`) ?? [];
  for (const name of names.slice(0, maxFunctions)) {
    if (isFunctionAddress(name)) functions.set(name, readFunction(sys, name));
  }
  const cards = new Map<CardAddress, PciFunction[]>();
  const groups = new Map<string, FunctionAddress[]>();
  for (const fn of functions.values()) {
    if (fn.group !== undefined) push(groups, fn.group, fn.address);
    if (!isBridge(fn) && !fn.virtual) push(cards, cardOf(fn.address), fn);
  }
  const groupNames = readNames(`${sys}/kernel/iommu_groups`);
  return {
    functions,
    cards: new Map(Array.from(cards, ([address, list]) => [address, cardFrom(address, list)])),
    groups,
    iommu: groupNames === undefined ? undefined : groupNames.length > 0,
  };
}

/** True for cards that people list: displays and USB controllers. */
export function isInteresting(card: Card): boolean {
  return card.functions.some((fn) => isDisplay(fn) || isUsbController(fn));
}

/**
 * Functions that must move when `requested` ones of this card move. A plug-in graphics card moves whole, of another plug-in
 * card those in the same IOMMU group go along. On a root bus and in SoC slots nothing does but the audio function of a
 * display: what shares the group there may be the host's disks or network, and is refused instead (plan.ts).
 */
export function companions(
  card: Card,
  requested: ReadonlySet<FunctionAddress>,
): readonly PciFunction[] {
  const plugIn = card.ports.length > 0 && !card.functions.some(isSocFunction);
  if (plugIn && card.functions.some(isDisplay)) return card.functions;
  const groups = new Set(
    card.functions
      .filter((fn) => plugIn && requested.has(fn.address))
      .map((fn) => fn.group ?? fn.address),
  );
  const display = card.functions.some((fn) => requested.has(fn.address) && isDisplay(fn));
  return card.functions.filter(
    (fn) =>
      requested.has(fn.address) ||
      groups.has(fn.group ?? fn.address) ||
      (display && card.ports.length > 0 && isDisplayAudio(fn)),
  );
}

/** What a card is there for: its display function, else its USB controller, else the first one. Undefined for an empty card. */
export function mainFunction(card: Card): PciFunction | undefined {
  const { functions } = card;
  return functions.find(isDisplay) ?? functions.find(isUsbController) ?? functions[0];
}

/** `GPU 1002:731f`: what a person can recognise without a database. */
export function cardName(card: Card): string {
  const main = mainFunction(card);
  if (main === undefined) return card.address;
  const kind = isDisplay(main) ? 'GPU' : isUsbController(main) ? 'USB controller' : 'device';
  return `${kind} ${idOf(main)}`;
}

// Classes that never sit on a plug-in card beside something that people pass: host and ISA bridges, SATA,
// encryption (AMD's PSP) and the placeholder class of Zen SoCs. facts/kernel.md 8, APUs.
function isSocFunction(fn: PciFunction): boolean {
  return /^(0600|0601|0106|1080|1300)/.test(fn.classCode ?? '');
}

function isDisplayAudio(fn: PciFunction): boolean {
  return functionNumber(fn.address) === 1 && fn.classCode?.startsWith('0403') === true;
}

function cardFrom(address: CardAddress, list: readonly PciFunction[]): Card {
  const functions = [...list].sort((a, b) => functionNumber(a.address) - functionNumber(b.address));
  return { address, functions, ports: functions[0]?.ports ?? [] };
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/** The card with its functions as they are now; one that is not there has no driver. */
export function refresh(card: Card, functions: Inventory['functions']): Card {
  return {
    ...card,
    functions: card.functions.map(
      (fn) => functions.get(fn.address) ?? { ...fn, driver: undefined },
    ),
  };
}
