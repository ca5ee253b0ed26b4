/** The biggest machine that is thought of: what every `prepare` reads and decides before its first step. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { SimKernel } from '../sim/kernel.ts';
import { bigMachine } from '../sim/presets.ts';
import { nodeArguments } from './daemon.ts';
import { type Figure, median, spread } from './figure.ts';

const rounds = 50;
const limitMs = 60_000;
const child = fileURLToPath(new URL('inventory-child.mjs', import.meta.url));

/** `inventory-64`: 64 cards of 8 functions on tmpfs, by a node without a compiler, as the daemon is. */
export async function measureInventory(): Promise<readonly Figure[]> {
  const kernel = SimKernel.create(bigMachine(64, 8));
  try {
    const args = [...nodeArguments, child, kernel.sys, String(rounds)];
    const options = { timeout: limitMs, killSignal: 'SIGKILL' } as const;
    const { stdout } = await promisify(execFile)(process.execPath, args, options);
    const times: number[] = JSON.parse(stdout);
    const how = `readInventory and planPrepare ${spread(times)}; ${times.length} runs`;
    return [{ name: 'inventory-64', value: median(times), how }];
  } finally {
    kernel.dispose();
  }
}
