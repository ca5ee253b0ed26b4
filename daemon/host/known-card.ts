/**
 * What a card was like when it was last well, or reset, in one boot: the part of the ledger that a check of the same boot is held
 * against. The kernel counts anew and gives BARs anew at each boot. Pure.
 */
import { type CardAddress, type FunctionAddress, isFunctionAddress } from '../pci/address.ts';
import { isRecord } from '../record.ts';

/** BARs of a function to which the kernel gave an address, by number. */
export interface PlacedBars {
  readonly address: FunctionAddress;
  /** `1002:731f`: another device in its place is not meant. */
  readonly id: string;
  readonly bars: readonly number[];
}

/** What was seen of a card. */
export interface KnownCard {
  readonly card: CardAddress;
  /** `1002:731f`, of its main function. */
  readonly id: string;
  readonly boot: string;
  /**
   * Fatal errors that were counted then, but those at 0; names as in AerCounts. Undefined: it was not well yet, nor reset. Below 0:
   * the counter began anew since (carriedOver).
   */
  readonly fatal?: readonly (readonly [name: string, count: number])[];
  /** All that were ever seen. */
  readonly bars: readonly PlacedBars[];
}

const maxCards = 128;
const maxCounts = 32;
const maxName = 80;
/** Of a PCI slot. */
const maxFunctions = 8;
/** Of a type 0 header. */
const maxBars = 6;

/** The list with what was seen now, without those of other boots; the very same list where nothing is new. */
export function withKnown(all: readonly KnownCard[], seen: KnownCard): readonly KnownCard[] {
  const old = knownOf(all, seen, seen.boot);
  const { card, id, boot } = seen;
  const fatal = seen.fatal === undefined ? old?.fatal : boundedCounts(seen.fatal);
  const bars = seen.bars.reduce<readonly PlacedBars[]>(withBars, old?.bars ?? []);
  const one = { card, id, boot, ...(fatal === undefined ? {} : { fatal }), bars };
  if (old !== undefined && JSON.stringify(old) === JSON.stringify(one)) return all;
  const others = all.filter((other) => other.boot === boot && other !== old);
  return [...others, one].slice(-maxCards);
}

/** What is known of a card in that boot; undefined where nothing is. */
export function knownOf(
  all: readonly KnownCard[],
  key: { readonly card: CardAddress; readonly id: string },
  boot: string,
): KnownCard | undefined {
  return all.find((one) => one.card === key.card && one.id === key.id && one.boot === boot);
}

/** Whether an entry of the ledger's file, of which `card` and `id` are good, is whole. */
export function isKnownCard(
  value: Record<string, unknown>,
): value is Record<string, unknown> & KnownCard {
  const { boot, fatal, bars } = value;
  return (
    isText(boot) &&
    (fatal === undefined ||
      (Array.isArray(fatal) && fatal.length <= maxCounts && fatal.every(isCount))) &&
    Array.isArray(bars) &&
    bars.length <= maxFunctions &&
    bars.every(isPlaced)
  );
}

// More kinds of errors than there is room for cannot be held against it: then it is as if it had never been well.
function boundedCounts(fatal: NonNullable<KnownCard['fatal']>): KnownCard['fatal'] {
  const counted = fatal.filter(([name, count]) => count !== 0 && name.length <= maxName);
  return counted.length > maxCounts ? undefined : counted;
}

function withBars(all: readonly PlacedBars[], seen: PlacedBars): readonly PlacedBars[] {
  const { address, id } = seen;
  const old = all.find((one) => one.address === address && one.id === id);
  const bars = Array.from(new Set([...(old?.bars ?? []), ...seen.bars])).sort();
  const one = { address, id, bars };
  if (old !== undefined) return all.map((other) => (other === old ? one : other));
  return [...all, one].slice(-maxFunctions);
}

function isCount(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [name, count]: readonly unknown[] = value;
  return (
    typeof name === 'string' &&
    name.length <= maxName &&
    typeof count === 'number' &&
    Number.isSafeInteger(count)
  );
}

function isPlaced(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { address, id, bars } = value;
  return (
    typeof address === 'string' &&
    isFunctionAddress(address) &&
    isText(id) &&
    Array.isArray(bars) &&
    bars.length <= maxBars &&
    bars.every((bar) => Number.isInteger(bar) && bar >= 0 && bar < maxBars)
  );
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length <= maxName;
}
