/**
 * The runs of guests with lent cards (/run/revived/runs.json): what must not be forgotten when the daemon is restarted while a
 * guest reboots. Read with suspicion, because domains are started on the strength of it.
 */
import { readOwn, writeWhole } from '../host/atomic-file.ts';
import type { Log } from '../log.ts';
import { isRecord } from '../record.ts';
import type { Start } from './crash-policy.ts';

export interface Run {
  readonly uuid: string;
  /** The domain's name. */
  readonly name: string;
  /** libvirt's id of this run, or of the last one; another one is another run. */
  readonly id: number | null;
  readonly running: boolean;
  /** Its reboots are stops, by our doing. */
  readonly cold: boolean;
  /** It is to be started again, and why. */
  readonly due: Start['kind'] | null;
  /** Our starts of it, the last ones. */
  readonly starts: readonly Start[];
}

export interface RunBook {
  get(uuid: string): Run | undefined;
  all(): readonly Run[];
  /** In memory at once; resolves when it is on disk, or when that failed and was said. */
  set(run: Run): Promise<void>;
  drop(uuid: string): Promise<void>;
}

const version = 1;
const maxFileBytes = 1024 * 1024;
const maxRuns = 1024;
const maxStarts = 16;

/** Opens the book. Entries that are not whole are left out; never throws. */
export async function openRuns(path: string, log: Log): Promise<RunBook> {
  const runs = new Map<string, Run>();
  for (const run of await read(path, log)) runs.set(run.uuid, run);
  let told = false;
  let writing: Promise<void> = Promise.resolve();
  const save = (): Promise<void> => {
    writing = writing.then(async () => {
      try {
        await writeWhole(path, JSON.stringify({ version, runs: [...runs.values()] }));
        told = false;
      } catch (error) {
        if (!told) log.error({ path, why: String(error) }, 'What guests run cannot be kept');
        told = true;
      }
    });
    return writing;
  };
  return {
    get: (uuid) => runs.get(uuid),
    all: () => [...runs.values()],
    set(run) {
      if (!runs.has(run.uuid) && runs.size >= maxRuns) {
        const oldest = [...runs.values()].find((one) => !one.running) ?? [...runs.values()][0];
        if (oldest !== undefined) runs.delete(oldest.uuid);
      }
      runs.set(run.uuid, { ...run, starts: run.starts.slice(-maxStarts) });
      return save();
    },
    drop(uuid) {
      return runs.delete(uuid) ? save() : writing;
    },
  };
}

async function read(path: string, log: Log): Promise<readonly Run[]> {
  try {
    const text = await readOwn(path, maxFileBytes);
    if (text === undefined) return [];
    const file: unknown = JSON.parse(text);
    if (!isRecord(file) || file['version'] !== version || !Array.isArray(file['runs'])) {
      throw new Error('it is of another version');
    }
    return file['runs'].slice(0, maxRuns).filter(isRun);
  } catch (error) {
    log.error({ path, why: String(error) }, 'What guests ran is not known: none is started again');
    return [];
  }
}

function isRun(value: unknown): value is Run {
  return (
    isRecord(value) &&
    text(value['uuid']) &&
    text(value['name']) &&
    (value['id'] === null || typeof value['id'] === 'number') &&
    typeof value['running'] === 'boolean' &&
    typeof value['cold'] === 'boolean' &&
    (value['due'] === null || isKind(value['due'])) &&
    Array.isArray(value['starts']) &&
    value['starts'].every(isStart)
  );
}

function isStart(value: unknown): value is Start {
  return isRecord(value) && isKind(value['kind']) && typeof value['at'] === 'number';
}

function isKind(value: unknown): value is Start['kind'] {
  return value === 'reboot' || value === 'crash';
}

function text(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 4096;
}
