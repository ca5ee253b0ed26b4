/** What can be made to go wrong, and what mends it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { SimKernel } from '../../sim/kernel.ts';
import { machine } from '../../sim/machine.ts';
import { desktopSpec, labCards, labSpec } from '../../sim/presets.ts';

const { ati, flr, nvme, xhci } = labCards;

describe('faults', () => {
  let kernel: SimKernel;
  const at = (address: string, name: string): string =>
    `${kernel.sys}/bus/pci/devices/${address}/${name}`;
  const bus = (name: string): string => `${kernel.sys}/bus/pci/${name}`;
  const set = (address: string, name: string, value: string) =>
    kernel.write(at(address, name), value);
  const alive = (address: string): boolean =>
    kernel.read(at(address, 'config'), 4).data.toString('hex') !== 'ffffffff';
  const reenumerate = (card: string): void => {
    for (const fn of [1, 0]) set(`${card}.${fn}`, 'remove', '1');
    kernel.write(bus('rescan'), '1');
  };

  beforeEach(() => {
    kernel = SimKernel.create(machine({ ...labSpec, slotPower: 'real' }));
  });
  afterEach(() => kernel.dispose());

  test('config on disk follows the state', () => {
    const onDisk = (): string =>
      readFileSync(at(`${xhci}.0`, 'config'))
        .subarray(0, 4)
        .toString('hex');
    assert.equal(onDisk(), '361b0d00');
    kernel.die(xhci);
    assert.equal(onDisk(), 'ffffffff');
  });

  test('a card that nothing heals stays dead', () => {
    kernel.die(flr);
    set(`${flr}.0`, 'reset', '1');
    set('0000:00:07.0', 'reset_subordinate', '1');
    assert.equal(alive(`${flr}.0`), false);
    reenumerate(flr);
    assert.throws(() => readFileSync(at(`${flr}.0`, 'vendor')));
  });

  for (const method of ['flr', 'bus'] as const) {
    test(`${method} heals what it can heal, and nothing else does`, () => {
      kernel.die(nvme, { healsBy: [method] });
      set(`${nvme}.0`, 'reset_method', method === 'flr' ? 'bus' : 'flr');
      assert.equal(set(`${nvme}.0`, 'reset', '1').errno, 'ENOTTY');
      kernel.advance(200_000);
      set(`${nvme}.0`, 'reset_method', method);
      assert.equal(set(`${nvme}.0`, 'reset', '1').errno, null);
      assert.equal(alive(`${nvme}.0`), true);
    });
  }

  test('subordinate heals a card of two functions; clean, its registers are as they were', () => {
    const before = kernel.read(at(`${ati}.0`, 'config'), 64).data.toString('hex');
    kernel.die(ati, { healsBy: ['subordinate'], clean: true });
    assert.equal(set(`${ati}.0`, 'reset', '1').errno, 'ENOTTY');
    assert.equal(set('0000:00:05.0', 'reset_subordinate', '1').errno, null);
    assert.equal(kernel.read(at(`${ati}.0`, 'config'), 64).data.toString('hex'), before);
  });

  test('remove-rescan heals only a card of which nothing is left', () => {
    kernel.die(ati, { healsBy: ['remove-rescan'] });
    set(`${ati}.1`, 'remove', '1');
    kernel.write(bus('rescan'), '1');
    assert.equal(alive(`${ati}.0`), false);
    reenumerate(ati);
    assert.equal(alive(`${ati}.0`), true);
    assert.equal(kernel.device(`${ati}.1`).driver, 'snd_hda_intel');
  });

  test('slot power heals what it can heal', () => {
    kernel.die(ati, { healsBy: ['slot-power'] });
    assert.equal(kernel.write(bus('slots/2/power'), '0').errno, null);
    assert.equal(readFileSync(bus('slots/2/power'), 'latin1'), '0\n');
    assert.equal(kernel.write(bus('slots/2/power'), '0').errno, 'ENODEV');
    assert.equal(kernel.write(bus('slots/2/power'), '1').errno, null);
    assert.equal(alive(`${ati}.0`), true);
  });

  test('in QEMU a slot that is switched off loses its card for good (9.2)', () => {
    kernel.dispose();
    kernel = SimKernel.create(machine(labSpec));
    kernel.write(bus('slots/2/power'), '0');
    assert.equal(kernel.write(bus('slots/2/power'), '1').errno, 'ENODEV');
  });

  test('suspend heals what it can heal, not the wedge', () => {
    kernel.die(flr, { healsBy: ['suspend'], clean: true });
    kernel.wedge(xhci);
    kernel.suspend();
    assert.equal(alive(`${flr}.0`), true);
    assert.equal(alive(`${xhci}.0`), false);
  });

  test('a restart of the host is another boot, with everything at its default', () => {
    const bootId = (): string =>
      readFileSync(`${kernel.root}/proc/sys/kernel/random/boot_id`, 'latin1');
    const before = bootId();
    kernel.die(flr, { healsBy: ['reboot-host'] });
    kernel.die(nvme);
    set(`${xhci}.0`, 'driver_override', 'vfio-pci');
    kernel.reboot();
    assert.notEqual(bootId(), before);
    assert.equal(kernel.device(`${flr}.0`).driver, 'virtio-pci');
    assert.equal(kernel.device(`${nvme}.0`).enumerated, false);
    assert.equal(kernel.device(`${xhci}.0`).override, null);
  });

  test('D3cold heals where the port can cut power and everything below it sleeps', () => {
    kernel.dispose();
    kernel = SimKernel.create(machine(desktopSpec));
    const functions = [0, 1, 2, 3].map((fn) => `0000:03:00.${fn}`);
    kernel.die('0000:03:00', { healsBy: ['d3cold'], clean: true });
    for (const address of functions) {
      kernel.write(at(address, 'driver/unbind'), address);
      set(address, 'power/control', 'auto');
    }
    set('0000:03:00.0', 'power/control', 'on');
    assert.equal(alive('0000:03:00.0'), false, 'the port was awake');
    set('0000:02:00.0', 'power/control', 'auto');
    const [, , , last = ''] = functions;
    set(last, 'power/control', 'on');
    set('0000:03:00.0', 'power/control', 'auto');
    set('0000:03:00.0', 'power/control', 'on');
    assert.equal(alive('0000:03:00.0'), false, 'one function was awake');
    for (const address of functions) set(address, 'power/control', 'auto');
    for (const address of functions) set(address, 'power/control', 'on');
    assert.equal(alive('0000:03:00.0'), true);
  });

  test('amdgpu heals a card with wrong registers, never one whose config space is dead', () => {
    kernel.dispose();
    kernel = SimKernel.create(machine(desktopSpec));
    const address = '0000:05:00.0';
    kernel.write(at(address, 'driver/unbind'), address);
    kernel.die('0000:05:00', { healsBy: ['amdgpu'] });
    assert.equal(kernel.write(bus('drivers/amdgpu/bind'), address).errno, 'EINVAL');
    kernel.die('0000:05:00', { healsBy: ['amdgpu'], sign: 'bars' });
    assert.equal(kernel.write(bus('drivers/amdgpu/bind'), address).errno, null);
  });

  test('not ready for good: config reads ffff0001', () => {
    kernel.die(flr, { sign: 'crs' });
    assert.equal(kernel.read(at(`${flr}.0`, 'config'), 4).data.toString('hex'), '0100ffff');
    set(`${flr}.0`, 'reset_method', 'flr');
    assert.equal(set(`${flr}.0`, 'reset', '1').errno, 'ENOTTY');
  });

  test('the reset bug: a card dies each time when its guest lets go', () => {
    kernel.dieAfterGuest(flr, { healsBy: ['remove-rescan'] });
    const { group } = kernel.device(`${flr}.0`);
    for (let round = 0; round < 2; round++) {
      set(`${flr}.0`, 'driver_override', 'vfio-pci');
      kernel.write(bus('drivers/virtio-pci/unbind'), `${flr}.0`);
      kernel.write(bus('drivers_probe'), `${flr}.0`);
      kernel.hold(9, 'qemu', `/dev/vfio/${group}`);
      assert.equal(alive(`${flr}.0`), true);
      kernel.letGo(9);
      assert.equal(alive(`${flr}.0`), false);
      reenumerate(flr);
    }
  });

  test('a write that fails does so as often as asked, and does nothing', () => {
    kernel.failWrite(bus('drivers/xhci_hcd/unbind'), 'EBUSY', 2);
    const unbind = () => kernel.write(at(`${xhci}.0`, 'driver/unbind'), `${xhci}.0`).errno;
    assert.deepEqual([unbind(), unbind()], ['EBUSY', 'EBUSY']);
    assert.equal(kernel.device(`${xhci}.0`).driver, 'xhci_hcd');
    assert.equal(unbind(), null);
  });

  test('a slow write takes longer, and holds the device for that long', () => {
    kernel.slowWrite(at(`${flr}.0`, 'reset'), 5_000);
    assert.equal(set(`${flr}.0`, 'reset', '1').delayMs, 5_120);
    assert.equal(kernel.read(at(`${flr}.0`, 'config'), 4).delayMs, 5_120);
    kernel.advance(5_120);
    assert.equal(set(`${flr}.0`, 'reset', '1').delayMs, 120);
  });

  test('what hangs takes effect when it goes on, and so does what waited behind it', () => {
    kernel.hang(bus('drivers/xhci_hcd/unbind'));
    const first = kernel.write(bus('drivers/xhci_hcd/unbind'), `${xhci}.0`).pending;
    const second = set(`${xhci}.0`, 'driver_override', 'vfio-pci').pending;
    assert.ok(first !== null && second !== null);
    assert.equal(kernel.device(`${xhci}.0`).driver, 'xhci_hcd');
    kernel.unhang(bus('drivers/xhci_hcd/unbind'));
    assert.deepEqual(kernel.ended(first), { errno: null });
    assert.deepEqual(kernel.ended(second), { errno: null });
    assert.equal(kernel.device(`${xhci}.0`).driver, null);
    assert.equal(kernel.device(`${xhci}.0`).override, 'vfio-pci');
  });

  test('nothing outside the simulated tree can be reached', () => {
    assert.throws(() => kernel.write('/sys/bus/pci/rescan', '1'), /outside the simulated/);
    assert.throws(() => kernel.wedge('0000:7f:00'), /has no/);
  });
});
