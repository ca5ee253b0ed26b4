/** The climb: when it begins, in which order it goes, and what ends it. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { Quarantined } from '../../../daemon/host/ledger.ts';
import { type Card, readInventory } from '../../../daemon/pci/inventory.ts';
import type { RungName } from '../../../daemon/pci/rung-name.ts';
import { type ReviveOptions, revive } from '../../../daemon/reset/revive.ts';
import { checkCard } from '../../../daemon/reset/verify.ts';
import { readAttribute } from '../../../daemon/sysfs/read.ts';
import { machine } from '../../sim/machine.ts';
import { desktopSpec } from '../../sim/presets.ts';
import { card as address } from '../inventory-of.ts';
import { benchCards, benchMachine, detach, type SimHost, simHost } from '../sim-host.ts';

const { bochs, flr } = benchCards;
const plenty = 1_000_000;

describe('revive', () => {
  let sim: SimHost;
  beforeEach(async () => {
    sim = await simHost();
    detach(sim, `${flr}.0`, `${bochs}.0`, `${bochs}.1`);
  });
  afterEach(() => sim.dispose());

  const card = (address: typeof flr): Card =>
    readInventory(sim.kernel.sys).cards.get(address) ?? assert.fail(`no ${address}`);
  const climb = async (address: typeof flr, options: Partial<ReviveOptions> = {}) => {
    const revival = await revive(sim.host, card(address), { budgetMs: plenty, ...options });
    return {
      ...revival,
      names: revival.rungs.map((rung) => rung.rung),
      states: revival.rungs.map((rung) => rung.state),
    };
  };

  test('a healthy card is left alone', async () => {
    const { length } = sim.kernel.writes;
    const { names, gaveUp, before, after } = await climb(flr);
    assert.deepEqual([names, gaveUp, before.state], [[], undefined, 'healthy']);
    assert.equal(before, after);
    assert.equal(sim.kernel.writes.length, length);
  });

  test('a healthy card is reset when somebody asks for it, by the first rung that can', async () => {
    const { names, states, gaveUp } = await climb(flr, { evenIfHealthy: true });
    assert.deepEqual([names, states, gaveUp], [['flr'], ['healed'], undefined]);
    assert.deepEqual(sim.kernel.resets, [{ method: 'flr', address: `${flr}.0` }]);
  });

  test('an error of the kernel is no reset of a healthy card: the next rung is tried', async () => {
    sim.kernel.failWrite(sim.at(`${flr}.0`, 'reset'), 'ENOTTY');
    const { names, states, gaveUp } = await climb(flr, { evenIfHealthy: true });
    assert.deepEqual([names, states, gaveUp], [['flr', 'pm'], ['error', 'healed'], undefined]);
  });

  test('asleep is not dead: what cannot be read without waking it is left alone', async () => {
    sim.dispose();
    sim = await simHost({ machine: machine(desktopSpec) });
    const navi = address('0000:03:00');
    const functions = [0, 1, 2, 3].map((fn) => `${navi}.${fn}`);
    for (const one of functions.slice(0, 3)) sim.kernel.write(sim.at(one, 'driver/unbind'), one);
    for (const one of ['0000:02:00.0', ...functions]) {
      sim.kernel.write(sim.at(one, 'power/control'), 'auto');
    }
    assert.equal(sim.kernel.device(`${navi}.0`).powerState, 'D3cold');
    const { before, names, gaveUp } = await climb(navi);
    assert.deepEqual([before.state, names, gaveUp], ['unknown', [], undefined]);
    assert.equal(sim.kernel.device(`${navi}.0`).powerState, 'D3cold');
  });

  describe('a reset that is due although the card is healthy', () => {
    const whenHealthy: readonly RungName[] = ['device_specific', 'flr'];

    test('is done by the first rung that can', async () => {
      const { names, states, gaveUp, notReset } = await climb(flr, { whenHealthy });
      assert.deepEqual([names, states], [['flr'], ['healed']]);
      assert.deepEqual([gaveUp, notReset], [undefined, undefined]);
    });

    test('is no misfortune where no rung can: the card stays as it is, and why is told', async () => {
      const none = await climb(bochs, { whenHealthy });
      assert.deepEqual([none.names, none.gaveUp, none.after.state], [[], undefined, 'healthy']);
      assert.match(none.notReset ?? '', /no rung of the ladder can be done/);
      sim.kernel.failWrite(sim.at(`${flr}.0`, 'reset'), 'ENOTTY');
      const refused = await climb(flr, { whenHealthy });
      assert.deepEqual([refused.states, refused.gaveUp], [['error'], undefined]);
      assert.match(refused.notReset ?? '', /tried flr, but the kernel could not do it/);
    });

    test('is not asked of a dead card, which climbs the whole ladder', async () => {
      sim.kernel.die(flr, { healsBy: ['bus'], clean: true });
      const { names, gaveUp, notReset } = await climb(flr, { whenHealthy: ['acpi'] });
      assert.deepEqual([names, gaveUp, notReset], [['bus'], undefined, undefined]);
    });

    test('goes on with the whole ladder where it leaves the card dead', async () => {
      const { names, after, gaveUp } = await climb(flr, {
        whenHealthy,
        async onRung(rung, record) {
          const first = rung === 'flr' && record === undefined;
          if (first) sim.kernel.die(flr, { healsBy: ['bus'], clean: true });
        },
      });
      assert.deepEqual([names, after.state, gaveUp], [['flr', 'bus'], 'healthy', undefined]);
    });
  });

  test('what the family forbids is not tried, but with force, and then each time the log says so', async () => {
    sim.dispose();
    sim = await simHost({ machine: machine(desktopSpec) });
    const polaris = address('0000:05:00');
    for (const one of [`${polaris}.0`, `${polaris}.1`]) {
      sim.kernel.write(sim.at(one, 'driver/unbind'), one);
      sim.kernel.write(sim.at(one, 'power/control'), 'on');
    }
    sim.kernel.die(polaris);
    const order: readonly RungName[] = ['subordinate'];
    const refused = await climb(polaris, { order });
    assert.deepEqual([refused.names, sim.kernel.resets], [[], []]);
    assert.match(sim.logged.join(''), /<4>Rung subordinate is left out although .* AMD Polaris 10/);
    const warnings = () => sim.logged.filter((line) => /^<4>Rung subordinate is never/.test(line));
    assert.deepEqual(warnings(), []);
    for (const times of [1, 2]) {
      assert.deepEqual((await climb(polaris, { order, force: true })).names, ['subordinate']);
      assert.equal(warnings().length, times);
    }
    assert.match(warnings()[0] ?? '', /a bus reset leaves its firmware .*card=0000:05:00/);
  });

  test('rungs are tried in the given order, and no others', async () => {
    sim.kernel.die(flr);
    const order: readonly RungName[] = ['subordinate', 'flr', 'bus'];
    const { names, states, gaveUp, after } = await climb(flr, { order });
    assert.deepEqual(names, ['subordinate', 'bus'], 'flr works through the dead config space');
    assert.deepEqual(states, ['error', 'error']);
    assert.match(gaveUp ?? '', /tried subordinate, bus; the card is still wedged/);
    assert.equal(after.state, 'wedged');
  });

  test('a card for which no rung is available says so', async () => {
    sim.kernel.die(bochs);
    const { names, gaveUp } = await climb(bochs, { order: ['device_specific', 'acpi', 'bus'] });
    assert.deepEqual(names, []);
    assert.match(gaveUp ?? '', /no rung of the ladder can be done/);
  });

  test('a ladder without success ends with the reboot that it does not do', async () => {
    sim.kernel.die(bochs);
    const { rungs, gaveUp } = await climb(bochs, { order: ['remove-rescan', 'reboot-host'] });
    assert.deepEqual(
      rungs.map((one) => [one.rung, one.state]),
      [
        ['remove-rescan', 'error'],
        ['reboot-host', 'skipped'],
      ],
    );
    assert.match(rungs[1]?.detail ?? '', /^reboot needed: /);
    assert.match(gaveUp ?? '', /^tried remove-rescan; /);
  });

  test('the host does not sleep for a card while others would suffer', async () => {
    sim.dispose();
    sim = await simHost({ machine: { ...benchMachine(), rtc: true } });
    for (const fn of [`${bochs}.1`, `${bochs}.0`])
      sim.kernel.write(sim.at(fn, 'driver/unbind'), fn);
    sim.kernel.die(bochs, { healsBy: ['suspend'] });
    const order: readonly RungName[] = ['suspend'];
    const against = () => 'web would sleep as well';
    const suspend = { ...sim.host.suspend, against, sleep: () => assert.fail('it does') };
    const refused = await revive({ ...sim.host, suspend }, card(bochs), {
      budgetMs: plenty,
      order,
    });
    const [record] = refused.rungs;
    assert.deepEqual([record?.state, record?.detail], ['skipped', 'web would sleep as well']);
    assert.deepEqual((await climb(bochs, { order })).states, ['healed']);
  });

  test('a rung that usually takes longer than the time that is left is not begun', async () => {
    sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
    const { names, gaveUp } = await climb(bochs, { budgetMs: 1_000 });
    assert.deepEqual(names, ['subordinate']);
    assert.match(gaveUp ?? '', /no time was left for remove-rescan/);
    assert.deepEqual((await climb(bochs, { budgetMs: 0 })).names, []);
  });

  test('a cancel ends it before the next rung', async () => {
    sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
    const abort = new AbortController();
    const { names, gaveUp } = await climb(bochs, {
      signal: abort.signal,
      onRung: async (_rung, record) => record && abort.abort(),
    });
    assert.deepEqual(names, ['subordinate']);
    assert.match(gaveUp ?? '', /cancelled/);
  });

  test('nothing is reset while somebody has it open', async () => {
    sim.kernel.write(sim.bus('drivers_probe'), `${flr}.0`);
    sim.kernel.die(flr, { sign: 'bars', healsBy: ['flr'], clean: true });
    const { group } = sim.kernel.device(`${flr}.0`);
    sim.kernel.hold(4711, 'qemu-system-x86', `${sim.host.paths.dev}/vfio/${group}`);
    const { names, gaveUp } = await climb(flr);
    assert.deepEqual(names, []);
    assert.match(gaveUp ?? '', /in use: qemu-system-x86 \(pid 4711\) has .*\/vfio\/\d+ open/);
    sim.kernel.letGo(4711);
    assert.deepEqual((await climb(flr)).names, ['flr']);
  });

  test('a rung that hangs is the last one', async () => {
    sim.kernel.die(bochs);
    sim.kernel.hang(sim.at('0000:00:04.0', 'reset_subordinate'));
    const { names, states, gaveUp, after } = await climb(bochs);
    assert.deepEqual([names, states, after.state], [['subordinate'], ['stuck'], 'wedged']);
    assert.match(gaveUp ?? '', /subordinate hangs in the kernel/);
    const pid = sim.host.stuck.of(bochs);
    const again = await climb(bochs);
    assert.deepEqual(
      [again.names, again.gaveUp],
      [[], `child ${pid} hangs in the kernel with this card`],
    );
  });

  describe('with a rung in quarantine', () => {
    const quarantined: Quarantined = {
      card: bochs,
      id: '1234:1111',
      kind: 'rung',
      name: 'subordinate',
      kernel: 'k',
      boot: 'before',
      since: 1,
    };
    const others: readonly (readonly [string, Partial<Quarantined>])[] = [
      ['another kernel', { kernel: 'j' }],
      ['another card in this slot', { id: '1002:731f' }],
      ['another slot', { card: flr }],
      ['a step of that name', { kind: 'step' }],
    ];
    beforeEach(() =>
      sim.kernel.die(bochs, { healsBy: ['subordinate', 'remove-rescan'], clean: true }),
    );

    test('it is skipped with the reason, and the next one is taken', async () => {
      await sim.host.ledger.addQuarantine([quarantined]);
      const told: unknown[] = [];
      const { names, states, rungs, gaveUp } = await climb(bochs, {
        onRung: async (rung, record) => void told.push([rung, record?.state]),
      });
      assert.deepEqual(names, ['subordinate', 'remove-rescan']);
      assert.deepEqual([states, gaveUp], [['skipped', 'healed'], undefined]);
      assert.match(rungs[0]?.detail ?? '', /the host went down during it on this kernel \(k\)/);
      assert.equal(sim.kernel.resets.length, 0);
      assert.deepEqual(told[0], ['subordinate', 'skipped'], 'it was never begun');
    });

    for (const [name, change] of others) {
      test(`that of ${name} does not count`, async () => {
        await sim.host.ledger.addQuarantine([{ ...quarantined, ...change }]);
        assert.deepEqual((await climb(bochs)).states, ['healed']);
      });
    }
  });

  test('while a removal for another card hangs, removal and slot power are skipped, others done', async () => {
    const file = sim.at(`${flr}.0`, 'remove');
    sim.kernel.die(flr);
    sim.kernel.hang(file);
    assert.deepEqual((await climb(flr, { order: ['remove-rescan'] })).states, ['stuck']);
    const pid = sim.host.stuck.of(flr);
    sim.kernel.die(bochs, { healsBy: ['subordinate'], clean: true });
    const order: readonly RungName[] = ['remove-rescan', 'slot-power', 'subordinate'];
    const { names, states, rungs } = await climb(bochs, { order });
    assert.deepEqual([names, states], [order, ['skipped', 'skipped', 'healed']]);
    for (const { detail } of rungs.slice(0, 2)) {
      assert.match(
        detail,
        new RegExp(`child ${pid} hangs in a removal or rescan for another card`),
      );
    }
    sim.kernel.unhang(file);
    sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
    assert.deepEqual((await climb(bochs, { order })).states, ['healed']);
  });

  test('each rung tells what the kernel said, what the card shows, and what the log has', async () => {
    sim.kernel.die(flr, { healsBy: ['subordinate'], clean: true });
    const told: unknown[] = [];
    const { rungs } = await climb(flr, {
      order: ['bus', 'subordinate'],
      async onRung(rung, record) {
        told.push([rung, record?.state]);
      },
    });
    assert.deepEqual(told, [
      ['bus', undefined],
      ['bus', 'healed'],
    ]);
    const [bus] = rungs;
    assert.match(bus?.detail ?? '', /^0000:02:00\.0: returned 0 after 0\.\d s \| healthy: /);
  });

  test('the kernel log of a rung is quoted, bounded', async () => {
    sim.kernel.die(flr);
    const { rungs } = await climb(flr, { order: ['bus'] });
    const quoted = (rungs[0]?.detail ?? '')
      .split(' | ')
      .filter((one) => one.startsWith('kernel: '));
    assert.equal(quoted.length, 6);
    assert.ok(
      quoted.includes(`kernel: pci ${flr}.0: not ready 65535ms after bus reset; giving up`),
    );
  });

  test('the ports above belong to the card: one that is dead is named', async () => {
    sim.dispose();
    sim = await simHost({ machine: machine(desktopSpec) });
    const known = card(address('0000:03:00'));
    sim.kernel.die('0000:02:00');
    const { state, evidence } = await checkCard(sim.host, known);
    assert.equal(state, 'wedged');
    assert.match(evidence.join(), /0000:02:00\.0: config space reads as all ones/);
  });

  test('a port that has forgotten its bus is held against what the kernel has, not against its own register', async () => {
    sim.dispose();
    sim = await simHost({ machine: machine(desktopSpec) });
    const known = card(address('0000:03:00'));
    sim.kernel.loseBars('0000:02:00', 'now');
    const { evidence } = await checkCard(sim.host, known);
    assert.match(
      evidence.join(),
      /0000:02:00\.0: its secondary bus reads 00 where the kernel has 03/,
    );
  });

  test('no register is read by the daemon itself: what sleeps would be woken and waited for', () => {
    for (const name of ['current_link_speed', 'max_link_width', 'secondary_bus_number']) {
      assert.throws(() => readAttribute(sim.at(`${bochs}.0`, name)), /may block/);
    }
    assert.throws(() => readAttribute(sim.bus('slots/1/power')), /may block/);
  });

  test('a check that hangs at a port above the card has the card left alone', async () => {
    const config = sim.at('0000:00:04.0', 'config');
    sim.kernel.hang(config);
    assert.equal((await checkCard(sim.host, card(bochs))).state, 'wedged');
    assert.notEqual(sim.host.stuck.of(bochs), undefined);
    sim.kernel.unhang(config);
    assert.equal(sim.host.stuck.of(bochs), undefined);
  });

  test('of a card with a hanging child nothing is read', async () => {
    sim.host.stuck.note(bochs, 77);
    const known = card(bochs);
    for (const fn of [1, 0]) sim.kernel.write(sim.at(`${bochs}.${fn}`, 'remove'), '1');
    assert.deepEqual(await checkCard(sim.host, known), {
      state: 'wedged',
      evidence: [`${bochs}: child 77 in D state: nothing can be read safely`],
      configDead: known.functions.map((fn) => fn.address),
    });
  });

  test('a lost card is looked for', async () => {
    const lost = card(bochs);
    for (const fn of [1, 0]) sim.kernel.write(sim.at(`${bochs}.${fn}`, 'remove'), '1');
    const revival = await revive(sim.host, lost, { budgetMs: plenty });
    assert.deepEqual(
      [revival.before.state, revival.rungs.map((rung) => rung.rung), revival.after.state],
      ['lost', ['remove-rescan'], 'healthy'],
    );
  });
});
