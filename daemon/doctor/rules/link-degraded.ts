/** A link that runs narrower than both of its ends can, or a graphics card behind a conventional PCI bridge. */
import { idOf, isBridge, isDisplay, type PciFunction } from '../../pci/device.ts';
import type { Link } from '../device-facts.ts';
import type { Judgement, Rule } from '../finding.ts';
import type { HostFacts } from '../host-facts.ts';
import { label } from '../label.ts';
import { onRootBus } from '../topology.ts';

// Bridges from PCI Express to conventional PCI, and Intel's old PCI bridge (pci.ids).
const conventional = new Set([
  '1b21:1080',
  '1b21:1083',
  '1283:8892',
  '1283:8893',
  '10b5:8112',
  '10b5:8111',
  '104c:8231',
  '104c:8240',
  '12d8:e111',
  '12d8:e112',
  '8086:244e',
  '8086:2448',
]);

// Management controllers of servers: ASPEED, Matrox, XGI, Silicon Motion. They hang behind such bridges on purpose.
const boardDisplays = new Set(['1a03', '102b', '18ca', '126f']);

export const linkDegraded: Rule = {
  id: 'link-degraded',
  reads: 'current_link_width and max_link_width of displays and of the ports above them',
  why: 'A card that lost lanes is slow, and often a card or a riser that is about to fail or sits badly.',
  reference: 'Documentation/ABI/testing/sysfs-bus-pci; facts/kernel.md 1, current_link_speed',
  judge(facts) {
    return Array.from(facts.inventory.functions.values())
      .filter((fn) => isDisplay(fn) && !boardDisplays.has(fn.vendor ?? ''))
      .flatMap((fn): readonly Judgement[] => {
        const bridge = bridgesAbove(facts, fn).find((port) => conventional.has(idOf(port)));
        if (bridge !== undefined) return [behindBridge(fn, bridge)];
        const narrow = narrowLink(facts, fn);
        return narrow === undefined ? [] : [narrowed(fn, narrow)];
      });
  },
};

// In a listing without the tree: the bus after that of a bridge which is alone on its own is the one behind it, since buses
// are numbered in the order in which they are found (drivers/pci/probe.c pci_scan_bridge_extend).
function bridgesAbove(facts: HostFacts, fn: PciFunction): readonly PciFunction[] {
  const all = facts.inventory.functions;
  if (fn.ports.length > 0 || onRootBus(facts, fn)) {
    return fn.ports.flatMap((address) => all.get(address) ?? []);
  }
  const [segment, bus] = [fn.address.slice(0, -8), Number.parseInt(fn.address.slice(-7, -5), 16)];
  const before = `${segment}:${(bus - 1).toString(16).padStart(2, '0')}:`;
  const there = Array.from(all.values()).filter((one) => one.address.startsWith(before));
  return there.length === 1 && bus > 1 ? there.filter(isBridge) : [];
}

function behindBridge(fn: PciFunction, bridge: PciFunction): Judgement {
  return {
    severity: 'warning',
    subject: fn.address,
    message: {
      en: `${label(fn)} hangs behind ${label(bridge)}, a bridge to conventional PCI: 133 MB/s for everything behind it, one IOMMU group, and no reset of its own. Put the card into a PCI Express slot.`,
      ja: `${label(fn)} は従来型 PCI へのブリッジ ${label(bridge)} の下にあります。合計 133 MB/s で、IOMMU グループも一つになり、個別のリセットもできません。PCI Express スロットに移してください。`,
    },
    fix: null,
  };
}

function narrowed(fn: PciFunction, { width, maxWidth }: Link): Judgement {
  return {
    // Half of the lanes is what laptops and boards with two slots give on purpose.
    severity: width * 2 < maxWidth ? 'warning' : 'note',
    subject: fn.address,
    message: {
      en: `The link of ${label(fn)} runs with ${width} of ${maxWidth} lanes, although both the card and its slot have more. That costs speed and points at dirty contacts, a bad riser, or lanes that the board shares with another slot (see its manual). Reseat the card; check which M.2 or PCIe slot takes its lanes.`,
      ja: `${label(fn)} のリンクは、カードとスロットがもっと多くのレーンを持つのに ${maxWidth} レーン中 ${width} レーンで動作しています。速度が落ちるうえ、接点の汚れ、ライザーの不良、他のスロットとのレーン共有(マニュアル参照)が疑われます。カードを挿し直し、レーンを共有する M.2 や PCIe スロットを確認してください。`,
    },
    fix: null,
  };
}

/**
 * The slot's link of a card: that of its outermost own port (an AMD card's switch, facts/kernel.md 1) or its own, with the most
 * lanes that the port above it can do too. Speed is left out: it drops when the card is idle.
 */
function narrowLink(facts: HostFacts, fn: PciFunction): Link | undefined {
  const switches = fn.ports.filter((address) =>
    /^(1002:147[89]|1022:147[01]|8086:(4fa0|4fa1|e2ff|e2f0|e2f1))$/.test(
      idOf(facts.inventory.functions.get(address) ?? fn),
    ),
  );
  const outer = switches.at(-1) ?? fn.address;
  const above = fn.ports[fn.ports.indexOf(outer) + 1];
  const link = facts.devices.get(outer)?.link;
  const port = above === undefined ? undefined : facts.devices.get(above)?.link;
  if (link === undefined || port === undefined) return undefined;
  const maxWidth = Math.min(link.maxWidth, port.maxWidth);
  return link.width < maxWidth ? { ...link, maxWidth } : undefined;
}
