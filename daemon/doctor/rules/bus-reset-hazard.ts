/** Cards that a reset of the bus leaves half dead: VFIO does one by itself at the end of a guest. */
import { deviceSpecificOf, familyOf, hazardOf } from '../../pci/quirks.ts';
import type { Judgement, Rule } from '../finding.ts';
import { label, quoted } from '../label.ts';
import { isVirtual, passedFunctions } from '../topology.ts';

export const busResetHazard: Rule = {
  id: 'bus-reset-hazard',
  reads: 'the family of the passed functions, reset_method, sys/module/vendor_reset',
  why: 'VFIO resets the bus when a guest ends, whatever reset_method says; these cards do not initialise again after it.',
  reference: 'drivers/vfio/pci/vfio_pci_core.c; facts/kernel.md 0, finding 6, and 4, 6',
  judge(facts) {
    return passedFunctions(facts).flatMap(({ fn, domains }): readonly Judgement[] => {
      const family = familyOf(fn);
      const hazard = hazardOf(fn, 'bus-reset');
      // Of USB controllers usb-reset-hazard says it; a bridge is no device to pass.
      if (family === undefined || hazard === undefined || isVirtual(facts, fn)) return [];
      if (family.kind === 'usb' || family.kind === 'switch') return [];
      const name = quoted(...domains);
      const { some, avoidedSince } = hazard;
      if (avoidedSince !== undefined) {
        return [
          {
            severity: 'note',
            subject: fn.address,
            message: {
              en: `${label(fn)}, which domain ${name} passes, does not survive a bus reset. Kernels from ${avoidedSince} on know that and do none; on an older one, do not pass it.`,
              ja: `ドメイン ${name} に渡す ${label(fn)} は、バスリセットに耐えません。${avoidedSince} 以降のカーネルはこれを知っていてバスリセットを行いません。それより古い場合は渡さないでください。`,
            },
            fix: null,
          },
        ];
      }
      const methods = facts.devices.get(fn.address)?.resetMethods;
      const guarded = methods?.includes('device_specific') === true;
      const module = deviceSpecificOf(fn)?.by === 'vendor-reset' && !guarded;
      const sleep = family.ladder.includes('suspend');
      return [
        {
          severity: some || guarded ? 'note' : 'warning',
          subject: fn.address,
          message: {
            en: `${label(fn)}, which domain ${name} passes, ${some ? 'may be one of those cards of its family that' : 'belongs to a family that'} a bus reset leaves unusable until the host is rebooted${sleep ? ' or suspended' : ''}, and the kernel resets the bus when a guest ends. ${guarded ? 'vendor-reset is active for it, which helps in most cases.' : module ? 'The kernel module vendor-reset resets it properly. Without it: shut the guest down cleanly, never force it off.' : `Shut the guest down cleanly, never force it off${sleep ? '; suspending the host (S3) often brings the card back' : ''}.`}`,
            ja: `ドメイン ${name} に渡す ${label(fn)} は、バスリセットの後ホストを再起動${sleep ? 'またはサスペンド' : ''}するまで使えなく${some ? 'なることがあるカードです' : 'なる種類のカードです'}。カーネルはゲストの終了時にバスをリセットします。${guarded ? 'vendor-reset が有効なので、多くの場合は問題ありません。' : module ? 'カーネルモジュール vendor-reset で正しくリセットできます。ない場合は、ゲストを正常終了させ、強制終了は避けてください。' : `ゲストを正常終了させ、強制終了は避けてください。${sleep ? 'ホストのサスペンド(S3)で復帰することがよくあります。' : ''}`}`,
          },
          fix: null,
        },
      ];
    });
  },
};
