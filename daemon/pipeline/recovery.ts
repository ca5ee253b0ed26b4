/**
 * What an earlier daemon left, judged. Pure: the journal's entries since its start, this boot and kernel in; what was cut
 * off, what goes into quarantine and how the host ended out. Reality is read by those who act on it.
 */
import type { CardKey, KernelEnds, Quarantined } from '../host/ledger.ts';
import type { CardAddress } from '../pci/address.ts';
import type { HostBefore } from '../reset/rung.ts';
import { type PastEntry, type Stamp, trackOpen } from './journal-entry.ts';
import type { Lease } from './lease.ts';
import type { Finding, JobView } from './service.ts';

export interface Judgement {
  /** Jobs that have no end: the daemon was ended in them, or the host went down. */
  readonly cutOff: readonly {
    readonly job: JobView;
    readonly at: string;
    readonly hostWentDown: boolean;
  }[];
  /** Open when the host went down. */
  readonly quarantine: readonly Quarantined[];
  /** Cards that were lent when the host went down without a shutdown. */
  readonly died: readonly (CardKey & Stamp)[];
  /** Cards that were lent when the host was shut down in order. */
  readonly endedWell: readonly (CardKey & Stamp)[];
  /** Cards on which something was begun and not ended in this boot. */
  readonly begun: readonly CardAddress[];
  /** Rungs that were begun and not ended in this boot, with the host as it was before them: a new boot has it so by itself. */
  readonly hostBefore: readonly { readonly rung: string; readonly before: HostBefore }[];
  /** Leases of this boot as the journal has them: for a lease file that was lost. */
  readonly leases: readonly Lease[];
}

/** Steps that only wait or read: that the host went down in one of them says nothing about it. */
const harmlessSteps: ReadonlySet<string> = new Set([
  'wait-free',
  'wait-closed',
  'revive',
  'verify',
]);

/** Judges the past. `now` is microseconds since the epoch. */
export function judgePast(entries: readonly PastEntry[], { boot }: Stamp, now: number): Judgement {
  const open = new Map<string, PastEntry>();
  // How the last daemon of each boot ended; of a host that went on without one nothing is known.
  const ends = new Map<string, 'started' | 'stopped' | 'away'>();
  for (const entry of entries) {
    if (entry.event === 'daemon') ends.set(entry.boot, entry.state);
    trackOpen(open, entry, entry);
  }
  const left = [...open.values()];
  const endOf = (entry: PastEntry) => ends.get(entry.boot) ?? 'started';
  const here = left.filter((entry) => entry.boot === boot);
  const before = left.filter((entry) => entry.boot !== boot);
  const idOf = (card: CardAddress): string => {
    const lease = left.find((entry) => entry.event === 'lease' && entry.lease.card === card);
    return lease?.event === 'lease' ? (lease.lease.home.functions[0]?.id ?? '') : '';
  };
  return {
    cutOff: left.flatMap((entry) => {
      if (entry.event !== 'begin') return [];
      const ofItsBoot = entry.boot === boot ? here : before;
      return [
        {
          job: entry.job,
          at: lastOpen(ofItsBoot, entry.job.id),
          hostWentDown: ofItsBoot === before,
        },
      ];
    }),
    // A host that shut down in order did not go down in it: the shutdown came first.
    quarantine: before.flatMap((entry): Quarantined[] => {
      const what = hazardOf(entry);
      if (what === undefined || endOf(entry) === 'stopped') return [];
      const { card, ...rest } = what;
      return [
        { card, id: idOf(card), ...rest, kernel: entry.kernel, boot: entry.boot, since: now },
      ];
    }),
    died: lentBefore('started'),
    endedWell: lentBefore('stopped'),
    begun: here.flatMap((entry) => hazardOf(entry)?.card ?? []),
    hostBefore: here.flatMap((entry) =>
      entry.event === 'rung' && entry.before !== undefined
        ? [{ rung: entry.rung, before: entry.before }]
        : [],
    ),
    leases: here.flatMap((entry) => (entry.event === 'lease' ? [entry.lease] : [])),
  };

  function lentBefore(end: 'started' | 'stopped'): readonly (CardKey & Stamp)[] {
    return before.flatMap((entry) => {
      if (entry.event !== 'lease' || endOf(entry) !== end || !isWithGuest(entry.lease)) return [];
      const { card } = entry.lease;
      return [{ card, id: idOf(card), kernel: entry.kernel, boot: entry.boot }];
    });
  }

  // Until nobody has it open it is the guest's, although it is on its way home.
  function isWithGuest({ card, state }: Lease): boolean {
    const waits = (entry: PastEntry): boolean =>
      entry.event === 'intent' && entry.step === 'wait-closed' && entry.card === card;
    return state === 'lent' || (state === 'returning' && before.some(waits));
  }

  function lastOpen(entriesHere: readonly PastEntry[], job: number): string {
    const names = entriesHere.flatMap((entry) => {
      if (entry.event === 'intent' && entry.job === job) return [entry.title];
      if (entry.event === 'undo' && entry.job === job) return [`undo ${entry.title}`];
      return entry.event === 'rung' && entry.job === job ? [`rung ${entry.rung}`] : [];
    });
    return names.at(-1) ?? 'between two steps';
  }

  function hazardOf(entry: PastEntry) {
    switch (entry.event) {
      case 'rung':
        return { card: entry.card, kind: 'rung' as const, name: entry.rung };
      case 'intent':
      case 'undo':
        return harmlessSteps.has(entry.step)
          ? undefined
          : { card: entry.card, kind: 'step' as const, name: entry.title };
      default:
        return undefined;
    }
  }
}

/** Two bad ends without a good one: it may be the kernel (a USB card that panicked the host from one release on). */
const badEnds = 2;

/** What the ledger says about the kernel that runs: finding `kernel-suspect`. */
export function kernelFindings(ends: readonly KernelEnds[], kernel: string): readonly Finding[] {
  return ends
    .filter((one) => one.kernel === kernel && !one.clean && one.died.length >= badEnds)
    .map(({ card, id, died }) => {
      const good = ends
        .filter((one) => one.card === card && one.id === id && one.clean)
        .reduce<KernelEnds | undefined>(
          (best, one) => (best === undefined || one.cleanAt > best.cleanAt ? one : best),
          undefined,
        );
      return {
        rule: 'kernel-suspect',
        severity: 'warning',
        subject: card,
        message: [
          `On kernel ${kernel} this host went down ${died.length} times while card ${card} (${id}) was lent, and not once did it end well.`,
          'It will probably happen again.',
          good === undefined
            ? 'No kernel on which it went well is known: try an older or a newer one.'
            : `The last kernel on which it went well is ${good.kernel}: boot that one.`,
        ].join(' '),
      };
    });
}

/** What is in quarantine on the kernel that runs: finding `quarantined`. */
export function quarantineFindings(
  entries: readonly Quarantined[],
  kernel: string,
): readonly Finding[] {
  return entries
    .filter((entry) => entry.kernel === kernel)
    .map(({ card, kind, name }) => ({
      rule: 'quarantined',
      severity: 'warning',
      subject: card,
      message: `The host went down during ${kind} "${name}" of card ${card} on this kernel (${kernel}). It is not done again here. When you know better: revivectl quarantine clear ${card}`,
    }));
}

/** What the daemon cannot know without the kernel log: finding `kernel-log-unreadable`. `why`: KernelLog's word. */
export function logFindings(why: string | undefined): readonly Finding[] {
  if (why === undefined) return [];
  return [
    {
      rule: 'kernel-log-unreadable',
      severity: 'warning',
      subject: 'host',
      message: [
        `revived cannot read the kernel log (${why}).`,
        'A reset that only the kernel calls failed then looks like a good one, and that the host is at risk is not noticed: health rests on config space alone.',
        'Let the service read /dev/kmsg (DeviceAllow=/dev/kmsg r and CAP_SYSLOG in its unit; a container may keep it away), then: systemctl restart revived',
      ].join(' '),
    },
  ];
}
