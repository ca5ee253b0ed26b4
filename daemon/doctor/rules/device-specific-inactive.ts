/** vendor-reset is loaded and the kernel does not use it, or a card needs it and it is not there. */
import { deviceSpecificOf } from '../../pci/quirks.ts';
import type { Judgement, Rule } from '../finding.ts';
import { label } from '../label.ts';
import type { Message } from '../message.ts';
import { passedFunctions } from '../topology.ts';

export const deviceSpecificInactive: Rule = {
  id: 'device-specific-inactive',
  reads: 'sys/module/vendor_reset, modules.dep of the kernel, reset_method of the passed functions',
  why: 'Since Linux 5.15 the module is asked only where device_specific is in reset_method, which has to be written after it is loaded; some families do not survive their guests without it.',
  reference: 'https://github.com/gnif/vendor-reset/issues/46; facts/kernel.md 4',
  judge(facts) {
    const { vendorReset, vendorResetInstalled } = facts;
    return passedFunctions(facts).flatMap(({ fn }): readonly Judgement[] => {
      const methods = facts.devices.get(fn.address)?.resetMethods;
      const specific = deviceSpecificOf(fn);
      if (specific?.by !== 'vendor-reset' || methods?.includes('device_specific') === true)
        return [];
      const of = { severity: 'warning', subject: fn.address, fix: null } as const;
      if (vendorReset === true && methods !== undefined) {
        const place = `/sys/bus/pci/devices/${fn.address}/reset_method`;
        return [{ ...of, message: unused(label(fn), methods.join(' '), place) }];
      }
      // Where it is installed, revived loads it before the card is lent; the daemon itself sees no modules (ProtectKernelModules).
      const installed = vendorResetInstalled ?? facts.live;
      const missing = vendorReset === false && !installed && specific.needed;
      return missing ? [{ ...of, message: absent(label(fn)) }] : [];
    });
  },
};

function unused(name: string, methods: string, place: string): Message {
  return {
    en: `The module vendor-reset is loaded, and the kernel does not use it for ${name}: its reset_method is "${methods}", without device_specific. The card gets the reset that it does not survive. revived writes device_specific before each start; a guest that starts without it needs it in ${place}.`,
    ja: `vendor-reset モジュールは読み込まれていますが、カーネルは ${name} に使っていません。reset_method は「${methods}」で device_specific がありません。カードが耐えられないリセットが行われます。revived は起動のたびに device_specific を書き込みます。revived を使わずに起動するゲストでは ${place} に書き込んでください。`,
  };
}

function absent(name: string): Message {
  return {
    en: `${name} does not survive its guests without the module vendor-reset, and it is not loaded. After the first guest the card is dead until the host is started anew. Install it for this kernel with DKMS (https://github.com/gnif/vendor-reset; kernels from 6.12 on need a copy from 2026 or later); revived then loads it before the card is lent.`,
    ja: `${name} は vendor-reset モジュールなしではゲストの終了後に復帰できませんが、モジュールが読み込まれていません。最初のゲストの後、ホストを再起動するまでカードは使えません。DKMS でこのカーネルにインストールしてください(https://github.com/gnif/vendor-reset、カーネル 6.12 以降では 2026 年以降の版が必要です)。インストールされていれば、revived がカードを貸す前に読み込みます。`,
  };
}
