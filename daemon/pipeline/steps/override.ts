/** driver_override: names the only driver that may have the function. Empty clears it. Never new_id (invariant 6). */
import { RevivedError } from '../../errors.ts';
import { deviceDirectory } from '../../pci/device.ts';
import { readOverride } from '../../pci/override.ts';
import { writeAttribute } from '../../sysfs/attribute.ts';
import { present } from '../../sysfs/read.ts';
import type { StepExecutor } from '../step.ts';

export const override: StepExecutor<'override'> = {
  describe: ({ driver }) => ({
    detail: driver === '' ? 'free the choice of driver' : `allow ${driver} only`,
    undo: 'the old driver_override',
    expectedMs: 5,
  }),
  survey: async ({ fn }, host) => ({ previous: await readOverride(host, fn) }),
  async run({ fn, driver }, { host }, found) {
    const path = `${deviceDirectory(host.paths.sys, fn)}/driver_override`;
    // A lost function may be found by a rung later on; whoever binds it then aims its override anew.
    if (!present(path)) return 'it is not on the bus';
    // Each read is a child: what the survey has just read is not asked again.
    if ((found?.['previous'] ?? (await readOverride(host, fn))) !== driver) {
      await writeAttribute(host.io, path, `${driver}\n`, host.deadlines.attributeWrite);
      const now = await readOverride(host, fn);
      if (now !== driver) {
        throw new RevivedError(
          'failed',
          `driver_override of ${fn} reads "${now}" after writing "${driver}".`,
        );
      }
    }
    return driver === '' ? 'cleared' : driver;
  },
  async undo({ fn }, undo, { host }) {
    const path = `${deviceDirectory(host.paths.sys, fn)}/driver_override`;
    await writeAttribute(
      host.io,
      path,
      `${undo['previous'] ?? ''}\n`,
      host.deadlines.attributeWrite,
      ['ENOENT'],
    );
  },
};
