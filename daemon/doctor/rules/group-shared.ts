/** The kernel lends an IOMMU group only whole. Bridges and root ports in it are fine. */
import { isDisplay, type PciFunction } from '../../pci/device.ts';
import type { Judgement, Rule } from '../finding.ts';
import { label, labels, quoted } from '../label.ts';
import { companionsOf, groupMates, isSoc, passedCards } from '../topology.ts';

export const groupShared: Rule = {
  id: 'group-shared',
  reads: 'iommu_group, class and driver of every function, the hostdevs of domains',
  why: 'Devices of one group can reach each other past the IOMMU, so the kernel refuses to split them.',
  reference: 'drivers/vfio/group.c vfio_group_viable; Documentation/driver-api/vfio.rst',
  judge(facts) {
    const seen = new Set<string>();
    const found: Judgement[] = [];
    for (const { domain, card, asked } of passedCards(facts)) {
      const main = asked.find(isDisplay) ?? asked[0];
      const also = new Set(domain.hostdevs.map(({ address }) => address));
      const own = companionsOf(facts, card, also);
      const mates = groupMates(facts, own, also).filter((fn) => !isTwin(fn, asked));
      seen.add(card.address);
      if (main === undefined || mates.length === 0) continue;
      found.push({
        severity: mates.some(hasDriver) ? 'error' : 'warning',
        subject: main.address,
        message: {
          en: `${label(main)}, which domain ${quoted(domain.name)} passes, shares its IOMMU group ${main.group} with ${labels(mates)}. The kernel lends a group only whole, so the start fails while the host uses one of them. Put the card into another slot (one that hangs on the CPU), or look in the firmware for "ACS" and for an update.`,
          ja: `ドメイン ${quoted(domain.name)} に渡す ${label(main)} は、IOMMU グループ ${main.group} を ${labels(mates)} と共有しています。カーネルはグループ全体でしか貸し出さないため、ホストがそれらを使っている間は起動に失敗します。カードを別のスロット(CPU 直結のもの)に移すか、ファームウェアの「ACS」設定と更新を確認してください。`,
        },
        fix: null,
      });
    }
    for (const card of facts.inventory.cards.values()) {
      const main = card.functions.find(isDisplay);
      if (main === undefined || seen.has(card.address) || isSoc(facts, card)) continue;
      const mates = groupMates(facts, card.functions);
      if (mates.length === 0) continue;
      found.push({
        severity: 'note',
        subject: main.address,
        message: {
          en: `${label(main)} shares its IOMMU group ${main.group} with ${labels(mates)}. As long as the host keeps the card that does not matter; to a guest it could only go with all of them. Another slot may give it a group of its own.`,
          ja: `${label(main)} は IOMMU グループ ${main.group} を ${labels(mates)} と共有しています。ホストで使うだけなら問題ありませんが、ゲストに渡すには全部まとめて渡す必要があります。別のスロットなら独立したグループになることがあります。`,
        },
        fix: null,
      });
    }
    return found;
  },
};

// Classes that often have no driver (thermal, SPI, PSP, management engine): unbound they do not bar the group.
const oftenIdle = /^(0700|0780|0880|0c80|1080|1101|1180)/;

function hasDriver(fn: PciFunction): boolean {
  return fn.driver !== undefined || !oftenIdle.test(fn.classCode ?? '');
}

// A function of the same slot and kind: function-left-behind says it.
function isTwin(fn: PciFunction, asked: readonly PciFunction[]): boolean {
  return asked.some(
    (one) =>
      one.address.slice(0, -1) === fn.address.slice(0, -1) &&
      one.classCode?.slice(0, 4) === fn.classCode?.slice(0, 4),
  );
}
