/** From the end of QEMU until a card that lost its registers is healthy and home, beside a hook of the usual kind (test/bench/lab). */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Figure, quantile, ratio, spread } from './figure.ts';

const top = fileURLToPath(new URL('../../../', import.meta.url));
const rounds = 5;
/** The lab ends its machine by itself (LAB_TIMEOUT); this is for an image that has to be built first. */
const limitMs = 2_400_000;

/** `recovery-ratio` and `recovery-worst-ratio`: in the lab machine, both ways in one run. */
export async function measureRecovery(): Promise<readonly Figure[]> {
  const args = ['run', `${top}test/bench/lab/recovery.sh`, String(rounds)];
  const options = { timeout: limitMs, maxBuffer: 1 << 24 };
  const { stdout } = await promisify(execFile)(`${top}test/lab/lab`, args, options);
  const of = (which: string) =>
    Array.from(stdout.matchAll(new RegExp(`^time ${which} (\\d+)$`, 'gm')), ([, ms]) => Number(ms));
  const times = { ours: of('revived'), yardstick: of('hook') };
  if (times.ours.length !== rounds || times.yardstick.length !== rounds) {
    throw new Error(`the lab gave ${times.ours.length} and ${times.yardstick.length} times`);
  }
  const what = ['QEMU gone to healthy and home', 'a hook with 7 s of sleeps'] as const;
  return [
    ratio('recovery-ratio', what, times),
    {
      name: 'recovery-worst-ratio',
      value: quantile(times.ours, 1) / quantile(times.yardstick, 0),
      how: `our slowest against the hook's fastest: ${spread(times.ours)}, ${spread(times.yardstick)}`,
    },
  ];
}
