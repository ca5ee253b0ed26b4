/** The journal keeps what it was told through crashes, full disks and rotations, and gives back only what is whole. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, test } from 'node:test';
import { createLog } from '../../../daemon/log.ts';
import { openJournal } from '../../../daemon/pipeline/journal.ts';
import type { JobView } from '../../../daemon/pipeline/service.ts';
import { card } from '../inventory-of.ts';
import { journalOf } from '../sim-host.ts';

const gpu = card('0000:01:00');

function job(id: number, change: Partial<JobView> = {}): JobView {
  return {
    id,
    operation: 'return',
    subject: gpu,
    cards: [gpu],
    state: 'done',
    progress: 1,
    startedUsec: 1,
    finishedUsec: 2,
    requestedBy: 'a test',
    steps: [{ name: 'unbind 0000:01:00.0', state: 'done', ms: 3, detail: 'amdgpu let go' }],
    error: '',
    ...change,
  };
}

describe('the journal', () => {
  let path: string;
  let logged: string[];
  const log = createLog('text', 'debug', (line) => logged.push(line));
  const open = () => openJournal(path, { boot: 'b00t', kernel: '6.12.1' }, log);
  beforeEach(() => {
    path = join(mkdtempSync(join(tmpdir(), 'revived-journal-')), 'journal.jsonl');
    logged = [];
  });

  const ids = async (limit = 100) => {
    const journal = await open();
    const found = (await journal.jobs(limit)).map((one) => one.id);
    await journal.close();
    return found;
  };

  test('every line says which version, when, which boot and which kernel', async () => {
    const journal = await open();
    await journal.append({ event: 'job', job: job(1) });
    const [line] = journalOf(path);
    assert.deepEqual([line?.['v'], line?.['boot'], line?.['kernel']], [1, 'b00t', '6.12.1']);
    assert.ok(Math.abs(Number(line?.['at']) / 1000 - Date.now()) < 60_000);
    assert.equal(statSync(path).mode & 0o777, 0o600);
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
      journalOf(path).map((line) => JSON.stringify(line['job']).slice(0, 7)),
      ['{"id":1', '{"id":2', '{"id":3', '{"id":4', '{"id":5'],
    );
    await journal.close();
  });

  test('a line that a crash cut off costs itself and nothing else', async () => {
    const first = await open();
    for (const id of [1, 2]) await first.append({ event: 'job', job: job(id) });
    await first.close();
    truncateSync(path, statSync(path).size - 20);
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
      writeFileSync(path, `${broken}\n${whole}\n\0\0\0\n"event":"job"\n`, { mode: 0o600 });
      assert.deepEqual(await ids(), [2]);
    });
  }

  describe('grown big', () => {
    const fill = () => appendFileSync(path, `${'x'.repeat(4 * 1024 * 1024)}\n`);

    test('makes room when no job runs, and still knows what is in the old file', async () => {
      const first = await open();
      await first.append({ event: 'job', job: job(1) });
      await first.rotate();
      assert.deepEqual(journalOf(path).length, 1, 'not yet');
      await first.close();
      fill();
      const journal = await open();
      await Promise.all([journal.rotate(), journal.append({ event: 'job', job: job(2) })]);
      assert.deepEqual(
        journalOf(path).map((line) => line['event']),
        ['daemon', 'job'],
      );
      assert.ok(statSync(`${path}.1`).size > 4_000_000);
      assert.deepEqual(
        (await journal.jobs(10)).map((one) => one.id),
        [2, 1],
      );
      await journal.close();
    });

    test('and not to be moved, goes on with the file it has', async () => {
      fill();
      mkdirSync(`${path}.1`);
      writeFileSync(`${path}.1/in-the-way`, '');
      const journal = await open();
      for (const id of [1, 2]) {
        await journal.rotate();
        await journal.append({ event: 'job', job: job(id) });
      }
      await journal.close();
      assert.match(readFileSync(path, 'utf8').slice(-400), /"event":"job"/);
      assert.equal(logged.filter((line) => line.includes('cannot be written')).length, 1);
      rmSync(`${path}.1`, { recursive: true });
    });

    test('beyond reading, is no reason to fail', async () => {
      writeFileSync(path, '');
      truncateSync(path, 17 * 1024 * 1024);
      const journal = await open();
      assert.deepEqual(await journal.jobs(10), []);
      assert.match(logged.join(''), /more than/);
      await journal.close();
    });
  });

  test('without a disk it says so once, and cards move all the same', async () => {
    path = join(path, 'no', 'such', 'directory');
    const journal = await open();
    for (const id of [1, 2]) await journal.append({ event: 'job', job: job(id) });
    assert.deepEqual(await journal.jobs(10), []);
    assert.equal(logged.length, 1);
    assert.match(logged[0] ?? '', /journal cannot be written: history is lost/);
    await journal.close();
  });
});
