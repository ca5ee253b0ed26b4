/**
 * Loads the module that gives the card `device_specific`, before the kernel's own resets touch it (vendor-reset's README).
 * A card goes to its guest without it too: what came of it is said, and the ladder takes its next rung. It is never unloaded.
 */
import { asRevivedError } from '../../errors.ts';
import { isModuleLive } from '../../host/modules.ts';
import { printable } from '../../printable.ts';
import type { StepExecutor } from '../step.ts';

const maxLogLines = 3;

export const resetModule: StepExecutor<'reset-module'> = {
  dispensable: true,
  describe: ({ module }) => ({
    detail: `load the kernel module ${module}, which resets such a card by its own procedure`,
    undo: '',
    expectedMs: 100,
  }),
  survey: () => ({}),
  async run({ module }, { host }) {
    if (isModuleLive(host.paths.sys, module)) return `${module} is loaded`;
    const cursor = host.kernelLog.cursor();
    try {
      await host.loadModule(module, 'module');
      return `${module} was loaded`;
    } catch (thrown) {
      const names = [module.replaceAll('-', '_'), module.replaceAll('_', '-')];
      const said = host.kernelLog.since(cursor, names, maxLogLines).map(printable);
      const why = [asRevivedError(thrown).message, ...said.map((line) => `kernel: ${line}`)];
      return `${module} is not there, so device_specific is left out: ${why.join(' | ')}`;
    }
  },
  undo: async () => {},
};
