/** Trees that nobody would capture: whatever lies where doctor looks, it reads in time, says what it could not read, and guesses nothing. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { bundleContents } from '../../../daemon/doctor/bundle/contents.ts';
import { createHostFiles } from '../../../daemon/doctor/captured.ts';
import { reportJson, reportOf } from '../../../daemon/doctor/doctor.ts';
import { readHostFacts } from '../../../daemon/doctor/host-facts.ts';
import { xmlOf } from './facts-of.ts';
import { liveFiles } from './live-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'hostile-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** What no tree may get at. */
const secret = join(folder, 'secret.xml');
writeFileSync(secret, 'bus TOP-SECRET\n');

const devices = ['0000:00:00.0', '0000:0b:00.0', '0000:0b:00.1', '10000:e1:00.0', 'nonsense'];
const names = [
  ...['vendor', 'device', 'class', 'modalias', 'boot_vga', 'reset_method', 'config', 'driver'],
  ...['iommu_group', 'physfn', 'current_link_width', 'max_link_width', 'd3cold_allowed'],
];
const places = [
  ...devices.flatMap((at) => names.map((name) => `sys/bus/pci/devices/${at}/${name}`)),
  ...devices.map((at) => `sys/kernel/iommu_groups/7/devices/${at}`),
  ...['sys/bus/pci/devices', 'sys/kernel/iommu_groups', 'sys/module/vendor_reset'],
  ...['proc/cmdline', 'proc/version', 'proc/cpuinfo', 'proc/iomem', 'proc/swaps'],
  ...['proc/self/mountinfo', 'proc/stat', 'run/libvirtd.pid', 'live.json', 'etc/passwd'],
  ...['etc/group', 'etc/libvirt/qemu.conf', 'etc/libvirt/qemu/vm.xml', 'etc/libvirt/qemu'],
  ...['etc/libvirt/qemu/autostart', 'etc/libvirt/hooks', 'etc/libvirt/hooks/qemu.d/50-revived'],
  ...['var/log/kernel.log', 'sys/class/block/sda', 'sys/fs/btrfs'],
];
const words = [
  ...['0x10de\n', '0x030000\n', '1\n', '-1', '63', 'Unknown', 'flr bus\n', 'x'.repeat(5000)],
  ...['vfio-pci.ids=10de:1b80 pcie_acs_override=\u001b]0;x\u0007', 'Linux version 6.14.2 (a@b)'],
  ...['vendor_id\t: AuthenticAMD\n', '22 1 8:0 / / rw - zfs ../../x rw\n', '77\n', '{"files":7}'],
  ...['{"disks":{"system":[7,"0000:0b:00.0"],"mounted":{}},"hookLate":"x","files":[{"path":1}]}'],
  ...[
    'user = "\u202ex"\ngroup = "y"\n',
    'a:b:c:d\n::::\n',
    'apparmor="DENIED" profile="libvirt-x" name="\u001b[2J"',
  ],
  ...[xmlOf({ name: '\u009b2J', hostdevs: ['0b:00.0 rom=/../../etc/shadow'] }), '<domain>'],
];
const content = fc.oneof(
  fc.constantFrom(...words).map((text) => ({ kind: 'file', data: Buffer.from(text) }) as const),
  fc
    .uint8Array({ maxLength: 300 })
    .map((data) => ({ kind: 'file', data: Buffer.from(data) }) as const),
  fc
    .constantFrom(
      '.',
      '..',
      'loop',
      '/dev/zero',
      '/etc',
      secret,
      '../../../../..',
      'vfio-pci',
      '\u001b[2J',
    )
    .map((to) => ({ kind: 'link', to }) as const),
  fc.constant({ kind: 'folder' } as const),
  fc.constant({ kind: 'pipe' } as const),
);
type Content = typeof content extends fc.Arbitrary<infer T> ? T : never;

function put(root: string, path: string, what: Content): void {
  const at = join(root, path);
  try {
    mkdirSync(dirname(at), { recursive: true });
    if (what.kind === 'file') writeFileSync(at, what.data, { flag: 'wx' });
    else if (what.kind === 'link') symlinkSync(what.to, at);
    else if (what.kind === 'folder') mkdirSync(at);
    else execFileSync('mkfifo', [at], { stdio: 'ignore' });
  } catch {
    // Something else lies there, or above it, already.
  }
}

let count = 0;
const isPlain = (text: string) => !/\p{Cc}|[\u202a-\u202e\u2066-\u2069]/u.test(text);

test('no tree is a crash, a wait, a control character or a way out', () => {
  const entries = fc.array(fc.tuple(fc.constantFrom(...places), content), { maxLength: 40 });
  const look = fc.property(entries, fc.boolean(), (list, live) => {
    const root = join(folder, String(count++));
    mkdirSync(root);
    for (const [path, what] of list) put(root, path, what);
    const began = performance.now();
    const files = live ? liveFiles(root) : createHostFiles(root);
    const report = reportOf(readHostFacts(files));
    for (const { message, fix } of report.findings) {
      for (const text of [message.en, message.ja, fix?.description.en ?? 'x']) {
        assert.ok(text !== '' && isPlain(text), JSON.stringify(text));
      }
      assert.doesNotMatch(message.en, /undefined|NaN|\[object|TOP-SECRET/);
    }
    JSON.stringify(reportJson(report));
    const { entries: packed } = bundleContents(files, 'tower');
    for (const entry of packed) {
      assert.doesNotMatch(entry.path, /^\/|(?:^|\/)\.\.(?:\/|$)/);
      assert.ok(entry.kind !== 'file' || live || !entry.content.includes('TOP-SECRET'), entry.path);
    }
    assert.ok(performance.now() - began < 3000, 'in time');
    rmSync(root, { recursive: true, force: true });
  });
  const data = Buffer.from('vfio-pci.ids=10de:1b80 pcie_acs_override=\u001b]0;x\u0007');
  fc.assert(look, {
    numRuns: 100,
    examples: [[[['proc/cmdline', { kind: 'file', data }]], false]],
  });
});
