/**
 * Pins runtime power of the functions, the switch inside the card and the port (invariant 7): a card that falls into
 * D3cold under a guest may not come back (facts/kernel.md 6 row 6), and a sleeping one reads as dead.
 */
import { waitFor } from '../../deadline.ts';
import { deviceDirectory } from '../../pci/device.ts';
import { writeAttribute } from '../../sysfs/attribute.ts';
import { readAttribute } from '../../sysfs/read.ts';
import type { StepExecutor } from '../step.ts';
import { putBack } from './restore-power.ts';

const pinned = [
  ['power/control', 'on'],
  ['d3cold_allowed', '0'],
] as const;
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
      pinned.flatMap(([name]) => {
        const path = `${deviceDirectory(host.paths.sys, device)}/${name}`;
        const value = readAttribute(path);
        return value === undefined ? [] : [[path, value] as const];
      }),
    );
    return Object.fromEntries(entries);
  },
  async run({ devices }, { host, signal }) {
    let changed = 0;
    for (const device of devices) {
      const directory = deviceDirectory(host.paths.sys, device);
      for (const [name, value] of pinned) {
        const now = readAttribute(`${directory}/${name}`);
        if (now === undefined || now === value) continue;
        await writeAttribute(host.io, `${directory}/${name}`, value, host.deadlines.attributeWrite);
        changed++;
      }
    }
    const asleep = () => devices.filter((device) => isAsleep(host.paths.sys, device));
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

function isAsleep(sys: string, device: Parameters<typeof deviceDirectory>[1]): boolean {
  return /^(suspended|resuming)$/.test(
    readAttribute(`${deviceDirectory(sys, device)}/power/runtime_status`) ?? '',
  );
}
