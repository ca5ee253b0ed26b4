/**
 * Files of a host, live or captured. A captured tree is hostile: every read is bounded, takes regular files only (a pipe
 * would block, a device would act) and never leaves the tree through a link. What could not be read is kept, to be said.
 */
import {
  closeSync,
  constants,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Paths } from '../paths.ts';

export interface Unread {
  /** Below the root, as on the host: `/etc/libvirt/qemu.conf`. */
  readonly path: string;
  /** `permission denied`, `larger than 8 MiB`, ... */
  readonly why: UnreadReason;
}

export type UnreadReason = 'refused' | 'too-large' | 'not-a-file' | 'binary' | 'loop' | 'outside';

/** `start` and `end`: what is more is left out; `whole`: it is refused. */
type Part = 'whole' | 'start' | 'end';

const maxLogBytes = 4 * 1024 * 1024;
/** Most complaints that are kept: a broken tree says the same thing over and over. */
const maxUnread = 32;

/** What the host that we run on has beside the files below its root. */
export interface LiveHost {
  /** The kernel log of this boot, as text; undefined where nobody may read it. */
  readonly kernelLog: () => string | undefined;
  /** When a unit of systemd last started or was reloaded, in milliseconds since the epoch; undefined: unknown. */
  readonly unitChanged?: (unit: string) => number | undefined;
  /** Where /sys, /proc and /dev are. */
  readonly paths: Pick<Paths, 'sys' | 'proc' | 'dev'>;
}

export interface HostFiles {
  /** True for the host that we run on. */
  readonly live: boolean;
  /** The last 4 MiB at most; of a captured host those of its var/log/kernel.log. */
  kernelLog(): string | undefined;
  /** As in LiveHost; of a captured host always unknown. */
  unitChanged(unit: string): number | undefined;
  /** The root with the path behind it. */
  path(path: string): string;
  /** A text of at most `limit` bytes; undefined when missing, or unreadable (kept in `unread`). */
  text(path: string, limit: number): string | undefined;
  /** The first `limit` bytes of a text. */
  head(path: string, limit: number): string | undefined;
  bytes(path: string, limit: number): Buffer | undefined;
  /** Names in a folder, sorted; undefined when it is missing, or unreadable (kept in `unread`). */
  names(path: string): readonly string[] | undefined;
  stat(path: string): Stats | undefined;
  /** Where a link leads to, with the root before it. */
  realPath(path: string): string | undefined;
  readonly unread: readonly Unread[];
}

/** The files of a captured host below `root`; with `live`, those of the host that we run on. */
export function createHostFiles(root: string, live?: LiveHost): HostFiles {
  const unread: Unread[] = [];
  const real = realOf(root) ?? root;
  const at = (path: string) => {
    const [, top, rest = ''] = /^\/(sys|proc|dev)((?:\/.*)?)$/.exec(path) ?? [];
    return live !== undefined && isMoved(top) ? `${live.paths[top]}${rest}` : join(real, path);
  };

  const isInside = (target: string) => live !== undefined || target.startsWith(`${real}/`);

  function open(path: string, limit: number, from: Part): Buffer | undefined {
    const target = realOf(at(path), (errno) => complain(path, errno));
    if (target === undefined) return undefined;
    if (!isInside(target)) return complain(path, 'outside');
    const stats = statOf(target);
    if (stats?.isFile() !== true) return complain(path, 'not-a-file');
    if (from === 'whole' && stats.size > limit) return complain(path, 'too-large');
    try {
      return readUpTo(target, limit, from === 'end' ? Math.max(stats.size - limit, 0) : 0);
    } catch (error) {
      return complain(path, errnoOf(error));
    }
  }

  function complain(path: string, why: string): undefined {
    if (why === 'ENOENT' || why === 'ENOTDIR') return undefined; // missing is unknown, not broken
    const reason = reasons.find((one) => one === why) ?? (why === 'ELOOP' ? 'loop' : 'refused');
    if (unread.length < maxUnread && !unread.some((one) => one.path === path)) {
      unread.push({ path, why: reason });
    }
    return undefined;
  }

  function text(path: string, limit: number, from: Part): string | undefined {
    const bytes = open(path, limit, from);
    if (bytes === undefined) return undefined;
    return bytes.includes(0) ? complain(path, 'binary') : bytes.toString('utf8');
  }

  function names(path: string): readonly string[] | undefined {
    try {
      const target = realpathSync.native(at(path));
      return isInside(target) ? readdirSync(target).sort() : complain(path, 'outside');
    } catch (error) {
      return complain(path, errnoOf(error));
    }
  }

  const tail = (path: string) => text(path, maxLogBytes, 'end');
  let log: string | undefined;
  return {
    live: live !== undefined,
    path: at,
    kernelLog() {
      log ??= live?.kernelLog() ?? tail('/var/log/kernel.log') ?? tail('/var/log/kern.log');
      return log?.slice(-maxLogBytes);
    },
    unitChanged: (unit) => live?.unitChanged?.(unit),
    text: (path, limit) => text(path, limit, 'whole'),
    head: (path, limit) => text(path, limit, 'start'),
    bytes: (path, limit) => open(path, limit, 'whole'),
    names,
    stat: (path) => statOf(at(path)),
    realPath: (path) => realOf(at(path)),
    unread,
  };
}

function isMoved(top: string | undefined): top is 'sys' | 'proc' | 'dev' {
  return top === 'sys' || top === 'proc' || top === 'dev';
}

const reasons: readonly UnreadReason[] = [
  'refused',
  'too-large',
  'not-a-file',
  'binary',
  'loop',
  'outside',
];

// proc and sysfs files have size 0 or 4096: what counts is what comes. O_NONBLOCK: the tree may change under us.
function readUpTo(path: string, limit: number, from: number): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const chunks: Buffer[] = [];
    let length = 0;
    while (length < limit) {
      const chunk = Buffer.allocUnsafe(Math.min(65536, limit - length));
      const count = readSync(fd, chunk, 0, chunk.length, from === 0 ? null : from + length);
      if (count === 0) break;
      chunks.push(chunk.subarray(0, count));
      length += count;
    }
    return Buffer.concat(chunks);
  } finally {
    closeSync(fd);
  }
}

function realOf(path: string, onError?: (errno: string) => void): string | undefined {
  try {
    return realpathSync.native(path);
  } catch (error) {
    onError?.(errnoOf(error));
    return undefined;
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined; // ELOOP, EACCES: nothing that can be known
  }
}

function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'EIO';
}
