/** What is mounted where, and which paths can be asked about without waiting for a server that may be gone. */
import { posix } from 'node:path';
import { readLink } from '../sysfs/read.ts';
import type { HostFiles } from './captured.ts';

export interface Mount {
  readonly place: string;
  /** `8:1`; 0 and something where the file system is not on one block device. */
  readonly number: string;
  readonly type: string;
  readonly source: string;
}

const maxBytes = 4 * 1024 * 1024;
// PATH_MAX and MAXSYMLINKS (include/uapi/linux/limits.h, include/linux/namei.h).
const maxPath = 4096;
const maxLinks = 40;
// Named are those that answer by themselves: behind NFS, CIFS, FUSE, 9p, Ceph, AFS or autofs a stat can wait for ever,
// unkillable (state D), and so it may behind one that we do not know.
const local = new Set(
  'rootfs ext2 ext3 ext4 xfs btrfs zfs f2fs bcachefs jfs reiserfs nilfs2 udf vfat exfat ntfs3 iso9660 squashfs erofs overlay tmpfs ramfs'.split(
    ' ',
  ),
);
// The daemon's unit hides these (ProtectHome=, PrivateTmp=): of files there it knows nothing.
const hidden = /^\/(?:home|root|run\/user|tmp|var\/tmp)$/;

/** The mounts of the host: ProtectHome= takes /home and all that is mounted below it out of the daemon's own namespace. */
export function readMounts(files: HostFiles): readonly Mount[] {
  const host =
    files.stat('/proc/1/ns/mnt') === undefined
      ? undefined
      : files.text('/proc/1/mountinfo', maxBytes);
  return host === undefined ? ownMounts(files) : mountsIn(host);
}

/**
 * Tells of a path of the host whether the daemon sees it and can stat it at once. False: not, or that cannot be told. Every
 * part of the path is judged before it is looked at, links by where they lead.
 */
export function answeringPaths(files: HostFiles): (path: string) => boolean {
  // What waits below another mount on the same place still counts: an autofs lies below what it mounts.
  const answers = new Map<string, boolean>();
  for (const { place, type } of ownMounts(files)) {
    answers.set(place, answers.get(place) !== false && local.has(type));
  }
  const isSafe = (place: string) => !hidden.test(place) && answers.get(place) !== false;
  return (path) => {
    if (answers.get('/') !== true || !path.startsWith('/') || path.length > maxPath) return false;
    const todo = partsOf(path);
    let at = '/';
    let links = 0;
    for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
      const next = posix.join(at, part);
      if (!isSafe(next)) return false;
      const target = readLink(files.path(next));
      if (target === undefined) at = next;
      else if (++links > maxLinks) return false;
      else {
        todo.push(...partsOf(target));
        if (target.startsWith('/')) at = '/';
      }
    }
    return true;
  };
}

// Last first.
function partsOf(path: string): string[] {
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .reverse();
}

function ownMounts(files: HostFiles): readonly Mount[] {
  return mountsIn(files.text('/proc/self/mountinfo', maxBytes) ?? '');
}

// proc(5), mountinfo: field 3 is the device's number, field 5 the place (blanks as \040); behind " - " come type and source.
function mountsIn(mountinfo: string): readonly Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , number = '', , raw = ''] = left.split(' ');
    const [type = '', source = ''] = right.split(' ');
    const place = raw.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    return place === '' ? [] : [{ place, number, type, source }];
  });
}
