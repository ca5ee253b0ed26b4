/** A start is refused only where going on would harm or cannot succeed, and in the words of doctor; the rest are notes. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { defaultConfig } from '../../../daemon/config/config.ts';
import { reportOf } from '../../../daemon/doctor/doctor.ts';
import { readHostFacts } from '../../../daemon/doctor/host-facts.ts';
import { readInventory } from '../../../daemon/pci/inventory.ts';
import { homeWith, type Lease } from '../../../daemon/pipeline/lease.ts';
import { planStart } from '../../../daemon/pipeline/preflight.ts';
import { machine } from '../../sim/machine.ts';
import { desktopSpec } from '../../sim/presets.ts';
import { type DomainText, xmlOf } from '../doctor/facts-of.ts';
import { liveFiles } from '../doctor/live-files.ts';
import { card, fn } from '../inventory-of.ts';
import { type SimHost, simHost } from '../sim-host.ts';

let sim: SimHost;
beforeEach(async () => {
  sim = await simHost({ machine: machine(desktopSpec) });
});
afterEach(() => sim.dispose());

const put = (path: string, text: string) => {
  mkdirSync(dirname(join(sim.kernel.root, path)), { recursive: true });
  writeFileSync(join(sim.kernel.root, path), text);
};

function start(text: DomainText, leases: readonly Lease[] = [], xml = xmlOf(text)) {
  return planStart(sim.host, xml, () => ({
    domain: text.name ?? 'vm',
    uuid: 'u',
    requested: (text.hostdevs ?? []).map((at) => fn(`0000:${at.split(' ')[0]}`)),
    inventory: readInventory(sim.kernel.sys),
    leases,
    config: defaultConfig,
    needs: { disks: new Set(), mounted: new Set(), keyboards: [] },
    reviveMs: 1,
  }));
}

/** What doctor says of the domain, read from its file on the same host. */
function doctorOn(text: DomainText) {
  put('etc/libvirt/qemu/vm.xml', xmlOf(text));
  const facts = readHostFacts(liveFiles(sim.kernel.root));
  return reportOf(facts, facts.domains[0]).findings;
}

// No firmware file: the daemon reads that of the machine that the tests run on.
const polaris: DomainText & { readonly hostdevs: readonly string[] } = {
  ...{ os: 'http://microsoft.com/win/11', firmware: '' },
  hostdevs: ['05:00.0', '05:00.1'],
};

/** The system is mounted from `place`, a block device below the function. */
function mountFrom(at: string, place: string): void {
  const device = `${sim.kernel.sys}/bus/pci/devices/${at}`;
  mkdirSync(`${device}/block/sda`, { recursive: true });
  mkdirSync(join(sim.kernel.sys, 'class/block'), { recursive: true });
  symlinkSync(`${device}/block/sda`, join(sim.kernel.sys, 'class/block/sda'));
  put('proc/self/mountinfo', `22 1 8:0 / ${place} rw - ext4 /dev/sda rw\n`);
}

test('a start that may go on has the findings of doctor, word for word', async () => {
  put('proc/iomem', 'd0000000-dfffffff : 0000:05:00.0\n  d0000000-d08fffff : efifb\n');
  const text = { ...polaris, agent: false };
  const { cards, findings } = await start(text);
  assert.equal(cards.length, 1);
  assert.deepEqual(findings, doctorOn(text));
  const rules = findings.map(({ rule }) => rule);
  for (const rule of ['hyperv-vendor-id-missing', 'agent-missing', 'framebuffer-held'] as const) {
    assert.ok(rules.includes(rule), rule);
  }
});

test('of a link only doctor speaks, in a process of its own, and of none that sleeps', async () => {
  const card = fn('0000:05:00.0');
  const port = readInventory(sim.kernel.sys).functions.get(card)?.ports[0] ?? assert.fail();
  sim.kernel.narrowLink(card, 4);
  writeFileSync(sim.at(port, 'max_link_width'), '16\n');
  const narrow = (findings: readonly { readonly rule: string }[]) =>
    findings.filter(({ rule }) => rule === 'link-degraded').length;
  assert.equal(narrow(doctorOn(polaris)), 1);
  assert.equal(narrow((await start(polaris)).findings), 0, 'the daemon asks no hardware');
  for (const [file, asleep] of [
    ['power_state', 'D3hot'],
    ['power/runtime_status', 'suspended'],
  ] as const) {
    const before = readFileSync(sim.at(port, file), 'latin1');
    writeFileSync(sim.at(port, file), `${asleep}\n`);
    assert.equal(narrow(doctorOn(polaris)), 0, `the port says ${asleep}`);
    writeFileSync(sim.at(port, file), before);
  }
});

test('what cannot be done is refused in the words of doctor', async () => {
  for (const text of [{ hostdevs: ['77:00.0'] }, { hostdevs: ['05:00.0', '05:00.1', '05:00.1'] }]) {
    const [error] = doctorOn(text);
    assert.equal(error?.severity, 'error');
    await assert.rejects(start(text), { code: 'refused', message: error.message.en });
  }
});

test('the controller of a disk in use stays with the host, whatever the plan says', async () => {
  for (const [place, says] of [
    ['/', /runs from/],
    ['/srv', /unmount it first/],
  ] as const) {
    sim.dispose();
    sim = await simHost({ machine: machine(desktopSpec) });
    mountFrom('0000:05:00.0', place);
    const error = doctorOn(polaris).find(({ rule }) => rule === 'host-critical-device');
    assert.match(error?.message.en ?? '', says);
    await assert.rejects(start(polaris), { code: 'refused', message: error?.message.en ?? '' });
  }
});

test('a card that revived has in hand may be off the bus: the start brings it back', async () => {
  const there = readInventory(sim.kernel.sys).cards.get(card('0000:05:00'));
  assert.ok(there !== undefined);
  const home = homeWith(sim.kernel.sys, there);
  const lease: Lease = {
    ...{ card: there.address, domain: 'vm', uuid: 'u', since: 1, state: 'stranded' },
    ...{ boundBy: 'revived', home, reason: '' },
  };
  for (const at of polaris.hostdevs) sim.kernel.write(sim.at(`0000:${at}`, 'remove'), '1');
  await assert.rejects(start(polaris), /no such device/);
  const { findings } = await start(polaris, [lease]);
  assert.ok(findings.every(({ rule }) => rule !== 'device-missing'));
});

test('what cannot be read or judged refuses nothing', async () => {
  symlinkSync('iomem', join(sim.kernel.root, 'proc/iomem'));
  put('proc/version', 'x'.repeat(10_000));
  put('proc/self/mountinfo', '- - -\n\n 1 2 3 4 / - x /dev/nothing\n');
  assert.equal((await start(polaris)).cards.length, 1);
  const { cards, findings } = await start(polaris, [], '<domain/>');
  assert.deepEqual([cards.length, findings], [1, []]);
  assert.match(sim.logged.join(''), /could not judge the start/);
});
