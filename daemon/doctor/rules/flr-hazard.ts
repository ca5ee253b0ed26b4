/** Functions that a function level reset hangs. */
import { familyOf } from '../family.ts';
import type { Judgement, Rule } from '../finding.ts';
import { label, quoted } from '../label.ts';
import { passedFunctions } from '../topology.ts';

export const flrHazard: Rule = {
  id: 'flr-hazard',
  reads: 'the family of the passed functions, reset_method',
  why: 'A function that does not come back from an FLR blocks its user for a minute, and some take the host along.',
  reference: 'drivers/pci/quirks.c quirk_no_flr; facts/kernel.md 2, 7, 8',
  judge(facts) {
    return passedFunctions(facts).flatMap(({ fn, domains }): readonly Judgement[] => {
      const hazard = familyOf(fn)?.hazards.flr;
      if (hazard === undefined) return [];
      const methods = facts.devices.get(fn.address)?.resetMethods;
      const unused = methods !== undefined && !methods.includes('flr');
      // quirks.c has them since 5.8 at the latest; this kernel says itself when it would use FLR.
      const listed = methods?.includes('flr') === true;
      if (unused) return [];
      const name = quoted(...domains);
      const quirked = hazard === 'quirked' && !listed;
      return [
        {
          severity: quirked || hazard === 'some' ? 'note' : 'warning',
          subject: fn.address,
          message: {
            en: `${label(fn)}, which domain ${name} passes, ${hazard === 'some' ? 'does not always come' : 'does not come'} back from a function level reset. ${quirked ? 'Kernels from 5.8 on know that and do not use it; on an older one, do not pass it.' : `It then hangs its guest, and some boards freeze. Leave flr out of /sys/bus/pci/devices/${fn.address}/reset_method, or do not pass it.`}`,
            ja: `ドメイン ${name} に渡す ${label(fn)} は、ファンクションレベルリセット(FLR)から復帰し${hazard === 'some' ? 'ないことがあります' : 'ません'}。${quirked ? '5.8 以降のカーネルはこれを知っていて FLR を使いません。それより古い場合は渡さないでください。' : `ゲストが固まり、ホストごと停止することもあります。/sys/bus/pci/devices/${fn.address}/reset_method から flr を外すか、渡さないでください。`}`,
          },
          fix: null,
        },
      ];
    });
  },
};
