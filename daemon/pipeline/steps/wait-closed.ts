/**
 * Waits until QEMU has let go of the card. `stopped` and `release` are no proof of it: libvirt 9 goes on when QEMU hangs
 * in the kernel (facts/libvirt.md 1.5), and unbinding then never returns (facts/kernel.md 0.10).
 */
import { waitFor } from '../../deadline.ts';
import { RevivedError } from '../../errors.ts';
import { holdersOf, namesOf, vfioNodesOf } from '../../host/holders.ts';
import type { StepExecutor } from '../step.ts';

export const waitClosed: StepExecutor<'wait-closed'> = {
  describe: () => ({
    detail: 'wait until the guest has let go of the card',
    undo: '',
    expectedMs: 20,
  }),
  survey: () => ({}),
  async run({ functions }, { host, signal }) {
    const nodes = vfioNodesOf(host.paths, functions);
    const holders = () => holdersOf(host.paths.proc, nodes);
    const nobody = () => (holders().length === 0 ? true : undefined);
    const closed = await waitFor(nobody, host.deadlines.closed, 100, signal);
    if (closed === true) return 'nobody has it open';
    throw new RevivedError(
      'busy',
      `The card cannot come back: ${namesOf(holders())}.`,
      'When that process has ended, run: revivectl return CARD.',
    );
  },
  undo: async () => {},
};
