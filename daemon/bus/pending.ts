/** How many calls may wait for their answer: per connection, per user, and together with a reserve for root. */
import { RevivedError } from '../errors.ts';
import type { Caller } from './members.ts';

/** Calls in work. `rootReserve` of `total` are out of reach for others, so that they cannot shut out libvirt's hook. */
export const pendingLimits = { perSender: 32, perUser: 64, total: 256, rootReserve: 64 } as const;

/** Calls in work together with those whose sender is still being looked up (under a millisecond each). */
const arrivedLimit = 1024;

export interface Pending {
  /** Before the caller is known. Throws `limit-exceeded`; the result gives the place back, at the end of the call. */
  arrive(sender: string): () => void;
  /** Once it is known, before polkit is asked and the method runs. The same. */
  enter(caller: Caller): () => void;
}

/** A counter for one connection. */
export function createPending(): Pending {
  const senders = new Map<string, number>();
  const users = new Map<number, number>();
  let arrived = 0;
  let running = 0;

  return {
    arrive(sender) {
      if (arrived >= arrivedLimit) throw tooMany('in all', arrivedLimit);
      const leave = count(senders, sender, pendingLimits.perSender, 'of this connection');
      arrived += 1;
      return once(() => {
        arrived -= 1;
        leave();
      });
    },
    enter(caller) {
      const root = caller.uid === 0;
      const total = root ? pendingLimits.total : pendingLimits.total - pendingLimits.rootReserve;
      if (running >= total) throw tooMany('in all', total);
      const leave = root
        ? (): void => undefined
        : count(users, caller.uid, pendingLimits.perUser, 'of this user');
      running += 1;
      return once(() => {
        running -= 1;
        leave();
      });
    },
  };
}

function count<K>(counts: Map<K, number>, key: K, limit: number, whose: string): () => void {
  const now = counts.get(key) ?? 0;
  if (now >= limit) throw tooMany(whose, limit);
  counts.set(key, now + 1);
  return () => {
    const left = (counts.get(key) ?? 1) - 1;
    if (left === 0) counts.delete(key);
    else counts.set(key, left);
  };
}

function once(run: () => void): () => void {
  let done = false;
  return () => {
    if (!done) run();
    done = true;
  };
}

function tooMany(whose: string, limit: number): RevivedError {
  return new RevivedError(
    'limit-exceeded',
    `${limit} calls ${whose} are already waiting for their answer.`,
    'Wait for some of them.',
  );
}
