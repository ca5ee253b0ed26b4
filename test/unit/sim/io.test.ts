/** The in-process door to a simulated kernel: results, virtual time, what is stuck. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { simIo, simKernelLog, simPaths } from '../../sim/io.ts';
import { SimKernel } from '../../sim/kernel.ts';
import { labCards, labMachine } from '../../sim/presets.ts';

const nvme = `${labCards.nvme}.0`;

describe('simIo', () => {
  let kernel: SimKernel;
  const at = (name: string): string => `${kernel.sys}/bus/pci/devices/${nvme}/${name}`;

  beforeEach(() => {
    kernel = SimKernel.create(labMachine());
  });
  afterEach(() => kernel.dispose());

  test('reads give bytes, errors are those of dd', async () => {
    const io = simIo(kernel);
    const read = await io.read(at('config'), 4, 1_000);
    assert.deepEqual(read, { state: 'ok', ms: 0, data: Buffer.from('361b1000', 'hex') });
    assert.deepEqual(await io.write(at('reset'), '2', 1_000), {
      state: 'error',
      ms: 0,
      errno: 'EINVAL',
      message: `dd: error writing '${at('reset')}': Invalid argument`,
    });
    assert.deepEqual(await io.write(at('nonsense'), '1', 1_000), {
      state: 'error',
      ms: 0,
      errno: 'ENOENT',
      message: `dd: failed to open '${at('nonsense')}': No such file or directory`,
    });
  });

  test('writes are recorded in their order, those that fail too', async () => {
    const io = simIo(kernel);
    await io.write(at('driver_override'), 'vfio-pci', 1_000);
    await io.write(at('reset'), 'no', 1_000);
    const seen = [
      { path: at('driver_override'), value: 'vfio-pci' },
      { path: at('reset'), value: 'no' },
    ];
    assert.deepEqual(io.writes, seen);
    assert.deepEqual(kernel.writes, seen);
  });

  test('70 s pass in no time', async () => {
    const io = simIo(kernel);
    kernel.wedge(labCards.nvme);
    await io.write(at('reset_method'), 'flr', 1_000);
    const start = performance.now();
    const result = await io.write(at('reset'), '1', 200_000);
    assert.deepEqual([result.state, result.ms], ['error', 69_600]);
    assert.equal(kernel.now(), 69_600);
    assert.ok(performance.now() - start < 2_000);
  });

  test('what takes longer than its deadline is stuck, and blocks the device for as long as it takes', async () => {
    const io = simIo(kernel);
    kernel.wedge(labCards.nvme);
    await io.write(at('reset_method'), 'flr', 1_000);
    assert.equal((await io.write(at('reset'), '1', 30_000)).state, 'stuck');
    assert.equal((await io.read(at('config'), 64, 15_000)).state, 'stuck');
    const late = await io.read(at('config'), 64, 30_000);
    assert.deepEqual([late.state, late.ms], ['ok', 24_600]);
  });

  test('a hang is stuck at the deadline, blocks the device, and is told when it is over', async () => {
    const freed: [string, number, number][] = [];
    const io = simIo(kernel, (...what) => freed.push(what));
    kernel.hang(at('reset'));
    const stuck = await io.write(at('reset'), '1', 10_000);
    assert.ok(stuck.state === 'stuck');
    assert.equal(stuck.ms, 10_000);
    assert.equal((await io.read(at('config'), 64, 5_000)).state, 'stuck');
    assert.equal((await io.write(at('driver_override'), 'x', 5_000)).state, 'stuck');
    assert.deepEqual(freed, []);
    kernel.unhang(at('reset'));
    assert.deepEqual(freed[0], [at('reset'), stuck.pid, 20_000]);
    assert.equal(freed.length, 3);
    assert.equal((await io.read(at('config'), 64, 5_000)).state, 'ok');
    assert.equal(kernel.device(nvme).override, 'x');
  });

  test('with a real clock, time is waited for', async () => {
    kernel.dispose();
    kernel = SimKernel.create(labMachine(), { clock: 'real' });
    const io = simIo(kernel);
    kernel.slowWrite(at('reset'), 60);
    const start = performance.now();
    assert.equal((await io.write(at('reset'), '1', 1_000)).state, 'ok');
    assert.ok(performance.now() - start >= 55);
    kernel.slowWrite(at('reset'), 400);
    assert.equal((await io.write(at('reset'), '1', 20)).state, 'stuck');
    assert.equal((await io.read(at('config'), 4, 20)).state, 'stuck');
  });

  test('the kernel log since a cursor', () => {
    const log = simKernelLog(kernel);
    const cursor = log.cursor();
    kernel.write(at('remove'), '1');
    assert.deepEqual(log.since(cursor, [nvme], 10), [`pci ${nvme}: Removing from iommu group 15`]);
    assert.deepEqual(log.since(cursor, ['0000:01:00.0'], 10), []);
  });

  test('the paths of a daemon all lie in the machine', () => {
    const { sys, proc, dev, run, state, config } = simPaths(kernel);
    for (const path of [sys, proc, dev, run, state, config]) {
      assert.ok(path.startsWith(`${kernel.root}/`), path);
    }
  });
});
