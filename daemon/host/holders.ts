/**
 * Who has a device node open: /proc/<pid>/fd of every process (invariant 5). No process is started, and nobody is
 * asked to let go: the caller waits with a bound, then names the holders.
 */
import type { FunctionAddress } from '../pci/address.ts';
import { deviceDirectory } from '../pci/device.ts';
import { readAttribute, readLink, readLinkName, readNames } from '../sysfs/read.ts';

export interface Holder {
  readonly pid: number;
  /** The kernel's 15 byte name; for people only. */
  readonly name: string;
  readonly node: string;
}

/** Most holders that are reported. */
const maxHolders = 16;

/** Processes (ours excluded; all, or those of `among`) that have one of `nodes` open: absolute paths below /dev. */
export function holdersOf(
  proc: string,
  nodes: ReadonlySet<string>,
  among?: readonly string[],
): readonly Holder[] {
  const holders: Holder[] = [];
  if (nodes.size === 0) return holders;
  for (const pid of among ?? readNames(proc) ?? []) {
    if (!/^[0-9]+$/.test(pid) || pid === String(process.pid)) continue;
    for (const fd of readNames(`${proc}/${pid}/fd`) ?? []) {
      const node = readLink(`${proc}/${pid}/fd/${fd}`);
      if (node === undefined || !nodes.has(node)) continue;
      holders.push({ pid: Number(pid), name: readAttribute(`${proc}/${pid}/comm`) ?? '?', node });
      if (holders.length >= maxHolders) return holders;
      break;
    }
  }
  return holders;
}

/** The VFIO group node of a function: `/dev/vfio/7`. */
export function vfioNode(dev: string, group: string): string {
  return `${dev}/vfio/${group}`;
}

/** The VFIO nodes of functions as they are grouped now. */
export function vfioNodesOf(
  paths: { readonly sys: string; readonly dev: string },
  functions: readonly FunctionAddress[],
): ReadonlySet<string> {
  const groups = functions.flatMap(
    (fn) => readLinkName(`${deviceDirectory(paths.sys, fn)}/iommu_group`) ?? [],
  );
  // With iommufd (6.6, libvirt's <iommufd/>) it is the function's own node that is open, and not that of its group.
  const own = functions.flatMap((fn) =>
    (readNames(`${deviceDirectory(paths.sys, fn)}/vfio-dev`) ?? []).map(
      (name) => `${paths.dev}/vfio/devices/${name}`,
    ),
  );
  return new Set([...groups.map((group) => vfioNode(paths.dev, group)), ...own]);
}

/**
 * Nodes that a host program may hold on a function: DRM nodes and open PCM streams. ALSA control nodes are left out:
 * sound servers keep them open for life and let go when the card is unplugged.
 */
export function hostNodes(dev: string, directory: string): readonly string[] {
  const drm = (readNames(`${directory}/drm`) ?? [])
    .filter((name) => /^(card|renderD)\d+$/.test(name))
    .map((name) => `${dev}/dri/${name}`);
  const sound = (readNames(`${directory}/sound`) ?? [])
    .map((name) => /^card(\d+)$/.exec(name)?.[1])
    .filter((number) => number !== undefined);
  const pcm = (readNames(`${dev}/snd`) ?? [])
    .filter((name) => sound.some((number) => name.startsWith(`pcmC${number}D`)))
    .map((name) => `${dev}/snd/${name}`);
  return [...drm, ...pcm];
}

/** `qemu-system-x86 (pid 4711) has /dev/vfio/7 open`, joined. */
export function namesOf(holders: readonly Holder[]): string {
  return holders.map((h) => `${h.name} (pid ${h.pid}) has ${h.node} open`).join(', ');
}
