/**
 * The kernel's `bus` method: secondary bus reset for a function that is alone on its bus. With siblings the kernel
 * refuses it when it is really asked (ENOTTY), whatever reset_method says (facts/kernel.md 0.1).
 */
import type { ResetFacts } from '../rung.ts';
import { methodRung } from './method.ts';

export const bus = methodRung({
  name: 'bus',
  does: 'resets the bus of a function that is alone on it',
  expectedMs: 200,
  worstMs: 80000,
  reach: 'bus',
  breaksLink: true,
  afterGuest: false,
  throughConfig: false,
  unless: refusedBySiblings,
});

/** Why pci_parent_bus_reset would refuse, or must not be asked for; undefined when it may. */
export function refusedBySiblings(facts: ResetFacts): string | undefined {
  const others = facts.ports[0]?.below.filter((address) => address !== facts.functions[0]?.address);
  if (facts.ports.length === 0) return 'it sits on a root bus, which cannot be reset';
  const port = facts.ports[0];
  if (port?.never !== undefined) return `${port.address}: ${port.never}`;
  if (others === undefined || others.length === 0) return undefined;
  return `the kernel lists it, but refuses it while ${others.join(', ')} shares the bus`;
}
