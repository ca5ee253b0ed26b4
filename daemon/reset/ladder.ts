/** The ladder of a card: all rungs in their order, each with whether it can be done here and now. Pure. */
import type { FunctionAddress } from '../pci/address.ts';
import { type ResetFacts, type Rung, type RungName, rungNames } from './rung.ts';
import { acpi } from './rungs/acpi.ts';
import { afFlr } from './rungs/af-flr.ts';
import { bus } from './rungs/bus.ts';
import { deviceSpecific } from './rungs/device-specific.ts';
import { flr } from './rungs/flr.ts';
import { pm } from './rungs/pm.ts';
import { removeRescan } from './rungs/remove-rescan.ts';
import { slotPower } from './rungs/slot-power.ts';
import { subordinate } from './rungs/subordinate.ts';

export const rungs = {
  device_specific: deviceSpecific,
  flr,
  af_flr: afFlr,
  acpi,
  pm,
  bus,
  subordinate,
  'remove-rescan': removeRescan,
  'slot-power': slotPower,
} satisfies { readonly [Name in RungName]: Rung };

export interface LadderEntry {
  readonly rung: Rung;
  readonly available: boolean;
  /** Why it is left out, or what it does. */
  readonly reason: string;
  readonly reaches: readonly FunctionAddress[];
}

/** True for the name of a rung. */
export function isRungName(text: string): text is RungName {
  return rungNames.some((name) => name === text);
}

/** All rungs for these facts, in `order` (default: mild to drastic). Rungs that `order` leaves out are not tried. */
export function ladderFor(
  facts: ResetFacts,
  order: readonly RungName[] = rungNames,
): readonly LadderEntry[] {
  return order.map((name) => {
    const rung = rungs[name];
    const assessment = rung.assess(facts);
    return assessment.available
      ? { rung, available: true, reason: rung.does, reaches: assessment.reaches }
      : { rung, available: false, reason: assessment.reason, reaches: [] };
  });
}
