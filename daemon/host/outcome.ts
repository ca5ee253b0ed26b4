/** What came of a rung on a card, counted per kernel and driver: the part of the ledger that the ladder learns from. Pure. */
import type { CardAddress } from '../pci/address.ts';
import { isRungName, type RungName } from '../pci/rung-name.ts';

/** What an outcome is counted under. */
export interface OutcomeKey {
  readonly card: CardAddress;
  /** `1002:731f`, of its main function. */
  readonly id: string;
  /** Name of its family in the quirk data; empty for a card that the data does not know. */
  readonly family: string;
  readonly rung: RungName;
  /** Kernel release. */
  readonly kernel: string;
  /** The host driver of the card and what resets it out of the tree, with versions: `nvidia 550.54.14`. */
  readonly driver: string;
}

export interface Outcome extends OutcomeKey {
  /** Times on a card that was not healthy, and how often it was healthy then. */
  readonly tried: number;
  readonly healed: number;
  /** Times on a card that was healthy (a reset that was due), and how often it still was. */
  readonly triedHealthy: number;
  readonly keptHealthy: number;
  /** How long the last ones took, in milliseconds, the newest last. */
  readonly ms: readonly number[];
  /** Microseconds since the epoch of the last one. */
  readonly last: number;
}

export interface RungResult {
  readonly wasHealthy: boolean;
  /** The card was healthy afterwards, and nothing said that it had not been reset. */
  readonly worked: boolean;
  readonly ms: number;
  /** Microseconds since the epoch. */
  readonly at: number;
}

const maxOutcomes = 512;
const maxMs = 9;
const maxCount = 1_000_000;

/** The list with one more result in it. The entry that changed goes to the end; beyond the limit the oldest go. */
export function withResult(
  outcomes: readonly Outcome[],
  key: OutcomeKey,
  result: RungResult,
): readonly Outcome[] {
  const others = outcomes.filter((one) => !isSame(one, key));
  const old = outcomes.find((one) => isSame(one, key));
  const before = old ?? { tried: 0, healed: 0, triedHealthy: 0, keptHealthy: 0, ms: [] };
  const one = (is: boolean): number => (is ? 1 : 0);
  const { wasHealthy, worked } = result;
  const after: Outcome = {
    ...key,
    tried: before.tried + one(!wasHealthy),
    healed: before.healed + one(!wasHealthy && worked),
    triedHealthy: before.triedHealthy + one(wasHealthy),
    keptHealthy: before.keptHealthy + one(wasHealthy && worked),
    ms: [...before.ms, Math.round(result.ms)].slice(-maxMs),
    last: result.at,
  };
  return [...others, after].slice(-maxOutcomes);
}

/** The middle one of the last times, in milliseconds; 0 where there is none. */
export function medianMs(ms: readonly number[]): number {
  return ms.toSorted((a, b) => a - b)[ms.length >> 1] ?? 0;
}

/** Whether an entry of the ledger's file, of which `card` and `id` are good, is a whole outcome. */
export function isOutcome(
  value: Record<string, unknown>,
): value is Record<string, unknown> & Outcome {
  const { ms, rung } = value;
  const counts = ['tried', 'healed', 'triedHealthy', 'keptHealthy'].map((name) => value[name]);
  return (
    typeof rung === 'string' &&
    isRungName(rung) &&
    ['family', 'kernel', 'driver'].every((name) => isText(value[name])) &&
    counts.every((count) => isNumber(count) && Number.isInteger(count) && count <= maxCount) &&
    Array.isArray(ms) &&
    ms.length <= maxMs &&
    ms.every(isNumber) &&
    isNumber(value['last'])
  );
}

function isSame(a: OutcomeKey, b: OutcomeKey): boolean {
  return (
    a.card === b.card &&
    a.id === b.id &&
    a.rung === b.rung &&
    a.kernel === b.kernel &&
    a.driver === b.driver
  );
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length <= 256;
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
