/** The functions of one card belong into one slot of the guest. */
import { type CardAddress, cardOf, functionNumber } from '../../pci/address.ts';
import { isDisplay } from '../../pci/device.ts';
import type { DomainFacts, HostdevFacts } from '../domain-facts.ts';
import type { Fix, Judgement, Rule } from '../finding.ts';
import type { HostFacts } from '../host-facts.ts';
import { listed, quoted } from '../label.ts';

export const functionsSplit: Rule = {
  id: 'functions-split',
  reads: 'the addresses of hostdevs on the host and in the guest',
  why: 'Drivers look for the audio and USB functions beside the graphics function; apart, sound and USB-C may fail and a reset from the guest goes wrong.',
  reference:
    'https://libvirt.org/formatdomain.html (address, multifunction); docs/pci-addresses.rst',
  judge(facts) {
    return facts.domains.flatMap((domain) => {
      const slots = new Map<CardAddress, HostdevFacts[]>();
      for (const hostdev of domain.hostdevs) {
        const card = cardOf(hostdev.address);
        slots.set(card, [...(slots.get(card) ?? []), hostdev]);
      }
      return Array.from(slots).flatMap(([card, list]): readonly Judgement[] => {
        const main = list[0];
        const places = new Set(list.map(({ guest }) => guest && `${guest.bus}/${guest.slot}`));
        places.delete(null);
        if (main === undefined || places.size < 2) return [];
        return [
          {
            severity: separateDevices(facts, card, list) ? 'note' : 'warning',
            subject: main.address,
            message: {
              en: `Domain ${quoted(domain.name)} puts ${listed(list.map(({ address }) => address))}, functions of one slot of the host, into different slots of the guest. For a graphics card that can cost sound and USB-C, and Windows may reset one without the others. Give them one bus and slot with the function numbers of the host, and multifunction='on' on function 0. Separate controllers of a chipset may stay apart.`,
              ja: `ドメイン ${quoted(domain.name)} は、ホストの同じスロットの機能 ${listed(list.map(({ address }) => address))} をゲストの別々のスロットに置いています。グラフィックスカードでは音声や USB-C が使えなくなったり、Windows が一部だけをリセットしたりすることがあります。同じバスとスロットに、ホストと同じファンクション番号で置き、ファンクション 0 に multifunction='on' を付けてください。チップセットの独立したコントローラーは別々のままでかまいません。`,
            },
            fix: fixOf(domain, list),
          },
        ];
      });
    });
  },
};

// On a root bus and in SoC slots functions are devices of their own, and so are those of network and disk controllers.
function separateDevices(
  facts: HostFacts,
  address: CardAddress,
  list: readonly HostdevFacts[],
): boolean {
  if (/^0+:00:/.test(address)) return true;
  const card = facts.inventory.cards.get(address);
  if (card === undefined) return list.every((one) => functionNumber(one.address) > 0);
  return !card.functions.some(isDisplay);
}

// All to the place of the one that is function 0 on the host.
function fixOf(domain: DomainFacts, list: readonly HostdevFacts[]): Fix | null {
  const first = list.find(({ address }) => functionNumber(address) === 0);
  const guest = first?.guest ?? null;
  if (guest === null) return null;
  return {
    kind: 'domain-xml',
    domain: domain.name,
    description: {
      en: 'put the functions into one slot of the guest',
      ja: '機能をゲストの一つのスロットにまとめます',
    },
    edits: list.map(({ address }) => ({
      op: 'place',
      hostdev: address,
      guest: { bus: guest.bus, slot: guest.slot, function: functionNumber(address) },
      multifunction: functionNumber(address) === 0,
    })),
  };
}
