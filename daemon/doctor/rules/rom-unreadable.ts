/** A ROM file that QEMU cannot read ends the start. */
import type { Judgement, Rule, Severity } from '../finding.ts';
import type { HostFacts } from '../host-facts.ts';
import { quoted } from '../label.ts';
import type { Message } from '../message.ts';

export const romUnreadable: Rule = {
  id: 'rom-unreadable',
  reads:
    '<rom file=...> of hostdevs, the file and the folders above it, the user and groups of qemu.conf',
  why: 'QEMU runs as a user of its own and refuses to start without the file; libvirt gives it no right to read it.',
  reference: 'QEMU hw/pci/pci.c pci_add_option_rom; libvirt src/qemu/qemu_conf.c',
  judge(facts) {
    return facts.passed.flatMap(({ domain, hostdev }): readonly Judgement[] => {
      const file = hostdev.rom?.file ?? null;
      const wrong = file === null ? undefined : wrongWith(facts, file);
      if (file === null || wrong === undefined) return [];
      return [
        {
          severity: wrong.severity,
          subject: hostdev.address,
          message: {
            en: `The ROM file ${quoted(file)} of ${hostdev.address} in domain ${quoted(domain.name)} ${wrong.what.en}. QEMU does not start without it. Put it where QEMU may read it, like /usr/share/vgabios/ (mode 0644, folders 0755), and name it with its full path.`,
            ja: `ドメイン ${quoted(domain.name)} の ${hostdev.address} に指定された ROM ファイル ${quoted(file)} は${wrong.what.ja}。QEMU はこのファイルがないと起動しません。QEMU が読める場所(/usr/share/vgabios/ など、モード 0644、フォルダー 0755)に置き、絶対パスで指定してください。`,
          },
          fix: null,
        },
      ];
    });
  },
};

interface Wrong {
  readonly severity: Severity;
  readonly what: Message;
}

function wrongWith(facts: HostFacts, file: string): Wrong | undefined {
  if (!file.startsWith('/')) {
    const en = 'has no full path, so QEMU looks for it in its own folders';
    return {
      severity: 'note',
      what: { en, ja: '絶対パスではなく、QEMU 自身のフォルダーで探されます' },
    };
  }
  const known = facts.files.get(file);
  if (known?.exists === false) {
    return { severity: 'error', what: { en: 'does not exist', ja: '存在しません' } };
  }
  if (known?.readable === false) {
    const user = quoted(facts.qemu?.user ?? 'libvirt-qemu');
    const en = `cannot be read by ${user}, the user that QEMU runs as`;
    return {
      severity: 'error',
      what: { en, ja: `QEMU を実行するユーザー ${user} から読めません` },
    };
  }
  // Private folders: libvirt changes the owner of disks, never of ROM files.
  if (known?.readable === undefined && /^\/(root|home\/[^/]+)\//.test(file)) {
    const en = 'lies in a home folder, which the user of QEMU usually may not enter';
    return {
      severity: 'note',
      what: { en, ja: 'ホームフォルダーにあり、通常 QEMU のユーザーからは入れません' },
    };
  }
  return undefined;
}
