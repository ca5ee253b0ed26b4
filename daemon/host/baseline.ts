/**
 * What is known of each card from earlier checks of this boot: its error counters when it was last well or reset, the BARs that it
 * had, and what the kernel log said of its last reset. No later check finds these again, so they are in the ledger: a daemon that
 * is started anew knows what the one before it knew. They end with the boot, which resets every card.
 */
import { type AerCounts, carriedOver } from '../pci/aer.ts';
import { knownOf, type PlacedBars } from './known-card.ts';
import type { CardKey, Ledger } from './ledger.ts';

/** What a check or a reset adds. */
interface Seen {
  /** Of a card that is well, or was reset at that time. */
  readonly counts?: AerCounts;
  /** Of each function, as the kernel has them now. */
  readonly bars?: readonly PlacedBars[];
}

export interface Baseline {
  /** Its fatal errors then. Undefined for a card that was never seen well, and never reset. */
  of(key: CardKey): AerCounts | undefined;
  /** The BARs that a function of the card was ever seen to have. */
  bars(key: CardKey, fn: Pick<PlacedBars, 'address' | 'id'>): readonly number[];
  /** Writes nothing where nothing is new. */
  note(key: CardKey, seen: Seen): Promise<void>;
  /** Counters may have been found anew between these two readings, which resets no card: what had risen before counts on. */
  carry(key: CardKey, before: AerCounts, after: AerCounts): Promise<void>;
  /** What the kernel log said of the last reset of the card, which its answers do not refute; undefined when nothing. */
  doubt(key: CardKey): string | undefined;
  /** Undefined: there is none any more. */
  setDoubt(key: CardKey, line: string | undefined): Promise<void>;
}

/** What the ledger has of this boot, in the words of a check. */
export function createBaseline(ledger: Ledger, boot: string): Baseline {
  const known = (key: CardKey) => knownOf(ledger.known(), key, boot);
  const of = (key: CardKey): AerCounts | undefined => {
    const fatal = known(key)?.fatal;
    return fatal === undefined ? undefined : new Map(fatal);
  };
  const note = ({ card, id }: CardKey, { counts, bars = [] }: Seen): Promise<void> => {
    const fatal = counts === undefined ? {} : { fatal: [...counts].filter(isFatal) };
    return ledger.noteKnown({ card, id, boot, ...fatal, bars });
  };
  return {
    of,
    note,
    bars: (key, { address, id }) =>
      known(key)?.bars.find((one) => one.address === address && one.id === id)?.bars ?? [],
    async carry(key, before, after) {
      const counts = of(key);
      if (counts !== undefined) await note(key, { counts: carriedOver(counts, before, after) });
    },
    doubt: ({ card, id }) =>
      ledger.doubts().find((one) => one.card === card && one.id === id && one.boot === boot)?.line,
    setDoubt: (key, line) => ledger.setDoubt(key, boot, line),
  };
}

// As AerCounts has them: `0000:00:04.0 fatal SDES`.
function isFatal([name]: readonly [string, number]): boolean {
  return name.split(' ')[1] === 'fatal';
}
