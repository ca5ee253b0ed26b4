import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RevivedError } from '../../../daemon/errors.ts';
import { mentionsPciHostdev, readDomain } from '../../../daemon/libvirt/domain-xml.ts';

const uuid = '11111111-2222-3333-4444-555555555555';
const gpu = hostdev("domain='0x0000' bus='0x0b' slot='0x00' function='0x0'");

function hostdev(address: string, inside = '', attributes = "managed='yes'"): string {
  return `<hostdev mode='subsystem' type='pci' ${attributes}><source><address ${address}/></source>${inside}</hostdev>`;
}

function domain(devices: string, around = ''): string {
  return `<domain type='kvm'><name>win11</name><uuid>${uuid}</uuid>${around}<devices>${devices}</devices></domain>`;
}

/** Throws `invalid-argument` and a message that says what is wrong, in time. */
function refused(xml: string, why: RegExp, ms = 3000): void {
  const began = performance.now();
  assert.throws(
    () => readDomain(xml),
    (error: unknown) => {
      assert.ok(error instanceof RevivedError, String(error));
      assert.equal(error.code, 'invalid-argument');
      assert.match(error.message, why);
      assert.ok(error.message.length < 1000, 'the message is for people');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be in it
      assert.doesNotMatch(error.message, /[\u0000-\u001f]/);
      assert.match(error.advice ?? '', /virsh edit/);
      return true;
    },
  );
  assert.ok(performance.now() - began < ms, `took ${performance.now() - began} ms`);
}

// As libvirt 9.0 writes a running domain, shortened.
const live = `<domain type='kvm' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>win11</name>
  <uuid>657BE474-64d0-472d-a362-065f9db2d4d8</uuid>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
      <libosinfo:os id="http://microsoft.com/win/11"/>
    </libosinfo:libosinfo>
  </metadata>
  <memory unit='KiB'>32768</memory>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='pci' index='0' model='pcie-root'><alias name='pcie.0'/></controller>
    <hostdev mode='subsystem' type='pci' managed='yes'>
      <driver name='vfio'/>
      <source>
        <address domain='0x0000' bus='0x0b' slot='0x00' function='0x0'/>
      </source>
      <alias name='hostdev0'/>
      <rom bar='off'/>
      <address type='pci' domain='0x0000' bus='0x06' slot='0x00' function='0x0' multifunction='on'/>
    </hostdev>
    <hostdev mode='subsystem' type='pci' managed='no'>
      <source><address domain='0x10000' bus='11' slot='037' function='7'/></source>
    </hostdev>
    <hostdev mode='subsystem' type='usb' managed='yes'>
      <source><address bus='1' device='999'/></source>
    </hostdev>
    <hostdev mode='subsystem' type='mdev' model='vfio-pci'>
      <source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source>
    </hostdev>
    <interface type='hostdev'><source><address type='pci' bus='1'/></source></interface>
  </devices>
  <qemu:commandline><qemu:arg value='-set'/></qemu:commandline>
</domain>`;

test('a running domain', () => {
  assert.deepEqual(readDomain(live), {
    name: 'win11',
    uuid: '657be474-64d0-472d-a362-065f9db2d4d8',
    id: 3,
    emulator: '/usr/bin/qemu-system-x86_64',
    osInfo: 'http://microsoft.com/win/11',
    onReboot: null,
    hostdevs: [
      {
        address: '0000:0b:00.0',
        managed: true,
        guest: { bus: 6, slot: 0, function: 0 },
        driver: 'vfio',
        alias: 'hostdev0',
      },
      { address: '10000:0b:1f.7', managed: false, guest: null, driver: null, alias: null },
    ],
  });
});

test('a domain with nothing in it', () => {
  const xml = `<?xml version="1.0"?><!-- made by hand --><domain><name>a</name><uuid> ${uuid}\n</uuid><on_reboot>destroy</on_reboot></domain>`;
  assert.deepEqual(readDomain(xml), {
    ...{ name: 'a', uuid, id: null, emulator: null, osInfo: null },
    ...{ onReboot: 'destroy', hostdevs: [] },
  });
});

test('names are any text, and stay it', () => {
  const escaped = { '&': '&amp;', '<': '&lt;' } as const;
  const names = ['a b', `"quoted" 'twice'`, 'two\nlines', '../../etc/passwd', '$(reboot)', '`id`'];
  for (const name of [...names, '-rf', 'a&b<c>', 'ä\u{1f9ed}', ' ', ']]>']) {
    const text = name.replaceAll(/[&<]/g, (c) => escaped[c === '&' ? '&' : '<']);
    const xml = `<domain><name>${text}</name><uuid>${uuid}</uuid></domain>`;
    assert.equal(readDomain(xml).name, name);
  }
});

test('only hostdevs of <devices> count, and only without a foreign namespace', () => {
  const config = readDomain(
    domain(
      `${gpu}<controller>${gpu}</controller><x:hostdev xmlns:x="urn:x" mode="subsystem" type="pci"/>`,
      `<metadata><devices xmlns="urn:y">${gpu}</devices>${gpu}</metadata>`,
    ),
  );
  assert.equal(config.hostdevs.length, 1);
});

test('text that is no XML', () => {
  refused('', /not well-formed/);
  refused('   ', /not well-formed/);
  refused('win11', /not well-formed/);
  refused('<domain>', /<domain> is not closed/);
  refused('<domain>\n<name>a</nome></domain>', /<\/nome> ends nothing.*line 2/);
  refused('<domain type=kvm/>', /not well-formed/);
  refused('<domain a="1" a="2"/>', /has a twice/);
  refused('<domain/><domain/>', /not well-formed/);
  refused('<domain/>rest', /not well-formed/);
  refused('<domain a="<"/>', /not well-formed/);
  refused('<domain><a <b/></domain>', /not well-formed/);
  refused('<domain>&unknown;</domain>', /"&unknown;" stands for nothing/);
  refused('<domain>\u0000</domain>', /control characters/);
  refused('<domain>\u001b[31m</domain>', /control characters/);
  refused(live.slice(0, 700), /not well-formed/);
});

test('XML that is no domain', () => {
  refused('<network/>', /<network>/);
  refused('<domain xmlns="urn:x"/>', /<domain>/);
  refused('<d:domain xmlns:d="urn:x"/>', /<domain> of "urn:x", not <domain>/);
  refused(`<domain><uuid>${uuid}</uuid></domain>`, /<name>/);
  refused(`<domain><name/><uuid>${uuid}</uuid></domain>`, /<name>/);
  refused('<domain><name>a</name></domain>', /<uuid>/);
  refused('<domain><name>a</name><uuid>$(id)\n</uuid></domain>', /no uuid/);
  refused(domain('').replace("type='kvm'", "id='x'"), /id "x"/);
});

test('addresses that cannot exist name their hostdev', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["domain='0xzz' bus='0' slot='0' function='0'", /hostdev 2 .*domain="0xzz"/],
    ["domain='0' bus='300' slot='0' function='0'", /hostdev 2 .*bus="300".*0xff/],
    ["domain='0' bus='0x100' slot='0' function='0'", /bus="0x100"/],
    ["domain='0' bus='0' slot='0x20' function='0'", /slot="0x20"/],
    ["domain='0' bus='0' slot='0' function='8'", /function="8"/],
    ["domain='0x100000000' bus='0' slot='0' function='0'", /domain="0x100000000"/],
    ["domain='0' bus='-1' slot='0' function='0'", /bus="-1"/],
    ["domain='0' bus='' slot='0' function='0'", /bus=""/],
    ["domain='0' bus='1e1' slot='0' function='0'", /bus="1e1"/],
    ["domain='0' bus='09' slot='0' function='0'", /bus="09"/],
    ["domain='0' bus=' 1' slot='0' function='0'", /bus=" 1"/],
    ["domain='0' slot='0' function='0'", /without bus/],
    ["domain='0' bus='1' function='0'", /without slot/],
    ["domain='0' bus='1' slot='0'", /without function/],
    [`domain='0' bus='$(reboot)${'x'.repeat(1e5)}' slot='0' function='0'`, /\$\(reboot\)x+\.\.\."/],
  ];
  for (const [address, why] of cases) refused(domain(gpu + hostdev(address)), why);
  const bare = "<hostdev mode='subsystem' type='pci'>";
  refused(domain(`${bare}<source/></hostdev>`), /hostdev 1 has no <source>/);
  refused(domain(`${bare}<alias name='ua-a&#10;b'/></hostdev>`), /\(ua-a\\u000ab\)/);
  const guest = "<address type='pci' bus='0x1ff' slot='0' function='0'/>";
  refused(domain(hostdev("bus='1' slot='0' function='0'", guest)), /in the guest.*0x1ff/);
});

test('a domain may be left out of an address, and a guest address may be of another type', () => {
  const other = "<address type='ccw' cssid='0xfe' ssid='0x0' devno='0x0001'/>";
  const xml = domain(hostdev("bus='1' slot='0' function='0'", other, ''));
  const [only] = readDomain(xml).hostdevs;
  assert.equal(only?.address, '0000:01:00.0');
  assert.equal(only?.guest, null);
  assert.equal(only?.managed, false);
});

test('bombs cost nothing', () => {
  const laughs = Array.from(
    { length: 9 },
    (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`,
  );
  const bomb = `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY l0 "lol">${laughs.join('')}]>`;
  refused(`${bomb}<domain><name>&l9;</name></domain>`, /document type or entities/, 500);
  const external = '<!DOCTYPE domain SYSTEM "file:///etc/passwd"><domain/>';
  refused(external, /document type or entities/, 500);
  refused('<!doctype domain><domain/>', /document type or entities/, 500);
  refused('<domain><!ENTITY a "b"></domain>', /document type or entities/, 500);
  // In a comment it is just text.
  readDomain(`<!-- <!DOCTYPE x> -->${domain('')}<!-- & -->`);
});

test('what is too much of anything is refused before it is parsed', () => {
  const deep = (open: string, levels: number) => open.repeat(levels) + '</a>'.repeat(levels);
  refused(domain('', deep('<a>', 300)), /256 levels/, 500);
  refused(domain('', deep('<a xmlns:b="c">', 100_000)), /256 levels/, 500);
  // A '/>' in a value is not the end of a tag.
  refused(domain('', deep('<a b="/>">', 300)), /256 levels/, 500);
  refused(domain('', deep("<a b='/>'>", 300)), /256 levels/, 500);
  refused(domain('', '<a/>'.repeat(60_000)), /50000 tags/, 500);
  const attributes = Array.from({ length: 110_000 }, (_, index) => `a${index}=""`).join(' ');
  refused(domain('', `<a ${attributes}/>`), /100000 attributes/, 500);
  refused(domain('', '<a xmlns:b="c"/>'.repeat(300)), /256 namespaces/, 500);
  refused(domain('', ' '.repeat(8 * 1024 * 1024)), /8388608/, 500);
  refused(domain('', 'ä'.repeat(4 * 1024 * 1024)), /8388608/, 500);
  refused(domain(gpu.repeat(1025)), /1025 PCI hostdevs/);
  assert.equal(readDomain(domain(gpu.repeat(1024))).hostdevs.length, 1024);
});

test('one megabyte is read, or refused, in time', () => {
  const began = performance.now();
  const note = `<a b="c">${'text &amp; text '.repeat(12)}</a>\n`;
  const large = domain(gpu, `<metadata><x:x xmlns:x="urn:x">${note.repeat(5000)}</x:x></metadata>`);
  assert.ok(large.length > 1_000_000);
  assert.equal(readDomain(large).hostdevs.length, 1);
  assert.ok(performance.now() - began < 2000, `${performance.now() - began} ms`);
  refused('x'.repeat(1_000_000), /not well-formed/, 500);
  refused('<'.repeat(1_000_000), /./, 500);
  refused('<domain a="'.repeat(90_000), /./, 500);
  refused('<a>'.repeat(333_000), /256 levels/, 500);
  refused(`<domain><!--${'-'.repeat(1_000_000)}`, /not well-formed/, 500);
  refused('&'.repeat(1_000_000), /character references/, 500);
});

test('a domain that is cut off or damaged anywhere is refused or still a domain', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(live.length), fc.nat(live.length), fc.string(), async (a, b, put) => {
      const damaged = live.slice(0, Math.min(a, b)) + put + live.slice(Math.max(a, b));
      try {
        const config = readDomain(damaged);
        assert.equal(typeof config.name, 'string');
      } catch (error) {
        assert.ok(
          error instanceof RevivedError && error.code === 'invalid-argument',
          String(error),
        );
      }
    }),
  );
});

test('the quick look misses no PCI hostdev', () => {
  assert.equal(mentionsPciHostdev(live), true);
  assert.equal(mentionsPciHostdev(domain(gpu)), true);
  assert.equal(mentionsPciHostdev(domain("<hostdev\n type='&#112;ci' mode='subsystem'/>")), true);
  assert.equal(mentionsPciHostdev(domain("<hostdev mode='subsystem' type='usb'/>")), false);
  assert.equal(mentionsPciHostdev(domain("<address type='pci'/>")), false);
  assert.equal(mentionsPciHostdev(''), false);
  const began = performance.now();
  mentionsPciHostdev('<hostdev '.repeat(500_000));
  mentionsPciHostdev(`<hostdev ${' '.repeat(4_000_000)}`);
  assert.ok(performance.now() - began < 500, `${performance.now() - began} ms`);
});
