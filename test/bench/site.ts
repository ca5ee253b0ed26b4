/** A place to run daemons in: a desktop PC, a bus, and a mount namespace where /run is the benchmark's own. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PrivateBus, startPrivateBus } from '../integration/private-bus.ts';
import { simEnvironment } from '../sim/io.ts';
import { SimKernel } from '../sim/kernel.ts';
import { machine } from '../sim/machine.ts';
import { desktopSpec } from '../sim/presets.ts';

export interface Site {
  /** Becomes /run of what runs through `room`. */
  readonly run: string;
  readonly kernel: SimKernel;
  readonly bus: PrivateBus;
  /** Nothing of the caller's: NODE_EXTRA_CA_CERTS alone makes every start of node three times as long. */
  readonly env: NodeJS.ProcessEnv;
  /** Runs the command that follows with our /run: the hook's paths are fixed. */
  readonly room: readonly string[];
  close(): Promise<void>;
}

/** Makes one. `libvirtSocket` is where the daemon looks for libvirt; nowhere by default. */
export async function openSite(libvirtSocket = '/nonexistent/libvirt-sock'): Promise<Site> {
  if (process.getuid?.() !== 0) throw new Error('run this as root: it makes a mount namespace');
  const dir = mkdtempSync(join(tmpdir(), 'revived-bench-'));
  const run = join(dir, 'run');
  mkdirSync(join(run, 'revived/hook'), { recursive: true, mode: 0o700 });
  const bus = await startPrivateBus();
  const kernel = SimKernel.create(machine(desktopSpec));
  return {
    run,
    kernel,
    bus,
    env: {
      ...{ LC_ALL: 'C', PATH: process.env['PATH'] },
      ...simEnvironment(kernel, '/usr/bin/dd'),
      DBUS_SYSTEM_BUS_ADDRESS: bus.address,
      STATE_DIRECTORY: join(dir, 'state'),
      CONFIGURATION_DIRECTORY: join(dir, 'etc'),
      REVIVED_VENDOR_CONFIG: join(dir, 'vendor'),
      REVIVED_LIBVIRT_SOCKET: libvirtSocket,
    },
    room: ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /run && exec "$@"', run],
    async close() {
      await bus.stop();
      kernel.dispose();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
