/** A -cpu in qemu:commandline silences the XML. */
import type { Judgement, Rule } from '../finding.ts';
import { cpuArgument, guestOs } from '../guest.ts';
import { quoted } from '../label.ts';

export const cpuOverride: Rule = {
  id: 'cpu-override',
  reads: 'qemu:commandline',
  why: 'QEMU takes the last -cpu: <cpu>, <hyperv> and <kvm> of the XML then do nothing, and nobody sees why.',
  reference:
    'https://libvirt.org/drvqemu.html (pass-through of arbitrary QEMU commands); QEMU system/vl.c',
  judge(facts) {
    return facts.domains.flatMap((domain): readonly Judgement[] => {
      const cpu = cpuArgument(domain);
      if (cpu === null) return [];
      const usual = guestOs(domain) === 'macos';
      const shown = cpu === '' ? '-cpu' : `-cpu ${cpu}`;
      return [
        {
          severity: usual ? 'note' : 'warning',
          subject: `domain:${domain.name}`,
          message: {
            en: `Domain ${quoted(domain.name)} sets the CPU in qemu:commandline (${quoted(shown)}). QEMU takes the last -cpu, so <cpu>, <hyperv> and <kvm> of the XML do nothing. ${usual ? 'Guests with macOS need that; remember it when you change the XML.' : 'Write the features into the XML (<features><hyperv>, <kvm><hidden/>, <cpu><feature/>) and take the argument out.'}`,
            ja: `ドメイン ${quoted(domain.name)} は qemu:commandline で CPU を指定しています(${quoted(shown)})。QEMU は最後の -cpu を使うため、XML の <cpu>、<hyperv>、<kvm> は効きません。${usual ? 'macOS のゲストでは必要です。XML を変えるときは注意してください。' : '機能は XML(<features><hyperv>、<kvm><hidden/>、<cpu><feature/>)に書き、この引数は削除してください。'}`,
          },
          fix: null,
        },
      ];
    });
  },
};
