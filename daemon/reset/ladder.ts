/**
 * The ladder of a card: the rungs of its family in their order, each with whether it can be done here and now, and the rest
 * of the closed list with the reason why it is left out. Pure.
 */
import type { FunctionAddress } from '../pci/address.ts';
import { type Quirk, quirkOf } from '../pci/quirks.ts';
import { type RungName, rungNames } from '../pci/rung-name.ts';
import type { ResetFacts, Rung } from './rung.ts';
import { acpi } from './rungs/acpi.ts';
import { afFlr } from './rungs/af-flr.ts';
import { amdgpu } from './rungs/amdgpu.ts';
import { bus } from './rungs/bus.ts';
import { cxlBus } from './rungs/cxl-bus.ts';
import { d3cold } from './rungs/d3cold.ts';
import { deviceSpecific } from './rungs/device-specific.ts';
import { flr } from './rungs/flr.ts';
import { pm } from './rungs/pm.ts';
import { rebootHost } from './rungs/reboot-host.ts';
import { removeRescan } from './rungs/remove-rescan.ts';
import { slotPower } from './rungs/slot-power.ts';
import { subordinate } from './rungs/subordinate.ts';
import { suspend } from './rungs/suspend.ts';

export const rungs = {
  device_specific: deviceSpecific,
  flr,
  af_flr: afFlr,
  acpi,
  pm,
  bus,
  cxl_bus: cxlBus,
  subordinate,
  amdgpu,
  'remove-rescan': removeRescan,
  'slot-power': slotPower,
  d3cold,
  suspend,
  'reboot-host': rebootHost,
} satisfies { readonly [Name in RungName]: Rung };

interface Entry {
  readonly name: RungName;
  /** Why it is left out, or what it does. */
  readonly reason: string;
  readonly reaches: readonly FunctionAddress[];
}

export type LadderEntry =
  | (Entry & {
      readonly available: true;
      readonly rung: Rung;
      /** What it does to cards of this family, where that forbids it and the configuration forces it; else undefined. */
      readonly forced: string | undefined;
    })
  | (Entry & { readonly available: false; readonly rung: Rung });

export interface LadderOptions {
  /** What is known of the card; default: what the quirk data says of it. */
  readonly quirk?: Quirk;
  /** Rungs in the order of the configuration or of a request, instead of the family's. Others are not listed. */
  readonly order?: readonly RungName[] | undefined;
  /** The configuration of the card says `force`: rungs of `order` that its family forbids are tried all the same. */
  readonly force?: boolean;
}

/**
 * All rungs for these facts: those of the order (default: of the card's family) first, as they are tried, then those that
 * are left out. What a family forbids is available only where `order` names it and `force` is set.
 */
export function ladderFor(facts: ResetFacts, options: LadderOptions = {}): readonly LadderEntry[] {
  const quirk = options.quirk ?? quirkOf(facts.card);
  const { order } = options;
  const climbed = order ?? quirk.ladder;
  const others = order === undefined ? rungNames.filter((name) => !climbed.includes(name)) : [];
  const force = options.force === true;
  return [
    ...climbed.map((name) => assessed(name, facts, quirk, force)),
    ...others.map((name) => {
      const reason =
        quirk.never.get(name) === undefined
          ? `it is not in the ${quirk.family === undefined ? 'default ladder' : `ladder of ${quirk.family.name}`}`
          : forbidden(name, quirk);
      return leftOut(name, reason);
    }),
  ];
}

/** Rungs that a healthy card goes through because a reset is due after every guest; empty where its family asks for none. */
export function rungsAfterGuest(quirk: Quirk): readonly RungName[] {
  return quirk.resetAfter === 'every-guest'
    ? quirk.ladder.filter((name) => rungs[name].afterGuest)
    : [];
}

function assessed(name: RungName, facts: ResetFacts, quirk: Quirk, force: boolean): LadderEntry {
  const never = quirk.never.get(name);
  if (never !== undefined && !force) {
    // The family's own ladder has no such rung: somebody named it.
    const anyway = 'force: true for this card in the configuration would try it all the same';
    return leftOut(name, `${forbidden(name, quirk)} (${anyway})`);
  }
  const rung = rungs[name];
  const assessment = rung.assess(facts);
  if (!assessment.available) return leftOut(name, assessment.reason);
  const { reaches } = assessment;
  const reason =
    never === undefined
      ? rung.does
      : `${rung.does}; forced by the configuration, although ${never}`;
  return { name, rung, available: true, reason, reaches, forced: never };
}

function leftOut(name: RungName, reason: string): LadderEntry {
  return { name, rung: rungs[name], available: false, reason, reaches: [] };
}

function forbidden(name: RungName, quirk: Quirk): string {
  return `never on ${quirk.family?.name ?? 'this card'}: ${quirk.never.get(name) ?? ''}`;
}
