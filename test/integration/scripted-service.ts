/** A Service whose views are set by the test and whose answers are scripted; it records what was asked of it. */
import type { CardAddress, FunctionAddress } from '../../daemon/pci/address.ts';
import { isCardAddress, isFunctionAddress } from '../../daemon/pci/address.ts';
import type {
  CardView,
  Change,
  DomainView,
  Health,
  HookCall,
  JobView,
  ManagerView,
  OutcomeView,
  PlanView,
  Service,
} from '../../daemon/pipeline/service.ts';

export interface ScriptedService extends Service {
  /** What was asked, in order: `reset 0000:0b:00 bus uid 0`. */
  readonly asked: string[];
  readonly views: {
    manager: ManagerView;
    cards: readonly CardView[];
    domains: readonly DomainView[];
    jobs: readonly JobView[];
    past: readonly JobView[];
  };
  /** Runs inside the method of that name, before it answers; may throw or wait. */
  readonly before: Partial<
    Record<'hook' | 'plan' | 'reset' | 'reload', () => Promise<void> | void>
  >;
  /** Announces a change, as the pipeline does after it has changed a view. */
  announce(change: Change): void;
}

/** A card address; throws for what is none, so that a test cannot be about nothing. */
export function card(text: string): CardAddress {
  if (isCardAddress(text)) return text;
  throw new Error(`${text} is no card address`);
}

function fn(text: string): FunctionAddress {
  if (isFunctionAddress(text)) return text;
  throw new Error(`${text} is no function address`);
}

const health: Health = { state: 'healthy', evidence: ['0000:0b:00.0: link at 16 GT/s'] };

const outcome: OutcomeView = {
  card: card('0000:0b:00'),
  id: '1002:731f',
  family: 'AMD Navi 10',
  rung: 'bus',
  kernel: '6.12.117',
  driver: 'amdgpu',
  tried: 3,
  healed: 2,
  triedHealthy: 1,
  keptHealthy: 1,
  medianMs: 240,
  lastUsec: 1_700_000_000_123_456,
};

export const sampleUuid = '6f1f0d6e-8b1c-4a59-9d0e-5a3f6f0f2a11';

/** One card with everything in it. */
export function sampleCard(address = card('0000:0b:00')): CardView {
  return {
    address,
    name: 'Navi 10 [Radeon RX 5700]',
    family: 'AMD Navi 10 (high confidence)',
    functions: [
      {
        address: fn(`${address}.0`),
        id: '1002:731f',
        classCode: '030000',
        driver: 'amdgpu',
        group: '27',
      },
      {
        address: fn(`${address}.1`),
        id: '1002:ab38',
        classCode: '040300',
        driver: null,
        group: null,
      },
    ],
    groups: ['27', '28'],
    ports: ['0000:0a:00.0', '0000:00:03.1'],
    bootVga: true,
    interesting: true,
    state: 'lent',
    health,
    domain: 'win10',
    leasedSince: 1_700_000_000_123_456,
    ladder: [
      {
        rung: 'bus',
        available: false,
        reason: 'the card has a foreign neighbour',
        expectedMs: 1200,
        worstMs: 60_000,
        reaches: ['0000:0b:00.0', '0000:0b:00.1'],
      },
    ],
    job: 7,
  };
}

/** One job with everything in it. */
export function sampleJob(id = 7): JobView {
  return {
    id,
    operation: 'reset',
    subject: '0000:0b:00',
    cards: [card('0000:0b:00')],
    state: 'running',
    progress: 0.25,
    startedUsec: 1_700_000_000_000_001,
    finishedUsec: 0,
    requestedBy: 'uid 0',
    steps: [
      { name: 'unbind 0000:0b:00.0', state: 'done', ms: 12, detail: 'amdgpu let go' },
      { name: 'rung bus', state: 'running', ms: 0, detail: '' },
    ],
    error: '',
  };
}

const plan: PlanView = {
  domain: 'win10',
  operation: 'prepare',
  refusal: 'the framebuffer is held',
  notes: ['2 functions'],
  steps: [
    { name: 'unbind', card: '0000:0b:00', detail: 'from amdgpu', undo: 'bind', expectedMs: 40 },
  ],
};

/** A service with one card, one domain and one running job. */
export function scriptedService(): ScriptedService {
  const listeners = new Set<(change: Change) => void>();
  const asked: string[] = [];
  const views: ScriptedService['views'] = {
    manager: {
      version: '0.1.0',
      libvirt: 'connected',
      libvirtVersion: '9.0.0',
      iommu: true,
      runningJobs: 1,
      hostAtRisk: '',
      findings: [],
      quarantine: [],
      rebootState: '',
      rebootReason: '',
      rebootAtUsec: 0,
    },
    cards: [sampleCard()],
    domains: [
      {
        uuid: sampleUuid,
        name: 'win10',
        state: 'running',
        cards: [card('0000:0b:00')],
        driverVersion: '31.0.1',
        rebootState: 'armed',
      },
    ],
    jobs: [sampleJob()],
    past: [],
  };
  const before: ScriptedService['before'] = {};
  return {
    asked,
    views,
    before,
    announce: (change) => {
      for (const listener of listeners) listener(change);
    },
    manager: () => views.manager,
    cards: () => views.cards,
    domains: () => views.domains,
    jobs: () => views.jobs,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async hook(call: HookCall) {
      asked.push(`hook ${call.operation} ${call.domain} ${call.extra} ${call.xml}`);
      await before.hook?.();
    },
    async plan(domain, operation) {
      asked.push(`plan ${domain} ${operation}`);
      await before.plan?.();
      return plan;
    },
    reset(address, rung, requestedBy) {
      asked.push(`reset ${address} ${rung ?? '-'} ${requestedBy}`);
      before.reset?.();
      return 7;
    },
    take(address, requestedBy) {
      asked.push(`take ${address} ${requestedBy}`);
      return 7;
    },
    giveBack(address, requestedBy) {
      asked.push(`return ${address} ${requestedBy}`);
      return 7;
    },
    cancel(id) {
      asked.push(`cancel ${id}`);
    },
    async check(address) {
      asked.push(`check ${address}`);
      return health;
    },
    async reload() {
      asked.push('reload');
      await before.reload?.();
    },
    async history(limit) {
      asked.push(`history ${limit}`);
      return views.past.slice(0, limit);
    },
    outcomes: () => [outcome],
    async clearQuarantine(address, name) {
      asked.push(`clear quarantine ${address ?? '-'} ${name ?? '-'}`);
      return 3;
    },
    async clearHostRisk() {
      asked.push('clear host risk');
      return true;
    },
    async armReboot(domain, requestedBy) {
      asked.push(`arm ${domain} ${requestedBy}`);
    },
    async rebootNow(requestedBy) {
      asked.push(`reboot ${requestedBy}`);
    },
    async cancelReboot(requestedBy) {
      asked.push(`cancel reboot ${requestedBy}`);
    },
  };
}
