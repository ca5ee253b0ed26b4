/** The files of a simulated machine: where sysfs has them, read by the daemon's own readers, always as the state says. */
import assert from 'node:assert/strict';
import { lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { join, relative } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { holdersOf } from '../../../daemon/host/holders.ts';
import { judge, probeCard } from '../../../daemon/pci/health.ts';
import { readInventory } from '../../../daemon/pci/inventory.ts';
import { simIo } from '../../sim/io.ts';
import { SimKernel } from '../../sim/kernel.ts';
import { machine } from '../../sim/machine.ts';
import { bigMachine, desktopSpec, labCards, labMachine, labSpec } from '../../sim/presets.ts';

/** Every file and link below a directory with what it holds. */
function contents(root: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const walk = (directory: string): void => {
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      const stat = lstatSync(path);
      if (stat.isSymbolicLink()) found.set(relative(root, path), readlinkSync(path));
      else if (stat.isDirectory()) {
        found.set(relative(root, path), '');
        walk(path);
      } else found.set(relative(root, path), readFileSync(path, 'hex'));
    }
  };
  walk(root);
  return found;
}

describe('the tree', () => {
  let kernel: SimKernel;
  before(() => {
    kernel = SimKernel.create(labMachine());
  });
  after(() => kernel.dispose());

  test('the inventory of the daemon sees the lab machine as it was measured on Debian 13', () => {
    const inventory = readInventory(kernel.sys);
    const seen = [...inventory.cards.values()]
      .filter((card) => card.ports.length > 0)
      .map((card) => [
        card.address,
        card.functions.map((fn) => [fn.vendor, fn.device, fn.classCode, fn.driver, fn.group]),
        card.ports,
      ]);
    const hda = ['8086', '293e', '040300', 'snd_hda_intel'];
    assert.equal(inventory.iommu, true);
    assert.deepEqual(seen, [
      [
        '0000:01:00',
        [
          ['1234', '1111', '038000', 'bochs-drm', '11'],
          [...hda, '11'],
        ],
        ['0000:00:04.0'],
      ],
      [
        '0000:02:00',
        [
          ['1002', '5046', '030000', undefined, '12'],
          [...hda, '12'],
        ],
        ['0000:00:05.0'],
      ],
      ['0000:03:00', [['1b36', '000d', '0c0330', 'xhci_hcd', '13']], ['0000:00:06.0']],
      ['0000:04:00', [['1af4', '1050', '038000', 'virtio-pci', '14']], ['0000:00:07.0']],
      ['0000:05:00', [['1b36', '0010', '010802', 'nvme', '15']], ['0000:00:08.0']],
      [
        '0000:08:00',
        [
          ['1234', '1111', '038000', 'bochs-drm', '17'],
          [...hda, '17'],
        ],
        ['0000:07:00.0', '0000:06:00.0', '0000:00:09.0'],
      ],
    ]);
    assert.deepEqual(inventory.groups.get('17'), ['0000:07:00.0', '0000:08:00.0', '0000:08:00.1']);
  });

  test('links lead where those of sysfs lead', () => {
    const bochs = '0000:01:00.0';
    const real = `${realpathSync(kernel.sys)}/devices/pci0000:00/0000:00:04.0/${bochs}`;
    for (const link of [
      `bus/pci/devices/${bochs}`,
      `bus/pci/drivers/bochs-drm/${bochs}`,
      `kernel/iommu_groups/11/devices/${bochs}`,
    ]) {
      assert.equal(realpathSync(`${kernel.sys}/${link}`), real, link);
    }
    assert.equal(readlinkSync(`${real}/driver`), '../../../../bus/pci/drivers/bochs-drm');
    assert.equal(readlinkSync(`${real}/iommu_group`), '../../../../kernel/iommu_groups/11');
    assert.equal(readlinkSync(`${real}/subsystem`), '../../../../bus/pci');
    assert.equal(
      readlinkSync(`${kernel.sys}/bus/pci/devices/${bochs}`),
      `../../../devices/pci0000:00/0000:00:04.0/${bochs}`,
    );
  });

  test('every card of every preset is healthy to the daemon, and wedged when it is wedged', async () => {
    for (const state of [labMachine(), machine(desktopSpec), bigMachine(2, 8)]) {
      const host = SimKernel.create(state);
      try {
        for (const card of readInventory(host.sys).cards.values()) {
          const expected = card.functions.map((fn) => ({ ...fn, kind: 'function' as const }));
          const probe = async () =>
            judge(await probeCard(host.sys, simIo(host), expected, 5_000)).state;
          assert.equal(await probe(), 'healthy', card.address);
          if (card.ports.length === 0) continue;
          host.wedge(card.address);
          assert.equal(await probe(), 'wedged', card.address);
          host.unwedge(card.address);
          const hasBars = !card.functions.every((fn) => fn.classCode?.startsWith('06'));
          assert.equal(await probe(), hasBars ? 'suspect' : 'healthy', card.address);
        }
      } finally {
        host.dispose();
      }
    }
  });

  test('holders are seen in proc, nodes in dev', () => {
    const address = `${labCards.flr}.0`;
    const write = (path: string, value: string): void => {
      assert.equal(kernel.write(`${kernel.sys}/bus/pci/${path}`, value).errno, null);
    };
    write(`devices/${address}/driver_override`, 'vfio-pci');
    write('drivers/virtio-pci/unbind', address);
    write('drivers_probe', address);
    assert.deepEqual(readdirSync(`${kernel.root}/dev/vfio`).sort(), ['14', 'vfio']);
    assert.deepEqual(readdirSync(`${kernel.root}/dev/dri`), ['card0', 'card2']);
    kernel.hold(77, 'qemu-system-x86', '/dev/vfio/14');
    assert.deepEqual(holdersOf(`${kernel.root}/proc`, new Set(['/dev/vfio/14'])), [
      { pid: 77, name: 'qemu-system-x86', node: '/dev/vfio/14' },
    ]);
    kernel.letGo(77);
    assert.deepEqual(holdersOf(`${kernel.root}/proc`, new Set(['/dev/vfio/14'])), []);
  });

  test('64 cards of 8 functions are built in less than 2 s of processor time', () => {
    const start = process.cpuUsage();
    const big = SimKernel.create(bigMachine(64, 8));
    const { user, system } = process.cpuUsage(start);
    assert.equal(readdirSync(`${big.sys}/bus/pci/devices`).length, 64 * 8 + 64 + 4);
    big.dispose();
    assert.ok(user + system < 2_000_000, `${(user + system) / 1000} ms`);
  });

  test('whatever is done, the files on disk are those of the state', () => {
    const cards = Object.values(labCards);
    const addresses = cards.flatMap((card) => [`${card}.0`, `${card}.1`]);
    const ports = [4, 5, 6, 7, 8, 9].map((slot) => `0000:00:0${slot}.0`);
    const oneOf = <T>(list: readonly T[]) => fc.constantFrom(...list);
    const write = fc.oneof(
      fc.record({
        path: oneOf(addresses).chain((address) =>
          oneOf(['driver_override', 'power/control', 'remove', 'reset', 'reset_method']).map(
            (name) => `devices/${address}/${name}`,
          ),
        ),
        value: oneOf(['1', 'on', 'auto', 'vfio-pci', '\n', 'bus', 'default']),
      }),
      fc.record({
        path: oneOf(['vfio-pci/bind', 'snd_hda_intel/bind']).map((name) => `drivers/${name}`),
        value: oneOf(addresses),
      }),
      oneOf(addresses).map((value) => ({ path: `devices/${value}/driver/unbind`, value })),
      fc.record({ path: fc.constant('drivers_probe'), value: oneOf(addresses) }),
      fc.record({ path: fc.constant('rescan'), value: fc.constant('1') }),
      fc.record({
        path: oneOf(ports).map((port) => `devices/${port}/reset_subordinate`),
        value: fc.constant('1'),
      }),
      fc.record({
        path: oneOf([...'123456']).map((slot) => `slots/${slot}/power`),
        value: oneOf(['0', '1']),
      }),
    );
    const act = fc.oneof(
      { weight: 4, arbitrary: write.map(({ path, value }) => ({ kind: 'write', path, value })) },
      fc.record({
        kind: oneOf(Object.keys(disturbances)),
        path: oneOf(cards),
        value: fc.constant(''),
      }),
    );
    fc.assert(
      fc.property(fc.array(act, { maxLength: 25 }), (acts) => {
        const host = SimKernel.create(machine({ ...labSpec, slotPower: 'real' }));
        try {
          for (const { kind, path, value } of acts) {
            if (kind === 'write') host.write(`${host.sys}/bus/pci/${path}`, value);
            else disturbances[kind]?.(host, path);
          }
          const before = contents(host.root);
          host.rebuild();
          assert.deepEqual(contents(host.root), before);
        } finally {
          host.dispose();
        }
      }),
      { numRuns: 15 },
    );
  });
});

const disturbances: Readonly<Record<string, (host: SimKernel, card: string) => void>> = {
  wedge: (host, card) => host.wedge(card, ['bus', 'remove-rescan']),
  unwedge: (host, card) => host.unwedge(card),
  die: (host, card) => host.die(card, { healsBy: ['subordinate', 'suspend', 'slot-power'] }),
  bars: (host, card) => host.loseBars(card, 'rescan'),
  reboot: (host) => host.reboot(),
  suspend: (host) => host.suspend(),
  hold: (host, card) => host.hold(5, 'qemu', `/dev/vfio/${host.device(`${card}.0`).group}`),
  letGo: (host) => host.letGo(5),
};
