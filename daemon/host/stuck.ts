/**
 * Cards with a child of ours in D state. Nothing else risky is done to such a card (invariant 3): more writes would
 * only hang as well (facts/kernel.md 0.4). When the child comes back after all, the card is free again.
 */
import { RevivedError } from '../errors.ts';
import { type CardAddress, cardOf, isFunctionAddress } from '../pci/address.ts';
import type { IoResult, SysfsIo } from '../sysfs/io.ts';

export interface StuckChildren {
  /** The pid of a card's stuck child; undefined when there is none. */
  of(card: CardAddress): number | undefined;
  /** Adds a card, or a port, to those that the child hangs with. */
  note(card: CardAddress, pid: number, holdsBus?: boolean): void;
  /** The child is back: tells who asked, and which cards and ports it was. */
  freed(pid: number): readonly CardAddress[];
  /** Calls back, once, when that child is back: before its card is anybody's again; at once where it is none of these. */
  whenFreed(pid: number, act: () => void): void;
  /** The pid of a child that hangs in a remove, a rescan or a slot's power: the kernel lets nobody else do these. */
  busHeldBy(): number | undefined;
}

/** An empty registry. */
export function createStuckChildren(): StuckChildren {
  const children = new Map<number, { cards: ReadonlySet<CardAddress>; holdsBus: boolean }>();
  const waiting = new Map<number, readonly (() => void)[]>();
  const pidOf = (isMeant: (cards: ReadonlySet<CardAddress>, holdsBus: boolean) => boolean) => {
    for (const [pid, { cards, holdsBus }] of children) if (isMeant(cards, holdsBus)) return pid;
    return undefined;
  };
  return {
    of: (card) => pidOf((cards) => cards.has(card)),
    note(card, pid, holdsBus = false) {
      const known = children.get(pid);
      children.set(pid, {
        cards: new Set([...(known?.cards ?? []), card]),
        holdsBus: holdsBus || known?.holdsBus === true,
      });
    },
    busHeldBy: () => pidOf((_cards, holdsBus) => holdsBus),
    freed(pid) {
      const cards = [...(children.get(pid)?.cards ?? [])];
      children.delete(pid);
      const acts = waiting.get(pid) ?? [];
      waiting.delete(pid);
      for (const act of acts) act();
      return cards;
    },
    whenFreed(pid, act) {
      if (children.has(pid)) waiting.set(pid, [...(waiting.get(pid) ?? []), act]);
      else act();
    },
  };
}

/** `io` that notes stuck children and refuses at once what would hang behind one. */
export function guardIo(io: SysfsIo, stuck: StuckChildren): SysfsIo {
  const guarded = async (
    card: CardAddress | undefined,
    access: () => Promise<IoResult>,
    bus: string,
  ): Promise<IoResult> => {
    const pid = card === undefined ? undefined : stuck.of(card);
    if (pid !== undefined) return { state: 'stuck', ms: 0, pid };
    const result = await access();
    if (result.state === 'stuck' && card !== undefined)
      stuck.note(card, result.pid, isBusWide(bus));
    return result;
  };
  return {
    write: (path, value, deadlineMs) =>
      guarded(accessedCard(path, value), () => io.write(path, value, deadlineMs), path),
    read: (path, length, deadlineMs) =>
      guarded(accessedCard(path, ''), () => io.read(path, length, deadlineMs), path),
  };
}

/**
 * `io` for work on that card: what hangs is booked on it too, whatever file it hangs in, a port's or the bus's. `onHang` hears
 * of what was begun and hangs, not of what is refused behind it.
 */
export function ioFor(
  card: CardAddress,
  io: SysfsIo,
  stuck: StuckChildren,
  onHang: () => void = () => {},
): SysfsIo {
  const booked = async (path: string, access: Promise<IoResult>): Promise<IoResult> => {
    const result = await access;
    if (result.state !== 'stuck') return result;
    stuck.note(card, result.pid, isBusWide(path));
    if (result.ms > 0) onHang();
    return result;
  };
  return {
    write: (path, value, deadlineMs) => booked(path, io.write(path, value, deadlineMs)),
    read: (path, length, deadlineMs) => booked(path, io.read(path, length, deadlineMs)),
  };
}

/** Throws `stuck` for a card with a child that hangs: what would only hang as well is not begun. */
export function refuseStuck(stuck: StuckChildren, card: CardAddress): void {
  const pid = stuck.of(card);
  if (pid === undefined) return;
  throw new RevivedError(
    'stuck',
    `Card ${card} is left as it is: child ${pid} hangs in the kernel with it.`,
    'It comes home when that child returns; if it never does, only a host reboot helps.',
  );
}

/** The card, or the port, that an access is about; undefined for the bus and for slots. */
export function accessedCard(path: string, value: string): CardAddress | undefined {
  // bind, unbind and drivers_probe name the function in what is written to them.
  return cardIn(path) ?? cardIn(value.trim());
}

/** True for a file whose write holds the kernel's one lock for removals and rescans (pci_rescan_remove_lock). */
export function isBusWide(path: string): boolean {
  return /\/(remove|rescan|slots\/[^/]+\/power)$/.test(path);
}

// The last function address in a path: of a port for a port's file, of the card for its own.
function cardIn(path: string): CardAddress | undefined {
  const address = path.split('/').filter(isFunctionAddress).at(-1);
  return address === undefined ? undefined : cardOf(address);
}
