/** Rungs that need more of the host than the card: its driver, its platform's power, its sleep. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { RevivedError } from '../../../daemon/errors.ts';
import { type Card, readInventory } from '../../../daemon/pci/inventory.ts';
import { type RungName, rungNames } from '../../../daemon/pci/rung-name.ts';
import { rungs } from '../../../daemon/reset/ladder.ts';
import { revive } from '../../../daemon/reset/revive.ts';
import { type ResetFacts, readResetFacts } from '../../../daemon/reset/rung.ts';
import { checkCard, idOfCard } from '../../../daemon/reset/verify.ts';
import { machine } from '../../sim/machine.ts';
import { desktopSpec } from '../../sim/presets.ts';
import type { MachineState } from '../../sim/state.ts';
import { card as address } from '../inventory-of.ts';
import { benchCards, benchMachine, type SimHost, simHost, treeOf } from '../sim-host.ts';

const { bochs } = benchCards;
const port = '0000:00:04.0';

describe('rungs of the host', () => {
  let sim: SimHost;
  const use = async (state: MachineState) => {
    sim?.dispose();
    sim = await simHost({ machine: state });
  };
  afterEach(() => sim.dispose());

  const card = (one: typeof bochs): Card =>
    readInventory(sim.kernel.sys).cards.get(one) ?? assert.fail(`no ${one}`);
  const facts = (one: Card): ResetFacts =>
    readResetFacts(sim.kernel.sys, one, readInventory(sim.kernel.sys), {});
  const detach = (one: typeof bochs) => {
    for (const fn of card(one).functions) {
      if (fn.driver === undefined) continue;
      sim.kernel.write(sim.at(fn.address, 'driver_override'), 'vfio-pci');
      sim.kernel.write(sim.at(fn.address, 'driver/unbind'), fn.address);
    }
  };
  /** Runs a rung; gives its answer and what it wrote, paths from the device on. */
  const run = async (name: RungName, one: typeof bochs) => {
    const { length } = sim.kernel.writes;
    const answer = await rungs[name].run(facts(card(one)), sim.host);
    const writes = sim.kernel.writes
      .slice(length)
      .map(({ path, value }) => `${path.replace(/^.*\/devices\//, '')} = ${value}`);
    return { ...answer, writes };
  };

  describe('amdgpu', () => {
    const navi = address('0000:03:00');
    const main = `${navi}.0`;
    beforeEach(async () => {
      await use(machine(desktopSpec));
      detach(navi);
      for (const fn of card(navi).functions) {
        sim.kernel.write(sim.at(fn.address, 'power/control'), 'on');
      }
    });
    const left = () => {
      const { driver, override, control } = sim.kernel.device(main);
      return [driver, override, control];
    };
    const recover = () => `${sim.kernel.sys}/kernel/debug/dri/0/amdgpu_gpu_recover`;

    test('takes the card, has it reset, and leaves it as it was', async () => {
      const { state, said, writes } = await run('amdgpu', navi);
      assert.deepEqual([state, said], ['done', `amdgpu had ${main}, reset it and let it go`]);
      assert.deepEqual(sim.kernel.resets, [{ method: 'amdgpu', address: main }]);
      assert.deepEqual(left(), [null, 'vfio-pci', 'on']);
      assert.equal(writes[0], `${main}/driver_override = amdgpu\n`);
    });

    test('without debugfs the whole card falls asleep, its other functions as well, and is kept awake again', async () => {
      const known = card(navi);
      const [gpu, ...rest] = known.functions;
      assert.ok(gpu);
      const vega = { ...known, functions: [{ ...gpu, device: '687f' }, ...rest] };
      const writes: string[] = [];
      const { io } = sim.host;
      const write: typeof io.write = async (path, value, ms) => {
        writes.push(`${path.replace(/^.*\/devices\//, '')} = ${value}`);
        const result = await io.write(path, value, ms);
        if (path === sim.at(main, 'power/control') && value === 'auto') {
          writeFileSync(sim.at(main, 'power/runtime_status'), 'suspended\n');
        }
        if (path.endsWith('drivers_probe'))
          rmSync(`${sim.kernel.sys}/kernel/debug`, { recursive: true });
        return result;
      };
      await rungs.amdgpu.run(facts(vega), { ...sim.host, io: { ...io, write } });
      const power = writes.filter((one) => one.includes('/power/control = '));
      const others = [1, 2, 3].map((fn) => `${navi}.${fn}/power/control`);
      assert.deepEqual(power, [
        ...others.map((one) => `${one} = auto`),
        `${main}/power/control = auto`,
        `${main}/power/control = on`,
        ...others.map((one) => `${one} = on`),
      ]);
    });

    test('is believed where it says that it failed', async () => {
      sim.kernel.failRecover(navi);
      const { state, said } = await run('amdgpu', navi);
      assert.deepEqual([state, said], ['error', 'amdgpu_gpu_recover answered -62']);
      assert.deepEqual(left(), [null, 'vfio-pci', 'on']);
    });

    test('that answers 0 and has done nothing is not believed', async () => {
      sim.kernel.failRecover(navi, 'skipped');
      const { state, said } = await run('amdgpu', navi);
      assert.equal(state, 'error');
      assert.match(said, /answered 0, but its log tells of no reset/);
    });

    test('that does not take the card is no reset', async () => {
      sim.kernel.loseBars(navi);
      const { state, said } = await run('amdgpu', navi);
      assert.deepEqual([state, said], ['error', 'amdgpu did not take the card']);
      assert.deepEqual(left(), [null, 'vfio-pci', 'on']);
    });

    for (const file of ['bind', 'reset'] as const) {
      test(`that hangs in its ${file} ends it, with the pid`, async () => {
        sim.kernel.hang(file === 'bind' ? sim.bus('drivers_probe') : recover());
        const answer = await rungs.amdgpu.run(facts(card(navi)), sim.host);
        assert.ok(answer.state === 'stuck');
        assert.match(answer.said, /^(binding amdgpu|amdgpu_gpu_recover) never returned \(child \d/);
      });
    }

    test('keeps a card that somebody has opened meanwhile', async () => {
      sim.kernel.hold(7, 'Xorg', `${sim.host.paths.dev}/dri/card0`);
      const { state, said } = await run('amdgpu', navi);
      assert.equal(state, 'error');
      assert.match(said, /amdgpu has the card, and it is in use: Xorg \(pid 7\)/);
      assert.equal(sim.kernel.device(main).driver, 'amdgpu');
    });
  });

  describe('d3cold', () => {
    const navi = address('0000:03:00');
    const port = '0000:02:00.0';
    beforeEach(async () => {
      await use(machine(desktopSpec));
      detach(navi);
    });
    const before = () => treeOf(sim.kernel.sys);

    test('lets the port cut the power, and puts all settings back', async () => {
      for (const fn of card(navi).functions) {
        sim.kernel.write(sim.at(fn.address, 'd3cold_allowed'), '0');
      }
      const tree = before();
      sim.kernel.die(navi, { healsBy: ['d3cold'] });
      const { state, said } = await run('d3cold', navi);
      assert.deepEqual([state, said], ['done', `${port} was in D3cold, and is awake again`]);
      assert.equal((await checkCard(sim.host, card(navi))).state, 'healthy');
      assert.deepEqual(before(), tree);
    });

    test('says so where a function refuses to sleep, and wakes the others', async () => {
      const tree = before();
      sim.kernel.failWrite(sim.at(`${navi}.2`, 'power/control'), 'EIO');
      const { state, said } = await run('d3cold', navi);
      assert.deepEqual([state, said], ['error', `power/control of ${navi}.2: EIO`]);
      assert.deepEqual(before(), tree);
    });

    test('writes nothing more when a child hangs', async () => {
      sim.kernel.hang(sim.at(`${navi}.2`, 'power/control'));
      const { state, writes } = await run('d3cold', navi);
      assert.equal(state, 'stuck');
      assert.equal(writes.at(-1), `${navi}.2/power/control = auto`);
    });
  });

  describe('suspend', () => {
    const settings = () =>
      [0, 1].map((fn) => {
        const { override, control, driver } = sim.kernel.device(`${bochs}.${fn}`);
        return [override, control, driver];
      });
    const use3 = async () => {
      const functions = [{ model: 'bochs' }, { model: 'hda' }] as const;
      await use(machine({ rtc: true, ports: [{ address: port, functions }] }));
      detach(bochs);
      sim.kernel.write(sim.at(`${bochs}.1`, 'driver_override'), 'none');
      for (const fn of [0, 1]) sim.kernel.write(sim.at(`${bochs}.${fn}`, 'power/control'), 'auto');
    };

    test('removes the functions, sleeps, and finds them fresh', async () => {
      await use3();
      assert.equal(facts(card(bochs)).noSleep, undefined);
      sim.kernel.die(bochs, { healsBy: ['suspend'] });
      const { state, writes } = await run('suspend', bochs);
      assert.equal(state, 'done');
      assert.deepEqual(writes.slice(0, 3), [
        `${bochs}.1/remove = 1`,
        `${bochs}.0/remove = 1`,
        `${port}/rescan = 1`,
      ]);
      assert.equal((await checkCard(sim.host, card(bochs))).state, 'healthy');
      assert.deepEqual(settings()[1], ['none', 'auto', 'snd_hda_intel']);
    });

    test('leaves the functions in a hotplug slot until the host is awake', async () => {
      await use({ ...benchMachine(), rtc: true });
      detach(bochs);
      let there = false;
      const sleep = async () => {
        there = sim.kernel.device(`${bochs}.0`).enumerated;
      };
      const host = { ...sim.host, suspend: { ...sim.host.suspend, sleep } };
      assert.equal((await rungs.suspend.run(facts(card(bochs)), host)).state, 'done');
      assert.equal(there, true);
      assert.equal(sim.kernel.writes.filter(({ path }) => path.endsWith('/remove')).length, 2);
    });

    test('is never the answer to a card that is healthy, unless it is asked for by name', async () => {
      await use3();
      const { host, kernel } = sim;
      const others = rungNames.filter((name) => name !== 'suspend');
      await host.ledger.addQuarantine(
        others.map((name) => ({
          ...{ card: bochs, id: idOfCard(card(bochs)), kind: 'rung', name },
          ...{ kernel: host.kernel, boot: 'before', since: 1 },
        })),
      );
      let slept = 0;
      const sleep = async () => {
        slept++;
      };
      const asleep = { ...host, suspend: { ...host.suspend, sleep } };
      const budget = { budgetMs: 1e6, evenIfHealthy: true };
      await revive(asleep, card(bochs), budget);
      assert.deepEqual([slept, kernel.resets], [0, []]);
      await revive(asleep, card(bochs), { ...budget, order: ['suspend'] });
      assert.equal(slept, 1);
    });

    test('of a host that stays awake brings the functions back, and says why', async () => {
      await use3();
      const why = new RevivedError('failed', 'The host does not sleep: a program blocks it.');
      const sleep = () => Promise.reject(why);
      const host = { ...sim.host, suspend: { ...sim.host.suspend, sleep } };
      const answer = await rungs.suspend.run(facts(card(bochs)), host);
      assert.deepEqual(answer, { state: 'error', said: why.message });
      assert.deepEqual(settings()[0], ['vfio-pci', 'auto', 'bochs-drm']);
    });
  });
});
