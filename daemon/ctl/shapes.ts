/**
 * What the daemon says over D-Bus, decoded into the shapes that `--json` prints: the views of pipeline/service.ts, key for
 * key, with plain strings (a newer daemon may know words that we do not). Decoding never fails: what is missing or of another
 * type becomes the empty value, so that revivectl of one version shows what it can of a daemon of another.
 */
import { type CardAddress, isCardAddress } from '../pci/address.ts';
import type {
  CardView,
  DomainView,
  JobView,
  ManagerView,
  OutcomeView,
  PlanView,
} from '../pipeline/service.ts';
import { isRecord } from '../record.ts';
import type { Text } from './printable.ts';

/** `a{sv}` with the variants taken off (client.ts). */
export type Dict = Readonly<Record<string, unknown>>;

/** A view with its brands and closed words opened to plain strings; keys and nesting stay. */
type Plain<T> = T extends string
  ? string
  : T extends number | boolean | null
    ? T
    : T extends readonly (infer U)[]
      ? readonly Plain<U>[]
      : { readonly [K in keyof T]: Plain<T[K]> };

export type Manager = Plain<ManagerView>;
export type Card = Plain<CardView>;
export type Domain = Plain<DomainView>;
export type Job = Plain<JobView>;
export type Plan = Plain<PlanView>;
export type Outcome = Plain<OutcomeView>;
type CardFunction = Card['functions'][number];
export type Rung = Card['ladder'][number];
export type Step = Job['steps'][number];
type PlanStep = Plan['steps'][number];

export const cardPrefix = '/org/revived/cards/';
export const domainPrefix = '/org/revived/domains/';
export const jobPrefix = '/org/revived/jobs/';

/** Properties of org.revived1.Manager. */
export function decodeManager(properties: unknown, text: Text): Manager {
  const read = reader(properties, text);
  return {
    version: read.string('Version'),
    libvirt: read.string('Libvirt'),
    libvirtVersion: read.string('LibvirtVersion'),
    iommu: read.flag('Iommu'),
    runningJobs: read.number('RunningJobs'),
    hostAtRisk: read.string('HostAtRisk'),
    findings: read.list('Findings').map((item) => {
      const finding = reader(item, text);
      return {
        rule: finding.string('Rule'),
        severity: finding.string('Severity'),
        subject: finding.string('Subject'),
        message: finding.string('Message'),
      };
    }),
    quarantine: read.list('Quarantine').map((item) => {
      const entry = reader(item, text);
      return {
        card: entry.string('Card'),
        kind: entry.string('Kind'),
        name: entry.string('Name'),
        kernel: entry.string('Kernel'),
        active: entry.flag('Active'),
        sinceUsec: entry.number('Since'),
      };
    }),
    rebootState: read.string('RebootState'),
    rebootReason: read.string('RebootReason'),
    rebootAtUsec: read.number('RebootAt'),
  };
}

/** Properties of org.revived1.Card at `path`. */
export function decodeCard(path: string, properties: unknown, text: Text): Card {
  const read = reader(properties, text);
  return {
    address: read.string('Address') || text(addressOfPath(path) ?? ''),
    name: read.string('Name'),
    family: read.string('Family'),
    functions: read.list('Functions').map((item) => decodeFunction(item, text)),
    groups: read.strings('Groups'),
    ports: read.strings('Ports'),
    bootVga: read.flag('BootVga'),
    interesting: read.flag('Interesting'),
    state: read.string('State'),
    health: { state: read.string('Health') || 'unknown', evidence: read.strings('HealthEvidence') },
    domain: read.string('Domain') || null,
    leasedSince: read.number('LeasedSince'),
    ladder: read.list('Ladder').map((item) => decodeRung(item, text)),
    job: jobOfPath(read.raw('Job')),
  };
}

/** Properties of org.revived1.Domain at `path`. */
export function decodeDomain(path: string, properties: unknown, text: Text): Domain {
  const read = reader(properties, text);
  return {
    uuid: read.string('Uuid') || text(path.slice(domainPrefix.length).replaceAll('_', '-')),
    name: read.string('Name'),
    state: read.string('State'),
    cards: addressesOf(read.list('Cards')),
    driverVersion: read.string('DriverVersion'),
    rebootState: read.string('RebootState'),
  };
}

/** Properties of org.revived1.Job; the number is in the path, or in `Id` for jobs of GetHistory (path `null`). */
export function decodeJob(path: string | null, properties: unknown, text: Text): Job {
  const read = reader(properties, text);
  return {
    id: (path === null ? null : jobOfPath(path)) ?? read.number('Id'),
    operation: read.string('Operation'),
    subject: read.string('Subject'),
    cards: addressesOf(read.list('Cards')),
    state: read.string('State'),
    progress: read.number('Progress'),
    startedUsec: read.number('Started'),
    finishedUsec: read.number('Finished'),
    requestedBy: read.string('RequestedBy'),
    steps: read.list('Steps').map((item) => decodeStep(item, text)),
    error: read.string('Error'),
  };
}

/** An entry of GetOutcomes. */
export function decodeOutcome(item: unknown, text: Text): Outcome {
  const read = reader(item, text);
  return {
    card: read.string('Card'),
    id: read.string('Id'),
    family: read.string('Family'),
    rung: read.string('Rung'),
    kernel: read.string('Kernel'),
    driver: read.string('Driver'),
    tried: read.number('Tried'),
    healed: read.number('Healed'),
    triedHealthy: read.number('TriedHealthy'),
    keptHealthy: read.number('KeptHealthy'),
    medianMs: read.number('MedianMs'),
    lastUsec: read.number('Last'),
  };
}

/** The reply of Plan: `(s refusal, as notes, aa{sv} steps)`. */
export function decodePlan(
  domain: string,
  operation: string,
  reply: readonly unknown[],
  text: Text,
): Plan {
  const [refusal, notes, steps] = reply;
  return {
    domain: text(domain),
    operation,
    refusal: typeof refusal === 'string' && refusal !== '' ? text(refusal) : null,
    notes: stringsOf(notes, text),
    steps: listOf(steps).map((item) => decodePlanStep(item, text)),
  };
}

/** `0000:0b:00` of a card's object path; null for any other path. */
export function addressOfPath(path: unknown): CardAddress | null {
  if (typeof path !== 'string' || !path.startsWith(cardPrefix)) return null;
  const address = path.slice(cardPrefix.length).replaceAll('_', ':');
  return isCardAddress(address) ? address : null;
}

/** The number of a job's object path; null for any other (`/` means none). */
export function jobOfPath(path: unknown): number | null {
  if (typeof path !== 'string' || !path.startsWith(jobPrefix)) return null;
  const digits = path.slice(jobPrefix.length);
  return /^\d{1,15}$/.test(digits) ? Number(digits) : null;
}

function decodeFunction(item: unknown, text: Text): CardFunction {
  const read = reader(item, text);
  return {
    address: read.string('Address'),
    id: read.string('Id'),
    classCode: read.string('Class'),
    driver: read.string('Driver') || null,
    group: read.string('Group') || null,
  };
}

function decodeRung(item: unknown, text: Text): Rung {
  const read = reader(item, text);
  return {
    rung: read.string('Rung'),
    available: read.flag('Available'),
    reason: read.string('Reason'),
    expectedMs: read.number('ExpectedMs'),
    worstMs: read.number('WorstMs'),
    reaches: read.strings('Reaches'),
  };
}

function decodeStep(item: unknown, text: Text): Step {
  const read = reader(item, text);
  return {
    name: read.string('Name'),
    state: read.string('State'),
    ms: read.number('Ms'),
    detail: read.string('Detail'),
  };
}

function decodePlanStep(item: unknown, text: Text): PlanStep {
  const read = reader(item, text);
  return {
    name: read.string('Name'),
    card: read.string('Card'),
    detail: read.string('Detail'),
    undo: read.string('Undo'),
    expectedMs: read.number('ExpectedMs'),
  };
}

// Jobs and domains name their cards by object path (`ao`).
function addressesOf(paths: readonly unknown[]): CardAddress[] {
  return paths.map(addressOfPath).filter((address) => address !== null);
}

// Every string of the daemon passes `text` here and nowhere else: that is what makes the escaping complete.
function reader(dict: unknown, text: Text) {
  const raw = (key: string): unknown => (isRecord(dict) ? dict[key] : undefined);
  return {
    raw,
    string: (key: string): string => {
      const value = raw(key);
      return typeof value === 'string' ? text(value) : '';
    },
    number: (key: string): number => {
      const value = raw(key);
      return typeof value === 'number' && Number.isFinite(value) ? value : 0;
    },
    flag: (key: string): boolean => raw(key) === true,
    strings: (key: string): string[] => stringsOf(raw(key), text),
    list: (key: string): readonly unknown[] => listOf(raw(key)),
  };
}

function stringsOf(value: unknown, text: Text): string[] {
  return listOf(value)
    .filter((item) => typeof item === 'string')
    .map((item) => text(item));
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
