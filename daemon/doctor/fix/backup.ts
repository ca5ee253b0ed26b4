/** Old texts that a fix replaced, newest first to be put back: a bounded number of files, 0600, in one folder. */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readOwn, writeWhole } from '../../host/atomic-file.ts';

export interface Backup {
  /** What it is of: the uuid of a domain, `qemu.conf`. */
  readonly subject: string;
  /** Microseconds since the epoch. */
  readonly usec: number;
  readonly path: string;
}

export interface Backups {
  /** Writes a text down and forgets the oldest ones. Resolves to its path. Rejects with the system's error. */
  keep(subject: string, text: string, usec: number): Promise<string>;
  /** The newest one, of a subject or of all; undefined when there is none. */
  newest(subject?: string): Promise<Backup | undefined>;
  /** Its text. Rejects where somebody else could have written it (host/atomic-file.ts). */
  read(backup: Backup): Promise<string>;
  forget(backup: Pick<Backup, 'path'>): Promise<void>;
}

export interface BackupOptions {
  readonly folder: string;
  /** What a subject looks like; it is part of a file's name. */
  readonly subject: RegExp;
  /** Ending of the files: `.xml`. */
  readonly suffix: string;
  /** Files that are kept. */
  readonly most: number;
}

/** Bytes of one text: a domain's XML is at most as long (domain/xml.ts). */
const maxBytes = 8 * 1024 * 1024;

/** The backups in a folder, which is made when the first one is kept. */
export function createBackups({ folder, subject: form, suffix, most }: BackupOptions): Backups {
  async function list(): Promise<readonly Backup[]> {
    const found = (await namesOf(folder)).flatMap((name): readonly Backup[] => {
      const stem = name.endsWith(suffix) ? name.slice(0, name.length - suffix.length) : '';
      const [, subject = '', usec = ''] = /^(.+)\.(\d{16})$/.exec(stem) ?? [];
      if (!form.test(subject)) return [];
      return [{ subject, usec: Number(usec), path: join(folder, name) }];
    });
    return found.sort((a, b) => b.usec - a.usec);
  }
  return {
    async keep(subject, text, usec) {
      if (!form.test(subject)) throw new Error(`${subject} is nothing that backups are kept of`);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const old = await list();
      // A clock that was set back must not put the newest text behind older ones.
      const stamp = Math.max(Math.trunc(usec), (old[0]?.usec ?? 0) + 1);
      const path = join(folder, `${subject}.${String(stamp).padStart(16, '0')}${suffix}`);
      await writeWhole(path, text);
      for (const one of old.slice(most - 1)) await rm(one.path, { force: true });
      return path;
    },
    async newest(subject) {
      return (await list()).find((one) => subject === undefined || one.subject === subject);
    },
    async read({ path }) {
      const text = await readOwn(path, maxBytes);
      if (text === undefined) throw new Error(`${path} is gone`);
      return text;
    },
    forget: ({ path }) => rm(path, { force: true }),
  };
}

async function namesOf(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
