/** Whether libvirt calls our hook: the file, its exec bit, and whether libvirt has looked since it came (facts/libvirt.md 1.5). */
import type { HostFiles } from './captured.ts';

export interface HookFacts {
  readonly installed: boolean;
  readonly executable: boolean;
  /** True: libvirt looked for hooks before any was there, when it started or was last reloaded. Undefined: unknown. */
  readonly late: boolean | undefined;
}

const folder = '/etc/libvirt/hooks';
const own = `${folder}/qemu.d/50-revived`;

/**
 * Reads it; undefined where the folder of hooks cannot be seen (it need not be part of a captured tree). `late`: what a
 * captured host said of itself.
 */
export function readHookFacts(files: HostFiles, late?: boolean): HookFacts | undefined {
  const scripts = files.names(folder);
  if (scripts === undefined) return undefined;
  const paths = [
    `${folder}/qemu`,
    ...(files.names(`${folder}/qemu.d`) ?? []).map((name) => `${folder}/qemu.d/${name}`),
  ];
  const runnable = paths.flatMap((path) => {
    const stats = files.stat(path);
    return stats?.isFile() === true && (stats.mode & 0o111) !== 0 ? [stats.ctimeMs] : [];
  });
  const mine = files.stat(own);
  const looked = lastLook(files);
  return {
    installed: mine?.isFile() === true,
    executable: mine?.isFile() === true && (mine.mode & 0o111) !== 0,
    late: looked === undefined ? late : !runnable.some((ctime) => ctime <= looked),
  };
}

const daemons = [
  { pidFile: '/run/virtqemud.pid', unit: 'virtqemud.service' },
  { pidFile: '/run/libvirtd.pid', unit: 'libvirtd.service' },
] as const;

/** When libvirt's daemon started or was reloaded, in milliseconds since the epoch; only a live host knows. */
function lastLook(files: HostFiles): number | undefined {
  if (!files.live) return undefined;
  for (const { pidFile, unit } of daemons) {
    const pid = Number(files.text(pidFile, 64) ?? Number.NaN);
    if (!Number.isInteger(pid) || pid <= 0) continue;
    const started = startOf(files, pid);
    // The process says when it started, systemd when it was reloaded.
    return started === undefined ? undefined : Math.max(started, files.unitChanged(unit) ?? 0);
  }
  return undefined;
}

function startOf(files: HostFiles, pid: number): number | undefined {
  const stat = files.text(`/proc/${pid}/stat`, 4096);
  const boot = /^btime (\d+)$/m.exec(files.text('/proc/stat', 4 * 1024 * 1024) ?? '')?.[1];
  // Field 22, counted behind the name in parentheses; USER_HZ is 100 on every architecture that has KVM.
  const ticks = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  if (boot === undefined || ticks === undefined) return undefined;
  return Number(boot) * 1000 + Number(ticks) * 10;
}
