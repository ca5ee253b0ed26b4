/** The USB controller of the chipset: keyboard, mouse, Bluetooth and often the boot stick of the host. */

import { cardOf, type FunctionAddress } from '../../pci/address.ts';
import { idOf, isUsbController, type PciFunction } from '../../pci/device.ts';
import type { Judgement, Rule } from '../finding.ts';
import type { HostFacts, Passed } from '../host-facts.ts';
import { quoted } from '../label.ts';
import { removeHostdev } from '../removal.ts';

export const chipsetUsbPassed: Rule = {
  id: 'chipset-usb-passed',
  reads: 'class, ids and place of the passed functions',
  why: "All ports of the board go with it, the host's keyboard and mouse too, and it is seldom isolated from the rest of the chipset.",
  reference: 'Intel PCH datasheets (bus 0, devices 20, 26, 29); pci.ids 1022:43xx',
  judge(facts) {
    const seen = new Set<FunctionAddress>();
    return facts.passed.flatMap((passed): readonly Judgement[] => {
      const { address } = passed.hostdev;
      if (seen.has(address) || !isChipsetUsb(facts, passed)) return [];
      seen.add(address);
      const name = quoted(passed.domain.name);
      return [
        {
          // Older chipsets have several: the host keeps the ports of the others.
          severity: keepsAnother(facts, passed) ? 'note' : 'warning',
          subject: address,
          message: {
            en: `Domain ${name} passes ${address}, the USB controller of the chipset. Keyboard, mouse, Bluetooth and card readers of the host go with it, and come back only when the guest ends. Pass single USB devices, or a USB card in a slot of its own.`,
            ja: `ドメイン ${name} は ${address}(チップセットの USB コントローラー)を渡します。ホストのキーボード、マウス、Bluetooth、カードリーダーも一緒に渡り、ゲストが終わるまで戻りません。USB デバイスを個別に渡すか、専用スロットの USB カードを使ってください。`,
          },
          fix: removeHostdev(passed.domain.name, address),
        },
      ];
    });
  },
};

function isChipsetUsb(facts: HostFacts, { hostdev, fn }: Passed): boolean {
  const { address } = hostdev;
  // Without a listing: on Intel's boards 00:14.0 is the xHCI, 00:1a.0 and 00:1d.0 were the EHCIs.
  if (fn?.classCode === undefined) return facts.cpu !== 'amd' && address === '0000:00:14.0';
  if (!isUsbController(fn)) return false;
  // Device 13 is the one of the processor's Thunderbolt ports.
  if (/^0+:00:/.test(address)) return !/^0+:00:0d\./.test(address);
  return (fn.vendor === '1022' && /^43/.test(fn.device ?? '')) || isX570(facts, fn);
}

// X570 has the ids of the processor's own controller, twice in one slot.
function isX570(facts: HostFacts, fn: PciFunction): boolean {
  const slot = facts.inventory.cards.get(cardOf(fn.address))?.functions ?? [];
  return idOf(fn) === '1022:149c' && slot.filter((one) => idOf(one) === '1022:149c').length > 1;
}

function keepsAnother(facts: HostFacts, { domain }: Passed): boolean {
  const lent = new Set<string>(domain.hostdevs.map(({ address }) => address));
  return Array.from(facts.inventory.functions.values()).some(
    (fn) =>
      isUsbController(fn) &&
      (/^0+:00:(?!0d\.)/.test(fn.address) || idOf(fn) === '1022:149c') &&
      !lent.has(fn.address),
  );
}
