/** The simulated kernel behaves as facts/kernel.md 0 found the real one to; what a real one shows too is in conformance.test.ts. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { SimKernel } from '../../sim/kernel.ts';
import { machine } from '../../sim/machine.ts';
import { desktopSpec, labCards, labMachine } from '../../sim/presets.ts';

const { ati, bochs, flr, nvme, xhci } = labCards;
const guest = 4711;

describe('the simulated kernel', () => {
  let kernel: SimKernel;
  const at = (address: string, name: string): string =>
    `${kernel.sys}/bus/pci/devices/${address}/${name}`;
  const bus = (name: string): string => `${kernel.sys}/bus/pci/${name}`;
  const set = (address: string, name: string, value: string) =>
    kernel.write(at(address, name), value);
  const get = (address: string, name: string): string =>
    readFileSync(at(address, name), 'latin1').trimEnd();
  const id = (address: string): string =>
    kernel.read(at(address, 'config'), 4).data.toString('hex');
  /** A card whole on vfio-pci, as before a guest. */
  const lend = (...addresses: readonly string[]): void => {
    for (const address of addresses) {
      set(address, 'driver_override', 'vfio-pci');
      const { driver } = kernel.device(address);
      if (driver !== null) kernel.write(bus(`drivers/${driver}/unbind`), address);
      kernel.write(bus('drivers_probe'), address);
      assert.equal(kernel.device(address).driver, 'vfio-pci');
    }
  };
  const node = (address: string): string => `/dev/vfio/${kernel.device(address).group}`;
  const use = (replacement: SimKernel): void => {
    kernel.dispose();
    kernel = replacement;
  };

  beforeEach(() => {
    kernel = SimKernel.create(labMachine());
  });
  afterEach(() => kernel.dispose());

  test('finding 1: the stale bus method is gone when function 0 is found again beside its sibling', () => {
    set(`${ati}.0`, 'remove', '1');
    kernel.write(bus('rescan'), '1');
    assert.equal(existsSync(at(`${ati}.0`, 'reset')), false);
    assert.equal(existsSync(at(`${ati}.0`, 'reset_method')), false);
  });

  test('finding 2: rc 0 in 40 ms on a dead function without PM', () => {
    kernel.wedge(xhci);
    assert.deepEqual(set(`${xhci}.0`, 'reset', '1'), { errno: null, delayMs: 40, pending: null });
    assert.equal(id(`${xhci}.0`), 'ffffffff');
  });

  test('finding 3: about 70 s for each dead method, then ENOTTY, and the log says so', () => {
    kernel.wedge(nvme);
    const both = set(`${nvme}.0`, 'reset', '1');
    assert.equal(both.errno, 'ENOTTY');
    assert.equal(both.delayMs, 139_800);
    const said = kernel.log.filter((line) => line.includes('giving up'));
    assert.deepEqual(said, [
      `nvme ${nvme}.0: not ready 65535ms after FLR; giving up`,
      `nvme ${nvme}.0: not ready 65535ms after bus reset; giving up`,
    ]);
    set(`${nvme}.0`, 'reset_method', 'flr');
    kernel.advance(200_000);
    assert.equal(set(`${nvme}.0`, 'reset', '1').delayMs, 69_600);
  });

  test('finding 3: pm on a dead function is refused at once, PMCSR reads NoSoftRst', () => {
    set(`${flr}.0`, 'reset_method', 'pm');
    kernel.wedge(flr);
    assert.deepEqual(set(`${flr}.0`, 'reset', '1'), { errno: 'ENOTTY', delayMs: 0, pending: null });
  });

  test('finding 4: while a reset runs, config reads and device_lock wait; plain files and others do not', () => {
    kernel.wedge(nvme);
    kernel.hang(at(`${nvme}.0`, 'reset'));
    assert.notEqual(set(`${nvme}.0`, 'reset', '1').pending, null);
    for (const name of ['driver_override', 'power/control', 'reset', 'enable', 'remove']) {
      assert.notEqual(set(`${nvme}.0`, name, '1').pending, null, name);
    }
    assert.notEqual(kernel.read(at(`${nvme}.0`, 'config'), 64).pending, null);
    assert.notEqual(kernel.write(bus('drivers/nvme/unbind'), `${nvme}.0`).pending, null);
    assert.equal(get(`${nvme}.0`, 'current_link_width'), '63');
    assert.equal(get(`${nvme}.0`, 'reset_method'), 'flr bus');
    assert.equal(set('0000:00:08.0', 'reset_subordinate', '1').errno, 'EAGAIN');
    assert.equal(kernel.read(at(`${bochs}.0`, 'config'), 64).pending, null);
    assert.equal(set(`${flr}.0`, 'reset', '1').errno, null);
  });

  test('finding 4: in time, too: a read waits for what is left of the reset', () => {
    kernel.wedge(nvme);
    set(`${nvme}.0`, 'reset_method', 'flr');
    set(`${nvme}.0`, 'reset', '1');
    kernel.advance(60_000);
    assert.equal(kernel.read(at(`${nvme}.0`, 'config'), 4).delayMs, 9_600);
    kernel.advance(9_600);
    assert.equal(kernel.read(at(`${nvme}.0`, 'config'), 4).delayMs, 0);
  });

  test('findings 6 and 7: VFIO resets the bus at the last close, if every function is its own', () => {
    lend(`${ati}.0`, `${ati}.1`);
    kernel.hold(guest, 'qemu-system-x86', node(`${ati}.0`));
    kernel.letGo(guest);
    assert.deepEqual(kernel.resets, [{ method: 'vfio-close', address: `${ati}.0` }]);
    kernel.write(bus('drivers/vfio-pci/unbind'), `${ati}.1`);
    kernel.hold(guest, 'qemu-system-x86', node(`${ati}.0`));
    kernel.letGo(guest);
    assert.equal(kernel.resets.length, 1);
  });

  test('finding 8: device_specific answers 0 whatever came of it; only the log is honest', () => {
    kernel.installModule('stand_in', { ids: ['1002:5046'] });
    kernel.loadModule('stand_in');
    assert.equal(get(`${ati}.0`, 'reset_method'), 'bus');
    assert.equal(set(`${ati}.0`, 'reset_method', 'device_specific').errno, null);
    kernel.die(ati);
    assert.equal(set(`${ati}.0`, 'reset', '1').errno, null);
    assert.equal(id(`${ati}.0`), 'ffffffff');
    assert.ok(kernel.log.some((line) => line.includes('failed to reset device')));
  });

  test('finding 8 and the stand-in: a dead card that it heals answers, with its BARs wrong', () => {
    kernel.installModule('stand_in', { ids: ['1002:5046'] });
    kernel.loadModule('stand_in');
    set(`${ati}.0`, 'reset_method', 'device_specific');
    kernel.wedge(ati, ['device_specific']);
    assert.equal(set(`${ati}.0`, 'reset', '1').errno, null);
    const config = kernel.read(at(`${ati}.0`, 'config'), 64).data;
    assert.equal(config.readUInt32LE(0), 0x50461002);
    assert.equal(config.readUInt32LE(0x10), 0xff000008);
    set(`${ati}.0`, 'remove', '1');
    kernel.write(bus('rescan'), '1');
    const base = Number(get(`${ati}.0`, 'resource').split(' ')[0]);
    const again = kernel.read(at(`${ati}.0`, 'config'), 64).data;
    assert.equal(again.readUInt32LE(0x10), base + 8);
  });

  test('finding 9: reset and reset_subordinate are not refused while a guest has the card', () => {
    lend(`${flr}.0`);
    kernel.hold(guest, 'qemu-system-x86', node(`${flr}.0`));
    const { errno, delayMs } = set(`${flr}.0`, 'reset', '1');
    assert.equal(errno, null);
    kernel.advance(delayMs);
    assert.equal(set('0000:00:07.0', 'reset_subordinate', '1').errno, null);
  });

  test('finding 10: unbind waits for the guest; remove does too, and keeps all other rescans waiting', () => {
    lend(`${flr}.0`);
    kernel.hold(guest, 'qemu-system-x86', node(`${flr}.0`));
    const removal = set(`${flr}.0`, 'remove', '1').pending;
    const other = kernel.write(bus('rescan'), '1').pending;
    assert.ok(removal !== null && other !== null);
    assert.equal(existsSync(at(`${flr}.0`, 'vendor')), true);
    assert.equal(kernel.ended(removal), undefined);
    kernel.letGo(guest);
    assert.deepEqual(kernel.ended(removal), { errno: null });
    assert.deepEqual(kernel.ended(other), { errno: null });
    // Removed, then found again by the rescan that had waited.
    assert.equal(kernel.device(`${flr}.0`).driver, 'virtio-pci');
    assert.equal(kernel.device(`${flr}.0`).override, null);
  });

  test('finding 10: the unbind that waited is done when the guest lets go', () => {
    lend(`${flr}.0`);
    kernel.hold(guest, 'qemu-system-x86', node(`${flr}.0`));
    const { pending } = kernel.write(bus('drivers/vfio-pci/unbind'), `${flr}.0`);
    assert.ok(pending !== null);
    assert.equal(kernel.device(`${flr}.0`).driver, 'vfio-pci');
    kernel.letGo(guest);
    assert.equal(kernel.device(`${flr}.0`).driver, null);
  });

  test('finding 11: the first registered driver wins: vfio-pci.ids does, new_id comes too late', () => {
    kernel.write(bus('drivers/vfio-pci/new_id'), '1b36 000d');
    set(`${xhci}.0`, 'remove', '1');
    kernel.write(bus('rescan'), '1');
    assert.equal(kernel.device(`${xhci}.0`).driver, 'xhci_hcd');
    use(
      SimKernel.create(
        machine({ ports: [{ functions: [{ model: 'xhci' }] }], vfioIds: ['1b36:000d'] }),
      ),
    );
    assert.equal(kernel.device('0000:01:00.0').driver, 'vfio-pci');
    set('0000:01:00.0', 'remove', '1');
    kernel.write(bus('rescan'), '1');
    assert.equal(kernel.device('0000:01:00.0').driver, 'vfio-pci');
  });

  test('finding 12: a rescan without room: the id reads, the BARs have no address, no driver', () => {
    kernel.loseBars(bochs, 'rescan');
    set(`${bochs}.0`, 'remove', '1');
    kernel.write(bus('rescan'), '1');
    assert.equal(id(`${bochs}.0`), '34121111');
    assert.equal(kernel.device(`${bochs}.0`).driver, null);
    assert.match(get(`${bochs}.0`, 'resource'), /^0x0{16} 0x0{16} 0x0{16}\n/);
    assert.ok(kernel.log.some((line) => line.includes('failed to assign')));
  });

  test('finding 12: lost BARs stay lost through a reset with rc 0', () => {
    kernel.loseBars(flr);
    assert.equal(set(`${flr}.0`, 'reset', '1').errno, null);
    assert.equal(kernel.read(at(`${flr}.0`, 'config'), 64).data.readUInt32LE(0x14), 0);
  });

  test('a lost function reads as ones, and the next rescan after its removal does not find it', () => {
    kernel.loseFunction(`${bochs}.1`);
    assert.equal(id(`${bochs}.1`), 'ffffffff');
    assert.equal(id(`${bochs}.0`), '34121111');
    set(`${bochs}.1`, 'remove', '1');
    kernel.write(bus('rescan'), '1');
    assert.equal(existsSync(at(`${bochs}.1`, 'vendor')), false);
  });

  test('without function 0 the others of a slot are not looked for', () => {
    kernel.loseFunction(`${bochs}.0`);
    set(`${bochs}.0`, 'remove', '1');
    set(`${bochs}.1`, 'remove', '1');
    kernel.write(bus('rescan'), '1');
    assert.equal(existsSync(at(`${bochs}.1`, 'vendor')), false);
  });

  test('the boot VGA mark moves on when its card goes', () => {
    use(
      SimKernel.create(
        machine({
          ports: [{ functions: [{ model: 'ati-vga' }] }, { functions: [{ model: 'ati-vga' }] }],
        }),
      ),
    );
    assert.equal(get('0000:01:00.0', 'boot_vga'), '1');
    set('0000:01:00.0', 'remove', '1');
    assert.equal(get('0000:02:00.0', 'boot_vga'), '1');
    kernel.write(bus('rescan'), '1');
    assert.equal(get('0000:01:00.0', 'boot_vga'), '0');
  });

  test('a group goes with its last function and comes back with the same number', () => {
    const { group } = kernel.device(`${bochs}.0`);
    const members = (): readonly string[] =>
      readdirSync(`${kernel.sys}/kernel/iommu_groups/${group}/devices`).sort();
    assert.deepEqual(members(), [`${bochs}.0`, `${bochs}.1`]);
    set(`${bochs}.1`, 'remove', '1');
    assert.deepEqual(members(), [`${bochs}.0`]);
    set(`${bochs}.0`, 'remove', '1');
    assert.throws(members);
    kernel.write(bus('rescan'), '1');
    // QEMU's second function does not find the group of the first (seen in the lab).
    assert.deepEqual(members(), [`${bochs}.0`]);
    assert.equal(kernel.device(`${bochs}.1`).group, 18);
  });

  test('a board, whose functions all say that they have siblings, comes back into one group', () => {
    use(SimKernel.create(machine(desktopSpec)));
    const card = ['0000:05:00.0', '0000:05:00.1'];
    const before = card.map((address) => kernel.device(address).group);
    for (const address of card) set(address, 'remove', '1');
    kernel.write(bus('rescan'), '1');
    assert.deepEqual(
      card.map((address) => kernel.device(address).group),
      before,
    );
    assert.equal(existsSync(at('0000:05:00.1', 'reset_method')), false);
  });

  test('at boot the second function of a card has no reset files', () => {
    assert.equal(get(`${ati}.0`, 'reset_method'), 'bus');
    assert.equal(existsSync(at(`${ati}.1`, 'reset')), false);
    assert.equal(existsSync(at(`${ati}.1`, 'reset_method')), false);
  });

  test('without an IOMMU there are no groups, and vfio-pci takes nothing', () => {
    use(SimKernel.create(machine({ iommu: false, ports: [{ functions: [{ model: 'xhci' }] }] })));
    assert.deepEqual(readdirSync(`${kernel.sys}/kernel/iommu_groups`), []);
    kernel.write(bus('drivers/xhci_hcd/unbind'), '0000:01:00.0');
    set('0000:01:00.0', 'driver_override', 'vfio-pci');
    assert.equal(kernel.write(bus('drivers/vfio-pci/bind'), '0000:01:00.0').errno, 'EINVAL');
  });

  test('waking a dead function from D3hot ends in D3cold, with a line in the log', () => {
    lend(`${nvme}.0`);
    assert.equal(get(`${nvme}.0`, 'power_state'), 'D3hot');
    kernel.wedge(nvme);
    assert.equal(set(`${nvme}.0`, 'power/control', 'on').errno, null);
    assert.equal(get(`${nvme}.0`, 'power_state'), 'D3cold');
    const line = `vfio-pci ${nvme}.0: Unable to change power state from D3hot to D0, device inaccessible`;
    assert.equal(kernel.log.at(-1), line);
  });

  test('removing a port takes all below it, and a rescan brings all back', () => {
    set('0000:00:09.0', 'remove', '1');
    assert.equal(existsSync(at('0000:08:00.1', 'vendor')), false);
    assert.equal(existsSync(bus('slots/7')), false);
    kernel.write(bus('rescan'), '1');
    assert.equal(kernel.device('0000:08:00.1').driver, 'snd_hda_intel');
    assert.equal(existsSync(bus('slots/7/power')), true);
  });

  test('a switch that lost its power forwards nothing until it is found anew (9.2)', () => {
    kernel.wedge('0000:06:00');
    kernel.unwedge('0000:06:00');
    assert.equal(id('0000:06:00.0'), '4c103282');
    assert.equal(id('0000:08:00.0'), 'ffffffff');
    set('0000:06:00.0', 'remove', '1');
    kernel.write(bus('rescan'), '1');
    assert.equal(id('0000:08:00.0'), '34121111');
  });

  test('a driver enables decoding and bus mastering, and takes the latter away when it leaves', () => {
    const command = () => kernel.read(at(`${nvme}.0`, 'config'), 6).data.readUInt16LE(4);
    assert.equal(command(), 0x0507);
    kernel.write(bus('drivers/nvme/unbind'), `${nvme}.0`);
    assert.equal(command(), 0x0103);
  });

  test('the functions of a board with a switch of its own can lie in groups of their own', () => {
    use(SimKernel.create(machine(desktopSpec)));
    const groups = [0, 1, 2, 3].map((fn) => kernel.device(`0000:03:00.${fn}`).group);
    assert.equal(new Set(groups).size, 4);
    assert.equal(kernel.device('0000:03:00.0').driver, 'amdgpu');
    assert.deepEqual(kernel.device('0000:03:00.0').nodes, ['drm/card0', 'drm/renderD128']);
  });
});
