/** The parts of a fix: what they change, that they change it once, and that they change nothing else. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readDomainFacts } from '../../../daemon/doctor/domain-facts.ts';
import type { DomainEdit } from '../../../daemon/doctor/finding.ts';
import { createBackups } from '../../../daemon/doctor/fix/backup.ts';
import { unifiedDiff } from '../../../daemon/doctor/fix/diff.ts';
import { editDomain } from '../../../daemon/doctor/fix/domain-edit.ts';
import { editQemuConf } from '../../../daemon/doctor/fix/qemu-conf.ts';
import { rules } from '../../../daemon/doctor/rules/index.ts';
import { fn } from '../inventory-of.ts';
import { devicesCases } from './cases-devices.ts';
import { domainsCases } from './cases-domains.ts';
import { hostCases } from './cases-host.ts';
import { topologyCases } from './cases-topology.ts';
import { factsOf, xmlOf } from './facts-of.ts';
import type { Case } from './rule-case.ts';

const gpu = fn('0000:0b:00.0');
const audio = fn('0000:0b:00.1');

/** As libvirt writes it, with what nobody may touch. */
const written = `<?xml version='1.0'?>
<domain type='kvm'>
  <name>a &amp; b</name>  <!-- <rom file='/no'/> -->
  <features>
    <acpi/>
    <hyperv mode="custom">
      <relaxed state='on'/>
    </hyperv>
  </features>
  <devices>
    <hostdev mode='subsystem' type='pci' managed='no'>
      <driver name='vfio'/>
      <source>
        <address domain='0x0000' bus='0x0b' slot='0x00' function='0x0'/>
      </source>
      <boot order='1'/>
      <alias name='ua-gpu'/>
      <rom file="/r.rom"/>
      <address type='pci' domain='0x0000' bus='0x05' slot='0x00' function='0x0'   multifunction='on'/>
    </hostdev>
  </devices>
</domain>
`;

const changed = (edits: readonly DomainEdit[], xml = written) =>
  unifiedDiff('x', xml, editDomain(xml, edits)).filter((line) => /^[+-](?![+-]{2} )/.test(line));

const add: DomainEdit = { op: 'add-hostdev', hostdev: audio, like: gpu, guest: null };
const set = (...path: string[]): DomainEdit => ({ op: 'set', path, attributes: { state: 'on' } });

test('an element is made where it lacks, on a line of its own, and nothing else moves', () => {
  assert.deepEqual(changed([set('features', 'hyperv', 'vendor_id')]), [
    "+      <vendor_id state='on'/>",
  ]);
  assert.deepEqual(changed([set('features', 'kvm', 'hidden')]), [
    '+    <kvm>',
    "+      <hidden state='on'/>",
    '+    </kvm>',
  ]);
  assert.deepEqual(changed([set('features', 'acpi', 'x')]), [
    '-    <acpi/>',
    '+    <acpi>',
    "+      <x state='on'/>",
    '+    </acpi>',
  ]);
  assert.deepEqual(changed([set('features', 'hyperv')]), [
    '-    <hyperv mode="custom">',
    '+    <hyperv mode="custom" state=\'on\'>',
  ]);
  const one = '<domain><name>a</name><features ><!-- c --></features></domain>';
  assert.equal(
    editDomain(one, [set('features', 'x'), set('y')]),
    "<domain><name>a</name><features ><x state='on'/><!-- c --></features><y state='on'/></domain>",
  );
});

test('a copied hostdev has its own address and nothing that only one may have', () => {
  assert.deepEqual(changed([add]), [
    "+    <hostdev mode='subsystem' type='pci' managed='no'>",
    "+      <driver name='vfio'/>",
    '+      <source>',
    "+        <address domain='0x0000' bus='0x0b' slot='0x00' function='0x1'/>",
    '+      </source>',
    '+    </hostdev>',
  ]);
  const beside = { ...add, guest: { bus: 5, slot: 0, function: 1 } };
  const placed =
    "+      <address type='pci' domain='0x0000' bus='0x05' slot='0x00' function='0x1'/>";
  assert.equal(changed([beside]).at(-2), placed);
  assert.deepEqual(changed([beside]).length, changed([add]).length + 1);
});

test('a place, a ROM, managed, a hostdev', () => {
  const guest = { bus: 5, slot: 0, function: 0 };
  const place: DomainEdit = { op: 'place', hostdev: gpu, guest, multifunction: true };
  assert.deepEqual(changed([place]), []);
  assert.deepEqual(changed([{ ...place, guest: { ...guest, slot: 31 }, multifunction: false }]), [
    "-      <address type='pci' domain='0x0000' bus='0x05' slot='0x00' function='0x0'   multifunction='on'/>",
    "+      <address type='pci' domain='0x0000' bus='0x05' slot='0x1f' function='0x0'/>",
  ]);
  assert.deepEqual(changed([{ op: 'remove-rom', hostdev: gpu }]), ['-      <rom file="/r.rom"/>']);
  assert.deepEqual(changed([{ op: 'managed', hostdev: gpu }]).slice(1), [
    "+    <hostdev mode='subsystem' type='pci' managed='yes'>",
  ]);
  assert.equal(changed([{ op: 'remove-hostdev', hostdev: gpu }]).length, 10);
});

// Every rule's own fix, on the domain of its own red case: then the rule is content, and a second time changes nothing.
const cases: Readonly<Record<string, Case>> = {
  ...topologyCases,
  ...devicesCases,
  ...domainsCases,
  ...hostCases,
};
const fixed = new Set<string>();
for (const rule of Object.values(rules)) {
  for (const [text] of cases[rule.id]?.red ?? []) {
    const facts = factsOf(text);
    for (const { fix } of rule.judge(facts)) {
      if (fix?.kind !== 'domain-xml') continue;
      fixed.add(rule.id);
      test(`${rule.id}: its fix mends ${fix.domain}`, () => {
        const found = text.domains?.find(({ name }) => (name ?? 'vm') === fix.domain) ?? {};
        const xml = xmlOf(found);
        const edited = editDomain(xml, fix.edits);
        assert.notEqual(edited, xml);
        assert.equal(editDomain(edited, fix.edits), edited);
        const crlf = editDomain(xml.replaceAll('\n', '\r\n'), fix.edits);
        assert.equal(crlf.replaceAll('\r\n', '\n'), edited);
        const domain = readDomainFacts(edited, false);
        const passed = domain.hostdevs.map((hostdev) => ({
          ...{ domain, hostdev },
          fn: facts.inventory.functions.get(hostdev.address),
        }));
        if (!overridden.has(rule.id) || domain.qemuArgs.length === 0) {
          assert.deepEqual(rule.judge({ ...facts, domains: [domain], passed }), []);
        }
      });
    }
  }
}
// QEMU takes the last -cpu, so the XML does not help where qemu:commandline has one.
const overridden = new Set(['hyperv-vendor-id-missing', 'kvm-hidden-missing']);

test('the fixes that were asked for are there', () => {
  const wanted = [
    ...['hyperv-vendor-id-missing', 'kvm-hidden-missing', 'function-left-behind'],
    ...['rom-on-secondary-function', 'rom-bar-off', 'functions-split', 'managed-no-unbound'],
  ];
  assert.deepEqual(
    wanted.filter((id) => !fixed.has(id)),
    [],
  );
});

test('hostile XML and edits that do not fit are refused', () => {
  const invalid = [
    '<domain><name>a</name>',
    '<!DOCTYPE a [<!ENTITY e "x">]><domain><name>&e;</name></domain>',
    '<network><name>a</name></network>',
    `<domain><name>a</name>${'<a>'.repeat(300)}`,
    '',
  ];
  for (const xml of invalid) {
    assert.throws(() => editDomain(xml, [set('x')]), { code: 'invalid-argument' }, xml);
  }
  const lacks = '<domain><name>a</name><devices/></domain>';
  const edits: readonly DomainEdit[] = [
    add,
    { op: 'managed', hostdev: gpu },
    { op: 'remove-rom', hostdev: gpu },
  ];
  for (const edit of edits) assert.throws(() => editDomain(lacks, [edit]), { code: 'failed' });
  assert.throws(
    () =>
      editDomain(
        written,
        Array.from({ length: 65 }, () => add),
      ),
    {
      code: 'limit-exceeded',
    },
  );
  const quoted = { op: 'set', path: ['os'], attributes: { x: `"'<&>` } } as const;
  const domain = editDomain("<domain><name>a</name><os x='1'/></domain>", [quoted]);
  assert.match(domain, /<os x='&#34;&#39;&#60;&#38;&#62;'\/>/);
});

test('qemu.conf: lines that set it become comments, or get the value; the rest stays', () => {
  const conf = '# user = "x"\n\tuser = "alice" # me\nusers = "y"\r\ngroup="a"\ngroup = "b"';
  const without = editQemuConf(conf, { user: null, group: null });
  assert.equal(
    without,
    '# user = "x"\n#\tuser = "alice" # me\nusers = "y"\r\n#group="a"\n#group = "b"',
  );
  assert.equal(editQemuConf(without, { user: null, group: null }), without);
  const named = editQemuConf(conf, { group: 'qemu' });
  assert.equal(named, conf.replace('group = "b"', 'group = "qemu"'));
  assert.equal(editQemuConf('a = 1', { user: 'qemu' }), 'a = 1\nuser = "qemu"\n');
  const refused = [
    () => editQemuConf('x = """\nuser = "a"\n"""', { user: null }),
    () => editQemuConf('', { user: 'a"\nb' }),
    () => editQemuConf('', { cgroup_device_acl: null }),
  ];
  for (const attempt of refused) assert.throws(attempt, { code: 'invalid-argument' });
});

test('a diff: hunks with three lines around, and one change where the texts are too long to compare', () => {
  const lines = Array.from({ length: 30 }, (_, index) => `l${index}`);
  const edited = lines.with(5, 'five').toSpliced(20, 0, 'new');
  assert.deepEqual(unifiedDiff('n', lines.join('\n'), edited.join('\n')), [
    ...['--- n', '+++ n', '@@ -3,7 +3,7 @@', ' l2', ' l3', ' l4', '-l5', '+five'],
    ...[' l6', ' l7', ' l8', '@@ -18,6 +18,7 @@', ' l17', ' l18', ' l19', '+new'],
    ...[' l20', ' l21', ' l22'],
  ]);
  assert.deepEqual(unifiedDiff('n', 'a', 'a'), []);
  const long = Array.from({ length: 3000 }, (_, index) => `${index}`);
  const other = long.map((text) => `${text}x`);
  assert.equal(unifiedDiff('n', long.join('\n'), other.join('\n')).length, 6003);
});

const folder = mkdtempSync(join(tmpdir(), 'fix-'));
after(() => rmSync(folder, { recursive: true }));

test('backups: newest first, bounded, for nobody else, and only ours are read', async () => {
  const at = join(folder, 'backup');
  const backups = createBackups({ folder: at, subject: /^[ab]$/, suffix: '.xml', most: 3 });
  assert.equal(await backups.newest(), undefined);
  for (const [subject, text] of [
    ['a', '1'],
    ['b', '2'],
    ['a', '3'],
    ['b', '4'],
  ] as const) {
    // The clock stands still: the order counts all the same.
    const path = await backups.keep(subject, text, 1000);
    assert.equal(statSync(path).mode & 0o777, 0o600);
  }
  assert.equal(readdirSync(at).length, 3);
  writeFileSync(join(at, 'c.9999999999999999.xml'), 'not ours');
  const newest = await backups.newest();
  const ofA = await backups.newest('a');
  assert.ok(newest !== undefined && ofA !== undefined);
  assert.deepEqual([await backups.read(newest), await backups.read(ofA)], ['4', '3']);
  await backups.forget(newest);
  assert.equal((await backups.newest('b'))?.usec, 1001);
  chmodSync(ofA.path, 0o666);
  await assert.rejects(backups.read(ofA), /not trusted/);
  await assert.rejects(backups.keep('../x', '', 1), /nothing that backups/);
});
