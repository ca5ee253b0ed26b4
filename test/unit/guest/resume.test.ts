import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { resumedWord } from '../../../daemon/guest/reboot-words.ts';
import { createResume } from '../../../daemon/guest/resume.ts';
import { openResumeBook, type ResumeEntry } from '../../../daemon/guest/resume-book.ts';
import { createLog } from '../../../daemon/log.ts';
import { card } from '../../integration/scripted-service.ts';

const gpu = card('0000:0b:00');
const win = { uuid: 'w', name: 'win', order: 7, cards: [gpu] };
const web = { uuid: 'x', name: 'web', order: 3, cards: [] };

/** One host over its boots: resume.json, and which domains run. */
function host(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'revived-resume-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, 'resume.json');
  const log: string[] = [];
  const started: string[] = [];
  const running = new Set<string>();
  const world = { missing: '', fails: '', end: () => {} };
  return {
    ...{ path, log, started, running, world },
    async daemon(boot: string) {
      const logger = createLog('text', 'info', (line) => log.push(line));
      const book = await openResumeBook(path, boot, logger);
      const resume = createResume({
        book,
        control: {
          domainState: async (uuid) => ({
            state: running.has(uuid) ? 'running' : 'shutoff',
            reason: 'unknown',
          }),
          async create(uuid) {
            started.push(`${uuid} in ${boot}`);
            world.end();
            if (world.fails === uuid) throw new Error('no card');
            running.add(uuid);
          },
        },
        waitsFor: (cards) => (cards.length > 0 && world.missing !== '' ? world.missing : undefined),
        log: logger,
        onChange: () => {},
        readyMs: 300,
      });
      return { book, resume };
    },
  };
}

test('in the old order, each once, and only in the boot after', async (t) => {
  const { daemon, started, running, path, log } = host(t);
  const first = await daemon('b1');
  await first.book.plan([win, web]);
  await first.resume.run();
  assert.deepEqual(
    [started, first.book.resumed()],
    [[], false],
    'not in the boot that stopped them',
  );
  const second = await daemon('b2');
  assert.ok(second.book.isBusy());
  await second.resume.run();
  assert.deepEqual(started, ['x in b2', 'w in b2']);
  assert.match(log.join(''), /id=resuming.*id=resumed.*id=resumed/s);
  running.clear();
  const again = await daemon('b2');
  await again.resume.run();
  assert.deepEqual([started.length, again.book.resumed()], [2, true]);
  const third = await daemon('b3');
  assert.deepEqual([third.book.resumed(), existsSync(path)], [false, false]);
});

test('a reboot with nothing to start counts in the boot that it brought, and in no later one', async (t) => {
  const { daemon, path } = host(t);
  await (await daemon('b1')).book.plan([]);
  for (const time of ['first', 'second']) {
    const { book, resume } = await daemon('b2');
    await resume.run();
    assert.equal(book.resumed(), true, time);
  }
  const { book } = await daemon('b3');
  assert.deepEqual([book.resumed(), existsSync(path)], [false, false]);
});

test('one that fails is said and left alone; the next ones start', async (t) => {
  const { daemon, started, world, log } = host(t);
  await (await daemon('b1')).book.plan([win, web]);
  world.fails = 'x';
  const { book, resume } = await daemon('b2');
  await resume.run();
  await resume.run();
  assert.deepEqual(started, ['x in b2', 'w in b2']);
  assert.deepEqual(
    book.entries().map(({ state, why }) => [state, why]),
    [
      ['failed', 'no card'],
      ['started', ''],
    ],
  );
  assert.match(log.join(''), /Domain web was not started again.*id=resume-failed/);
});

test('a domain waits for its card, and no longer than that', async (t) => {
  const { daemon, started, running, world } = host(t);
  await (await daemon('b1')).book.plan([win]);
  world.missing = 'card 0000:0b:00 is not ready';
  const { resume, book } = await daemon('b2');
  const run = resume.run();
  setImmediate(() => {
    world.missing = '';
    resume.look();
  });
  await run;
  assert.deepEqual(started, ['w in b2']);
  assert.equal(book.isBusy(), false);

  await book.plan([win]);
  world.missing = 'card 0000:0b:00 is not ready';
  const late = await daemon('b3');
  await late.resume.run();
  assert.equal(late.book.entries()[0]?.state, 'started', 'it runs already: nothing to wait for');
  running.clear();
  await late.book.plan([win]);
  const never = await daemon('b4');
  await never.resume.run();
  assert.deepEqual(never.book.entries()[0]?.why, 'card 0000:0b:00 is not ready');
  assert.equal(started.length, 1);
});

test('a daemon that dies in a start tries once more; a host that does, never', async (t) => {
  const { daemon, started, path } = host(t);
  await (await daemon('b1')).book.plan([web, { ...win, order: 1, cards: [] }]);
  const { book } = await daemon('b2');
  await book.begin();
  const [done, entry] = book.entries();
  await book.note({ ...(done ?? assert.fail()), state: 'started', tries: 1 }); // and was shut down since
  await book.note({ ...(entry ?? assert.fail()), state: 'starting', tries: 1 });
  const text = readFileSync(path);
  await (await daemon('b2')).resume.run();
  assert.deepEqual(started, ['x in b2']);

  writeFileSync(path, text);
  const next = await daemon('b3');
  await next.resume.run();
  assert.deepEqual([started.length, next.book.entries()[1]?.state], [1, 'failed']);
});

test('a file that is not ours, or not whole, starts nothing', async (t) => {
  const { daemon, started, path, log } = host(t);
  for (const text of [
    '{',
    '[]',
    '{"version":1,"boot":"b1","resumedIn":"","entries":[{"uuid":1}]}',
  ]) {
    writeFileSync(path, text, { mode: 0o600 });
    const { resume, book } = await daemon('b2');
    await resume.run();
    assert.deepEqual([started, book.resumed()], [[], false]);
  }
  assert.equal(log.filter((line) => line.includes('id=resume-failed')).length, 3);
});

test('a daemon that ends in order, in the middle of a start, has not failed at it', async (t) => {
  const { daemon, started, world, log } = host(t);
  await (await daemon('b1')).book.plan([web, { ...win, cards: [] }]);
  const { resume, book } = await daemon('b2');
  world.end = resume.close;
  world.fails = 'x';
  await resume.run();
  assert.deepEqual(
    book.entries().map(({ state }) => state),
    ['starting', 'waiting'],
  );
  assert.ok(!log.join('').includes('resume-failed'));
  const words = (entries: readonly ResumeEntry[]) =>
    entries.map(({ uuid }) => resumedWord(entries, uuid));
  assert.deepEqual(words(book.entries()), ['', ''], 'neither runs yet');
  Object.assign(world, { end: () => {}, fails: '' });
  const next = await daemon('b2');
  await next.resume.run();
  assert.deepEqual(words(next.book.entries()), ['resumed', 'resumed']);
  assert.deepEqual(started, ['x in b2', 'x in b2', 'w in b2']);
});
