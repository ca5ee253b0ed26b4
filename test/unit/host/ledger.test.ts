/** The ledger is whole or it is nothing: what it says keeps people from using their card. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, type TestContext, test } from 'node:test';
import { createBaseline } from '../../../daemon/host/baseline.ts';
import { openLedger, type Quarantined } from '../../../daemon/host/ledger.ts';
import { isOutcome, type OutcomeKey } from '../../../daemon/host/outcome.ts';
import { createLog } from '../../../daemon/log.ts';
import { freshDirectory } from '../fresh-directory.ts';
import { card, fn } from '../inventory-of.ts';

const fresh = freshDirectory('ledger');
const gpu = { card: card('0000:01:00'), id: '1002:731f' };
const usb = { card: card('0000:04:00'), id: '1b36:000d' };
const quarantined: Quarantined = {
  ...gpu,
  kind: 'rung',
  name: 'slot-power',
  kernel: '6.12.1',
  boot: 'b00t',
  since: 42,
};
const hour = 3600 * 1_000_000;

describe('the ledger', () => {
  let path: string;
  let logged: string[];
  const log = createLog('text', 'debug', (line) => logged.push(line));
  const open = () => openLedger(path, log);
  beforeEach(() => {
    path = join(fresh.path, 'ledger.json');
    logged = [];
  });

  const write = (text: string) => () => writeFileSync(path, text, { mode: 0o600 });

  test('what it was told is there after a restart', async () => {
    const ledger = await open();
    await ledger.addQuarantine([quarantined, { ...quarantined, ...usb }]);
    await ledger.addEnd(gpu, '6.12.1', { died: 'one' });
    await ledger.addEnd(gpu, '6.12.1', { died: 'two' });
    await ledger.addEnd(gpu, '6.11.0', { cleanAt: 7 });
    const seen = { ...gpu, uuid: 'u', version: '', boot: 'b', since: 1 };
    await ledger.setDriver(seen);
    await ledger.setDriver({ ...seen, uuid: 'v' });
    await ledger.setDriver({ ...seen, version: '31.0' });
    const later = await open();
    assert.deepEqual(later.drivers(), [
      { ...seen, uuid: 'v' },
      { ...seen, version: '31.0' },
    ]);
    assert.deepEqual(later.quarantine(), [quarantined, { ...quarantined, ...usb }]);
    assert.deepEqual(later.kernels(), [
      { ...gpu, kernel: '6.12.1', died: ['one', 'two'], clean: false, cleanAt: 0 },
      { ...gpu, kernel: '6.11.0', died: [], clean: true, cleanAt: 7 },
    ]);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(logged, []);
  });

  test('what is there already is not added again, and what is cleared is gone', async () => {
    const ledger = await open();
    await ledger.addQuarantine([quarantined, { ...quarantined, since: 41 }]);
    await ledger.addQuarantine([{ ...quarantined, since: 43, boot: 'later' }]);
    assert.deepEqual(ledger.quarantine(), [quarantined]);
    for (const change of [{ name: 'bus' }, { kind: 'step' }, { kernel: '7' }, usb] as const) {
      await ledger.addQuarantine([{ ...quarantined, ...change }]);
    }
    assert.equal(ledger.quarantine().length, 5);
    assert.equal(await ledger.clearQuarantine((one) => one.name === 'bus'), 1);
    assert.equal(await ledger.clearQuarantine((one) => one.name === 'bus'), 0);
    assert.equal((await open()).quarantine().length, 4);
    assert.equal(await ledger.clearQuarantine(() => true), 4);
    assert.deepEqual((await open()).quarantine(), []);
  });

  test('a boot is counted once; of clean ends the time is kept to the hour', async () => {
    const ledger = await open();
    const only = () => ledger.kernels()[0];
    for (let n = 0; n < 3; n++) await ledger.addEnd(gpu, 'k', { died: 'one' });
    assert.deepEqual(only()?.died, ['one']);
    await ledger.addEnd(gpu, 'k', { cleanAt: 10 });
    const { ino } = statSync(path);
    await ledger.addEnd(gpu, 'k', { cleanAt: hour });
    assert.deepEqual([only()?.cleanAt, statSync(path).ino], [10, ino], 'not written again');
    await ledger.addEnd(gpu, 'k', { cleanAt: 2 * hour });
    assert.deepEqual([only()?.cleanAt, only()?.clean, only()?.died], [2 * hour, true, ['one']]);
    await ledger.addEnd(gpu, 'k', { cleanAt: 20 });
    assert.equal(only()?.cleanAt, 20, 'the clock was set back: this is the last end all the same');
  });

  test('it is bounded; the oldest go', async () => {
    const ledger = await open();
    const many = Array.from({ length: 300 }, (_, n) => ({ ...quarantined, name: `rung ${n}` }));
    await ledger.addQuarantine(many);
    assert.deepEqual(
      [ledger.quarantine().length, ledger.quarantine().at(-1)?.name],
      [256, 'rung 299'],
    );
    for (let n = 0; n < 10; n++) await ledger.addEnd(usb, 'k', { died: `boot ${n}` });
    assert.deepEqual(
      [ledger.kernels()[0]?.died.length, ledger.kernels()[0]?.died[0]],
      [8, 'boot 2'],
    );
    const ends = ledger.kernels()[0] ?? assert.fail('it was added');
    const kernels = Array.from({ length: 512 }, (_, n) => ({ ...ends, kernel: `kernel ${n}` }));
    write(JSON.stringify({ version: 1, quarantine: [], kernels }))();
    const full = await open();
    await full.addEnd(gpu, 'one more', { died: 'one' });
    assert.deepEqual(
      [full.kernels().length, full.kernels()[0]?.kernel, full.kernels().at(-1)?.kernel],
      [512, 'kernel 1', 'one more'],
    );
  });

  describe('what came of rungs', () => {
    const key: OutcomeKey = {
      ...gpu,
      family: 'AMD Navi 10',
      rung: 'device_specific',
      kernel: '6.12.1',
      driver: 'amdgpu',
    };
    const result = { wasHealthy: false, worked: true, ms: 240.4, at: 7 };

    test('is counted by card, rung, kernel and driver, and there after a restart', async () => {
      const ledger = await open();
      await ledger.addResult(key, result);
      await ledger.addResult(key, { ...result, worked: false, ms: 70_000, at: 8 });
      await ledger.addResult(key, { ...result, wasHealthy: true, ms: 230, at: 9 });
      await ledger.addResult(key, { ...result, wasHealthy: true, worked: false, ms: 231, at: 10 });
      for (const change of [usb, { rung: 'bus' }, { kernel: '7' }, { driver: 'nouveau' }] as const)
        await ledger.addResult({ ...key, ...change }, result);
      const later = await open();
      assert.equal(later.outcomes().length, 5);
      const { family: _, ...counts } = { ...key, ms: [240, 70_000, 230, 231], last: 10 };
      assert.deepEqual(later.outcomes()[0], {
        ...{ ...counts, family: 'AMD Navi 10' },
        ...{ tried: 2, healed: 1, triedHealthy: 2, keptHealthy: 1 },
      });
      assert.deepEqual(logged, []);
    });

    test('is bounded: the newest are kept, of entries and of times', async () => {
      const ledger = await open();
      for (let ms = 0; ms < 12; ms++) await ledger.addResult(key, { ...result, ms });
      const [one] = ledger.outcomes();
      assert.deepEqual([one?.tried, one?.ms], [12, [3, 4, 5, 6, 7, 8, 9, 10, 11]]);
      const outcomes = Array.from({ length: 512 }, (_, n) => ({ ...one, kernel: `k${n}` }));
      write(JSON.stringify({ version: 1, quarantine: [], kernels: [], outcomes }))();
      const full = await open();
      await full.addResult({ ...key, kernel: 'k3' }, result);
      assert.deepEqual([full.outcomes().length, full.outcomes().at(-1)?.kernel], [512, 'k3']);
      await full.addResult({ ...key, kernel: 'new' }, result);
      assert.deepEqual([full.outcomes().length, full.outcomes()[0]?.kernel], [512, 'k1']);
    });

    test('an entry that is not whole is none', async () => {
      await (await open()).addResult(key, result);
      const { outcomes } = JSON.parse(readFileSync(path, 'utf8'));
      assert.ok(isOutcome(outcomes[0]));
      for (const change of [
        { rung: 'prayer' },
        { tried: -1 },
        { healed: 0.5 },
        { ms: 'soon' },
        { ms: [null] },
        { ms: Array.from({ length: 10 }, () => 1) },
        { kernel: 'x'.repeat(300) },
        { last: undefined },
      ]) {
        assert.equal(isOutcome({ ...outcomes[0], ...change }), false, JSON.stringify(change));
      }
    });
  });

  test('of each link the best that was seen is kept, and written only when it is better', async () => {
    const ledger = await open();
    const address = fn('0000:01:00.0');
    const see = (speed: number, width: number) =>
      ledger.noteLinks({ ...gpu, links: [{ address, speed, width }] });
    await see(8, 4);
    await see(2.5, 16);
    const { ino } = statSync(path);
    for (const [speed, width] of [
      [8, 16],
      [2.5, 1],
    ] as const) {
      await see(speed, width);
      assert.equal(statSync(path).ino, ino, 'not written again');
    }
    const links = [{ address, speed: 8, width: 16 }];
    assert.deepEqual((await open()).links(), [{ ...gpu, links }]);
    await ledger.noteLinks({ ...gpu, id: '1002:73bf', links: [{ address, speed: 8, width: 8 }] });
    assert.equal(ledger.links().length, 2, 'another card in that slot');
  });

  test('a doubt is about one card in one boot, and there is an end to them', async () => {
    const ledger = await open();
    await ledger.setDoubt(usb, 'a', 'of the boot before');
    for (let n = 0; n < 70; n++)
      await ledger.setDoubt({ ...gpu, id: `${n}` }, 'b', 'x'.repeat(999));
    await ledger.setDoubt(gpu, 'b', 'first');
    await ledger.setDoubt(gpu, 'b', 'second');
    const doubts = (await open()).doubts();
    assert.equal(doubts.length, 64);
    assert.equal(doubts[0]?.line.length, 512);
    assert.deepEqual(doubts.at(-1), { ...gpu, boot: 'b', line: 'second' });
    assert.ok(doubts.every(({ boot }) => boot === 'b'));
    await ledger.setDoubt(gpu, 'b', undefined);
    const { ino } = statSync(path);
    await ledger.setDoubt(gpu, 'b', undefined);
    assert.equal(statSync(path).ino, ino, 'not written again');
    assert.equal((await open()).doubts().length, 63);
    assert.equal(createBaseline(ledger, 'b').doubt({ ...gpu, id: '69' })?.length, 512);
    assert.equal(createBaseline(ledger, 'c').doubt({ ...gpu, id: '69' }), undefined);
  });

  test('what a card was like is kept for its boot, written only when it is new, and there is an end to it', async () => {
    const ledger = await open();
    const address = fn('0000:01:00.0');
    const bars = (...numbers: readonly number[]) => [{ address, id: '1002:731f', bars: numbers }];
    await ledger.noteKnown({ ...usb, boot: 'a', fatal: [], bars: [] });
    await ledger.noteKnown({ ...gpu, boot: 'b', bars: bars(0, 2) });
    const one = createBaseline(await open(), 'b');
    assert.equal(one.of(gpu), undefined, 'it was not well yet');
    const counts = new Map([
      [`${address} fatal SDES`, 2],
      [`${address} fatal DLP`, 0],
      [`${address} correctable RxErr`, 9],
    ]);
    const baseline = createBaseline(ledger, 'b');
    await baseline.note(gpu, { counts, bars: bars(2, 5) });
    const { ino } = statSync(path);
    await baseline.note(gpu, { counts, bars: bars(0) });
    assert.equal(statSync(path).ino, ino, 'not written again');
    const known = { ...gpu, boot: 'b', fatal: [[`${address} fatal SDES`, 2]], bars: bars(0, 2, 5) };
    assert.deepEqual((await open()).known(), [known]);
    assert.equal(createBaseline(ledger, 'c').of(gpu), undefined);
    const many = Array.from({ length: 200 }, (_, n) => [`${address} fatal ${n}`, 1] as const);
    await baseline.note(gpu, { counts: new Map(many) });
    assert.equal(baseline.of(gpu), undefined, 'more than there is room for');
    const cards = Array.from({ length: 128 }, (_, n) => ({ ...known, id: `${n}` }));
    write(JSON.stringify({ version: 1, quarantine: [], kernels: [], known: cards }))();
    const full = await open();
    await createBaseline(full, 'b').note(usb, { counts });
    assert.deepEqual([full.known().length, full.known()[0]?.id], [128, '1']);
  });

  const whole = JSON.stringify({ version: 1, quarantine: [quarantined], kernels: [] });
  const spoilt: readonly (readonly [string, (t: TestContext) => void, RegExp])[] = [
    [
      'of somebody else',
      (t) => {
        write(whole)();
        t.mock.method(process, 'geteuid', () => 4242, { times: 1 });
      },
      /it belongs to uid \d+/,
    ],
    ['cut off', write(whole.slice(0, -9)), /JSON/],
    ['of zeros', write('\0'.repeat(4096)), /JSON/],
    ['empty', write(''), /JSON/],
    ['from a newer version', write(whole.replace('"version":1', '"version":2')), /another version/],
    ['no object', write('[]'), /another version/],
    ['without its kernels', write('{"version":1,"quarantine":[]}'), /not whole/],
    ['too big', write(' '.repeat(1024 * 1024 + 1)), /more than 1048576/],
    [
      'writable for others',
      () => {
        write(whole)();
        chmodSync(path, 0o660);
      },
      /others may write to it/,
    ],
    [
      'a link',
      () => {
        writeFileSync(`${path}.real`, whole, { mode: 0o600 });
        symlinkSync(`${path}.real`, path);
      },
      /ELOOP/,
    ],
    ['a pipe', () => void execFileSync('mkfifo', ['-m', '600', path]), /no plain file/],
    ['a directory', () => mkdirSync(path), /no plain file/],
  ];
  for (const [name, spoil, why] of spoilt) {
    test(`that is ${name} is put aside, said, and begun anew`, async (t) => {
      spoil(t);
      const ledger = await open();
      assert.deepEqual([ledger.quarantine(), ledger.kernels()], [[], []]);
      assert.equal(logged.length, 1);
      assert.match(logged[0] ?? '', /The ledger cannot be trusted: .* put aside as .*untrusted/);
      assert.match(logged[0] ?? '', why);
      assert.ok(existsSync(`${path}.untrusted`));
      await ledger.addQuarantine([quarantined]);
      assert.deepEqual((await open()).quarantine(), [quarantined]);
      assert.equal(logged.length, 1);
    });
  }

  test('entries that are not whole are left out, counted and said', async () => {
    const ends = { ...gpu, kernel: 'k', died: ['one'], clean: false, cleanAt: 0 };
    const quarantine = [
      quarantined,
      { ...quarantined, card: '../..' },
      { ...quarantined, kind: 'host' },
      { ...quarantined, name: 'x'.repeat(300) },
      { ...quarantined, since: 'now' },
      null,
    ];
    const kernels = [ends, { ...ends, died: [7] }, { ...ends, clean: 1 }, 'kernel'];
    const outcomes = [{ ...gpu, rung: 'bus' }, 7];
    const links = [{ ...gpu, links: [{ address: '../..', speed: 8, width: 1 }] }, gpu];
    const doubts = [{ ...gpu, boot: 'b', line: 'x'.repeat(513) }];
    const bars = [{ address: '0000:01:00.0', id: '1002:731f', bars: [0] }];
    const known = [
      { ...gpu, boot: 'b', bars, fatal: [['0000:00:04.0 fatal SDES', 1]] },
      { ...gpu, boot: 'b', bars: [{ ...bars[0], bars: [6] }] },
      { ...gpu, boot: 'b', bars: [{ ...bars[0], address: '../..' }] },
      { ...gpu, boot: 'b', bars, fatal: [['0000:00:04.0 fatal SDES', 0.5]] },
      { ...gpu, boot: 'b', bars, fatal: Array.from({ length: 33 }, () => ['x', 1]) },
      { ...gpu, boot: 7, bars },
    ];
    write(JSON.stringify({ version: 1, quarantine, kernels, outcomes, links, doubts, known }))();
    const ledger = await open();
    assert.deepEqual([ledger.quarantine(), ledger.kernels()], [[quarantined], [ends]]);
    assert.deepEqual([ledger.outcomes(), ledger.links()], [[], []]);
    assert.deepEqual(ledger.doubts(), []);
    assert.deepEqual(ledger.known(), known.slice(0, 1));
    assert.match(logged.join(''), /Entries of the ledger are not whole.*lost=18/);
  });

  test('that cannot be written is kept in memory, said once, and written when it can be', async () => {
    mkdirSync(`${path}.new`);
    const ledger = await open();
    await ledger.addQuarantine([quarantined]);
    await ledger.addEnd(gpu, 'k', { died: 'one' });
    assert.deepEqual([ledger.quarantine().length, ledger.kernels().length], [1, 1]);
    assert.equal(logged.length, 1);
    assert.match(logged[0] ?? '', /The ledger cannot be written: it is lost at the next restart/);
    rmSync(`${path}.new`, { recursive: true });
    await ledger.addEnd(gpu, 'k', { died: 'two' });
    const later = await open();
    assert.deepEqual(
      [later.quarantine(), later.kernels()[0]?.died],
      [[quarantined], ['one', 'two']],
    );
    assert.equal(JSON.parse(readFileSync(path, 'utf8')).version, 1);
  });
});
