/** The live host: its log, and that a bundle of it is judged elsewhere as on the host. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { bundleContents } from '../../../daemon/doctor/bundle/contents.ts';
import { tarOf } from '../../../daemon/doctor/bundle/tar.ts';
import { createHostFiles } from '../../../daemon/doctor/captured.ts';
import { examine, reportJson, reportOf } from '../../../daemon/doctor/doctor.ts';
import type { HostFacts } from '../../../daemon/doctor/host-facts.ts';
import { readHostFacts } from '../../../daemon/doctor/host-facts.ts';
import { readLiveLog, readUnitChange } from '../../../daemon/doctor/live-host.ts';
import { SimKernel } from '../../sim/kernel.ts';
import { machine } from '../../sim/machine.ts';
import { desktopSpec } from '../../sim/presets.ts';
import { xmlOf } from './facts-of.ts';
import { liveFiles } from './live-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'live-'));
after(() => rmSync(folder, { recursive: true }));

function put(root: string, path: string, content: string, mode = 0o644): string {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content, { mode });
  return join(root, path);
}

test('the log comes from the journal by an argument vector; where it says nothing, from the kernel', () => {
  const dev = join(folder, 'dev');
  put(folder, 'dev/kmsg', '6,1,2,-;from the kernel\n'.padEnd(8192));
  const says = (script: string) =>
    put(folder, `journalctl${script.length}`, `#!/bin/sh\n${script}\n`, 0o755);
  const journal = says('printf "%s|" "$@"');
  assert.equal(readLiveLog(dev, journal), '-k|-b|-q|-o|short-monotonic|--no-pager|-n|20000|');
  assert.equal(readLiveLog(dev, says('exit 0 # silent')), 'from the kernel\n');
  assert.equal(readLiveLog(dev, says('echo no right; exit 1')), 'from the kernel\n');
  assert.equal(readLiveLog(join(folder, 'none'), join(folder, 'none')), undefined);
});

test('when a unit changed is asked of systemd by an argument vector; unknown is no time', () => {
  const asked = 'busctl of a test';
  const says = (script: string) => put(folder, asked, `#!/bin/sh\n${script}\n`, 0o755);
  const ask = (script: string) => readUnitChange('libvirtd.service', says(script));
  assert.equal(
    ask(`printf '%s\\n' "$@" >'${folder}/asked'; echo 't 1795282639664123'`),
    1795282639664,
  );
  assert.equal(
    readFileSync(join(folder, 'asked'), 'utf8').split('\n')[3],
    '/org/freedesktop/systemd1/unit/libvirtd_2eservice',
  );
  for (const answer of ['echo t 0', 'echo', 'echo s "x"', 'echo t 1; exit 1', 'exit 1']) {
    assert.equal(ask(answer), undefined, answer);
  }
  assert.equal(readUnitChange('libvirtd.service', join(folder, 'none')), undefined);
});

const log = [
  '[    3.1] tower kernel: usb 1-1: SerialNumber: ABC 99',
  '[    9.1] tower kernel: audit: apparmor="DENIED" profile="libvirt-6695eb01" name="/home/alice/r.rom"',
  "[   10.1] tower kernel: vfio-pci 0000:05:00.0: BAR 0: can't reserve [mem 0xd0000000-0xdfffffff]",
].join('\n');

/** What a live host knows beside its files: disks, rights of files, when libvirt started, the log. */
function fill(root: string): void {
  put(root, 'home/alice/code.fd', '', 0o600);
  put(
    root,
    'etc/libvirt/qemu/alice.xml',
    xmlOf({
      name: 'alice-win',
      firmware: "<loader type='pflash'>/home/alice/code.fd</loader>",
      hostdevs: ['05:00.0 rom=/nowhere/alice.rom'],
    }),
  );
  put(root, 'etc/libvirt/qemu/autostart/alice.xml', '');
  put(root, 'etc/passwd', 'alice:x:1000:1000::/home/alice:/bin/sh\nlibvirt-qemu:x:64055:64055::\n');
  put(root, 'etc/libvirt/qemu.conf', 'user = "libvirt-qemu"\ngroup = "kvm"\n');
  put(root, 'etc/group', 'root:x:0:\n');
  put(root, 'usr/lib/group', 'kvm:x:994:alice\n');
  put(root, 'etc/nsswitch.conf', 'passwd: files sss\ngroup: files sss\nhosts: tower\n');
  put(root, 'etc/libvirt/hooks/qemu.d/50-revived', '#!/bin/sh\n', 0o755);
  put(root, 'proc/stat', 'btime 1000\n');
  put(root, 'run/libvirtd.pid', '77\n');
  put(root, 'proc/77/stat', `77 (libvirtd) S ${'0 '.repeat(18)}500 0\n`);
  // The disk of the system hangs on the card that is passed.
  mkdirSync(join(root, 'sys/class/block'), { recursive: true });
  const device = execFileSync('realpath', [join(root, 'sys/bus/pci/devices/0000:05:00.0')]);
  mkdirSync(`${device.toString().trim()}/block/sda`, { recursive: true });
  symlinkSync(`${device.toString().trim()}/block/sda`, join(root, 'sys/class/block/sda'));
  put(root, 'proc/self/mountinfo', '22 1 8:0 / / rw - ext4 /dev/sda rw\n');
}

const judged = (facts: HostFacts) => JSON.stringify(reportJson(reportOf(facts)));

test('a bundle of a live host gives the findings of the host, without names', () => {
  const kernel = SimKernel.create(machine(desktopSpec));
  try {
    fill(kernel.root);
    const files = liveFiles(kernel.root, log);
    const before = judged(readHostFacts(files));
    for (const told of [
      ...['hook-inactive', 'host-critical-device', 'firmware-unreadable', 'rom-unreadable'],
      ...['apparmor', 'framebuffer-held', 'does not exist', 'runs from'],
    ]) {
      assert.ok(before.includes(told), told);
    }
    const { entries } = bundleContents(files, 'tower.lan');
    assert.doesNotMatch(entries.map(({ path }) => path).join(' '), /alice/);
    const archive = join(folder, 'b.tar');
    writeFileSync(archive, tarOf(entries));
    const unpacked = join(folder, 'unpacked');
    mkdirSync(unpacked);
    execFileSync('tar', ['-xf', archive, '-C', unpacked]);
    assert.equal(judged(examine(unpacked)), before.replaceAll('alice', 'user1'));
    const all = execFileSync('tar', ['-xOf', archive], { encoding: 'latin1' });
    assert.doesNotMatch(all, /alice|tower|ABC 99/);
    assert.deepEqual(examine(unpacked).qemu, readHostFacts(files).qemu);
    assert.match(all, /^passwd: files sss\ngroup: files sss\n/m);
    // A bundle of the bundle, as somebody may cut it down, says the same.
    const again = bundleContents(createHostFiles(unpacked), undefined).entries;
    assert.ok(again.some(({ path }) => path === 'live.json'));
  } finally {
    kernel.dispose();
  }
});
