/** The PCI functions that disks in use hang on: those of the running system, and those that are mounted or swapped to. */
import { basename } from 'node:path';
import { type FunctionAddress, isFunctionAddress } from '../pci/address.ts';
import type { HostFiles } from './captured.ts';
import { type Mount, readMounts } from './mounts.ts';

export interface DisksInUse {
  /** Functions above the disks that the system is mounted from; empty where that is unknown (captured, network). */
  readonly system: readonly FunctionAddress[];
  /** Functions above disks that hold something else mounted, or swap. */
  readonly mounted: readonly FunctionAddress[];
}

const places = new Set(['/', '/usr', '/var', '/boot', '/boot/efi', '/efi']);
// A volume on a RAID on partitions is three deep.
const maxDepth = 8;
const maxBlocks = 4096;
const address = '[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\\.[0-7]';
// Intel's VMD is a function with a PCI segment of its own below it: its disks go with it.
const host = new RegExp(`${address}(?=/pci[0-9a-f]{4,8}:[0-9a-f]{2}/)`, 'g');
const anyFunction = new RegExp(`${address}(?=/)`, 'g');

/** Reads it of a live host. Never throws. */
export function readDisksInUse(files: HostFiles): DisksInUse {
  if (!files.live) return { system: [], mounted: [] };
  const mounts = onDisks(readMounts(files));
  const above = (wanted: readonly Mount[]) => [
    ...new Set(
      wanted
        .flatMap((mount) => blocksOf(files, mount))
        .flatMap((block) => controllersOf(files, block, maxDepth)),
    ),
  ];
  const system = above(mounts.filter(({ place }) => places.has(place)));
  const mounted = above([
    ...mounts.filter(({ place }) => !places.has(place)),
    ...swapsOf(files),
  ]).filter((one) => !system.includes(one));
  return { system, mounted };
}

function onDisks(mounts: readonly Mount[]): readonly Mount[] {
  const found = new Map<string, Mount>();
  for (const mount of mounts) {
    const { place, type, source } = mount;
    const isDisk = source.startsWith('/dev/') || type === 'zfs';
    // Containers mount the same source many times; a place of the system says more than another.
    if (isDisk && (places.has(place) || !found.has(source))) found.set(source, mount);
  }
  return [...found.values()];
}

function swapsOf(files: HostFiles): readonly Mount[] {
  const lines = (files.text('/proc/swaps', 65_536) ?? '').split('\n').slice(1);
  return lines.flatMap((line) => {
    const source = line.split(/\s/)[0] ?? '';
    return source.startsWith('/dev/') ? [{ place: 'swap', number: '', type: 'swap', source }] : [];
  });
}

// The block devices of a mount: ZFS names its pool, btrfs one of its devices, bcachefs all of them. The number is surer than
// the source, which may be /dev/root.
function blocksOf(files: HostFiles, { number, type, source }: Mount): readonly string[] {
  if (type === 'zfs') return poolMembers(files, source.split('/')[0] ?? '');
  const numbered = /^[1-9]\d*:\d+$/.test(number) ? files.realPath(`/sys/dev/block/${number}`) : '';
  if (numbered) return [basename(numbered)];
  const named = source.split(/:(?=\/)/).map((path) => basename(files.realPath(path) ?? path));
  if (type !== 'btrfs') return named;
  const all = (files.names('/sys/fs/btrfs') ?? [])
    .map((id) => files.names(`/sys/fs/btrfs/${id}/devices`) ?? [])
    .find((list) => named.some((name) => list.includes(name)));
  return all ?? named;
}

// libblkid gives a member of a pool the type zfs_member and the pool's name as its label; udev keeps that.
function poolMembers(files: HostFiles, pool: string): readonly string[] {
  return (files.names('/sys/class/block') ?? []).slice(0, maxBlocks).filter((name) => {
    const number = files.text(`/sys/class/block/${name}/dev`, 64)?.trim() ?? '';
    const data = /^\d+:\d+$/.test(number) ? files.text(`/run/udev/data/b${number}`, 65_536) : '';
    const lines = data?.split('\n') ?? [];
    return lines.includes('E:ID_FS_TYPE=zfs_member') && lines.includes(`E:ID_FS_LABEL=${pool}`);
  });
}

function controllersOf(files: HostFiles, block: string, depth: number): readonly FunctionAddress[] {
  const place = files.realPath(`/sys/class/block/${block}`) ?? '';
  const above = functionsIn(place);
  if (above.length > 0) return above;
  const paths = multipath(files, place);
  if (paths.length > 0) return paths;
  const parts = depth === 0 ? [] : (files.names(`/sys/class/block/${block}/slaves`) ?? []);
  return parts.flatMap((name) => controllersOf(files, name, depth - 1));
}

// The disk of an NVMe subsystem with several ways to it is virtual (drivers/nvme/host/multipath.c); its controllers are links.
function multipath(files: HostFiles, place: string): readonly FunctionAddress[] {
  const subsystem = /\/virtual\/nvme-subsystem\/(nvme-subsys\d+)\//.exec(place)?.[1];
  if (subsystem === undefined) return [];
  const folder = `/sys/class/nvme-subsystem/${subsystem}`;
  return (files.names(folder) ?? [])
    .filter((name) => /^nvme\d+$/.test(name))
    .flatMap((name) => functionsIn(`${files.realPath(`${folder}/${name}`) ?? ''}/`));
}

function functionsIn(place: string): readonly FunctionAddress[] {
  const nearest = place.match(anyFunction)?.at(-1);
  const found = [...(place.match(host) ?? []), ...(nearest === undefined ? [] : [nearest])];
  return found.filter(isFunctionAddress);
}
