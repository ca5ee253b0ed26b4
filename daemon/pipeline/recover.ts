/**
 * Acts on what recovery.ts has judged, at the start of the daemon. Every part can be done twice: when the daemon is ended in
 * it, the next start finds the same and ends in the same state.
 */
import { asRevivedError } from '../errors.ts';
import type { Host } from '../host/host.ts';
import { accessedCard, isBusWide } from '../host/stuck.ts';
import { type CardAddress, cardOf as cardOfFunction } from '../pci/address.ts';
import { isRungName } from '../pci/rung-name.ts';
import { rungs } from '../reset/ladder.ts';
import { openLogJudge } from '../reset/log-evidence.ts';
import { watchRisk } from '../reset/risk-watch.ts';
import type { LeftOver } from '../sysfs/left-over.ts';
import type { Journal } from './journal.ts';
import type { Stamp } from './journal-entry.ts';
import type { Lease, LeaseBook } from './lease.ts';
import { judgePast, kernelFindings } from './recovery.ts';

export interface RecoverParts {
  readonly host: Host;
  readonly leases: LeaseBook;
  readonly journal: Journal;
  readonly stamp: Stamp;
  /** The lease file could not be believed: what the journal has of this boot stands in for it. */
  readonly lost: boolean;
  /** Children of the daemon before this one that cannot be ended. */
  readonly leftOver: readonly LeftOver[];
}

/** Restores lost leases, fills the ledger, closes the jobs that were cut off and marks the journal as settled. */
export async function recoverPast(parts: RecoverParts): Promise<void> {
  const { host, leases, journal, stamp } = parts;
  const { ledger, log } = host;
  const now = Date.now() * 1000;
  const judged = judgePast(journal.past.entries, stamp, now);
  if (parts.lost) {
    for (const lease of judged.leases.filter(({ card }) => leases.get(card) === undefined)) {
      await leases.set(lease).catch((error: unknown) => {
        const why = asRevivedError(error).message;
        log.error(
          { card: lease.card, why },
          'A lease is kept in memory alone: it cannot be written',
        );
      });
      log.warn({ card: lease.card }, 'The lease of the card was lost; the journal has it');
    }
  }
  for (const one of parts.leftOver) {
    const card = cardOf(one, leases.all(), judged.begun);
    const { pid, path } = one;
    log.error(
      { pid, path, card },
      'A child of the daemon before this one hangs in the kernel: its card is left alone until it is back',
    );
    if (card === undefined) continue;
    host.stuck.note(card, pid, isBusWide(path));
    const when = `while a child of the daemon before this one hung with card ${card}`;
    watchRisk(host, await openLogJudge(), when, host.kernelLog.cursor()).follow(pid);
  }
  for (const { rung, before } of judged.hostBefore) {
    const undo = isRungName(rung) ? rungs[rung].undo : undefined;
    await undo?.(before, host).catch((error: unknown) => {
      const why = asRevivedError(error).message;
      log.warn({ rung, why }, 'What a rung that was cut off has changed of the host stays so');
    });
  }
  await ledger.addQuarantine(judged.quarantine);
  for (const { card, kind, name, kernel } of judged.quarantine) {
    log.error(
      { card, kernel },
      `The host went down during ${kind} ${name} of card ${card}: it is in quarantine on this kernel (see revivectl quarantine)`,
    );
  }
  for (const { card, id, kernel, boot } of judged.died) {
    await ledger.addEnd({ card, id }, kernel, { died: boot });
    log.warn({ card, kernel }, 'The host went down without a shutdown while the card was lent');
  }
  for (const { card, id, kernel } of judged.endedWell) {
    await ledger.addEnd({ card, id }, kernel, { cleanAt: now });
  }
  for (const { subject, message } of kernelFindings(ledger.kernels(), stamp.kernel)) {
    log.error({ card: subject }, message);
  }
  const ended = judged.cutOff.map(({ job, at, hostWentDown }) => {
    const error = hostWentDown
      ? `The host went down during it (${at}).`
      : `The daemon was ended during it (${at}); its cards are brought to where they belong.`;
    log.warn({ job: job.id, at }, `${job.operation} of ${job.subject} was cut off`);
    return { ...job, state: 'failed' as const, finishedUsec: now, error };
  });
  const hanging = judged.begun.filter((card) => host.stuck.of(card) !== undefined);
  const mark = { event: 'daemon' as const, state: 'started' as const, hanging };
  // From the mark on the past is settled; what goes on is written down again behind it. What the ledger could not keep is
  // judged again by the next start.
  await journal.append(
    ...ended.map((job) => ({ event: 'job' as const, job })),
    ...(ledger.isSaved() ? [mark] : []),
    ...leases.all().map((lease) => ({ event: 'lease' as const, lease })),
  );
}

/** The card that a child hangs with. A port's file, the bus or a slot is about the card behind it. */
function cardOf(
  { path, value }: LeftOver,
  leases: readonly Lease[],
  begun: readonly CardAddress[],
): CardAddress | undefined {
  const named = accessedCard(path, value);
  if (leases.some(({ card }) => card === named)) return named;
  const behind = leases.filter(({ home }) =>
    home.ports.some((port) => cardOfFunction(port) === named),
  );
  const cards = named === undefined ? begun : behind.map(({ card }) => card);
  return cards.find((card) => begun.includes(card)) ?? cards[0] ?? named;
}
