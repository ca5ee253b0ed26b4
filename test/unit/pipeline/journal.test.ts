/** The journal keeps what it was told through crashes, full disks and rotations, and gives back only what is whole. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  begin,
  eventsOf,
  job,
  journalRoom,
  openEvents,
  rung,
  step,
  stillOpen,
} from '../journal-entries.ts';
import { gate, journalOf, turns } from '../sim-host.ts';

/** Files of this process cannot grow beyond that: what a full disk does to a write, without one. */
const limitFiles = (bytes: number | 'unlimited'): void => {
  execFileSync('prlimit', ['--pid', `${process.pid}`, `--fsize=${bytes}:`]);
};

describe('the journal', () => {
  const room = journalRoom();
  const { logged, open, ids, past } = room;

  test('every line says which version, when, which boot and which kernel', async () => {
    const journal = await open();
    await journal.append({ event: 'job', job: job(1) });
    const [line] = journalOf(room.path);
    assert.deepEqual([line?.['v'], line?.['boot'], line?.['kernel']], [1, 'b00t', '6.12.1']);
    assert.ok(Math.abs(Number(line?.['at']) / 1000 - Date.now()) < 60_000);
    assert.equal(statSync(room.path).mode & 0o777, 0o600);
    await journal.close();
  });

  test('finished jobs come back as they were, newest first, as many as are asked for', async () => {
    const journal = await open();
    for (const id of [1, 2, 3]) await journal.append({ event: 'job', job: job(id) });
    assert.deepEqual(await journal.jobs(2), [job(3), job(2)]);
    await journal.close();
    assert.deepEqual(await ids(), [3, 2, 1]);
  });

  test('an entry is on disk when its append resolves, in the order of the calls', async () => {
    const journal = await open();
    await Promise.all([1, 2, 3, 4, 5].map((id) => journal.append({ event: 'job', job: job(id) })));
    assert.deepEqual(
      journalOf(room.path).map((line) => JSON.stringify(line['job']).slice(0, 7)),
      ['{"id":1', '{"id":2', '{"id":3', '{"id":4', '{"id":5'],
    );
    await journal.close();
  });

  test('a line that a crash cut off costs itself and nothing else', async () => {
    const first = await open();
    for (const id of [1, 2]) await first.append({ event: 'job', job: job(id) });
    await first.close();
    truncateSync(room.path, statSync(room.path).size - 20);
    const second = await open();
    await second.append({ event: 'job', job: job(3) });
    await second.close();
    assert.deepEqual(await ids(), [3, 1]);
  });

  const foreign: readonly (readonly [string, object])[] = [
    ['no job', {}],
    ['a job of another shape', { job: { id: 'one' } }],
    ['a requester that is a number', { job: { ...job(9), requestedBy: 0 } }],
    ['an id that is text', { job: { ...job(9), id: '9' } }],
    ['a time that is text', { job: { ...job(9), startedUsec: 'now' } }],
    ['a step without a name', { job: { ...job(9), steps: [{ ms: 1 }] } }],
    ['a card that is a path', { job: { ...job(9), cards: ['../..'] } }],
  ];
  for (const [name, entry] of foreign) {
    test(`a line with ${name} is passed over`, async () => {
      const stamp = { v: 1, boot: 'b00t', kernel: '6.12.1' };
      const whole = JSON.stringify({ ...stamp, event: 'job', job: job(2) });
      const broken = JSON.stringify({ ...stamp, event: 'job', ...entry });
      writeFileSync(room.path, `${broken}\n${whole}\n\0\0\0\n"event":"job"\n`, { mode: 0o600 });
      assert.deepEqual(await ids(), [2]);
    });
  }

  describe('grown big', () => {
    const fill = () => appendFileSync(room.path, `${'x'.repeat(4 * 1024 * 1024)}\n`);

    test('makes room when no job runs, and still knows what is in the old file', async () => {
      const first = await open();
      await first.append({ event: 'job', job: job(1) });
      await first.rotate();
      assert.deepEqual(journalOf(room.path).length, 1, 'not yet');
      await first.close();
      fill();
      const journal = await open();
      await Promise.all([journal.rotate(), journal.append({ event: 'job', job: job(2) })]);
      assert.deepEqual(
        journalOf(room.path).map((line) => line['event']),
        ['daemon', 'job'],
      );
      assert.ok(statSync(`${room.path}.1`).size > 4_000_000);
      assert.deepEqual(
        (await journal.jobs(10)).map((one) => one.id),
        [2, 1],
      );
      await journal.close();
    });

    test('and not to be moved, goes on with the file it has', async () => {
      fill();
      mkdirSync(`${room.path}.1`);
      writeFileSync(`${room.path}.1/in-the-way`, '');
      const journal = await open();
      for (const id of [1, 2]) {
        await journal.rotate();
        await journal.append({ event: 'job', job: job(id) });
      }
      await journal.close();
      assert.match(readFileSync(room.path, 'utf8').slice(-400), /"event":"job"/);
      assert.equal(logged.filter((line) => line.includes('cannot be written')).length, 1);
      rmSync(`${room.path}.1`, { recursive: true });
    });

    test('beyond reading, is no reason to fail', async () => {
      writeFileSync(room.path, '');
      truncateSync(room.path, 17 * 1024 * 1024);
      const journal = await open();
      assert.deepEqual(await journal.jobs(10), []);
      assert.match(logged.join(''), /more than/);
      await journal.close();
    });
  });

  test('that is a directory is refused and said; cards move all the same', async () => {
    mkdirSync(room.path);
    const journal = await open();
    await journal.append(begin(1));
    assert.equal(logged.filter((line) => line.includes('cannot be written')).length, 1);
    await journal.close();
  });

  test('an older file that cannot be trusted is not read, and does not hide a full disk', async () => {
    const journal = await open();
    writeFileSync(`${room.path}.1`, `${JSON.stringify({ v: 1 })}\n`, { mode: 0o600 });
    chmodSync(`${room.path}.1`, 0o622);
    assert.deepEqual(await journal.jobs(10), []);
    assert.match(logged.join(''), /cannot be read.*others may write to it/);
    await journal.close();
    assert.doesNotMatch(logged.join(''), /cannot be written/);
  });

  test('on a full disk it says so once, goes on, and has all that is open when there is room', async () => {
    const journal = await open();
    await journal.append(begin(7), step('intent', 2), step('intent', 3));
    const fds = () => readdirSync('/proc/self/fd').length;
    const before = fds();
    limitFiles(statSync(room.path).size + 30);
    try {
      await journal.append(step('done', 3));
      for (const entry of stillOpen.slice(2)) await journal.append(entry);
      for (let n = 0; n < 20; n++) await journal.append(rung('rung', 8), rung('rung-done', 8));
      assert.ok(fds() <= before, `${fds()} descriptors, ${before} before`);
    } finally {
      limitFiles('unlimited');
    }
    assert.equal(logged.length, 1);
    assert.match(logged[0] ?? '', /journal cannot be written.*EFBIG/);
    await journal.append(begin(8));
    assert.match(logged.slice(1).join(''), /^<6>The journal can be written again.*\n$/);
    await journal.append({ event: 'job', job: job(8) });
    await journal.close();
    const { entries, lastJob } = await past();
    assert.deepEqual(eventsOf(entries), ['daemon', ...openEvents, 'begin', 'job']);
    assert.equal(lastJob, 8);
    assert.deepEqual(await ids(), [8]);
  });

  test('on a disk that does not answer it goes on after five seconds, and has all that is open when there is an answer', async (t) => {
    const journal = await open();
    await journal.append(begin(7), step('intent', 2), step('intent', 3));
    const file = await openFile(room.path);
    const answer = gate();
    const datasync = t.mock.method(Object.getPrototypeOf(file), 'datasync', () => answer.opened);
    await file.close();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const appended = journal.append(step('done', 3));
    while (datasync.mock.callCount() === 0) await turns(1);
    t.mock.timers.tick(5_000);
    await appended;
    for (const entry of stillOpen.slice(2)) await journal.append(entry);
    assert.equal(datasync.mock.callCount(), 1, 'nothing more is asked of it');
    assert.equal(logged.length, 1);
    assert.match(logged[0] ?? '', /journal cannot be written.*did not end within 5000 ms/);
    datasync.mock.restore();
    answer.open();
    await turns();
    await journal.append(begin(8));
    assert.match(logged.slice(1).join(''), /^<6>The journal can be written again.*\n$/);
    await journal.close();
    const { entries, lastJob } = await past();
    assert.deepEqual([eventsOf(entries), lastJob], [['daemon', ...openEvents, 'begin'], 8]);
  });

  test('without a disk it says so once, and cards move all the same; with one it goes on', async () => {
    const directory = join(room.path, 'no', 'such', 'directory');
    room.path = join(directory, 'journal.jsonl');
    const journal = await open();
    for (const id of [1, 2]) await journal.append(begin(id));
    assert.deepEqual(await journal.jobs(10), []);
    assert.equal(logged.length, 1);
    assert.match(logged[0] ?? '', /journal cannot be written: history is lost/);
    mkdirSync(directory, { recursive: true });
    await journal.append({ event: 'job', job: job(1) });
    await journal.close();
    assert.match(logged[1] ?? '', /can be written again/);
    assert.deepEqual(eventsOf((await past()).entries), ['daemon', 'begin', 'begin', 'job']);
  });

  test('in a directory that nobody can write to it says so once', async () => {
    room.path = '/sys/kernel/journal.jsonl';
    const journal = await open();
    for (const id of [1, 2]) await journal.append(begin(id));
    await journal.close();
    assert.equal(
      logged.filter((line) => /cannot be written.*(EACCES|EPERM|EROFS)/.test(line)).length,
      1,
    );
  });
});
