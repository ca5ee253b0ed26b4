/** A bell that one waits for and many ring: rings while nobody waits are kept as one. */
import { atDeadline } from '../deadline.ts';

export interface Wakeup {
  ring(): void;
  /** Resolves at the next ring, at once if it rang since the last wait, and after `ms` at the latest. */
  wait(ms: number): Promise<void>;
}

/** A new bell that has not rung. */
export function createWakeup(): Wakeup {
  let rung = false;
  let wake: () => void = () => undefined;
  return {
    ring() {
      rung = true;
      wake();
    },
    async wait(ms) {
      if (!rung) {
        let cancel: () => void = () => undefined;
        await new Promise<void>((resolve) => {
          wake = resolve;
          cancel = atDeadline(ms, resolve);
        });
        cancel();
      }
      rung = false;
    },
  };
}
