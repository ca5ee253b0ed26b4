/**
 * The last look before the guest: what was healthy before vfio-pci bound it may be off the bus now (it lets a function sleep at
 * bind, and some do not wake; facts/kernel.md 4, 6 row 6). QEMU would open a dead card all the same (facts/kernel.md 2), and the
 * guest would find it dead, so such a start is refused with what was seen.
 */
import { RevivedError } from '../../errors.ts';
import { sleepersOf } from '../../host/awake.ts';
import { checkCard } from '../../reset/verify.ts';
import type { StepExecutor } from '../step.ts';

export const verify: StepExecutor<'verify'> = {
  describe: () => ({
    detail: 'check that it answers as the guest will find it',
    undo: '',
    expectedMs: 20,
  }),
  survey: () => ({}),
  async run({ card, known }, { host, onHealth }) {
    const sleepers = sleepersOf(host.paths.sys, [
      ...known.functions.map((fn) => fn.address),
      ...known.ports,
    ]);
    const health = await checkCard(host, known);
    onHealth(health);
    const { state, evidence } = health;
    const fit = state === 'healthy' || state === 'unknown';
    if (fit && sleepers.length === 0) return `${state}: ${evidence.join('; ')}`;
    const seen = fit
      ? `${sleepers.join(', ')} cannot be woken (power/control=on is set)`
      : `it is ${state} (${evidence.join('; ')})`;
    throw new RevivedError(
      evidence.some((line) => line.includes('D state')) ? 'stuck' : 'failed',
      `Card ${card} would not work in a guest: ${seen}.`,
      `Reset it and try again: revivectl reset ${card}`,
    );
  },
  undo: async () => {},
};
