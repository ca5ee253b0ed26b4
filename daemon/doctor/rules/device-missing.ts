/** A domain names a device that the host does not have. */
import type { Rule } from '../finding.ts';
import { listed, quoted } from '../label.ts';
import { removeHostdev } from '../removal.ts';
import { isWhole } from '../topology.ts';

export const deviceMissing: Rule = {
  id: 'device-missing',
  reads: 'sys/bus/pci/devices, the hostdevs of domains',
  why: 'libvirt refuses to start a domain with a device that is not there; addresses move when cards or disks are added.',
  reference: 'libvirt src/util/virpci.c virPCIDeviceNew',
  judge(facts) {
    const { functions } = facts.inventory;
    if (functions.size === 0) return [];
    const whole = isWhole(facts);
    return facts.passed.flatMap(({ domain, hostdev, fn }) => {
      if (fn !== undefined) return [];
      const slot = hostdev.address.slice(0, -2);
      const close = Array.from(functions.keys()).filter((one) => one.startsWith(slot));
      return [
        {
          severity: whole ? 'error' : 'note',
          subject: hostdev.address,
          message: {
            en: `Domain ${quoted(domain.name)} passes ${hostdev.address}, and the host has no such device${close.length === 0 ? '' : ` (in that slot: ${listed(close)})`}. libvirt will not start it. Addresses move when a card or disk is added or taken out: look for the device's new address with lspci, or remove the hostdev. A card that has fallen off the bus needs a cold start of the host.`,
            ja: `ドメイン ${quoted(domain.name)} は ${hostdev.address} を渡しますが、ホストにそのデバイスはありません${close.length === 0 ? '' : `(同じスロットには ${listed(close)})`}。libvirt は起動しません。カードやディスクの増減でアドレスは変わります。lspci で新しいアドレスを調べるか、hostdev を削除してください。カードがバスから消えた場合は、ホストの電源を入れ直す必要があります。`,
          },
          fix: removeHostdev(domain.name, hostdev.address),
        },
      ];
    });
  },
};
