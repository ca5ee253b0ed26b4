/** Who waits for whom: accesses that are in the kernel and do not return (facts/kernel.md 0.4, 0.10). */
import { type Demand, demandOf, perform } from './operations.ts';
import type { MachineState, Pending } from './state.ts';
import { type Target, targetOf } from './target.ts';
import type { Core } from './topology.ts';

/** An access on its way in. */
export interface Entry {
  readonly path: string;
  readonly target: Target;
  /** Null for a read. */
  readonly value: string | null;
}

/** True when a pending access that came before `id` holds what this one needs. */
export function blockedBy(state: MachineState, demand: Demand, id: number): boolean {
  return state.pending.some(
    (other) =>
      other.id < id &&
      ((other.rescanLock && demand.rescanLock) ||
        other.locks.some((address) => demand.locks.includes(address))),
  );
}

/** True when a pending access holds the lock of this device. */
export function heldBy(state: MachineState, address: string): boolean {
  return state.pending.some((other) => other.locks.includes(address));
}

/** Lets every pending access go on that now can, in the order of their coming. */
export function goOn(core: Core): void {
  const { state } = core;
  for (;;) {
    const next = state.pending.find((one) => canGoOn(state, one));
    if (next === undefined) return;
    state.pending = state.pending.filter((one) => one !== next);
    const target = targetOf(state, next.path);
    const outcome =
      target === undefined
        ? { errno: 'ENODEV' }
        : next.value === null
          ? { errno: null }
          : perform(core, target, next.value, (address) => heldBy(state, address));
    state.finished[String(next.id)] = outcome.errno;
  }
}

function canGoOn(state: MachineState, one: Pending): boolean {
  if (one.fault) return false;
  const target = targetOf(state, one.path);
  if (target === undefined) return true;
  const demand = demandOf(state, target, one.value);
  return !demand.waits && !blockedBy(state, demand, one.id);
}
