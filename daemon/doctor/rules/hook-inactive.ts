/** The hook by which libvirt calls revived. */
import type { Fix, Judgement, Rule } from '../finding.ts';
import type { Message } from '../message.ts';

const path = '/etc/libvirt/hooks/qemu.d/50-revived';

export const hookInactive: Rule = {
  id: 'hook-inactive',
  reads: 'etc/libvirt/hooks/qemu.d/50-revived, when libvirt started',
  why: 'Without the hook cards go to guests unguarded: nobody checks, pins or revives them.',
  reference:
    'https://libvirt.org/hooks.html; libvirt src/util/virhook.c virHookInitialize; facts/libvirt.md 1.5',
  judge({ hooks, passed }) {
    if (hooks === undefined || passed.length === 0) return [];
    const finding = (what: Message, fix: Fix | null): readonly Judgement[] => [
      { severity: 'warning', subject: 'host', message: what, fix },
    ];
    if (!hooks.installed) {
      return finding(
        {
          en: `libvirt does not call revived: ${path} is missing. Cards go to guests without a check and without a way back. Install revived (make install), and reload libvirt.`,
          ja: `libvirt が revived を呼び出していません。${path} がありません。カードは検査も復旧手段もないままゲストに渡ります。revived をインストール(make install)し、libvirt を再読み込みしてください。`,
        },
        null,
      );
    }
    if (!hooks.executable) {
      return finding(
        {
          en: `libvirt does not call revived: ${path} is not executable, and libvirt skips it without a word. Run: chmod 0755 ${path}, and reload libvirt.`,
          ja: `libvirt が revived を呼び出していません。${path} に実行権限がなく、libvirt は何も言わずに飛ばします。chmod 0755 ${path} を実行し、libvirt を再読み込みしてください。`,
        },
        {
          kind: 'command',
          description: { en: 'make the hook executable', ja: 'フックに実行権限を付けます' },
          commands: [['chmod', '0755', path], ...reload],
        },
      );
    }
    if (hooks.late !== true) return [];
    return finding(
      {
        en: `libvirt started before the hook ${path} was there, and was not reloaded since: it looks for hooks only then, so it does not call revived and cards go to guests unguarded. Run: systemctl reload libvirtd (or virtqemud); running guests are not touched.`,
        ja: `libvirt はフック ${path} が置かれる前に起動し、その後再読み込みされていません。フックを探すのは起動時と再読み込み時だけなので、revived は呼び出されません。systemctl reload libvirtd(または virtqemud)を実行してください。動作中のゲストには影響しません。`,
      },
      {
        kind: 'command',
        description: { en: 'reload libvirt', ja: 'libvirt を再読み込みします' },
        commands: reload,
      },
    );
  },
};

// The unit that is not active is skipped, the other one is told.
const reload: readonly (readonly string[])[] = [
  ['systemctl', 'try-reload-or-restart', 'libvirtd.service'],
  ['systemctl', 'try-reload-or-restart', 'virtqemud.service'],
];
