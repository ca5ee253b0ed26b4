/**
 * reset_subordinate on the port above the card: saves, resets the secondary bus, restores everything below, the
 * switch inside the card too (facts/kernel.md 1; since 6.13, and in 6.1.192 and 6.12 stable).
 */
import type { Host } from '../../host/host.ts';
import { deviceDirectory } from '../../pci/device.ts';
import {
  foreign,
  hostDriven,
  type PortFacts,
  type ResetFacts,
  type Rung,
  refusal,
  unavailable,
} from '../rung.ts';

const worstMs = 80000;

export const subordinate: Rung = {
  name: 'subordinate',
  does: 'resets everything below the port above the card',
  expectedMs: 250,
  worstMs,
  reach: 'bus',
  breaksLink: true,
  busWide: false,
  afterGuest: false,
  assess(facts) {
    if (facts.gone) return unavailable('no function of the card is on the bus');
    const port = portFor(facts);
    if ('reason' in port) return unavailable(port.reason);
    const driven = hostDriven(facts);
    if (driven !== undefined) return unavailable(driven);
    return { available: true, reaches: port.below };
  },
  async run(facts, host: Host) {
    const port = portFor(facts);
    if ('reason' in port) return { state: 'error', said: port.reason };
    const file = `${deviceDirectory(host.paths.sys, port.address)}/reset_subordinate`;
    const result = await host.io.write(file, '1', worstMs);
    const seconds = (result.ms / 1000).toFixed(1);
    const refused = refusal(result, port.address);
    if (refused?.state === 'stuck') return refused;
    return refused === undefined
      ? { state: 'done', said: `${port.address} returned 0 after ${seconds} s` }
      : { state: 'error', said: `${refused.said} after ${seconds} s` };
  },
};

// The highest port that has nothing but this card below it: so the switch inside a card is reset with it.
function portFor(facts: ResetFacts): PortFacts | { readonly reason: string } {
  const nearest = facts.ports[0];
  if (nearest === undefined) return { reason: 'it sits on a root bus: there is no port above it' };
  const others = foreign(facts, nearest.below);
  if (others.length > 0) return { reason: `it would reset ${others.join(', ')} as well` };
  const harmed = facts.ports.find((one) => one.never !== undefined);
  if (harmed?.never !== undefined) return { reason: `${harmed.address}: ${harmed.never}` };
  const port = facts.ports.findLast(
    (one) => one.canResetSubordinate && foreign(facts, one.below).length === 0,
  );
  return (
    port ?? {
      reason: 'this kernel has no reset_subordinate (it came with 6.13 and late 6.1 and 6.12)',
    }
  );
}
