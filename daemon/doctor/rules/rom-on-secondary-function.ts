/** A ROM belongs to function 0. */
import { functionNumber } from '../../pci/address.ts';
import { isDisplay } from '../../pci/device.ts';
import type { Judgement, Rule } from '../finding.ts';
import { quoted } from '../label.ts';
import { removeRom } from '../removal.ts';

export const romOnSecondaryFunction: Rule = {
  id: 'rom-on-secondary-function',
  reads: '<rom file=...> of hostdevs',
  why: "The video ROM on the audio or USB function gives the guest's firmware a second display that is not there.",
  reference: 'https://libvirt.org/formatdomain.html (hostdev, rom); facts/peers.md 3, pain 27',
  judge(facts) {
    return facts.passed.flatMap(({ domain, hostdev, fn }): readonly Judgement[] => {
      const { address, rom } = hostdev;
      if (rom?.file == null || functionNumber(address) === 0) return [];
      if (fn !== undefined && isDisplay(fn)) return [];
      return [
        {
          severity: 'warning',
          subject: address,
          message: {
            en: `Domain ${quoted(domain.name)} gives the ROM file ${quoted(rom.file)} to ${address}, which is not the graphics function. Only function 0 has a video ROM: the guest's firmware may run it for the wrong function and hang. Take <rom> out of this hostdev and keep it on function 0.`,
            ja: `ドメイン ${quoted(domain.name)} は、グラフィックス機能ではない ${address} に ROM ファイル ${quoted(rom.file)} を指定しています。ビデオ ROM はファンクション 0 だけのものです。ゲストのファームウェアが誤った機能で実行して固まることがあります。この hostdev から <rom> を削除し、ファンクション 0 だけに残してください。`,
          },
          fix: removeRom(domain.name, address),
        },
      ];
    });
  },
};
