/** One at a time, in order of arrival, with a bounded queue. */
import { RevivedError } from '../errors.ts';

export interface Lock {
  /** Runs `work` when everything before it has ended. Rejects with `limit-exceeded` when the queue is full. */
  run<T>(work: () => Promise<T>): Promise<T>;
  /** True when nothing runs or waits. */
  readonly free: boolean;
}

const maxWaiting = 64;

/** A lock; `what` names it in the error of a full queue. */
export function createLock(what: string): Lock {
  let tail: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  return {
    get free() {
      return waiting === 0;
    },
    async run(work) {
      if (waiting >= maxWaiting) {
        throw new RevivedError('limit-exceeded', `Too many requests wait for ${what}.`);
      }
      waiting++;
      const mine = tail.then(work);
      tail = mine.catch(() => undefined); // the next one starts whatever became of this one
      try {
        return await mine;
      } finally {
        waiting--;
      }
    },
  };
}
