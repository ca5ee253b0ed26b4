/** Which kernel log lines put the host at risk, and that the mark stays until a person has looked. */

import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, test } from 'node:test';
import { openHostRisk, riskIn } from '../../../daemon/host/risk.ts';
import { createLog } from '../../../daemon/log.ts';
import { freshDirectory } from '../fresh-directory.ts';

const fresh = freshDirectory('risk');
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

describe('riskIn', () => {
  for (const line of dangerous) {
    test(`at risk: ${line}`, () => {
      assert.equal(riskIn([...harmless, line, 'AMD-Vi: Completion-Wait loop timed out']), line);
    });
  }

  for (const line of harmless) {
    test(`no risk: ${line}`, () => assert.equal(riskIn([line]), undefined));
  }
});

describe('the mark', () => {
  let path: string;
  let logged: string[];
  const log = createLog('text', 'debug', (line) => logged.push(line));
  const open = () => openHostRisk(path, log);
  beforeEach(() => {
    path = join(fresh.path, 'host-risk.json');
    logged = [];
  });

  test('stays through a restart of the daemon, with its first reason, until it is cleared', async () => {
    const risk = await open();
    assert.equal(risk.reason(), '');
    assert.equal(await risk.clear(), false);
    await risk.mark('first');
    await risk.mark('second');
    assert.equal(risk.reason(), 'first');
    const later = await open();
    assert.equal(later.reason(), 'first');
    assert.equal(logged.filter((line) => line.includes('The host is at risk')).length, 1);
    assert.equal(await later.clear(), true);
    assert.equal(await later.clear(), false);
    assert.equal(later.reason(), '');
    assert.equal((await open()).reason(), '');
  });

  test('has a reason of bounded length', async () => {
    const risk = await open();
    await risk.mark('x'.repeat(10_000));
    assert.equal(risk.reason().length, 500);
  });

  test('that cannot be read or written is said; in memory it counts', async () => {
    for (const text of ['{"version":1,"rea', '\0\0\0']) {
      writeFileSync(path, text, { mode: 0o600 });
      assert.equal((await open()).reason(), '');
      assert.match(logged.pop() ?? '', /cannot be kept in its file/);
    }
    for (const text of ['null', '{"reason":7}', '{}']) {
      writeFileSync(path, text, { mode: 0o600 });
      assert.equal((await open()).reason(), '', text);
    }
    rmSync(path);
    mkdirSync(path);
    const risk = await open();
    await risk.mark('first');
    assert.equal(risk.reason(), 'first');
    assert.equal(logged.filter((line) => line.includes('cannot be kept in its file')).length, 2);
  });
});
