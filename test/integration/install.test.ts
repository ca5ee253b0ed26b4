/** `make install` and `make uninstall` of the built tree, and the system's own judges of what they put there. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DOMParser, onErrorStopParsing } from '@xmldom/xmldom';
import { parseCardAddress } from '../../daemon/pci/address.ts';
import { openLeases } from '../../daemon/pipeline/lease.ts';

const bounded = { timeout: 60_000 };
const top = fileURLToPath(new URL('../../..', import.meta.url));
/** All that a machine needs for an installation, besides a shell. */
const tools = ['make', 'install', 'ln', 'rm', 'rmdir', 'sed', 'sh'];

const debian = lstatSync('/etc/debian_version', { throwIfNoEntry: false }) !== undefined;
const zsh = debian ? 'vendor-completions' : 'site-functions';
const installed = [
  '100755 etc/libvirt/hooks/qemu.d/50-revived',
  '120777 usr/bin/revivectl',
  '100755 usr/lib/revived/revivectl.mjs',
  '100644 usr/lib/revived/revived.mjs',
  '100644 usr/lib/systemd/system/revived.service',
  '100644 usr/lib/tmpfiles.d/revived.conf',
  '100644 usr/share/bash-completion/completions/revivectl',
  '100644 usr/share/dbus-1/interfaces/org.revived1.Card.xml',
  '100644 usr/share/dbus-1/interfaces/org.revived1.Domain.xml',
  '100644 usr/share/dbus-1/interfaces/org.revived1.Job.xml',
  '100644 usr/share/dbus-1/interfaces/org.revived1.Manager.xml',
  '100644 usr/share/dbus-1/system-services/org.revived.service',
  '100644 usr/share/dbus-1/system.d/org.revived.conf',
  '100644 usr/share/fish/vendor_completions.d/revivectl.fish',
  '100644 usr/share/man/man1/revivectl.1',
  '100644 usr/share/man/man8/revived.8',
  '100644 usr/share/polkit-1/actions/org.revived1.policy',
  `100644 usr/share/zsh/${zsh}/_revivectl`,
];

/** The tests need some node, not one in /usr/bin. */
const hostNode = `HOST_NODE=${process.execPath}`;

let work: string;
let tree: string;
let dest: string;

/** A copy as of a release: what was built, without the sources, the packages and git. */
before(() => {
  work = mkdtempSync(join(tmpdir(), 'revived-install-'));
  tree = join(work, 'tree');
  dest = join(work, 'dest');
  for (const name of ['Makefile', 'package.json', 'dist', 'hooks', 'units']) {
    cpSync(join(top, name), join(tree, name), { recursive: true });
  }
  mkdirSync(join(work, 'bin'));
  for (const tool of tools) {
    symlinkSync(`/usr/bin/${tool}`, join(work, 'bin', tool));
  }
  make('install', `DESTDIR=${dest}`, hostNode);
});
after(() => rmSync(work, { recursive: true, force: true }));

function make(...args: readonly string[]): string {
  // A umask that would hide everything from everybody, as some administrators have it.
  const script = 'umask 077 && exec make --no-print-directory "$@"';
  return execFileSync('/bin/sh', ['-c', script, 'sh', ...args], {
    cwd: tree,
    env: { PATH: join(work, 'bin') },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** `MODE PATH` of each file and link below a directory. */
function listed(root: string): readonly string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((path) => ({ path, stat: lstatSync(join(root, path)) }))
    .filter(({ stat }) => !stat.isDirectory())
    .sort((a, b) => (a.path < b.path ? -1 : 1))
    .map(({ path, stat }) => `${stat.mode.toString(8)} ${path}`);
}

function text(path: string): string {
  return readFileSync(join(dest, path), 'utf8');
}

/** Runs a program; its output together, and its exit status. */
function said(program: string, ...args: readonly string[]) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (error !== undefined) throw error;
  return { status, output: `${stdout}${stderr}` };
}

function xml(path: string) {
  return new DOMParser({ onError: onErrorStopParsing }).parseFromString(text(path), 'text/xml');
}

test('it puts there what it should, with the right modes', () => {
  assert.deepEqual(listed(dest), installed);
  assert.equal(readlinkSync(join(dest, 'usr/bin/revivectl')), '/usr/lib/revived/revivectl.mjs');
});

test('everybody can enter its directories', () => {
  const closed = readdirSync(dest, { recursive: true, encoding: 'utf8' })
    .map((path) => ({ path, stat: lstatSync(join(dest, path)) }))
    .filter(({ stat }) => stat.isDirectory() && (stat.mode & 0o777) !== 0o755);
  assert.deepEqual(closed, []);
});

test('no place-holder is left, and nothing else is changed', () => {
  for (const path of installed.map((line) => line.slice(7))) {
    if (path !== 'usr/bin/revivectl') assert.doesNotMatch(text(path), /@(libdir|node)@/, path);
  }
  const same = (path: string, source: string) =>
    assert.equal(text(path), readFileSync(join(top, source), 'utf8'), path);
  same('usr/lib/revived/revived.mjs', 'dist/revived.mjs');
  same('etc/libvirt/hooks/qemu.d/50-revived', 'hooks/50-revived');
  const [shebang, ...rest] = text('usr/lib/revived/revivectl.mjs').split('\n');
  assert.equal(shebang, `#!${process.execPath}`);
  const built = readFileSync(join(top, 'dist/revivectl.mjs'), 'utf8').split('\n');
  assert.deepEqual(rest, built.slice(1));
});

test('what is installed runs, the daemon without a compiler and WebAssembly', bounded, () => {
  const version = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8')).version;
  const { output } = said(join(dest, 'usr/lib/revived/revivectl.mjs'), 'version');
  assert.match(output, new RegExp(`^revivectl ${version}\n`));
  const start = /^ExecStart=(.*)$/m.exec(text('usr/lib/systemd/system/revived.service'))?.[1] ?? '';
  assert.equal(
    start,
    `${process.execPath} --jitless --no-expose-wasm --max-semi-space-size=4 /usr/lib/revived/revived.mjs`,
  );
  const [node = '', ...flags] = start.split(' ').slice(0, -1);
  const daemon = said(node, ...flags, join(dest, 'usr/lib/revived/revived.mjs'), '--version');
  assert.deepEqual(daemon, { status: 0, output: `${version}\n` });
});

test('systemd accepts the unit and calls it protected', bounded, () => {
  const unit = join(dest, 'usr/lib/systemd/system/revived.service');
  const verify = said('systemd-analyze', 'verify', '--man=no', '--recursive-errors=no', unit);
  assert.deepEqual(verify, { status: 0, output: '' });
  const security = ['security', '--no-pager', '--offline=true', '--threshold=30', unit];
  const { status, output } = said('systemd-analyze', ...security);
  assert.equal(status, 0, output);
});

test('systemd-tmpfiles makes a spool that only root can enter', bounded, () => {
  const conf = join(dest, 'usr/lib/tmpfiles.d/revived.conf');
  const root = mkdtempSync(join(work, 'root-'));
  const { status, output } = said('systemd-tmpfiles', '--create', `--root=${root}`, conf);
  assert.equal(status, 0, output);
  assert.equal(lstatSync(join(root, 'run/revived/hook')).mode & 0o777, 0o700);
});

test('D-Bus starts the unit under the name that root may own', () => {
  const service = text('usr/share/dbus-1/system-services/org.revived.service');
  assert.match(service, /^Name=org\.revived$/m);
  assert.match(service, /^SystemdService=revived\.service$/m);
  const own = xml('usr/share/dbus-1/system.d/org.revived.conf').getElementsByTagName('policy');
  const owners = [...own].filter((policy) => /own="org\.revived"/.test(String(policy)));
  assert.deepEqual(
    owners.map((policy) => policy.getAttribute('user')),
    ['root'],
  );
});

test('the interface descriptions are well-formed and describe the interface of their name', () => {
  for (const name of ['Manager', 'Card', 'Domain', 'Job']) {
    const path = `usr/share/dbus-1/interfaces/org.revived1.${name}.xml`;
    const interfaces = [...xml(path).getElementsByTagName('interface')];
    assert.deepEqual(
      interfaces.map((one) => one.getAttribute('name')),
      [`org.revived1.${name}`],
    );
  }
});

test('each polkit action says everything, in English and in Japanese', () => {
  const policy = xml('usr/share/polkit-1/actions/org.revived1.policy');
  const actions = [...policy.getElementsByTagName('action')];
  assert.equal(actions.length, 4);
  for (const action of actions) {
    const id = action.getAttribute('id') ?? '';
    for (const tag of ['description', 'message']) {
      const texts = [...action.getElementsByTagName(tag)];
      assert.deepEqual(
        texts.map((one) => one.getAttribute('xml:lang')),
        [null, 'ja'],
        id,
      );
      assert.ok(texts.every((one) => (one.textContent ?? '').trim() !== ''));
    }
    // Never without an administrator's password, unless a rule of the host's says so.
    for (const tag of ['allow_any', 'allow_inactive', 'allow_active']) {
      const [verdict] = [...action.getElementsByTagName(tag)];
      assert.match(verdict?.textContent ?? '', /^auth_admin(_keep)?$/, `${id} ${tag}`);
    }
  }
});

test('man reads the manual pages without a complaint', bounded, () => {
  for (const page of ['man1/revivectl.1', 'man8/revived.8']) {
    const file = join(dest, 'usr/share/man', page);
    const { status, stderr } = spawnSync('man', ['--local-file', '--warnings', file], {
      encoding: 'utf8',
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8', MANWIDTH: '80' },
    });
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
  }
});

test('a second installation changes nothing', () => {
  const contents = () =>
    listed(dest).map((line) => (line.startsWith('100') ? text(line.slice(7)) : line));
  const first = contents();
  make('install', `DESTDIR=${dest}`, hostNode);
  assert.deepEqual(listed(dest), installed);
  assert.deepEqual(contents(), first);
});

test('uninstall takes away exactly that, and leaves what is not ours', () => {
  const other = join(work, 'other dest');
  const foreign = ['etc/libvirt/hooks/qemu.d/10-mine', 'etc/revived/revived.yaml'];
  make('install', `DESTDIR=${other}`);
  mkdirSync(join(other, 'etc/revived'));
  for (const path of foreign) writeFileSync(join(other, path), 'mine\n');
  make('uninstall', `DESTDIR=${other}`);
  assert.deepEqual(
    listed(other).map((line) => line.slice(7)),
    foreign,
  );
  assert.equal(lstatSync(join(other, 'usr/lib/revived'), { throwIfNoEntry: false }), undefined);
});

test('another PREFIX keeps what the bus and polkit read in their fixed places', () => {
  const local = join(work, 'local');
  make('install', `DESTDIR=${local}`, 'PREFIX=/usr/local', 'SYSCONFDIR=/opt/etc');
  const paths = listed(local).map((line) => line.slice(7));
  assert.equal(paths.length, installed.length);
  for (const path of [
    'opt/etc/libvirt/hooks/qemu.d/50-revived',
    'opt/etc/dbus-1/system.d/org.revived.conf',
    'usr/share/polkit-1/actions/org.revived1.policy',
    'usr/local/bin/revivectl',
    'usr/local/lib/systemd/system/revived.service',
  ]) {
    assert.ok(paths.includes(path), path);
  }
  const unit = readFileSync(join(local, 'usr/local/lib/systemd/system/revived.service'), 'utf8');
  assert.match(unit, /^ExecStart=\/usr\/bin\/node .* \/usr\/local\/lib\/revived\/revived\.mjs$/m);
  make('uninstall', `DESTDIR=${local}`, 'PREFIX=/usr/local', 'SYSCONFDIR=/opt/etc');
  assert.deepEqual(listed(local), []);
});

/** A host of its own whose systemd runs: its /run, what is installed below `root`, and what systemd was told. */
function openHost(name: string) {
  const dir = join(work, name);
  const root = join(dir, 'root');
  const run = join(dir, 'run');
  const programs = join(dir, 'bin');
  for (const made of [root, join(run, 'systemd/system'), programs]) {
    mkdirSync(made, { recursive: true });
  }
  writeFileSync(join(run, 'told'), '');
  for (const program of ['systemctl', 'systemd-tmpfiles', 'busctl']) {
    const script = `#!/bin/sh\necho ${program} "$@" >>/run/told\n`;
    writeFileSync(join(programs, program), script, { mode: 0o755 });
  }
  const where = [`PREFIX=${root}`, `SYSCONFDIR=${root}/etc`, `POLKITDIR=${root}/polkit`];
  const script = 'mount --bind "$1" /run && shift && exec env -i "$@"';
  const inside = ['--mount', 'sh', '-c', script, 'sh', run];
  const path = `PATH=${programs}:${join(work, 'bin')}`;
  return {
    root,
    run,
    told: () => readFileSync(join(run, 'told'), 'utf8').split('\n').slice(0, -1),
    make(...args: readonly string[]) {
      const words = [...inside, path, 'make', '-C', tree, ...where, ...args];
      const { status, stderr, error } = spawnSync('unshare', words, { encoding: 'utf8' });
      if (error !== undefined) throw error;
      return { status, stderr };
    },
  };
}

test('without the node that the unit would name nothing is installed', bounded, () => {
  const host = openHost('no-node');
  const refused = host.make('install', `HOST_NODE=${work}`);
  assert.match(refused.stderr, /is no program.*make install HOST_NODE=\/path\/to\/node/s);
  assert.deepEqual({ files: listed(host.root), told: host.told() }, { files: [], told: [] });
  assert.equal(host.make('install', hostNode).status, 0);
  assert.equal(listed(host.root).length, installed.length);
  assert.ok(host.told().includes('systemctl restart revived.service'));
});

test(
  'uninstall refuses while a card is away, and takes /run/revived too once all are home',
  bounded,
  async () => {
    const host = openHost('lent');
    assert.equal(host.make('install', hostNode).status, 0);
    mkdirSync(join(host.run, 'revived/hook'), { recursive: true });
    const path = join(host.run, 'revived/leases.json');
    const leases = await openLeases(path, assert.fail);
    const card = parseCardAddress('0b:00');
    assert.ok(card !== undefined);
    const whose = {
      domain: 'win11',
      uuid: '',
      since: 1,
      state: 'lent',
      boundBy: 'revived',
    } as const;
    const home = { functions: [], ports: [], power: [] };
    await leases.set({ card, ...whose, home, reason: '' });

    const before = { files: listed(host.root), told: host.told() };
    const refused = host.make('uninstall');
    assert.equal(refused.status, 2, 'as make says that it failed');
    assert.match(refused.stderr, /away from home.*shut the guest down.*revivectl return.*FORCE=1/s);
    assert.deepEqual({ files: listed(host.root), told: host.told() }, before);

    assert.equal(host.make('uninstall', 'FORCE=1').status, 0);
    assert.deepEqual(listed(host.root), []);
    assert.ok(existsSync(path), 'whoever installs it again finds the way home');

    assert.equal(host.make('install', hostNode).status, 0);
    await leases.drop(card);
    assert.equal(host.make('uninstall').status, 0);
    assert.deepEqual(listed(host.root), []);
    assert.ok(host.told().includes('systemctl disable --now revived.service'));
    assert.ok(!existsSync(join(host.run, 'revived')));
  },
);

test('without a build it says what to do', () => {
  rmSync(join(tree, 'dist'), { recursive: true });
  try {
    assert.throws(() => make('install', `DESTDIR=${join(work, 'nothing')}`), /make build/);
  } finally {
    cpSync(join(top, 'dist'), join(tree, 'dist'), { recursive: true });
  }
});
