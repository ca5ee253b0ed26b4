/**
 * Bounded waiting, in one place. Nothing else in the daemon may use a timer (a static check holds this):
 * a wait is for a condition or an event, with a limit, never for time to pass.
 */
import { RevivedError } from './errors.ts';

/** Settles as `work` does, or with a `timed-out` error naming `what` after `ms` milliseconds. */
export function withDeadline<T>(work: Promise<T>, ms: number, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new RevivedError('timed-out', `${what} did not end within ${ms} ms.`));
    }, ms);
    work.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/** Calls `act` after `ms` unless cancelled first; returns the cancel. For limits, never for pacing. */
export function atDeadline(ms: number, act: () => void): () => void {
  const timer = setTimeout(act, ms);
  return () => clearTimeout(timer);
}

/** Calls `act` once after `ms`, to look again at what nobody may tell of; does not hold the process. */
export function later(ms: number, act: () => void): void {
  setTimeout(act, ms).unref();
}

/** Calls `act` every `ms` until the returned end is called (watchdog, keep-alive); does not hold the process. */
export function every(ms: number, act: () => void): () => void {
  const timer = setInterval(act, ms);
  timer.unref();
  return () => clearInterval(timer);
}

/**
 * Waits until `check` gives something else than undefined; looks again every `intervalMs`.
 * For conditions of the kernel that announce no event (who has a device node open, sysfs attributes).
 * Gives undefined when `ms` are over or the signal aborts.
 */
export async function waitFor<T>(
  check: () => T | undefined | Promise<T | undefined>,
  ms: number,
  intervalMs: number,
  signal?: AbortSignal,
): Promise<T | undefined> {
  const end = performance.now() + ms;
  for (;;) {
    const found = await check();
    if (found !== undefined) return found;
    const left = end - performance.now();
    if (left <= 0 || signal?.aborted === true) return undefined;
    await pause(Math.min(intervalMs, left), signal);
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
  });
}
