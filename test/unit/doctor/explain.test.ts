import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  classify,
  createExplainer,
  type Explanation,
  isHostAtRisk,
} from '../../../daemon/doctor/explain.ts';
import { isTrouble, logClasses, otherTexts, saidOf } from '../../../daemon/doctor/log-class.ts';
import { longestPiece } from '../../../daemon/doctor/log-line.ts';
import { candidatesOf, matchesOf, patterns } from '../../../daemon/doctor/log-match.ts';
import { createTally } from '../../../daemon/doctor/log-tally.ts';
import { localeOf } from '../../../daemon/doctor/message.ts';
import { parseFunctionAddress } from '../../../daemon/pci/address.ts';
import { examples, unrelated } from './log-examples.ts';

function explained(...lines: readonly string[]): Explanation {
  const explainer = createExplainer();
  for (const line of lines) explainer.add(line);
  return explainer.result();
}

const classesOf = (...lines: readonly string[]): readonly string[] => explained(...lines).classes;

test('every pattern has an example that it, found by its hints, matches', () => {
  for (const { id, shows } of patterns) {
    const example = examples[id];
    assert.ok(example !== undefined, `no example for ${id}`);
    const found = matchesOf(example, candidatesOf(example)).map(({ pattern }) => pattern.id);
    assert.ok(found.includes(id), `${id}: ${example}`);
    const gravest = logClasses.find((name) => shows.includes(name));
    if (gravest !== undefined) assert.equal(classify(example)?.class, gravest, example);
  }
  assert.deepEqual(Object.keys(examples).sort(), patterns.map(({ id }) => id).sort());
});

test('variants of the same message, as older and newer sources print it', () => {
  const variants: readonly (readonly [string, string])[] = [
    ['device-lost', 'vfio-pci 0000:0b:00.0: Refused to change power state, currently in D3'],
    [
      'device-lost',
      "snd 0000:0b:00.1: can't change power state from D3cold to D0 (config space inaccessible)",
    ],
    ['device-lost', 'vfio-pci 0000:0b:00.0: invalid power transition (from D3cold to D3hot)'],
    ['device-lost', 'pcieport 0000:00:03.1: AER: Uncorrected (Fatal) error received: 0000:00:03.1'],
    ['device-lost', '\t!!! Unknown header type 7f'],
    ['device-lost', 'Unable to determine the device handle for GPU0000:0b:00.0: Unknown Error'],
    ['device-lost', 'pci 0000:0b:00.0: BAR 0: failed to assign [mem size 0x10000000 64bit pref]'],
    ['iommu-off', 'vfio-pci: probe of 0000:0b:00.0 failed with error -22'],
    ['iommu-off', 'Intel-IOMMU: disabled'],
    ['iommu-off', 'AMD-Vi: AMD IOMMU disabled on kernel command-line'],
    ['iommu-stuck', 'DMAR: DRHD: handling fault status reg 40'],
    ['iommu-stuck', 'DMAR: Invalidation Time-out Error (ITE) cleared'],
    [
      'framebuffer-held',
      "vfio-pci 0000:0b:00.0: BAR 3: can't reserve [mem 0xe0000000-0xe1ffffff 64bit pref]",
    ],
    ['framebuffer-held', 'efifb: abort, cannot ioremap video memory 0x300000 @ 0xc0000000'],
    ['function-lost', 'dmar: DMAR:[DMA Read] Request device [0b:00.0] fault addr 1a45aa9000'],
    [
      'function-lost',
      'AMD-Vi: Event logged [IO_PAGE_FAULT device=0b:00.0 domain=0x0 address=0x1 flags=0x0]',
    ],
    [
      'group-not-viable',
      'Please ensure all devices within the iommu_group are bound to their vfio bus driver.',
    ],
    [
      'kernel-regression',
      'Oops: general protection fault, probably for non-canonical address 0xdff: 0000 [#1] SMP',
    ],
    [
      'kernel-regression',
      'list_del corruption. prev->next should be ffff8eb8, but was 0000. (prev=ffff8eb9)',
    ],
    ['reset-failed', 'vfio-pci 0000:0b:00.0: AMD_VEGA10: could not get enabled SMU features'],
    ['reset-failed', 'amdgpu 0000:0b:00.0: [drm] hw_init of IP block <psp> failed -22'],
    ['reset-ok', '[drm] psp mode1 reset succeed'],
    ['driver-stuck', 'rmmod: ERROR: Module amdgpu is in use by: drm_ttm_helper'],
    ['driver-stuck', 'rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:'],
    ['usb-hazard', 'xhci_hcd: probe of 0000:0c:00.0 failed with error -110'],
    ['benign', 'bash: line 1: echo: write error: Inappropriate ioctl for device'],
  ];
  for (const [wanted, line] of variants) assert.equal(classify(line)?.class, wanted, line);
});

test('every example counts however it was captured', () => {
  const captured = (line: string): readonly string[] => [
    `[  123.456789] ${line}`,
    `[ 12.3] [  T512] ${line}`,
    `[Sun Apr 13 00:43:11 2025] ${line}`,
    `<4>[  123.456789] ${line}`,
    `kern  :err   : [  +0.000121] ${line}`,
    `Feb 10 02:25:37 host kernel: ${line}`,
    `2026-11-21T10:12:13+0000 host kernel: ${line}\r`,
    `\u001b[32m[    1.5] \u001b[0m\u001b[33m${line.slice(0, 9)}\u001b[0m${line.slice(9)}`,
    `> ${line}`,
    JSON.stringify({ __REALTIME_TIMESTAMP: '1', MESSAGE: line, _TRANSPORT: 'kernel' }),
    JSON.stringify({ MESSAGE: [...Buffer.from(line)], _TRANSPORT: 'kernel' }),
  ];
  for (const example of Object.values(examples)) {
    const wanted = classesOf(...Array<string>(2).fill(example)).filter(isTroubleName);
    for (const form of captured(example)) {
      const got = classesOf(...Array<string>(2).fill(form)).filter(isTroubleName);
      assert.deepEqual(got, wanted, form);
    }
  }
});

function isTroubleName(name: string): boolean {
  return logClasses.some((one) => one === name && isTrouble(one));
}

test('what healthy hosts say is no trouble', () => {
  for (const line of unrelated) {
    assert.ok(!classesOf(line).some(isTroubleName), line);
    assert.ok(!isTroubleName(classify(line)?.class ?? ''), line);
  }
  const all = explained(...unrelated);
  assert.deepEqual(all.classes, ['benign']);
});

test('a wait that ends well is a reset, one that does not is a loss', () => {
  const waits = (what: string) => [
    `vfio-pci 0000:0b:00.0: not ready 1023ms after ${what}; waiting`,
    `vfio-pci 0000:0b:00.0: not ready 2047ms after ${what}; waiting`,
  ];
  assert.deepEqual(classesOf(...waits('FLR')), ['flr-broken']);
  assert.deepEqual(classesOf(...waits('FLR'), 'vfio-pci 0000:0b:00.0: ready 4095ms after FLR'), [
    'reset-ok',
  ]);
  const other = 'vfio-pci 0000:0c:00.0: ready 4095ms after FLR';
  assert.deepEqual(classesOf(...waits('FLR'), other), ['flr-broken']);
  const gave = 'vfio-pci 0000:0b:00.0: not ready 65535ms after bus reset; giving up';
  assert.deepEqual(classesOf(...waits('bus reset'), gave), ['device-lost', 'reset-failed']);
  assert.equal(explained(...waits('bus reset'), gave).evidence[0]?.line, 3);
  assert.deepEqual(classesOf(...waits('resume')), ['device-lost']);
});

test('lines that a mail or a terminal has wrapped', () => {
  const wait = 'vfio-pci 0000:0b:00.0: not ready 1023ms after FLR;';
  assert.deepEqual(classesOf(wait, 'giving up'), ['flr-broken']);
  const power = 'vfio-pci 0000:0b:00.0: Unable to change power state from D3cold';
  assert.deepEqual(classesOf(power, '> to D0, device inaccessible'), ['device-lost']);
});

test('a run of vendor-reset counts by its end, never by its result', () => {
  const say = (text: string) => `vfio-pci 0000:0b:00.0: AMD_NAVI10: ${text}`;
  const begin = [say('performing pre-reset'), say('performing reset')];
  const end = [say('performing post-reset'), say('reset result = 0')];
  assert.equal(classesOf(...begin, ...end)[0], 'reset-ok');
  assert.deepEqual(classesOf(say('reset result = 0')), ['benign']);
  assert.deepEqual(classesOf(...begin, say('mode1 reset succeeded')), ['reset-failed']);
  assert.deepEqual(classesOf(...begin, say('failed to reset device'), ...end), ['reset-failed']);
  assert.deepEqual(classesOf(...begin, ...end, ...begin), ['reset-failed']);
});

test('amdgpu comes back from a hung ring, or does not', () => {
  const hung =
    'amdgpu 0000:0b:00.0: amdgpu: ring gfx_0.0.0 timeout, signaled seq=12, emitted seq=14';
  const begin = 'amdgpu 0000:0b:00.0: amdgpu: GPU reset begin!';
  assert.deepEqual(classesOf(hung, begin), ['reset-failed', 'driver-stuck']);
  assert.deepEqual(classesOf(hung, begin, 'amdgpu 0000:0b:00.0: amdgpu: GPU reset(1) succeeded!'), [
    'reset-ok',
  ]);
  const failed = 'amdgpu 0000:0b:00.0: amdgpu: GPU reset end with ret = -62';
  assert.deepEqual(classesOf(hung, begin, failed), ['reset-failed']);
});

test('BARs that find their place later are not lost', () => {
  const lost = 'pci 0000:0b:00.0: BAR 0 [mem size 0x10000000 64bit pref]: failed to assign';
  const found = 'pci 0000:0b:00.0: BAR 0 [mem 0xd0000000-0xdfffffff 64bit pref]: assigned';
  const another = 'pci 0000:0b:00.0: BAR 2: assigned [mem 0xe0000000-0xe01fffff 64bit pref]';
  assert.deepEqual(classesOf(lost, another), ['device-lost']);
  assert.deepEqual(classesOf(lost, found), ['benign']);
});

test('several lines together show what none does alone', () => {
  const dead = (fn: number) =>
    `vfio-pci 0000:0b:00.${fn}: Unable to change power state from D3cold to D0, device inaccessible`;
  assert.deepEqual(classesOf(dead(1)), ['device-lost', 'function-lost']);
  assert.deepEqual(classesOf(dead(0), dead(1)), ['device-lost']);
  assert.deepEqual(classesOf(dead(1).replace('0b:00', '00:14')), ['device-lost']);

  const mute = (fn: number) =>
    `qemu-system-x86_64: vfio: Cannot reset device 0000:0b:00.${fn}, no available reset mechanism.`;
  assert.deepEqual(classesOf(mute(1)), ['reset-method-inactive']);
  assert.deepEqual(classesOf(mute(0)), ['reset-method-inactive']);
  assert.deepEqual(classesOf(mute(1), mute(0)), ['reset-method-inactive', 'kernel-regression']);

  const restored = 'vfio-pci 0000:0b:00.0: vfio_bar_restore: reset recovery - restoring BARs';
  assert.deepEqual(classesOf(restored), ['benign']);
  assert.deepEqual(classesOf(restored, restored), ['reset-failed']);
  const refused = 'vfio-pci 0000:0b:00.0:    [20] UnsupReq               (First)';
  assert.deepEqual(classesOf(restored, refused), ['kernel-regression']);

  const usb = 'xhci_hcd 0000:0b:00.0: remove, state 4';
  const flr = 'vfio-pci 0000:0b:00.0: not ready 65535ms after FLR; giving up';
  assert.deepEqual(classesOf(usb, flr), ['flr-broken', 'usb-hazard']);
  assert.deepEqual(classesOf(usb.replace('0b', '0c'), flr), ['flr-broken']);

  const run = ['performing reset', 'performing post-reset'].map(
    (text) => `vfio-pci 0000:0b:00.0: AMD_NAVI10: ${text}`,
  );
  const config = (fn: number, was: string) =>
    `vfio-pci 0000:0b:00.${fn}: restoring config space at offset 0x10 (was ${was}, writing 0xc000000c)`;
  assert.deepEqual(classesOf(config(1, '0xd'), ...run, config(0, '0x0')), ['function-lost']);
  assert.equal(classesOf(...run, config(0, '0x0'), config(1, '0x0'))[0], 'reset-ok');
  assert.ok(!classesOf(config(1, '0xd'), config(0, '0x0')).includes('function-lost'));
});

test('audio without codecs is lost only where its card was reset or handed over', () => {
  const mute = 'snd_hda_intel 0000:0b:00.1: no codecs found!';
  assert.deepEqual(classesOf(mute), ['benign']);
  assert.deepEqual(classesOf(mute, 'vfio-pci 0000:0c:00.0: resetting'), ['benign']);
  for (const line of ['vfio-pci 0000:0b:00.0: resetting', 'vfio-pci 0000:0b:00.0: x']) {
    assert.deepEqual(classesOf(mute, line), ['function-lost'], line);
  }
  assert.equal(classify(mute)?.class, 'function-lost');
});

test('devices as sysfs spells them, from every spelling that logs know', () => {
  const device = (text: string) => classify(text)?.devices;
  const fault = '[DMA Read NO_PASID] Request device [0B:00.1] fault addr 0xdf000';
  assert.deepEqual(device(`DMAR: ${fault}`), ['0000:0b:00.1']);
  const timeout = 'AMD-Vi: Event logged [IOTLB_INV_TIMEOUT device=0b:00.0 address=0x1002147e0]';
  assert.deepEqual(device(timeout), ['0000:0b:00.0']);
  assert.deepEqual(device('NVRM: Xid (PCI:0000:0b:00): 79, GPU has fallen off the bus.'), [
    '0000:0b:00.0',
  ]);
  const path = '/devices/pci0000:00/0000:00:03.1/0000:0a:00.0/0000:0b:00.0/vbios_version';
  assert.deepEqual(device(`sysfs: cannot create duplicate filename '${path}'`), ['0000:0b:00.0']);
  assert.deepEqual(device('error: Failed to detach device pci_0000_0b_00_1'), ['0000:0b:00.1']);
  const many = Array.from({ length: 200 }, (_, at) => `0000:${(at + 16).toString(16)}:00.0`);
  const lines = many.map(
    (one) => `vfio: Cannot reset device ${one}, no available reset mechanism.`,
  );
  assert.equal(explained(...lines).devices.length, 64);
});

test('what endangers the host is said first, and told to the daemon', () => {
  const stuck = 'AMD-Vi: Completion-Wait loop timed out';
  const locked = 'watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [qemu-system-x86:7487]';
  const hung = 'INFO: task tee:4711 blocked for more than 120 seconds.';
  for (const line of [stuck, locked, hung]) assert.equal(classify(line)?.hostAtRisk, true, line);
  assert.equal(classify('vfio-pci 0000:0b:00.0: resetting')?.hostAtRisk, false);
  assert.match(explained(locked).verdict, /^The host itself is in danger/);
  assert.match(explained(locked).advice, /^Reset and unbind nothing more/);
  assert.equal(classify('not ready 1023ms after FLR; waiting')?.certain, false);
  assert.equal(classify('not ready 65535ms after FLR; giving up')?.certain, true);
  assert.equal(classify('sshd[1]: Accepted publickey for alice'), undefined);
});

test('the shape of the contract, evidence in the order of the log and cut', () => {
  const long = `vfio-pci 0000:0b:00.0: vfio: Unable to power on device, stuck in D3 ${'x'.repeat(900)}`;
  const result = explained('nothing', long, 'AMD-Vi: Completion-Wait loop timed out');
  assert.deepEqual(Object.keys(result), ['classes', 'verdict', 'devices', 'evidence', 'advice']);
  assert.deepEqual(result.classes, ['iommu-stuck', 'device-lost']);
  assert.deepEqual(result.devices, ['0000:0b:00.0']);
  assert.deepEqual(
    result.evidence.map(({ line, class: name }) => [line, name]),
    [
      [2, 'device-lost'],
      [3, 'iommu-stuck'],
    ],
  );
  assert.equal(result.evidence[0]?.text.length, 400);
  assert.match(result.verdict, /^The IOMMU waits .* 0000:0b:00\.0: The device does not answer/);
});

test('a flood of one line leaves room for the others', () => {
  const explainer = createExplainer();
  for (let at = 0; at < 3000; at++) {
    const bus = (at % 250).toString(16).padStart(2, '0');
    explainer.add(`vfio-pci 0001:${bus}:00.${at % 8}: vfio_cap_init: hiding cap 0xff@0xff`);
    explainer.add(
      `vfio-pci ${(at + 65536).toString(16)}:00:00.0: not ready 1023ms after FLR; waiting`,
    );
  }
  explainer.add('kvm: vfio: Unable to power on device, stuck in D3');
  const { evidence, devices } = explainer.result();
  assert.ok(evidence.length <= 60 && devices.length <= 64);
  assert.equal(evidence.at(-1)?.line, 6001);
});

test('the memory of a tally is bounded', () => {
  const tally = createTally();
  const [pattern] = patterns;
  assert.ok(pattern !== undefined);
  for (let bus = 16; bus < 256; bus++) {
    const device = parseFunctionAddress(`0000:${bus.toString(16)}:00.0`);
    assert.ok(device !== undefined);
    tally.add(pattern, { line: bus, text: 'x', devices: [device] }, '');
  }
  const seen = tally.patterns.get(pattern.id);
  assert.deepEqual([seen?.count, seen?.devices.size, seen?.lines.length], [240, 64, 3]);
});

test('what is no log is said to be none', () => {
  assert.deepEqual(explained().verdict, otherTexts.empty.en);
  assert.deepEqual(explained('', ' ', '').verdict, otherTexts.empty.en);
  const prose = explained('Dear diary,', 'today my screen was black again.');
  assert.deepEqual([prose.classes, prose.verdict], [[], otherTexts.noLog.en]);
  const image = explained(
    '\ufffdPNG\r',
    '\u001a\0\0\0\rIHDR\0\0',
    '\0AMD-Vi: Completion-Wait loop timed out\0',
  );
  assert.deepEqual([image.classes, image.verdict], [[], otherTexts.binary.en]);
  assert.deepEqual(image.evidence, []);
  const healthy = explained('Nov 21 10:00:00 host systemd[1]: Started Session 3 of User alice.');
  assert.deepEqual([healthy.classes, healthy.verdict], [['benign'], otherTexts.nothingKnown.en]);
});

test('a host that died leaves NULs in its log, and that is still a log', () => {
  const { classes, evidence } = explained(
    'Nov 21 10:00:00 host kernel: usb 1-1: new device',
    `${'\0'.repeat(99)}Nov 21 10:01:00 host kernel: AMD-Vi: Completion-Wait loop timed out`,
  );
  assert.deepEqual(classes, ['iommu-stuck']);
  assert.ok(!evidence[0]?.text.includes('\0'));
});

test('hostile lines: no crash, no time, no control characters', () => {
  const nasty = [
    '{"MESSAGE":',
    '{"MESSAGE":["a",{}],"x":"AMD-Vi"}',
    `{"MESSAGE":${'['.repeat(5000)}`,
    `\u001b]0;${'a'.repeat(longestPiece)}`,
    `${'\u001b['.repeat(5000)} iommu group`,
    `error: ${'(was 0x0, '.repeat(2000)} restoring config space at offset`,
    `change power state ${'refused to change power state from '.repeat(400)}`,
    `BAR 0 [mem ${'BAR 0 [mem '.repeat(1400)} no space`,
    `config space ${'config '.repeat(2000)} ffffffff`,
    `severity=${'severity='.repeat(1700)} type=inaccessible`,
    `vfio-pci ${'probe of '.repeat(1700)} failed with error -22`,
    '0000:0b:00.0'.repeat(1300),
    'not ready '.repeat(1600).concat('ms after'),
    '__proto__ constructor toString \ud800\udfff\u202e',
  ];
  const before = process.cpuUsage();
  for (const line of nasty) {
    classify(line);
    explained(line, line.repeat(3));
  }
  const { user } = process.cpuUsage(before);
  // A line takes well under a millisecond; ten seconds is what runaway backtracking takes.
  assert.ok(user < 10e6, `${user} us`);
  const { text = '' } =
    explained('\u001b[2J\u0007AMD-Vi: Completion-Wait loop timed out\u001b[0m').evidence[0] ?? {};
  assert.equal(text, 'AMD-Vi: Completion-Wait loop timed out');
});

test('every text is there in Japanese too', () => {
  const said = logClasses.flatMap((name) => Object.values(saidOf(name)));
  const texts = [...said, ...Object.values(otherTexts)];
  for (const { en, ja } of texts) {
    assert.match(en, /^[ -~]+[.:]?.*\.$/);
    assert.match(ja, /[\u3040-\u30ff].*。$/, en);
  }
  const explainer = createExplainer();
  explainer.add('AMD-Vi: Completion-Wait loop timed out');
  assert.equal(explainer.result('ja').verdict, saidOf('iommu-stuck').verdict.ja);
});

test('the locale: LC_ALL before LC_MESSAGES before LANG', () => {
  assert.equal(localeOf({}), 'en');
  assert.equal(localeOf({ LANG: 'ja_JP.UTF-8' }), 'ja');
  assert.equal(localeOf({ LANG: 'ja' }), 'ja');
  assert.equal(localeOf({ LANG: 'jam_JM.UTF-8' }), 'en');
  assert.equal(localeOf({ LC_ALL: '', LC_MESSAGES: 'ja_JP', LANG: 'en_US' }), 'ja');
  assert.equal(localeOf({ LC_ALL: 'C', LC_MESSAGES: 'ja_JP', LANG: 'ja_JP' }), 'en');
});

test('the quick look for danger to the host says what the slow one says', () => {
  const atRisk = Object.values(examples).filter((line) => classify(line)?.hostAtRisk === true);
  assert.ok(atRisk.length >= 5, `${atRisk.length}`);
  assert.deepEqual(Object.values(examples).filter(isHostAtRisk), atRisk);
});
