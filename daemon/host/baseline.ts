/**
 * The error counters of each card when it was last known to be well, so that a later check sees what came since. In memory: the
 * kernel's counters end with the boot, and a daemon that starts takes a card as it finds it.
 */
import type { CardAddress } from '../pci/address.ts';
import type { AerCounts } from '../pci/aer.ts';

export interface Baseline {
  /** Undefined for a card that was never seen well. */
  of(card: CardAddress): AerCounts | undefined;
  set(card: CardAddress, counts: AerCounts): void;
}

/** Nothing is known yet. It has an entry for each slot of the host that was checked, and so an end. */
export function createBaseline(): Baseline {
  const known = new Map<CardAddress, AerCounts>();
  return {
    of: (card) => known.get(card),
    set(card, counts) {
      known.set(card, counts);
    },
  };
}
