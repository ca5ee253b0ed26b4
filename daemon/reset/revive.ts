/**
 * Brings a card back to life: checks it, climbs the ladder until a check says that it is healthy, and never believes
 * a return code (invariant 4). Facts are read anew before each rung, because each rung may change them.
 */

import { holdersOf, namesOf, vfioNodesOf } from '../host/holders.ts';
import type { Host } from '../host/host.ts';
import { quarantinedReason } from '../host/quarantine.ts';
import { riskIn } from '../host/risk.ts';
import { type Health, isConfigDead } from '../pci/health.ts';
import { type Card, readInventory } from '../pci/inventory.ts';
import { type Quirk, quirkOf } from '../pci/quirks.ts';
import type { RungName } from '../pci/rung-name.ts';
import { ladderFor } from './ladder.ts';
import { readResetFacts } from './rung.ts';
import { checkCard } from './verify.ts';

interface RungRecord {
  readonly rung: RungName;
  /** skipped: it would be in its place, but it must not be done now. */
  readonly state: 'healed' | 'not-healed' | 'error' | 'stuck' | 'skipped';
  readonly ms: number;
  /** The kernel's answer, the verdict and the kernel log lines, for people. */
  readonly detail: string;
}

export interface ReviveOptions {
  /** Time for all rungs together, in milliseconds; a rung that usually takes longer than what is left is not begun. */
  readonly budgetMs: number;
  /** Rungs to try, in order; default: the ladder of the card's family. */
  readonly order?: readonly RungName[];
  /** Rungs of `order` that the family forbids are tried all the same; each time the log says so. */
  readonly force?: boolean;
  /** Rungs to go through although the card is healthy, because a reset is due; where none of them works it stays as it is. */
  readonly whenHealthy?: readonly RungName[];
  /** Climb although the card is healthy: somebody asked for a reset. */
  readonly evenIfHealthy?: boolean;
  readonly signal?: AbortSignal;
  /** Hears of each rung, before (no record) and after, and is waited for: before it is begun, it is on disk. */
  readonly onRung?: (rung: RungName, record?: RungRecord) => Promise<void>;
}

export interface Revival {
  readonly before: Health;
  readonly after: Health;
  readonly rungs: readonly RungRecord[];
  /** Why the ladder ended without a healthy card; undefined when it is healthy (or unknown and untouched). */
  readonly gaveUp: string | undefined;
  /** Why the reset that was due on a healthy card was not done; undefined when it was done, or none was due. */
  readonly notReset: string | undefined;
}

/** What one climb knows and adds to. */
interface Climb {
  readonly host: Host;
  readonly card: Card;
  readonly quirk: Quirk;
  readonly options: ReviveOptions;
  /** When the budget ends, on the clock of performance.now(). */
  readonly end: number;
  readonly records: RungRecord[];
  /** Where the kernel log was when it began. */
  readonly firstCursor: number;
  health: Health;
}

/** Rungs under the kernel's one lock for removals and rescans (pci_rescan_remove_lock; invariant 11). */
const busWide: ReadonlySet<RungName> = new Set(['remove-rescan', 'slot-power']);
const maxRiskLines = 2000;
/** Most kernel log lines quoted per rung. */
const maxLogLines = 6;

/** Checks and, where it is due, revives. The card must be unbound from host drivers and nobody may have it open. */
export async function revive(host: Host, card: Card, options: ReviveOptions): Promise<Revival> {
  const before = await checkCard(host, card);
  const climb: Climb = {
    host,
    card,
    quirk: quirkOf(card),
    options,
    end: performance.now() + options.budgetMs,
    records: [],
    health: before,
    firstCursor: host.kernelLog.cursor(),
  };
  const ended = (gaveUp: string | undefined, notReset?: string): Revival => {
    return { before, after: climb.health, rungs: climb.records, gaveUp, notReset };
  };
  const ladder = options.order ?? climb.quirk.ladder;
  const whenHealthy = options.whenHealthy ?? [];
  if (options.evenIfHealthy === true) return ended(await climbRungs(climb, ladder));
  if (before.state === 'healthy' && whenHealthy.length > 0) {
    const notReset = await climbRungs(climb, whenHealthy);
    if (isFit(climb.health)) return ended(undefined, notReset);
  }
  return ended(isFit(climb.health) ? undefined : await climbRungs(climb, ladder));
}

function isFit(health: Health): boolean {
  return health.state === 'healthy' || health.state === 'unknown';
}

/** Tries the rungs until one heals the card. Undefined when one did; else why none did. */
async function climbRungs(climb: Climb, names: readonly RungName[]): Promise<string | undefined> {
  const { host, card, quirk, options, records } = climb;
  const first = records.length;
  for (const name of names) {
    const against = obstacle(host, card, options.signal);
    if (against !== undefined) return against;
    const facts = readResetFacts(
      host.paths.sys,
      card,
      readInventory(host.paths.sys),
      isConfigDead(climb.health),
    );
    const entry = ladderFor(facts, { quirk, order: [name], force: options.force === true })[0];
    const never = quirk.never.get(name);
    if (entry === undefined || !entry.available) {
      if (never !== undefined) {
        const message = `Rung ${name} is left out although it was asked for: ${entry?.reason ?? never}`;
        host.log.warn({ card: card.address, rung: name }, message);
      }
      continue;
    }
    if (performance.now() + entry.rung.expectedMs > climb.end)
      return `no time was left for ${name}`;
    const skipped = forbidden(host, card, name);
    if (skipped !== undefined) {
      const record: RungRecord = { rung: name, state: 'skipped', ms: 0, detail: skipped };
      records.push(record);
      await options.onRung?.(name, record);
      continue;
    }
    if (entry.forced !== undefined) {
      host.log.warn(
        { card: card.address, rung: name },
        `Rung ${name} is never right on this card (${entry.forced}), but its configuration forces it`,
      );
    }
    await options.onRung?.(name);
    const cursor = host.kernelLog.cursor();
    const start = performance.now();
    const wasHealthy = climb.health.state === 'healthy';
    const answer = await entry.rung.run(facts, host);
    // Whatever file it hangs on (the port's, the slot's), it is this card that must be left alone now.
    if (answer.state === 'stuck') host.stuck.note(card.address, answer.pid, busWide.has(name));
    climb.health =
      answer.state === 'stuck' ? stuckHealth(card, answer.said) : await checkCard(host, card);
    // Of a card that was healthy before, only the kernel's answer tells that nothing was reset.
    const healed = climb.health.state === 'healthy' && !(wasHealthy && answer.state === 'error');
    const needles = [...card.functions.map((fn) => fn.address), ...card.ports];
    const log = host.kernelLog.since(cursor, needles, maxLogLines);
    const record: RungRecord = {
      rung: name,
      state:
        answer.state === 'stuck'
          ? 'stuck'
          : healed
            ? 'healed'
            : answer.state === 'error'
              ? 'error'
              : 'not-healed',
      ms: Math.round(performance.now() - start),
      detail: detailOf(answer.said, climb.health, log),
    };
    records.push(record);
    await options.onRung?.(name, record);
    const risk = riskIn(host.kernelLog.since(climb.firstCursor, [''], maxRiskLines));
    if (risk !== undefined) await host.risk.mark(`during ${name} of card ${card.address}: ${risk}`);
    if (answer.state === 'stuck') return `${name} hangs in the kernel`;
    if (healed) return undefined;
  }
  const tried = records
    .slice(first)
    .filter((record) => record.state !== 'skipped')
    .map((record) => record.rung)
    .join(', ');
  if (tried === '') return 'no rung of the ladder can be done on this card here and now';
  return climb.health.state === 'healthy'
    ? `tried ${tried}, but the kernel could not do it`
    : `tried ${tried}; the card is still ${climb.health.state}`;
}

// What forbids the next rung whatever it is.
function obstacle(host: Host, card: Card, signal: AbortSignal | undefined): string | undefined {
  if (signal?.aborted === true) return 'it was cancelled';
  const risk = host.risk.reason();
  if (risk !== '') {
    return `the host is at risk (${risk}): no rung is done until a person has looked (revivectl quarantine clear host)`;
  }
  const child = host.stuck.of(card.address);
  if (child !== undefined) return `child ${child} hangs in the kernel with this card`;
  const nodes = vfioNodesOf(
    host.paths,
    card.functions.map((fn) => fn.address),
  );
  const holders = holdersOf(host.paths.proc, nodes);
  return holders.length === 0 ? undefined : `it is in use: ${namesOf(holders)}`;
}

// What forbids this rung, but not the next one.
function forbidden(host: Host, card: Card, name: RungName): string | undefined {
  const quarantined = quarantinedReason(host, card.address, 'rung', name);
  if (quarantined !== undefined) return quarantined;
  const child = busWide.has(name) ? host.stuck.busHeldBy() : undefined;
  return child === undefined
    ? undefined
    : `child ${child} hangs in a removal or rescan for another card, and the kernel does one at a time`;
}

function stuckHealth(card: Card, said: string): Health {
  return { state: 'wedged', evidence: [`${card.address}: child in D state: ${said}`] };
}

function detailOf(said: string, health: Health, log: readonly string[]): string {
  const verdict = `${health.state}: ${health.evidence.join('; ')}`;
  return [said, verdict, ...log.map((line) => `kernel: ${line}`)].join(' | ');
}
