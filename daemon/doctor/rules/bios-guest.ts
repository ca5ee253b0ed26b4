/** A guest with a BIOS, and a card whose firmware speaks UEFI only. */
import type { Judgement, Rule } from '../finding.ts';
import { passedGpus } from '../guest.ts';
import { quoted } from '../label.ts';

export const biosGuest: Rule = {
  id: 'bios-guest',
  reads: 'os/loader, os firmware=, the GPUs of domains',
  why: 'A BIOS guest cannot start a card whose firmware is UEFI only: no picture before the driver, and often none after it.',
  reference: 'https://wiki.archlinux.org/title/PCI_passthrough_via_OVMF (prerequisites)',
  judge(facts) {
    return facts.domains.flatMap((domain): readonly Judgement[] => {
      const x86 = domain.arch === null || /^(x86_64|i686)$/.test(domain.arch);
      if (domain.uefi || !x86 || domain.hostdevs.length === 0) return [];
      const gpus = passedGpus(facts, domain);
      if (gpus?.length === 0) return [];
      const only = gpus?.some(({ family }) => family?.uefiOnly === true) === true;
      const name = quoted(domain.name);
      return [
        {
          severity: only ? 'warning' : 'note',
          subject: `domain:${domain.name}`,
          message: {
            en: `Domain ${name} boots with a BIOS (no UEFI firmware in <os>). ${only ? 'The firmware of its graphics card is UEFI only, so there is no picture before the driver is loaded, and often none at all.' : 'Graphics cards start more reliably with UEFI; newer ones know nothing else.'} A guest cannot be switched over later without a new installation or a conversion of its disk: make a new one with UEFI (<os firmware='efi'>).`,
            ja: `ドメイン ${name} は BIOS で起動します(<os> に UEFI ファームウェアがありません)。${only ? 'グラフィックスカードのファームウェアは UEFI 専用なので、ドライバーが動くまで画面が出ず、まったく出ないこともよくあります。' : 'グラフィックスカードは UEFI のほうが確実に動き、新しいものは UEFI 専用です。'}既存のゲストは再インストールかディスクの変換なしには切り替えられません。UEFI(<os firmware='efi'>)のゲストを新しく作ってください。`,
          },
          fix: null,
        },
      ];
    });
  },
};
