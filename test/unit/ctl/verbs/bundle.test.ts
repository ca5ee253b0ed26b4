import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { bundle } from '../../../../daemon/ctl/verbs/bundle.ts';
import { tarOf } from '../../../../daemon/doctor/bundle/tar.ts';
import { examine, reportJson, reportOf } from '../../../../daemon/doctor/doctor.ts';
import { SimKernel } from '../../../sim/kernel.ts';
import { machine } from '../../../sim/machine.ts';
import { desktopSpec } from '../../../sim/presets.ts';
import { xmlOf } from '../../doctor/facts-of.ts';
import { fn } from '../../inventory-of.ts';
import { argsOf, clientOf, hear } from '../recorded.ts';

const folder = mkdtempSync(join(tmpdir(), 'bundle-'));
after(() => rmSync(folder, { recursive: true }));

const put = (root: string, path: string, content: string, mode = 0o644) => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content, { mode });
};

const uuid = '6695eb01-f6a4-8304-79aa-97f2502e193f';
const secrets = `<uuid>${uuid}</uuid><x serial='a'><serial>WD-1234</serial></x><g passwd='geheim'/><m a='aa:bb:cc:dd:ee:0f'/>`;
const domain = (name: string) =>
  xmlOf({
    name,
    os: 'http://microsoft.com/win/11',
    hostdevs: ['05:00.0 rom=/home/alice/r.rom bar=off'],
    more: secrets,
  });

/** A host with findings of every sort, and a user whose name is an element of domains. */
function fill(root: string): void {
  put(root, 'etc/libvirt/qemu/a.xml', domain('alice-win'));
  put(root, 'etc/libvirt/qemu/b.xml', domain('zwin').replaceAll(uuid, `0${uuid.slice(1)}`));
  put(root, 'etc/libvirt/qemu/autostart/a.xml', '');
  put(root, 'etc/libvirt/qemu.conf', '# x\nuser = "bobby"\nsecret = "geheim"\n');
  put(root, 'etc/libvirt/hooks/qemu.d/50-revived', '#!/bin/sh\necho geheim\n');
  put(
    root,
    'etc/passwd',
    'root:x:0:0:Root\nalice:x:1000:1000:Alice Miller:/home/alice:/bin/sh\nfeatures:x:1001:1001:\n',
  );
  put(root, 'etc/group', 'root:x:0:\nkvm:x:36:alice\n');
  put(root, 'etc/hostname', 'tower\n');
  put(root, 'proc/cmdline', 'root=/dev/x quiet\n');
  put(root, 'proc/version', 'Linux version 6.1.0-18-amd64 (builder@tower) gcc\n');
  put(root, 'proc/cpuinfo', 'vendor_id\t: AuthenticAMD\nmicrocode: 1\n');
  put(
    root,
    'var/log/kernel.log',
    `Jan 1 00:00:00 tower kernel: usb 1-1: SerialNumber: ABC 99\nJan 1 00:00:00 tower kernel: aa:bb:cc:dd:ee:0f ${uuid}\n`,
  );
}

const judged = (root: string) => JSON.stringify(reportJson(reportOf(examine(root))));

test('a bundle gives the same report as the tree, and nobody`s names', async () => {
  const kernel = SimKernel.create(machine(desktopSpec));
  try {
    fill(kernel.root);
    const file = join(folder, 'b.tar.gz');
    const heard = hear();
    const run = (json: boolean) => {
      const { out, stdout } = json ? hear({ json: true }) : heard;
      const operands = [json ? `${file}.2` : file];
      return bundle
        .run(clientOf({}), argsOf(operands, { root: kernel.root }), out)
        .then(() => stdout());
    };
    assert.match(
      await run(false),
      /etc\/libvirt\/qemu\.conf[\s\S]*Replaced: 2 UUIDs, 1 MACs, 2 serial/,
    );
    assert.equal(statSync(file).mode & 0o777, 0o600);
    execFileSync('tar', ['-xzf', file, '-C', folder]);
    const unpacked = join(folder, 'revived-bundle');
    const before = judged(kernel.root);
    for (const rule of ['claimed-twice', 'rom-bar-off', 'function-left-behind', 'hook-inactive']) {
      assert.ok(before.includes(`"${rule}"`), rule);
    }
    assert.equal(
      judged(unpacked),
      before.replaceAll('alice', 'user1').replaceAll('bobby', 'user2'),
    );
    const all = execFileSync('tar', ['-xzOf', file], { encoding: 'latin1' });
    const names = execFileSync('tar', ['-tzvf', file], { encoding: 'latin1' });
    const told = /alice|Alice|bobby|geheim|tower|WD-1234|ABC 99|aa:bb:cc|6695eb01|0695eb01|builder/;
    assert.doesNotMatch(all + names, told);
    // The same thing has the same stand-in in every file.
    const log = readFileSync(join(unpacked, 'var/log/kernel.log'), 'utf8');
    assert.match(log, /host kernel: 52:54:00:00:00:01 00000000-0000-4000-8000-000000000001\n$/);
    const { masked } = JSON.parse(await run(true));
    assert.deepEqual(masked, { uuid: 2, mac: 1, serial: 2, user: 2, host: 1 });
    await assert.rejects(run(false), { code: 'refused' });
  } finally {
    kernel.dispose();
  }
});

test('of a copy without links the bridges are known from their config space, of which the head is enough', async () => {
  const root = join(folder, 'flat');
  const config = Buffer.alloc(256).fill('S');
  config.set([0, 0x0b, 0x0b], 0x18);
  const bridge = 'sys/bus/pci/devices/0000:00:01.0';
  for (const [name, text] of Object.entries({
    vendor: '0x1022',
    device: '0x1483',
    class: '0x060400',
  })) {
    put(root, `${bridge}/${name}`, text);
  }
  put(root, `${bridge}/config`, config.toString('latin1'));
  put(root, 'sys/bus/pci/devices/0000:0b:00.0/vendor', '0x1002');
  const file = join(folder, 'flat.tar.gz');
  assert.equal(await bundle.run(clientOf({}), argsOf([file], { root }), hear().out), 0);
  const to = mkdtempSync(join(folder, 'to-'));
  execFileSync('tar', ['-xzf', file, '-C', to]);
  const { functions } = examine(join(to, 'revived-bundle')).inventory;
  assert.deepEqual(functions.get(fn('0000:0b:00.0'))?.ports, ['0000:00:01.0']);
  assert.equal(statSync(join(to, 'revived-bundle', bridge, 'config')).size, 64);
});

test('a tar that other programs read: long names, empty folders, links; what does not fit is left out', () => {
  const long = `${'d'.repeat(120)}/${'n'.repeat(90)}`;
  const content = Buffer.from('x'.repeat(513));
  const file = join(folder, 'x.tar');
  writeFileSync(
    file,
    tarOf([
      { kind: 'directory', path: 'empty/' },
      { kind: 'link', path: 'l', target: 'nowhere' },
      { kind: 'file', path: long, mode: 0o755, content },
      { kind: 'file', path: 'n'.repeat(300), mode: 0o644, content },
    ]),
  );
  const lines = execFileSync('tar', ['-tvf', file], { encoding: 'utf8' }).trim().split('\n');
  assert.equal(lines.length, 3);
  assert.match(lines[0] ?? '', /^drwxr-xr-x .* empty\/$/);
  assert.match(lines[1] ?? '', /l -> nowhere$/);
  assert.match(lines[2] ?? '', new RegExp(`^-rwxr-xr-x .* 513 .* ${long}$`));
});
