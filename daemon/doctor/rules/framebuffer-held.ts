/** The boot screen still sits on the card's memory. */
import type { Judgement, Rule } from '../finding.ts';
import type { HostFacts } from '../host-facts.ts';
import { label, quoted } from '../label.ts';
import { passedFunctions } from '../topology.ts';

export const framebufferHeld: Rule = {
  id: 'framebuffer-held',
  reads: 'proc/iomem, proc/version, the kernel log',
  why: 'What the boot screen holds, QEMU cannot map: the guest gets a black screen and the log fills.',
  reference:
    'drivers/vfio/pci/vfio_pci_core.c vfio_pci_vga_init (6.0); facts/kernel.md 1, platform fb',
  judge(facts) {
    return passedFunctions(facts).flatMap(({ fn, domains }): readonly Judgement[] => {
      const held = facts.framebuffers.find(({ at }) => at === fn.address)?.holder;
      const logged = facts.log.some(
        (line) => line.includes(fn.address) && line.includes("can't reserve"),
      );
      if (held === undefined && !logged) return [];
      const self = freesItself(facts);
      const who = held ?? 'the boot screen';
      return [
        {
          severity: self && !logged ? 'note' : 'warning',
          subject: fn.address,
          message: {
            en: `${who} of the host still holds memory of ${label(fn)}, which domain ${quoted(...domains)} passes. ${self && !logged ? 'This kernel lets it go by itself when the card is bound to vfio-pci; nothing needs to be done.' : 'QEMU then cannot map the card ("BAR: can\'t reserve") and the guest stays black. Boot with another GPU as the primary one, or with video=efifb:off (initcall_blacklist=sysfb_init since 5.14), or use a kernel from 6.0 on, which frees it when the card is bound.'}`,
            ja: `ドメイン ${quoted(...domains)} に渡す ${label(fn)} のメモリーを、ホストの ${held ?? '起動画面'} がまだ使っています。${self && !logged ? 'このカーネルでは vfio-pci に割り当てる際に自動で解放されるため、何もする必要はありません。' : "そのままでは QEMU がカードをマップできず(「BAR: can't reserve」)、ゲストの画面は黒いままです。別の GPU を優先にして起動するか、video=efifb:off(5.14 以降は initcall_blacklist=sysfb_init)を付けるか、割り当て時に解放する 6.0 以降のカーネルを使ってください。"}`,
          },
          fix: null,
        },
      ];
    });
  },
};

function freesItself({ kernel }: HostFacts): boolean {
  const major = Number(kernel?.split('.')[0] ?? Number.NaN);
  return major >= 6;
}
