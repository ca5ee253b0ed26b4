/** What speaks about a card beside its answer: error counters, links, the kernel log; and what it decides. */
import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createBaseline } from '../../../daemon/host/baseline.ts';
import { type Card, readInventory } from '../../../daemon/pci/inventory.ts';
import { type ReviveOptions, revive } from '../../../daemon/reset/revive.ts';
import { checkCard } from '../../../daemon/reset/verify.ts';
import { type FunctionSpec, machine } from '../../sim/machine.ts';
import { benchCards, detach, type SimHost, simHost } from '../sim-host.ts';

const { bochs, flr } = benchCards;
const port = '0000:00:04.0';
const portOfFlr = '0000:00:07.0';

describe('evidence', () => {
  let sim: SimHost;
  beforeEach(async () => {
    sim = await simHost();
    detach(sim, `${flr}.0`, `${bochs}.0`, `${bochs}.1`);
  });
  afterEach(() => sim.dispose());

  const card = (address: typeof flr): Card =>
    readInventory(sim.kernel.sys).cards.get(address) ?? assert.fail(`no ${address}`);
  const check = (address: typeof flr) => checkCard(sim.host, card(address));
  const climb = async (address: typeof flr, options: Partial<ReviveOptions> = {}) => {
    const revival = await revive(sim.host, card(address), { budgetMs: 1_000_000, ...options });
    const rungs = revival.rungs.map(({ rung, state }) => `${rung} ${state}`);
    return { ...revival, rungs, details: revival.rungs.map(({ detail }) => detail) };
  };
  const kernelSays = (text: string): void =>
    appendFileSync(`${sim.host.paths.dev}/kmsg`, `6,1,1,-;${text}\n`.padEnd(8192));
  /** The kernel says this when that file is written. */
  const sayAt = (file: string, text: string): void => {
    sim.watch.atWrite = (path) => {
      if (path.endsWith(file)) kernelSays(text);
    };
  };

  describe('a dead config space', () => {
    const one = bochs;
    const [main, other] = [`${one}.0`, `${one}.1`];
    const use = async (dead: string, ...functions: readonly FunctionSpec[]) => {
      sim.dispose();
      const drivers = ['pcieport', 'snd_hda_intel', 'virtio-pci', 'amdgpu', 'vfio-pci'];
      sim = await simHost({
        machine: machine({ rootDevices: [], drivers, ports: [{ functions }] }),
      });
      detach(sim, ...[main, other].filter((fn) => sim.kernel.device(fn).driver !== null));
      sim.kernel.loseFunction(dead);
    };
    const resets = () => sim.kernel.resets.map(({ method, address }) => `${method} ${address}`);

    test('of the sound alone leaves the GPU its own resets, and the verdict names it', async () => {
      await use(other, { model: 'virtio-gpu' }, { model: 'hda' });
      const { before, rungs } = await climb(one, { order: ['flr'] });
      assert.equal(before.state, 'wedged');
      assert.deepEqual(
        before.evidence.map((line) => line.split(': ')[0]),
        [other],
      );
      assert.deepEqual([rungs, resets()], [['flr not-healed'], [`flr ${main}`]]);
    });

    test('of the GPU alone leaves the other function its own, and that one is left out', async () => {
      await use(main, { model: 'virtio-gpu' }, { model: 'virtio-gpu' });
      const { details } = await climb(one, { order: ['flr'] });
      assert.deepEqual(resets(), [`flr ${other}`]);
      assert.match(
        details[0] ?? '',
        /^0000:01:00\.0: left out, its config space is dead; 0000:01:0/,
      );
      await use(main, { model: 'virtio-gpu' }, { model: 'hda' });
      const { gaveUp } = await climb(one, { order: ['flr'] });
      assert.match(gaveUp ?? '', /flr: it works through the config space of 0000:01:00\.0, which/);
    });

    test('matters to amdgpu where it is that of the GPU', async () => {
      await use(other, { model: 'polaris' }, { model: 'polaris-audio' });
      assert.deepEqual((await climb(one, { order: ['amdgpu'] })).rungs, ['amdgpu not-healed']);
      await use(main, { model: 'polaris' }, { model: 'polaris-audio' });
      const { rungs, gaveUp } = await climb(one, { order: ['amdgpu'] });
      assert.deepEqual(rungs, []);
      assert.match(gaveUp ?? '', /the config space of 0000:01:00\.0 is dead: amdgpu could hang/);
    });

    test('of a port is that of all functions below it', async () => {
      sim.kernel.die('0000:00:07');
      const { gaveUp } = await climb(flr, { order: ['flr', 'pm'] });
      assert.match(
        gaveUp ?? '',
        /flr: .* config space of 0000:02:00\.0, which is dead; pm: it works/,
      );
    });
  });

  describe('a fatal error', () => {
    test('at the port makes the card suspect, until a rung has been through', async () => {
      sim.kernel.reportError(portOfFlr, 'fatal');
      assert.equal((await check(flr)).state, 'healthy', 'from before the first check');
      sim.kernel.reportError(portOfFlr, 'fatal');
      for (const _ of [1, 2]) {
        const { state, evidence } = await check(flr);
        assert.deepEqual(
          [state, evidence],
          ['suspect', [`${portOfFlr}: fatal PCIe errors (AER): 1 (SDES)`]],
        );
      }
      assert.equal((await check(bochs)).state, 'healthy', 'the other card');
      assert.deepEqual((await climb(flr)).rungs, ['flr healed']);
      assert.equal((await check(flr)).state, 'healthy');
    });

    test('and BARs that are gone are known to the daemon that is started next, until the host is', async () => {
      await check(flr);
      await check(bochs);
      sim.kernel.reportError(portOfFlr, 'fatal');
      // reset_resource of drivers/pci/setup-bus.c
      const resource = sim.at(`${bochs}.0`, 'resource');
      const [, ...others] = readFileSync(resource, 'latin1').split('\n');
      writeFileSync(resource, [['0x0', '0x0', '0x0'].join(' '), ...others].join('\n'));
      const next = await simHost({ kernel: sim.kernel });
      const states = async () =>
        Promise.all(
          [flr, bochs].map(async (one) => {
            const { state, evidence } = await checkCard(next.host, card(one));
            return `${state}: ${evidence.join('; ')}`;
          }),
        );
      const known = await states();
      assert.match(
        known[0] ?? '',
        /^suspect: 0000:00:07\.0: fatal PCIe errors \(AER\): 1 \(SDES\)$/,
      );
      assert.match(known[1] ?? '', /^suspect: 0000:01:00\.0: BAR 0 has no address any more/);
      const host = { ...next.host, baseline: createBaseline(next.host.ledger, 'another boot') };
      for (const one of [flr, bochs]) {
        assert.equal((await checkCard(host, card(one))).state, 'healthy');
      }
      next.host.kernelLog.close();
    });

    test('stands where the kernel refused the rung', async () => {
      await check(flr);
      sim.kernel.reportError(portOfFlr, 'fatal');
      const { io } = sim.host;
      const refused = { state: 'error', ms: 1, errno: 'ENOTTY', message: '' } as const;
      const host = {
        ...sim.host,
        io: {
          ...io,
          write: (path: string, value: string, ms: number) =>
            path.endsWith('/reset') ? Promise.resolve(refused) : io.write(path, value, ms),
        },
      };
      const { rungs } = await revive(host, card(flr), { budgetMs: 1_000_000, order: ['flr'] });
      assert.equal(rungs[0]?.state, 'error');
      assert.equal((await check(flr)).state, 'suspect');
    });

    for (const where of ['port', 'function'] as const) {
      test(`at the ${where} outlives a rescan, which resets nothing, until a rung does`, async () => {
        sim.dispose();
        const functions = [{ model: 'e1000e' }] as const;
        const ports = [{ functions }];
        sim = await simHost({ machine: machine({ rootDevices: [], drivers: [], ports }) });
        const at = (where === 'port' ? card(bochs).ports[0] : undefined) ?? `${bochs}.0`;
        await check(bochs);
        sim.kernel.reportError(at, 'fatal');
        const order = ['remove-rescan', 'pm'] as const;
        // A function that was removed is found with counters at 0, its port is not.
        const { rungs, details } = await climb(bochs, { order: ['remove-rescan'] });
        assert.deepEqual(rungs, ['remove-rescan not-healed']);
        assert.match(details[0] ?? '', new RegExp(`suspect: .*${at}: fatal PCIe errors`));
        assert.equal((await check(bochs)).state, 'suspect', 'and at the next check');
        assert.deepEqual((await climb(bochs, { order })).rungs, [
          'remove-rescan not-healed',
          'pm healed',
        ]);
        assert.equal((await check(bochs)).state, 'healthy');
      });
    }

    test('is forgiven by the reset, and not held against the rescan that mends what it left', async () => {
      await check(bochs);
      sim.kernel.reportError(port, 'fatal');
      sim.kernel.die(bochs, { healsBy: ['subordinate'] });
      const { rungs, after } = await climb(bochs);
      assert.deepEqual(rungs, ['subordinate not-healed', 'remove-rescan healed']);
      assert.equal(after.state, 'healthy');
    });

    test('during a rung that leaves the link alone speaks against it', async () => {
      sim.watch.atWrite = (path) => {
        if (!path.endsWith('02:00.0/reset')) return;
        sim.watch.atWrite = () => {};
        sim.kernel.reportError(portOfFlr, 'fatal', 'DLP');
      };
      const { rungs, details, after } = await climb(flr, { evenIfHealthy: true });
      assert.deepEqual([rungs, after.state], [['flr not-healed', 'pm healed'], 'healthy']);
      assert.match(
        details[0] ?? '',
        /suspect: 0000:00:07\.0: fatal PCIe errors \(AER\): 1 \(DLP\)/,
      );
    });

    test('that comes with the link being taken down is told, and decides nothing', async () => {
      sim.kernel.die(bochs, { healsBy: ['subordinate'], clean: true });
      sim.watch.atWrite = (path) => {
        if (!path.endsWith('reset_subordinate')) return;
        sim.kernel.reportError(port, 'fatal');
        kernelSays(`pcieport ${port}: AER: device recovery failed`);
      };
      const { rungs, details } = await climb(bochs);
      assert.deepEqual(rungs, ['subordinate healed']);
      assert.match(details[0] ?? '', /\| 0000:00:04\.0: fatal PCIe errors \(AER\): 1 \(SDES\)/);
      assert.equal((await check(bochs)).state, 'healthy');
    });

    test('of another kind is told where it came with a rung', async () => {
      sim.watch.atWrite = (path) => {
        if (path.endsWith('/reset')) sim.kernel.reportError(portOfFlr, 'correctable', 'BadTLP');
      };
      const { rungs, details } = await climb(flr, { evenIfHealthy: true });
      assert.deepEqual(rungs, ['flr healed']);
      assert.match(details[0] ?? '', /correctable PCIe errors \(AER\): 1 \(BadTLP\)/);
    });
  });

  test('a link that is narrower than it was is said, over restarts, and is no reason for a rung', async () => {
    sim.kernel.narrowLink(portOfFlr, 16);
    await check(flr);
    sim.kernel.narrowLink(portOfFlr, 4);
    const { before, rungs } = await climb(flr);
    assert.deepEqual([before.state, rungs], ['healthy', []]);
    assert.equal(
      before.evidence.at(-1),
      `${portOfFlr}: its link has x4 at 2.5 GT/s where x16 at 2.5 GT/s was seen`,
    );
    const again = await simHost({ kernel: sim.kernel });
    const { evidence } = await checkCard(again.host, card(flr));
    assert.match(evidence.at(-1) ?? '', /x4 .* where x16/);
  });

  describe('a false success', () => {
    test('of a dead card without a PM capability: the kernel says 0, the next rung follows', async () => {
      sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
      const { rungs, details } = await climb(bochs);
      assert.deepEqual(rungs, ['subordinate not-healed', 'remove-rescan healed']);
      assert.match(
        details[0] ?? '',
        /returned 0 .* wedged: .*config space reads as all ones|Unknown/,
      );
    });

    test('that brings the card back without its registers: its BARs are wrong, the next rung follows', async () => {
      sim.kernel.die(bochs, { healsBy: ['subordinate'] });
      const { rungs, details } = await climb(bochs);
      assert.deepEqual(rungs, ['subordinate not-healed', 'remove-rescan healed']);
      assert.match(
        details[0] ?? '',
        /suspect: 0000:01:00\.0: BAR 0 reads ff000000 where the kernel has \w+: it was reset and not/,
      );
    });

    test('of a rescan without room for the BARs is seen', async () => {
      sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
      sim.kernel.loseBars(bochs, 'rescan');
      const lost = await climb(bochs);
      assert.equal(lost.rungs.at(1), 'remove-rescan not-healed');
      assert.match(lost.details[1] ?? '', /suspect: 0000:01:00\.0: BAR 0 has no address/);
      assert.match(lost.details[1] ?? '', /\| kernel log: device-lost/);
    });

    test('that the kernel log denies is none, however well the card answers', async () => {
      sayAt('/reset', `vfio-pci ${flr}.0: AMD_NAVI10: failed to reset device`);
      const { rungs, details, after } = await climb(flr, { whenHealthy: ['flr'] });
      assert.deepEqual(rungs, [
        'flr not-healed',
        'pm not-healed',
        'bus not-healed',
        'subordinate healed',
      ]);
      assert.equal(after.state, 'healthy');
      assert.match(
        details[0] ?? '',
        /suspect: 0000:02:00: the kernel log says reset-failed: .*AMD_NAVI10: failed to reset device \| kernel log: reset-failed \| kernel: vfio/,
      );
    });
  });

  const told: readonly (readonly [string, string, RegExp | undefined])[] = [
    [
      'a framebuffer that holds it',
      `vfio-pci ${flr}.0: BAR 0: can't reserve [mem 0xe0000000-0xefffffff 64bit pref]`,
      /\| kernel log: framebuffer-held \|/,
    ],
    [
      'a device that was lost, and answers again',
      `pci ${flr}.0: Unable to change power state from D3cold to D0, device inaccessible`,
      /\| kernel log: device-lost \|/,
    ],
    [
      'an IOMMU that waits, for whomever',
      'AMD-Vi: Completion-Wait loop timed out',
      /\| kernel log: iommu-stuck/,
    ],
    ['the port', `pcieport ${portOfFlr}: AER: device recovery failed`, undefined],
    ['another card', `vfio-pci ${bochs}.0: AMD_NAVI10: failed to reset device`, undefined],
    ['nobody', 'psp mode1 reset failed', undefined],
  ];
  for (const [name, line, detail] of told) {
    test(`the kernel log of a rung about ${name}`, async () => {
      sayAt('/reset', line);
      const { rungs, details } = await climb(flr, { evenIfHealthy: true });
      const isPort = line.includes(portOfFlr);
      assert.equal(rungs[0], isPort ? 'flr not-healed' : 'flr healed');
      if (detail !== undefined) assert.match(details[0] ?? '', detail);
      else assert.equal(/kernel log/.test(details[0] ?? ''), isPort);
    });
  }

  describe('outcomes', () => {
    test('each rung that was done is counted, and what worked goes first the next time', async () => {
      sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
      const known = card(bochs);
      const home = known.functions.map((one) => ({ ...one, driver: 'bochs-drm' }));
      const names = async () => {
        const revival = await revive(
          sim.host,
          { ...known, functions: home },
          { budgetMs: 1_000_000 },
        );
        return revival.rungs.map(({ rung }) => rung);
      };
      for (const _ of [1, 2]) {
        sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
        assert.deepEqual(await names(), ['subordinate', 'remove-rescan']);
        for (const address of [`${bochs}.0`, `${bochs}.1`]) {
          sim.kernel.write(sim.at(address, 'driver/unbind'), address);
        }
      }
      sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
      assert.deepEqual(await names(), ['remove-rescan']);
      const counts = sim.host.ledger
        .outcomes()
        .map(({ id, rung, kernel, driver, tried, healed }) => [
          id,
          rung,
          kernel,
          driver,
          tried,
          healed,
        ]);
      assert.deepEqual(counts, [
        ['1234:1111', 'subordinate', 'k', 'bochs-drm', 2, 0],
        ['1234:1111', 'remove-rescan', 'k', 'bochs-drm', 3, 3],
      ]);
    });

    test('a reset of a healthy card is counted apart, a rung that was skipped not at all', async () => {
      const key = { card: flr, id: '1af4:1050', kernel: 'k', boot: 'before', since: 1 } as const;
      await sim.host.ledger.addQuarantine([{ ...key, kind: 'rung', name: 'flr' }]);
      assert.deepEqual((await climb(flr, { evenIfHealthy: true })).rungs, [
        'flr skipped',
        'pm healed',
      ]);
      const [one, ...others] = sim.host.ledger.outcomes();
      assert.deepEqual(others, []);
      assert.deepEqual(
        [one?.rung, one?.tried, one?.triedHealthy, one?.keptHealthy],
        ['pm', 0, 1, 1],
      );
    });

    test('the order of the configuration or of a person is kept', async () => {
      const result = { wasHealthy: false, worked: true, ms: 1, at: 1 };
      const key = { card: flr, id: '1af4:1050', family: '', kernel: 'k', driver: 'none' } as const;
      await sim.host.ledger.addResult({ ...key, rung: 'pm' }, result);
      assert.deepEqual((await climb(flr, { evenIfHealthy: true })).rungs, ['pm healed']);
      const order = ['flr', 'pm'] as const;
      assert.deepEqual((await climb(flr, { order, evenIfHealthy: true })).rungs, ['flr healed']);
    });
  });
});
