/** The end of a daemon of the crash matrix: at which point it comes. */
import { gate } from '../unit/sim-host.ts';

/** Ends the daemon at its `at`th point: nothing of it goes on from there, as after SIGKILL. */
export class Killer {
  readonly at: number;
  points = 0;
  /** The points around the rungs. */
  readonly rungs: { first?: number; last?: number } = {};
  readonly #grave = gate();
  constructor(at: number) {
    this.at = at;
  }
  get isDead(): boolean {
    return this.points >= this.at;
  }
  /** Resolves when it is dead. */
  get death(): Promise<void> {
    return this.#grave.opened;
  }
  /** Goes on at once, or never. */
  point(): Promise<void> {
    if (!this.isDead) this.points++;
    if (!this.isDead) return Promise.resolve();
    this.#grave.open();
    return new Promise(() => {});
  }
  /** Two points around each call of a function. */
  around<A extends readonly unknown[], R>(work: (...args: A) => Promise<R>) {
    return async (...args: A): Promise<R> => {
      await this.point();
      const result = await work(...args);
      await this.point();
      return result;
    };
  }
}
