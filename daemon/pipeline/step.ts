/**
 * Steps as data: a map from a step's name to its arguments, and what an executor of it must offer. A plan is a list of
 * these; a step without an executor does not compile (steps/index.ts). A new step: one line here, one file, one line there.
 */
import type { Host } from '../host/host.ts';
import type { CardAddress, FunctionAddress } from '../pci/address.ts';
import type { Health } from '../pci/health.ts';
import type { Card } from '../pci/inventory.ts';
import type { RungName } from '../pci/rung-name.ts';
import type { HostBefore } from '../reset/rung.ts';
import type { PowerSetting } from './lease.ts';

/** JSON only: arguments are written to the journal before the step is done. */
export interface StepArgs {
  /** Waits until no host program has the functions open. */
  'wait-free': { readonly card: CardAddress; readonly functions: readonly FunctionAddress[] };
  /** Waits until no process has the VFIO groups open. */
  'wait-closed': { readonly card: CardAddress; readonly functions: readonly FunctionAddress[] };
  'pin-power': { readonly card: CardAddress; readonly devices: readonly FunctionAddress[] };
  'restore-power': { readonly card: CardAddress; readonly settings: readonly PowerSetting[] };
  override: { readonly card: CardAddress; readonly fn: FunctionAddress; readonly driver: string };
  unbind: { readonly card: CardAddress; readonly fn: FunctionAddress };
  'bind-vfio': { readonly card: CardAddress; readonly fn: FunctionAddress };
  /** driver null: leave it unbound. */
  'bind-home': {
    readonly card: CardAddress;
    readonly fn: FunctionAddress;
    readonly driver: string | null;
  };
  'reset-method': {
    readonly card: CardAddress;
    readonly fn: FunctionAddress;
    readonly methods: string;
    /**
     * Where the kernel refuses these: fail; probe them anew (a stale list, facts/kernel.md 0.1); or keep what is there and
     * say so (device_specific of a module that does not know the card).
     */
    readonly otherwise: 'fail' | 'default' | 'keep';
  };
  /** Takes out of reset_method what `never` names. */
  'forbid-methods': {
    readonly card: CardAddress;
    readonly fn: FunctionAddress;
    readonly never: readonly RungName[];
  };
  /** Loads the kernel module that gives the card device_specific; goes on without it too. */
  'reset-module': { readonly card: CardAddress; readonly module: string };
  /** The last look before the guest. */
  verify: { readonly card: CardAddress; readonly known: Card };
  /** Health check, and the ladder where it is due. */
  revive: {
    readonly card: CardAddress;
    readonly known: Card;
    readonly budgetMs: number;
    readonly order: readonly RungName[] | null;
    readonly evenIfHealthy: boolean;
    /** The configuration forces rungs of `order` that the card's family forbids. */
    readonly force: boolean;
    /** Rungs for a healthy card whose family needs a reset after every guest; none where none is due. */
    readonly whenHealthy: readonly RungName[];
    /** The module of `reset-module`; null where the card has none. */
    readonly module: string | null;
  };
}

export type StepName = keyof StepArgs;

/** What a step must remember to undo itself; written to the journal with the intent. */
export type UndoData = Readonly<Record<string, string | number | null>>;

/** A step with its arguments; `Step<'unbind'>` is one kind of it. */
export type Step<K extends StepName = StepName> = {
  readonly [P in K]: { readonly step: P; readonly args: StepArgs[P] };
}[K];

export interface StepContext {
  readonly host: Host;
  readonly signal: AbortSignal;
  /** Hears what the step has found the card to be, with nothing done to it afterwards. */
  readonly onHealth: (health: Health) => void;
  /** Sub-steps that people should see as they happen (rungs). */
  readonly onDetail: (
    name: string,
    state: 'running' | 'done' | 'failed' | 'skipped',
    ms: number,
    detail: string,
  ) => void;
  /** Something of it was begun and hangs in the kernel still, as far as is known; what is refused behind a hang does not. */
  readonly hangs: () => boolean;
  /** Writes a rung into the journal: before it is begun (no detail, but the host as it is) and when it has ended. */
  readonly journalRung: (rung: string, detail?: string, before?: HostBefore) => Promise<void>;
}

interface StepText {
  readonly detail: string;
  /** What undoes it, for people; empty when there is nothing to undo. */
  readonly undo: string;
  readonly expectedMs: number;
}

export interface StepExecutor<K extends StepName> {
  /** Plans go on without it: in quarantine it is skipped, where others end the plan. */
  readonly dispensable?: boolean;
  /** For plans and dry runs; pure. */
  describe(args: StepArgs[K]): StepText;
  /** Reads what undo will need. Touches nothing. */
  survey(args: StepArgs[K], host: Host): UndoData | Promise<UndoData>;
  /**
   * Does it and checks that it is done; returns what was seen. Rejects with a RevivedError. `found` is what `survey` has read
   * just before, for a step whose reads are dear.
   */
  run(args: StepArgs[K], context: StepContext, found?: UndoData): Promise<string>;
  /** Takes it back; must be right whether `run` ended, failed half-way or never began. */
  undo(args: StepArgs[K], undo: UndoData, context: StepContext): Promise<void>;
}

/** `unbind 0000:01:00.0`: how a step is called in records and messages. */
export function stepTitle(step: Step): string {
  return `${step.step} ${'fn' in step.args ? step.args.fn : step.args.card}`;
}
