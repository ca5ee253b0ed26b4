import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { printable } from '../../../daemon/ctl/printable.ts';
import {
  addressOfPath,
  type Card,
  type Domain,
  decodeCard,
  decodeDomain,
  decodeJob,
  decodeManager,
  decodePlan,
  type Job,
  jobOfPath,
  type Manager,
  type Plan,
} from '../../../daemon/ctl/shapes.ts';
import type {
  CardView,
  DomainView,
  JobView,
  ManagerView,
  PlanView,
} from '../../../daemon/pipeline/service.ts';
import {
  alarmedManager,
  domainPath,
  hostile,
  hostileShown,
  illPath,
  lentCard,
  lentPath,
  manager,
  runningJob,
  uuid,
} from './recorded.ts';

const asItIs = (text: string): string => text;

// Compiles only while the shapes have the keys and the nesting of the views.
const views = {
  card: (view: CardView): Card => view,
  domain: (view: DomainView): Domain => view,
  job: (view: JobView): Job => view,
  manager: (view: ManagerView): Manager => view,
  plan: (view: PlanView): Plan => view,
};

test('a card is decoded key for key', () => {
  const view: Card = {
    address: '0000:0b:00',
    name: 'Navi 10 [Radeon RX 5700]',
    family: 'AMD Navi 10 (high confidence)',
    functions: [
      {
        address: '0000:0b:00.0',
        id: '1002:731f',
        classCode: '030000',
        driver: 'vfio-pci',
        group: '27',
      },
      {
        address: '0000:0b:00.1',
        id: '1002:ab38',
        classCode: '040300',
        driver: null,
        group: null,
      },
    ],
    groups: ['27', '28'],
    ports: ['0000:0a:00.0', '0000:00:03.1'],
    bootVga: false,
    interesting: true,
    state: 'lent',
    health: { state: 'healthy', evidence: ['0000:0b:00.0: link at 16 GT/s'] },
    domain: 'win10',
    leasedSince: 1_700_000_000_123_456,
    ladder: [
      { rung: 'bus', available: true, reason: 'r', expectedMs: 1, worstMs: 2, reaches: ['x'] },
    ],
    job: 7,
  };
  const ladder = [
    { Rung: 'bus', Available: true, Reason: 'r', ExpectedMs: 1, WorstMs: 2, Reaches: ['x'] },
  ];
  const properties = { ...lentCard, Ladder: ladder, Job: '/org/revived/jobs/7' };
  assert.deepEqual(decodeCard(lentPath, properties, asItIs), view);
  assert.equal(decodeCard(lentPath, lentCard, asItIs).job, null);
  assert.equal(decodeCard(illPath, { ...lentCard, Domain: '' }, asItIs).domain, null);
  assert.equal(Object.keys(views).length, 5);
});

test('a job names its number and its cards', () => {
  const job = decodeJob('/org/revived/jobs/7', runningJob, asItIs);
  assert.deepEqual(job, {
    id: 7,
    operation: 'reset',
    subject: '0000:01:00',
    cards: ['0000:01:00'],
    state: 'running',
    progress: 0.25,
    startedUsec: 1_700_000_000_000_000,
    finishedUsec: 0,
    requestedBy: 'uid 0',
    steps: [
      { name: 'unbind 0000:01:00.0', state: 'done', ms: 12, detail: 'let go' },
      { name: 'rung bus', state: 'running', ms: 0, detail: '' },
    ],
    error: '',
  } satisfies Job);
  assert.equal(decodeJob(null, { ...runningJob, Id: 3 }, asItIs).id, 3);
});

test('domain, manager and plan are decoded key for key', () => {
  const named = { Uuid: uuid, Name: 'win10', State: 'running', Cards: [lentPath, '/'] };
  const properties = { ...named, DriverVersion: '31.0.1', RebootState: 'armed' };
  const seen = { driverVersion: '31.0.1', rebootState: 'armed' };
  const domain = { uuid, name: 'win10', state: 'running', cards: ['0000:0b:00'], ...seen };
  assert.deepEqual(decodeDomain(domainPath, properties, asItIs), domain);
  assert.deepEqual(decodeDomain(domainPath, {}, asItIs).uuid, uuid);
  assert.deepEqual(decodeManager(alarmedManager, asItIs), {
    version: '0.1.0',
    libvirt: 'connected',
    libvirtVersion: '9.0.0',
    iommu: true,
    runningJobs: 1,
    hostAtRisk: 'soft lockup',
    findings: [
      {
        rule: 'kernel-suspect',
        severity: 'warning',
        subject: '0000:0b:00',
        message: 'boot 6.11',
      },
    ],
    quarantine: [
      {
        card: '0000:0b:00',
        kind: 'rung',
        name: 'flr',
        kernel: '6.12',
        active: true,
        sinceUsec: 5,
      },
    ],
    rebootState: 'reboot-pending',
    rebootReason: 'win10 got a driver',
    rebootAtUsec: 1_700_000_060_000_000,
  } satisfies Manager);
  const step = { Name: 'n', Card: 'c', Detail: 'd', Undo: 'u', ExpectedMs: 4 };
  assert.deepEqual(decodePlan('win10', 'prepare', ['', ['note'], [step]], asItIs), {
    domain: 'win10',
    operation: 'prepare',
    refusal: null,
    notes: ['note'],
    steps: [{ name: 'n', card: 'c', detail: 'd', undo: 'u', expectedMs: 4 }],
  } satisfies Plan);
  assert.equal(decodePlan('win10', 'prepare', ['no', [], []], asItIs).refusal, 'no');
});

test('every string goes through the text function', () => {
  const nasty = (value: unknown): unknown => {
    if (typeof value === 'string') return hostile;
    if (Array.isArray(value)) return value.map(nasty);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, nasty(item)]));
  };
  const step = { Name: '', Card: '', Detail: '', Undo: '', ExpectedMs: 4 };
  const ladder = [{ Rung: '', Reason: '', Reaches: [''] }];
  const shown = [
    decodeCard(lentPath, nasty({ ...lentCard, Ladder: ladder }), printable),
    decodeDomain(domainPath, nasty({ Uuid: '', Name: '', State: '' }), printable),
    decodeDomain(`${domainPath}${hostile}`, {}, printable),
    decodeJob('/org/revived/jobs/7', nasty(runningJob), printable),
    decodeManager(nasty(manager), printable),
    decodePlan(hostile, 'prepare', [hostile, [hostile], [nasty(step)]], printable),
  ];
  const text = shown.flatMap((view) => stringsIn(view)).join('|');
  assert.ok(text.includes(hostileShown));
  assert.doesNotMatch(text, /[\p{Cc}\u202e]/u);
});

test('nothing that a daemon may send makes decoding fail', () => {
  const anyValue = fc.anything({ maxDepth: 3 });
  const keys = Object.keys({ ...lentCard, ...runningJob, ...manager });
  const dict = fc.dictionary(fc.constantFrom(...keys, '__proto__', 'toString'), anyValue);
  fc.assert(
    fc.property(fc.oneof(dict, anyValue), fc.string(), (properties, path) => {
      decodeCard(path, properties, printable);
      decodeDomain(path, properties, printable);
      decodeJob(path, properties, printable);
      decodeManager(properties, printable);
      decodePlan('x', 'prepare', Array.isArray(properties) ? properties : [], printable);
    }),
  );
  assert.deepEqual(decodeCard('/x', null, asItIs).health, { state: 'unknown', evidence: [] });
  assert.equal(decodeManager({ RunningJobs: Number.NaN }, asItIs).runningJobs, 0);
});

test('object paths', () => {
  assert.equal(addressOfPath(lentPath), '0000:0b:00');
  assert.equal(addressOfPath('/org/revived/cards/0000_0b_00_0'), null);
  assert.equal(addressOfPath('/'), null);
  assert.equal(addressOfPath(7), null);
  assert.equal(jobOfPath('/org/revived/jobs/12'), 12);
  assert.equal(jobOfPath('/org/revived/jobs/12x'), null);
  assert.equal(jobOfPath('/'), null);
});

function stringsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(stringsIn);
}
