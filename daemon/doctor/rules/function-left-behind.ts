/** A card goes with all of its functions, or it cannot be reset. */
import { isDisplay, type PciFunction } from '../../pci/device.ts';
import type { DomainEdit, Judgement, Rule } from '../finding.ts';
import { label, labels, quoted } from '../label.ts';
import { companionsOf, isSoc, isVirtual, type PassedCard, passedCards } from '../topology.ts';

export const functionLeftBehind: Rule = {
  id: 'function-left-behind',
  reads: 'the functions of each slot, the hostdevs of domains',
  why: 'VFIO resets a card only when all of its functions are bound to vfio-pci, and says nothing when it does not.',
  reference:
    'drivers/vfio/pci/vfio_pci_core.c vfio_pci_dev_set_needs_reset; facts/kernel.md 0, finding 7',
  judge(facts) {
    return passedCards(facts).flatMap((passed): readonly Judgement[] => {
      const { domain, card, asked } = passed;
      const requested = new Set(asked.map((fn) => fn.address));
      const twins = card.functions.filter(
        (fn) => isSoc(facts, card) && asked.some((one) => sameKindAndGroup(one, fn)),
      );
      const needed = [...companionsOf(facts, card, requested), ...twins];
      const left = card.functions.filter(
        (fn) =>
          needed.includes(fn) &&
          !requested.has(fn.address) &&
          fn.driver !== 'vfio-pci' &&
          !isVirtual(facts, fn),
      );
      const main = asked.find(isDisplay) ?? asked[0];
      // A virtual function goes alone: its physical one stays with the host.
      if (main === undefined || left.length === 0 || isVirtual(facts, main)) return [];
      return [
        {
          severity: isSoc(facts, card) && twins.length === 0 ? 'note' : 'warning',
          subject: main.address,
          message: {
            en: `Domain ${quoted(domain.name)} passes ${label(main)} without ${labels(left)} of the same card. The kernel does not reset a card of which the host keeps a part, so it may work only once; and where they share an IOMMU group the start fails. Add them to the domain (revived takes them along in any case).`,
            ja: `ドメイン ${quoted(domain.name)} は ${label(main)} を渡していますが、同じカードの ${labels(left)} を渡していません。一部がホストに残るカードはリセットされず、一度しか動かないことがあります。IOMMU グループが同じなら起動にも失敗します。ドメインに追加してください(revived は常に一緒に移動させます)。`,
          },
          fix: {
            kind: 'domain-xml',
            domain: domain.name,
            description: {
              en: `add ${left.length} hostdev${left.length === 1 ? '' : 's'} to the domain`,
              ja: `hostdev を ${left.length} 個ドメインに追加します`,
            },
            edits: left.map((fn) => edit(passed, main, fn)),
          },
        },
      ];
    });
  },
};

function sameKindAndGroup(one: PciFunction, other: PciFunction): boolean {
  return (
    one !== other &&
    one.group !== undefined &&
    one.group === other.group &&
    one.classCode?.slice(0, 4) === other.classCode?.slice(0, 4)
  );
}

// Beside the main function in the guest where that is function 0 of its slot; else libvirt chooses.
function edit({ hostdevs }: PassedCard, main: PciFunction, fn: PciFunction): DomainEdit {
  const guest = hostdevs.find(({ address }) => address === main.address)?.guest ?? null;
  const beside =
    guest !== null && guest.function === 0 && guest.multifunction
      ? { bus: guest.bus, slot: guest.slot, function: Number(fn.address.at(-1)) }
      : null;
  return { op: 'add-hostdev', hostdev: fn.address, like: main.address, guest: beside };
}
