import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { createSleep, type Logind, type SleepParts } from '../../../daemon/host/suspend.ts';
import type { SysfsIo } from '../../../daemon/sysfs/io.ts';
import { card } from '../inventory-of.ts';

let sys = '';
const put = (name: string, text: string) => {
  mkdirSync(join(sys, name, '..'), { recursive: true });
  writeFileSync(join(sys, name), text);
};
const get = (name: string) => readFileSync(join(sys, name), 'utf8');
const alarm = 'class/rtc/rtc0/wakealarm';
let written: string[] = [];

const io: SysfsIo = {
  async write(path, value) {
    written.push(`${path.slice(sys.length + 1)} = ${value}`);
    // As the kernel shows them: the choice in brackets, no alarm as nothing.
    const shown = path.endsWith('mem_sleep')
      ? ['s2idle', 'deep'].map((one) => (one === value ? `[${one}]` : one)).join(' ')
      : value === '0'
        ? ''
        : '1795000000';
    writeFileSync(path, shown);
    return { state: 'ok', ms: 0, data: Buffer.alloc(0) };
  },
  read: () => assert.fail('nothing is read by a child'),
};

/** A logind whose host really sleeps, or gives it up. */
function logindThat(sleeps: boolean, blocked = 'shutdown'): Logind {
  let listener = (_before: boolean): void => {};
  return {
    blocked: async () => blocked,
    isPreparing: async () => false,
    onPrepare: async (hear) => {
      listener = hear;
    },
    async suspend() {
      listener(true);
      assert.match(get('power/mem_sleep'), /\[deep\]/);
      assert.notEqual(get(alarm), '');
      if (sleeps) put('power/suspend_stats/success', '4');
      setImmediate(() => listener(false));
    },
  };
}

function sleepOf(parts: Partial<SleepParts> = {}) {
  const running = () => [];
  const logind = logindThat(true);
  return createSleep({ sys, io, logind, writeMs: 100, running, allowed: () => 'alone', ...parts });
}

beforeEach(() => {
  sys = mkdtempSync(join(tmpdir(), 'revived-suspend-'));
  written = [];
  put('power/mem_sleep', 's2idle [deep]\n');
  put('power/suspend_stats/success', '3\n');
  put('power/suspend_stats/last_failed_dev', '0000:01:00.0\n');
  put(alarm, '');
});
afterEach(() => rmSync(sys, { recursive: true }));

test('the alarm is set before the host sleeps, and taken back when it is awake', async () => {
  await sleepOf().sleep();
  assert.deepEqual(written, [`${alarm} = +20`, `${alarm} = 0`]);
});

test('the alarm is put off while programs hold the sleep up', async () => {
  const times = { pushMs: 1, wholeMs: 5_000, undoMs: 1 };
  const logind = logindThat(true);
  const slow = {
    ...logind,
    suspend: async () => void setTimeout(() => void logind.suspend(), 120),
  };
  await sleepOf({ logind: slow, times }).sleep();
  assert.deepEqual(written.slice(0, 2), [`${alarm} = +20`, `${alarm} = +=5`]);
  assert.equal(written.at(-1), `${alarm} = 0`);
});

test('a host that has not slept in time may do so later, and is woken then', async () => {
  const logind = { ...logindThat(true), suspend: async () => {} };
  const times = { pushMs: 1000, wholeMs: 1, undoMs: 1 };
  await assert.rejects(sleepOf({ logind, times }).sleep(), /nothing was heard of it/);
  assert.deepEqual(written, [`${alarm} = +20`]);
});

test('deep is chosen where it is not, and the old choice comes back', async () => {
  put('power/mem_sleep', '[s2idle] deep\n');
  await sleepOf().sleep();
  assert.deepEqual(written.at(0), 'power/mem_sleep = deep');
  assert.deepEqual(written.at(-1), 'power/mem_sleep = s2idle');
});

test('what a daemon that was ended in it left is put back, once, and what was there before stays', async () => {
  put('power/mem_sleep', '[s2idle] deep\n');
  const before = sleepOf().survey();
  assert.deepEqual(before, { kind: 's2idle', alarm: '' });
  await sleepOf().undo(before);
  assert.deepEqual(written, []);
  put('power/mem_sleep', 's2idle [deep]\n');
  put(alarm, '1795000000');
  await sleepOf().undo(before);
  await sleepOf().undo(before);
  assert.deepEqual(written, ['power/mem_sleep = s2idle', `${alarm} = 0`]);
  put('power/mem_sleep', 's2idle [deep]\n');
  put(alarm, '1795000000');
  assert.deepEqual(sleepOf().survey(), {});
  await sleepOf().undo({});
  await sleepOf().undo({ kind: 'deep 1\n' });
  assert.equal(written.length, 2);
});

test('while the host is on its way to sleep, what it needs for that and for waking stays', async () => {
  put(alarm, '1795000000');
  const logind = { ...logindThat(true), isPreparing: async () => written.length === 0 };
  const undone = sleepOf({ logind, times: { pushMs: 1, wholeMs: 1, undoMs: 1 } }).undo({
    kind: 's2idle',
  });
  await assert.rejects(undone, /on its way there for too long/);
  assert.deepEqual(written, []);
  const gone = { ...logind, isPreparing: () => Promise.reject(new Error('no logind')) };
  await sleepOf({ logind: gone }).undo({ kind: 's2idle', alarm: '' });
  assert.deepEqual(written, ['power/mem_sleep = s2idle', `${alarm} = 0`]);
});

test('a host that gave it up is not taken for one that slept', async () => {
  const outcome = sleepOf({ logind: logindThat(false) }).sleep();
  await assert.rejects(outcome, /the kernel gave it up because of 0000:01:00\.0/);
  assert.equal(get(alarm), '');
});

const refusals: readonly (readonly [string, string, string, RegExp])[] = [
  ['no S3', 'power/mem_sleep', '[s2idle]', /no deep sleep \(S3\)/],
  ['an alarm that is taken', alarm, '1795000000', /alarm of this host is taken by somebody else/],
];
for (const [what, name, text, why] of refusals) {
  test(`${what}: it stays awake, and nothing is changed`, async () => {
    put(name, text);
    await assert.rejects(sleepOf().sleep(), why);
    assert.deepEqual(written, []);
  });
}

test('who blocks it is respected, although logind would not', async () => {
  const logind = logindThat(true, 'shutdown:sleep');
  await assert.rejects(sleepOf({ logind }).sleep(), /a program blocks it/);
  assert.deepEqual(written, []);
});

test('other domains are not put to sleep unasked', () => {
  const gpu = card('0000:01:00');
  const running = () => ['web\u001b[2J'];
  assert.match(sleepOf({ running }).against(gpu) ?? '', /^web\\u001b\[2J would sleep as well/);
  assert.equal(sleepOf({ running, allowed: () => 'always' }).against(gpu), undefined);
  assert.match(sleepOf({ running: () => undefined }).against(gpu) ?? '', /does not say/);
  assert.match(sleepOf({ allowed: () => 'never' }).against(gpu) ?? '', /forbids it/);
  assert.equal(sleepOf().against(gpu), undefined);
});
