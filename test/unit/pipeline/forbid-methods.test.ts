/** What the kernel's own resets at VFIO's open and close may use: never what the card's family forbids. */
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { type CardConfig, defaultConfig } from '../../../daemon/config/config.ts';
import { type FunctionSpec, machine } from '../../sim/machine.ts';
import { card as address } from '../inventory-of.ts';
import { type SimPipeline, simPipeline, treeOf } from '../sim-host.ts';

const card = address('0000:01:00');
const fn = `${card}.0`;
/** The ladder of the family without vendor-reset, which is another matter (device-specific.test.ts). */
const ladder = ['remove-rescan'] as const;

describe('before QEMU opens a card', () => {
  let sim: SimPipeline;
  afterEach(() => sim.close());

  const use = async (functions: readonly FunctionSpec[], settings: CardConfig = { ladder }) => {
    const drivers = ['pcieport', 'xhci_hcd', 'vfio-pci'];
    const spec = { rootDevices: [], drivers, ports: [{ functions }] };
    await sim?.close();
    sim = await simPipeline({ machine: machine(spec) });
    sim.config = { ...defaultConfig, cards: new Map([[card, settings]]) };
  };
  const methods = (one = fn) => sim.kernel.device(one).methods;
  const written = (one = fn) =>
    sim.kernel.writes.flatMap(({ path, value }) =>
      path === sim.at(one, 'reset_method') ? [value] : [],
    );
  const take = () => sim.handover.take([sim.card(card)], { domain: 'win10', uuid: 'u' }, 't').ended;
  const giveBack = () => sim.handover.giveBack(card, 't').ended;

  test('what its family forbids is not offered, the rest keeps its order, and home it is as it was', async () => {
    await use([{ model: 'matisse-usb', acpiReset: true }]);
    const before = treeOf(sim.kernel.sys);
    assert.deepEqual(methods(), ['acpi', 'flr', 'pm', 'bus']);
    await take();
    assert.deepEqual(methods(), ['acpi', 'pm', 'bus']);
    await giveBack();
    assert.deepEqual(treeOf(sim.kernel.sys), before);
  });

  test('where nothing else is offered, nothing is left', async () => {
    await use([{ model: 'navi10' }]);
    assert.deepEqual(methods(), ['bus']);
    await take();
    assert.deepEqual(methods(), []);
    await giveBack();
    assert.deepEqual(methods(), ['bus']);
  });

  test('where nothing forbidden is offered, nothing is written', async () => {
    await use([{ model: 'virtio-gpu' }]);
    await take();
    await giveBack();
    await use([{ model: 'navi10', acpiReset: true }, { model: 'navi10-audio' }]);
    sim.kernel.write(sim.at(fn, 'reset_method'), 'acpi');
    const before = written().length;
    await take();
    assert.deepEqual([methods(), written().length], [['acpi'], before]);
  });

  test('a rest that the kernel refuses beside other functions is what it finds anew', async () => {
    await use([{ model: 'matisse-usb' }, { model: 'xhci' }]);
    assert.deepEqual(methods(), ['flr', 'pm', 'bus'], 'bus is stale');
    await take();
    assert.deepEqual(methods(), ['pm']);
  });

  test('a function does without its bus for the sake of the others, and keeps its own resets', async () => {
    await use([{ model: 'navi10' }, { model: 'virtio-gpu' }]);
    await take();
    assert.deepEqual(methods(), []);
    assert.deepEqual(methods(`${card}.1`), ['flr', 'pm']);
  });

  test('what the configuration names and forces stays', async () => {
    await use([{ model: 'matisse-usb' }], { ladder, resetMethod: 'flr', force: true });
    await take();
    assert.deepEqual(methods(), ['flr']);
    await use([{ model: 'matisse-usb' }], { ladder: ['flr'], force: true });
    await take();
    assert.deepEqual(methods(), ['flr', 'pm', 'bus'], 'its rung is tried when it comes home');
    await use([{ model: 'matisse-usb' }], { ladder, force: true });
    await take();
    assert.deepEqual(methods(), ['pm', 'bus'], 'force alone names nothing');
  });

  test('a start that fails after it leaves the list as it was', async () => {
    await use([{ model: 'matisse-usb' }]);
    sim.kernel.failWrite(sim.bus('drivers_probe'), 'EIO');
    await assert.rejects(take());
    assert.deepEqual(
      written(),
      ['pm bus', 'flr pm bus'].map((list) => `${list}\n`),
    );
    assert.deepEqual(methods(), ['flr', 'pm', 'bus']);
  });

  test('nothing of it is back while QEMU has the card open, although a daemon was ended on its way home', async () => {
    await use([{ model: 'matisse-usb' }]);
    const before = treeOf(sim.kernel.sys);
    await take();
    const lease = sim.leases.get(card) ?? assert.fail('it is lent');
    sim.kernel.hold(4711, 'qemu', `${sim.host.paths.dev}/vfio/${sim.kernel.device(fn).group}`);
    await sim.leases.set({ ...lease, state: 'returning' });
    await sim.restart();
    await assert.rejects(giveBack(), { code: 'busy' });
    assert.deepEqual([methods(), sim.leases.get(card)?.state], [['pm', 'bus'], 'lent']);
    sim.kernel.letGo(4711);
    await giveBack();
    assert.deepEqual(treeOf(sim.kernel.sys), before);
  });

  test('a start is refused while the kernel would still use it', async () => {
    await use([{ model: 'matisse-usb' }]);
    sim.kernel.failWrite(sim.at(fn, 'reset_method'), 'EINVAL', 9);
    await assert.rejects(take(), /0000:01:00\.0 .* flr/);
    assert.equal(sim.driver(fn), 'xhci_hcd');
  });
});
