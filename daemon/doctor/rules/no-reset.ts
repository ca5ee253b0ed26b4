/** A device that nothing on this host can reset between two guests. */
import { isDisplay } from '../../pci/device.ts';
import { hazardOf } from '../../pci/quirks.ts';
import type { Judgement, Rule } from '../finding.ts';
import { label, quoted } from '../label.ts';
import { isVirtual, onRootBus, passedFunctions } from '../topology.ts';

export const noReset: Rule = {
  id: 'no-reset',
  reads: 'reset_method, the family and the place of the passed functions',
  why: 'Without a reset the next guest gets the device in the state in which the last one left it.',
  reference: 'drivers/pci/pci.c pci_reset_fn_methods; facts/kernel.md 2, 5',
  judge(facts) {
    return passedFunctions(facts).flatMap(({ fn, domains }): readonly Judgement[] => {
      const methods = facts.devices.get(fn.address)?.resetMethods;
      const none = methods?.length === 0 && onRootBus(facts, fn);
      const family =
        isDisplay(fn) && !isVirtual(facts, fn) && hazardOf(fn, 'no-reset') !== undefined;
      if (!none && !(family && methods?.some((one) => one !== 'pm' && one !== 'bus') !== true)) {
        return [];
      }
      return [
        {
          severity: 'warning',
          subject: fn.address,
          message: {
            en: `Nothing resets ${label(fn)}, which domain ${quoted(...domains)} passes: the kernel knows no way${family ? ', and an integrated GPU has no bus of its own' : ''}. It may work for the first guest after a host boot and for no other. Shut the guest down cleanly, never force it off, and expect a host reboot between two guests.`,
            ja: `ドメイン ${quoted(...domains)} に渡す ${label(fn)} をリセットする手段がありません。カーネルに方法がなく${family ? '、内蔵 GPU には専用のバスもありません' : 'なっています'}。ホスト起動後の最初のゲストでしか動かないことがあります。ゲストは必ず正常終了させ、強制終了は避けてください。次のゲストの前にホストの再起動が必要になることがあります。`,
          },
          fix: null,
        },
      ];
    });
  },
};
