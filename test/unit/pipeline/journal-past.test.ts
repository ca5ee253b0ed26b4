/** What the next daemon is told of the one before: all that is open, and nothing that cannot be trusted. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { JournalEntry } from '../../../daemon/pipeline/journal-entry.ts';
import {
  begin,
  big,
  eventsOf,
  gpu,
  job,
  journalRoom,
  lease,
  mixed,
  openEvents,
  started,
  step,
} from '../journal-entries.ts';
import { journalOf } from '../sim-host.ts';

describe('the past of a journal', () => {
  const room = journalRoom();
  const { logged, open, ids, past } = room;

  describe('rotated', () => {
    test('while jobs run, carries all that is open and nothing else', async () => {
      const journal = await open();
      await journal.append(...mixed);
      await journal.append(big);
      assert.deepEqual(
        journalOf(room.path).map((line) => line['event']),
        ['daemon', ...openEvents],
      );
      await journal.append(step('done', 2));
      await journal.close();
      const { entries, lastJob } = await past();
      assert.deepEqual(eventsOf(entries), ['daemon', ...openEvents, 'done']);
      assert.equal(lastJob, 7);
      assert.deepEqual(await ids(), [6]);
      const again = await open();
      await again.append(started, big);
      assert.deepEqual(
        eventsOf((await past()).entries),
        ['daemon'],
        'that was settled by the start',
      );
      assert.equal((await past()).lastJob, 7);
      await again.close();
    });

    test('before the start is settled, carries what the daemon before had open', async () => {
      const first = await open();
      await first.append(...mixed);
      await first.close();
      const second = await open();
      await second.append(big);
      await second.close();
      assert.deepEqual(eventsOf((await past()).entries), ['daemon', ...openEvents]);
    });

    test('and cut off between its two renames, has lost nothing', async () => {
      const first = await open();
      await first.append(started, ...mixed);
      await first.close();
      const whole = await past();
      renameSync(room.path, `${room.path}.1`);
      writeFileSync(`${room.path}.new`, '{"v":1,"half');
      for (const time of ['once', 'twice']) assert.deepEqual(await past(), whole, time);
      assert.deepEqual(await ids(), [6]);
    });

    test('and the new file not to be written, goes on with what is open', async () => {
      mkdirSync(`${room.path}.new`);
      const journal = await open();
      await journal.append(...mixed);
      await journal.append(big);
      assert.equal(readFileSync(room.path, 'utf8'), '');
      assert.equal(logged.filter((line) => line.includes('cannot be written')).length, 1);
      await journal.append(step('done', 2));
      await journal.close();
      assert.deepEqual(eventsOf((await past()).entries), ['daemon', ...openEvents, 'done']);
    });
  });

  describe('what it finds of the past', () => {
    const fill = async (...entries: readonly JournalEntry[]) => {
      const journal = await open();
      await journal.append(...entries);
      await journal.close();
    };

    test('begins at the last start of a daemon', async () => {
      await fill(begin(3), started, begin(4), started, lease(gpu));
      const { entries, lastJob } = await past();
      assert.deepEqual([eventsOf(entries), lastJob], [['daemon', 'lease'], 4]);
    });

    test('begins at the start before, where the last one is cut off', async () => {
      await fill(begin(3), started, lease(gpu));
      const { size } = statSync(room.path);
      await fill(started);
      truncateSync(room.path, size + (statSync(room.path).size - size - 4));
      assert.deepEqual(eventsOf((await past()).entries), ['daemon', 'lease']);
      assert.match(logged.join(''), /Lines of the journal were skipped.*torn=1 foreign=0 newer=0/);
    });

    test('is not what is cut off, foreign, newer or of zeros; that is counted and said', async () => {
      await fill(lease(gpu));
      const [line = ''] = readFileSync(room.path, 'utf8').split('\n');
      const odd = [
        line.replace('"v":1', '"v":2'),
        line.replace('"v":1', '"v":"1"'),
        line.replace('"boot":"b00t"', '"boot":7'),
        line.replace('"state":"lent"', '"state":"sold"'),
        line.replace('"event":"lease"', '"event":"toString"'),
        '[]',
        'null',
        line.slice(0, -9),
        '\0'.repeat(4096),
      ];
      appendFileSync(room.path, `${odd.join('\n')}\n`);
      assert.deepEqual(eventsOf((await past()).entries), ['lease']);
      assert.match(logged.join(''), /torn=2 foreign=6 newer=1/);
      writeFileSync(room.path, '\0'.repeat(8192));
      assert.deepEqual(await past(), { entries: [], lastJob: 0 });
    });

    test('is nothing that was settled before a file that is damaged or not ours', async () => {
      await fill(...mixed, big);
      writeFileSync(room.path, '\0'.repeat(8192));
      assert.deepEqual(await past(), { entries: [], lastJob: 7 });
      chmodSync(room.path, 0o666);
      assert.deepEqual(await past(), { entries: [], lastJob: 7 });
    });

    test('keeps its order when the clock is set back', async (t) => {
      const now = t.mock.method(Date, 'now', () => 2e12);
      const journal = await open();
      await journal.append(started, begin(1));
      now.mock.mockImplementation(() => 1e12);
      await journal.append({ event: 'job', job: job(1) }, begin(2));
      await journal.close();
      const { entries, lastJob } = await past();
      assert.deepEqual([eventsOf(entries), lastJob], [['daemon', 'begin', 'job', 'begin'], 2]);
    });
  });

  const others: readonly (readonly [string, (t: TestContext) => void, RegExp])[] = [
    [
      'of somebody else',
      (t) => void t.mock.method(process, 'geteuid', () => 4242, { times: 1 }),
      /it belongs to uid \d+/,
    ],
    ['writable for others', () => chmodSync(room.path, 0o620), /others may write to it/],
    [
      'a link',
      () => {
        renameSync(room.path, `${room.path}.real`);
        symlinkSync(`${room.path}.real`, room.path);
      },
      /it is a link/,
    ],
    [
      'a pipe',
      () => {
        rmSync(room.path);
        execFileSync('mkfifo', ['-m', '600', room.path]);
      },
      /it is no plain file/,
    ],
  ];
  for (const [name, spoil, why] of others) {
    test(`that is ${name} is put aside, said, and begun anew`, async (t) => {
      const first = await open();
      await first.append(...mixed);
      await first.close();
      spoil(t);
      const second = await open();
      assert.deepEqual(second.past, { entries: [], lastJob: 0 });
      assert.equal(logged.length, 1);
      assert.match(logged[0] ?? '', why);
      assert.match(logged[0] ?? '', /put aside.*journal\.jsonl\.untrusted/);
      await second.append(begin(1));
      await second.close();
      assert.deepEqual(eventsOf((await past()).entries), ['begin']);
      assert.ok(readdirSync(join(room.path, '..')).includes('journal.jsonl.untrusted'));
    });
  }
});
