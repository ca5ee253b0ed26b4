/** A directory of its own for each test, gone after it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'node:test';
import { waitFor } from '../../daemon/deadline.ts';

const limitMs = 5000;

/** To be called where a suite begins; `path` is that of the test that runs. */
export function freshDirectory(name: string): { readonly path: string } {
  const directory = { path: '' };
  beforeEach(() => {
    directory.path = mkdtempSync(join(tmpdir(), `revived-${name}-`));
  });
  // What a test began to write may still come while the directory is emptied: rmSync does not look again.
  afterEach(async () => {
    const gone = await waitFor(() => remove(directory.path), limitMs, 10);
    if (gone === undefined) throw new Error(`${directory.path} is written to without an end`);
  });
  return directory;
}

function remove(path: string): true | undefined {
  try {
    rmSync(path, { recursive: true, force: true });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOTEMPTY') return undefined;
    throw error;
  }
}
