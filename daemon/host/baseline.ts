/**
 * What is known of each card from earlier checks. Its error counters when it was last well and the BARs that it had are in memory:
 * a daemon that starts takes them as it finds them. What the kernel log said of its last reset no check finds again, so that is in
 * the ledger; it ends with the boot, which resets every card.
 */
import type { CardAddress } from '../pci/address.ts';
import { type AerCounts, carriedOver } from '../pci/aer.ts';
import type { CardKey, Ledger } from './ledger.ts';

export interface Baseline {
  /** Undefined for a card that was never seen well, and never reset. */
  of(card: CardAddress): AerCounts | undefined;
  set(card: CardAddress, counts: AerCounts): void;
  /** Counters may have been found anew between these two readings, which resets no card: what had risen before counts on. */
  carry(card: CardAddress, before: AerCounts, after: AerCounts): void;
  /** Takes the numbers of the BARs that the kernel has placed, and gives those that it ever had: `0000:01:00.0 1234:1111`. */
  bars(fn: string, placed: readonly number[]): readonly number[];
  /** What the kernel log said of the last reset of the card, which its answers do not refute; undefined when nothing. */
  doubt(key: CardKey): string | undefined;
  /** Undefined: there is none any more. */
  setDoubt(key: CardKey, line: string | undefined): Promise<void>;
}

/** Of this boot nothing is known but its doubts. It has an entry for each slot of the host that was checked, and so an end. */
export function createBaseline(ledger: Ledger, boot: string): Baseline {
  const known = new Map<CardAddress, AerCounts>();
  const seen = new Map<string, readonly number[]>();
  return {
    doubt: ({ card, id }) =>
      ledger.doubts().find((one) => one.card === card && one.id === id && one.boot === boot)?.line,
    setDoubt: (key, line) => ledger.setDoubt(key, boot, line),
    of: (card) => known.get(card),
    set(card, counts) {
      known.set(card, counts);
    },
    carry(card, before, after) {
      const counts = known.get(card);
      if (counts !== undefined) known.set(card, carriedOver(counts, before, after));
    },
    bars(fn, placed) {
      const all = Array.from(new Set([...(seen.get(fn) ?? []), ...placed])).sort();
      seen.set(fn, all);
      return all;
    },
  };
}
