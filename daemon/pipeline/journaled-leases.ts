/** Leases that are in the journal as well: a lease file that is lost in this boot, or a host that went down, is found out. */
import type { Journal } from './journal.ts';
import type { LeaseBook } from './lease.ts';

/** The same book; every change is in the journal when it resolves. */
export function journaledLeases(leases: LeaseBook, journal: Journal): LeaseBook {
  return {
    ...leases,
    async set(lease) {
      await leases.set(lease);
      await journal.append({ event: 'lease', lease });
    },
    async drop(card) {
      await leases.drop(card);
      await journal.append({ event: 'home', card });
    },
  };
}
