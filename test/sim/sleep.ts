/** The host's sleep on a simulated machine: what host/suspend.ts makes of a logind that does what it is asked at once. */
import { writeFileSync } from 'node:fs';
import { createSleep, type Sleep } from '../../daemon/host/suspend.ts';
import type { SysfsIo } from '../../daemon/sysfs/io.ts';
import type { SimKernel } from './kernel.ts';

/** `around` stands between it and its writes. */
export function simSleep(
  kernel: SimKernel,
  around: (write: SysfsIo['write']) => SysfsIo['write'] = (write) => write,
): Sleep {
  let listener = (_before: boolean): void => {};
  const write: SysfsIo['write'] = async (path, value) => {
    writeFileSync(path, `${shown(path, value)}\n`);
    return { state: 'ok', ms: 0, data: Buffer.alloc(0) };
  };
  return createSleep({
    sys: kernel.sys,
    io: { write: around(write), read: () => Promise.reject(new Error('nothing is read')) },
    logind: {
      blocked: async () => '',
      isPreparing: async () => false,
      onPrepare: async (hear) => {
        listener = hear;
      },
      async suspend() {
        listener(true);
        kernel.suspend();
        listener(false);
      },
    },
    writeMs: 100,
    running: () => [],
    allowed: () => 'always',
  });
}

// As the kernel shows them: the choice in brackets; no alarm as nothing.
function shown(path: string, value: string): string {
  if (!path.endsWith('mem_sleep')) return value === '0' ? '' : '1795000000';
  return ['s2idle', 'deep'].map((one) => (one === value ? `[${one}]` : one)).join(' ');
}
