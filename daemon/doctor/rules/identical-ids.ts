/** Two devices with the same ids: whatever binds by id takes both. */
import { idOf, isDisplay } from '../../pci/device.ts';
import type { Judgement, Rule } from '../finding.ts';
import { label, labels } from '../label.ts';
import { isVirtual, passedFunctions } from '../topology.ts';

export const identicalIds: Rule = {
  id: 'identical-ids',
  reads:
    'vendor and device of every function, proc/cmdline (vfio-pci.ids=), the hostdevs of domains',
  why: 'vfio-pci.ids=, new_id and modprobe options cannot tell two equal cards apart.',
  reference: 'Documentation/ABI/testing/sysfs-bus-pci (driver_override, new_id)',
  judge(facts) {
    const ids = facts.cmdline?.flatMap((word) => /^vfio-pci\.ids=(.*)$/.exec(word)?.[1] ?? []);
    const boundById = new Set(ids?.flatMap((list) => list.toLowerCase().split(',')));
    const passed = passedFunctions(facts);
    const lent = new Set(passed.map(({ fn }) => fn.address));
    return passed.flatMap(({ fn }): readonly Judgement[] => {
      if (fn.vendor === undefined || fn.device === undefined) return [];
      const byId = boundById.has(idOf(fn));
      if ((!isDisplay(fn) && !byId) || isVirtual(facts, fn)) return [];
      const twins = Array.from(facts.inventory.functions.values()).filter(
        (one) => idOf(one) === idOf(fn) && one !== fn && !isVirtual(facts, one),
      );
      const kept = twins.filter((one) => !lent.has(one.address));
      if (twins.length === 0) return [];
      return [
        {
          severity: byId && kept.length > 0 ? 'warning' : 'note',
          subject: fn.address,
          message: {
            en: `${label(fn)} has the same ids as ${labels(twins)}. ${byId && kept.length > 0 ? `vfio-pci.ids= on the kernel's command line takes them all, so the host loses its own too. Take ${idOf(fn)} out of it` : 'Options that go by ids (vfio-pci.ids=, new_id) would take both. Bind by address instead (driver_override)'}; revived binds by address.`,
            ja: `${label(fn)} は ${labels(twins)} と同じ ID です。${byId && kept.length > 0 ? `カーネルの vfio-pci.ids= がすべてを確保するため、ホスト用のものも失われます。${idOf(fn)} を取り除いてください` : 'ID による指定(vfio-pci.ids=、new_id)では両方が対象になります。アドレスで指定してください(driver_override)'}。revived はアドレスで割り当てます。`,
          },
          fix: null,
        },
      ];
    });
  },
};
