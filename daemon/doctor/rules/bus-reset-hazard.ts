/** Cards that a reset of the bus leaves half dead: VFIO does one by itself at the end of a guest. */
import { familyOf } from '../family.ts';
import type { Judgement, Rule } from '../finding.ts';
import { label, quoted } from '../label.ts';
import { passedFunctions } from '../topology.ts';

export const busResetHazard: Rule = {
  id: 'bus-reset-hazard',
  reads: 'the family of the passed functions, reset_method, sys/module/vendor_reset',
  why: 'VFIO resets the bus when a guest ends, whatever reset_method says; these cards do not initialise again after it.',
  reference: 'drivers/vfio/pci/vfio_pci_core.c; facts/kernel.md 0, finding 6, and 4, 6',
  judge(facts) {
    return passedFunctions(facts).flatMap(({ fn, domains }): readonly Judgement[] => {
      const family = familyOf(fn);
      const hazard = family?.hazards.bus;
      // Of USB controllers usb-reset-hazard says it.
      if (family === undefined || hazard === undefined || family.kind === 'usb') return [];
      const methods = facts.devices.get(fn.address)?.resetMethods;
      const guarded = methods?.includes('device_specific') === true;
      const module = family.vendorReset && !guarded;
      const name = quoted(...domains);
      return [
        {
          severity: hazard === 'yes' && !guarded ? 'warning' : 'note',
          subject: fn.address,
          message: {
            en: `${label(fn)}, which domain ${name} passes, ${hazard === 'yes' ? 'belongs to a family that' : 'may be one of those cards of its family that'} a bus reset leaves unusable until the host is rebooted or suspended, and the kernel resets the bus when a guest ends. ${guarded ? 'vendor-reset is active for it, which helps in most cases.' : module ? 'The kernel module vendor-reset resets it properly. Without it: shut the guest down cleanly, never force it off.' : 'Shut the guest down cleanly, never force it off; suspending the host (S3) often brings the card back.'}`,
            ja: `ドメイン ${name} に渡す ${label(fn)} は、バスリセットの後ホストを再起動またはサスペンドするまで使えなく${hazard === 'yes' ? 'なる種類のカードです' : 'なることがあるカードです'}。カーネルはゲストの終了時にバスをリセットします。${guarded ? 'vendor-reset が有効なので、多くの場合は問題ありません。' : module ? 'カーネルモジュール vendor-reset で正しくリセットできます。ない場合は、ゲストを正常終了させ、強制終了は避けてください。' : 'ゲストを正常終了させ、強制終了は避けてください。ホストのサスペンド(S3)で復帰することがよくあります。'}`,
          },
          fix: null,
        },
      ];
    });
  },
};
