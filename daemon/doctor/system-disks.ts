/** The PCI functions that the disks of the running system hang on. */
import { basename } from 'node:path';
import type { FunctionAddress } from '../pci/address.ts';
import type { HostFiles } from './captured.ts';

const places = new Set(['/', '/usr', '/var', '/boot', '/boot/efi', '/efi']);
// A volume on a RAID on partitions is three deep.
const maxDepth = 8;

/** Functions above the block devices that the system is mounted from; empty where that is unknown (captured, ZFS, network). */
export function readSystemDisks(files: HostFiles): readonly FunctionAddress[] {
  if (!files.live) return [];
  // proc(5), mountinfo: field 5 is the place; behind " - " come the type and the source.
  const sources = (files.text('/proc/self/mountinfo', 1024 * 1024) ?? '')
    .split('\n')
    .flatMap((line) => {
      const [left = '', right = ''] = line.split(' - ');
      const source = right.split(' ')[1] ?? '';
      return places.has(left.split(' ')[4] ?? '') && source.startsWith('/dev/') ? [source] : [];
    });
  const blocks = [...new Set(sources)].map((source) => basename(files.realPath(source) ?? source));
  return [...new Set(blocks.flatMap((name) => controllersOf(files, name, maxDepth)))];
}

function controllersOf(files: HostFiles, block: string, depth: number): readonly FunctionAddress[] {
  const place = files.realPath(`/sys/class/block/${block}`) ?? '';
  const above = place.match(/[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7](?=\/)/g)?.at(-1);
  if (above !== undefined) return [above as FunctionAddress];
  const parts = depth === 0 ? [] : (files.names(`/sys/class/block/${block}/slaves`) ?? []);
  return parts.flatMap((name) => controllersOf(files, name, depth - 1));
}
