/**
 * Writes to a disk that may never answer (a dead controller, a network file system): each is waited for so long and no
 * longer, and while one has not come back nothing more is asked, or each would hold one of Node's few threads for files.
 */
import { withDeadline } from '../deadline.ts';
import { RevivedError } from '../errors.ts';

export interface Disk {
  /** Rejects as `work` does; with `timed-out` when it takes too long, or an earlier one has not come back yet. */
  ask(work: () => Promise<void>): Promise<void>;
}

/** Steps wait for what is written before them: longer than a disk that spins up needs, shorter than a person waits. */
const answerMs = 5_000;

/** A disk that has nothing to do. */
export function createDisk(): Disk {
  let isHanging = false;
  return {
    async ask(work) {
      if (isHanging) {
        throw new RevivedError('timed-out', 'An earlier write has not come back yet.');
      }
      const answer = work();
      const back = (): void => {
        isHanging = false;
      };
      isHanging = true;
      answer.then(back, back);
      await withDeadline(answer, answerMs, 'A write to the disk');
    },
  };
}
