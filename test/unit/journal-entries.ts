/** Entries for a journal: of every kind, open and ended. */
import { join } from 'node:path';
import { beforeEach } from 'node:test';
import { createLog } from '../../daemon/log.ts';
import { openJournal } from '../../daemon/pipeline/journal.ts';
import type { JournalEntry } from '../../daemon/pipeline/journal-entry.ts';
import type { JobView } from '../../daemon/pipeline/service.ts';
import { freshDirectory } from './fresh-directory.ts';
import { card, fn } from './inventory-of.ts';

export const gpu = card('0000:01:00');

export function job(id: number, change: Partial<JobView> = {}): JobView {
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

export const step = (event: 'intent' | 'done' | 'failed' | 'undo' | 'undone', index: number) =>
  ({
    event,
    job: 7,
    index,
    step: { step: 'unbind', args: { card: gpu, fn: fn(`${gpu}.0`) } },
    undo: { driver: 'amdgpu' },
    detail: '',
  }) satisfies JournalEntry;
export const rung = (event: 'rung' | 'rung-done', job_: number) =>
  ({ event, job: job_, card: gpu, rung: 'bus', detail: '' }) satisfies JournalEntry;
export const lease = (address: typeof gpu) =>
  ({
    event: 'lease',
    lease: {
      card: address,
      domain: 'win10',
      uuid: 'u',
      since: 1,
      state: 'lent',
      boundBy: 'revived',
      home: {
        functions: [
          {
            address: fn(`${address}.0`),
            id: '1002:731f',
            classCode: '030000',
            group: '1',
            driver: 'amdgpu',
            override: '',
          },
        ],
        ports: [],
        power: [],
      },
      reason: '',
    },
  }) satisfies JournalEntry;
export const begin = (id: number) =>
  ({ event: 'begin', job: job(id, { state: 'running', finishedUsec: 0 }) }) satisfies JournalEntry;
export const started = { event: 'daemon', state: 'started' } as const;

/** One of each kind that is open at the end, among those that have ended. */
export const stillOpen = [
  begin(7),
  step('intent', 2),
  step('undo', 1),
  rung('rung', 7),
  lease(gpu),
];
export const mixed: readonly JournalEntry[] = [
  begin(6),
  rung('rung', 6),
  rung('rung-done', 6),
  { event: 'job', job: job(6) },
  begin(7),
  step('intent', 1),
  step('done', 1),
  step('intent', 2),
  step('intent', 3),
  step('failed', 3),
  step('undo', 3),
  step('undone', 3),
  step('undo', 1),
  rung('rung', 7),
  lease(gpu),
  lease(card('0000:02:00')),
  { event: 'home', card: card('0000:02:00') },
];
export const big: JournalEntry = { ...step('done', 9), detail: 'x'.repeat(4 * 1024 * 1024) };

export const openEvents = stillOpen.map(({ event }) => event);
export const eventsOf = (entries: readonly { readonly event: string }[]) =>
  entries.map(({ event }) => event);

/** A journal at a path of its own for each test, and what is logged about it. To be called where a suite begins. */
export function journalRoom() {
  const directory = freshDirectory('journal');
  const logged: string[] = [];
  const log = createLog('text', 'debug', (line) => logged.push(line));
  const room = {
    path: '',
    logged,
    open: () => openJournal(room.path, { boot: 'b00t', kernel: '6.12.1' }, log),
    /** Numbers of the finished jobs. */
    async ids() {
      const journal = await room.open();
      const found = (await journal.jobs(100)).map((one) => one.id);
      await journal.close();
      return found;
    },
    /** What the next daemon finds. */
    async past() {
      const journal = await room.open();
      await journal.close();
      return journal.past;
    },
  };
  beforeEach(() => {
    room.path = join(directory.path, 'journal.jsonl');
    logged.length = 0;
  });
  return room;
}
