/** The card that the firmware draws on. */
import { isDisplay, type PciFunction } from '../../pci/device.ts';
import type { Judgement, Rule } from '../finding.ts';
import type { HostFacts } from '../host-facts.ts';
import { label, quoted } from '../label.ts';
import { isVirtual, passedFunctions } from '../topology.ts';

export const bootVga: Rule = {
  id: 'boot-vga',
  reads: 'boot_vga of every display, the hostdevs of domains',
  why: 'The console and the firmware picture sit on it, and its ROM is not what the card came with.',
  reference: 'drivers/pci/vgaarb.c; Documentation/ABI/testing/sysfs-bus-pci',
  judge(facts) {
    const displays = Array.from(facts.inventory.functions.values()).filter(
      (one) => isDisplay(one) && !isVirtual(facts, one),
    );
    return passedFunctions(facts).flatMap(({ fn, domains }): readonly Judgement[] => {
      if (!isDisplay(fn) || isVirtual(facts, fn)) return [];
      const boots = facts.devices.get(fn.address)?.bootVga;
      const others = displays.filter((one) => one !== fn);
      if (boots === false || (boots === undefined && !isAlone(facts, others))) return [];
      const alone = others.length === 0;
      const known = boots === true;
      const name = quoted(...domains);
      return [
        {
          severity: known ? 'warning' : 'note',
          subject: fn.address,
          message: {
            en: `${label(fn)}, which domain ${name} passes, is ${known ? 'the boot GPU: the firmware and the console of the host draw on it' : 'the only GPU that is known here, so probably the boot GPU'}. ${alone ? 'While the guest runs the host has no screen, and the desktop has to end first; have another way in (ssh). No firmware setting changes that on a host with one GPU.' : 'Choose another GPU in the firmware ("primary display", IGD/iGPU first) or swap the slots: the firmware takes the first slot with a screen, and Linux cannot move it. Some cards need a copy of their ROM (<rom file=...>) when they were the boot GPU.'}`,
            ja: `ドメイン ${name} に渡す ${label(fn)} は${known ? 'ブート GPU で、ファームウェアとホストのコンソールが描画しています' : 'ここで分かる唯一の GPU なので、おそらくブート GPU です'}。${alone ? 'ゲストの動作中ホストには画面がなく、先にデスクトップを終了する必要があります。別の入口(ssh)を用意してください。GPU が一つのホストではファームウェアの設定で変えられません。' : 'ファームウェアの設定(「プライマリディスプレイ」、内蔵 GPU 優先)で別の GPU を選ぶか、スロットを入れ替えてください。ファームウェアは画面がつながった最初のスロットを選び、Linux からは変更できません。ブート GPU だったカードは ROM の複製(<rom file=...>)が必要なことがあります。'}`,
          },
          fix: null,
        },
      ];
    });
  },
};

// Unknown and alone: a listing of the root bus with one display (an excerpt proves nothing about the others).
function isAlone(facts: HostFacts, others: readonly PciFunction[]): boolean {
  const root = Array.from(facts.inventory.functions.keys()).some((at) => /^0+:00:/.test(at));
  return root && others.length === 0;
}
