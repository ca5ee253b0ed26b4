/**
 * Hazardous sysfs access in a child process with a deadline (invariant 3). The child is `dd`: it starts in
 * about a millisecond, writes once, never creates a file (conv=nocreat) and names the errno in its message.
 * A child that is still in the kernel at the deadline (D state: SIGKILL does nothing, facts/kernel.md 0.3)
 * is abandoned: its pipes are closed, nobody waits for it, and whoever asked is told `stuck` with its pid.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { atDeadline } from '../deadline.ts';
import type { IoResult, SysfsIo } from './io.ts';
import { childMarks } from './left-over.ts';

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

/** The real door: one `dd` per access. `onFreed` hears when an abandoned child came back after all. */
export function createChildIo(options: {
  readonly dd: string;
  readonly onFreed?: (path: string, pid: number, ms: number) => void;
}): SysfsIo {
  const run = (path: string, args: readonly string[], input: string, deadlineMs: number) =>
    new Promise<IoResult>((resolve) => {
      const start = performance.now();
      const ms = () => Math.round(performance.now() - start);
      const child = spawn(options.dd, args, {
        stdio: ['pipe', 'pipe', 'pipe'],
        env: {
          LC_ALL: 'C',
          PATH: process.env['PATH'] ?? '/usr/bin:/bin',
          [childMarks.by]: String(process.pid),
          [childMarks.value]: input.trim(),
        },
        cwd: '/',
      });
      const out: Buffer[] = [];
      const err: Buffer[] = [];
      let abandoned = false;
      let settled = false;
      const settle = (result: IoResult): void => {
        if (settled) return;
        settled = true;
        cancelDeadline();
        resolve(result);
      };
      const abandon = (): void => {
        abandoned = true;
        release(child);
        settle({ state: 'stuck', ms: ms(), pid: child.pid ?? 0 });
      };
      let cancelDeadline = atDeadline(deadlineMs, () => {
        child.kill('SIGKILL');
        cancelDeadline = atDeadline(killGraceMs, abandon);
      });
      collect(child.stdout, out, maxRead);
      collect(child.stderr, err, maxRead);
      child.stdin.on('error', () => {}); // EPIPE when dd fails at open: its exit code tells
      child.stdin.end(input);
      child.on('error', (error) => {
        settle({ state: 'error', ms: ms(), errno: 'ENOEXEC', message: error.message });
      });
      child.on('exit', (_code, signal) => {
        if (abandoned) options.onFreed?.(path, child.pid ?? 0, ms());
        // Killed at the deadline before the kernel held it: nothing is left behind, but it did not end in time.
        else if (signal !== null)
          settle({
            state: 'error',
            ms: ms(),
            errno: 'ETIMEDOUT',
            message: `ended by ${signal} at its deadline`,
          });
      });
      child.on('close', (code) => {
        if (code === 0) settle({ state: 'ok', ms: ms(), data: Buffer.concat(out) });
        else {
          const message = Buffer.concat(err).toString('latin1').trim();
          settle({ state: 'error', ms: ms(), errno: errnoOf(message), message });
        }
      });
    });
  return {
    write: (path, value, deadlineMs) =>
      run(path, [`of=${path}`, 'conv=nocreat,notrunc', 'status=none'], value, deadlineMs),
    read: (path, length, deadlineMs) => {
      const bytes = Math.min(length, maxRead);
      return run(path, [`if=${path}`, `bs=${bytes}`, 'count=1', 'status=none'], '', deadlineMs);
    },
  };
}

function collect(stream: NodeJS.ReadableStream, into: Buffer[], limit: number): void {
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    if (size < limit) into.push(chunk.subarray(0, limit - size));
    size += chunk.length;
  });
}

// Lets go of a child in D state: nothing of it may hold our event loop or our exit.
function release(child: ChildProcess): void {
  child.stdin?.destroy();
  child.stdout?.destroy();
  child.stderr?.destroy();
  child.unref();
}
