/** The client against a real libvirtd: its test driver and its qemu driver, whole, killed and stopped. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { fixFindings, undoFix } from '../../daemon/ctl/fix.ts';
import { createFixHost } from '../../daemon/ctl/fix-host.ts';
import { waitFor } from '../../daemon/deadline.ts';
import { reportOf } from '../../daemon/doctor/doctor.ts';
import { readDomainFacts } from '../../daemon/doctor/domain-facts.ts';
import { readDomain } from '../../daemon/libvirt/domain-xml.ts';
import { LibvirtError } from '../../daemon/libvirt/protocol.ts';
import { hear } from '../unit/ctl/recorded.ts';
import { factsOf } from '../unit/doctor/facts-of.ts';
import { bootSector } from './boot-sector.ts';
import { startTap } from './libvirt-tap.ts';
import { watchLibvirt, words } from './libvirt-watch.ts';
import { type Libvirtd, startLibvirtd } from './libvirtd.ts';

/** Nothing here may wait longer. */
const bounded = { timeout: 30_000 };
const testUri = 'test:///default';
const qemuUri = 'qemu:///system';
const sampleUuid = '6695eb01-f6a4-8304-79aa-97f2502e193f';

let libvirtd: Libvirtd;
before(async () => {
  libvirtd = await startLibvirtd();
});
after(() => libvirtd?.stop());

const attribute = (text: string) => text.replaceAll(/[&<]/g, (c) => (c === '&' ? '&amp;' : '&lt;'));

/** A domain for the test driver. */
function plain(name: string, inside = ''): string {
  return `<domain type='test'><name>${attribute(name)}</name><memory>8192</memory><os><type>hvm</type></os>${inside}</domain>`;
}

/** A guest without disk, with an agent channel: it boots into SeaBIOS and stays there. */
function diskless(name: string): string {
  return `<domain type='qemu'><name>${name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/><memballoon model='none'/>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>`;
}

test('the test driver: snapshot, state, XML, events', bounded, async (t) => {
  const { client, synced, events, until } = watchLibvirt(t, libvirtd.socket, testUri);
  const snapshot = await synced();
  assert.match(snapshot.version, /^\d+\.\d+\.\d+$/);
  assert.deepEqual(snapshot.domains, [
    { name: 'test', uuid: sampleUuid, id: 1, state: 'running', reason: 'unknown' },
  ]);
  assert.deepEqual(await client.lookup('test'), { name: 'test', uuid: sampleUuid, id: 1 });
  assert.deepEqual(await client.lookup(sampleUuid.toUpperCase()), await client.lookup('test'));
  const config = readDomain(await client.domainXml(sampleUuid));
  assert.deepEqual([config.name, config.uuid, config.id], ['test', sampleUuid, 1]);

  await libvirtd.virsh(testUri, 'destroy', 'test');
  await libvirtd.virsh(testUri, 'start', 'test');
  await until(() => events.length === 3);
  assert.deepEqual(words(events), ['synced', 'stopped/destroyed', 'started/booted']);
  await client.destroy(sampleUuid);
  assert.deepEqual(await client.domainState(sampleUuid), { state: 'shutoff', reason: 'destroyed' });
  await client.create(sampleUuid);
  assert.deepEqual(await client.domainState(sampleUuid), { state: 'running', reason: 'booted' });
});

test('doctor --fix: the definition is validated, replaced, and put back', bounded, async (t) => {
  const state = await mkdtemp(join(tmpdir(), 'revived-fix-'));
  t.after(() => rm(state, { recursive: true }));
  const { client, synced } = watchLibvirt(t, libvirtd.socket, qemuUri);
  await synced();
  const hostdev = (at: number, place: string) =>
    `<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='0xfb' slot='0' function='${at}'/></source>${place}</hostdev>`;
  const split = [0, 1].map((at) =>
    hostdev(at, `<address type='pci' domain='0' bus='0' slot='${at + 9}' function='0'/>`),
  );
  const xml = diskless('mended').replace('</devices>', `${split.join('')}</devices>`);
  const { uuid } = await client.defineXml(xml);
  t.after(() => libvirtd.virsh(qemuUri, 'undefine', uuid));
  const before = await client.domainXml(uuid, { inactive: true, secure: true });
  const host = createFixHost({ state, libvirtSockets: [libvirtd.socket] });
  const facts = { ...factsOf({}), domains: [readDomainFacts(before, false)] };
  const rule = 'functions-split';
  const findings = reportOf(facts).findings;
  const out = () => hear({ yes: true });
  const fixed = out();
  assert.equal(await fixFindings(host, rule, findings, fixed.out), 0);
  assert.equal(fixed.stderr(), '');
  const mended = await client.domainXml(uuid, { inactive: true, secure: true });
  assert.match(mended, /slot='0x09' function='0x0' multifunction='on'/);
  assert.match(mended, /slot='0x09' function='0x1'/);
  assert.deepEqual(
    reportOf({ ...facts, domains: [readDomainFacts(mended, false)] }).findings.filter(
      (one) => one.rule === rule,
    ),
    [],
  );
  assert.equal(await undoFix(host, 'mended', out().out), 0);
  assert.equal(await client.domainXml(uuid, { inactive: true, secure: true }), before);
  const unknown = mended.replace('<features>', '<no-such-thing/><features>');
  await assert.rejects(client.defineXml(unknown, { validate: true }), LibvirtError);
  await client.defineXml(unknown);
});

test('domain names are only text', bounded, async (t) => {
  const { client, synced } = watchLibvirt(t, libvirtd.socket, testUri);
  await synced();
  for (const name of ['two words', `"both" 'quotes'`, '$(touch x)', '`id`', '-c', 'ä&<>;|']) {
    const made = await client.defineXml(plain(name));
    assert.equal(made.name, name);
    assert.deepEqual(await client.lookup(name), made);
    assert.ok((await client.list()).some((one) => one.uuid === made.uuid && one.name === name));
    assert.equal(readDomain(await client.domainXml(made.uuid)).name, name);
    await libvirtd.virsh(testUri, 'undefine', made.uuid);
  }
  for (const name of ['nosuch', 'a\nb', '../../etc/passwd', '$(reboot)', "'; reboot", '', ' ']) {
    await assert.rejects(client.lookup(name), { code: 'not-found' }, JSON.stringify(name));
  }
  for (const name of ['a/b', 'a\nb']) {
    await assert.rejects(client.defineXml(plain(name)), { code: 'invalid-argument' });
  }
  await assert.rejects(client.lookup('test\0'), { code: 'invalid-argument' });
  await assert.rejects(client.lookup('0'.repeat(5_000_000)), { code: 'invalid-argument' });
  await assert.rejects(client.lookup('11111111-2222-3333-4444-555555555555'), {
    code: 'not-found',
  });
  assert.equal(client.state().state, 'connected');
});

test('XML that libvirt refuses is a clear error and harms nothing', bounded, async (t) => {
  const { client, synced, states } = watchLibvirt(t, libvirtd.socket, testUri);
  await synced();
  const bomb = '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>';
  const filler = `<description>${'x'.repeat(1_000_000)}</description>`;
  for (const xml of ['', '<domain>', `${bomb}<domain>&b;</domain>`, 'x'.repeat(1_000_000)]) {
    await assert.rejects(client.defineXml(xml), LibvirtError);
  }
  const large = await client.defineXml(plain('large', filler));
  assert.ok((await client.domainXml(large.uuid)).length > 1_000_000);
  await libvirtd.virsh(testUri, 'undefine', 'large');
  await assert.rejects(client.defineXml('x'.repeat(5_000_000)), { code: 'invalid-argument' });
  const again = { code: 'libvirt', message: new RegExp(`${sampleUuid}.*already running`) };
  await assert.rejects(client.create(sampleUuid), again);
  assert.deepEqual(
    states.map((one) => one.state),
    ['connecting', 'connected'],
  );
});

test('many calls at once are all answered', bounded, async (t) => {
  const { client, synced } = watchLibvirt(t, libvirtd.socket, testUri);
  await synced();
  const states = await Promise.all(
    Array.from({ length: 200 }, () => client.domainState(sampleUuid)),
  );
  assert.ok(states.every((one) => one.state === 'running'));
});

test('the read-only socket lists and refuses', bounded, async (t) => {
  const { client, synced } = watchLibvirt(t, `${libvirtd.socket}-ro`, testUri);
  assert.equal((await synced()).domains.length, 1);
  await assert.rejects(client.destroy(sampleUuid), { code: 'refused', number: 29 });
});

test('the life of a guest under qemu', bounded, async (t) => {
  const { client, synced, events, until } = watchLibvirt(t, libvirtd.socket, qemuUri);
  assert.deepEqual((await synced()).domains, []);
  const heard = (...wanted: readonly string[]) =>
    until(() => wanted.every((one) => words(events, 'life').includes(one)));

  const { uuid } = await client.defineXml(diskless('life'));
  await heard('defined/added');
  await client.setMetadata(uuid, 'urn:revived', 'revived', '<r note="1"/>');
  const stored = await client.domainXml(uuid, { inactive: true, secure: true });
  assert.match(stored, /<revived:r xmlns:revived="urn:revived" note="1"\/>/);

  await client.create(uuid);
  await heard('resumed/unpaused', 'started/booted', 'agent/disconnected');
  assert.deepEqual(await client.domainState(uuid), { state: 'running', reason: 'booted' });
  const live = readDomain(await client.domainXml(uuid));
  assert.equal(live.emulator, '/usr/bin/qemu-system-x86_64');
  assert.equal(typeof live.id, 'number');
  await assert.rejects(client.create(uuid), { number: 55 });

  const ping = '{"execute":"guest-ping"}';
  await assert.rejects(client.agentCommand(uuid, ping, 5), { number: 86, message: /agent/ });
  const device = join(libvirtd.etc, 'rng.xml');
  await writeFile(
    device,
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
  );
  await libvirtd.virsh(qemuUri, 'attach-device', 'life', device);
  await heard('device-added/rng0');
  await libvirtd.virsh(qemuUri, 'reset', 'life');
  await heard('reboot');
  await libvirtd.virsh(qemuUri, 'suspend', 'life');
  await heard('suspended/paused');
  await libvirtd.virsh(qemuUri, 'resume', 'life');
  assert.equal(await client.isPersistent(uuid), true);
  await assert.rejects(client.shutdown(uuid, 'agent'), { number: 86 });
  await client.shutdown(uuid, 'acpi');

  await client.destroy(uuid);
  await heard('shutdown/host', 'stopped/destroyed');
  await assert.rejects(client.destroy(uuid), { number: 55 });
  await libvirtd.virsh(qemuUri, 'undefine', 'life');
  await heard('undefined/removed');
  await assert.rejects(client.domainXml(uuid), { code: 'not-found' });
  const order = words(events, 'life').filter(
    (one) => !/^(reboot|agent|resumed|defined|ending)/.test(one),
  );
  assert.deepEqual(order, [
    ...['synced', 'started/booted', 'device-added/rng0', 'suspended/paused'],
    ...['shutdown/host', 'stopped/destroyed', 'undefined/removed'],
  ]);
});

test('a reboot that is to end in a stop is told from a shutdown', bounded, async (t) => {
  const { client, synced, events } = watchLibvirt(t, libvirtd.socket, qemuUri);
  await synced();
  for (const name of ['reboots', 'powersOff'] as const) {
    const disk = join(libvirtd.etc, `${name}.img`);
    await writeFile(disk, bootSector(name));
    const xml = diskless(name).replace(
      '<controller',
      `<disk type='file'><source file='${disk}'/><target dev='hda'/></disk><controller`,
    );
    const { uuid } = await client.defineXml(xml);
    t.after(() => libvirtd.virsh(qemuUri, 'undefine', uuid));
    assert.equal(await client.isPersistent(uuid), true);
    await assert.rejects(client.setRebootAction(uuid, 'destroy'), { number: 55 });
    await client.create(uuid);
    await client.setRebootAction(uuid, 'destroy');
    assert.match(await client.domainXml(uuid), /<on_reboot>destroy</);
    assert.doesNotMatch(await client.domainXml(uuid, { inactive: true }), /<on_reboot>destroy</);
    const stopped = () => words(events, name).includes('stopped/shutdown');
    const press = async () => {
      // It may be gone by now; a key that comes before the BIOS listens is lost.
      await libvirtd.virsh(qemuUri, 'send-key', uuid, 'KEY_A').catch(() => undefined);
      return stopped() || undefined;
    };
    assert.equal(await waitFor(press, 20_000, 500), true);
  }
  // The second word is for the signal by which libvirt then ends qemu.
  const firstEnding = (name: string) => words(events, name).find((one) => one.startsWith('ending'));
  assert.equal(firstEnding('reboots'), 'ending/guest-reset');
  assert.equal(firstEnding('powersOff'), 'ending/guest-shutdown');
});

test(
  'libvirtd is killed and started anew: register first, list afterwards, state in step',
  bounded,
  async (t) => {
    const tap = await startTap(join(libvirtd.etc, 'tap-sock'), libvirtd.socket);
    t.after(tap.close);
    const { client, synced, events, until, states } = watchLibvirt(t, tap.path, qemuUri);
    await synced();
    const { uuid } = await client.defineXml(diskless('survivor'));
    await client.create(uuid);
    await until(() => words(events, 'survivor').includes('started/booted'));

    let heard = events.length;
    await libvirtd.kill('SIGKILL');
    await until(() => client.state().state !== 'connected');
    await assert.rejects(client.domainState(uuid), { code: 'libvirt' });
    await libvirtd.start();
    const again = await synced(heard);
    const [survivor] = again.domains;
    assert.deepEqual([survivor?.uuid, survivor?.state], [uuid, 'running']);

    // It dies while nobody looks: no event ever tells (facts/libvirt.md 1.4), only the list.
    heard = events.length;
    await libvirtd.kill('SIGTERM');
    await libvirtd.endQemu();
    await libvirtd.start();
    const last = await synced(heard);
    assert.deepEqual(
      last.domains.map((one) => [one.uuid, one.id, one.state]),
      [[uuid, null, 'shutoff']],
    );
    assert.equal(words(events.slice(heard), 'survivor').includes('stopped/failed'), false);
    await libvirtd.virsh(qemuUri, 'undefine', 'survivor');
    await until(() => words(events, 'survivor').includes('undefined/removed'));

    const whole = tap.calls.filter((calls) => calls.includes(273));
    assert.ok(whole.length >= 3);
    for (const calls of whole) {
      assert.deepEqual(calls.slice(0, 11), [66, 1, 157, ...Array(6).fill(316), 4, 273]);
    }
    assert.equal(states.filter((one) => one.state === 'connected').length, 3);
  },
);

test(
  'a libvirtd that hangs: calls end in time, it is noticed, and found again',
  bounded,
  async (t) => {
    const timings = { ping: 150, call: 300 };
    const { client, synced, events, until, lines } = watchLibvirt(
      t,
      libvirtd.socket,
      testUri,
      timings,
    );
    await synced();
    t.after(() => libvirtd.kill('SIGCONT'));
    await libvirtd.kill('SIGSTOP');
    const began = performance.now();
    await assert.rejects(client.domainState(sampleUuid), { code: 'timed-out' });
    await until(() => client.state().state === 'connecting');
    assert.ok(performance.now() - began < 3000);
    assert.match(lines.join(''), /no sign of life/);
    const heard = events.length;
    await libvirtd.kill('SIGCONT');
    await synced(heard);
    assert.equal((await client.domainState(sampleUuid)).state, 'running');
  },
);

test("libvirt's own authentication, and a hook that holds a domain", bounded, async (t) => {
  // With the default (polkit) root is let in by AUTH_LIST alone; no system bus is needed.
  const hooks = { qemu: '#!/bin/sh\n[ "$2" != prepare ] || read -r _ </etc/libvirt/gate\n' };
  const own = await startLibvirtd({ auth: 'default', hooks });
  t.after(own.stop);
  const gate = join(own.etc, 'gate');
  await promisify(execFile)('mkfifo', [gate]);
  const first = watchLibvirt(t, own.socket, qemuUri);
  await first.synced();
  const free = await first.client.defineXml(diskless('free'));
  const held = await first.client.defineXml(diskless('held'));
  const started = first.client.create(held.uuid);
  // Opens once the hook reads: from here on libvirt holds the domain locked (facts/libvirt.md 1.5).
  const release = await open(gate, 'w');

  const second = watchLibvirt(t, own.socket, qemuUri, { hold: 50 });
  await second.until(() => second.client.state().state === 'connected');
  assert.deepEqual(await second.client.domainState(free.uuid), {
    ...{ state: 'shutoff', reason: 'unknown' },
  });
  await own.virsh(qemuUri, 'undefine', 'free');
  await second.until(() => words(second.events).includes('undefined/removed'));
  assert.deepEqual(words(second.events), ['undefined/removed'], 'no snapshot while the hook runs');

  await release.write('\n');
  await release.close();
  await started;
  // The snapshot may catch it while it starts; then the events after it say the rest.
  const { domains } = await second.synced();
  assert.deepEqual(
    domains.map((one) => one.uuid),
    [held.uuid],
  );
  const later = () =>
    words(second.events.slice(second.events.findIndex((one) => one.kind === 'synced')));
  await second.until(() => domains[0]?.state === 'running' || later().includes('started/booted'));
});
