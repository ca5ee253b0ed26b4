/** What the kernel says of the host around a rung, during it and after it, and that nothing is done to any card then. */
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { type Card, readInventory } from '../../../daemon/pci/inventory.ts';
import { openLogJudge } from '../../../daemon/reset/log-evidence.ts';
import { type ReviveOptions, revive } from '../../../daemon/reset/revive.ts';
import { benchCards, detach, type SimHost, simHost } from '../sim-host.ts';

const { bochs, flr } = benchCards;
const lockup = 'watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [kworker/3:1:77]';
const hungTask = 'INFO: task kworker/0:2:33 blocked for more than 120 seconds.';
const ownChild = 'INFO: task dd:4711 blocked for more than 120 seconds.';

const dangerous: readonly string[] = [
  'AMD-Vi: Completion-Wait loop timed out',
  'iommu ivhd0: AMD-Vi: Completion-Wait loop timed out',
  'iommu ivhd0: AMD-Vi: Event logged [IOTLB_INV_TIMEOUT device=0000:0b:00.0 address=0x3ff5dc0e0]',
  'DMAR: VT-d detected Invalidation Time-out Error: SID 100',
  'DMAR: VT-d detected Invalidation Completion Error: SID 100',
  'watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [kworker/3:1:77]',
  'NMI watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [swapper/3:0]',
  'NMI watchdog: Watchdog detected hard LOCKUP on cpu 3',
  'INFO: task kworker/0:2:33 blocked for more than 120 seconds.',
  'INFO: task CPU 0/KVM:4711 blocked for more than 120 seconds.',
  'INFO: task systemd-udevd:52 blocked in I/O wait for more than 241 seconds.',
  'rcu: INFO: rcu_preempt self-detected stall on CPU',
  'rcu: INFO: rcu_sched detected stalls on CPUs/tasks:',
  'rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 3-... }',
];

const harmless: readonly string[] = [
  '',
  'INFO: task dd:4712 blocked for more than 120 seconds.',
  'INFO: task dd:4712 blocked in I/O wait for more than 120 seconds.',
  'vfio-pci 0000:01:00.0: not ready 65535ms after bus reset; giving up',
  'vfio-pci 0000:01:00.0: timed out waiting for pending transaction; performing function level reset anyway',
  'AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0019 address=0x0 flags=0x0000]',
  'AMD-Vi: Interrupt remapping enabled',
  'DMAR: DRHD: handling fault status reg 2',
  'pcieport 0000:00:04.0: AER: device recovery failed',
  'watchdog: Delayed init of the lockup detector failed: -19',
  'rcu: Hierarchical RCU implementation.',
  'vfio-pci 0000:01:00.0: Device is currently in use, task "qemu" (12) blocked until device is released',
];

describe('a line of the kernel log', async () => {
  const { riskIn } = await openLogJudge();
  for (const line of dangerous) {
    test(`at risk: ${line}`, () => {
      assert.equal(riskIn([...harmless, line, 'AMD-Vi: Completion-Wait loop timed out']), line);
    });
  }
  for (const line of harmless) {
    test(`no risk: ${line}`, () => assert.equal(riskIn([line]), undefined));
  }
});

describe('while the kernel log says that the host is at risk', () => {
  let sim: SimHost;
  beforeEach(async () => {
    sim = await simHost();
    detach(sim, `${flr}.0`, `${bochs}.0`, `${bochs}.1`);
    sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
  });
  afterEach(() => {
    mock.timers.reset();
    sim.dispose();
  });

  const card = (address: typeof flr): Card =>
    readInventory(sim.kernel.sys).cards.get(address) ?? assert.fail(`no ${address}`);
  const climb = async (address: typeof flr, options: Partial<ReviveOptions> = {}) => {
    const revival = await revive(sim.host, card(address), { budgetMs: 1_000_000, ...options });
    return { ...revival, names: revival.rungs.map((rung) => rung.rung) };
  };
  const kernelSays = (text: string) =>
    appendFileSync(`${sim.host.paths.dev}/kmsg`, `6,1,1,-;${text}\n`.padEnd(8192));
  const inRung = (file: string, text: string) => {
    sim.watch.atWrite = (path) => {
      if (path.endsWith(file)) kernelSays(text);
    };
  };

  test('the ladder stops, and no rung is done on any card until a person has looked', async () => {
    inRung('/reset_subordinate', lockup);
    const first = await climb(bochs);
    assert.deepEqual(first.names, ['subordinate']);
    assert.match(first.gaveUp ?? '', /host is at risk \(during subordinate of card .*soft lockup/);
    assert.match(sim.host.risk.reason(), /soft lockup - CPU#3/);
    const { length } = sim.kernel.writes;
    for (const address of [bochs, flr]) {
      const { names, gaveUp } = await climb(address, { evenIfHealthy: true });
      assert.deepEqual(names, []);
      assert.match(gaveUp ?? '', /soft lockup.*revivectl quarantine clear host/);
    }
    assert.equal(sim.kernel.writes.length, length);
    sim.watch.atWrite = () => {};
    await sim.host.risk.clear();
    assert.equal((await climb(bochs)).after.state, 'healthy');
    assert.equal(sim.host.risk.reason(), '', 'what was said before does not count again');
  });

  test('a rung that healed the card is its last one for now', async () => {
    inRung('/rescan', 'AMD-Vi: Completion-Wait loop timed out');
    const { gaveUp, after } = await climb(bochs);
    assert.deepEqual([gaveUp, after.state], [undefined, 'healthy']);
    assert.match(sim.host.risk.reason(), /during remove-rescan .*Completion-Wait/);
  });

  test('our own child that hangs, and lines from before, are no risk', async () => {
    kernelSays(lockup);
    inRung('/reset_subordinate', ownChild);
    assert.equal((await climb(bochs)).after.state, 'healthy');
    assert.equal(sim.host.risk.reason(), '');
  });

  describe('after the deadline of a rung that hangs', () => {
    let file: string;
    beforeEach(() => {
      file = sim.at('0000:00:04.0', 'reset_subordinate');
      sim.kernel.hang(file);
    });
    const hangs = async () => {
      assert.equal((await climb(bochs)).rungs[0]?.state, 'stuck');
      assert.equal(sim.host.risk.reason(), '');
    };

    test('its child is back: no rung is begun before the log was read again', async () => {
      await hangs();
      kernelSays(ownChild);
      kernelSays(hungTask);
      sim.kernel.unhang(file);
      assert.match(sim.host.risk.reason(), /^during subordinate of card .*kworker.*blocked/);
      const { names, gaveUp } = await climb(bochs);
      assert.deepEqual(names, []);
      assert.match(gaveUp ?? '', /host is at risk/);
    });

    test('its child is back, and the kernel has said nothing: the card is free again', async () => {
      await hangs();
      kernelSays(ownChild);
      sim.kernel.unhang(file);
      assert.equal(sim.host.risk.reason(), '');
      assert.equal((await climb(bochs)).after.state, 'healthy');
    });

    test('its child may never be back: the log is read as long as it hangs', async () => {
      mock.timers.enable({ apis: ['setInterval'] });
      await hangs();
      kernelSays(hungTask);
      mock.timers.tick(10_000);
      assert.match(sim.host.risk.reason(), /kworker.*blocked/);
      await sim.host.risk.clear();
      mock.timers.tick(60_000);
      assert.equal(sim.host.risk.reason(), '', 'what a person has seen does not count again');
      kernelSays(lockup);
      sim.kernel.unhang(file);
      assert.match(sim.host.risk.reason(), /soft lockup/);
      await sim.host.risk.clear();
      kernelSays(lockup);
      mock.timers.tick(60_000);
      assert.equal(sim.host.risk.reason(), '', 'nobody looks any more');
    });
  });
});
