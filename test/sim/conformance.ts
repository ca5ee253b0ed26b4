/**
 * What the simulated kernel and a real one must both do, so that tests on the first say something about the second.
 * Run on the simulated lab machine (test/unit/sim/conformance.test.ts) and in the lab (conformance-main.ts). Each
 * assertion leaves the machine as it found it. Numbers in the names: findings of facts/kernel.md 0.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dead } from './conformance-dead.ts';
import { type Assertion, Hands } from './hands.ts';

const binding: readonly Assertion[] = [
  {
    name: 'override, unbind and drivers_probe bind vfio-pci, and the same way leads home',
    async run(bench) {
      const hands = new Hands(bench);
      const address = `${bench.cards.bochs}.0`;
      const home = hands.driver(address);
      assert.equal(hands.get(address, 'driver_override'), '(null)');
      await hands.give(address, 'vfio-pci');
      assert.equal(hands.driver(address), 'vfio-pci');
      assert.equal(hands.get(address, 'driver_override'), 'vfio-pci');
      await hands.home(address);
      assert.equal(hands.driver(address), home);
      assert.equal(hands.get(address, 'driver_override'), '(null)');
    },
  },
  {
    name: 'an override to a driver that is not loaded leaves the function unbound, without an error',
    async run(bench) {
      const hands = new Hands(bench);
      const address = `${bench.cards.bochs}.1`;
      await hands.give(address, 'none');
      assert.equal(hands.driver(address), undefined);
      await hands.home(address);
      assert.equal(hands.driver(address), 'snd_hda_intel');
    },
  },
  {
    name: 'an override does not unbind, and a second probe of a bound function changes nothing',
    async run(bench) {
      const hands = new Hands(bench);
      const address = `${bench.cards.xhci}.0`;
      assert.equal(await hands.set(address, 'driver_override', 'vfio-pci'), 'ok');
      assert.equal(await hands.write(hands.bus('drivers_probe'), address), 'ok');
      assert.equal(hands.driver(address), 'xhci_hcd');
      assert.equal(await hands.set(address, 'driver_override', '\n'), 'ok');
    },
  },
  {
    name: 'bind: ENODEV without a match or a device, EBUSY when bound; unbind of a foreign one: ENODEV',
    async run(bench) {
      const hands = new Hands(bench);
      const address = `${bench.cards.xhci}.0`;
      const vfio = (file: string) => hands.bus(`drivers/vfio-pci/${file}`);
      assert.equal(await hands.write(vfio('bind'), address), 'ENODEV');
      assert.equal(await hands.write(vfio('bind'), '0000:7f:1f.7'), 'ENODEV');
      assert.equal(await hands.write(vfio('unbind'), address), 'ENODEV');
      assert.equal(await hands.write(hands.bus('drivers_probe'), '0000:7f:1f.7'), 'ENODEV');
      assert.equal(await hands.set(address, 'driver_override', 'vfio-pci'), 'ok');
      assert.equal(await hands.write(vfio('bind'), address), 'EBUSY');
      assert.equal(await hands.set(address, 'driver_override', '\n'), 'ok');
      assert.equal(await hands.write(hands.bus('drivers/xhci_hcd/bind'), address), 'EBUSY');
    },
  },
  {
    name: 'vfio-pci sets power/control to auto when it binds, and back to on when it leaves',
    async run(bench) {
      const hands = new Hands(bench);
      const address = `${bench.cards.flr}.0`;
      assert.equal(await hands.set(address, 'power/control', 'on'), 'ok');
      await hands.give(address, 'vfio-pci');
      assert.equal(hands.get(address, 'power/control'), 'auto');
      await hands.unbind(address);
      assert.equal(hands.get(address, 'power/control'), 'on');
      await hands.give(address, 'vfio-pci');
      assert.equal(await hands.set(address, 'power/control', 'on'), 'ok');
      assert.equal(hands.get(address, 'power_state'), 'D0');
      assert.equal(hands.get(address, 'power/runtime_status'), 'active');
      await hands.unbind(address);
      assert.equal(hands.get(address, 'power/control'), 'on');
      assert.equal(hands.get(address, 'power_state'), 'D0');
      await hands.home(address);
    },
  },
  {
    name: 'an unused function on vfio-pci is asleep in D3hot until it is pinned (0.14)',
    async run(bench) {
      const hands = new Hands(bench);
      const address = `${bench.cards.nvme}.0`;
      await hands.give(address, 'vfio-pci');
      await until(() => hands.get(address, 'power_state') === 'D3hot');
      assert.equal(hands.get(address, 'power/runtime_status'), 'suspended');
      assert.equal((await hands.config(address)).slice(0, 8), '361b1000');
      await hands.home(address);
      assert.equal(hands.driver(address), 'nvme');
    },
  },
];

const methods: readonly Assertion[] = [
  {
    name: '.0 of a card with two functions lists bus, and its reset is refused with ENOTTY (0.1)',
    async run(bench) {
      const hands = new Hands(bench);
      const [first, second] = [`${bench.cards.ati}.0`, `${bench.cards.ati}.1`];
      await hands.renew(bench.cards.ati);
      assert.equal(hands.get(first, 'reset_method'), 'bus');
      // Found again below a hotplug slot the other one lists it too: QEMU's header does not say that it has siblings.
      assert.equal(hands.get(second, 'reset_method'), 'bus');
      assert.equal(await hands.set(first, 'reset', '1'), 'ENOTTY');
      assert.equal(await hands.set(second, 'reset', '1'), 'ENOTTY');
      assert.equal(await hands.set(second, 'reset_method', 'default'), 'ok');
      assert.equal(hands.get(second, 'reset_method'), '');
      assert.equal(await hands.set(first, 'reset_method', 'bus'), 'EINVAL');
      assert.equal(hands.get(first, 'reset_method'), 'bus');
      assert.equal(await hands.set(first, 'reset_method', 'default'), 'ok');
      assert.equal(hands.get(first, 'reset_method'), '');
      assert.equal(await hands.set(first, 'reset', '1'), 'ENOTTY');
      await hands.renew(bench.cards.ati);
      assert.equal(hands.get(first, 'reset_method'), 'bus');
    },
  },
  {
    name: 'reset_method: spaces, no commas; all or nothing; empty switches off; default brings back',
    async run(bench) {
      const hands = new Hands(bench);
      const address = `${bench.cards.flr}.0`;
      const set = (value: string) => hands.set(address, 'reset_method', value);
      const get = () => hands.get(address, 'reset_method');
      assert.equal(get(), 'flr pm bus');
      assert.equal(await set('bus flr'), 'ok');
      assert.equal(get(), 'bus flr');
      for (const wrong of ['flr,bus', 'flr nonsense', 'device_specific', 'bus acpi', '1']) {
        assert.equal(await set(wrong), 'EINVAL', wrong);
        assert.equal(get(), 'bus flr', wrong);
      }
      assert.equal(await set('\n'), 'ok');
      assert.equal(get(), '');
      assert.equal(await hands.set(address, 'reset', '1'), 'ENOTTY');
      assert.equal(await set('default'), 'ok');
      assert.equal(get(), 'flr pm bus');
      assert.equal(await hands.set(address, 'reset', '1'), 'ok');
    },
  },
  {
    name: 'reset takes 1 and nothing else',
    async run(bench) {
      const hands = new Hands(bench);
      for (const wrong of ['0', '2', 'yes', '1 1', '-1']) {
        assert.equal(await hands.set(`${bench.cards.flr}.0`, 'reset', wrong), 'EINVAL', wrong);
      }
    },
  },
  {
    name: 'a reset leaves config space as it was',
    async run(bench) {
      const hands = new Hands(bench);
      for (const address of [`${bench.cards.flr}.0`, `${bench.cards.xhci}.0`]) {
        await hands.unbind(address);
        const before = await hands.config(address, 64);
        assert.equal(await hands.set(address, 'reset', '1'), 'ok');
        assert.equal(await hands.config(address, 64), before);
        await hands.home(address);
      }
    },
  },
  {
    name: 'reset_subordinate of the port resets a card of two functions and keeps its registers',
    async run(bench) {
      const hands = new Hands(bench);
      const address = `${bench.cards.ati}.0`;
      const before = await hands.config(address, 64);
      assert.equal(await hands.set(portOf(hands, address), 'reset_subordinate', 'x'), 'EINVAL');
      assert.equal(await hands.set(portOf(hands, address), 'reset_subordinate', '1'), 'ok');
      assert.equal(await hands.config(address, 64), before);
    },
  },
  {
    name: 'what is not there or not writable: ENOENT and EACCES',
    async run(bench) {
      const hands = new Hands(bench);
      const address = `${bench.cards.bochs}.1`;
      assert.equal(existsSync(hands.path(address, 'nothing')), false);
      assert.equal(await hands.set(address, 'nothing', '1'), 'ENOENT');
      assert.equal(await hands.set('0000:7f:1f.7', 'reset', '1'), 'ENOENT');
      assert.equal(await hands.set(address, 'vendor', '1'), 'EACCES');
      const { io } = bench;
      const read = await io.read(hands.path(address, 'remove'), 64, 5_000);
      assert.equal(read.state === 'error' ? read.errno : read.state, 'EACCES');
      assert.equal(await hands.set(address, 'power/control', 'maybe'), 'EINVAL');
      assert.equal(await hands.set(address, 'd3cold_allowed', 'maybe'), 'EINVAL');
      assert.equal(await hands.set(address, 'remove', 'x'), 'EINVAL');
    },
  },
];

const reenumeration: readonly Assertion[] = [
  {
    name: 'remove and rescan lose the override, the methods and the pin, and the host driver is back (0.11)',
    async run(bench) {
      const hands = new Hands(bench);
      const address = `${bench.cards.flr}.0`;
      await hands.give(address, 'vfio-pci');
      assert.equal(await hands.set(address, 'reset_method', 'bus'), 'ok');
      assert.equal(await hands.set(address, 'd3cold_allowed', '0'), 'ok');
      assert.equal(await hands.set(address, 'remove', '1'), 'ok');
      assert.equal(hands.there(address), false);
      assert.equal(await hands.write(hands.bus('rescan'), '1'), 'ok');
      assert.equal(hands.get(address, 'driver_override'), '(null)');
      assert.equal(hands.get(address, 'reset_method'), 'flr pm bus');
      assert.equal(hands.get(address, 'd3cold_allowed'), '1');
      assert.equal(hands.driver(address), 'virtio-pci');
    },
  },
  {
    name: 'drivers_autoprobe=0 does not keep the host driver from a rescanned function (0.11)',
    async run(bench) {
      const hands = new Hands(bench);
      const address = `${bench.cards.bochs}.1`;
      assert.equal(await hands.write(hands.bus('drivers_autoprobe'), '0'), 'ok');
      try {
        assert.equal(await hands.set(address, 'remove', '1'), 'ok');
        assert.equal(await hands.write(hands.bus('rescan'), '1'), 'ok');
        assert.equal(hands.driver(address), 'snd_hda_intel');
      } finally {
        await hands.write(hands.bus('drivers_autoprobe'), '1');
      }
    },
  },
  {
    name: 'a port finds again what was removed below it, behind a switch too',
    async run(bench) {
      const hands = new Hands(bench);
      const address = `${bench.cards.switched}.1`;
      assert.equal(await hands.set(address, 'remove', '1'), 'ok');
      assert.equal(
        await hands.set(portOf(hands, `${bench.cards.switched}.0`), 'rescan', '1'),
        'ok',
      );
      assert.equal(hands.driver(address), 'snd_hda_intel');
    },
  },
];

const groups: readonly Assertion[] = [
  {
    name: 'found again, the functions of a QEMU card are in groups of their own, with the lowest free numbers',
    async run(bench) {
      const hands = new Hands(bench);
      const [first, second] = [`${bench.cards.ati}.0`, `${bench.cards.ati}.1`];
      await hands.renew(bench.cards.ati);
      const [a, b] = [hands.group(first), hands.group(second)];
      assert.ok(a !== undefined && b !== undefined);
      assert.notEqual(a, b);
      await hands.renew(bench.cards.ati);
      assert.deepEqual([hands.group(first), hands.group(second)], [a, b]);
    },
  },
  {
    name: 'behind a port without ACS they stay in the group of the port',
    async run(bench) {
      const hands = new Hands(bench);
      const [first, second] = [`${bench.cards.switched}.0`, `${bench.cards.switched}.1`];
      const group = hands.group(portOf(hands, first));
      await hands.renew(bench.cards.switched);
      assert.deepEqual([hands.group(first), hands.group(second)], [group, group]);
    },
  },
  {
    name: 'a vfio-pci function has a node for its group, and only while it is bound',
    async run(bench) {
      const hands = new Hands(bench);
      const address = `${bench.cards.flr}.0`;
      const node = `${bench.dev}/vfio/${hands.group(address)}`;
      assert.equal(existsSync(node), false);
      await hands.give(address, 'vfio-pci');
      assert.equal(existsSync(node), true);
      await hands.home(address);
      assert.equal(existsSync(node), false);
    },
  },
  {
    name: 'config has 4096 bytes with a PCI Express capability, else 256; a ROM register is no sign of health',
    async run(bench) {
      const hands = new Hands(bench);
      const size = async (address: string) => (await hands.config(address, 4096)).length / 2;
      assert.equal(await size(`${bench.cards.bochs}.0`), 4096);
      assert.equal(await size(`${bench.cards.bochs}.1`), 256);
      const shadow = '0x00000000000c0000 0x00000000000dffff 0x0000000000000212';
      assert.equal(hands.get(`${bench.cards.ati}.0`, 'resource')?.split('\n')[6], shadow);
      assert.equal(hands.get(`${bench.cards.ati}.0`, 'resource')?.split('\n').length, 13);
    },
  },
];

const errors: readonly Assertion[] = [
  {
    name: 'a port counts its errors by their short names, a root port also what is reported to it (0.13)',
    async run(bench) {
      const hands = new Hands(bench);
      const root = portOf(hands, `${bench.cards.bochs}.0`);
      const names = (address: string, file: string) =>
        hands.get(address, file)?.replaceAll(/ \d+$/gm, '').split('\n') ?? [];
      for (const [severity, short, some] of [
        ['fatal', 'fatal', ['DLP', 'SDES', 'CmpltTO', 'TOTAL_ERR_FATAL']],
        ['nonfatal', 'nonfatal', ['CmpltTO', 'UnsupReq', 'TOTAL_ERR_NONFATAL']],
        ['correctable', 'cor', ['RxErr', 'BadTLP', 'TOTAL_ERR_COR']],
      ] as const) {
        const shown = names(root, `aer_dev_${severity}`);
        assert.deepEqual(
          some.filter((name) => !shown.includes(name)),
          [],
          shown.join(),
        );
        assert.match(hands.get(root, `aer_rootport_total_err_${short}`) ?? '', /^\d+$/);
        const inner = portOf(hands, `${bench.cards.switched}.0`);
        assert.deepEqual(names(inner, `aer_dev_${severity}`), shown);
        assert.equal(hands.get(inner, `aer_rootport_total_err_${short}`), undefined);
        for (const without of [bench.cards.xhci, bench.cards.nvme]) {
          assert.equal(hands.get(`${without}.0`, `aer_dev_${severity}`), undefined);
        }
      }
    },
  },
];

function portOf(hands: Hands, address: string): string {
  const path = hands.place(address).split('/');
  return path.at(-2) ?? '';
}

// The kernel suspends a moment after the last reference is gone; no file tells when. At most 5 s.
async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 100 && !condition(); round++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.ok(condition(), 'it did not happen within 5 s');
}

/** All of them, in an order that needs no other. */
export const assertions: readonly Assertion[] = [
  ...binding,
  ...methods,
  ...reenumeration,
  ...groups,
  ...errors,
  ...dead,
];
