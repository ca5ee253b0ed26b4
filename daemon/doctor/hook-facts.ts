/** Whether libvirt calls our hook: the file, its exec bit, and whether libvirt has looked since it came (facts/libvirt.md 1.5). */
import type { HostFiles } from './captured.ts';

export interface HookFacts {
  readonly installed: boolean;
  readonly executable: boolean;
  /** True: libvirt started before any hook was there, and looks anew only when it is reloaded. Undefined: unknown. */
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
  const started = libvirtStart(files);
  return {
    installed: mine?.isFile() === true,
    executable: mine?.isFile() === true && (mine.mode & 0o111) !== 0,
    late: started === undefined ? late : !runnable.some((ctime) => ctime <= started),
  };
}

/** When libvirt's daemon started, in milliseconds since the epoch; only a live host knows. */
function libvirtStart(files: HostFiles): number | undefined {
  if (!files.live) return undefined;
  const pid = ['/run/virtqemud.pid', '/run/libvirtd.pid']
    .map((path) => Number(files.text(path, 64) ?? Number.NaN))
    .find((one) => Number.isInteger(one) && one > 0);
  const stat = pid === undefined ? undefined : files.text(`/proc/${pid}/stat`, 4096);
  const boot = /^btime (\d+)$/m.exec(files.text('/proc/stat', 4 * 1024 * 1024) ?? '')?.[1];
  // Field 22, counted behind the name in parentheses; USER_HZ is 100 on every architecture that has KVM.
  const ticks = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  if (boot === undefined || ticks === undefined) return undefined;
  return Number(boot) * 1000 + Number(ticks) * 10;
}
