/**
 * What a daemon that was ended in a rung leaves on the card, as steps that put it right before the card is looked at again: power
 * that is not pinned any more, and the rung's choice of a reset method. Nothing is written down of either but the lease's home.
 */
import type { Config } from '../config/config.ts';
import { asRevivedError } from '../errors.ts';
import { awakeSettings } from '../host/awake.ts';
import { deviceDirectory } from '../pci/device.ts';
import { readAttribute } from '../sysfs/read.ts';
import { type Lease, resetMethodOf } from './lease.ts';
import { type RunOptions, runSteps } from './runner.ts';
import type { Step } from './step.ts';

/**
 * Runs such steps. False when one failed: its record in the job says so, and whether the card can go home is for the health
 * check to say. Rejects with `stuck` and `cancelled`.
 */
export async function mend(steps: readonly Step[], options: RunOptions): Promise<boolean> {
  try {
    await runSteps(steps, options);
    return true;
  } catch (thrown) {
    const { code, message } = asRevivedError(thrown);
    if (code === 'stuck' || code === 'cancelled') throw thrown;
    options.host.log.warn({ job: options.job.id }, `Not put right: ${message}`);
    return false;
  }
}

/**
 * Steps for power that is not as the lease's state has it; none on a card where it is. Reads what never blocks.
 *
 * While it is away from home its power is pinned (invariant 7); d3cold lets it sleep. A card whose power is off reads as dead, and
 * no other rung reaches it. What was found at home is in the lease, and put back in the end. One that libvirt bound was never
 * pinned for its guest, and may have its host driver again.
 */
export function powerMendSteps({ card, boundBy, home }: Lease, sys: string): readonly Step[] {
  if (boundBy === 'libvirt') return [];
  const devices = [...new Set(home.power.map((setting) => setting.device))];
  const isPinned = devices.every((device) =>
    awakeSettings.every(([name, value]) => {
      const now = readAttribute(`${deviceDirectory(sys, device)}/${name}`);
      return now === undefined || now === value;
    }),
  );
  return isPinned ? [] : [{ step: 'pin-power', args: { card, devices } }];
}

/**
 * Steps for reset methods that are not as the lease's state has it; none on a card where they are. Not for one that somebody has
 * open: what is not offered meanwhile is what its family forbids (kernel-methods.ts). Reads what never blocks.
 *
 * The choice stays in reset_method, and with it a ladder that has lost its other rungs. With a card that libvirt bound that may
 * have been in `stopped`, which leaves no other trace; on others the configuration's choice is there while it is lent.
 */
export function methodMendSteps(lease: Lease, sys: string, config: Config): readonly Step[] {
  const { card, boundBy, state, home } = lease;
  const isChosen = state === 'lent' || config.cards.get(card)?.resetMethod !== undefined;
  if (boundBy === 'revived' && isChosen) return [];
  return home.functions.flatMap(({ address: fn, resetMethod: methods }): Step[] => {
    const now = resetMethodOf(sys, fn);
    if (methods === undefined || now === undefined || now === methods) return [];
    return [{ step: 'reset-method', args: { card, fn, methods, otherwise: 'default' } }];
  });
}
