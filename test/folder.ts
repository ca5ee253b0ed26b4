/**
 * Runs several test files in one process, one after the other: a process, node's test runner and the imports are
 * there once for all of them. What a test changes of its process (environment, limits, mocks) it puts back.
 */
import { describe } from 'node:test';
import { pathToFileURL } from 'node:url';

export interface TestFile {
  /** What the suite of the file is called (tally.ts looks for it). */
  readonly name: string;
  /** Absolute. */
  readonly path: string;
}

/**
 * Each file is a suite of its own, so that its hooks are for its own tests only, and that a file which throws while it
 * is loaded fails alone. `limitMs` is for each of them.
 */
export async function runFiles(files: readonly TestFile[], limitMs: number): Promise<void> {
  for (const { name, path } of files) {
    await describe(name, { timeout: limitMs }, async () => {
      await import(pathToFileURL(path).href);
    });
  }
}
