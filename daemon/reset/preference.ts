/**
 * The order of a ladder by what came of its rungs on this card before. The family's order is what is known of all such cards,
 * and it stays but for two things: a rung that healed this card goes before those of the same reach that are not known to, and
 * before those that never helped although they were tried more than once. Pure.
 */
import type { Outcome } from '../host/outcome.ts';
import type { CardAddress } from '../pci/address.ts';
import type { RungName } from '../pci/rung-name.ts';
import { rungs } from './ladder.ts';

/** True for rungs that everybody on this host feels: it sleeps, or starts anew. */
export function reachesHost(rung: RungName): boolean {
  return rungs[rung].reach === 'host';
}

/** True for rungs that leave the card where it is: on its bus, with its settings. */
export function staysInPlace(rung: RungName): boolean {
  return rungs[rung].reach === 'card' || rungs[rung].reach === 'bus';
}

/** How often a rung has to have failed, and never have helped, before others pass it. */
const hopelessAfter = 2;

export interface Tries {
  readonly tried: number;
  readonly healed: number;
}

/** Whose outcomes count. */
export interface Subject {
  readonly card: CardAddress;
  /** `1002:731f`. */
  readonly id: string;
  readonly kernel: string;
}

/** The same rungs, what worked here first as far as it may go there. Rungs that reach the host neither move nor are passed. */
export function preferred(
  ladder: readonly RungName[],
  subject: Subject,
  outcomes: readonly Outcome[],
): readonly RungName[] {
  const records = new Map(ladder.map((rung) => [rung, recordOf(rung, subject, outcomes)]));
  const isProven = (rung: RungName): boolean => {
    const { tried, healed } = records.get(rung) ?? nothing;
    return healed > 0 && 2 * healed >= tried;
  };
  const isHopeless = (rung: RungName): boolean => {
    const { tried, healed } = records.get(rung) ?? nothing;
    return tried >= hopelessAfter && healed === 0;
  };
  const mayPass = (rung: RungName, before: RungName): boolean => {
    if (reachesHost(rung) || reachesHost(before) || !isProven(rung)) return false;
    return isHopeless(before) || (rungs[rung].reach === rungs[before].reach && !isProven(before));
  };
  const order: RungName[] = [];
  for (const rung of ladder) {
    let place = order.length;
    for (let before = order[place - 1]; before !== undefined; before = order[place - 1]) {
      if (!mayPass(rung, before)) break;
      place--;
    }
    order.splice(place, 0, rung);
  }
  return order;
}

/** What came of a rung on this card: on this kernel, or on others where this one has not seen it. */
export function recordOf(
  rung: RungName,
  subject: Subject,
  outcomes: readonly Outcome[],
): Tries & { readonly here: boolean } {
  const own = outcomes.filter(
    (one) =>
      one.rung === rung && one.card === subject.card && one.id === subject.id && one.tried > 0,
  );
  const here = own.filter((one) => one.kernel === subject.kernel);
  const counted = here.length > 0 ? here : own;
  return {
    tried: counted.reduce((sum, one) => sum + one.tried, 0),
    healed: counted.reduce((sum, one) => sum + one.healed, 0),
    here: here.length > 0,
  };
}

const nothing: Tries = { tried: 0, healed: 0 };
