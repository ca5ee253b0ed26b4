/** A job as people read it. Pure; views come in with their text made printable. */
import type { Brush, Paint } from './paint.ts';
import type { Job, Step } from './shapes.ts';
import { durationText } from './time.ts';

/** True while the job may still change. */
export function isRunning(job: Job): boolean {
  return job.state === 'running';
}

/** `job 7, reset of 0000:0b:00`. */
export function jobTitle(job: Job): string {
  return `job ${job.id}, ${job.operation} of ${job.subject}`;
}

/** The steps that ended since `before` (null: from the beginning of the job), each once; undone ones again. */
export function newSteps(before: Job | null, job: Job): Step[] {
  return job.steps.filter(
    ({ state }, index) => state !== 'running' && state !== before?.steps[index]?.state,
  );
}

/** One step: its verdict, its time, its name, what was seen. */
export function stepLine(step: Step, paint: Paint): string {
  const word = step.state === 'done' ? 'ok' : step.state;
  const verdict = stepBrush(step.state, paint)(word.padEnd(11));
  const time = durationText(step.ms).padStart(10);
  return `  ${verdict}${time}  ${step.name}${step.detail === '' ? '' : `: ${step.detail}`}`;
}

/** What a job is at: `[ 40 %] rung subordinate`. */
export function progressText(job: Job): string {
  const percent = Math.round(Math.min(Math.max(job.progress, 0), 1) * 100);
  const step = job.steps.find(({ state }) => state === 'running')?.name;
  return `[${String(percent).padStart(3)} %] ${step ?? job.operation}`;
}

/** How a job ended, in one line: `job 7, reset of 0000:0b:00: done in 3.2 s`. */
export function outcomeText(job: Job): string {
  const ms = Math.max(job.finishedUsec - job.startedUsec, 0) / 1000;
  const time =
    job.finishedUsec === 0 ? '' : ` ${job.state === 'done' ? 'in' : 'after'} ${durationText(ms)}`;
  const why = job.error === '' ? '' : `: ${job.error}`;
  return `${jobTitle(job)}: ${job.state}${time}${why}`;
}

/** The brush of a job's state. */
export function jobBrush(state: string, paint: Paint): Brush {
  if (state === 'done') return paint.green;
  return state === 'failed' || state === 'stuck' ? paint.red : paint.yellow;
}

function stepBrush(state: string, paint: Paint): Brush {
  if (state === 'done') return paint.green;
  return state === 'failed' || state === 'undo-failed' ? paint.red : paint.yellow;
}
