/** USB controllers that do not survive a reset, or that lock the host up. */
import { hazardOf } from '../../pci/quirks.ts';
import type { Judgement, Rule } from '../finding.ts';
import { label, quoted } from '../label.ts';
import type { Message } from '../message.ts';
import { passedFunctions } from '../topology.ts';

const dies: Message = {
  en: 'does not survive a reset: it is gone until the host is rebooted, and some hosts lock up. Pass it only if it stays with the guest; a card with another chip (ASMedia, Fresco Logic) is safer',
  ja: 'リセットに耐えません。ホストを再起動するまで使えなくなり、ホストが固まることもあります。ゲスト専用にする場合だけ渡すか、別のチップ(ASMedia、Fresco Logic)のカードを使ってください',
};
const mayDie: Message = {
  en: 'does not always survive a reset: it may be gone until the host is rebooted. Shut the guest down cleanly',
  ja: 'リセットに耐えないことがあり、ホストを再起動するまで使えなくなる場合があります。ゲストは正常終了させてください',
};
const endsHost: Message = {
  en: 'takes the whole host down when it is reset: the machine reboots at once. Leave it to the host, and pass single USB devices or a USB card',
  ja: 'リセットするとホスト全体が即座に再起動します。ホストに残し、USB デバイスを個別に渡すか、USB カードを使ってください',
};
const avoided = (since: string): Message => ({
  en: `has a function level reset that hangs it. Kernels from ${since} on do not use it, and then it has no reset of its own: shut the guest down cleanly`,
  ja: `ファンクションレベルリセットで固まります。${since} 以降のカーネルはそれを使いませんが、その場合は独自のリセット手段がありません。ゲストは正常終了させてください`,
});

export const usbResetHazard: Rule = {
  id: 'usb-reset-hazard',
  reads: 'ids of the passed USB controllers',
  why: 'A guest that starts or ends resets its controllers; these do not come back, and some take the host along.',
  reference:
    'facts/kernel.md 8; https://github.com/QubesOS/qubes-issues/issues/8322; drivers/pci/quirks.c',
  judge(facts) {
    return passedFunctions(facts).flatMap(({ fn, domains }): readonly Judgement[] => {
      const hazard = hazardOf(fn, 'usb-reset');
      if (hazard === undefined) return [];
      const { avoidedSince, some } = hazard;
      const harm = hazard.endsHost ? endsHost : some ? mayDie : dies;
      const { en, ja } = avoidedSince === undefined ? harm : avoided(avoidedSince);
      return [
        {
          severity: avoidedSince !== undefined || some ? 'note' : 'warning',
          subject: fn.address,
          message: {
            en: `${label(fn)}, which domain ${quoted(...domains)} passes, ${en}.`,
            ja: `ドメイン ${quoted(...domains)} に渡す ${label(fn)} は、${ja}。`,
          },
          fix: null,
        },
      ];
    });
  },
};
