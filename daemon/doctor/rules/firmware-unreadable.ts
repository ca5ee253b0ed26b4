/** Firmware that exists, and that libvirt does not see because of the user that QEMU runs as. */
import type { Judgement, Rule } from '../finding.ts';
import { quoted } from '../label.ts';

export const firmwareUnreadable: Rule = {
  id: 'firmware-unreadable',
  reads:
    'os/loader of domains, the file and the folders above it, user and group of qemu.conf, etc/passwd, etc/group',
  why: 'libvirt looks for firmware as the user and group of qemu.conf: what they cannot read does not exist ("did not detect any UEFI firmware").',
  reference: 'libvirt src/qemu/qemu_conf.c, src/util/virfile.c virFileAccessibleAs',
  judge(facts) {
    const names = facts.qemu?.unknownNames ?? [];
    const user = facts.qemu?.user ?? 'libvirt-qemu';
    const own: readonly Judgement[] =
      names.length === 0
        ? []
        : [
            {
              severity: 'error',
              subject: 'host',
              message: {
                en: `qemu.conf names ${quoted(...names)} as the user or group of QEMU, and the host does not know that name. libvirt's QEMU driver does not start with it. Correct user= and group= in /etc/libvirt/qemu.conf, or take them out, and restart libvirt.`,
                ja: `qemu.conf に QEMU のユーザーまたはグループとして ${quoted(...names)} が指定されていますが、ホストに存在しません。libvirt の QEMU ドライバーが起動しません。/etc/libvirt/qemu.conf の user= と group= を修正または削除し、libvirt を再起動してください。`,
              },
              fix: {
                kind: 'qemu-conf',
                description: {
                  en: 'take user and group out of qemu.conf',
                  ja: 'qemu.conf から user と group を削除します',
                },
                settings: { user: null, group: null },
              },
            },
          ];
    const domains = facts.domains.flatMap((domain): readonly Judgement[] => {
      const known = domain.loader === null ? undefined : facts.files.get(domain.loader);
      const missing = known?.exists === false;
      if (domain.loader === null || (!missing && known?.readable !== false)) return [];
      const file = quoted(domain.loader);
      const name = quoted(domain.name);
      return [
        {
          severity: 'error',
          subject: `domain:${domain.name}`,
          message: {
            en: `The firmware ${file} of domain ${name} ${missing ? 'does not exist' : `cannot be read by ${quoted(user)}, the user that QEMU runs as (qemu.conf)`}. The domain does not start, and virt-manager says that it found no UEFI. ${missing ? 'Install the firmware (ovmf, edk2-ovmf) or correct <loader>.' : 'Give the file mode 0644 and its folders 0755, or let qemu.conf name the user and group of your distribution again.'}`,
            ja: `ドメイン ${name} のファームウェア ${file} は${missing ? '存在しません' : `、QEMU を実行するユーザー ${quoted(user)}(qemu.conf)から読めません`}。ドメインは起動せず、virt-manager には UEFI が見つからないと表示されます。${missing ? 'ファームウェア(ovmf、edk2-ovmf)をインストールするか、<loader> を修正してください。' : 'ファイルを 0644、フォルダーを 0755 にするか、qemu.conf のユーザーとグループをディストリビューションの既定に戻してください。'}`,
          },
          fix: missing
            ? null
            : {
                kind: 'qemu-conf',
                description: {
                  en: 'take user and group out of qemu.conf',
                  ja: 'qemu.conf から user と group を削除します',
                },
                settings: { user: null, group: null },
              },
        },
      ];
    });
    return [...own, ...domains];
  },
};
