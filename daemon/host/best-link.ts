/** The best that each PCI Express link of a card was seen to do: the part of the ledger that a narrow link is held against. Pure. */
import { type CardAddress, type FunctionAddress, isFunctionAddress } from '../pci/address.ts';
import { bestLink, type Link } from '../pci/link.ts';
import { isRecord } from '../record.ts';

/** Links by the function or port whose link it is. */
export interface CardLinks {
  readonly card: CardAddress;
  /** `1002:731f`, of its main function: another card in the same slot is not meant. */
  readonly id: string;
  readonly links: readonly (Link & { readonly address: FunctionAddress })[];
}

const maxCards = 256;
const maxLinks = 16;

/** The list with what was seen now; the very same list where nothing is better than before. */
export function withLinks(all: readonly CardLinks[], seen: CardLinks): readonly CardLinks[] {
  const old = all.find((one) => isSame(one, seen));
  const known = new Map(old?.links.map((one) => [one.address, one]));
  let better = false;
  for (const link of seen.links.slice(0, maxLinks)) {
    const before = known.get(link.address);
    const best = { address: link.address, ...bestLink(link, before) };
    if (before?.speed === best.speed && before.width === best.width) continue;
    better = true;
    known.set(link.address, best);
  }
  if (!better) return all;
  const links = [...known.values()].slice(-maxLinks);
  const { card, id } = seen;
  return [...all.filter((one) => !isSame(one, seen)), { card, id, links }].slice(-maxCards);
}

/** The best that was seen of one link; undefined where nothing was. */
export function bestOf(
  all: readonly CardLinks[],
  key: { readonly card: CardAddress; readonly id: string },
  address: FunctionAddress,
): Link | undefined {
  return all.find((one) => isSame(one, key))?.links.find((one) => one.address === address);
}

/** Whether an entry of the ledger's file, of which `card` and `id` are good, is whole. */
export function isCardLinks(
  value: Record<string, unknown>,
): value is Record<string, unknown> & CardLinks {
  const { links } = value;
  return Array.isArray(links) && links.length <= maxLinks && links.every(isLink);
}

function isSame(
  a: { readonly card: string; readonly id: string },
  b: { readonly card: string; readonly id: string },
): boolean {
  return a.card === b.card && a.id === b.id;
}

function isLink(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { address, speed, width } = value;
  return (
    typeof address === 'string' && isFunctionAddress(address) && isCount(speed) && isCount(width)
  );
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && value > 0 && value <= 1024;
}
