/** Each step on a simulated machine: what it does, that it can be done twice, and that its undo is right at any moment. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { RevivedError } from '../../../daemon/errors.ts';
import type { PowerSetting } from '../../../daemon/pipeline/lease.ts';
import type { StepContext } from '../../../daemon/pipeline/step.ts';
import { executors } from '../../../daemon/pipeline/steps/index.ts';
import { readAttribute } from '../../../daemon/sysfs/read.ts';
import { machine } from '../../sim/machine.ts';
import { desktopSpec } from '../../sim/presets.ts';
import type { MachineState } from '../../sim/state.ts';
import { fn as address, card as cardAt } from '../inventory-of.ts';
import { benchCards, benchMachine, type SimPipeline, simPipeline, treeOf } from '../sim-host.ts';

const { bochs: card, flr } = benchCards;
const fn = address(`${card}.0`);
const audio = address(`${card}.1`);
const port = address('0000:00:04.0');

describe('steps', () => {
  let sim: SimPipeline;
  let context: StepContext;
  const use = async (state?: MachineState) => {
    await sim?.close();
    sim = await simPipeline(state && { machine: state });
    context = {
      host: sim.host,
      signal: new AbortController().signal,
      onHealth: () => {},
      onDetail: () => {},
      hangs: () => false,
      journalRung: async () => {},
    };
  };
  beforeEach(() => use());
  afterEach(() => sim.close());

  const override = (one = fn) => sim.kernel.device(one).override;
  const written = () => sim.kernel.writes.length;

  describe('override', () => {
    const { run, undo, survey } = executors.override;

    test('admits one driver, and is done when it is done', async () => {
      assert.equal(await run({ card, fn, driver: 'vfio-pci' }, context), 'vfio-pci');
      const before = written();
      await run({ card, fn, driver: 'vfio-pci' }, context);
      assert.deepEqual([override(), written()], ['vfio-pci', before]);
      assert.equal(await run({ card, fn, driver: '' }, context), 'cleared');
      assert.equal(override(), null);
    });

    test('undone, it is what its owner had chosen', async () => {
      sim.kernel.write(sim.at(fn, 'driver_override'), 'none');
      const args = { card, fn, driver: 'vfio-pci' };
      const data = await survey(args, sim.host);
      await undo(args, data, context);
      assert.equal(override(), 'none', 'also when it never began');
      await run(args, context);
      await undo(args, data, context);
      assert.equal(override(), 'none');
    });

    test('is read by a child, so that a device whose reset hangs holds up nobody else', async () => {
      const path = sim.at(fn, 'driver_override');
      assert.throws(() => readAttribute(path), /may block/, 'not by the daemon itself');
      sim.kernel.hang(path);
      await assert.rejects(
        async () => survey({ card, fn, driver: 'vfio-pci' }, sim.host),
        (error) =>
          error instanceof RevivedError &&
          error.code === 'stuck' &&
          /^The kernel does not say which driver .* child \d+ is in D state/.test(error.message),
      );
      assert.notEqual(sim.host.stuck.of(card), undefined, 'and the card is left alone from now on');
      sim.kernel.unhang(path);
      assert.equal(sim.host.stuck.of(card), undefined);
    });

    test('of a function that has left the bus is left to whoever binds it when it is back', async () => {
      sim.kernel.write(sim.at(fn, 'remove'), '1');
      assert.match(await run({ card, fn, driver: 'vfio-pci' }, context), /not on the bus/);
      await undo({ card, fn, driver: 'vfio-pci' }, { previous: '' }, context);
    });

    test('that the kernel refuses is named with the file and the errno', async () => {
      sim.kernel.failWrite(sim.at(fn, 'driver_override'), 'EINVAL');
      const outcome = run({ card, fn, driver: 'vfio-pci' }, context);
      await assert.rejects(outcome, /"vfio-pci" to .*driver_override failed: EINVAL/);
    });
  });

  describe('unbind', () => {
    const { run, undo, survey } = executors.unbind;

    test('takes a function from its driver, once', async () => {
      assert.equal(await run({ card, fn }, context), 'bochs-drm let go');
      assert.equal(await run({ card, fn }, context), 'no driver has it');
    });

    test('is not done while the driver is still there, whatever the kernel answers', async () => {
      sim.kernel.failWrite(sim.bus('drivers/bochs-drm/unbind'), 'ENODEV');
      await assert.rejects(run({ card, fn }, context), /still bound to bochs-drm/);
    });

    test('undone, the old driver has it, whatever the override says, which stays', async () => {
      const data = await survey({ card, fn }, sim.host);
      await undo({ card, fn }, data, context);
      assert.equal(written(), 0, 'it never began');
      await run({ card, fn }, context);
      sim.kernel.write(sim.at(fn, 'driver_override'), 'vfio-pci');
      sim.kernel.write(sim.bus('drivers_probe'), fn);
      await undo({ card, fn }, data, context);
      assert.deepEqual([sim.driver(fn), override()], ['bochs-drm', 'vfio-pci']);
    });

    test('that cannot be undone leaves the override as it was', async () => {
      const data = await survey({ card, fn }, sim.host);
      await run({ card, fn }, context);
      sim.kernel.failWrite(sim.bus('drivers_probe'), 'EIO');
      await assert.rejects(undo({ card, fn }, data, context), /drivers_probe failed: EIO/);
      assert.equal(override(), null);
    });
  });

  describe('bind-vfio', () => {
    const { run, undo, survey } = executors['bind-vfio'];

    test('binds by override, from a host driver too, and finds the node of the group', async () => {
      assert.match(await run({ card, fn }, context), /^vfio-pci, group \d+$/);
      assert.deepEqual([sim.driver(fn), override()], ['vfio-pci', 'vfio-pci']);
      const before = written();
      assert.match(await run({ card, fn }, context), /already/);
      assert.equal(written(), before);
      assert.equal(
        sim.kernel.writes.some(({ path }) => path.endsWith('new_id')),
        false,
      );
    });

    test('waits for who has opened it since a host driver grabbed it, and names them', async () => {
      sim.kernel.hold(7, 'Xorg', `${sim.host.paths.dev}/dri/card0`);
      await assert.rejects(run({ card, fn }, context), { code: 'busy', message: /Xorg \(pid 7\)/ });
      assert.equal(sim.driver(fn), 'bochs-drm');
    });

    test('loads vfio-pci where it is missing', async () => {
      await use(benchMachine(2, ['pcieport', 'bochs-drm']));
      await run({ card, fn }, context);
      assert.equal(sim.driver(fn), 'vfio-pci');
    });

    test('is refused by the kernel without an IOMMU', async () => {
      await use({ ...benchMachine(), iommu: false });
      await assert.rejects(run({ card, fn }, context), /vfio-pci did not take 0000:01:00\.0/);
    });

    test('undone, vfio-pci lets go, unless it had it before', async () => {
      const fresh = await survey({ card, fn }, sim.host);
      await undo({ card, fn }, fresh, context);
      assert.equal(sim.driver(fn), 'bochs-drm', 'it never began');
      await run({ card, fn }, context);
      await undo({ card, fn }, await survey({ card, fn }, sim.host), context);
      assert.equal(sim.driver(fn), 'vfio-pci');
      await undo({ card, fn }, fresh, context);
      assert.equal(sim.driver(fn), undefined);
    });
  });

  describe('bind-home', () => {
    const { run } = executors['bind-home'];
    beforeEach(async () => {
      await executors['bind-vfio'].run({ card, fn }, context);
    });

    test('gives a function to the driver it had, and to no other', async () => {
      assert.equal(await run({ card, fn, driver: 'bochs-drm' }, context), 'bochs-drm has it');
      assert.deepEqual([sim.driver(fn), override()], ['bochs-drm', 'bochs-drm']);
      assert.equal(await run({ card, fn, driver: 'bochs-drm' }, context), 'bochs-drm has it');
    });

    test('leaves a function unbound that had no driver, also when the kernel offers it to all', async () => {
      assert.equal(await run({ card, fn, driver: null }, context), 'unbound');
      sim.kernel.write(sim.bus('drivers_probe'), fn);
      assert.equal(sim.driver(fn), undefined);
      assert.equal(await run({ card, fn, driver: null }, context), 'it has no driver');
    });

    test('gives a function of unknown home to whichever host driver takes it', async () => {
      assert.equal(await run({ card, fn, driver: '*' }, context), 'bochs-drm has it');
      assert.deepEqual([sim.driver(fn), override()], ['bochs-drm', null]);
      const before = written();
      await run({ card, fn, driver: '*' }, context);
      assert.equal(written(), before);
    });

    test('loads the module of the old driver where it is gone', async () => {
      await run({ card, fn, driver: null }, context);
      await use(benchMachine(2, ['pcieport', 'vfio-pci']));
      await run({ card, fn, driver: 'bochs-drm' }, context);
      assert.equal(sim.driver(fn), 'bochs-drm');
    });

    test('says which driver did not take it, and where to look', async () => {
      sim.kernel.die(card);
      await assert.rejects(run({ card, fn, driver: 'bochs-drm' }, context), {
        message: /bochs-drm did not take 0000:01:00\.0/,
        advice: /journalctl -k --grep 0000:01:00\.0/,
      });
    });
  });

  describe('power', () => {
    const devices = [fn, audio, port];
    const control = () => devices.map((one) => sim.kernel.device(one).control);
    const pin = executors['pin-power'];
    beforeEach(() => {
      for (const one of devices) sim.kernel.write(sim.at(one, 'power/control'), 'auto');
    });

    test('is pinned for functions and ports, and put back', async () => {
      const before = treeOf(sim.kernel.sys);
      const data = await pin.survey({ card, devices }, sim.host);
      assert.match(await pin.run({ card, devices }, context), /^3 settings changed, all awake$/);
      assert.deepEqual(control(), ['on', 'on', 'on']);
      assert.match(await pin.run({ card, devices }, context), /^0 settings/);
      await pin.undo({ card, devices }, data, context);
      assert.deepEqual(treeOf(sim.kernel.sys), before);
    });

    test('wakes a card that sleeps in D3cold, and forbids that', async () => {
      await use(machine(desktopSpec));
      const navi = [0, 1, 2, 3].map((one) => address(`0000:03:00.${one}`));
      const all = [...navi, address('0000:02:00.0')];
      for (const one of navi.slice(0, 3)) sim.kernel.write(sim.at(one, 'driver/unbind'), one);
      for (const one of all.toReversed()) sim.kernel.write(sim.at(one, 'power/control'), 'auto');
      assert.equal(sim.kernel.device(navi[0] ?? fn).powerState, 'D3cold');
      await pin.run({ card: cardAt('0000:03:00'), devices: all }, context);
      for (const one of navi) {
        const { powerState, d3coldAllowed } = sim.kernel.device(one);
        assert.deepEqual([powerState, d3coldAllowed], ['D0', false]);
      }
    });

    for (const how of ['undo of the pin', 'return']) {
      test(`one setting that the ${how} cannot put back does not keep the others`, async () => {
        const data = await pin.survey({ card, devices }, sim.host);
        await pin.run({ card, devices }, context);
        sim.kernel.failWrite(sim.at(fn, 'power/control'), 'EIO');
        const settings: readonly PowerSetting[] = devices.map((device) => {
          return { device, attribute: 'power/control', value: 'auto' };
        });
        const putBack =
          how === 'return'
            ? executors['restore-power'].run({ card, settings }, context)
            : pin.undo({ card, devices }, data, context);
        await assert.rejects(putBack, /0000:01:00\.0\/power\/control failed: EIO/);
        assert.deepEqual(control(), ['on', 'auto', 'auto']);
      });
    }

    test('of devices that are gone is nobody’s any more', async () => {
      const data = await pin.survey({ card, devices }, sim.host);
      sim.kernel.write(sim.at(audio, 'remove'), '1');
      await pin.run({ card, devices }, context);
      await pin.undo({ card, devices }, data, context);
      const settings = [{ device: audio, attribute: 'power/control', value: 'auto' } as const];
      assert.match(
        await executors['restore-power'].run({ card, settings }, context),
        /^0 settings/,
      );
    });
  });

  describe('reset-method', () => {
    const { run, undo, survey } = executors['reset-method'];
    const one = address(`${flr}.0`);
    const args = { card: flr, fn: one, methods: 'pm flr', otherwise: 'fail' } as const;
    const methods = () => sim.kernel.device(one).methods;

    test('is what was asked for, and undone what it was', async () => {
      const data = await survey(args, sim.host);
      assert.equal(await run(args, context), 'pm flr');
      assert.deepEqual(methods(), ['pm', 'flr']);
      await undo(args, data, context);
      assert.deepEqual(methods(), ['flr', 'pm', 'bus']);
    });

    test('that the kernel does not have is refused', async () => {
      await assert.rejects(
        run({ ...args, methods: 'acpi' }, context),
        /reset_method failed: EINVAL/,
      );
    });

    test('undone where the old list is stale, is what the kernel finds', async () => {
      const stale = { card, fn, methods: 'default', otherwise: 'fail' } as const;
      const data = await survey(stale, sim.host);
      assert.deepEqual(data, { previous: 'bus' });
      await undo(stale, data, context);
      assert.deepEqual(sim.kernel.device(fn).methods, []);
    });

    test('that hangs is not taken for undone', async () => {
      const data = await survey(args, sim.host);
      sim.kernel.hang(sim.at(one, 'reset_method'));
      await assert.rejects(undo(args, data, context), { code: 'stuck' });
    });
  });

  describe('waits', () => {
    const free = executors['wait-free'];
    const closed = executors['wait-closed'];
    const functions = [fn, audio];
    const dri = () => `${sim.host.paths.dev}/dri/card0`;

    test('nobody uses the card', async () => {
      assert.equal(await free.run({ card, functions }, context), 'nobody has it open');
      sim.kernel.write(sim.at(fn, 'driver/unbind'), fn);
      assert.match(await free.run({ card, functions: [fn] }, context), /no nodes/);
      assert.equal(await closed.run({ card, functions }, context), 'nobody has it open');
    });

    test('who still uses it is named', async () => {
      sim.kernel.hold(7, 'Xorg', dri());
      sim.kernel.hold(8, 'pipewire', `${sim.host.paths.dev}/snd/pcmC0D0p`);
      await assert.rejects(free.run({ card, functions }, context), {
        code: 'busy',
        message: /Xorg \(pid 7\) has .*card0 open, pipewire \(pid 8\) has .*pcmC0D0p open/,
      });
      await assert.rejects(free.run({ card, functions: [audio] }, context), /uses the card: pipew/);
    });

    test('a sound server that only has the mixer open does not count', async () => {
      sim.kernel.hold(8, 'pipewire', `${sim.host.paths.dev}/snd/controlC0`);
      assert.equal(await free.run({ card, functions }, context), 'nobody has it open');
    });

    test('it goes on as soon as nobody does', async () => {
      await use();
      const host = { ...sim.host, deadlines: { ...sim.host.deadlines, holders: 10_000 } };
      sim.kernel.hold(7, 'Xorg', dri());
      const wait = free.run({ card, functions }, { ...context, host });
      sim.kernel.letGo(7);
      assert.equal(await wait, 'nobody has it open');
    });

    test('a guest that has the group open is waited for, then named', async () => {
      for (const one of functions) await executors['bind-vfio'].run({ card, fn: one }, context);
      const { group } = sim.kernel.device(fn);
      sim.kernel.hold(9, 'qemu', `${sim.host.paths.dev}/vfio/${group}`);
      await assert.rejects(closed.run({ card, functions }, context), {
        code: 'busy',
        message: /qemu \(pid 9\)/,
      });
    });
  });

  describe('verify', () => {
    const { run } = executors.verify;

    test('lets a card go to its guest that answers', async () => {
      assert.match(await run({ card, known: sim.card(card) }, context), /^healthy: 0000:01:00\.0/);
    });

    test('refuses one that is dead, or asleep in spite of all', async () => {
      const known = sim.card(card);
      sim.kernel.die(card);
      await assert.rejects(run({ card, known }, context), {
        message: /^Card 0000:01:00 would not work in a guest: it is wedged \(.*reads as all ones/,
        advice: /revivectl reset 0000:01:00/,
      });
      await use(machine(desktopSpec));
      const navi = cardAt('0000:03:00');
      const all = [...sim.functions(navi).slice(0, 3), address('0000:02:00.0')];
      for (const one of all.slice(0, 3)) sim.kernel.write(sim.at(one, 'driver/unbind'), one);
      for (const one of sim.functions(navi)) {
        sim.kernel.write(sim.at(one, 'power/control'), 'auto');
      }
      sim.kernel.write(sim.at('0000:02:00.0', 'power/control'), 'auto');
      const asleep = run({ card: navi, known: sim.card(navi) }, context);
      await assert.rejects(asleep, /0000:03:00\.0, .* cannot be woken/);
    });
  });

  test('revive tells what it saw before and after', async () => {
    const known = sim.card(card);
    const never = { evenIfHealthy: false, force: false, whenHealthy: [], module: null };
    const args = { card, known, budgetMs: 1e6, order: null, ...never };
    assert.match(await executors.revive.run(args, context), /^healthy: 0000:01:00\.0: answers as/);
    for (const one of [audio, fn]) await executors.unbind.run({ card, fn: one }, context);
    sim.kernel.die(card, { healsBy: ['remove-rescan'] });
    assert.match(
      await executors.revive.run(args, context),
      /^wedged before \(.*ones.*\), healthy after remove-rescan: /,
    );
  });
});
