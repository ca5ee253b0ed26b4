/** One device, two owners. */
import type { FunctionAddress } from '../../pci/address.ts';
import type { DomainFacts } from '../domain-facts.ts';
import type { Judgement, Rule } from '../finding.ts';
import { quoted } from '../label.ts';

export const claimedTwice: Rule = {
  id: 'claimed-twice',
  reads: 'the hostdevs of all domains, etc/libvirt/qemu/autostart',
  why: 'Domains that pass the same device cannot run at the same time.',
  reference: 'libvirt src/hypervisor/virhostdev.c virHostdevPreparePCIDevices',
  judge(facts) {
    const claims = new Map<FunctionAddress, DomainFacts[]>();
    for (const { domain, hostdev } of facts.passed) {
      claims.set(hostdev.address, [...(claims.get(hostdev.address) ?? []), domain]);
    }
    return Array.from(claims).flatMap(([address, list]): readonly Judgement[] => {
      const domains = [...new Set(list)];
      const twice = domains.find((one) => list.indexOf(one) !== list.lastIndexOf(one));
      if (twice !== undefined) {
        return [
          {
            severity: 'error',
            subject: address,
            message: {
              en: `Domain ${quoted(twice.name)} passes ${address} twice. libvirt refuses to start it. Remove one of the two hostdevs.`,
              ja: `ドメイン ${quoted(twice.name)} は ${address} を二重に渡しています。libvirt は起動を拒否します。hostdev の一方を削除してください。`,
            },
            fix: null,
          },
        ];
      }
      if (domains.length < 2) return [];
      const names = quoted(...domains.map((one) => one.name));
      const collide = domains.filter((one) => one.autostart).length > 1;
      return [
        {
          severity: collide ? 'warning' : 'note',
          subject: address,
          message: {
            en: `${address} is passed by several domains: ${names}. Only one of them can run at a time${collide ? ', yet more than one is set to start with the host. Keep autostart for one of them' : '. Nothing needs to be done if that is meant'}.`,
            ja: `${address} は複数のドメインに渡されています: ${names}。同時に動かせるのは一つだけです${collide ? 'が、複数が自動起動に設定されています。自動起動は一つだけにしてください' : '。意図したものであれば何もする必要はありません'}。`,
          },
          fix: null,
        },
      ];
    });
  },
};
