/**
 * Brings a card back to life: checks it, climbs the ladder until a check says that it is healthy, and never believes
 * a return code (invariant 4). Facts are read anew before each rung, because each rung may change them.
 */

import { holdersOf, hostNodes, namesOf, vfioNodesOf } from '../host/holders.ts';
import type { Host } from '../host/host.ts';
import { quarantinedReason } from '../host/quarantine.ts';
import type { CardAddress } from '../pci/address.ts';
import { aerRises, readAerCounts, riseText } from '../pci/aer.ts';
import { deviceDirectory } from '../pci/device.ts';
import type { Health } from '../pci/health.ts';
import { type Card, readInventory } from '../pci/inventory.ts';
import { type Quirk, quirkOf } from '../pci/quirks.ts';
import type { RungName } from '../pci/rung-name.ts';
import { virtualObstacle } from '../pci/sriov.ts';
import { ladderFor, rungs } from './ladder.ts';
import { type LogEvidence, openLogJudge } from './log-evidence.ts';
import { outcomeKey } from './outcome-key.ts';
import { preferred, reachesHost } from './preference.ts';
import { watchRisk } from './risk-watch.ts';
import { type HostBefore, type RungAnswer, readResetFacts } from './rung.ts';
import { checkCard, idOfCard, pathOf } from './verify.ts';

interface RungRecord {
  readonly rung: RungName;
  /** skipped: it would be in its place, but it must not be done now. */
  readonly state: 'healed' | 'not-healed' | 'error' | 'stuck' | 'skipped';
  readonly ms: number;
  /** The kernel's answer, the verdict with what decided it, what the kernel log and the error counters show; for people. */
  readonly detail: string;
}

export interface ReviveOptions {
  /** Time for all rungs together, in milliseconds; a rung that usually takes longer than what is left is not begun. */
  readonly budgetMs: number;
  /** Rungs to try, in order; default: the ladder of the card's family, what worked here first. */
  readonly order?: readonly RungName[];
  /** Rungs of `order` that the family forbids are tried all the same; each time the log says so. */
  readonly force?: boolean;
  /** Rungs to go through although the card is healthy, because a reset is due; where none of them works it stays as it is. */
  readonly whenHealthy?: readonly RungName[];
  /** Climb although the card is healthy: somebody asked for a reset. */
  readonly evenIfHealthy?: boolean;
  /** The kernel module that gives the card device_specific (reset-module.ts). */
  readonly module?: string | undefined;
  readonly signal?: AbortSignal;
  /**
   * Hears of each rung, before (no record, but what it changes of the host as it is) and after, and is waited for: before it is
   * begun, it is on disk.
   */
  readonly onRung?: (rung: RungName, record?: RungRecord, before?: HostBefore) => Promise<void>;
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

/** Why a rung is not done on a card although it could be: quarantine, or others would suffer. Undefined when it may be. */
export function rungAgainst(host: Host, card: CardAddress, name: RungName): string | undefined {
  return (
    quarantinedReason(host, card, 'rung', name) ??
    (name === 'suspend' ? host.suspend.against(card) : undefined)
  );
}

/** Most kernel log lines judged per rung. */
const maxJudgedLines = 2000;
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
  const subject = { card: card.address, id: idOfCard(card), kernel: host.kernel };
  const ladder = options.order ?? preferred(climb.quirk.ladder, subject, host.ledger.outcomes());
  const whenHealthy = options.whenHealthy ?? [];
  if (options.evenIfHealthy === true) {
    // Nobody sends the whole host to sleep for a card that answers well, unless that was asked for by name.
    const isSpared = options.order === undefined && before.state === 'healthy';
    const mild = isSpared ? ladder.filter((name) => !reachesHost(name)) : ladder;
    const gaveUp = await climbRungs(climb, mild);
    if (gaveUp === undefined || !isSpared || isFit(climb.health)) return ended(gaveUp);
  }
  if (before.state === 'healthy' && whenHealthy.length > 0) {
    const notReset = await climbRungs(climb, whenHealthy);
    if (isFit(climb.health)) return ended(undefined, notReset);
  }
  if (isFit(climb.health)) return ended(undefined);
  // A reset that was due and left the card worse is not done again.
  const tried = new Set(climb.records.map((record) => record.rung));
  const others = ladder.filter((name) => !tried.has(name));
  return ended(await climbRungs(climb, others));
}

function isFit(health: Health): boolean {
  return health.state === 'healthy' || health.state === 'unknown';
}

/** Tries the rungs until one heals the card. Undefined when one did; else why none did. */
async function climbRungs(climb: Climb, names: readonly RungName[]): Promise<string | undefined> {
  const { host, card, quirk, options, records } = climb;
  const first = records.length;
  /** Rungs that cannot be done, with the reason. */
  const left: string[] = [];
  for (const name of names) {
    const against = obstacle(host, card, options.signal);
    if (against !== undefined) return against;
    if (records.some(({ rung, state }) => rungs[rung].busWide && state !== 'skipped')) {
      const held = await takeBack(host, card);
      if (held !== undefined) return held;
    }
    const facts = readResetFacts(
      host.paths.sys,
      card,
      readInventory(host.paths.sys),
      climb.health,
      options.module,
    );
    const entry = ladderFor(facts, { quirk, order: [name], force: options.force === true })[0];
    const never = quirk.never.get(name);
    if (entry === undefined || !entry.available) {
      if (never !== undefined) {
        const message = `Rung ${name} is left out although it was asked for: ${entry?.reason ?? never}`;
        host.log.warn({ card: card.address, rung: name }, message);
      }
      left.push(`${name}: ${entry?.reason ?? 'it is not known'}`);
      if (name === 'reboot-host' && !isFit(climb.health)) {
        const detail = entry?.reason ?? '';
        const record: RungRecord = { rung: name, state: 'skipped', ms: 0, detail };
        records.push(record);
        await options.onRung?.(name, record);
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
    await options.onRung?.(name, undefined, entry.rung.survey?.(host));
    const start = performance.now();
    const wasHealthy = climb.health.state === 'healthy';
    const answer = await tryRung(climb, name, () => entry.rung.run(facts, host));
    // Of a card that was healthy before, only the kernel's answer tells that nothing was reset.
    const healed = climb.health.state === 'healthy' && !(wasHealthy && answer.state === 'error');
    const ms = Math.round(performance.now() - start);
    const state = healed ? 'healed' : answer.state === 'done' ? 'not-healed' : answer.state;
    const record: RungRecord = { rung: name, state, ms, detail: answer.detail };
    records.push(record);
    await options.onRung?.(name, record);
    const result = { wasHealthy, worked: healed, ms, at: Date.now() * 1000 };
    await host.ledger.addResult(outcomeKey(host, card, quirk, name, options.module), result);
    if (answer.state === 'stuck') return `${name} hangs in the kernel`;
    if (healed) return undefined;
  }
  const tried = records
    .slice(first)
    .filter((record) => record.state !== 'skipped')
    .map((record) => record.rung)
    .join(', ');
  if (tried === '') {
    const why = left.length === 0 ? '' : ` (${left.join('; ')})`;
    return `no rung of the ladder can be done on this card here and now${why}`;
  }
  return climb.health.state === 'healthy'
    ? `tried ${tried}, but the kernel could not do it`
    : `tried ${tried}; the card is still ${climb.health.state}`;
}

/** Does one rung and looks at everything that speaks about it: `health` of the climb is what the card is like then. */
async function tryRung(
  climb: Climb,
  name: RungName,
  run: () => Promise<RungAnswer>,
): Promise<{ readonly state: RungAnswer['state']; readonly detail: string }> {
  const { host, card } = climb;
  const path = pathOf(card);
  const counts = readAerCounts(host.paths.sys, path);
  const cursor = host.kernelLog.cursor();
  const opening = openLogJudge();
  const answer = await run();
  // Whatever file it hangs on (the port's, the slot's), it is this card that must be left alone now.
  if (answer.state === 'stuck') host.stuck.note(card.address, answer.pid, rungs[name].busWide);
  const now = readAerCounts(host.paths.sys, path);
  // Only a reset that the kernel did speaks against what is known already: one that it refused, and a rescan, are none.
  const isReset = answer.state === 'done' && name !== 'remove-rescan';
  const since = isReset ? (rungs[name].breaksLink ? now : counts) : undefined;
  const key = { card: card.address, id: idOfCard(card) };
  if (!isReset) await host.baseline.carry(key, counts, now);
  const found =
    answer.state === 'stuck'
      ? stuckHealth(card, answer.said)
      : await checkCard(host, card, since, isReset);
  const said = host.kernelLog.since(cursor, [''], maxJudgedLines);
  // What the kernel's own recovery says of a link that was taken down is of no more weight than the error itself.
  const judged = rungs[name].breaksLink ? said.filter((line) => !line.includes('AER: ')) : said;
  const logJudge = await opening;
  const log = logJudge.judge(judged, path);
  climb.health = withLog(found, log, card);
  const isDoubtful = found.state === 'healthy' && log.against !== undefined;
  // In one write, and now: a daemon that ends before it leaves the old doubt.
  if (isDoubtful || isReset) {
    const doubt = isDoubtful ? doubtOf(card, log.against) : undefined;
    await host.baseline.setDoubt(key, doubt);
  }
  // Of one that is well the check has noted more.
  if (since !== undefined && found.state !== 'healthy') {
    await host.baseline.note(key, { counts: since });
  }
  const when = `during ${name} of card ${card.address}`;
  const risk = watchRisk(host, logJudge, when, climb.firstCursor);
  await risk.look();
  if (answer.state === 'stuck') risk.follow(answer.pid);
  const quoted = host.kernelLog.since(cursor, path, maxLogLines);
  const errors = aerRises(counts, now, path).map(riseText);
  const detail = [
    answer.said,
    `${climb.health.state}: ${climb.health.evidence.join('; ')}`,
    ...(log.classes.length === 0 ? [] : [`kernel log: ${log.classes.join(', ')}`]),
    ...errors,
    ...quoted.map((line) => `kernel: ${line}`),
  ].join(' | ');
  return { state: answer.state, detail };
}

// A card that answers well, of which the kernel says that its reset failed, is half reset at best (facts/kernel.md 0.8).
function withLog(health: Health, { against }: LogEvidence, card: Card): Health {
  if (health.state !== 'healthy' || against === undefined) return health;
  return { state: 'suspect', evidence: [doubtOf(card, against)] };
}

function doubtOf(card: Card, against: NonNullable<LogEvidence['against']>): string {
  return `${card.address}: the kernel log says ${against.class}: ${against.text}`;
}

/**
 * A rescan gives the functions to their host drivers at once (facts/kernel.md 0.11). Where it has not healed the card, they are
 * taken back for the next rung, unless somebody has opened them meanwhile (invariant 5). Undefined when none has a host driver.
 */
async function takeBack(host: Host, card: Card): Promise<string | undefined> {
  const { functions } = readInventory(host.paths.sys);
  for (const { address } of card.functions.toReversed()) {
    const driver = functions.get(address)?.driver;
    if (driver === undefined || driver === 'vfio-pci' || driver === 'pci-stub') continue;
    const nodes = hostNodes(host.paths.dev, deviceDirectory(host.paths.sys, address));
    const holders = holdersOf(host.paths.proc, new Set(nodes));
    if (holders.length > 0) return `${driver} has ${address} again, in use: ${namesOf(holders)}`;
    const path = `${host.paths.sys}/bus/pci/drivers/${driver}/unbind`;
    const left = await host.io.write(path, address, host.deadlines.bind);
    if (left.state === 'stuck') {
      host.stuck.note(card.address, left.pid);
      return `unbinding ${address} from ${driver} hangs in the kernel (child ${left.pid})`;
    }
  }
  return undefined;
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
  const virtual = virtualObstacle(card, readInventory(host.paths.sys));
  if (virtual !== undefined) return virtual;
  const nodes = vfioNodesOf(
    host.paths,
    card.functions.map((fn) => fn.address),
  );
  const holders = holdersOf(host.paths.proc, nodes);
  return holders.length === 0 ? undefined : `it is in use: ${namesOf(holders)}`;
}

// What forbids this rung, but not the next one.
function forbidden(host: Host, card: Card, name: RungName): string | undefined {
  const against = rungAgainst(host, card.address, name);
  if (against !== undefined) return against;
  const child = rungs[name].busWide ? host.stuck.busHeldBy() : undefined;
  return child === undefined
    ? undefined
    : `child ${child} hangs in a removal or rescan for another card, and the kernel does one at a time`;
}

function stuckHealth(card: Card, said: string): Health {
  const configDead = card.functions.map((fn) => fn.address);
  return { state: 'wedged', evidence: [`${card.address}: child in D state: ${said}`], configDead };
}
