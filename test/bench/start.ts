/** From the start of the daemon's process to READY=1 at systemd's socket, beside a node that does nothing. */
import { join } from 'node:path';
import { daemonCommand } from './daemon.ts';
import { type Figure, ratio } from './figure.ts';
import { openSite } from './site.ts';
import { duel } from './stopwatch.ts';

const rounds = 25;

/** `start-ratio`. */
export async function measureStart(): Promise<readonly Figure[]> {
  const site = await openSite();
  try {
    const times = await duel({
      rounds,
      ours: daemonCommand,
      yardstick: [process.execPath, '-e', '0'],
      until: 'ready',
      env: { ...site.env, RUNTIME_DIRECTORY: join(site.run, 'revived') },
      directory: site.run,
    });
    return [ratio('start-ratio', ['start to READY=1', 'node -e 0'], times)];
  } finally {
    await site.close();
  }
}
