/** The part of conformance.ts that is about dead cards: the wedge of the lab, and what mends it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type Assertion, Hands, wedged } from './hands.ts';

const deadId = 'ffffffff';

/** In an order that needs no other. */
export const dead: readonly Assertion[] = [
  {
    name: 'a wedged card reads as all ones at once, still bound, and its link shows it (0.5)',
    async run(bench) {
      await wedged(bench, bench.cards.bochs, async (hands) => {
        const address = `${bench.cards.bochs}.0`;
        assert.equal(await hands.config(address), deadId);
        assert.equal(hands.driver(address), 'bochs-drm');
        assert.equal(hands.get(address, 'vendor'), '0x1234');
        assert.equal(hands.get(address, 'current_link_speed'), 'Unknown');
        assert.equal(hands.get(address, 'current_link_width'), '63');
        assert.equal(hands.get(address, 'max_link_width'), '63');
        // 6.12 remembers it from the probe; 6.1 reads the dead LNKCAP2 and says 64 GT/s.
        assert.match(hands.get(address, 'max_link_speed') ?? '', /^(2\.5|64\.0) GT\/s PCIe$/);
        assert.equal(hands.get(`${bench.cards.bochs}.1`, 'current_link_width'), undefined);
      });
    },
  },
  {
    name: 'a reset of a dead function without a PM capability returns 0 and helps nothing (0.2)',
    async run(bench) {
      await wedged(bench, bench.cards.xhci, async (hands) => {
        const address = `${bench.cards.xhci}.0`;
        await hands.unbind(address);
        assert.equal(await hands.set(address, 'reset', '1'), 'ok');
        assert.equal(await hands.config(address), deadId);
      });
    },
  },
  {
    name: 'a reset of a dead function with a PM capability ends with ENOTTY (0.3)',
    slow: true,
    async run(bench) {
      await wedged(bench, bench.cards.nvme, async (hands) => {
        const address = `${bench.cards.nvme}.0`;
        await hands.unbind(address);
        assert.equal(await hands.set(address, 'reset_method', 'flr'), 'ok');
        assert.equal(await hands.set(address, 'reset', '1'), 'ENOTTY');
        assert.equal(await hands.config(address), deadId);
      });
    },
  },
  {
    name: 'drivers on a dead function: hda binds, xhci ETIMEDOUT, bochs ENODEV',
    async run(bench) {
      await wedged(bench, bench.cards.xhci, async (hands) => {
        const address = `${bench.cards.xhci}.0`;
        await hands.unbind(address);
        const bind = hands.bus('drivers/xhci_hcd/bind');
        assert.equal(await hands.write(bind, address), 'ETIMEDOUT');
      });
      await wedged(bench, bench.cards.bochs, async (hands) => {
        const [display, audio] = [`${bench.cards.bochs}.0`, `${bench.cards.bochs}.1`];
        await hands.unbind(display);
        await hands.unbind(audio);
        assert.equal(await hands.write(hands.bus('drivers/bochs-drm/bind'), display), 'ENODEV');
        assert.equal(await hands.write(hands.bus('drivers/snd_hda_intel/bind'), audio), 'ok');
        assert.equal(hands.driver(audio), 'snd_hda_intel');
      });
    },
  },
  {
    name: 'a rescan does not find a dead card, and finds it when power is back, with its host drivers',
    async run(bench) {
      const { bochs } = bench.cards;
      await wedged(bench, bochs, async (hands) => {
        for (const fn of [1, 0]) {
          assert.equal(await hands.set(`${bochs}.${fn}`, 'remove', '1'), 'ok');
        }
        assert.equal(await hands.write(hands.bus('rescan'), '1'), 'ok');
        assert.equal(hands.there(`${bochs}.0`), false);
      });
      const hands = new Hands(bench);
      assert.equal(hands.driver(`${bochs}.0`), 'bochs-drm');
      assert.equal(hands.driver(`${bochs}.1`), 'snd_hda_intel');
    },
  },
  {
    name: 'power that comes back leaves COMMAND and BARs at 0, and a reset keeps them so (0.12)',
    async run(bench) {
      const { xhci } = bench.cards;
      const address = `${xhci}.0`;
      await wedged(bench, xhci, async (hands) => {
        await hands.unbind(address);
        await bench.unwedge(xhci);
        assert.equal((await hands.config(address, 64)).slice(8, 12), '0000');
        assert.equal((await hands.config(address, 64)).slice(32, 48), '0400000000000000');
        assert.equal(await hands.set(address, 'reset', '1'), 'ok');
        assert.equal((await hands.config(address, 64)).slice(32, 48), '0400000000000000');
      });
    },
  },
  {
    name: 'slot power follows the bit in reading, and what pciehp believes in writing (9.2)',
    async run(bench) {
      const { ati } = bench.cards;
      await wedged(bench, ati, async (hands) => {
        const power = hands.slotOf(ati);
        assert.equal(readFileSync(power, 'latin1').trim(), '0');
        assert.equal(await hands.write(power, '1'), 'ENODEV');
        for (const fn of [1, 0]) {
          assert.equal(await hands.set(`${ati}.${fn}`, 'remove', '1'), 'ok');
        }
        assert.equal(await hands.write(power, '0'), 'EINVAL');
        assert.equal(await hands.write(power, '1'), 'ok');
        assert.equal(readFileSync(power, 'latin1').trim(), '1');
        assert.equal(hands.there(`${ati}.0`), true);
        assert.equal((await hands.config(`${ati}.0`)).slice(0, 8), '02104650');
      });
    },
  },
];
