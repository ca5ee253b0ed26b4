/**
 * What is known of each card from earlier checks: its error counters when it was last well, and the BARs that it had. In memory:
 * the kernel's counters end with the boot, and a daemon that starts takes a card as it finds it.
 */
import type { CardAddress } from '../pci/address.ts';
import type { AerCounts } from '../pci/aer.ts';

export interface Baseline {
  /** Undefined for a card that was never seen well. */
  of(card: CardAddress): AerCounts | undefined;
  set(card: CardAddress, counts: AerCounts): void;
  /** Takes the numbers of the BARs that the kernel has placed, and gives those that it ever had: `0000:01:00.0 1234:1111`. */
  bars(fn: string, placed: readonly number[]): readonly number[];
  /** What the kernel log said of the last reset of the card, which its answers do not refute; undefined when nothing. */
  doubt(card: CardAddress): string | undefined;
  setDoubt(card: CardAddress, line: string | undefined): void;
}

/** Nothing is known yet. It has an entry for each slot of the host that was checked, and so an end. */
export function createBaseline(): Baseline {
  const known = new Map<CardAddress, AerCounts>();
  const seen = new Map<string, readonly number[]>();
  const doubts = new Map<CardAddress, string>();
  return {
    doubt: (card) => doubts.get(card),
    setDoubt(card, line) {
      if (line === undefined) doubts.delete(card);
      else doubts.set(card, line);
    },
    of: (card) => known.get(card),
    set(card, counts) {
      known.set(card, counts);
    },
    bars(fn, placed) {
      const all = Array.from(new Set([...(seen.get(fn) ?? []), ...placed])).sort();
      seen.set(fn, all);
      return all;
    },
  };
}
