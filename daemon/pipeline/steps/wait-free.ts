/** Waits, with a bound, until no host program uses the card (invariant 5); never ends anybody's program. */
import { waitFor } from '../../deadline.ts';
import { RevivedError } from '../../errors.ts';
import { holdersOf, hostNodes, namesOf } from '../../host/holders.ts';
import type { Host } from '../../host/host.ts';
import type { FunctionAddress } from '../../pci/address.ts';
import { deviceDirectory } from '../../pci/device.ts';
import type { StepExecutor } from '../step.ts';

/** Rejects with `busy`, naming who, when host programs still have the functions open at the deadline. */
export async function untilFree(
  host: Host,
  functions: readonly FunctionAddress[],
  signal: AbortSignal,
): Promise<string> {
  const nodes = new Set(
    functions.flatMap((fn) => hostNodes(host.paths.dev, deviceDirectory(host.paths.sys, fn))),
  );
  const holders = () => holdersOf(host.paths.proc, nodes);
  const nobody = () => (holders().length === 0 ? true : undefined);
  const free = await waitFor(nobody, host.deadlines.holders, 200, signal);
  if (free === true)
    return nodes.size === 0 ? 'it has no nodes that could be open' : 'nobody has it open';
  throw new RevivedError(
    'busy',
    `The host still uses the card: ${namesOf(holders())}.`,
    'End these programs, or keep them off this card, and try again.',
  );
}

export const waitFree: StepExecutor<'wait-free'> = {
  describe: () => ({
    detail: 'wait until no program on the host uses the card (graphics, sound)',
    undo: '',
    expectedMs: 20,
  }),
  survey: () => ({}),
  run: ({ functions }, { host, signal }) => untilFree(host, functions, signal),
  undo: async () => {},
};
