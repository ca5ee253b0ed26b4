/** What differs between two looks at the daemon, as monitor prints it. Pure. */
import { newSteps, outcomeText, progressText } from './job.ts';
import type { Card, Domain, Job, Manager } from './shapes.ts';
import { durationText } from './time.ts';
import type { Snapshot } from './tree.ts';

/** The JSON of one line of `monitor --json`, without its time. */
export type Change =
  | Difference<'manager', Manager>
  | Difference<'card', Card>
  | Difference<'domain', Domain>
  | Difference<'job', Job>;

interface Difference<K extends string, V> {
  readonly event: 'added' | 'changed' | 'removed';
  readonly kind: K;
  /** Address, uuid or number; `revived` for the manager. */
  readonly subject: string;
  /** Keys of the view that changed; empty for added and removed. */
  readonly keys: readonly string[];
  /** The view before and after; null where there is none. */
  readonly before: V | null;
  readonly view: V | null;
}

/** All differences, manager first, then cards, domains and jobs. */
export function changesBetween(before: Snapshot, after: Snapshot): Change[] {
  return [
    ...differences('manager', [before.manager], [after.manager], () => 'revived'),
    ...differences('card', before.cards, after.cards, (card) => card.address),
    ...differences('domain', before.domains, after.domains, (domain) => domain.uuid),
    ...differences('job', before.jobs, after.jobs, (job) => String(job.id)),
  ];
}

/** The lines of a change for people; none where only times or counters moved. */
export function changeLines(change: Change): string[] {
  switch (change.kind) {
    case 'manager':
      return managerLines(change);
    case 'card':
      return cardLines(change);
    case 'domain':
      return domainLines(change);
    case 'job':
      return jobLines(change);
  }
}

function differences<K extends string, V extends object>(
  kind: K,
  before: readonly V[],
  after: readonly V[],
  nameOf: (view: V) => string,
): Difference<K, V>[] {
  const old = new Map(before.map((view) => [nameOf(view), view]));
  const names = new Set(after.map(nameOf));
  const present = after.flatMap((view): Difference<K, V>[] => {
    const subject = nameOf(view);
    const was = old.get(subject);
    if (was === undefined) return [{ event: 'added', kind, subject, keys: [], before: null, view }];
    const keys = changedKeys(was, view);
    return keys.length === 0 ? [] : [{ event: 'changed', kind, subject, keys, before: was, view }];
  });
  const removed = before.flatMap((view): Difference<K, V>[] => {
    const subject = nameOf(view);
    if (names.has(subject)) return [];
    return [{ event: 'removed', kind, subject, keys: [], before: view, view: null }];
  });
  return [...present, ...removed];
}

function changedKeys(before: object, after: object): string[] {
  const old = new Map<string, unknown>(Object.entries(before));
  return Object.entries(after)
    .filter(
      ([key, value]: [string, unknown]) => JSON.stringify(old.get(key)) !== JSON.stringify(value),
    )
    .map(([key]) => key);
}

function managerLines({ before, view }: Difference<'manager', Manager>): string[] {
  if (before === null || view === null) return [];
  return [
    ...(before.libvirt === view.libvirt ? [] : [`libvirt: ${before.libvirt} -> ${view.libvirt}`]),
    ...(before.iommu === view.iommu ? [] : [`IOMMU: ${view.iommu ? 'on' : 'off'}`]),
    ...(before.hostAtRisk === view.hostAtRisk
      ? []
      : [view.hostAtRisk === '' ? 'host: no longer at risk' : `host at risk: ${view.hostAtRisk}`]),
    ...view.findings
      .filter(({ message }) => !before.findings.some((old) => old.message === message))
      .map(({ message }) => message),
    ...(before.rebootReason === view.rebootReason || view.rebootReason === ''
      ? []
      : [`reboot of the host: ${view.rebootReason}`]),
    ...(before.version === view.version ? [] : [`revived: ${before.version} -> ${view.version}`]),
  ];
}

function cardLines({ event, subject, before, view }: Difference<'card', Card>): string[] {
  const title = `card ${subject}`;
  if (before === null || view === null) return [`${title} ${event}`];
  const lines: string[] = [];
  if (before.state !== view.state || before.domain !== view.domain) {
    lines.push(`${title}: ${whereabouts(before)} -> ${whereabouts(view)}`);
  }
  if (before.health.state !== view.health.state) {
    const sign = view.health.evidence[0];
    const why = sign === undefined ? '' : ` (${sign})`;
    lines.push(`${title}: ${before.health.state} -> ${view.health.state}${why}`);
  }
  const drivers = new Map(before.functions.map(({ address, driver }) => [address, driver]));
  for (const { address, driver } of view.functions) {
    const was = drivers.get(address) ?? null;
    if (was !== driver) lines.push(`${address}: driver ${was ?? 'none'} -> ${driver ?? 'none'}`);
  }
  return lines;
}

function domainLines({ event, before, view }: Difference<'domain', Domain>): string[] {
  if (view === null) return before === null ? [] : [`domain ${before.name} removed`];
  if (before === null) return [`domain ${view.name} ${event}: ${view.state}`];
  return [
    ...(before.name === view.name ? [] : [`domain ${before.name} is now ${view.name}`]),
    ...(before.state === view.state
      ? []
      : [`domain ${view.name}: ${before.state} -> ${view.state}`]),
    ...(before.cards.join() === view.cards.join()
      ? []
      : [`domain ${view.name}: cards ${view.cards.join(', ') || 'none'}`]),
  ];
}

function jobLines({ before, view }: Difference<'job', Job>): string[] {
  if (view === null) return [];
  const begun =
    before === null
      ? [`job ${view.id}: ${view.operation} of ${view.subject} by ${view.requestedBy}`]
      : [];
  const steps = newSteps(before, view).map(
    ({ name, state, ms, detail }) =>
      `job ${view.id}: ${name}: ${state} after ${durationText(ms)}${detail === '' ? '' : `, ${detail}`}`,
  );
  const ended = view.state === 'running' || before?.state === view.state ? [] : [outcomeText(view)];
  return [...begun, ...steps, ...ended];
}

function whereabouts(card: Card): string {
  return card.domain === null ? card.state : `${card.state} (${card.domain})`;
}

/** The line of a job that was running already when monitor began. */
export function runningLine(job: Job): string {
  return `job ${job.id}: ${job.operation} of ${job.subject} ${progressText(job)}`;
}
