/** Functions that a function level reset hangs. */
import { hazardOf } from '../../pci/quirks.ts';
import type { Judgement, Rule } from '../finding.ts';
import { label, quoted } from '../label.ts';
import { isVirtual, passedFunctions } from '../topology.ts';

export const flrHazard: Rule = {
  id: 'flr-hazard',
  reads: 'the family of the passed functions, reset_method',
  why: 'A function that does not come back from an FLR blocks its user for a minute, and some take the host along.',
  reference: 'drivers/pci/quirks.c quirk_no_flr; facts/kernel.md 2, 7, 8',
  judge(facts) {
    return passedFunctions(facts).flatMap(({ fn, domains }): readonly Judgement[] => {
      const hazard = hazardOf(fn, 'flr');
      if (hazard === undefined || isVirtual(facts, fn)) return [];
      const methods = facts.devices.get(fn.address)?.resetMethods;
      const unused = methods !== undefined && !methods.includes('flr');
      // This kernel says itself when it would use FLR; of another one the data says since when it does not.
      const listed = methods?.includes('flr') === true;
      if (unused) return [];
      const name = quoted(...domains);
      const { some } = hazard;
      const since = listed ? undefined : hazard.avoidedSince;
      return [
        {
          severity: since !== undefined || some ? 'note' : 'warning',
          subject: fn.address,
          message: {
            en: `${label(fn)}, which domain ${name} passes, ${some ? 'does not always come' : 'does not come'} back from a function level reset. ${since !== undefined ? `Kernels from ${since} on know that and do not use it; on an older one, do not pass it.` : `It then hangs its guest, and some boards freeze. revived takes flr out of reset_method before each start; for a guest that starts without it, take it out of /sys/bus/pci/devices/${fn.address}/reset_method yourself, or do not pass it.`}`,
            ja: `ドメイン ${name} に渡す ${label(fn)} は、ファンクションレベルリセット(FLR)から復帰し${some ? 'ないことがあります' : 'ません'}。${since !== undefined ? `${since} 以降のカーネルはこれを知っていて FLR を使いません。それより古い場合は渡さないでください。` : `ゲストが固まり、ホストごと停止することもあります。revived は起動のたびに reset_method から flr を外します。revived を使わずに起動するゲストでは、/sys/bus/pci/devices/${fn.address}/reset_method から flr を外すか、渡さないでください。`}`,
          },
          fix: null,
        },
      ];
    });
  },
};
