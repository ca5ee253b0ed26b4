/** Whole files: temp, fsync, rename, fsync of the directory; and bounded reads, of any file or only of our own. */
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Replaces a file. Mode 0600, or mode (and owner, where it is given) of `like`. Rejects with the system's error; the old file stays whole then. */
export async function writeWhole(
  path: string,
  text: string,
  like?: Pick<Stats, 'mode'> & Partial<Pick<Stats, 'uid' | 'gid'>>,
): Promise<void> {
  const temporary = `${path}.new`;
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(text);
      if (like !== undefined) {
        const { uid, gid } = like;
        if (uid !== undefined && gid !== undefined) await file.chown(uid, gid);
        await file.chmod(like.mode & 0o7777);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined); // why it failed is what counts
    throw error;
  }
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** The text of a file of at most `maxBytes`; undefined when it is missing. Rejects when it is bigger or unreadable. */
export async function readWhole(path: string, maxBytes: number): Promise<string | undefined> {
  return readFrom(path, constants.O_RDONLY, maxBytes, () => undefined);
}

/**
 * The same for a state file, on the strength of which cards are moved: rejects when somebody else could have written it
 * (another owner, writable for others, a link).
 */
export async function readOwn(path: string, maxBytes: number): Promise<string | undefined> {
  return readFrom(path, ownFlags, maxBytes, distrust);
}

/** Never through a link; a FIFO is opened without waiting for its other end, and then refused. */
const ownFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Why a state file cannot be ours alone; undefined when it is. */
export function distrust(stat: Pick<Stats, 'isFile' | 'uid' | 'mode'>): string | undefined {
  if (!stat.isFile()) return 'it is no plain file';
  if (stat.uid !== process.geteuid?.()) return `it belongs to uid ${stat.uid}`;
  return (stat.mode & 0o022) === 0 ? undefined : 'others may write to it';
}

async function readFrom(
  path: string,
  flags: number,
  maxBytes: number,
  against: (stat: Stats) => string | undefined,
): Promise<string | undefined> {
  const file = await open(path, flags).catch((error: unknown): FileHandle | undefined => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const stat = await file.stat();
    const why = against(stat);
    if (why !== undefined) throw new Error(`${path} is not trusted: ${why}`);
    if (stat.size > maxBytes) {
      throw new Error(`${path} has ${stat.size} bytes, more than ${maxBytes}`);
    }
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
