/**
 * Pins runtime power of the functions, the switch inside the card and the port (invariant 7): a card that falls into
 * D3cold under a guest may not come back (facts/kernel.md 6 row 6), and a sleeping one reads as dead.
 */
import { waitFor } from '../../deadline.ts';
import { awakeSettings, keepAwake, sleepersOf } from '../../host/awake.ts';
import { deviceDirectory } from '../../pci/device.ts';
import { readAttribute } from '../../sysfs/read.ts';
import type { StepExecutor } from '../step.ts';
import { putBack } from './restore-power.ts';

/** Until a function is awake after power/control=on (facts/kernel.md 3.1 point 2). */
const wakeMs = 2000;

export const pinPower: StepExecutor<'pin-power'> = {
  describe: ({ devices }) => ({
    detail: `keep ${devices.length} functions and ports awake (power/control=on, d3cold_allowed=0)`,
    undo: 'the old power settings',
    expectedMs: 10 * devices.length,
  }),
  survey({ devices }, host) {
    const entries = devices.flatMap((device) =>
      awakeSettings.flatMap(([name]) => {
        const path = `${deviceDirectory(host.paths.sys, device)}/${name}`;
        const value = readAttribute(path);
        return value === undefined ? [] : [[path, value] as const];
      }),
    );
    return Object.fromEntries(entries);
  },
  async run({ devices }, { host, signal }) {
    const changed = await keepAwake(host, devices);
    const asleep = () => sleepersOf(host.paths.sys, devices);
    await waitFor(() => (asleep().length === 0 ? true : undefined), wakeMs, 20, signal);
    const sleepers = asleep();
    return sleepers.length === 0
      ? `${changed} settings changed, all awake`
      : `still asleep: ${sleepers.join(', ')}`;
  },
  async undo(_args, undo, { host }) {
    const settings = Object.entries(undo).map(([path, value]) => ({ path, value: String(value) }));
    await putBack(settings, host);
  },
};
