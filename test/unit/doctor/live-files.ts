/** A tree read as if it were the host that we run on. */
import { join } from 'node:path';
import { createHostFiles, type HostFiles } from '../../../daemon/doctor/captured.ts';

/** `log`: its kernel log. */
export function liveFiles(root: string, log?: string): HostFiles {
  return createHostFiles(root, {
    kernelLog: () => log,
    paths: { sys: join(root, 'sys'), proc: join(root, 'proc'), dev: join(root, 'dev') },
  });
}
