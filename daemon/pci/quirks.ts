/**
 * What is known of devices, per family: what resets them, what harms them, what their cards are like. The one table of it, for
 * the ladder and for doctor. The data is in quirks/*.json (schema: quirks/schema.json); adding a card means adding data
 * there. The lint of the data is test/static/quirks.ts. Pure.
 */
import { idOf, type PciFunction } from './device.ts';
import { type DeviceRange, deviceRanges } from './device-ranges.ts';
import { type Card, mainFunction } from './inventory.ts';
import amdApu from './quirks/amd-apu.json' with { type: 'json' };
import amdGcn from './quirks/amd-gcn.json' with { type: 'json' };
import amdGpu from './quirks/amd-gpu.json' with { type: 'json' };
import amdInstinct from './quirks/amd-instinct.json' with { type: 'json' };
import companions from './quirks/companions.json' with { type: 'json' };
import controllers from './quirks/controllers.json' with { type: 'json' };
import intel from './quirks/intel.json' with { type: 'json' };
import nvidia from './quirks/nvidia.json' with { type: 'json' };
import { isRungName, type RungName, rungNames } from './rung-name.ts';

const kinds = [
  'gpu',
  'apu',
  'usb',
  'audio',
  'storage',
  'network',
  'companion',
  'switch',
  'other',
] as const;
const hazardKinds = ['bus-reset', 'flr', 'usb-reset', 'd3cold', 'no-reset'] as const;
const resetTimes = ['every-guest', 'when-unhealthy'] as const;
const rebootKinds = ['warm', 'cold'] as const;
const confidences = ['high', 'medium', 'low'] as const;
const providers = ['vendor-reset', 'kernel'] as const;
const driverMethods = ['baco', 'mode1', 'mode2'] as const;

interface Hazard {
  readonly kind: (typeof hazardKinds)[number];
  readonly reason: string;
  /** True where only some boards of the family have it. */
  readonly some: boolean;
  /** True where it takes the whole host down. */
  readonly endsHost: boolean;
  /** `5.8`: the kernel that avoids it by itself, as all later ones do; undefined where none does. */
  readonly avoidedSince: string | undefined;
}

/** What follows from a family for the cards of it. */
interface Behaviour {
  /** Rungs in the order in which they are tried. */
  readonly ladder: readonly RungName[];
  /** Rungs that do harm, with what they do. */
  readonly never: ReadonlyMap<RungName, string>;
  readonly hazards: readonly Hazard[];
  /** When a reset is due as a card comes home. */
  readonly resetAfter: (typeof resetTimes)[number];
  /** cold: after a reboot inside the guest it needs the guest stopped, a reset and a start. */
  readonly guestReboot: (typeof rebootKinds)[number];
  /** How its host driver resets it when asked, and whether loading the driver alone does (facts/kernel.md 5). */
  readonly driverReset:
    | { readonly method: (typeof driverMethods)[number]; readonly onLoad: boolean }
    | undefined;
  readonly confidence: (typeof confidences)[number];
  /** Where the facts come from; never empty for a family. */
  readonly source: readonly string[];
}

export interface Family extends Behaviour {
  readonly id: string;
  /** For people: `AMD Navi 10`. */
  readonly name: string;
  readonly kind: (typeof kinds)[number];
  readonly vendor: string;
  /** The card carries a PCIe switch of its own, whose ports isolate its functions (facts/kernel.md 8). */
  readonly cardSwitch: boolean;
  /** Its firmware has no part for a BIOS guest any more. */
  readonly uefiOnly: boolean;
  /** Its last driver for Windows refuses a guest that shows KVM (NVIDIA before 465). */
  readonly hideKvm: boolean;
}

export interface Quirk extends Behaviour {
  /** Undefined where the ids are unknown: then all else is the safe default. */
  readonly family: Family | undefined;
  readonly known: boolean;
  /** For people: which family it is, or that the data does not know it. */
  readonly reason: string;
  /** Who gives this very device the kernel's device_specific method; undefined where nobody does. */
  readonly deviceSpecific:
    | {
        readonly by: (typeof providers)[number];
        /** True where the card does not survive its guests without it. */
        readonly needed: boolean;
      }
    | undefined;
}

/** A family as its JSON has it; see quirks/schema.json. */
interface FamilyData {
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly vendor: string;
  readonly devices: string;
  readonly ladder: string;
  readonly never?: readonly { readonly rungs: string; readonly reason: string }[] | undefined;
  readonly hazards?: readonly HazardData[] | undefined;
  readonly resetAfter: string;
  readonly guestReboot: string;
  readonly deviceSpecific?:
    | { readonly by: string; readonly devices: string; readonly needed: boolean }
    | undefined;
  readonly driverReset?: { readonly method: string; readonly onLoad: boolean } | undefined;
  readonly cardSwitch?: boolean | undefined;
  readonly uefiOnly?: boolean | undefined;
  readonly hideKvm?: boolean | undefined;
  readonly confidence: string;
  readonly source: readonly string[];
}

interface HazardData {
  readonly kind: string;
  readonly reason: string;
  readonly some?: boolean | undefined;
  readonly endsHost?: boolean | undefined;
  readonly avoidedSince?: string | undefined;
}

/** A range of device ids of one vendor, both ends included, and what it stands for. */
interface Entry {
  readonly from: number;
  readonly to: number;
  readonly family: Family;
  readonly deviceSpecific: Quirk['deviceSpecific'];
}

const data: readonly (readonly FamilyData[])[] = [
  amdGpu.families,
  amdApu.families,
  amdInstinct.families,
  amdGcn.families,
  nvidia.families,
  intel.families,
  controllers.families,
  companions.families,
];

/** All families of the data, in its order. */
export const families: readonly Family[] = data.flat().map(familyFrom);

const entries = entriesByVendor();

/**
 * What is tried on devices that the data does not know: everything that any card may have, mild to drastic. `amdgpu` is
 * not among it: only a family tells whether that driver resets the card (facts/kernel.md 5).
 */
const defaults: Behaviour = {
  ladder: rungNames.filter((name) => name !== 'amdgpu'),
  never: new Map(),
  hazards: [],
  resetAfter: 'when-unhealthy',
  guestReboot: 'warm',
  driverReset: undefined,
  confidence: 'low',
  source: [],
};

/** The family of a function by its ids; undefined where the data does not know them, or knows them as something else. */
export function familyOf(
  fn: Pick<PciFunction, 'vendor' | 'device' | 'classCode'>,
): Family | undefined {
  return entryOf(fn)?.family;
}

/** The hazard of that kind of a function by its ids; undefined where the data knows none. The data has one of a kind at most. */
export function hazardOf(fn: PciFunction, kind: Hazard['kind']): Hazard | undefined {
  return familyOf(fn)?.hazards.find((hazard) => hazard.kind === kind);
}

/** Who gives this very function the kernel's device_specific method; undefined where nobody does. By its ids. */
export function deviceSpecificOf(fn: PciFunction): Quirk['deviceSpecific'] {
  return entryOf(fn)?.deviceSpecific;
}

/**
 * What is known of a card: the family of its main function, and what must never be done to any of its functions. Where the
 * ids are unknown it is the default, which says so.
 */
export function quirkOf(card: Card): Quirk {
  const main = mainFunction(card);
  const entry = main === undefined ? undefined : entryOf(main);
  const rest = card.functions.filter((fn) => fn !== main).flatMap((fn) => familyOf(fn) ?? []);
  const base = entry?.family ?? defaults;
  const never = new Map([
    ...rest.flatMap((family) =>
      [...family.never].map(([rung, why]) => [rung, `${family.name}: ${why}`] as const),
    ),
    ...base.never,
  ]);
  return {
    ...base,
    ladder: base.ladder.filter((rung) => !never.has(rung)),
    never,
    hazards: [...base.hazards, ...rest.flatMap((family) => family.hazards)],
    family: entry?.family,
    known: entry !== undefined,
    reason:
      entry === undefined
        ? `${main === undefined ? card.address : idOf(main)} is not in the quirk data: the default ladder`
        : `${entry.family.name} (${entry.family.confidence} confidence)`,
    deviceSpecific: entry?.deviceSpecific,
  };
}

function entryOf(fn: Pick<PciFunction, 'vendor' | 'device' | 'classCode'>): Entry | undefined {
  const list = entries.get(fn.vendor ?? '');
  const id = Number.parseInt(fn.device ?? '', 16);
  if (list === undefined || Number.isNaN(id)) return undefined;
  // The last entry that begins at or before the id; they do not overlap.
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((list[middle]?.from ?? 0) <= id) low = middle + 1;
    else high = middle;
  }
  const entry = list[low - 1];
  if (entry === undefined || id > entry.to) return undefined;
  return fits(entry.family.kind, fn.classCode) ? entry : undefined;
}

// A range may hold ids of audio and USB functions that nobody has listed: those are not the family's.
function fits(kind: Family['kind'], classCode: string | undefined): boolean {
  if (classCode === undefined) return true;
  switch (kind) {
    case 'gpu':
    case 'apu':
      return classCode.startsWith('03') || classCode.startsWith('12');
    case 'usb':
      return classCode.startsWith('0c03');
    case 'switch':
      return classCode.startsWith('0604');
    case 'audio':
    case 'storage':
    case 'network':
    case 'companion':
    case 'other':
      return true;
  }
}

function familyFrom(from: FamilyData): Family {
  return {
    id: from.id,
    name: from.name,
    kind: oneOf(kinds, from.kind),
    vendor: from.vendor,
    ladder: rungsOf(from.ladder),
    never: new Map(
      from.never?.flatMap(({ rungs, reason }) =>
        rungsOf(rungs).map((rung) => [rung, reason] as const),
      ),
    ),
    hazards: (from.hazards ?? []).map((hazard) => ({
      kind: oneOf(hazardKinds, hazard.kind),
      reason: hazard.reason,
      some: hazard.some === true,
      endsHost: hazard.endsHost === true,
      avoidedSince: hazard.avoidedSince,
    })),
    resetAfter: oneOf(resetTimes, from.resetAfter),
    guestReboot: oneOf(rebootKinds, from.guestReboot),
    driverReset:
      from.driverReset === undefined
        ? undefined
        : {
            method: oneOf(driverMethods, from.driverReset.method),
            onLoad: from.driverReset.onLoad,
          },
    cardSwitch: from.cardSwitch === true,
    uefiOnly: from.uefiOnly === true,
    hideKvm: from.hideKvm === true,
    confidence: oneOf(confidences, from.confidence),
    source: from.source,
  };
}

function entriesByVendor(): ReadonlyMap<string, readonly Entry[]> {
  const byVendor = new Map<string, Entry[]>();
  for (const [index, from] of data.flat().entries()) {
    const family = families[index];
    if (family === undefined) continue;
    const specific = from.deviceSpecific;
    const list = byVendor.get(from.vendor) ?? [];
    byVendor.set(from.vendor, list);
    const having = specific === undefined ? [] : deviceRanges(specific.devices);
    for (const [first, last] of deviceRanges(from.devices)) {
      // Where a module knows only some ids of a family, each id has its own entry.
      for (const [begin, end] of having.length === 0 ? [[first, last] as const] : each(first, last))
        list.push({
          from: begin,
          to: end,
          family,
          deviceSpecific:
            specific !== undefined && having.some(([a, b]) => a <= begin && end <= b)
              ? { by: oneOf(providers, specific.by), needed: specific.needed }
              : undefined,
        });
    }
  }
  for (const list of byVendor.values()) list.sort((a, b) => a.from - b.from);
  return byVendor;
}

function each(first: number, last: number): readonly DeviceRange[] {
  return Array.from({ length: last - first + 1 }, (_, n) => [first + n, first + n] as const);
}

function rungsOf(text: string): readonly RungName[] {
  return text.split(' ').map((name) => {
    if (!isRungName(name)) throw new Error(`quirk data: there is no rung '${name}'`);
    return name;
  });
}

// The data is ours and linted: what does not fit is a mistake in the tree, not in an input.
function oneOf<T extends string>(known: readonly T[], text: string): T {
  const found = known.find((one) => one === text);
  if (found === undefined) throw new Error(`quirk data: '${text}' is none of ${known.join(', ')}`);
  return found;
}
