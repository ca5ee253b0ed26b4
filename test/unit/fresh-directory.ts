/** A directory of its own for each test, gone after it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'node:test';

/** To be called where a suite begins; `path` is that of the test that runs. */
export function freshDirectory(name: string): { readonly path: string } {
  const directory = { path: '' };
  beforeEach(() => {
    directory.path = mkdtempSync(join(tmpdir(), `revived-${name}-`));
  });
  afterEach(() => rmSync(directory.path, { recursive: true, force: true, maxRetries: 3 }));
  return directory;
}
