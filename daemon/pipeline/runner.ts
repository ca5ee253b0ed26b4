/**
 * Runs a plan: survey, intent on disk, step, outcome on disk, next. When a step of an all-or-nothing plan fails, what was
 * done is undone in reverse, the failed step first (but not for a dead card, see LeftAsIsError); an undo that fails is recorded and the rest is still undone.
 */
import { asRevivedError, RevivedError } from '../errors.ts';
import type { Host } from '../host/host.ts';
import { quarantinedReason } from '../host/quarantine.ts';
import { ioFor } from '../host/stuck.ts';
import type { Health } from '../pci/health.ts';
import type { Job } from './job.ts';
import type { Journal } from './journal.ts';
import {
  type Step,
  type StepArgs,
  type StepContext,
  type StepExecutor,
  type StepName,
  stepTitle,
  type UndoData,
} from './step.ts';
import { executors } from './steps/index.ts';

export interface RunOptions {
  readonly host: Host;
  readonly job: Job;
  readonly journal: Journal;
  /**
   * rollback: stop at the first failure and undo. stop: stop, undo nothing (what is done is right as far as it goes).
   * go-on: do the rest all the same and report the first failure at the end.
   */
  readonly onFailure: 'rollback' | 'stop' | 'go-on';
  /** Ends the run before its next step; undoing goes on regardless. */
  readonly signal: AbortSignal;
}

interface Done {
  readonly index: number;
  readonly step: Step;
  readonly undo: UndoData;
}

/** Steps that fail because the card is dead. */
const findsDead: ReadonlySet<StepName> = new Set(['revive', 'verify']);

/**
 * Runs the steps in order. Gives what the card was found to be by the last of them that looked. Rejects with the first failure;
 * its message names what was and what could not be undone.
 */
export async function runSteps(
  steps: readonly Step[],
  options: RunOptions,
): Promise<Health | undefined> {
  const done: Done[] = [];
  let seen: Health | undefined;
  const onHealth = (health: Health): void => {
    seen = health;
  };
  let failure: RevivedError | undefined;
  for (const [index, step] of steps.entries()) {
    try {
      if (options.signal.aborted) throw new RevivedError('cancelled', 'It was cancelled.');
      await runOne(index, step, options, done, onHealth);
    } catch (thrown) {
      const error = asRevivedError(thrown);
      failure ??= error;
      const begun = done.at(-1)?.step === step;
      if (options.onFailure === 'rollback' && begun && findsDead.has(step.step)) {
        throw new LeftAsIsError(error.code, error.message, error.advice, { cause: error });
      }
      if (options.onFailure === 'rollback') {
        const failed = await undoAll(done, options);
        throw failed.length === 0 ? error : withUndoFailures(error, failed);
      }
      if (options.onFailure === 'stop') throw error;
    }
  }
  if (failure !== undefined) throw failure;
  return seen;
}

async function runOne(
  index: number,
  step: Step,
  options: RunOptions,
  done: Done[],
  onHealth: StepContext['onHealth'],
): Promise<void> {
  const { host, job, journal } = options;
  const end = job.begin(stepTitle(step));
  try {
    const against = quarantinedReason(host, step.args.card, 'step', stepTitle(step));
    if (against !== undefined && executors[step.step].dispensable === true) {
      host.log.warn({ card: step.args.card }, `${stepTitle(step)} is left out: ${against}`);
      end('skipped', against);
      return;
    }
    if (against !== undefined) {
      throw new RevivedError('refused', `${stepTitle(step)} is not done: ${against}.`);
    }
    const undo = await surveyOf(step, hostFor(step, host));
    const context = { ...contextOf(step, options, options.signal), onHealth };
    const entry = { job: job.id, index, step, undo };
    await journal.append({ event: 'intent', ...entry, detail: '' });
    done.push({ index, step, undo });
    try {
      const detail = await perform(step, context, undo);
      await journal.append({ event: 'done', ...entry, detail });
      end('done', detail);
    } catch (thrown) {
      const { code, message } = asRevivedError(thrown);
      // One that hangs stays open: when only the power switch ends it, it is found at the next boot. Not what was never tried.
      if (code !== 'stuck' || !context.hangs()) {
        await journal.append({ event: 'failed', ...entry, detail: message });
      }
      throw thrown;
    }
  } catch (thrown) {
    end('failed', asRevivedError(thrown).message);
    throw thrown;
  }
}

async function undoAll(done: readonly Done[], options: RunOptions): Promise<readonly string[]> {
  const { job, journal } = options;
  const failed: string[] = [];
  for (const { index, step, undo } of done.toReversed()) {
    const text = describe(step).undo;
    if (text === '') continue;
    const end = job.begin(`undo ${stepTitle(step)}`);
    const entry = { job: job.id, index, step, undo };
    const context = contextOf(step, options, never);
    await journal.append({ event: 'undo', ...entry, detail: '' });
    try {
      await takeBack(step, undo, context);
      await journal.append({ event: 'undone', ...entry, detail: '' });
      end('undone', text);
    } catch (thrown) {
      const why = asRevivedError(thrown).message;
      failed.push(`${stepTitle(step)} (${why})`);
      // As a step that hangs, it stays open.
      if (asRevivedError(thrown).code !== 'stuck' || !context.hangs()) {
        await journal.append({ event: 'undo-failed', ...entry, detail: why });
      }
      end('undo-failed', why);
    }
  }
  return failed;
}

/**
 * The card is dead and could not be revived. Nothing is undone: binding a host driver to a dead card can hang or crash the
 * host (facts/kernel.md 1, "block forever"); it stays where it is until somebody revives it.
 */
export class LeftAsIsError extends RevivedError {}

/** An error of a rollback that left something behind. */
export class UndoFailedError extends RevivedError {}

/** True when something of the plan is still to be put right. */
export function isLeftBehind(error: RevivedError): boolean {
  return (
    error instanceof UndoFailedError || error instanceof LeftAsIsError || error.code === 'stuck'
  );
}

function withUndoFailures(error: RevivedError, failed: readonly string[]): RevivedError {
  const message = `${error.message} Could not be undone: ${failed.join('; ')}.`;
  return new UndoFailedError(error.code, message, error.advice, { cause: error });
}

/** A signal for what cannot be cancelled: undoing and giving back. */
export const never = new AbortController().signal;

/** The host as the step sees it: whatever hangs in it, its card is left alone from then on. */
function hostFor(step: Step, host: Host, onHang?: () => void): Host {
  return { ...host, io: ioFor(step.args.card, host.io, host.stuck, onHang) };
}

function contextOf(step: Step, options: RunOptions, signal: AbortSignal): StepContext {
  const { host, job, journal } = options;
  let hangs = false;
  return {
    host: hostFor(step, host, () => {
      hangs = true;
    }),
    hangs: () => hangs,
    signal,
    onHealth: () => {},
    onDetail: (name, state, ms, detail) => {
      if (state !== 'running') job.note(name, state, ms, detail);
    },
    journalRung: (rung, detail, before) =>
      journal.append({
        event: detail === undefined ? 'rung' : 'rung-done',
        job: job.id,
        card: step.args.card,
        rung,
        detail: detail ?? '',
        ...(before === undefined ? {} : { before }),
      }),
  };
}

/** Detail, undo text and expected time of a step. */
export function describe(step: Step) {
  return withExecutor(step, (executor, args) => executor.describe(args));
}

function surveyOf(step: Step, host: Host): UndoData | Promise<UndoData> {
  return withExecutor(step, (executor, args) => executor.survey(args, host));
}

function perform(step: Step, context: StepContext, found: UndoData): Promise<string> {
  return withExecutor(step, (executor, args) => executor.run(args, context, found));
}

function takeBack(step: Step, undo: UndoData, context: StepContext): Promise<void> {
  return withExecutor(step, (executor, args) => executor.undo(args, undo, context));
}

// The one place where a step meets its executor.
function withExecutor<K extends StepName, R>(
  step: Step<K>,
  use: (executor: StepExecutor<K>, args: StepArgs[K]) => R,
): R {
  return use(executors[step.step], step.args);
}
