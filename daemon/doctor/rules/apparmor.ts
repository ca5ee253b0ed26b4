/** AppArmor said no to libvirt or to QEMU. */
import type { Judgement, Rule } from '../finding.ts';
import { quoted } from '../label.ts';

const denial =
  /apparmor="DENIED".*?profile="((?:libvirt-|virt-aa-helper|libvirtd|virtqemud|\/usr\/s?bin\/libvirtd|\/usr\/lib\/libvirt\/)[^"]*)".*?\sname="([^"]+)"/;

export const apparmor: Rule = {
  id: 'apparmor',
  reads: 'the kernel log',
  why: 'A file that AppArmor denies looks missing to QEMU: ROMs, disks and devices outside the usual folders.',
  reference: 'libvirt src/security/virt-aa-helper.c; facts/libvirt.md 1.5',
  judge({ log }) {
    const denied = new Map<string, string>();
    for (const line of log) {
      const match = denial.exec(line);
      if (match?.[1] !== undefined && match[2] !== undefined) denied.set(match[2], match[1]);
    }
    return Array.from(denied)
      .slice(-8)
      .map(
        ([file, profile]): Judgement => ({
          severity: 'warning',
          subject: 'host',
          message: {
            en: `AppArmor refused ${quoted(file)} to ${quoted(profile)} (kernel log). To libvirt and QEMU the file looks missing or unreadable. Put it into a usual folder (/usr/share/vgabios, /var/lib/libvirt), or allow it in /etc/apparmor.d/local/abstractions/libvirt-qemu and reload AppArmor.`,
            ja: `AppArmor が ${quoted(profile)} に ${quoted(file)} へのアクセスを拒否しました(カーネルログ)。libvirt と QEMU からはファイルがないか読めないように見えます。通常のフォルダー(/usr/share/vgabios、/var/lib/libvirt)に置くか、/etc/apparmor.d/local/abstractions/libvirt-qemu で許可して AppArmor を再読み込みしてください。`,
          },
          fix: null,
        }),
      );
  },
};
