/** Gives the power settings back with the card (invariant 7). Devices that are gone have none any more. */
import { deviceDirectory } from '../../pci/device.ts';
import { writeAttribute } from '../../sysfs/attribute.ts';
import { readAttribute } from '../../sysfs/read.ts';
import type { StepExecutor } from '../step.ts';

export const restorePower: StepExecutor<'restore-power'> = {
  describe: () => ({ detail: 'put the power settings back', undo: '', expectedMs: 30 }),
  survey: () => ({}),
  async run({ settings }, { host }) {
    let changed = 0;
    for (const { device, attribute, value } of settings) {
      const path = `${deviceDirectory(host.paths.sys, device)}/${attribute}`;
      const now = readAttribute(path);
      if (now === undefined || now === value) continue;
      await writeAttribute(host.io, path, value, host.deadlines.attributeWrite);
      changed++;
    }
    return `${changed} settings put back`;
  },
  undo: async () => {},
};
