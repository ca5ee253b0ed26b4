/**
 * What a child is given to read, and what it says, in files without a name (on /run: in memory). A pipe would be a stream of
 * Node's on our side, and three of these cost more than all else about a child that lives for a millisecond.
 */
import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export interface Scratch {
  /** For the child's `stdio`: it begins at the start, and so does `content`. */
  readonly fd: number;
  /** The first `limit` bytes of what is in it by now. */
  content(limit: number): Buffer;
  /** Gives our side up; what a child still holds is there until it ends. */
  close(): void;
}

/** Makes one in a directory that only we may write to, with `text` in it. Throws as open(2) and write(2) do. */
export function openScratch(directory: string, text = ''): Scratch {
  const path = join(directory, '.child');
  // Nothing of ours comes in between: it has its name for no longer than that.
  const fd = openSync(path, 'w+', 0o600);
  unlinkSync(path);
  const close = (): void => closeSync(fd);
  try {
    // At a position of our own: the child shares the one of the file.
    if (text !== '') writeSync(fd, text, 0);
  } catch (error) {
    close();
    throw error;
  }
  return {
    fd,
    content(limit) {
      const bytes = Buffer.alloc(limit);
      return bytes.subarray(0, readSync(fd, bytes, 0, limit, 0));
    },
    close,
  };
}
