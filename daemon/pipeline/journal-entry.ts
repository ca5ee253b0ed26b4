/**
 * Lines of the journal: what is written, and what of it is believed when it is read back. A line that is cut off, not ours
 * or from a newer version is counted and skipped; nothing is done on the strength of it.
 */
import { type CardAddress, isCardAddress } from '../pci/address.ts';
import { isRecord } from '../record.ts';
import type { HostBefore } from '../reset/rung.ts';
import { isLease, type Lease } from './lease.ts';
import type { JobView, StepRecord } from './service.ts';
import { type Step, stepTitle, type UndoData } from './step.ts';

export type JournalEntry =
  /** started: everything before it is settled. stopped: the host shuts down in order. away: only the daemon was ended. */
  | {
      readonly event: 'daemon';
      readonly state: DaemonState;
      /** Cards with which a child of an earlier daemon hangs: what is open of them is not settled by a start. */
      readonly hanging?: readonly CardAddress[];
    }
  | { readonly event: 'begin' | 'job'; readonly job: JobView }
  | {
      readonly event: StepEvent;
      readonly job: number;
      readonly index: number;
      readonly step: Step;
      readonly undo: UndoData;
      readonly detail: string;
    }
  | {
      readonly event: 'rung' | 'rung-done';
      readonly job: number;
      readonly card: CardAddress;
      readonly rung: string;
      readonly detail: string;
      /** What it changes of the host, as it was before (reset/rung.ts). */
      readonly before?: HostBefore;
    }
  | { readonly event: 'lease'; readonly lease: Lease }
  | { readonly event: 'home'; readonly card: CardAddress };

type DaemonState = 'started' | 'stopped' | 'away';
const stepEvents = ['intent', 'done', 'failed', 'undo', 'undone', 'undo-failed'] as const;
type StepEvent = (typeof stepEvents)[number];

/** Goes into every line. */
export interface Stamp {
  /** Changes with each boot of the host. */
  readonly boot: string;
  /** Kernel release. */
  readonly kernel: string;
}

/** A line that was read back; of a step only its name and place. */
export type PastEntry = Stamp &
  (
    | Exclude<JournalEntry, { readonly event: StepEvent | 'daemon' }>
    | {
        readonly event: 'daemon';
        readonly state: DaemonState;
        readonly lastJob: number;
      }
    | {
        readonly event: StepEvent;
        readonly job: number;
        readonly index: number;
        readonly step: string;
        readonly card: CardAddress;
        readonly title: string;
      }
  );

export type Line =
  | { readonly kind: 'entry'; readonly entry: PastEntry }
  | { readonly kind: 'torn' | 'foreign' | 'newer' };

/** The version of the lines that this daemon writes and reads. */
export const journalVersion = 1;

/** Reads one line. */
export function parseLine(line: string): Line {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { kind: 'torn' };
  }
  if (!isRecord(value)) return { kind: 'foreign' };
  if (typeof value['v'] === 'number' && value['v'] > journalVersion) return { kind: 'newer' };
  const { boot, kernel } = value;
  if (value['v'] !== journalVersion || !text(boot) || !text(kernel)) return { kind: 'foreign' };
  const entry = read(value);
  return entry === undefined
    ? { kind: 'foreign' }
    : { kind: 'entry', entry: { boot, kernel, ...entry } };
}

type Unstamped<T> = T extends unknown ? Omit<T, keyof Stamp> : never;

function read(value: Record<string, unknown>): Unstamped<PastEntry> | undefined {
  const { event, job, card, rung, lease, state, lastJob, index, step } = value;
  switch (event) {
    case 'daemon':
      return (state === 'started' || state === 'stopped' || state === 'away') && isNumber(lastJob)
        ? { event, state, lastJob }
        : undefined;
    case 'begin':
    case 'job':
      return isJobView(job) ? { event, job } : undefined;
    case 'rung':
    case 'rung-done': {
      const { detail, before } = value;
      return isNumber(job) && address(card) && text(rung) && text(detail)
        ? { event, job, card, rung, detail, ...(isBefore(before) ? { before } : {}) }
        : undefined;
    }
    case 'lease':
      return isLease(lease) ? { event, lease } : undefined;
    case 'home':
      return address(card) ? { event, card } : undefined;
  }
  const known = stepEvents.find((one) => one === event);
  if (known === undefined || !isNumber(job) || !isNumber(index) || !isRecord(step))
    return undefined;
  const { step: name, args } = step;
  if (!text(name) || !isRecord(args) || !address(args['card'])) return undefined;
  const title = `${name} ${text(args['fn']) ? args['fn'] : args['card']}`;
  return { event: known, job, index, step: name, card: args['card'], title };
}

/** Keeps `open` in step: an entry begins something, ends it, or does neither. */
export function trackOpen<T>(
  open: Map<string, T>,
  entry: JournalEntry | PastEntry,
  value: T,
): void {
  const opening = openingOf(entry);
  if (opening?.open === true) open.set(opening.key, value);
  else if (opening !== undefined) open.delete(opening.key);
}

/** The card of which a line says that a step, an undo or a rung was begun; undefined for other lines. */
export function hazardIn(line: string): CardAddress | undefined {
  const { kind, ...parsed } = parseLine(line);
  if (kind !== 'entry' || !('entry' in parsed)) return undefined;
  const { entry } = parsed;
  return entry.event in endings && 'card' in entry ? entry.card : undefined;
}

const endings = { intent: 'failed', undo: 'undo-failed', rung: 'rung-done' } as const;

/** The line that ends what a line of ours has begun, as of now (microseconds since the epoch). */
export function endingOf(line: string, now: number, detail: string): string {
  const value: unknown = JSON.parse(line);
  const begun = isRecord(value) ? value : {};
  const event = Object.entries(endings).find(([opening]) => opening === begun['event'])?.[1];
  return `${JSON.stringify({ ...begun, at: now, event, detail })}\n`;
}

/** Which open thing an entry begins or ends; undefined for those that do neither. */
function openingOf(
  entry: JournalEntry | PastEntry,
): { readonly key: string; readonly open: boolean } | undefined {
  switch (entry.event) {
    case 'begin':
    case 'job':
      return { key: `job ${entry.job.id}`, open: entry.event === 'begin' };
    case 'intent':
    case 'done':
    case 'failed':
      return { key: `step ${placeOf(entry)}`, open: entry.event === 'intent' };
    case 'undo':
    case 'undone':
    case 'undo-failed':
      return { key: `undo ${placeOf(entry)}`, open: entry.event === 'undo' };
    case 'rung':
    case 'rung-done':
      return { key: `rung ${entry.job} ${entry.card}`, open: entry.event === 'rung' };
    case 'lease':
      return { key: `lease ${entry.lease.card}`, open: true };
    case 'home':
      return { key: `lease ${entry.card}`, open: false };
    case 'daemon':
      return undefined;
  }
}

// The index begins anew with each plan of a job: the step itself tells which it is.
function placeOf(entry: Extract<JournalEntry | PastEntry, { readonly event: StepEvent }>): string {
  const title = 'title' in entry ? entry.title : stepTitle(entry.step);
  return `${entry.job} ${entry.index} ${title}`;
}

function isJobView(value: unknown): value is JobView {
  return (
    isRecord(value) &&
    isNumber(value['id']) &&
    text(value['operation']) &&
    text(value['subject']) &&
    text(value['state']) &&
    isNumber(value['progress']) &&
    isNumber(value['startedUsec']) &&
    isNumber(value['finishedUsec']) &&
    text(value['requestedBy']) &&
    Array.isArray(value['steps']) &&
    value['steps'].every(isStepRecord) &&
    Array.isArray(value['cards']) &&
    value['cards'].every(address) &&
    typeof value['error'] === 'string'
  );
}

function isStepRecord(value: unknown): value is StepRecord {
  return (
    isRecord(value) &&
    typeof value['name'] === 'string' &&
    typeof value['state'] === 'string' &&
    isNumber(value['ms']) &&
    typeof value['detail'] === 'string'
  );
}

function isBefore(value: unknown): value is HostBefore {
  return isRecord(value) && Object.values(value).every(text);
}

function address(value: unknown): value is CardAddress {
  return typeof value === 'string' && isCardAddress(value);
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function text(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 65_536;
}
