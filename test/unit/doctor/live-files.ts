/** A tree read as if it were the host that we run on. */
import { join } from 'node:path';
import { createHostFiles, type HostFiles } from '../../../daemon/doctor/captured.ts';

/** `log`: its kernel log. `changed`: when libvirtd.service changed last, in milliseconds since the epoch. */
export function liveFiles(root: string, log?: string, changed?: number): HostFiles {
  return createHostFiles(root, {
    kernelLog: () => log,
    unitChanged: (unit) => (unit === 'libvirtd.service' ? changed : undefined),
    paths: { sys: join(root, 'sys'), proc: join(root, 'proc'), dev: join(root, 'dev') },
  });
}
