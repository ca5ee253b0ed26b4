/** bar='off' hides the ROM from the guest: a file beside it is never seen. */
import type { Judgement, Rule } from '../finding.ts';
import { quoted } from '../label.ts';
import { removeRom } from '../removal.ts';

export const romBarOff: Rule = {
  id: 'rom-bar-off',
  reads: '<rom bar=... file=...> of hostdevs',
  why: "With bar='off' the guest sees no ROM at all, so a ROM file has no effect.",
  reference:
    'https://libvirt.org/formatdomain.html (hostdev, rom); QEMU hw/pci/pci.c pci_add_option_rom',
  judge(facts) {
    return facts.passed.flatMap(({ domain, hostdev }): readonly Judgement[] => {
      const { address, rom } = hostdev;
      if (rom?.file == null || rom.bar !== false) return [];
      return [
        {
          severity: 'warning',
          subject: address,
          message: {
            en: `Domain ${quoted(domain.name)} gives ${address} the ROM file ${quoted(rom.file)} and switches its ROM off (bar='off'). The guest does not see the file, so a card that needs it shows nothing until its driver is loaded. Take out bar='off', or the whole <rom>.`,
            ja: `ドメイン ${quoted(domain.name)} は ${address} に ROM ファイル ${quoted(rom.file)} を指定しながら、ROM を無効(bar='off')にしています。ゲストからファイルは見えず、必要とするカードではドライバーが動くまで何も表示されません。bar='off' か <rom> 全体を削除してください。`,
          },
          fix: removeRom(domain.name, address),
        },
      ];
    });
  },
};
