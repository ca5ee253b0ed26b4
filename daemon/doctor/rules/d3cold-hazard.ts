/** Cards that do not come back when their power is cut between two guests. */
import { hazardOf } from '../../pci/quirks.ts';
import type { Judgement, Rule } from '../finding.ts';
import { label } from '../label.ts';
import { isVirtual, passedFunctions } from '../topology.ts';

export const d3coldHazard: Rule = {
  id: 'd3cold-hazard',
  reads: "the family of the passed functions, d3cold_allowed, vfio-pci's disable_idle_d3",
  why: 'vfio-pci sends an idle card to sleep (D3cold: no power at all), and some never wake up.',
  reference: 'drivers/vfio/pci/vfio_pci_core.c disable_idle_d3; facts/kernel.md 6, rung 6',
  judge(facts) {
    return passedFunctions(facts).flatMap(({ fn }): readonly Judgement[] => {
      if (hazardOf(fn, 'd3cold') === undefined || isVirtual(facts, fn)) return [];
      if (facts.idleD3Disabled === true) return [];
      if (facts.devices.get(fn.address)?.d3coldAllowed === false) return [];
      return [
        {
          severity: 'note',
          subject: fn.address,
          message: {
            en: `${label(fn)} may not wake up from D3cold, the sleep without power that vfio-pci sends an idle card to. It is then "stuck in D3" at the next start. revived keeps it awake while it is out; without revived, load vfio-pci with disable_idle_d3=1.`,
            ja: `${label(fn)} は、vfio-pci がアイドル時に入れる D3cold(電源の切れたスリープ)から復帰しないことがあり、次の起動で「stuck in D3」になります。revived は貸し出し中スリープさせません。revived を使わない場合は vfio-pci を disable_idle_d3=1 で読み込んでください。`,
          },
          fix: null,
        },
      ];
    });
  },
};
