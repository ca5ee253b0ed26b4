import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, test } from 'node:test';
import { createHostFiles } from '../../../daemon/doctor/captured.ts';
import { examine, reportJson, reportOf } from '../../../daemon/doctor/doctor.ts';
import { readHostFacts } from '../../../daemon/doctor/host-facts.ts';
import { localeOf } from '../../../daemon/doctor/message.ts';
import { SimKernel } from '../../sim/kernel.ts';
import { machine } from '../../sim/machine.ts';
import { desktopSpec, labMachine } from '../../sim/presets.ts';
import { xmlOf } from './facts-of.ts';
import { liveFiles } from './live-files.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true, force: true });
});

/** A tree of files: path -> text. */
function rootOf(files: Readonly<Record<string, string | Buffer>>): string {
  const root = mkdtempSync(join(tmpdir(), 'doctor-'));
  roots.push(root);
  for (const [path, content] of Object.entries(files)) put(root, path, content);
  return root;
}

function put(root: string, path: string, content: string | Buffer): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}

function device(id: string, classCode: string): Readonly<Record<string, string>> {
  const [vendor, product] = id.split(':');
  return { vendor: `0x${vendor}\n`, device: `0x${product}\n`, class: `0x${classCode}\n` };
}

function tree(devices: Readonly<Record<string, Readonly<Record<string, string>>>>) {
  const files = Object.entries(devices).flatMap(([at, attributes]) =>
    Object.entries(attributes).map(
      ([name, text]) => [`sys/bus/pci/devices/${at}/${name}`, text] as const,
    ),
  );
  return Object.fromEntries(files);
}

const said = (root: string) =>
  reportOf(examine(root)).findings.map(({ rule, severity, subject }) => [rule, severity, subject]);
const domainFile = 'etc/libvirt/qemu/vm.xml';

test('a healthy host has no findings, and an empty folder says nothing', () => {
  for (const state of [labMachine(), machine(desktopSpec)]) {
    const kernel = SimKernel.create(state);
    try {
      const report = reportOf(examine(kernel.root));
      assert.deepEqual(report.findings, []);
      assert.ok(report.cards.length > 3 && report.host.iommu === true);
    } finally {
      kernel.dispose();
    }
  }
  const { cards, findings, host } = reportOf(examine(rootOf({})));
  assert.deepEqual([cards, findings, host.iommu], [[], [], null]);
});

test('whether vendor-reset is installed is in the list of the kernel that runs', () => {
  const version = (release: string) => ({ 'proc/version': `Linux version ${release} (a@b)\n` });
  const list = (release: string, text: string) => ({
    [`lib/modules/${release}/modules.dep`]: text,
  });
  const of = (files: Record<string, string>) =>
    readHostFacts(createHostFiles(rootOf(files))).vendorResetInstalled;
  const dkms = 'updates/dkms/vendor-reset.ko.xz: kernel/a.ko\n';
  assert.equal(of({ ...version('6.12-amd64'), ...list('6.12-amd64', dkms) }), true);
  assert.equal(of({ ...version('6.12'), ...list('6.12', 'x/my-vendor-reset.ko:\n') }), false);
  assert.equal(of({ ...version('6.13'), ...list('6.12', dkms) }), undefined);
  assert.equal(of({ ...version('../modules/6.12'), ...list('6.12', dkms) }), undefined);
});

test('the card of a report, as JSON', () => {
  const kernel = SimKernel.create(machine(desktopSpec));
  try {
    put(kernel.root, domainFile, xmlOf({ name: 'a', hostdevs: ['05:00.0'] }));
    const json = JSON.parse(JSON.stringify(reportJson(reportOf(examine(kernel.root)))));
    const card = json.cards.find(({ address }: { address: string }) => address === '0000:05:00');
    assert.deepEqual(
      [card.family, card.functions.length, card.groups.length, card.passable],
      ['AMD Polaris 10', 2, 1, true],
    );
    assert.ok(!card.ladder.includes('bus') && card.ladder.includes('remove-rescan'));
    const left = json.findings.find(
      ({ rule }: { rule: string }) => rule === 'function-left-behind',
    );
    assert.deepEqual(
      [left.severity, left.subject, left.fix.rule, left.fix.kind, left.fix.domain],
      ['warning', '0000:05:00.0', 'function-left-behind', 'domain-xml', 'a'],
    );
    assert.equal(typeof left.message, 'string');
    assert.equal(typeof left.fix.description, 'string');
  } finally {
    kernel.dispose();
  }
});

test('a ladder has the most suitable first, and nothing that is forbidden or that nobody can do', () => {
  const apart = rootOf(
    tree({
      '0000:05:00.0': device('1002:731f', '030000'),
      '0000:06:00.0': device('1002:73bf', '030000'),
      '0000:07:00.0': device('1234:1111', '030000'),
      '0000:08:00.0': { ...device('1002:731f', '030000'), reset_method: 'pm bus\n' },
    }),
  );
  const ladders = reportOf(examine(apart)).cards.map(({ ladder }) => ladder);
  assert.deepEqual(
    ladders.map(([first]) => first),
    ['device_specific', 'flr', 'device_specific', 'remove-rescan'],
  );
  assert.deepEqual(
    ladders.map((ladder) => ladder.includes('bus')),
    [false, true, true, false],
  );
  assert.ok(ladders.every((ladder) => ladder.at(-1) === 'reboot-host'));
});

test('of one domain: its own findings, and who else claims its devices', () => {
  const root = rootOf({
    'etc/libvirt/qemu/a.xml': xmlOf({ name: 'a', hostdevs: ['0b:00.0'], agent: false }),
    'etc/libvirt/qemu/b.xml': xmlOf({ name: 'b', hostdevs: ['0b:00.0', '00:1f.0'] }),
  });
  const facts = examine(root);
  const { findings } = reportOf(
    facts,
    facts.domains.find(({ name }) => name === 'a'),
  );
  assert.deepEqual(
    findings.map(({ rule, subject }) => [rule, subject]),
    [
      ['agent-missing', 'domain:a'],
      ['claimed-twice', '0000:0b:00.0'],
    ],
  );
});

test('a copy without links: groups from their lists, bridges from config space', () => {
  const bridge = Buffer.alloc(64);
  bridge.set([0x00, 0x04, 0x05], 0x18);
  const root = rootOf({
    ...tree({
      '0000:00:1c.0': device('8086:244e', '060401'),
      '0000:05:00.0': device('10de:1b80', '030000'),
      '0000:05:00.1': device('10de:10f0', '040300'),
    }),
    'sys/kernel/iommu_groups/7/devices/0000:05:00.0': '',
    'sys/kernel/iommu_groups/7/devices/0000:05:00.1': '',
    'sys/bus/pci/devices/0000:00:1c.0/config': bridge,
  });
  const { cards, findings } = reportOf(examine(root));
  assert.deepEqual(
    cards.map(({ groups, passable, name }) => [groups, passable, name]),
    [[['7'], true, 'NVIDIA Pascal (10de:1b80)']],
  );
  assert.deepEqual(
    findings.map(({ rule }) => rule),
    ['link-degraded'],
  );
  mkdirSync(join(root, 'empty/sys/kernel/iommu_groups'), { recursive: true });
  assert.deepEqual(said(join(root, 'empty')), [['iommu-off', 'error', 'host']]);
});

test('the display of an APU is passable where it does not share its group with the rest of the chip', () => {
  const apu = (usb: string) =>
    rootOf({
      ...tree({
        '0000:05:00.0': device('1002:1638', '030000'),
        '0000:05:00.1': device('1002:1637', '040300'),
        '0000:05:00.3': device('1022:1639', '0c0330'),
      }),
      'sys/kernel/iommu_groups/5/devices/0000:05:00.0': '',
      'sys/kernel/iommu_groups/5/devices/0000:05:00.1': '',
      [`sys/kernel/iommu_groups/${usb}/devices/0000:05:00.3`]: '',
    });
  assert.equal(reportOf(examine(apu('5'))).cards[0]?.passable, false);
  assert.equal(reportOf(examine(apu('6'))).cards[0]?.passable, true);
});

test('a hostile tree: what could not be read is said, in time', () => {
  const root = rootOf({
    ...tree({
      '0000:0b:00.0': device('10de:1b80', '030000'),
      '0000:00:1f.0': { class: '0x060100' },
      nonsense: { vendor: 'x' },
    }),
    'sys/bus/pci/devices/0000:0c:00.0/class': Buffer.alloc(300_000, 0xff),
    'etc/libvirt/qemu/binary.xml': Buffer.from([0x89, 0x50, 0, 1]),
    'etc/libvirt/qemu/text.xml': 'not xml',
    'etc/libvirt/qemu/bomb.xml': '<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>',
    'etc/libvirt/qemu/evil.xml': xmlOf({
      name: '\u202e&lt;b>$(id)',
      hostdevs: ['0b:00.0'],
      agent: false,
    }),
    'etc/libvirt/qemu/huge.xml': Buffer.alloc(9 * 1024 * 1024, 0x20),
    'proc/version': 'Linux version '.repeat(10_000),
    'var/log/kernel.log': 'x'.repeat(5 * 1024 * 1024),
  });
  const at = (path: string) => join(root, path);
  mkdirSync(at('sys/bus/pci/devices/0000:0b:00.0/driver'));
  mkdirSync(at('etc/libvirt/qemu/folder.xml'));
  mkdirSync(at('proc/cpuinfo'));
  execFileSync('mkfifo', [
    at('etc/libvirt/qemu/pipe.xml'),
    at('sys/bus/pci/devices/0000:00:1f.0/vendor'),
  ]);
  symlinkSync('loop', at('proc/loop'));
  symlinkSync('loop', at('proc/cmdline'));
  symlinkSync('/etc/passwd', at('etc/libvirt/qemu.conf'));
  symlinkSync('..', at('sys/bus/pci/devices/0000:0d:00.0'));
  symlinkSync('/dev/zero', at('sys/bus/pci/devices/0000:0c:00.0/vendor'));

  const began = performance.now();
  const facts = examine(root);
  const { findings } = reportOf(facts);
  assert.ok(performance.now() - began < 5000, 'no read waits');
  assert.deepEqual(facts.unread.map(({ path, why }) => `${path} ${why}`).sort(), [
    '/etc/libvirt/qemu.conf outside',
    '/etc/libvirt/qemu/binary.xml binary',
    '/etc/libvirt/qemu/folder.xml not-a-file',
    '/etc/libvirt/qemu/huge.xml too-large',
    '/etc/libvirt/qemu/pipe.xml not-a-file',
    '/proc/cmdline loop',
    '/proc/cpuinfo not-a-file',
    '/proc/version too-large',
  ]);
  assert.deepEqual(
    facts.badDomains.map(({ file }) => file),
    ['/etc/libvirt/qemu/bomb.xml', '/etc/libvirt/qemu/text.xml'],
  );
  assert.deepEqual(
    findings.filter(({ severity }) => severity === 'error'),
    [],
  );
  const name = findings.find(({ rule }) => rule === 'agent-missing')?.message.en ?? '';
  assert.match(name, /"\\u202e<b>\$\(id\)"/);
});

test('the live host: what QEMU may read, and whether the hook is called', () => {
  const root = rootOf({
    'etc/passwd': 'root:x:0:0:\nlibvirt-qemu:x:64055:994:\n',
    'etc/group': 'kvm:x:994:\nextra:x:60001:libvirt-qemu\n',
    'etc/libvirt/qemu.conf': '#user = "root"\nuser = "libvirt-qemu"\ngroup = "nobody-knows"\n',
    'etc/libvirt/hooks/qemu.d/50-revived': '#!/bin/sh\n',
    'fw/code.fd': '',
    'fw/private/code.fd': '',
    'proc/stat': 'btime 1000\n',
    'run/libvirtd.pid': '77\n',
    'proc/77/stat': `77 (lib virtd) S ${'0 '.repeat(18)}500 0\n`,
    [domainFile]: xmlOf({
      firmware: "<loader type='pflash'>/fw/private/code.fd</loader>",
      hostdevs: ['0b:00.0'],
    }),
  });
  // Read as a live host; its owners are ours, so only the bits for others count.
  const live = () => readHostFacts(liveFiles(root));
  chmodSync(root, 0o755);
  assert.deepEqual(live().qemu?.unknownNames, ['nobody-knows']);
  // Images keep the accounts of packages elsewhere, and a directory service knows names that no file has.
  put(root, 'usr/lib/group', 'nobody-knows:x:77:\n');
  assert.deepEqual(live().qemu?.unknownNames, []);
  assert.ok(live().qemu?.ids?.gids.has(77));
  rmSync(join(root, 'usr/lib/group'));
  put(root, 'etc/nsswitch.conf', 'group: files [NOTFOUND=continue] sss\n');
  assert.deepEqual(live().qemu?.unknownNames, []);
  put(root, 'etc/nsswitch.conf', 'group: files [SUCCESS=merge] systemd\n');
  assert.deepEqual(live().qemu?.unknownNames, ['nobody-knows']);
  put(root, 'etc/libvirt/qemu.conf', 'user = "libvirt-qemu"\ngroup = "kvm"\n');
  assert.deepEqual(live().qemu?.ids, { uid: 64055, gids: new Set([994, 60001]) });
  assert.deepEqual(live().files.get('/fw/private/code.fd'), { exists: true, readable: true });
  chmodSync(join(root, 'fw/private'), 0o700);
  assert.deepEqual(live().files.get('/fw/private/code.fd'), { exists: true, readable: false });
  rmSync(join(root, 'fw/private/code.fd'));
  assert.deepEqual(live().files.get('/fw/private/code.fd'), { exists: false, readable: undefined });

  assert.deepEqual(live().hooks, { installed: true, executable: false, late: true });
  chmodSync(join(root, 'etc/libvirt/hooks/qemu.d/50-revived'), 0o755);
  assert.deepEqual(live().hooks, { installed: true, executable: true, late: true });
  // Reloaded since, as `make install` does; a change from before the hook came is none.
  const changed = (ms: number) => readHostFacts(liveFiles(root, undefined, ms)).hooks?.late;
  assert.equal(changed(Date.now() + 60_000), false);
  assert.equal(changed(1_000_000), true);
  put(root, 'proc/stat', 'btime 99999999999\n');
  assert.equal(live().hooks?.late, false);
});

test('files of the kernel: command line, CPU, framebuffers, log', () => {
  const root = rootOf({
    'proc/cmdline': 'quiet  intel_iommu=on\n',
    'proc/version': 'Linux version 6.1.0-18-amd64 (x@y) #1\n',
    'proc/cpuinfo': 'processor\t: 0\nvendor_id\t: GenuineIntel\n',
    'proc/iomem':
      '00000000-ffffffff : PCI Bus\n  00000000-0fffffff : 0000:0b:00.0\n    00000000-008fffff : efifb\n00000000-00000fff : other\n',
    'var/log/kernel.log': "a\nvfio-pci 0000:0b:00.0: BAR 1: can't reserve [mem]\nb\n",
    'etc/libvirt/qemu/autostart/vm.xml': '',
    [domainFile]: xmlOf({ name: 'x' }),
  });
  const facts = examine(root);
  assert.deepEqual(facts.cmdline, ['quiet', 'intel_iommu=on']);
  assert.deepEqual([facts.kernel, facts.cpu], ['6.1.0-18-amd64', 'intel']);
  assert.deepEqual(facts.framebuffers, [{ at: '0000:0b:00.0', holder: 'efifb' }]);
  assert.equal(facts.log.length, 1);
  assert.equal(facts.domains[0]?.autostart, true);
});

test('the locale of a process', () => {
  assert.equal(localeOf({ LANG: 'ja_JP.UTF-8' }), 'ja');
  assert.equal(localeOf({ LANG: 'ja_JP.UTF-8', LC_MESSAGES: 'en_US.UTF-8' }), 'en');
  assert.equal(localeOf({ LC_ALL: 'ja', LC_MESSAGES: 'C' }), 'ja');
  assert.equal(localeOf({ LC_ALL: '', LANG: 'jam' }), 'en');
  assert.equal(localeOf({}), 'en');
});
