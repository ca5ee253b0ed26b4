/**
 * Leaves nothing in reset_method that does harm to cards of the family (kernel-methods.ts), so that the kernel's own resets at
 * VFIO's open and close do not use it. The others stay, in their order; where none is left the list is empty, which disables
 * all (facts/kernel.md 1, reset_method).
 */
import { RevivedError } from '../../errors.ts';
import type { Host } from '../../host/host.ts';
import type { FunctionAddress } from '../../pci/address.ts';
import { deviceDirectory } from '../../pci/device.ts';
import { writeAttribute } from '../../sysfs/attribute.ts';
import { readAttribute } from '../../sysfs/read.ts';
import type { StepExecutor } from '../step.ts';
import { resetMethod } from './reset-method.ts';

export const forbidMethods: StepExecutor<'forbid-methods'> = {
  describe: ({ never }) => ({
    detail: `let the kernel never reset it by: ${never.join(' ')}`,
    undo: 'the old reset_method',
    expectedMs: 10,
  }),
  survey: ({ fn }, host) => ({ previous: readAttribute(fileOf(host, fn)) ?? null }),
  async run({ fn, never }, { host }) {
    const path = fileOf(host, fn);
    const limit = host.deadlines.attributeWrite;
    const offered = (): readonly string[] => readAttribute(path)?.split(' ') ?? [];
    const allowed = (): readonly string[] =>
      offered().filter((name) => name !== '' && !never.some((one) => one === name));
    const isClean = (): boolean => !offered().some((name) => never.some((one) => one === name));
    const leave = (methods: readonly string[]): Promise<string | undefined> =>
      writeAttribute(host.io, path, `${methods.join(' ')}\n`, limit, ['EINVAL']);
    if (isClean()) return `${readAttribute(path) || 'nothing'}: nothing of it is forbidden`;
    const rest = allowed();
    if ((await leave(rest)) !== undefined && rest.length > 0) {
      // One of the rest is stale (facts/kernel.md 0.1): what the kernel finds anew has it no more.
      await writeAttribute(host.io, path, 'default', limit, ['EINVAL']);
      if ((await leave(allowed())) !== undefined) await leave([]);
    }
    if (isClean()) return readAttribute(path) || 'nothing';
    throw new RevivedError(
      'failed',
      `The kernel would still reset ${fn} by ${never.filter((name) => offered().includes(name)).join(' ')} when its guest opens it, which is never right on it.`,
      `Try it by hand to see why: echo > ${path}`,
    );
  },
  async undo(args, undo, context) {
    const now = readAttribute(fileOf(context.host, args.fn)) ?? null;
    if (now === undo['previous']) return;
    const { card, fn } = args;
    await resetMethod.undo({ card, fn, methods: '', otherwise: 'default' }, undo, context);
  },
};

function fileOf(host: Host, fn: FunctionAddress): string {
  return `${deviceDirectory(host.paths.sys, fn)}/reset_method`;
}
