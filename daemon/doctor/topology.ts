/** Places on the PCI tree, as the rules need them. A captured listing may have lost the tree: then buses and classes must do. Pure. */
import { type CardAddress, cardOf, type FunctionAddress, functionNumber } from '../pci/address.ts';
import { idOf, isBridge, isDisplay, type PciFunction } from '../pci/device.ts';
import type { Card } from '../pci/inventory.ts';
import { familyOf } from '../pci/quirks.ts';
import type { HostFacts, Passed } from './host-facts.ts';

/** `BB` of an address, with its segment: `0000:0b`. */
function busOf(address: FunctionAddress): string {
  return address.slice(0, -5);
}

// The smallest real machine has more functions than this, and a host bridge.
const fewestFunctions = 16;

/** True where all functions of the host are known; an excerpt of a listing proves nothing by what it leaves out. */
export function isWhole({ live, inventory }: HostFacts): boolean {
  if (live) return true;
  const all = Array.from(inventory.functions.values());
  return all.length >= fewestFunctions && all.some((fn) => fn.classCode?.startsWith('0600'));
}

/**
 * True for a virtual function of SR-IOV. A listing does not say so: of displays a further function with the ids of function 0
 * is one, since no card has two equal displays in one slot.
 */
export function isVirtual(facts: HostFacts, fn: PciFunction): boolean {
  if (fn.virtual) return true;
  if (!isDisplay(fn) || functionNumber(fn.address) === 0) return false;
  const first = facts.inventory.cards.get(cardOf(fn.address))?.functions[0];
  return first !== undefined && first !== fn && idOf(first) === idOf(fn);
}

/** True on a root bus, where functions of one slot are devices of their own. */
export function onRootBus(facts: HostFacts, fn: PciFunction): boolean {
  if (fn.ports.length > 0) return false;
  if (facts.live || busOf(fn.address).endsWith(':00')) return true;
  // Host bridges sit on root buses only; Threadripper and EPYC have several.
  return Array.from(facts.inventory.functions.values()).some(
    (one) => one.classCode?.startsWith('0600') === true && busOf(one.address) === busOf(fn.address),
  );
}

/** True for slots whose functions are devices of their own: a chipset's, an SoC's, on a root bus. */
export function isSoc(facts: HostFacts, card: Card): boolean {
  return card.functions.some(
    (fn) =>
      // Host and ISA bridges, SATA, AMD's PSP and its placeholder class: never beside what people plug in.
      /^(0600|0601|0106|1080|1300)/.test(fn.classCode ?? '') ||
      familyOf(fn)?.kind === 'apu' ||
      onRootBus(facts, fn),
  );
}

/** Functions that must move when `requested` ones of this card do; the reasons are those of pci/inventory.ts `companions`. */
export function companionsOf(
  facts: HostFacts,
  card: Card,
  requested: ReadonlySet<FunctionAddress>,
): readonly PciFunction[] {
  const asked = card.functions.filter((fn) => requested.has(fn.address));
  const display = asked.some(isDisplay) || card.functions.some(isDisplay);
  if (!isSoc(facts, card)) {
    const groups = new Set(asked.map((fn) => fn.group ?? fn.address));
    return card.functions.filter(
      (fn) => display || asked.includes(fn) || groups.has(fn.group ?? fn.address),
    );
  }
  return card.functions.filter(
    (fn) =>
      asked.includes(fn) ||
      (asked.some(isDisplay) && fn.address.endsWith('.1') && fn.classCode?.startsWith('0403')),
  );
}

// Host bridges, memory, IOMMU, AMD's placeholders: they seldom have a driver, and without one they do not bar a group
// (drivers/iommu/iommu.c iommu_device_use_default_domain; before 6.0 vfio_dev_viable).
const idle = /^(0500|0580|0600|0806|1300)/;
const harmlessDrivers = new Set(['vfio-pci', 'pci-stub', 'pcieport']);

/** True where a function in the same group does not bar the group from being passed. */
function isHarmless(facts: HostFacts, fn: PciFunction): boolean {
  if (isBridge(fn)) return true;
  if (fn.driver !== undefined) return harmlessDrivers.has(fn.driver);
  return facts.driversKnown || idle.test(fn.classCode ?? '');
}

/** Members of the groups of `own` that are not in `own`, and that bar the group. */
export function groupMates(
  facts: HostFacts,
  own: readonly PciFunction[],
  also: ReadonlySet<FunctionAddress> = new Set(),
): readonly PciFunction[] {
  const mine = new Set(own.map((fn) => fn.address));
  const groups = new Set(own.flatMap((fn) => (fn.group === undefined ? [] : [fn.group])));
  return [...groups]
    .flatMap((group) => facts.inventory.groups.get(group) ?? [])
    .filter((address) => !mine.has(address) && !also.has(address))
    .flatMap((address) => facts.inventory.functions.get(address) ?? [])
    .filter((fn) => !isHarmless(facts, fn));
}

export interface PassedCard {
  readonly domain: Passed['domain'];
  readonly card: Card;
  /** The functions of it that the domain names. */
  readonly asked: readonly PciFunction[];
  readonly hostdevs: readonly Passed['hostdev'][];
}

/** What domains pass, card by card; functions that the host does not have are left out. */
export function passedCards(facts: HostFacts): readonly PassedCard[] {
  const found = new Map<Passed['domain'], Map<CardAddress, Passed[]>>();
  for (const one of facts.passed) {
    const cards = found.get(one.domain) ?? new Map<CardAddress, Passed[]>();
    found.set(one.domain, cards);
    const at = cardOf(one.hostdev.address);
    cards.set(at, [...(cards.get(at) ?? []), one]);
  }
  return Array.from(found).flatMap(([domain, cards]) =>
    Array.from(cards).flatMap(([at, list]) => {
      const card = facts.inventory.cards.get(at);
      const asked = list.flatMap(({ fn }) => fn ?? []);
      const hostdevs = list.map(({ hostdev }) => hostdev);
      return card === undefined || asked.length === 0 ? [] : [{ domain, card, asked, hostdevs }];
    }),
  );
}

/** Each passed function once, with the domains that pass it. */
export function passedFunctions(
  facts: HostFacts,
): readonly { readonly fn: PciFunction; readonly domains: readonly string[] }[] {
  const found = new Map<PciFunction, string[]>();
  for (const { fn, domain } of facts.passed) {
    if (fn !== undefined) found.set(fn, [...(found.get(fn) ?? []), domain.name]);
  }
  return Array.from(found, ([fn, domains]) => ({ fn, domains }));
}
