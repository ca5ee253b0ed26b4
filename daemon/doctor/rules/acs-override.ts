/** Groups that the hardware does not give: the kernel was told to believe in isolation that is not there. */
import { isDisplay, type PciFunction } from '../../pci/device.ts';
import type { Card } from '../../pci/inventory.ts';
import { familyOf } from '../../pci/quirks.ts';
import type { Rule } from '../finding.ts';
import type { HostFacts } from '../host-facts.ts';
import { labels, listed } from '../label.ts';
import { isSoc, isVirtual } from '../topology.ts';

// The switches inside of AMD's cards have ACS: 1002:1478/1479, 1022:1470/1471 (facts/kernel.md 8).
const cardSwitches = new Set(['1002:1478', '1002:1479', '1022:1470', '1022:1471']);
// AMD's Promontory chipsets (300 to 500 series): one device with USB, SATA and a switch, without ACS.
const promontory = /^43(b[0-9a-f]|c[0-9a-f]|d[0-9a-f]|e[9abe])$/;

export const acsOverride: Rule = {
  id: 'acs-override',
  reads: 'proc/cmdline, the IOMMU groups of the functions of one slot',
  why: 'Groups made by pcie_acs_override hide that devices can still reach each other: a guest could write to the host through them.',
  reference:
    'drivers/pci/pci.c pci_acs_enabled; the ACS override patch (never merged), lkml 2013-05-30',
  judge(facts) {
    const word = facts.cmdline?.find((one) => /^pcie_acs_override=/.test(one));
    if (word !== undefined) {
      return [
        {
          severity: 'warning',
          subject: 'host',
          message: {
            en: `The kernel was started with ${word}: its IOMMU groups are wishes, not facts. Devices in different groups may still reach each other past the IOMMU, so a guest with one of them could read or break the host. Better use a slot with a group of its own; keep the parameter only for guests that you trust.`,
            ja: `カーネルが ${word} で起動されています。IOMMU グループは実際の隔離を表していません。別のグループでもデバイス同士が IOMMU を通らずに通信でき、ゲストがホストを読んだり壊したりできる恐れがあります。独立したグループのスロットを使い、このパラメータは信頼できるゲストにだけ使ってください。`,
          },
          fix: null,
        },
      ];
    }
    // The parameters are known and there is no override among them: the groups are the hardware's.
    if (facts.cmdline !== undefined) return [];
    const passed = new Set(facts.passed.map(({ hostdev }) => hostdev.address));
    const lent = listed([...passed]);
    const also = passed.size === 0 ? '' : `, also those of what guests get (${lent}),`;
    const alsoJa = passed.size === 0 ? '' : `(ゲストに渡すもの ${lent} も含めて)`;
    return Array.from(facts.inventory.cards.values()).flatMap((card) => {
      const main = card.functions[0];
      // Each virtual function has a group of its own, by the isolation that SR-IOV brings.
      const own = card.functions.filter((fn) => !isVirtual(facts, fn));
      const split = new Set(own.map((fn) => fn.group)).size > 1;
      if (main === undefined || !split || !cannotSplit(facts, card)) return [];
      const given = card.functions.some((fn) => passed.has(fn.address));
      return [
        {
          severity: given ? 'warning' : 'note',
          subject: main.address,
          message: {
            en: `${labels(card.functions)} are in different IOMMU groups, although this hardware cannot isolate them. That is a sign of a kernel with an ACS override (pcie_acs_override=): the groups${also} then say nothing about what can reach what. Pass the whole card to one guest, and use the override only for guests that you trust.`,
            ja: `${labels(card.functions)} が別々の IOMMU グループに入っていますが、このハードウェアにはそれらを隔離する機能がありません。カーネルの ACS オーバーライド(pcie_acs_override=)の兆候で、グループは${alsoJa}実際の隔離を表していません。カード全体を一つのゲストに渡し、信頼できるゲストにだけ使ってください。`,
          },
          fix: null,
        },
      ];
    });
  },
};

// True where the functions of one slot cannot be isolated from each other: plain graphics cards, and Promontory.
function cannotSplit(facts: HostFacts, card: Card): boolean {
  if (card.functions.some((fn) => fn.group === undefined)) return false;
  if (card.functions.every((fn) => fn.vendor === '1022' && promontory.test(fn.device ?? ''))) {
    return true;
  }
  const display = card.functions.find(isDisplay);
  if (display === undefined || isSoc(facts, card)) return false;
  // AMD's newer cards sit behind a switch of their own; of ids that nobody knows nothing can be said.
  if (display.vendor === '10de') return true;
  const family = familyOf(display);
  return (
    display.vendor === '1002' &&
    family !== undefined &&
    !family.cardSwitch &&
    !behindSwitch(facts, display)
  );
}

function behindSwitch(facts: HostFacts, fn: PciFunction): boolean {
  return fn.ports.some((address) => {
    const port = facts.inventory.functions.get(address);
    return cardSwitches.has(`${port?.vendor}:${port?.device}`);
  });
}
