/** doctor --fix and --undo, over a socket that answers like libvirtd; the real one is asked in test/integration. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { fixFindings, undoFix } from '../../../daemon/ctl/fix.ts';
import { createFixHost, type FixHost } from '../../../daemon/ctl/fix-host.ts';
import { reportOf } from '../../../daemon/doctor/doctor.ts';
import type { Finding } from '../../../daemon/doctor/finding.ts';
import { XdrReader } from '../../../daemon/libvirt/xdr.ts';
import { type FactsText, factsOf, xmlOf } from '../doctor/facts-of.ts';
import { hook, passes, polaris, windows } from '../doctor/rule-case.ts';
import { fault, healthyScript, type Peer, reply, sampleUuid, startPeer } from '../libvirt/peer.ts';
import { hear, type Situation } from './recorded.ts';

const folder = mkdtempSync(join(tmpdir(), 'fix-ctl-'));
const conf = join(folder, 'qemu.conf');
const [vm = {}] = windows();
const original = xmlOf(vm).replace('<devices>', "<devices><graphics type='vnc' passwd='secret'/>");
/** What libvirt has stored, and what each define said with its flags. */
let stored = original;
let defined: (readonly [string, number])[] = [];
/** Done when libvirt is asked for the XML. */
let onXml = () => {};
let peer: Peer;
let host: FixHost;

before(async () => {
  peer = await startPeer((frame) => {
    const reader = new XdrReader(frame.payload);
    if (frame.procedure === 23 && reader.string() !== 'vm') return fault(frame, 42, 'no domain');
    if (frame.procedure === 23) return reply(frame, (w) => w.string('vm').uuid(sampleUuid).i32(-1));
    if (frame.procedure === 14) {
      const answer = reply(frame, (w) => w.string(stored));
      onXml();
      return answer;
    }
    if (frame.procedure !== 350) return healthyScript(frame);
    const [xml, flags] = [reader.string(), reader.u32()];
    if (xml.includes('invalid')) return fault(frame, 27, 'XML error');
    defined.push([xml, flags]);
    stored = xml;
    return reply(frame, (w) => w.string('vm').uuid(sampleUuid).i32(-1));
  });
  host = createFixHost({ state: folder, libvirtSockets: [peer.path] }, conf);
});
after(async () => {
  await peer.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  [stored, defined, onXml] = [original, [], () => {}];
});

const findingsOf = (text: FactsText): readonly Finding[] => reportOf(factsOf(text)).findings;
const guest = findingsOf({ functions: polaris, domains: windows() });
const rule = 'hyperv-vendor-id-missing';

async function run(
  work: (out: ReturnType<typeof hear>['out']) => Promise<number>,
  situation: Situation,
) {
  const heard = hear(situation);
  const code = await work(heard.out);
  return { code, stdout: heard.stdout(), stderr: heard.stderr() };
}
const fix = (situation: Situation, findings = guest, id: string = rule) =>
  run((out) => fixFindings(host, id, findings, out), situation);
const undo = (situation: Situation, domain?: string) =>
  run((out) => undoFix(host, domain, out), situation);

test('shows, asks, defines with validation, keeps a backup; undo puts it back', async () => {
  const { code, stdout } = await fix({ answer: true });
  assert.equal(code, 0);
  assert.match(stdout, /^--- domain vm\n\+\+\+ domain vm\n@@ [^\n]*\n[\s\S]*\n\+ .*<vendor_id/);
  assert.ok(!stdout.includes('secret'));
  assert.equal(defined.length, 1);
  const [xml = '', flags] = defined[0] ?? [];
  assert.ok(xml.includes("value='revived'") && xml.includes('secret') && flags === 1);
  // With passwords, of the next start: SECURE and INACTIVE.
  const asked = peer.received.find(({ procedure }) => procedure === 14);
  assert.equal(asked?.payload.readUInt32BE(asked.payload.length - 4), 3);
  const [name = ''] = readdirSync(join(folder, 'backup'));
  assert.equal(readFileSync(join(folder, 'backup', name), 'utf8'), original);

  const again = await fix({ answer: true });
  assert.deepEqual([again.code, again.stdout], [0, 'There is nothing to fix.\n']);
  const back = await undo({ yes: true }, 'vm');
  assert.match(back.stdout, /\n- .*<vendor_id/);
  assert.equal(stored, original);
  assert.deepEqual(readdirSync(join(folder, 'backup')), []);
  await assert.rejects(undo({ yes: true }), { code: 'not-found' });
});

test('no is no; nobody to ask is refused, also with --json; --json --yes has the changes', async () => {
  const no = await fix({ answer: false });
  assert.deepEqual([no.code, no.stderr], [1, 'revivectl: Nothing was done.\n']);
  await assert.rejects(fix({}), { code: 'refused' });
  await assert.rejects(fix({ json: true }), { code: 'refused' });
  assert.deepEqual(defined, []);
  const { changes } = JSON.parse((await fix({ json: true, yes: true })).stdout);
  const [change] = changes;
  assert.deepEqual([change.kind, change.subject], ['domain-xml', 'domain:vm']);
  assert.equal(readFileSync(change.backup, 'utf8'), original);
  await undo({ yes: true });
});

test('a domain that changes while it is asked about is left alone; so is one that libvirt refuses', async () => {
  let asked = 0;
  onXml = () => {
    asked += 1;
    if (asked === 1) stored = original.replace('hvm', 'xen');
  };
  await assert.rejects(fix({ yes: true }), { code: 'busy' });
  [stored, onXml] = [original.replace('<acpi/>', '<acpi/><invalid/>'), () => {}];
  await assert.rejects(fix({ yes: true }), { code: 'invalid-argument' });
  assert.deepEqual(defined, []);
  // What was not done cannot be undone.
  assert.deepEqual(readdirSync(join(folder, 'backup')), []);
  stored = original.replace('<name>vm</name>', '<name>other</name>');
  await assert.rejects(fix({ yes: true }), { code: 'not-found' });
});

test('what cannot be fixed says why', async () => {
  await assert.rejects(fix({ yes: true }, guest, 'nothing'), { code: 'not-found' });
  const bios = findingsOf({ functions: polaris, domains: windows({ firmware: ' ' }) });
  await assert.rejects(fix({ yes: true }, bios, 'bios-guest'), { code: 'refused' });
  const two = findingsOf({ functions: polaris, domains: [vm, { ...vm, name: 'b' }] });
  await assert.rejects(fix({ yes: true }, two), { code: 'invalid-argument', message: /: b, vm\./ });
  const away = createFixHost({ state: folder, libvirtSockets: [join(folder, 'none')] }, conf);
  await assert.rejects(fixFindings(away, rule, guest, hear({ yes: true }).out), {
    code: 'libvirt',
  });
});

test('qemu.conf keeps its mode, with a backup beside it; undo puts it back', async () => {
  const text = '# mine\nuser = "nobody-there"\n';
  writeFileSync(conf, text);
  chmodSync(conf, 0o640);
  const qemu = { user: 'x', group: null, unknownNames: ['x'], ids: null };
  const findings = findingsOf({ qemu });
  const { stdout } = await fix({ yes: true }, findings, 'firmware-unreadable');
  assert.match(stdout, /-user = "nobody-there"\n\+#user = "nobody-there"\n/);
  assert.equal(readFileSync(conf, 'utf8'), '# mine\n#user = "nobody-there"\n');
  assert.equal(statSync(conf).mode & 0o777, 0o640);
  assert.equal(readdirSync(folder).filter((name) => name.endsWith('.revived-backup')).length, 1);
  await undo({ yes: true });
  assert.equal(readFileSync(conf, 'utf8'), text);
  rmSync(conf);
  await assert.rejects(fix({ yes: true }, findings, 'firmware-unreadable'), { code: 'not-found' });
});

test('commands run in order without a shell; a unit that is not there is passed over', async () => {
  const ran: string[] = [];
  const codes = new Map([['libvirtd.service', 5]]);
  const scripted: FixHost = {
    ...host,
    async run(argv) {
      ran.push(argv.join(' '));
      return { code: codes.get(argv.at(-1) ?? '') ?? 0, said: 'words' };
    },
  };
  const findings = findingsOf({
    domains: passes('0b:00.0'),
    hooks: { ...hook, executable: false },
  });
  const work = () => fixFindings(scripted, 'hook-inactive', findings, hear({ yes: true }).out);
  assert.equal(await work(), 0);
  assert.deepEqual(ran, [
    'chmod 0755 /etc/libvirt/hooks/qemu.d/50-revived',
    'systemctl try-reload-or-restart libvirtd.service',
    'systemctl try-reload-or-restart virtqemud.service',
  ]);
  codes.set('virtqemud.service', 1);
  await assert.rejects(work(), { code: 'failed', message: /ended with 1: words/ });
  const real = await host.run(['sh', '-c', 'echo "$0"; exit 3', '$(x)']);
  assert.deepEqual(real, { code: 3, said: '$(x)' });
  assert.equal((await host.run(['/none'])).code, -1);
});
