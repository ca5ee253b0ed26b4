/** What `revivectl --json` promises (the contract): the keys of each object, all of them always there, and their types. */

type Leaf = 'text' | 'number' | 'flag' | 'text or null' | 'number or null' | 'null';
export type Shape = Leaf | readonly [Shape] | { readonly [key: string]: Shape };

const health: Shape = { state: 'text', evidence: ['text'] };

const cardFunction: Shape = {
  address: 'text',
  id: 'text',
  classCode: 'text',
  driver: 'text or null',
  group: 'text or null',
};

const rung: Shape = {
  rung: 'text',
  available: 'flag',
  reason: 'text',
  expectedMs: 'number',
  worstMs: 'number',
  reaches: ['text'],
};

const card: Shape = {
  address: 'text',
  name: 'text',
  family: 'text',
  functions: [cardFunction],
  groups: ['text'],
  ports: ['text'],
  bootVga: 'flag',
  interesting: 'flag',
  state: 'text',
  health,
  domain: 'text or null',
  leasedSince: 'number',
  ladder: [rung],
  job: 'number or null',
};

const domain: Shape = {
  uuid: 'text',
  name: 'text',
  state: 'text',
  cards: ['text'],
  driverVersion: 'text',
  rebootState: 'text',
};

const step: Shape = { name: 'text', state: 'text', ms: 'number', detail: 'text' };

const job: Shape = {
  id: 'number',
  operation: 'text',
  subject: 'text',
  cards: ['text'],
  state: 'text',
  progress: 'number',
  startedUsec: 'number',
  finishedUsec: 'number',
  requestedBy: 'text',
  steps: [step],
  error: 'text',
};

const manager: Shape = {
  version: 'text',
  libvirt: 'text',
  libvirtVersion: 'text',
  iommu: 'flag',
  runningJobs: 'number',
  hostAtRisk: 'text',
  findings: [{ rule: 'text', severity: 'text', subject: 'text', message: 'text' }],
  quarantine: [
    {
      card: 'text',
      kind: 'text',
      name: 'text',
      kernel: 'text',
      active: 'flag',
      sinceUsec: 'number',
    },
  ],
  rebootState: 'text',
  rebootReason: 'text',
  rebootAtUsec: 'number',
};

const outcome: Shape = {
  card: 'text',
  id: 'text',
  family: 'text',
  rung: 'text',
  kernel: 'text',
  driver: 'text',
  tried: 'number',
  healed: 'number',
  triedHealthy: 'number',
  keptHealthy: 'number',
  medianMs: 'number',
  lastUsec: 'number',
};

const planStep: Shape = {
  name: 'text',
  card: 'text',
  detail: 'text',
  undo: 'text',
  expectedMs: 'number',
};

/** By what it is the shape of: a view, or the answer of a verb. */
export const shapes = {
  reboot: {
    state: 'text',
    reason: 'text',
    atUsec: 'number',
    domains: [{ uuid: 'text', name: 'text', driverVersion: 'text', rebootState: 'text' }],
  },
  card,
  domain,
  job,
  manager,
  plan: {
    domain: 'text',
    operation: 'text',
    refusal: 'text or null',
    notes: ['text'],
    steps: [planStep],
    ladders: [{ card: 'text', family: 'text', ladder: [rung] }],
  },
  status: { manager, cards: [card], domains: [domain], jobs: [job] },
  list: { cards: [card], domains: [domain] },
  history: { jobs: [job] },
  outcomes: { outcomes: [outcome] },
  version: { revivectl: 'text', revived: 'text or null' },
} as const satisfies Record<string, Shape>;

/** A line of `monitor --json`. */
export function monitorShape(view: Shape): Shape {
  return { time: 'number', event: 'text', kind: 'text', subject: 'text', keys: ['text'], view };
}

/** Everything that is wrong with a value, as `where: what`; nothing when it has that shape. */
export function wrongWith(value: unknown, shape: Shape, where: string): readonly string[] {
  if (typeof shape === 'string') {
    const words = shape.split(' or ');
    return words.includes(wordOf(value)) ? [] : [`${where}: ${wordOf(value)} and not ${shape}`];
  }
  if (isListShape(shape)) {
    if (!Array.isArray(value)) return [`${where}: ${wordOf(value)} and not a list`];
    return value.flatMap((one: unknown, at) => wrongWith(one, shape[0], `${where}[${at}]`));
  }
  if (!isRecord(value)) return [`${where}: ${wordOf(value)} and not an object`];
  const [keys, wanted] = [value, shape].map((one) => Object.keys(one).toSorted().join(', '));
  if (keys !== wanted) return [`${where}: has the keys ${keys} and not ${wanted}`];
  return Object.entries(shape).flatMap(([key, one]) =>
    wrongWith(value[key], one, `${where}.${key}`),
  );
}

/** True for a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isListShape(shape: Exclude<Shape, Leaf>): shape is readonly [Shape] {
  return Array.isArray(shape);
}

function wordOf(value: unknown): string {
  if (value === null) return 'null';
  const words: Readonly<Record<string, string>> = { string: 'text', boolean: 'flag' };
  return words[typeof value] ?? typeof value;
}
