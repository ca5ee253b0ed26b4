/** A child that hangs in the kernel: its card is left alone with the reason until it is back; everybody else goes on. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createStuckChildren, guardIo } from '../../../daemon/host/stuck.ts';
import { openJournal } from '../../../daemon/pipeline/journal.ts';
import { judgePast } from '../../../daemon/pipeline/recovery.ts';
import { writeAttribute } from '../../../daemon/sysfs/attribute.ts';
import type { IoResult, SysfsIo } from '../../../daemon/sysfs/io.ts';
import { card } from '../inventory-of.ts';
import { benchCards, leasesOnDisk, type SimPipeline, simPipeline, simStamp } from '../sim-host.ts';

const { bochs, flr } = benchCards;
const port = '0000:00:04.0';

describe('guardIo', () => {
  const device = `/sys/bus/pci/devices/${bochs}.1`;
  let stuck = createStuckChildren();
  let result: IoResult;
  let asked: string[];
  let io: SysfsIo;
  beforeEach(() => {
    stuck = createStuckChildren();
    result = { state: 'stuck', ms: 30_000, pid: 77 };
    asked = [];
    const access = async (path: string): Promise<IoResult> => {
      asked.push(path);
      return result;
    };
    io = guardIo({ write: access, read: access }, stuck);
  });

  const files: readonly (readonly [string, string, string])[] = [
    ['reset', `${device}/reset`, '1'],
    ['driver/unbind', `${device}/driver/unbind`, `${bochs}.1`],
    [
      'unbind of a driver, which names the function in what is written',
      '/sys/bus/pci/drivers/amdgpu/unbind',
      `${bochs}.1`,
    ],
    ['drivers_probe', '/sys/bus/pci/drivers_probe', `${bochs}.1\n`],
    ['a long path through the bridges', `/sys/devices/pci0000:00/${port}/${bochs}.0/remove`, '1'],
  ];
  for (const [name, path, value] of files) {
    test(`${name}: the card of the function is known to be stuck, and nothing more is tried on it`, async () => {
      await io.write(path, value, 1);
      assert.equal(stuck.of(bochs), 77);
      for (const again of [
        io.write(`${device}/reset`, '1', 1),
        io.read(`${device}/config`, 64, 1),
        io.write('/sys/bus/pci/drivers_probe', `${bochs}.0`, 1),
      ]) {
        assert.deepEqual(await again, { state: 'stuck', ms: 0, pid: 77 });
      }
      assert.deepEqual(asked, [path]);
    });
  }

  test('whose write was not tried is told so, and which child it is', async () => {
    await assert.rejects(writeAttribute(io, `${device}/reset`, '1', 30_000), {
      code: 'stuck',
      message: /did not return within 30 s: child 77/,
    });
    await assert.rejects(writeAttribute(io, `${device}/reset`, '1', 30_000), {
      code: 'stuck',
      message: /was not tried: child 77/,
    });
  });

  test('a read of config space counts as well', async () => {
    await io.read(`${device}/config`, 64, 1);
    assert.equal(stuck.of(bochs), 77);
  });

  test('other cards, and files of no card, are not held up', async () => {
    await io.write(`${device}/reset`, '1', 1);
    result = { state: 'ok', ms: 1, data: Buffer.alloc(0) };
    assert.equal((await io.write(`/sys/bus/pci/devices/${flr}.0/reset`, '1', 1)).state, 'ok');
    assert.equal((await io.write('/sys/bus/pci/rescan', '1', 1)).state, 'ok');
    assert.equal(stuck.of(flr), undefined);
  });

  test('what ends in time, well or not, leaves nothing behind', async () => {
    result = { state: 'error', ms: 1, errno: 'EIO', message: '' };
    await io.write(`${device}/reset`, '1', 1);
    assert.equal(stuck.of(bochs), undefined);
  });

  test('a card is free again when its last child is back', () => {
    stuck.note(bochs, 1);
    stuck.note(bochs, 2);
    const told: unknown[] = [];
    for (const pid of [1, 1, 2, 3]) stuck.whenFreed(pid, () => told.push([pid, stuck.of(bochs)]));
    assert.deepEqual(told, [[3, 1]]);
    assert.deepEqual(stuck.freed(1), [bochs]);
    assert.deepEqual(
      told.slice(1),
      [1, 1].map((pid) => [pid, 2]),
    );
    assert.equal(stuck.of(bochs), 2);
    assert.deepEqual(stuck.freed(2), [bochs]);
    assert.equal(stuck.of(bochs), undefined);
    assert.deepEqual(stuck.freed(2), []);
    assert.equal(stuck.of(card('0000:7f:00')), undefined);
  });
});

describe('a card with a child that hangs', () => {
  const guest = { domain: 'win10', uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f' };
  let sim: SimPipeline;
  beforeEach(async () => {
    sim = await simPipeline();
  });
  afterEach(() => sim.close());

  const take = (address: typeof bochs) =>
    sim.handover.take([sim.card(address)], guest, 'a test').ended;
  const giveBack = (address: typeof bochs) => sim.handover.giveBack(address, 'a test').ended;
  const drivers = () => [`${bochs}.0`, `${bochs}.1`].map((fn) => sim.driver(fn));
  const lastJob = () => sim.jobs.all().at(-1);

  // Every hazardous file: [what hangs, its path, what runs into it].
  const hangs: readonly (readonly [string, (sim: SimPipeline) => string, 'take' | 'revive'])[] = [
    ['unbind of the host driver', (one) => one.bus('drivers/bochs-drm/unbind'), 'take'],
    ['drivers_probe', (one) => one.bus('drivers_probe'), 'take'],
    ['the power setting', (one) => one.at(`${bochs}.0`, 'power/control'), 'take'],
    ['the power setting of its port', (one) => one.at(port, 'power/control'), 'take'],
    ['a read of config space', (one) => one.at(`${bochs}.0`, 'config'), 'take'],
    ['reset_subordinate', (one) => one.at(port, 'reset_subordinate'), 'revive'],
    ['remove', (one) => one.at(`${bochs}.1`, 'remove'), 'revive'],
    ['rescan', (one) => one.at(port, 'rescan'), 'revive'],
    ['slot power', (one) => one.bus('slots/1/power'), 'revive'],
  ];
  for (const [name, path, needs] of hangs) {
    test(`${name} hangs: the card is left alone with the reason until the child is back, others go on`, async () => {
      const known = sim.card(bochs);
      const file = path(sim);
      if (file.startsWith(sim.at(port, 'power'))) sim.kernel.write(file, 'auto');
      if (needs === 'revive')
        sim.kernel.die(bochs, {
          healsBy: name === 'slot power' ? ['slot-power'] : ['remove-rescan'],
        });
      sim.kernel.hang(file);
      await assert.rejects(take(bochs), { code: 'stuck' });
      const pid = sim.host.stuck.of(bochs);
      assert.ok(pid !== undefined, 'the card is known to be stuck');
      assert.equal(lastJob()?.state, 'stuck');
      assert.match(lastJob()?.error ?? '', new RegExp(`child ${pid}\\b`));
      assert.match(lastJob()?.error ?? '', /D state/);
      assert.equal(leasesOnDisk(sim.host.paths.leases)[0]?.state, 'stranded');

      const writes = sim.kernel.writes.length;
      await assert.rejects(sim.handover.take([known], guest, 'again').ended, {
        message: new RegExp(`child ${pid}\\b`),
      });
      await assert.rejects(giveBack(bochs), { message: new RegExp(`child ${pid}\\b`) });
      const to = sim.kernel.writes
        .slice(writes)
        .filter(({ path: where, value }) => `${where} ${value}`.includes(bochs));
      assert.deepEqual(to, [], 'nothing more is written to that card');

      await take(flr);
      await giveBack(flr);

      sim.kernel.unhang(file);
      assert.ok(sim.freed.includes(bochs));
      await sim.handover.take([known], guest, 'once more').ended;
      assert.deepEqual(drivers(), ['vfio-pci', 'vfio-pci']);
      await giveBack(bochs);
      assert.deepEqual(drivers(), ['bochs-drm', 'snd_hda_intel']);
      assert.equal(sim.kernel.device(`${bochs}.0`).override, null);
    });
  }

  const later = { ...simStamp, boot: 'later' };
  const quarantined = async () => {
    const journal = await openJournal(sim.host.paths.journal, later, sim.host.log);
    const { quarantine } = judgePast(journal.past.entries, later, 0);
    await journal.close();
    return quarantine.map(({ name }) => name);
  };
  test('what was refused behind the hang is not in quarantine after a power cut, on the way to a guest and back', async () => {
    sim.kernel.write(sim.at(port, 'power/control'), 'auto');
    const unbind = sim.bus('drivers/bochs-drm/unbind');
    sim.kernel.hang(unbind);
    await assert.rejects(take(bochs), { code: 'stuck' });
    assert.deepEqual(await quarantined(), [`unbind ${bochs}.0`]);
    await assert.rejects(take(bochs), { code: 'stuck' });
    assert.deepEqual(await quarantined(), [`unbind ${bochs}.0`], 'nor what is tried once more');
    sim.kernel.unhang(unbind);
    await sim.journal.endOpen(bochs, 'it is back');
    await take(bochs);
    sim.kernel.hang(sim.at(`${bochs}.0`, 'driver_override'));
    await assert.rejects(giveBack(bochs), { code: 'stuck' });
    assert.deepEqual(await quarantined(), [`bind-home ${bochs}.0`]);
  });

  test('found by a reset that somebody else began: the card is known as wedged before anything is done to it', async () => {
    const file = sim.at(`${bochs}.0`, 'driver_override');
    sim.kernel.hang(file);
    await assert.rejects(take(bochs), { code: 'stuck', message: /D state/ });
    assert.equal(sim.health.get(bochs)?.state, 'wedged');
    assert.deepEqual(sim.leases.all(), []);
    assert.deepEqual(sim.kernel.writes, []);
    sim.kernel.unhang(file);
    await take(bochs);
    assert.deepEqual(drivers(), ['vfio-pci', 'vfio-pci']);
  });
});
