/** vendor-reset is loaded, and the kernel does not use it. */
import { deviceSpecificOf } from '../../pci/quirks.ts';
import type { Judgement, Rule } from '../finding.ts';
import { label } from '../label.ts';
import { passedFunctions } from '../topology.ts';

export const deviceSpecificInactive: Rule = {
  id: 'device-specific-inactive',
  reads: 'sys/module/vendor_reset, reset_method of the passed functions',
  why: 'Since Linux 5.15 the module is asked only where device_specific is in reset_method, which has to be written after it is loaded.',
  reference: 'https://github.com/gnif/vendor-reset/issues/46; facts/kernel.md 4',
  judge(facts) {
    return passedFunctions(facts).flatMap(({ fn }): readonly Judgement[] => {
      const methods = facts.devices.get(fn.address)?.resetMethods;
      const suited = deviceSpecificOf(fn)?.by === 'vendor-reset';
      if (!suited || facts.vendorReset !== true || methods === undefined) return [];
      if (methods.includes('device_specific')) return [];
      const place = `/sys/bus/pci/devices/${fn.address}/reset_method`;
      return [
        {
          severity: 'warning',
          subject: fn.address,
          message: {
            en: `The module vendor-reset is loaded, and the kernel does not use it for ${label(fn)}: its reset_method is "${methods.join(' ')}", without device_specific. The card gets the reset that it does not survive. Write device_specific to ${place}, or set reset-method: device_specific for the card in revived.yaml.`,
            ja: `vendor-reset モジュールは読み込まれていますが、カーネルは ${label(fn)} に使っていません。reset_method は「${methods.join(' ')}」で device_specific がありません。カードが耐えられないリセットが行われます。${place} に device_specific を書き込むか、revived.yaml でこのカードに reset-method: device_specific を設定してください。`,
          },
          fix: null,
        },
      ];
    });
  },
};
