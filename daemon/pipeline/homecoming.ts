/**
 * Cards that are to come home although something is in the way: a child that hangs in the kernel, or a process that has the card
 * open still. Nobody tells of the end of either, so it is looked for, and then the card is brought home. One that a hang has left
 * stranded is among them, once.
 */
import { every } from '../deadline.ts';
import { asRevivedError } from '../errors.ts';
import { holdersOf, vfioNodesOf } from '../host/holders.ts';
import type { Host } from '../host/host.ts';
import type { CardAddress } from '../pci/address.ts';
import type { Handover } from './handover.ts';
import type { Lease, LeaseBook } from './lease.ts';

export interface HomecomingParts {
  readonly host: Host;
  readonly leases: LeaseBook;
  readonly handover: Handover;
  /** True while the domain has its devices open. */
  readonly isActive: (uuid: string) => boolean;
}

export interface Homecoming {
  /** Brings a card home for somebody who does not wait for it: now, or when what is in the way has ended. */
  bring(card: CardAddress, requestedBy: string, afterCrash?: boolean): void;
  /** A return that was begun already: where it finds the card in use, it is done again when nobody has it open. */
  watch(card: CardAddress, ended: Promise<void>): void;
  /** A card that is stranded because a child hangs with it: brought home when that is back, unless that was tried before. */
  afterHang(card: CardAddress): void;
  /** Looks whether the cards that wait can come home by now. */
  look(): void;
}

interface Waiting {
  /** The lease that it was then: a new one is another matter. */
  readonly since: number;
  readonly requestedBy: string;
  readonly afterCrash: boolean;
  /** It was stranded then; of any other, that it is stranded now says that somebody has tried, and why not. */
  readonly isStranded: boolean;
  readonly pids: readonly number[];
  /** On the clock of performance.now(). */
  readonly until: number;
}

const lookMs = 5_000;
/** What has a card open for longer than that will have it open for good. */
const waitMs = 24 * 3_600_000;

/** Nothing waits yet. */
export function createHomecoming(parts: HomecomingParts): Homecoming {
  const { host, leases, handover } = parts;
  const waiting = new Map<CardAddress, Waiting>();
  /** When the lease began that was brought home after a hang: what hangs again is left to people. */
  const tried = new Map<CardAddress, number>();
  let end: (() => void) | undefined;

  const holders = ({ home }: Lease, among?: readonly number[]) => {
    const nodes = vfioNodesOf(
      host.paths,
      home.functions.map((fn) => fn.address),
    );
    return holdersOf(host.paths.proc, nodes, among?.map(String));
  };
  const wait = (card: CardAddress, requestedBy: string, afterCrash: boolean): void => {
    const lease = leases.get(card);
    if (lease === undefined) return;
    const pids = holders(lease).map(({ pid }) => pid);
    const until = performance.now() + waitMs;
    const { since, state } = lease;
    const isStranded = state === 'stranded' && tried.get(card) === since;
    waiting.set(card, { since, requestedBy, afterCrash, isStranded, pids, until });
    end ??= every(lookMs, look);
  };
  const watch = (card: CardAddress, ended: Promise<void>, afterCrash = false): void => {
    ended.catch((thrown: unknown) => {
      // Its job and the log tell; of all failures only these end by themselves: somebody has it open, or a child had come to
      // hang with it before the return began. One that hung itself has left it stranded (afterHang).
      const { code } = asRevivedError(thrown);
      if (code === 'busy') wait(card, 'nobody has it open any more', afterCrash);
      else if (code === 'stuck' && leases.get(card)?.state !== 'stranded') {
        wait(card, 'the child that hung with it has returned', afterCrash);
      }
    });
  };
  const bring = (card: CardAddress, requestedBy: string, afterCrash = false): void => {
    const pid = host.stuck.of(card);
    if (pid === undefined) {
      watch(card, handover.giveBack(card, requestedBy, afterCrash).ended, afterCrash);
      return;
    }
    host.log.warn(
      { card, pid },
      'The card cannot come home before the child that hangs with it is back',
    );
    wait(card, requestedBy, afterCrash);
  };
  const afterHang = (card: CardAddress): void => {
    const lease = leases.get(card);
    if (lease?.state !== 'stranded' || tried.get(card) === lease.since) return;
    tried.set(card, lease.since);
    wait(card, 'the child that hung with it has returned', false);
    // It may be back already; not from within the job that has just stranded it.
    setImmediate(look);
  };
  const isInTheWay = (lease: Lease, { pids }: Waiting): boolean =>
    host.stuck.of(lease.card) !== undefined ||
    handover.busy(lease.card) ||
    (pids.length > 0 && holders(lease, pids).length > 0);
  function look(): void {
    for (const [card, one] of waiting) {
      const lease = leases.get(card);
      const isMeant = lease?.since === one.since && (lease.state !== 'stranded' || one.isStranded);
      const isOver = performance.now() > one.until;
      if (isMeant && !isOver && isInTheWay(lease, one)) continue;
      waiting.delete(card);
      if (isMeant && isOver) {
        host.log.error(
          { card },
          'The card is in use after a day still: nobody looks any more. When that has ended: revivectl return CARD',
        );
      } else if (isMeant && !parts.isActive(lease.uuid))
        bring(card, one.requestedBy, one.afterCrash);
    }
    if (waiting.size > 0) return;
    end?.();
    end = undefined;
  }
  return { bring, watch, afterHang, look };
}
