/** The inventory as the views show it: read again when it is old, or when somebody knows that it has changed. */
import { type Inventory, readInventory } from './inventory.ts';

/** How long the views may be older than sysfs. */
const maxAgeMs = 500;

export interface InventoryCache {
  read(): Inventory;
  forget(): void;
}

/** Reads nothing before the first `read`. */
export function createInventoryCache(sys: string): InventoryCache {
  let cached: Inventory | undefined;
  let readAt = 0;
  return {
    read() {
      if (cached === undefined || performance.now() - readAt > maxAgeMs) {
        cached = readInventory(sys);
        readAt = performance.now();
      }
      return cached;
    },
    forget() {
      cached = undefined;
    },
  };
}
