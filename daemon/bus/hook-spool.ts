/**
 * The spooled domain XML of one hook call: a file right below the spool directory, read once and removed.
 * The directory is root's, but the name comes with a call: it is treated as hostile.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { RevivedError } from '../errors.ts';

/** Bytes. libvirt itself takes domain XML of up to 10 MB over RPC; real ones are under 100 kB. */
export const spoolLimit = 8 * 1024 * 1024;

const advice = 'Only the hook that revived installs may write there: install it anew.';

/**
 * Reads the file and removes it, also where it is refused. `path` is absolute, directly below `spool`.
 * Rejects with `invalid-argument`: wrong place or name, no regular file (links and FIFOs are not followed
 * or waited for), not owned by the daemon's user, too big, not UTF-8.
 */
export async function takeSpooled(spool: string, path: string): Promise<string> {
  const name = basename(path);
  if (path !== join(spool, name) || dirname(path) !== spool || !isPlainName(name)) {
    throw refusal(`is not a plain name directly below ${spool}`);
  }
  try {
    return await readRegular(path);
  } finally {
    // A directory stays; nothing of ours makes one, and the refusal has said it.
    await unlink(path).catch(() => undefined);
  }
}

async function readRegular(path: string): Promise<string> {
  // O_NONBLOCK: a FIFO would else wait for its writer.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch((error: unknown) => {
    throw refusal(`cannot be opened (${codeOf(error)})`, error);
  });
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw refusal('is not a regular file');
    if (stat.uid !== process.geteuid?.()) throw refusal(`belongs to uid ${stat.uid}`);
    if (stat.size > spoolLimit) throw refusal(`is bigger than ${spoolLimit} bytes`);
    return utf8(await readUpTo(file, stat.size));
  } finally {
    await file.close();
  }
}

// The size is that of the stat: what is appended meanwhile is not read.
async function readUpTo(file: FileHandle, size: number): Promise<Buffer> {
  const bytes = Buffer.alloc(size);
  let have = 0;
  while (have < size) {
    const { bytesRead } = await file.read(bytes, have, size - have, have);
    if (bytesRead === 0) break;
    have += bytesRead;
  }
  return bytes.subarray(0, have);
}

function utf8(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw refusal('is not UTF-8', error);
  }
}

function isPlainName(name: string): boolean {
  return /^[A-Za-z0-9._-]{1,64}$/.test(name) && name !== '.' && name !== '..';
}

function refusal(why: string, cause?: unknown): RevivedError {
  return new RevivedError('invalid-argument', `The hook's spool file ${why}.`, advice, { cause });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
