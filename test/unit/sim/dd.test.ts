/** The stand-in for dd, driven by the daemon's own door: several processes on one simulated machine. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../../../daemon/deadline.ts';
import { openKernelLog } from '../../../daemon/host/kernel-log.ts';
import { createChildIo } from '../../../daemon/sysfs/child.ts';
import type { SysfsIo } from '../../../daemon/sysfs/io.ts';
import { installDd } from '../../sim/dd-wrapper.ts';
import { SimKernel } from '../../sim/kernel.ts';
import { labCards, labMachine } from '../../sim/presets.ts';

const bundle = fileURLToPath(new URL('../../sim/dd.mjs', import.meta.url));
const xhci = `${labCards.xhci}.0`;
const limit = 20_000;

describe('dd', () => {
  let kernel: SimKernel;
  let io: SysfsIo;
  let dd: string;
  const at = (address: string, name: string): string =>
    `${kernel.sys}/bus/pci/devices/${address}/${name}`;

  /** Until the kernel has seen a write to `path`. */
  const reached = async (path: string): Promise<void> => {
    const isThere = () => kernel.writes.some((write) => write.path === path);
    assert.ok(await waitFor(() => isThere() || undefined, limit, 5), path);
  };

  before(() => {
    kernel = SimKernel.create(labMachine(), { shared: true });
    dd = installDd(kernel.root, bundle);
    io = createChildIo({ dd, scratch: kernel.root });
  });
  after(() => kernel.dispose());

  test('a write changes the machine that the test sees, and its files', async () => {
    assert.equal((await io.write(at(xhci, 'driver_override'), 'vfio-pci', limit)).state, 'ok');
    assert.equal(kernel.device(xhci).override, 'vfio-pci');
    assert.equal(readFileSync(at(xhci, 'driver_override'), 'latin1'), 'vfio-pci\n');
    assert.deepEqual(kernel.writes.at(-1), {
      path: at(xhci, 'driver_override'),
      value: 'vfio-pci',
    });
  });

  test('a read gives the bytes of config, and those of a dead card', async () => {
    const read = async (): Promise<string> => {
      const result = await io.read(at(xhci, 'config'), 64, limit);
      assert.ok(result.state === 'ok');
      assert.equal(result.data.length, 64);
      return result.data.toString('hex', 0, 4);
    };
    assert.equal(await read(), '361b0d00');
    kernel.die(labCards.xhci);
    assert.equal(await read(), 'ffffffff');
  });

  test('errors come back with the errno that the kernel gave, as those of the real dd do', async () => {
    const errno = async (path: string, value: string): Promise<string> => {
      const result = await io.write(path, value, limit);
      if (result.state !== 'error') return result.state;
      return result.errno === 'EUNKNOWN' ? result.message : result.errno;
    };
    assert.equal(await errno(at(`${labCards.ati}.0`, 'reset'), '1'), 'ENOTTY');
    assert.equal(await errno(at(xhci, 'power/control'), 'x'), 'EINVAL');
    assert.equal(await errno(at(xhci, 'nothing'), '1'), 'ENOENT');
    assert.equal(await errno(at(xhci, 'vendor'), '1'), 'EACCES');
    const missing = `${kernel.root}/sys/nothing`;
    const args = [`of=${missing}`, 'conv=nocreat,notrunc', 'status=none'];
    const say = (program: string): string =>
      spawnSync(program, args, { input: '1', env: { LC_ALL: 'C' }, encoding: 'latin1' }).stderr;
    const ownName = /^(?:\/usr)?\/bin\/dd: /;
    assert.equal(say(dd), say('/usr/bin/dd').replace(ownName, 'dd: '));
  });

  test('a path outside a simulated machine is refused', () => {
    const child = spawnSync(dd, ['of=/sys/bus/pci/rescan', 'status=none'], { input: '1' });
    assert.equal(child.status, 1);
    assert.match(String(child.stderr), /in no simulated machine/);
  });

  test('several at once leave one machine', async () => {
    const cards = Object.values(labCards);
    const writes = cards.map((card) => io.write(at(`${card}.0`, 'd3cold_allowed'), '1', limit));
    const results = await Promise.all(writes);
    const failed = results.flatMap((result) => (result.state === 'error' ? result.message : []));
    assert.deepEqual(failed, []);
    assert.ok(results.every((result) => result.state === 'ok'));
    for (const card of cards) assert.equal(kernel.device(`${card}.0`).d3coldAllowed, true);
  });

  test('a hang lasts until it is ended, then the write is done', async () => {
    const path = at(`${labCards.flr}.0`, 'reset_method');
    kernel.hang(path);
    const writing = io.write(path, 'bus', limit);
    await reached(path);
    assert.equal(kernel.device(`${labCards.flr}.0`).methods.length, 3);
    kernel.unhang(path);
    assert.equal((await writing).state, 'ok');
    assert.deepEqual(kernel.device(`${labCards.flr}.0`).methods, ['bus']);
  });

  test('a hang whose process is killed goes on holding the device', async () => {
    const address = `${labCards.nvme}.0`;
    kernel.hang(at(address, 'reset'));
    const child = spawn(dd, [`of=${at(address, 'reset')}`], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    child.stdin.end('1');
    await reached(at(address, 'reset'));
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.notEqual((await io.read(at(address, 'config'), 4, 1_500)).state, 'ok');
    kernel.unhang(at(address, 'reset'));
    assert.equal((await io.read(at(address, 'config'), 4, limit)).state, 'ok');
  });

  test('a slow write takes that long for real', async () => {
    kernel.slowWrite(at(xhci, 'd3cold_allowed'), 300);
    const result = await io.write(at(xhci, 'd3cold_allowed'), '0', limit);
    assert.ok(result.state === 'ok' && result.ms >= 300, `${result.ms} ms`);
  });

  test('dev/kmsg gives the daemon one line for each record', async () => {
    const log = openKernelLog(`${kernel.root}/dev`);
    try {
      const cursor = log.cursor();
      const port = at('0000:00:05.0', 'rescan');
      await io.write(at(`${labCards.ati}.1`, 'remove'), '1', limit);
      await io.write(port, '1', limit);
      assert.deepEqual(log.since(cursor, [`${labCards.ati}.1`], 10), [
        `pci ${labCards.ati}.1: Removing from iommu group 12`,
        `pci ${labCards.ati}.1: Adding to iommu group 18`,
      ]);
    } finally {
      log.close();
    }
  });

  test('a test that restarts the host finds no leftovers of what others did', async () => {
    const address = `${labCards.bochs}.1`;
    const nodes = () => readdirSync(`${kernel.root}/dev/vfio`).sort();
    assert.deepEqual(nodes(), ['vfio']);
    assert.equal((await io.write(at(address, 'driver_override'), 'vfio-pci', limit)).state, 'ok');
    assert.equal((await io.write(at(address, 'driver/unbind'), address, limit)).state, 'ok');
    const probe = `${kernel.sys}/bus/pci/drivers_probe`;
    assert.equal((await io.write(probe, address, limit)).state, 'ok');
    assert.deepEqual(nodes(), ['11', 'vfio']);
    kernel.reboot();
    assert.deepEqual(nodes(), ['vfio']);
  });

  test('a lock whose owner was killed is taken over', async () => {
    const owner = spawn('true');
    await once(owner, 'exit');
    writeFileSync(`${kernel.root}/.sim/lock`, String(owner.pid));
    assert.equal(kernel.write(`${kernel.sys}/bus/pci/rescan`, '1').errno, null);
    assert.equal(existsSync(`${kernel.root}/.sim/lock`), false);
  });
});
