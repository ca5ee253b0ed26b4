/** Answers of a daemon as the client gives them (variants off), a client that plays them, and an Out that keeps what is said. */
import { PassThrough } from 'node:stream';
import type { Client } from '../../../daemon/ctl/client.ts';
import { createOut, type Out, type Streams } from '../../../daemon/ctl/out.ts';
import type { Objects } from '../../../daemon/ctl/tree.ts';
import type { Args } from '../../../daemon/ctl/verb.ts';

export const uuid = '6f1f0d6e-8b1c-4a59-9d0e-5a3f6f0f2a11';
export const domainPath = '/org/revived/domains/6f1f0d6e_8b1c_4a59_9d0e_5a3f6f0f2a11';
export const lentPath = '/org/revived/cards/0000_0b_00';
export const illPath = '/org/revived/cards/0000_01_00';

/** What nobody should be able to print: sets the title, goes up, turns the reading order round. */
export const hostile = 'a"b\u001b]0;x\u0007\n\u009b2J\u202egpj';
export const hostileShown = 'a"b\\u001b]0;x\\u0007\\u000a\\u009b2J\\u202egpj';

export const lentCard = {
  Address: '0000:0b:00',
  Name: 'Navi 10 [Radeon RX 5700]',
  Family: 'AMD Navi 10 (high confidence)',
  Functions: [
    { Address: '0000:0b:00.0', Id: '1002:731f', Class: '030000', Driver: 'vfio-pci', Group: '27' },
    { Address: '0000:0b:00.1', Id: '1002:ab38', Class: '040300', Driver: '', Group: '' },
  ],
  Groups: ['27', '28'],
  Ports: ['0000:0a:00.0', '0000:00:03.1'],
  BootVga: false,
  Interesting: true,
  State: 'lent',
  Health: 'healthy',
  HealthEvidence: ['0000:0b:00.0: link at 16 GT/s'],
  Domain: 'win10',
  LeasedSince: 1_700_000_000_123_456,
  Ladder: [],
  Job: '/',
};

export const illCard = {
  ...lentCard,
  Address: '0000:01:00',
  Name: 'TU104',
  Family: 'NVIDIA Turing (medium confidence)',
  Functions: [
    { Address: '0000:01:00.0', Id: '10de:1e87', Class: '030000', Driver: '', Group: '13' },
  ],
  BootVga: true,
  State: 'stranded',
  Health: 'wedged',
  HealthEvidence: ['0000:01:00.0: vendor reads as ffff', 'D3 and stays there'],
  Domain: '',
  LeasedSince: 0,
  Ladder: [
    {
      Rung: 'flr',
      Available: false,
      Reason: 'the card has none',
      ExpectedMs: 0,
      WorstMs: 0,
      Reaches: [],
    },
    {
      Rung: 'bus',
      Available: true,
      Reason: 'secondary bus reset',
      ExpectedMs: 1200,
      WorstMs: 65_000,
      Reaches: ['0000:01:00.0', '0000:01:00.1'],
    },
    {
      Rung: 'remove-rescan',
      Available: true,
      Reason: 'takes it off the bus',
      ExpectedMs: 3000,
      WorstMs: 90_000,
      Reaches: ['0000:01:00.0'],
    },
  ],
};

export const dullCard = {
  ...lentCard,
  Address: '0000:02:00',
  Name: 'NVMe',
  Interesting: false,
  State: 'home',
  Health: 'unknown',
  HealthEvidence: [],
  Domain: '',
  LeasedSince: 0,
};

export const runningJob = {
  Operation: 'reset',
  Subject: '0000:01:00',
  Cards: [illPath],
  State: 'running',
  Progress: 0.25,
  Started: 1_700_000_000_000_000,
  Finished: 0,
  RequestedBy: 'uid 0',
  Steps: [
    { Name: 'unbind 0000:01:00.0', State: 'done', Ms: 12, Detail: 'let go' },
    { Name: 'rung bus', State: 'running', Ms: 0, Detail: '' },
  ],
  Error: '',
};

export const doneJob = {
  ...runningJob,
  State: 'done',
  Progress: 1,
  Finished: 1_700_000_003_200_000,
  Steps: [
    { Name: 'unbind 0000:01:00.0', State: 'done', Ms: 12, Detail: 'let go' },
    { Name: 'rung bus', State: 'done', Ms: 1300, Detail: 'healthy' },
  ],
};

export const manager = {
  Version: '0.1.0',
  Libvirt: 'connected',
  LibvirtVersion: '9.0.0',
  Iommu: true,
  RunningJobs: 1,
  HostAtRisk: '',
  Findings: [],
  Quarantine: [],
  RebootState: '',
  RebootReason: '',
  RebootAt: 0,
};

/** The same after a bad night. */
export const alarmedManager = {
  ...manager,
  HostAtRisk: 'soft lockup',
  Findings: [
    { Rule: 'kernel-suspect', Severity: 'warning', Subject: '0000:0b:00', Message: 'boot 6.11' },
  ],
  Quarantine: [
    { Card: '0000:0b:00', Kind: 'rung', Name: 'flr', Kernel: '6.12', Active: true, Since: 5 },
  ],
  RebootState: 'reboot-pending',
  RebootReason: 'win10 got a driver',
  RebootAt: 1_700_000_060_000_000,
};

export const tree = {
  '/org/revived': { 'org.revived1.Manager': manager },
  [lentPath]: { 'org.revived1.Card': lentCard },
  '/org/revived/cards/0000_02_00': { 'org.revived1.Card': dullCard },
  [illPath]: { 'org.revived1.Card': illCard },
  [domainPath]: {
    'org.revived1.Domain': { Uuid: uuid, Name: 'win10', State: 'running', Cards: [lentPath] },
  },
  '/org/revived/domains/0': {
    'org.revived1.Domain': { Uuid: 'u-0', Name: hostile, State: 'shutoff', Cards: [] },
  },
  '/org/revived/jobs/7': { 'org.revived1.Job': runningJob },
} satisfies Objects;

/** A client of which only the given functions may be called. */
export function clientOf(parts: Partial<Client>): Client {
  const unexpected = (what: string) => () => Promise.reject(new Error(`unexpected ${what}`));
  return {
    isRunning: unexpected('isRunning'),
    getManagedObjects: unexpected('getManagedObjects'),
    getProperties: unexpected('getProperties'),
    callMethod: unexpected('callMethod'),
    subscribe: unexpected('subscribe'),
    close: () => undefined,
    ...parts,
  };
}

export interface Heard {
  readonly out: Out;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** What a person does: Ctrl-C. */
  readonly interrupt: () => void;
}

export interface Situation {
  readonly json?: boolean;
  readonly yes?: boolean;
  /** stdout is a terminal of 60 columns. */
  readonly tty?: boolean;
  /** The answer that a person gives to a question; nobody is there without. */
  readonly answer?: boolean;
}

/** A real Out over streams in memory; only the person is scripted. */
export function hear(situation: Situation = {}): Heard {
  const { streams, stdout, stderr } = streamsOf(situation.tty === true);
  const { json = false, yes = false, answer } = situation;
  let listener: (() => void) | null = null;
  const out: Out = {
    ...createOut(streams, { json, noColor: true, yes }),
    confirm: answer === undefined ? null : async () => answer,
    now: () => 1_700_000_000_000_000,
    onInterrupt(next) {
      listener = next;
      return () => {
        listener = null;
      };
    },
  };
  return { out, stdout, stderr, interrupt: () => listener?.() };
}

/** Streams in memory, and what was written to them. */
export function streamsOf(tty: boolean): {
  readonly streams: Streams;
  readonly stdin: PassThrough;
  readonly stdout: () => string;
  readonly stderr: () => string;
} {
  const collect = () => {
    const stream = new PassThrough();
    let text = '';
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    return { stream, text: () => text };
  };
  const [stdin, stdout, stderr] = [new PassThrough(), collect(), collect()];
  const streams = {
    stdin: Object.assign(stdin, { isTTY: tty }),
    stdout: Object.assign(stdout.stream, { isTTY: tty, columns: 60 }),
    stderr: stderr.stream,
    env: {},
  };
  return { streams, stdin, stdout: stdout.text, stderr: stderr.text };
}

/** The arguments of a verb. */
export function argsOf(operands: readonly string[] = [], options: Args['options'] = {}): Args {
  return { operands, options };
}
