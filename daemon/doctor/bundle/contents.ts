/**
 * What a bundle holds: the files that doctor reads, cut to what it reads of them and masked, so that `doctor --root` finds the
 * same elsewhere. The list follows host-facts.ts, device-facts.ts, hook-facts.ts, qemu-user.ts and pci/device.ts.
 */
import { posix } from 'node:path';
import { isFunctionAddress } from '../../pci/address.ts';
import { readInventory } from '../../pci/inventory.ts';
import { readAttribute, readLink, readNames, readRegister } from '../../sysfs/read.ts';
import type { HostFiles } from '../captured.ts';
import { isAwake } from '../device-facts.ts';
import { readHostFacts } from '../host-facts.ts';
import { livePath, liveText } from '../live-facts.ts';
import { createMasker, type Masker } from './mask.ts';
import { fits, type TarEntry } from './tar.ts';

export interface Contents {
  readonly entries: readonly TarEntry[];
  /** Paths that were left out, because they are too large or their names do not fit. */
  readonly leftOut: readonly string[];
  readonly masked: ReturnType<Masker['counts']>;
}

const maxTotalBytes = 64 * 1024 * 1024;
const maxDevices = 16_384;
const maxDomains = 4096;
const megabyte = 1024 * 1024;
const attributes = [
  ...['modalias', 'vendor', 'device', 'class', 'revision', 'subsystem_vendor', 'subsystem_device'],
  ...['boot_vga', 'reset_method', 'd3cold_allowed'],
];
const links = ['current_link_width', 'max_link_width', 'current_link_speed', 'max_link_speed'];
const libvirt = '/etc/libvirt';
// Names of accounts that are the same everywhere.
const systemUsers = new Set(['root', 'nobody', 'libvirt-qemu', 'qemu', 'kvm', 'libvirt', 'tss']);
const plainWords =
  'on off yes no host user users group guest linux kernel pci vfio kvm qemu libvirt domain name driver card audio video usb boot root admin test'.split(
    ' ',
  );

/** Reads a host (or a captured tree) for a bundle. `hostName`: to be masked; undefined when unknown. Never throws. */
export function bundleContents(files: HostFiles, hostName: string | undefined): Contents {
  const domains = (files.names(`${libvirt}/qemu`) ?? [])
    .filter((name) => name.endsWith('.xml'))
    .slice(0, maxDomains)
    .flatMap((name) => {
      const text = files.text(`${libvirt}/qemu/${name}`, 8 * megabyte);
      return text === undefined ? [] : [{ name, text }];
    });
  const passwd = rowsOf(files.text('/etc/passwd', megabyte));
  const words = new Set([
    ...plainWords,
    // Elements and attributes: replaced, they would make another domain.
    ...domains.flatMap(
      ({ text }) => text.match(/(?<=<(?:[\w-]+:)?)[\w-]+|(?<=\s)[\w-]+(?=\s*=\s*['"])/g) ?? [],
    ),
  ]);
  const users = (passwd ?? [])
    .filter(([name = '', , uid]) => Number(uid) >= 1000 && !systemUsers.has(name))
    .flatMap(([name]) => name ?? []);
  const conf = files.text(`${libvirt}/qemu.conf`, megabyte);
  const confNames = [...(conf ?? '').matchAll(/^[ \t]*(?:user|group)[ \t]*=[ \t]*"([^"\n]+)"/gm)]
    .flatMap((match) => match[1] ?? [])
    .filter((name) => !systemUsers.has(name) && !/^\+?\d+$/.test(name));
  const masker = createMasker({
    users: [...new Set([...users, ...confNames])],
    host: hostName,
    words,
  });

  const entries: TarEntry[] = [];
  const leftOut: string[] = [];
  let total = 0;
  const put = (entry: TarEntry) => {
    const size = entry.kind === 'file' ? entry.content.length : 0;
    if (!fits(entry) || total + size > maxTotalBytes) return leftOut.push(entry.path);
    total += size;
    return entries.push(entry);
  };
  const putText = (path: string, text: string | undefined, mode = 0o644) => {
    if (text !== undefined) {
      put({ kind: 'file', path: path.slice(1), mode, content: Buffer.from(masker.text(text)) });
    }
  };
  const putFolder = (path: string) => put({ kind: 'directory', path: `${path.slice(1)}/` });

  for (const entry of sysEntries(files)) put(entry);
  putText('/proc/cmdline', files.text('/proc/cmdline', 65_536));
  putText('/proc/version', kernelOnly(files.text('/proc/version', 4096)));
  putText('/proc/cpuinfo', cpuOnly(files.head('/proc/cpuinfo', 65_536)));
  putText('/proc/iomem', holdersOnly(files.text('/proc/iomem', megabyte)));
  for (const { name, text } of domains) {
    // The file's name is the domain's, and says nothing to doctor but which one starts by itself.
    putText(`${libvirt}/qemu/${masker.text(name)}`, text);
  }
  for (const name of (files.names(`${libvirt}/qemu/autostart`) ?? []).slice(0, maxDomains)) {
    putText(`${libvirt}/qemu/autostart/${masker.text(name)}`, '');
  }
  putText(`${libvirt}/qemu.conf`, settingsOnly(conf));
  const asked = new Set([...confNames, ...systemUsers]);
  for (const folder of ['/etc', '/usr/lib']) {
    for (const [name, fields] of [['passwd', 4] as const, ['group', 3] as const]) {
      const rows = rowsOf(files.text(`${folder}/${name}`, megabyte));
      putText(`${folder}/${name}`, rows && tableText(rows, asked, fields));
    }
  }
  putText('/etc/nsswitch.conf', sourcesOnly(files.text('/etc/nsswitch.conf', 65_536)));
  const hooks = files.names(`${libvirt}/hooks`);
  if (hooks !== undefined) {
    putFolder(`${libvirt}/hooks`);
    const scripts = (files.names(`${libvirt}/hooks/qemu.d`) ?? []).map((name) => `qemu.d/${name}`);
    for (const name of ['qemu', ...scripts.slice(0, 64)]) {
      const stats = files.stat(`${libvirt}/hooks/${name}`);
      if (stats?.isFile() === true) putText(`${libvirt}/hooks/${name}`, '', stats.mode);
    }
  }
  // Whether vendor-reset is installed for this kernel; of a captured tree the name of the kernel is anybody's.
  const release = /^Linux version ([\w.+~-]+)/.exec(files.text('/proc/version', 4096) ?? '')?.[1];
  if (release !== undefined) {
    const path = `/lib/modules/${release}/modules.dep`;
    putText(path, modulesOnly(files.text(path, 16 * megabyte)));
  }
  putText('/var/log/kernel.log', files.kernelLog());
  const facts = readHostFacts(files);
  if (facts.live) putText(livePath, liveText({ ...facts, hookLate: facts.hooks?.late }));
  return { entries, leftOut, masked: masker.counts() };
}

// Links stay links: where a device hangs is written in the link to it, its driver and group in theirs.
function sysEntries(files: HostFiles): readonly TarEntry[] {
  const sys = files.path('/sys');
  const entries: TarEntry[] = [];
  const file = (path: string, content: Buffer | string | undefined) => {
    if (content !== undefined) {
      entries.push({ kind: 'file', path, mode: 0o644, content: Buffer.from(content) });
    }
  };
  const folder = (path: string) => entries.push({ kind: 'directory', path: `${path}/` });
  const devices = 'sys/bus/pci/devices';
  const names = readNames(`${sys}/bus/pci/devices`);
  const { functions } = readInventory(sys);
  if (names !== undefined) folder(devices);
  for (const name of (names ?? []).filter(isFunctionAddress).slice(0, maxDevices)) {
    const from = `${sys}/bus/pci/devices/${name}`;
    const target = readLink(from);
    const place = target === undefined ? undefined : posix.join(devices, target);
    const at = place?.startsWith('sys/devices/') === true ? place : `${devices}/${name}`;
    folder(at);
    if (target !== undefined && at === place) {
      entries.push({ kind: 'link', path: `${devices}/${name}`, target });
    }
    for (const attribute of attributes)
      file(`${at}/${attribute}`, readAttribute(`${from}/${attribute}`));
    const fn = functions.get(name);
    if (!files.live || (fn !== undefined && isAwake(sys, fn))) {
      for (const link of links) file(`${at}/${link}`, readRegister(`${from}/${link}`));
    }
    // The header only: the serial number of a device stands further behind. Never on a live host, where it can block.
    if (!files.live) {
      file(
        `${at}/config`,
        files.bytes(`/sys/bus/pci/devices/${name}/config`, 65_536)?.subarray(0, 64),
      );
    }
    for (const link of ['driver', 'iommu_group', 'physfn']) {
      const to = readLink(`${from}/${link}`);
      if (to !== undefined && posix.basename(to) !== '') {
        // Only its last element counts (sysfs/read.ts): nothing in the archive leads out of it.
        entries.push({ kind: 'link', path: `${at}/${link}`, target: posix.basename(to) });
      }
    }
  }
  const groups = readNames(`${sys}/kernel/iommu_groups`);
  if (groups !== undefined) folder('sys/kernel/iommu_groups');
  for (const group of (groups ?? []).filter((name) => /^\d{1,6}$/.test(name))) {
    folder(`sys/kernel/iommu_groups/${group}/devices`);
    const members = readNames(`${sys}/kernel/iommu_groups/${group}/devices`) ?? [];
    for (const name of members.filter(isFunctionAddress)) {
      file(`sys/kernel/iommu_groups/${group}/devices/${name}`, '');
    }
  }
  const modules = readNames(`${sys}/module`);
  if (modules !== undefined) folder('sys/module');
  if (modules?.includes('vendor_reset') === true) folder('sys/module/vendor_reset');
  const idle = 'module/vfio_pci/parameters/disable_idle_d3';
  file(`sys/${idle}`, readAttribute(`${sys}/${idle}`));
  return entries;
}

// "Linux version 6.1.0-18-amd64 (who@where) ...": the rest names who built it.
function kernelOnly(text: string | undefined): string | undefined {
  return text === undefined ? undefined : `${/^Linux version \S+/.exec(text)?.[0] ?? ''}\n`;
}

// One line of thousands.
function modulesOnly(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  return (text.match(/^\S*\/vendor-reset\.ko\S*:/gm) ?? []).map((line) => `${line}\n`).join('');
}

function cpuOnly(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const lines = ['vendor_id', 'model name'].flatMap(
    (name) => new RegExp(`^${name}\\s*:.*$`, 'm').exec(text)?.[0] ?? [],
  );
  return `${lines.join('\n')}\n`;
}

// Without where the kernel lies in memory.
function holdersOnly(text: string | undefined): string | undefined {
  return text
    ?.split('\n')
    .filter(
      (line) =>
        /: (?:[0-9a-f:.]+|efifb|simplefb|vesafb|simpledrm|BOOTFB)$/.test(line) ||
        /^\S.*: PCI/.test(line),
    )
    .map((line) => `${line}\n`)
    .join('');
}

function settingsOnly(conf: string | undefined): string | undefined {
  if (conf === undefined) return undefined;
  return (conf.match(/^[ \t]*(?:user|group)[ \t]*=[ \t]*"[^"\n]*"/gm) ?? [])
    .map((line) => `${line}\n`)
    .join('');
}

// Where names of accounts come from.
function sourcesOnly(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  return (text.match(/^[ \t]*(?:passwd|group):.*$/gm) ?? []).map((line) => `${line}\n`).join('');
}

function rowsOf(text: string | undefined): readonly (readonly string[])[] | undefined {
  return text?.split('\n').map((line) => line.split(':'));
}

function tableText(
  rows: readonly (readonly string[])[],
  asked: ReadonlySet<string>,
  fields: number,
): string {
  return rows
    .filter(([name = '']) => asked.has(name))
    .map((row) => `${row.slice(0, fields).join(':')}\n`)
    .join('');
}
