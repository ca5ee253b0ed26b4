/** One write to sysfs as a step needs it: done, or an error that says what was written where and what came back. */
import { RevivedError } from '../errors.ts';
import type { IoResult, SysfsIo } from './io.ts';

/** Writes; rejects with `stuck` or `failed`. Errno names in `tolerate` count as done (returned). */
export async function writeAttribute(
  io: SysfsIo,
  path: string,
  value: string,
  deadlineMs: number,
  tolerate: readonly string[] = [],
): Promise<string | undefined> {
  const result = await io.write(path, value, deadlineMs);
  if (result.state === 'ok') return undefined;
  if (result.state === 'error' && tolerate.includes(result.errno)) return result.errno;
  throw writeError(path, value, result);
}

function writeError(
  path: string,
  value: string,
  result: Exclude<IoResult, { state: 'ok' }>,
): RevivedError {
  const what = `Writing "${value.trim()}" to ${path}`;
  if (result.state === 'stuck' && result.ms === 0) {
    // host/stuck.ts: behind a child that hangs, nothing more is tried.
    return new RevivedError(
      'stuck',
      `${what} was not tried: child ${result.pid} still hangs in the kernel with this card.`,
      'Nothing more is done to this card until it returns; if it never does, only a host reboot helps.',
    );
  }
  if (result.state === 'stuck') {
    return new RevivedError(
      'stuck',
      `${what} did not return within ${Math.round(result.ms / 1000)} s: child ${result.pid} is in D state and cannot be ended.`,
      'Nothing more is done to this card until it returns; if it never does, only a host reboot helps.',
    );
  }
  return new RevivedError('failed', `${what} failed: ${result.errno}.`);
}
