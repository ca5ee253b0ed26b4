/** The host that we run on, as doctor reads it; its kernel log comes from the journal, else from the kernel itself. */
import { spawnSync } from 'node:child_process';
import { openKernelLog } from '../host/kernel-log.ts';
import type { Paths } from '../paths.ts';
import { createHostFiles, type HostFiles } from './captured.ts';

// A busy host says some ten thousand lines in a boot; of more the last ones count.
const maxLines = 20_000;
const maxBytes = 16 * 1024 * 1024;
const journalMs = 10_000;
const busMs = 2000;

/** The files below `root`: '/' is the host that we run on, anything else a captured one. */
export function hostFilesAt(root: string, paths: Pick<Paths, 'sys' | 'proc' | 'dev'>): HostFiles {
  return root === '/'
    ? createHostFiles(root, {
        paths,
        kernelLog: () => readLiveLog(paths.dev),
        unitChanged: readUnitChange,
      })
    : createHostFiles(root);
}

/** The text of this boot, the last 20,000 lines at most; undefined where nobody may read it. Takes 10 s at most. */
export function readLiveLog(dev: string, journalctl = '/usr/bin/journalctl'): string | undefined {
  // journalctl(1): with -o short-monotonic lines are "[   12.345678] host kernel: ...", which explain reads too.
  const args = ['-k', '-b', '-q', '-o', 'short-monotonic', '--no-pager', '-n', String(maxLines)];
  const { status, stdout } = spawnSync(journalctl, args, {
    ...{ encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    ...{ timeout: journalMs, killSignal: 'SIGKILL', maxBuffer: maxBytes },
    env: { LC_ALL: 'C', PATH: '/usr/bin:/bin' },
  });
  // Who may not read the journal of the system gets an empty one.
  if (status === 0 && stdout !== '') return stdout;
  const log = openKernelLog(dev);
  const lines = log.since(0, [''], maxLines);
  log.close();
  return lines.length === 0 ? undefined : `${lines.join('\n')}\n`;
}

/**
 * When systemd saw the unit's state change last (a reload is such a change: active, reloading, active), in milliseconds
 * since the epoch; undefined where it does not say. Takes 2 s at most.
 */
export function readUnitChange(unit: string, busctl = '/usr/bin/busctl'): number | undefined {
  // sd_bus_path_encode(3): what is no letter and no digit becomes _ and its code.
  const name = unit.replaceAll(/[^A-Za-z0-9]/g, (c) => `_${c.charCodeAt(0).toString(16)}`);
  const manager = 'org.freedesktop.systemd1';
  const path = `/org/freedesktop/systemd1/unit/${name}`;
  const args = ['--system', 'get-property', manager, path, `${manager}.Unit`];
  const { status, stdout } = spawnSync(busctl, [...args, 'StateChangeTimestamp'], {
    ...{ encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    ...{ timeout: busMs, killSignal: 'SIGKILL', maxBuffer: 4096 },
    env: { LC_ALL: 'C', PATH: '/usr/bin:/bin' },
  });
  const microseconds = Number(status === 0 ? /^t (\d{1,19})$/m.exec(stdout)?.[1] : Number.NaN);
  return microseconds > 0 ? Math.floor(microseconds / 1000) : undefined;
}
