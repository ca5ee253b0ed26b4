/**
 * What the front doors (bus, libvirt events, hook) can ask, and what they can see. One implementation of the pipeline's part:
 * pipeline/desk.ts; guest/reboot-service.ts adds what is about host reboots. Nothing here touches sysfs, libvirt or D-Bus.
 */
import type { CardAddress, FunctionAddress } from '../pci/address.ts';
import type { Health } from '../pci/health.ts';

export type { Health } from '../pci/health.ts';

/**
 * home: with its host drivers (or unbound, if that is its home); lent: with a domain;
 * stranded: nobody has it, it could not be revived or given back (the reason is in `health` and in its last job).
 */
export type CardState = 'home' | 'taking' | 'lent' | 'returning' | 'resetting' | 'stranded';

export interface FunctionView {
  readonly address: FunctionAddress;
  /** `1002:731f`. */
  readonly id: string;
  /** Class code, six hex digits: `030000`. */
  readonly classCode: string;
  readonly driver: string | null;
  readonly group: string | null;
}

export interface RungView {
  readonly rung: string;
  readonly available: boolean;
  /** Why it is left out, or what it does and reaches, for people. */
  readonly reason: string;
  readonly expectedMs: number;
  readonly worstMs: number;
  /** Functions that this rung resets, the card's own and others. */
  readonly reaches: readonly string[];
}

export interface CardView {
  readonly address: CardAddress;
  /** The family of the quirk data, or that the data does not know the card; for people. */
  readonly family: string;
  readonly name: string;
  readonly functions: readonly FunctionView[];
  readonly groups: readonly string[];
  /** Ports and switches from the card up to the root port. */
  readonly ports: readonly string[];
  readonly bootVga: boolean;
  /** True for display and USB controller cards and for every card that is or was lent. */
  readonly interesting: boolean;
  readonly state: CardState;
  readonly health: Health;
  /** Name of the domain that has it (or is getting it). */
  readonly domain: string | null;
  /** Microseconds since the epoch; 0 when not lent. */
  readonly leasedSince: number;
  readonly ladder: readonly RungView[];
  readonly job: number | null;
}

/** A domain as the pipeline knows it. */
export interface PipelineDomain {
  readonly uuid: string;
  readonly name: string;
  /** libvirt's words: running, paused, shutoff, crashed, ... */
  readonly state: string;
  readonly cards: readonly CardAddress[];
}

export interface DomainView extends PipelineDomain {
  /** Of its display drivers, as its guest agent says; empty when not known. */
  readonly driverVersion: string;
  /** armed, driver-changed, guest-restarting, reboot-pending, rebooting, resumed; or empty. */
  readonly rebootState: string;
}

export type JobState = 'running' | 'done' | 'failed' | 'cancelled' | 'stuck';

export interface StepRecord {
  /** `unbind 0000:01:00.0`, `rung subordinate`, ... */
  readonly name: string;
  readonly state: 'running' | 'done' | 'failed' | 'undone' | 'undo-failed' | 'skipped';
  readonly ms: number;
  /** What was seen, for people. */
  readonly detail: string;
}

export interface JobView {
  readonly id: number;
  readonly operation: 'prepare' | 'return' | 'reset' | 'take' | 'adopt';
  /** Card address, or domain name for a prepare. */
  readonly subject: string;
  readonly cards: readonly CardAddress[];
  readonly state: JobState;
  /** 0 to 1. */
  readonly progress: number;
  /** Microseconds since the epoch; finished is 0 while it runs. */
  readonly startedUsec: number;
  readonly finishedUsec: number;
  readonly requestedBy: string;
  readonly steps: readonly StepRecord[];
  /** Empty unless it failed. */
  readonly error: string;
}

export interface PlanView {
  readonly domain: string;
  readonly operation: 'prepare' | 'return';
  /** Null when the plan can be run; else why it would be refused. */
  readonly refusal: string | null;
  readonly notes: readonly string[];
  readonly steps: readonly {
    readonly name: string;
    readonly card: string;
    readonly detail: string;
    readonly undo: string;
    readonly expectedMs: number;
  }[];
}

/** One thing that a person should know; the shape of the doctor's findings. */
export interface Finding {
  readonly rule: string;
  readonly severity: 'error' | 'warning' | 'note';
  /** `0000:0b:00` or `host`. */
  readonly subject: string;
  /** What is wrong, why it matters, what to do. */
  readonly message: string;
}

/** A rung or step that is not done again on a kernel. */
export interface QuarantineView {
  readonly card: CardAddress;
  readonly kind: 'rung' | 'step';
  readonly name: string;
  readonly kernel: string;
  /** True when that is the kernel that runs. */
  readonly active: boolean;
  /** Microseconds since the epoch. */
  readonly sinceUsec: number;
}

/** What came of one rung on one card, under one kernel and driver (host/outcome.ts). */
export interface OutcomeView {
  readonly card: CardAddress;
  /** `1002:731f`. */
  readonly id: string;
  /** Empty for a card that the quirk data does not know. */
  readonly family: string;
  readonly rung: string;
  readonly kernel: string;
  /** `nvidia 550.54.14`. */
  readonly driver: string;
  /** Times on a card that was not healthy, and how often that healed it. */
  readonly tried: number;
  readonly healed: number;
  /** Times on a healthy card, and how often it still was healthy. */
  readonly triedHealthy: number;
  readonly keptHealthy: number;
  readonly medianMs: number;
  /** Microseconds since the epoch. */
  readonly lastUsec: number;
}

/** The daemon and the host as the pipeline knows them. */
export interface PipelineManager {
  readonly version: string;
  readonly libvirt: 'connected' | 'connecting' | 'absent';
  readonly libvirtVersion: string;
  readonly iommu: boolean;
  readonly runningJobs: number;
  /** Why no rung is done on any card; empty when the host is not at risk. */
  readonly hostAtRisk: string;
  readonly findings: readonly Finding[];
  readonly quarantine: readonly QuarantineView[];
}

export interface ManagerView extends PipelineManager {
  /** The furthest of its domains' words. */
  readonly rebootState: string;
  /** Why the host is to reboot and what that waits for, for people; empty when it is not. */
  readonly rebootReason: string;
  /** Microseconds since the epoch, when the grace period ends; 0 when no reboot is announced. */
  readonly rebootAtUsec: number;
}

export interface HookCall {
  /** prepare, start, started, stopped, release, reconnect: anything else is refused. */
  readonly operation: string;
  readonly domain: string;
  readonly extra: string;
  /** Domain XML as libvirt gave it on the hook's stdin. */
  readonly xml: string;
}

/** Which view changed; the bus turns this into InterfacesAdded/Removed and PropertiesChanged. */
export type Change =
  | { readonly kind: 'manager' }
  | { readonly kind: 'card'; readonly address: CardAddress }
  | { readonly kind: 'domain'; readonly uuid: string }
  | { readonly kind: 'job'; readonly id: number };

/** The pipeline's part. */
export interface Pipeline {
  manager(): PipelineManager;
  cards(): readonly CardView[];
  domains(): readonly PipelineDomain[];
  /** Running jobs and the last finished ones (bounded). */
  jobs(): readonly JobView[];
  /** Calls back after each change, never before the views show it. Returns its own end. */
  onChange(listener: (change: Change) => void): () => void;

  /** Resolves when libvirt may go on; rejects with the reason (`refused`, `busy`, ...) where it may not. */
  hook(call: HookCall): Promise<void>;
  /** Dry run. `domain` is a name or a uuid. Rejects with `not-found`. */
  plan(domain: string, operation: 'prepare' | 'return'): Promise<PlanView>;
  /** These start a job and return its id; they throw at once where the request is refused. */
  reset(card: CardAddress, rung: string | null, requestedBy: string): number;
  take(card: CardAddress, requestedBy: string): number;
  giveBack(card: CardAddress, requestedBy: string): number;
  cancel(job: number): void;
  /** Reads health anew (config reads included) and returns it; bounded. */
  check(card: CardAddress): Promise<Health>;
  /** Reads the configuration anew; rejects with `invalid-argument` and keeps the old one where it is wrong. */
  reload(): Promise<void>;
  /** Finished jobs, newest first, from the journal. At most `limit` (1 to 1000). */
  history(limit: number): Promise<readonly JobView[]>;
  /** What came of rungs, the newest last. */
  outcomes(): readonly OutcomeView[];
  /** Allows again what is in quarantine: all of it, or that of a card, or one rung or step of it. Gives how many. */
  clearQuarantine(card: CardAddress | null, name: string | null): Promise<number>;
  /** A person has looked: rungs may be done again. False when the host was not at risk. */
  clearHostRisk(): Promise<boolean>;
}

export interface Service extends Pipeline {
  manager(): ManagerView;
  domains(): readonly DomainView[];
  /** A driver is about to be installed in it (name or uuid): its next restart becomes a reboot of the host. */
  armReboot(domain: string, requestedBy: string): Promise<void>;
  /** Agrees to the reboot that is pending. Rejects with `refused` where none is. */
  rebootNow(requestedBy: string): Promise<void>;
  /** Gives up a reboot until logind has it; with none under way: disarms, and forgets what is pending. */
  cancelReboot(requestedBy: string): Promise<void>;
}
