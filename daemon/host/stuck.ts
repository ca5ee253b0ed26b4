/**
 * Cards with a child of ours in D state. Nothing else risky is done to such a card (invariant 3): more writes would
 * only hang as well (facts/kernel.md 0.4). When the child comes back after all, the card is free again.
 */
import { type CardAddress, cardOf, isFunctionAddress } from '../pci/address.ts';
import type { IoResult, SysfsIo } from '../sysfs/io.ts';

export interface StuckChildren {
  /** The pid of a card's stuck child; undefined when there is none. */
  of(card: CardAddress): number | undefined;
  note(path: string, pid: number): void;
  freed(pid: number): CardAddress | undefined;
}

/** An empty registry. */
export function createStuckChildren(): StuckChildren {
  const children = new Map<number, CardAddress>();
  return {
    of(card) {
      for (const [pid, stuckCard] of children) if (stuckCard === card) return pid;
      return undefined;
    },
    note(path, pid) {
      const card = cardIn(path);
      if (card !== undefined) children.set(pid, card);
    },
    freed(pid) {
      const card = children.get(pid);
      children.delete(pid);
      return card;
    },
  };
}

/** `io` that notes stuck children and refuses at once what would hang behind one. */
export function guardIo(io: SysfsIo, stuck: StuckChildren): SysfsIo {
  const guarded = async (path: string, access: () => Promise<IoResult>): Promise<IoResult> => {
    const card = cardIn(path);
    const pid = card === undefined ? undefined : stuck.of(card);
    if (pid !== undefined) return { state: 'stuck', ms: 0, pid };
    const result = await access();
    if (result.state === 'stuck') stuck.note(path, result.pid);
    return result;
  };
  return {
    write: (path, value, deadlineMs) => guarded(path, () => io.write(path, value, deadlineMs)),
    read: (path, length, deadlineMs) => guarded(path, () => io.read(path, length, deadlineMs)),
  };
}

// The last function address in a path: of a port for a port's file, of the card for its own.
function cardIn(path: string): CardAddress | undefined {
  const address = path.split('/').filter(isFunctionAddress).at(-1);
  return address === undefined ? undefined : cardOf(address);
}
