/** The check after each rung and before each hand-over: every function of the card and the ports inside and above it. */
import { bestOf } from '../host/best-link.ts';
import type { Host } from '../host/host.ts';
import type { PlacedBars } from '../host/known-card.ts';
import { ioFor } from '../host/stuck.ts';
import type { FunctionAddress } from '../pci/address.ts';
import { type AerCounts, aerRises, readAerCounts } from '../pci/aer.ts';
import { placedBars } from '../pci/config-space.ts';
import { idOf, idParts } from '../pci/device.ts';
import { type Expected, type FunctionSigns, type Health, judge, probeCard } from '../pci/health.ts';
import { type Card, mainFunction } from '../pci/inventory.ts';
import { type Link, linkNote, linkOf } from '../pci/link.ts';

/**
 * Health of a card as it was known: a function that is gone is missed. Bounded by the config read deadline. Fatal errors that
 * its links reported after `since` count against it; by default after it was last found healthy. `isReset`: what the kernel log
 * said of an earlier reset counts no more.
 */
export async function checkCard(
  host: Host,
  card: Card,
  since?: AerCounts,
  isReset = false,
): Promise<Health> {
  const child = host.stuck.of(card.address);
  if (child !== undefined) {
    return {
      state: 'wedged',
      evidence: [`${card.address}: child ${child} in D state: nothing can be read safely`],
      configDead: card.functions.map((fn) => fn.address),
    };
  }
  const expected: Expected[] = [
    ...card.functions.map((fn) => ({
      address: fn.address,
      vendor: fn.vendor,
      device: fn.device,
      kind: 'function' as const,
    })),
    ...card.ports.map((address) => ({
      ...idParts(host.paths.sys, address),
      address,
      kind: 'port' as const,
    })),
  ];
  const { sys } = host.paths;
  const io = ioFor(card.address, host.io, host.stuck);
  const signs = await probeCard(sys, io, expected, host.deadlines.configRead);
  const path = pathOf(card);
  const counts = readAerCounts(sys, path);
  const key = { card: card.address, id: idOfCard(card) };
  const reference = since ?? host.baseline.of(key) ?? counts;
  const fatal = aerRises(reference, counts, path).filter(({ severity }) => severity === 'fatal');
  const links = linksOf(signs);
  const notes = links.flatMap(
    (link) => linkNote(link.address, link, bestOf(host.ledger.links(), key, link.address)) ?? [],
  );
  const bars = signs.flatMap((one) => barsOf(one) ?? []);
  const lost = bars.flatMap((one) => lostBar(one, host.baseline.bars(key, one)) ?? []);
  const doubt = isReset ? undefined : host.baseline.doubt(key);
  const health = judge(signs, {
    fatal,
    notes,
    lost: [...lost, ...(doubt === undefined ? [] : [doubt])],
  });
  const isWell = health.state === 'healthy';
  await host.baseline.note(key, { bars, ...(isWell ? { counts } : {}) });
  if (isWell) await host.ledger.noteLinks({ ...key, links });
  return health;
}

/** The functions of a card and the ports above it: whose errors are its own. */
export function pathOf(card: Card): readonly FunctionAddress[] {
  return [...card.functions.map((fn) => fn.address), ...card.ports];
}

/** `1002:731f`, of what the card is there for. */
export function idOfCard(card: Card): string {
  const main = mainFunction(card);
  return main === undefined ? '' : idOf(main);
}

function barsOf({ expected, resource }: FunctionSigns): PlacedBars | undefined {
  const { address, kind, vendor, device } = expected;
  if (kind === 'port' || resource === undefined) return undefined;
  return { address, id: `${vendor}:${device}`, bars: placedBars(resource) };
}

/**
 * The kernel forgets a BAR for which a rescan finds no room (reset_resource of drivers/pci/setup-bus.c): in `resource` it is then
 * like one that the function never had. `had`: those that it was ever seen to have.
 */
function lostBar({ address, bars }: PlacedBars, had: readonly number[]): string | undefined {
  const gone = had.find((bar) => !bars.includes(bar));
  return gone === undefined
    ? undefined
    : `${address}: BAR ${gone} has no address any more: a rescan found no room for it`;
}

function linksOf(
  signs: readonly FunctionSigns[],
): readonly (Link & { readonly address: FunctionAddress })[] {
  return signs.flatMap(({ expected: { address }, config }) => {
    const link = config.state === 'read' ? linkOf(config.bytes) : undefined;
    return link === undefined ? [] : [{ address, ...link }];
  });
}
