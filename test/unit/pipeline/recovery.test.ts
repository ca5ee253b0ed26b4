/** What an earlier daemon left is judged the same however often, and never more harshly than the journal says. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { KernelEnds } from '../../../daemon/host/ledger.ts';
import {
  type JournalEntry,
  type PastEntry,
  parseLine,
  type Stamp,
} from '../../../daemon/pipeline/journal-entry.ts';
import {
  judgePast,
  kernelFindings,
  quarantineFindings,
} from '../../../daemon/pipeline/recovery.ts';
import { card, fn } from '../inventory-of.ts';
import { begin, gpu, job, lease, rung, started, step } from '../journal-entries.ts';
import { benchCards, type SimPipeline, simPipeline, simStamp } from '../sim-host.ts';

const now = 1_000;
const here: Stamp = { boot: 'now', kernel: '6.12.2' };
const other: Stamp = { boot: 'before', kernel: '6.12.1' };
const stopped = { event: 'daemon', state: 'stopped' } as const;
const id = '1002:731f';

const parsed = (lines: readonly string[]): readonly PastEntry[] =>
  lines.map(parseLine).flatMap((line) => (line.kind === 'entry' ? [line.entry] : []));
const past = (stamp: Stamp, ...entries: readonly JournalEntry[]): readonly PastEntry[] => {
  const lines = entries.map((entry) => JSON.stringify({ v: 1, lastJob: 0, ...stamp, ...entry }));
  const found = parsed(lines);
  assert.equal(found.length, entries.length);
  return found;
};
const judge = (entries: readonly PastEntry[]) => judgePast(entries, here, now);
const of = (name: 'wait-free' | 'unbind' | 'restore-power' | 'revive'): JournalEntry => ({
  ...step('intent', 1),
  step:
    name === 'unbind'
      ? step('intent', 1).step
      : JSON.parse(JSON.stringify({ step: name, args: { card: gpu } })),
});

test('the host as it was before a rung is known while that is open, in its boot, and if it is text', () => {
  const begun = { ...rung('rung', 7), before: { kind: 's2idle' } };
  const kept = [{ rung: 'bus', before: { kind: 's2idle' } }];
  assert.deepEqual(judge(past(here, begun)).hostBefore, kept);
  const others = [past(other, begun), past(here, begun, rung('rung-done', 7))];
  for (const before of [{ kind: 7 }, 'deep', ['s2idle', {}], null]) {
    const line = { v: 1, lastJob: 0, ...here, ...rung('rung', 7), before };
    others.push(parsed([JSON.stringify(line)]));
    assert.equal(others.at(-1)?.length, 1);
  }
  for (const entries of others) assert.deepEqual(judge(entries).hostBefore, []);
});

describe('jobs that were cut off', () => {
  test('are those without an end, with the last thing that was open in them', () => {
    const { cutOff, quarantine } = judge(
      past(
        here,
        started,
        begin(6),
        { event: 'job', job: job(6) },
        begin(7),
        step('intent', 1),
        step('done', 1),
        step('intent', 2),
        rung('rung', 7),
      ),
    );
    assert.deepEqual(cutOff, [{ job: begin(7).job, at: 'rung bus', hostWentDown: false }]);
    assert.deepEqual(quarantine, [], 'the host is still up');
  });

  const ways: readonly (readonly [string, readonly JournalEntry[]])[] = [
    ['between two steps', [step('intent', 1), step('done', 1)]],
    [`unbind ${gpu}.0`, [step('intent', 2)]],
    [`undo unbind ${gpu}.0`, [step('intent', 2), step('failed', 2), step('undo', 1)]],
    ['rung bus', [step('intent', 2), rung('rung', 7)]],
    [`unbind ${gpu}.0`, [step('intent', 2), rung('rung', 7), rung('rung-done', 7)]],
  ];
  for (const [at, entries] of ways) {
    test(`at ${at} after ${entries.map(({ event }) => event).join(', ')}`, () => {
      for (const stamp of [here, other]) {
        const { cutOff } = judge(past(stamp, begin(7), ...entries));
        assert.deepEqual(
          cutOff.map((one) => [one.job.id, one.at, one.hostWentDown]),
          [[7, at, stamp === other]],
        );
      }
    });
  }
});

describe('quarantine', () => {
  const open = [lease(gpu), begin(7), step('intent', 2), rung('rung', 7), step('undo', 1)];

  test('is for what was open in another boot, on its kernel, and for that card', () => {
    const { quarantine } = judge(past(other, ...open));
    const base = { card: gpu, id, ...other, since: now };
    assert.deepEqual(
      quarantine.map((one) => ({ ...one })),
      [
        { ...base, kind: 'step', name: `unbind ${gpu}.0` },
        { ...base, kind: 'rung', name: 'bus' },
        { ...base, kind: 'step', name: `unbind ${gpu}.0` },
      ],
    );
    assert.deepEqual(judge(past(here, ...open)).quarantine, []);
    assert.equal(judge(past(other, begin(7), rung('rung', 7))).quarantine[0]?.id, '');
  });

  test('is not for what had ended', () => {
    const ended = [step('done', 2), rung('rung-done', 7), step('undone', 1)];
    assert.deepEqual(judge(past(other, ...open, ...ended)).quarantine, []);
  });

  test('is not for steps that only wait or read', () => {
    const kinds = ['wait-free', 'unbind', 'restore-power', 'revive'] as const;
    assert.deepEqual(
      kinds.map((kind) => judge(past(other, of(kind))).quarantine.map((one) => one.name)),
      [[], [`unbind ${gpu}.0`], [`restore-power ${gpu}`], []],
    );
  });

  test('of another boot is found behind entries of this one', () => {
    const { quarantine, cutOff } = judge([...past(other, ...open), ...past(here, begin(8))]);
    assert.equal(quarantine.length, 3);
    assert.deepEqual(
      cutOff.map((one) => [one.job.id, one.hostWentDown]),
      [
        [7, true],
        [8, false],
      ],
    );
  });

  test('is a finding on its kernel, and on no other', () => {
    const { quarantine } = judge(past(other, lease(gpu), rung('rung', 7)));
    const [finding, ...more] = quarantineFindings(quarantine, other.kernel);
    assert.deepEqual(more, []);
    assert.deepEqual(
      [finding?.rule, finding?.severity, finding?.subject],
      ['quarantined', 'warning', gpu],
    );
    assert.match(finding?.message ?? '', /rung "bus" .*\(6\.12\.1\).*revivectl quarantine clear/);
    assert.deepEqual(quarantineFindings(quarantine, here.kernel), []);
  });
});

describe('how a boot ended while a card was lent', () => {
  const lent = { card: gpu, id, ...other };
  const home: JournalEntry = { event: 'home', card: gpu };
  const returning: JournalEntry = {
    event: 'lease',
    lease: { ...lease(gpu).lease, state: 'returning' },
  };
  const ends: readonly (readonly [
    string,
    readonly PastEntry[],
    'died' | 'endedWell' | undefined,
  ])[] = [
    ['badly, without the mark of a stop', past(other, started, lease(gpu)), 'died'],
    ['well, with it', past(other, started, lease(gpu), stopped), 'endedWell'],
    [
      'badly, when the daemon was started again after it',
      past(other, stopped, started, lease(gpu)),
      'died',
    ],
    ['not at all: it was at home', past(other, lease(gpu), home), undefined],
    [
      'badly, while its guest was waited for to let go',
      past(other, returning, {
        ...step('intent', 1),
        step: { step: 'wait-closed', args: { card: gpu, functions: [fn(`${gpu}.0`)] } },
      }),
      'died',
    ],
    ['not at all: it was on its way home', past(other, lease(gpu), returning), undefined],
    ['not at all: this is the boot', past(here, lease(gpu)), undefined],
  ];
  for (const [name, entries, end] of ends) {
    test(name, () => {
      const { died, endedWell } = judge(entries);
      assert.deepEqual(
        { died, endedWell },
        {
          died: end === 'died' ? [lent] : [],
          endedWell: end === 'endedWell' ? [lent] : [],
        },
      );
    });
  }

  test('leases are those of this boot', () => {
    const usb = card('0000:04:00');
    const both = [...past(other, lease(gpu)), ...past(here, lease(usb))];
    assert.deepEqual(judge(both).leases, [lease(usb).lease]);
  });
});

describe('the finding kernel-suspect', () => {
  const ends = (kernel: string, died: number, cleanAt = 0): KernelEnds => ({
    card: gpu,
    id,
    kernel,
    died: Array.from({ length: died }, (_, n) => `boot ${n}`),
    clean: cleanAt > 0,
    cleanAt,
  });
  const messages = (list: readonly KernelEnds[]) =>
    kernelFindings(list, 'bad').map((one) => one.message);

  test('needs two bad ends of the kernel that runs', () => {
    assert.deepEqual(messages([ends('bad', 1), ends('worse', 5)]), []);
    const [finding] = kernelFindings([ends('bad', 2)], 'bad');
    assert.deepEqual([finding?.rule, finding?.subject], ['kernel-suspect', gpu]);
    assert.match(finding?.message ?? '', /went down 2 times .*No kernel on which it went well/);
  });

  test('names the last kernel that was good, of this card', () => {
    const [message] = messages([
      ends('good', 0, 30),
      ends('older', 1, 20),
      ends('bad', 3),
      { ...ends('of another card', 0, 90), id: '10de:2204' },
      { ...ends('of another slot', 0, 90), card: card('0000:04:00') },
    ]);
    assert.match(message ?? '', /went well is good: boot that one/);
  });

  test('is cleared by one clean end', () => {
    assert.deepEqual(messages([ends('bad', 5, 1)]), []);
  });
});

describe('of a real journal', () => {
  const { bochs, flr } = benchCards;
  let sim: SimPipeline;
  let text: string;
  let whole: readonly PastEntry[];
  before(async () => {
    sim = await simPipeline();
    const guest = { domain: 'win10', uuid: 'u' };
    await sim.handover.take([sim.card(bochs), sim.card(flr)], guest, 'a test').ended;
    sim.kernel.die(bochs, { healsBy: ['remove-rescan'] });
    await sim.handover.giveBack(bochs, 'a test').ended;
    sim.kernel.failWrite(sim.bus('drivers/bochs-drm/unbind'), 'EIO');
    await assert.rejects(sim.handover.take([sim.card(bochs)], guest, 'a test').ended);
    await sim.journal.rotate();
    text = readFileSync(sim.host.paths.journal, 'utf8');
    whole = parsed(text.split('\n'));
    assert.equal(whole.length, text.split('\n').length - 1, 'every line is whole');
  });
  after(() => sim.close());

  /** What a reader has of the first bytes: whole lines, and the piece of one. */
  const cut = () =>
    fc.nat(text.length).map((length) => {
      const pieces = text.slice(0, length).split('\n');
      return [...whole.slice(0, pieces.length - 1), ...parsed(pieces.slice(-1))];
    });

  test('no part puts anything into quarantine in its own boot, or holds it against the kernel', () => {
    fc.assert(
      fc.property(cut(), (entries) => {
        const { quarantine, died, endedWell, cutOff } = judgePast(entries, simStamp, now);
        assert.deepEqual([quarantine, died, endedWell], [[], [], []]);
        assert.ok(cutOff.length <= 1 && cutOff.every((one) => !one.hostWentDown));
      }),
    );
  });

  test('a part that ends with the host puts that one thing into quarantine, the same each time', () => {
    const names = new Set<string>();
    fc.assert(
      fc.property(cut(), (entries) => {
        const judged = judgePast(entries, here, now);
        assert.deepEqual(judgePast(entries, here, now), judged);
        assert.deepEqual(
          judgePast([...entries, ...entries], here, now).quarantine,
          judged.quarantine,
        );
        assert.ok(judged.quarantine.length <= 1, JSON.stringify(judged.quarantine));
        assert.equal(judged.leases.length, 0);
        for (const one of judged.quarantine) {
          names.add(one.name);
          assert.deepEqual([one.kernel, one.boot], [simStamp.kernel, simStamp.boot]);
          assert.notEqual(one.id, '', 'a lease was there before it');
          assert.ok(judged.cutOff.some(({ at }) => at.endsWith(one.name)));
        }
      }),
      { numRuns: 300 },
    );
    assert.ok(names.size >= 5, [...names].join());
  });
});
