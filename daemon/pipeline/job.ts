/** Jobs: what runs, what ran, step by step. The last finished ones are kept, a bounded number of them. */
import { RevivedError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { CardAddress } from '../pci/address.ts';
import type { JobState, JobView, StepRecord } from './service.ts';

export interface Job {
  readonly id: number;
  readonly signal: AbortSignal;
  readonly view: JobView;
  /** Tells how many steps there will be, for the progress. */
  expect(steps: number): void;
  /** Adds a record; returns how to end it. */
  begin(name: string): (state: StepRecord['state'], detail: string) => void;
  /** Adds a finished record. */
  note(name: string, state: StepRecord['state'], ms: number, detail: string): void;
  finish(state: Exclude<JobState, 'running'>, error: string): void;
}

export interface JobBook {
  start(
    operation: JobView['operation'],
    subject: string,
    cards: readonly CardAddress[],
    requestedBy: string,
  ): Job;
  all(): readonly JobView[];
  running(): readonly JobView[];
  cancel(id: number): void;
}

const maxFinished = 32;
const maxRunning = 256;
const maxRecords = 256;

/** An empty book. `onChange` hears of each change of a job after the view shows it. */
export function createJobBook(
  firstId: number,
  onChange: (id: number, cards: readonly CardAddress[]) => void,
): JobBook {
  const jobs = new Map<number, { view: JobView; readonly abort: AbortController }>();
  let nextId = firstId;
  const forget = (): void => {
    const finished = [...jobs.values()].filter(({ view }) => view.state !== 'running');
    for (const { view } of finished.slice(0, Math.max(0, finished.length - maxFinished))) {
      jobs.delete(view.id);
      onChange(view.id, []);
    }
  };
  const running = () =>
    [...jobs.values()].map(({ view }) => view).filter((view) => view.state === 'running');
  return {
    start(operation, subject, cards, requestedBy) {
      if (running().length >= maxRunning)
        throw new RevivedError('limit-exceeded', 'Too many jobs are running.');
      const id = nextId++;
      const startedUsec = Date.now() * 1000;
      const entry: { view: JobView; readonly abort: AbortController } = {
        abort: new AbortController(),
        view: {
          id,
          operation,
          subject,
          cards,
          state: 'running',
          progress: 0,
          startedUsec,
          finishedUsec: 0,
          requestedBy,
          steps: [],
          error: '',
        },
      };
      jobs.set(id, entry);
      let expected = 1;
      let ended = 0;
      const change = (part: Partial<JobView>): void => {
        entry.view = { ...entry.view, ...part };
        onChange(id, cards);
      };
      const replace = (index: number, record: StepRecord): void => {
        change({
          steps: entry.view.steps.with(index, record),
          progress: Math.min(1, ended / expected),
        });
      };
      onChange(id, cards);
      return {
        id,
        signal: entry.abort.signal,
        get view() {
          return entry.view;
        },
        expect(steps) {
          expected = Math.max(1, steps);
        },
        begin(name) {
          const start = performance.now();
          if (entry.view.steps.length >= maxRecords) return () => {};
          const index = entry.view.steps.length;
          change({ steps: [...entry.view.steps, { name, state: 'running', ms: 0, detail: '' }] });
          return (state, detail) => {
            ended++;
            replace(index, { name, state, ms: Math.round(performance.now() - start), detail });
          };
        },
        note(name, state, ms, detail) {
          if (entry.view.steps.length >= maxRecords) return;
          change({ steps: [...entry.view.steps, { name, state, ms, detail }] });
        },
        finish(state, error) {
          change({ state, error, progress: 1, finishedUsec: Date.now() * 1000 });
          forget();
        },
      };
    },
    all: () => [...jobs.values()].map(({ view }) => view),
    running,
    cancel(id) {
      const entry = jobs.get(id);
      if (entry === undefined) throw new RevivedError('not-found', `There is no job ${id}.`);
      if (entry.view.state !== 'running')
        throw new RevivedError('refused', `Job ${id} has ended already.`);
      entry.abort.abort();
    },
  };
}

/** Tells the daemon's log how a job ended. */
export function logEnd(log: Log, job: Job): void {
  const { id, operation, subject, state, error, startedUsec, finishedUsec } = job.view;
  const fields = { job: id, ms: Math.round((finishedUsec - startedUsec) / 1000) };
  if (state === 'done') log.info(fields, `${operation} of ${subject}: done`);
  else log.warn(fields, `${operation} of ${subject}: ${state}: ${error}`);
}
