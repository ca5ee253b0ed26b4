/** Gives the power settings back with the card (invariant 7). Devices that are gone have none any more. */
import type { Host } from '../../host/host.ts';
import { deviceDirectory } from '../../pci/device.ts';
import { writeAttribute } from '../../sysfs/attribute.ts';
import { readAttribute, readLinkName } from '../../sysfs/read.ts';
import type { StepExecutor } from '../step.ts';

export const restorePower: StepExecutor<'restore-power'> = {
  describe: () => ({ detail: 'put the power settings back', undo: '', expectedMs: 30 }),
  survey: () => ({}),
  async run({ settings }, { host }) {
    const files = settings.flatMap(({ device, attribute, value, under }) => {
      const directory = deviceDirectory(host.paths.sys, device);
      const isOfOther = under !== undefined && readLinkName(`${directory}/driver`) !== under;
      return isOfOther ? [] : [{ path: `${directory}/${attribute}`, value }];
    });
    return `${await putBack(files, host)} settings put back`;
  },
  undo: async () => {},
};

/** Writes all settings that differ, those after a failure too; rejects with the first failure. Returns how many. */
export async function putBack(
  settings: readonly { readonly path: string; readonly value: string }[],
  host: Host,
): Promise<number> {
  let changed = 0;
  let failure: unknown;
  for (const { path, value } of settings) {
    const now = readAttribute(path);
    if (now === undefined || now === value) continue;
    try {
      await writeAttribute(host.io, path, value, host.deadlines.attributeWrite, ['ENOENT']);
      changed++;
    } catch (thrown) {
      failure ??= thrown;
    }
  }
  if (failure !== undefined) throw failure;
  return changed;
}
