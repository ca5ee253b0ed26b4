/** SR-IOV: virtual functions are gone with a reset of the function that they came from (facts/kernel.md 1, virtfnN). */
import { RevivedError } from '../errors.ts';
import type { Card, Inventory } from './inventory.ts';

const howTo = 'Stop the guests that use them, then write 0 to its sriov_numvfs.';

/** Why the card must be left alone: guests may have virtual functions of it. Undefined where it has none. */
export function virtualObstacle(
  card: Card,
  { functions }: Pick<Inventory, 'functions'>,
): string | undefined {
  const own = new Set<string>(card.functions.map((fn) => fn.address));
  const parents = [...functions.values()].flatMap(({ parent = '' }) =>
    own.has(parent) ? [parent] : [],
  );
  if (parents.length === 0) return undefined;
  const names = [...new Set(parents)].join(', ');
  const count = parents.length === 1 ? '1 virtual function' : `${parents.length} virtual functions`;
  return `${count} of ${names} exist, and guests that have them lose them with it (set sriov_numvfs to 0 first)`;
}

/** Throws `refused` where virtual functions of the card exist. */
export function refuseVirtual(card: Card, inventory: Pick<Inventory, 'functions'>): void {
  const why = virtualObstacle(card, inventory);
  if (why === undefined) return;
  throw new RevivedError(
    'refused',
    `Card ${card.address} cannot be moved or reset: ${why}.`,
    howTo,
  );
}
