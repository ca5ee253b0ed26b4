/**
 * Hazardous sysfs access in a child process with a deadline (invariant 3). The child is `dd`: it starts in
 * about a millisecond, writes once, never creates a file (conv=nocreat) and names the errno in its message.
 * A child that is still in the kernel at the deadline (D state: SIGKILL does nothing, facts/kernel.md 0.3)
 * is abandoned: nobody waits for it, and whoever asked is told `stuck` with its pid.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { atDeadline } from '../deadline.ts';
import type { IoResult, SysfsIo } from './io.ts';
import { childMarks } from './left-over.ts';
import { openScratch, type Scratch } from './scratch.ts';

/** Most bytes that one read may return: PCIe configuration space is 4 KiB. */
const maxRead = 4096;
/** After the deadline SIGKILL gets this long to work; what survives it is in D state. */
const killGraceMs = 300;

/** strerror(3) texts of the errors that sysfs gives, LC_ALL=C. */
const errnoTexts: ReadonlyMap<string, string> = new Map([
  ['Inappropriate ioctl for device', 'ENOTTY'],
  ['Device or resource busy', 'EBUSY'],
  ['No such device', 'ENODEV'],
  ['No such device or address', 'ENXIO'],
  ['No such file or directory', 'ENOENT'],
  ['Invalid argument', 'EINVAL'],
  ['Input/output error', 'EIO'],
  ['Permission denied', 'EACCES'],
  ['Operation not permitted', 'EPERM'],
  ['File exists', 'EEXIST'],
  ['Resource temporarily unavailable', 'EAGAIN'],
  ['Connection timed out', 'ETIMEDOUT'],
  ['Cannot allocate memory', 'ENOMEM'],
  ['No space left on device', 'ENOSPC'],
  ['Operation not supported', 'EOPNOTSUPP'],
  ['Read-only file system', 'EROFS'],
  ['Is a directory', 'EISDIR'],
  ['Interrupted system call', 'EINTR'],
  ['Cannot send after transport endpoint shutdown', 'ESHUTDOWN'],
]);

/** The errno name at the end of an error line of dd: `dd: error writing '/x': No such device`. */
export function errnoOf(text: string): string {
  const line = text.trimEnd().split('\n').at(-1) ?? '';
  return errnoTexts.get(line.slice(line.lastIndexOf(': ') + 2)) ?? 'EUNKNOWN';
}

/**
 * The real door: one `dd` per access. `onFreed` hears when an abandoned child came back after all. `scratch` is a directory that
 * only we may write to.
 */
export function createChildIo(options: {
  readonly dd: string;
  readonly scratch: string;
  readonly onFreed?: (path: string, pid: number, ms: number) => void;
}): SysfsIo {
  // `input` undefined: a read.
  const run = (
    path: string,
    args: readonly string[],
    input: string | undefined,
    deadlineMs: number,
  ) =>
    new Promise<IoResult>((resolve) => {
      const start = performance.now();
      const ms = () => Math.round(performance.now() - start);
      const files = filesFor(options.scratch, input);
      if (files instanceof Error) {
        // Without room in /run no lease is written either: nothing is begun (pipeline/handover.ts).
        resolve({ state: 'error', ms: 0, errno: errnoIn(files), message: files.message });
        return;
      }
      const { stdin, said } = files;
      const child = startChild(options.dd, args, files, input);
      stdin?.close(); // the child has its own by now
      if (child instanceof Error) {
        said.close();
        resolve({ state: 'error', ms: 0, errno: errnoIn(child), message: child.message });
        return;
      }
      let abandoned = false;
      let settled = false;
      const settle = (result: IoResult): void => {
        if (settled) return;
        settled = true;
        cancelDeadline();
        said.close();
        resolve(result);
      };
      const abandon = (): void => {
        abandoned = true;
        child.unref(); // it may not hold our exit
        settle({ state: 'stuck', ms: ms(), pid: child.pid ?? 0 });
      };
      let cancelDeadline = atDeadline(deadlineMs, () => {
        child.kill('SIGKILL');
        cancelDeadline = atDeadline(killGraceMs, abandon);
      });
      child.on('error', (error) => {
        // One that was begun says its end: what cannot be sent to it is no end.
        if (child.pid !== undefined) return;
        settle({ state: 'error', ms: ms(), errno: 'ENOEXEC', message: error.message });
      });
      child.on('exit', (code, signal) => {
        if (abandoned) {
          options.onFreed?.(path, child.pid ?? 0, ms());
          return;
        }
        // Killed at the deadline before the kernel held it: nothing is left behind, but it did not end in time.
        if (signal !== null) {
          const message = `ended by ${signal} at its deadline`;
          settle({ state: 'error', ms: ms(), errno: 'ETIMEDOUT', message });
          return;
        }
        const data = said.content(maxRead);
        if (code === 0) {
          settle({ state: 'ok', ms: ms(), data });
          return;
        }
        const message = data.toString('latin1').trim();
        settle({ state: 'error', ms: ms(), errno: errnoOf(message), message });
      });
    });
  return {
    write: (path, value, deadlineMs) =>
      run(path, [`of=${path}`, 'conv=nocreat,notrunc', 'status=none'], value, deadlineMs),
    read: (path, length, deadlineMs) => {
      const bytes = Math.min(length, maxRead);
      return run(
        path,
        [`if=${path}`, `bs=${bytes}`, 'count=1', 'status=none'],
        undefined,
        deadlineMs,
      );
    },
  };
}

/** Most of what can be wrong is told by its event `error`; what node refuses at once (no memory) is the answer here. */
function startChild(
  dd: string,
  args: readonly string[],
  { stdin, said }: ChildFiles,
  input: string | undefined,
): ChildProcess | Error {
  try {
    return spawn(dd, args, {
      stdio: [stdin?.fd ?? 'ignore', stdin === undefined ? said.fd : 'ignore', said.fd],
      env: {
        LC_ALL: 'C',
        PATH: process.env['PATH'] ?? '/usr/bin:/bin',
        [childMarks.by]: String(process.pid),
        [childMarks.value]: (input ?? '').trim(),
      },
      cwd: '/',
    });
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

interface ChildFiles {
  /** What is to be written; undefined for a read. */
  readonly stdin: Scratch | undefined;
  /** What is read, and what dd says: it says nothing where it ends well. */
  readonly said: Scratch;
}

function filesFor(directory: string, input: string | undefined): ChildFiles | Error {
  let stdin: Scratch | undefined;
  try {
    stdin = input === undefined ? undefined : openScratch(directory, input);
    return { stdin, said: openScratch(directory) };
  } catch (error) {
    stdin?.close();
    return error instanceof Error ? error : new Error(String(error));
  }
}

function errnoIn(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : 'EUNKNOWN';
}
