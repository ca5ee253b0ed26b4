/** What could not be read, so that nobody takes silence for health. */
import type { UnreadReason } from '../captured.ts';
import type { Judgement, Rule } from '../finding.ts';
import { quoted } from '../label.ts';
import type { Message } from '../message.ts';

const reasons: Readonly<Record<UnreadReason, Message>> = {
  refused: { en: 'reading it was refused', ja: '読み取りが拒否されました' },
  'too-large': { en: 'it is too large', ja: '大きすぎます' },
  'not-a-file': { en: 'it is not a regular file', ja: '通常のファイルではありません' },
  binary: { en: 'it is binary data', ja: 'バイナリーデータです' },
  loop: { en: 'it is a loop of links', ja: 'リンクがループしています' },
  outside: {
    en: 'it is a link that leads out of the captured tree',
    ja: '取得したツリーの外へのリンクです',
  },
};

export const unreadable: Rule = {
  id: 'unreadable',
  reads: 'everything',
  why: 'What was not read was not judged.',
  reference: 'revivectl(1), doctor',
  judge({ unread, badDomains }) {
    return [
      ...unread.map(
        ({ path, why }): Judgement => ({
          severity: 'note',
          subject: 'host',
          message: {
            en: `${quoted(path)} could not be read: ${reasons[why].en}. What depends on it was not judged. Run as root, or look at the file.`,
            ja: `${quoted(path)} を読めませんでした: ${reasons[why].ja}。これに関する項目は判定していません。root で実行するか、ファイルを確認してください。`,
          },
          fix: null,
        }),
      ),
      ...badDomains.map(
        ({ file, why }): Judgement => ({
          severity: 'warning',
          subject: 'host',
          message: {
            en: `${quoted(file)} is no usable domain, so it was not judged, and libvirt does not load it either. ${why}`,
            ja: `${quoted(file)} はドメインとして読めないため判定していません。libvirt も読み込みません。(${why})`,
          },
          fix: null,
        }),
      ),
    ];
  },
};
