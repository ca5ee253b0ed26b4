/**
 * Chooses the kernel's reset methods for a function before QEMU opens it, so that the kernel's own resets at open and
 * close use them; written and read back (facts/kernel.md 1, reset_method).
 */
import { RevivedError } from '../../errors.ts';
import { deviceDirectory } from '../../pci/device.ts';
import { writeAttribute } from '../../sysfs/attribute.ts';
import { readAttribute } from '../../sysfs/read.ts';
import type { StepExecutor } from '../step.ts';

export const resetMethod: StepExecutor<'reset-method'> = {
  describe: ({ methods }) => ({
    detail: `let the kernel reset it by: ${methods}`,
    undo: 'the old reset_method',
    expectedMs: 10,
  }),
  survey: ({ fn }, host) => ({
    previous: readAttribute(`${deviceDirectory(host.paths.sys, fn)}/reset_method`) ?? null,
  }),
  async run({ fn, methods, otherwise }, { host }) {
    const path = `${deviceDirectory(host.paths.sys, fn)}/reset_method`;
    // A stale list is refused when it is written, even where it stands (facts/kernel.md 0.1).
    if (otherwise !== 'fail' && readAttribute(path) === methods) return methods;
    const limit = host.deadlines.attributeWrite;
    const tolerated = otherwise === 'fail' ? [] : ['EINVAL', 'ENOENT'];
    const refused = await writeAttribute(host.io, path, `${methods}\n`, limit, tolerated);
    if (refused !== undefined && otherwise === 'default') {
      await writeAttribute(host.io, path, 'default', limit, ['ENOENT']);
    }
    const now = readAttribute(path) ?? '';
    if (otherwise === 'keep' && now !== methods) {
      const why = refused === undefined ? 'it was not taken' : `the kernel refuses it: ${refused}`;
      return `${methods} cannot be chosen (${why}); the kernel resets it by: ${now || 'nothing'}`;
    }
    if (now !== methods && methods !== 'default' && otherwise === 'fail') {
      throw new RevivedError(
        'failed',
        `reset_method of ${fn} reads "${now}" after writing "${methods}".`,
      );
    }
    return now;
  },
  async undo({ fn }, undo, { host }) {
    const previous = undo['previous'];
    if (typeof previous !== 'string') return;
    const path = `${deviceDirectory(host.paths.sys, fn)}/reset_method`;
    const back = await host.io.write(path, `${previous}\n`, host.deadlines.attributeWrite);
    // A stale list (facts/kernel.md 0.1) is refused: probe the methods anew instead.
    if (back.state !== 'ok') {
      await writeAttribute(host.io, path, 'default', host.deadlines.attributeWrite, ['ENOENT']);
    }
  },
};
