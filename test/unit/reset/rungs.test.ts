/** What each rung writes, in which order, and what it makes of the kernel's answers. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type Card, readInventory } from '../../../daemon/pci/inventory.ts';
import type { RungName } from '../../../daemon/pci/rung-name.ts';
import { rungs } from '../../../daemon/reset/ladder.ts';
import { type ResetFacts, readResetFacts } from '../../../daemon/reset/rung.ts';
import { checkCard } from '../../../daemon/reset/verify.ts';
import { machine } from '../../sim/machine.ts';
import { desktopSpec } from '../../sim/presets.ts';
import type { MachineState } from '../../sim/state.ts';
import { card as address } from '../inventory-of.ts';
import { benchCards, gate, type SimHost, simHost, until } from '../sim-host.ts';

const { bochs, flr } = benchCards;
const port = '0000:00:04.0';

describe('rungs', () => {
  let sim: SimHost;
  const use = async (state: MachineState) => {
    sim?.dispose();
    sim = await simHost({ machine: state });
  };
  beforeEach(async () => {
    sim = await simHost();
  });
  afterEach(() => sim.dispose());

  const card = (one: typeof flr): Card =>
    readInventory(sim.kernel.sys).cards.get(one) ?? assert.fail(`no ${one}`);
  const facts = (one: Card): ResetFacts =>
    readResetFacts(sim.kernel.sys, one, readInventory(sim.kernel.sys), {});
  /** Takes the host drivers away, as the steps before a rung do. */
  const detach = (one: typeof flr) => {
    for (const fn of card(one).functions) {
      if (fn.driver === undefined) continue;
      sim.kernel.write(sim.at(fn.address, 'driver_override'), 'vfio-pci');
      sim.kernel.write(sim.at(fn.address, 'driver/unbind'), fn.address);
    }
  };
  /** Runs a rung; gives its answer and what it wrote, paths from the device or the slot on. */
  const run = async (name: RungName, one: typeof flr, known = card(one)) => {
    const { length } = sim.kernel.writes;
    const answer = await rungs[name].run(facts(known), sim.host);
    const writes = sim.kernel.writes
      .slice(length)
      .map(({ path, value }) => `${path.replace(/^.*\/(devices|pci\/slots)\//, '')} = ${value}`);
    return { ...answer, writes };
  };

  describe('facts', () => {
    test('methods, drivers, and what sits below which port', () => {
      const { functions, ports, slot, gone } = facts(card(bochs));
      assert.deepEqual(functions, [
        { address: `${bochs}.0`, methods: ['bus'], driver: 'bochs-drm' },
        { address: `${bochs}.1`, methods: undefined, driver: 'snd_hda_intel' },
      ]);
      assert.deepEqual(ports, [
        {
          address: port,
          canResetSubordinate: true,
          canCutPower: false,
          below: [`${bochs}.0`, `${bochs}.1`],
        },
      ]);
      assert.deepEqual(slot, { directory: sim.bus('slots/1') });
      assert.equal(gone, false);
    });

    test('a port below which no bus may be reset forbids that to the card', () => {
      detach(flr);
      const forbidden = () =>
        (['bus', 'subordinate'] as const).map((name) => {
          const found = rungs[name].assess(facts(card(flr)));
          return found.available ? '' : found.reason;
        });
      assert.deepEqual(forbidden(), ['', '']);
      const directory = sim.at('0000:00:07.0', '');
      for (const [name, value] of Object.entries({ vendor: '0x10de', device: '0x22ce' })) {
        writeFileSync(`${directory}${name}`, `${value}\n`);
      }
      for (const reason of forbidden()) assert.match(reason, /^0000:00:07\.0: what is below it/);
    });

    test('a card that is gone has no functions, and its slot all the same', () => {
      const known = card(bochs);
      for (const fn of [1, 0]) sim.kernel.write(sim.at(`${bochs}.${fn}`, 'remove'), '1');
      const { functions, gone, slot } = facts(known);
      assert.deepEqual([functions, gone, slot?.directory], [[], true, sim.bus('slots/1')]);
    });
  });

  describe('methods of the kernel', () => {
    for (const name of ['device_specific', 'acpi', 'flr', 'pm', 'bus'] as const) {
      test(`${name}: alone, and then the old list again`, async () => {
        await use(
          machine({
            ports: [
              { functions: [{ model: 'virtio-gpu', deviceSpecific: true, acpiReset: true }] },
            ],
          }),
        );
        const only = address('0000:01:00');
        detach(only);
        const { state, said, writes } = await run(name, only);
        const list = 'device_specific acpi flr pm bus';
        // vendor-reset leaves the card asleep: it is kept from D3cold.
        const pinned = name === 'device_specific' ? [`${only}.0/d3cold_allowed = 0`] : [];
        assert.deepEqual(writes, [
          `${only}.0/reset_method = ${name}`,
          `${only}.0/reset = 1`,
          `${only}.0/reset_method = ${list}`,
          ...pinned,
        ]);
        assert.deepEqual(sim.kernel.resets, [{ method: name, address: `${only}.0` }]);
        assert.match(said, /^0000:01:00\.0: returned 0 after 0\.\d s$/);
        assert.equal(state, 'done');
        assert.deepEqual(sim.kernel.device(`${only}.0`).methods, list.split(' '));
      });
    }

    test('a method that the kernel refuses is not followed by a reset', async () => {
      const { state, said, writes } = await run('bus', bochs);
      assert.deepEqual(writes, [`${bochs}.0/reset_method = bus`]);
      assert.deepEqual(
        [state, said],
        ['error', `${bochs}.0: the kernel refuses the method (EINVAL)`],
      );
    });

    test('an old list that the kernel refuses now is probed anew: a reset is never left without methods', async () => {
      detach(flr);
      sim.kernel.die(flr);
      const { state, said, writes } = await run('bus', flr);
      assert.deepEqual(writes.slice(2), [
        `${flr}.0/reset_method = flr pm bus`,
        `${flr}.0/reset_method = default`,
      ]);
      assert.deepEqual([state, said], ['error', `${flr}.0: ENOTTY after 70.2 s`]);
      assert.deepEqual(sim.kernel.device(`${flr}.0`).methods, ['flr', 'bus']);
    });

    test('a list that was empty is empty again', async () => {
      detach(flr);
      const known = facts(card(flr));
      sim.kernel.write(sim.at(`${flr}.0`, 'reset_method'), '\n');
      assert.equal((await rungs.flr.run(known, sim.host)).state, 'done');
      assert.deepEqual(sim.kernel.device(`${flr}.0`).methods, []);
    });

    for (const file of ['reset_method', 'reset']) {
      test(`a child that hangs on ${file} ends it, with its pid`, async () => {
        sim.kernel.hang(sim.at(`${flr}.0`, file));
        const answer = await rungs.flr.run(facts(card(flr)), sim.host);
        assert.ok(answer.state === 'stuck');
        const what = `${file === 'reset' ? '' : 'choosing '}flr never returned`;
        assert.equal(answer.said, `${flr}.0: ${what} (child ${answer.pid})`);
        assert.equal(sim.host.stuck.of(flr), answer.pid);
      });
    }
  });

  describe('subordinate', () => {
    test('resets the highest port that has nothing else below: the switch inside a card with it', async () => {
      await use(machine(desktopSpec));
      const navi = address('0000:03:00');
      detach(navi);
      const { state, writes } = await run('subordinate', navi);
      assert.deepEqual([state, writes], ['done', ['0000:00:01.0/reset_subordinate = 1']]);
      assert.deepEqual(sim.kernel.resets, [{ method: 'subordinate', address: '0000:00:01.0' }]);
    });

    test('tells what the kernel answered', async () => {
      detach(bochs);
      sim.kernel.failWrite(sim.at(port, 'reset_subordinate'), 'EAGAIN');
      const { state, said } = await run('subordinate', bochs);
      assert.deepEqual([state, said], ['error', `${port}: EAGAIN after 0.0 s`]);
    });
  });

  /** Settings that a removal loses, as a handover has them. */
  const prepared = () => {
    detach(bochs);
    for (const fn of [0, 1]) sim.kernel.write(sim.at(`${bochs}.${fn}`, 'power/control'), 'auto');
    sim.kernel.write(sim.at(`${bochs}.1`, 'driver_override'), 'none');
  };
  const settings = () =>
    [0, 1].map((fn) => {
      const { override, control, driver } = sim.kernel.device(`${bochs}.${fn}`);
      return [override, control, driver];
    });

  describe('remove-rescan', () => {
    test('removes the last function first, looks below the port, and puts the settings back', async () => {
      prepared();
      const { state, writes } = await run('remove-rescan', bochs);
      assert.equal(state, 'done');
      assert.deepEqual(writes.slice(0, 3), [
        `${bochs}.1/remove = 1`,
        `${bochs}.0/remove = 1`,
        `${port}/rescan = 1`,
      ]);
      // The host drivers were faster; the steps after this one take the card from them.
      assert.deepEqual(settings(), [
        ['vfio-pci', 'auto', 'bochs-drm'],
        ['none', 'auto', 'snd_hda_intel'],
      ]);
    });

    test('writes power only where the rescan has lost it, and to no function after another', async () => {
      prepared();
      sim.kernel.write(sim.at(`${bochs}.1`, 'power/control'), 'on'); // what every new device has
      const held = gate();
      sim.watch.hold = (path) =>
        path === sim.at(`${bochs}.0`, 'driver_override') ? held.opened : undefined;
      const ended = run('remove-rescan', bochs);
      const last = sim.at(`${bochs}.1`, 'driver_override');
      await until(() => sim.kernel.writes.at(-1)?.path === last);
      held.open();
      const { writes } = await ended;
      assert.deepEqual(
        writes.filter((one) => one.includes('/power/')),
        [`${bochs}.0/power/control = auto`],
      );
    });

    test('of a card on the root bus looks at the whole machine', async () => {
      await use(machine({ ports: [] }));
      const { state, writes } = await run('remove-rescan', address('0000:00:1f'));
      assert.equal(state, 'done');
      assert.ok(writes.some((one) => one.endsWith('bus/pci/rescan = 1')));
    });

    test('says which function did not come back', async () => {
      prepared();
      sim.kernel.loseFunction(`${bochs}.1`);
      const { state, said } = await run('remove-rescan', bochs);
      assert.deepEqual([state, said], ['error', `${bochs}.1 did not come back`]);
      assert.equal(sim.kernel.device(`${bochs}.0`).override, 'vfio-pci');
    });

    test('that is refused half-way removes no more, and finds again what it has removed', async () => {
      prepared();
      sim.kernel.failWrite(sim.at(`${bochs}.0`, 'remove'), 'EIO');
      const { state, said, writes } = await run('remove-rescan', bochs);
      assert.deepEqual([state, said], ['error', `removing ${bochs}.0: EIO`]);
      assert.deepEqual(writes[2], `${port}/rescan = 1`);
      assert.equal(sim.kernel.device(`${bochs}.1`).enumerated, true);
      assert.equal(sim.kernel.device(`${bochs}.1`).override, 'none');
    });

    test('that waited behind a removal that hangs begins nothing', async () => {
      for (const [name, file] of [
        ['remove-rescan', sim.at(`${flr}.0`, 'remove')],
        ['slot-power', sim.bus('slots/4/power')],
      ] as const) {
        detach(flr);
        detach(bochs);
        sim.kernel.hang(file);
        const [first, second] = await Promise.all([run(name, flr), run(name, bochs)]);
        assert.equal(first.state, 'stuck');
        assert.equal(second.state, 'error');
        assert.match(second.said, /^child \d+ hangs in a removal or rescan/);
        assert.equal(sim.kernel.device(`${bochs}.0`).enumerated, true);
        sim.kernel.unhang(file);
        assert.equal((await run(name, bochs)).state, 'done');
      }
    });

    test('tells what the rescan answered', async () => {
      sim.kernel.failWrite(sim.at(port, 'rescan'), 'EIO');
      assert.equal((await run('remove-rescan', bochs)).said, 'rescan: EIO');
    });
  });

  describe('slot-power', () => {
    test('removes the functions, switches off and on, and puts the settings back', async () => {
      prepared();
      const { state, writes } = await run('slot-power', bochs);
      assert.equal(state, 'done');
      assert.deepEqual(writes.slice(0, 4), [
        `${bochs}.1/remove = 1`,
        `${bochs}.0/remove = 1`,
        '1/power = 0',
        '1/power = 1',
      ]);
      assert.deepEqual(settings(), [
        ['vfio-pci', 'auto', 'bochs-drm'],
        ['none', 'auto', 'snd_hda_intel'],
      ]);
      const { state: health } = await checkCard(sim.host, card(bochs));
      assert.equal(health, 'healthy');
    });

    test('gives power back to a slot that lost it behind the kernel', async () => {
      sim.kernel.wedge(bochs);
      assert.equal((await run('slot-power', bochs)).state, 'done');
    });

    test('switches on what was switched off already', async () => {
      const known = card(bochs);
      sim.kernel.write(sim.bus('slots/1/power'), '0');
      const { state, writes } = await run('slot-power', bochs, known);
      assert.deepEqual([state, writes.slice(0, 2)], ['done', ['1/power = 0', '1/power = 1']]);
    });

    test('tells what the slot answered, never switches on after it, and finds the card again', async () => {
      prepared();
      sim.kernel.failWrite(sim.bus('slots/1/power'), 'EIO');
      const { state, said, writes } = await run('slot-power', bochs);
      assert.deepEqual([state, said], ['error', 'slot power 0: EIO']);
      assert.ok(!writes.includes('1/power = 1'));
      assert.deepEqual(
        [0, 1].map((fn) => sim.kernel.device(`${bochs}.${fn}`).enumerated),
        [true, true],
      );
      assert.equal(sim.kernel.device(`${bochs}.0`).override, 'vfio-pci');
    });

    test('whose removal is refused half-way finds again what it has removed', async () => {
      prepared();
      sim.kernel.failWrite(sim.at(`${bochs}.0`, 'remove'), 'EIO');
      const { state, said } = await run('slot-power', bochs);
      assert.deepEqual([state, said], ['error', `removing ${bochs}.0: EIO`]);
      assert.equal(sim.kernel.device(`${bochs}.1`).enumerated, true);
    });

    test('says which functions a slot without a card did not give back', async () => {
      for (const fn of [0, 1]) sim.kernel.loseFunction(`${bochs}.${fn}`);
      assert.equal((await run('slot-power', bochs)).said, 'slot power 1: ENODEV');
    });
  });

  test('a card has the slot of its own address', () => {
    assert.equal(facts(card(flr)).slot?.directory, sim.bus('slots/4'));
  });
});
