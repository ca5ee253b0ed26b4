/** The check after each rung and before each hand-over: every function of the card and the ports inside and above it. */
import type { Host } from '../host/host.ts';
import { idParts } from '../pci/device.ts';
import { type Expected, type Health, probeCard } from '../pci/health.ts';
import type { Card } from '../pci/inventory.ts';

/** Health of a card as it was known: a function that is gone is missed. Bounded by the config read deadline. */
export function checkCard(host: Host, card: Card): Promise<Health> {
  const child = host.stuck.of(card.address);
  if (child !== undefined) {
    return Promise.resolve({
      state: 'wedged',
      evidence: [`${card.address}: child ${child} in D state: nothing can be read safely`],
    });
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
  return probeCard(host.paths.sys, host.io, expected, host.deadlines.configRead);
}
