/** Who QEMU runs as (qemu.conf), and whether that user can read a file: firmware and ROMs that it cannot see do not exist for it. */
import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import type { HostFiles } from './captured.ts';

export interface QemuUser {
  /** As qemu.conf names them; null when it does not. */
  readonly user: string | null;
  readonly group: string | null;
  /** Names that the host does not know; such a libvirtd does not start its QEMU driver. */
  readonly unknownNames: readonly string[];
  /** Ids of the process; null when they cannot be told. */
  readonly ids: { readonly uid: number; readonly gids: ReadonlySet<number> } | null;
}

/** What the files that domains name are to QEMU. `readable` undefined: cannot be told. */
export interface FileFacts {
  readonly exists: boolean | undefined;
  readonly readable: boolean | undefined;
}

const maxBytes = 1024 * 1024;
const lsMs = 2000;
// What distributions build in: Debian, Ubuntu, Arch; Fedora, openSUSE, Gentoo.
const usualUsers = ['libvirt-qemu', 'qemu'];

/** Reads qemu.conf, passwd and group. Undefined without a qemu.conf. */
export function readQemuUser(files: HostFiles): QemuUser | undefined {
  const conf = files.text('/etc/libvirt/qemu.conf', maxBytes);
  if (conf === undefined) return undefined;
  const user = settingOf(conf, 'user');
  const group = settingOf(conf, 'group');
  const users = tableOf(accounts(files, 'passwd'));
  const groups = tableOf(accounts(files, 'group'));
  const closed = (name: string) => isClosed(files, name);
  const found = user === null ? usualUsers.find((name) => users?.has(name)) : user;
  const uid = found === undefined ? undefined : idOf(found, users);
  const primary = group === null ? Number(users?.get(found ?? '')?.[3]) : idOf(group, groups);
  const unknownNames = [
    ...(user !== null && users !== undefined && uid === undefined && closed('passwd')
      ? [user]
      : []),
    ...(group !== null && groups !== undefined && primary === undefined && closed('group')
      ? [group]
      : []),
  ];
  const ids =
    uid === undefined || primary === undefined || Number.isNaN(primary)
      ? null
      : { uid, gids: new Set([primary, ...extraGroups(found ?? '', groups)]) };
  return { user, group, unknownNames, ids };
}

// Image based systems (Silverblue, Bazzite, CoreOS) keep the accounts of packages in /usr/lib (nss-altfiles).
function accounts(files: HostFiles, name: string): string | undefined {
  const own = files.text(`/etc/${name}`, maxBytes);
  const image = files.text(`/usr/lib/${name}`, maxBytes);
  return own === undefined ? undefined : `${own}\n${image ?? ''}`;
}

// Where other sources (sss, ldap, winbind) know names too, one that is in no file is unknown to us only.
function isClosed(files: HostFiles, name: string): boolean {
  const sources = new RegExp(`^[ \\t]*${name}:(.*)$`, 'm').exec(
    files.text('/etc/nsswitch.conf', 65_536) ?? '',
  )?.[1];
  return (sources ?? 'files')
    .replaceAll(/\[[^\]]*\]/g, ' ')
    .trim()
    .split(/\s+/)
    .every((one) => /^(?:files|compat|altfiles|systemd)$/.test(one));
}

/** What `path` is to QEMU. Owners and modes of a captured tree prove nothing, so only the live host can tell. */
export function fileFacts(files: HostFiles, qemu: QemuUser | undefined, path: string): FileFacts {
  const stats = path.startsWith('/') ? files.stat(path) : undefined;
  if (!files.live || !path.startsWith('/')) {
    return { exists: stats === undefined ? undefined : true, readable: undefined };
  }
  // Without a view into a folder (we may run unprivileged) its files are unknown, not missing.
  if (stats === undefined) {
    let folder = dirname(path);
    while (folder !== '/' && files.stat(folder) === undefined) folder = dirname(folder);
    const seen = files.names(folder) !== undefined;
    return { exists: seen ? false : undefined, readable: undefined };
  }
  const ids = qemu?.ids ?? null;
  if (ids === null) return { exists: true, readable: undefined };
  if (ids.uid === 0) return { exists: true, readable: true };
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const at = files.stat(folder);
    if (at !== undefined && !allowed(at, ids, 1)) {
      return { exists: true, readable: hasAcl(files.path(folder)) ? undefined : false };
    }
    if (folder === '/') break;
  }
  if (allowed(stats, ids, 4)) return { exists: true, readable: true };
  return { exists: true, readable: hasAcl(files.path(path)) ? undefined : false };
}

// virt-manager gives QEMU's user a way into home folders by an access list, of which the mode says nothing. ls(1) shows a `+`.
function hasAcl(path: string): boolean {
  const { status, stdout } = spawnSync('/bin/ls', ['-ldn', '--', path], {
    ...{ encoding: 'latin1', timeout: lsMs, stdio: ['ignore', 'pipe', 'ignore'] },
  });
  return status !== 0 || stdout.charAt(10) === '+';
}

function allowed(
  stats: { readonly mode: number; readonly uid: number; readonly gid: number },
  ids: NonNullable<QemuUser['ids']>,
  bit: 1 | 4,
): boolean {
  const shift = stats.uid === ids.uid ? 6 : ids.gids.has(stats.gid) ? 3 : 0;
  return ((stats.mode >> shift) & bit) !== 0;
}

/** The value of `name = "value"`; the last one counts. */
function settingOf(conf: string, name: string): string | null {
  const lines = [...conf.matchAll(/^[ \t]*([a-z_]+)[ \t]*=[ \t]*"([^"\n]*)"/gm)];
  return lines.findLast((match) => match[1] === name)?.[2] ?? null;
}

function tableOf(text: string | undefined): ReadonlyMap<string, readonly string[]> | undefined {
  if (text === undefined) return undefined;
  return new Map(text.split('\n').map((line) => [line.split(':')[0] ?? '', line.split(':')]));
}

// `+0` and digits are ids (virGetUserID).
function idOf(
  name: string,
  table: ReadonlyMap<string, readonly string[]> | undefined,
): number | undefined {
  const row = table?.get(name);
  if (row !== undefined) return Number(row[2]);
  return name === 'root' ? 0 : /^\+?\d+$/.test(name) ? Number(name) : undefined;
}

function extraGroups(
  user: string,
  groups: ReadonlyMap<string, readonly string[]> | undefined,
): readonly number[] {
  return [...(groups?.values() ?? [])]
    .filter((row) => row[3]?.split(',').includes(user) === true)
    .map((row) => Number(row[2]));
}
