/** What counts as passed: only a test that ran to its end. */

export interface Outcome {
  readonly name: string;
  readonly state: 'passed' | 'failed' | 'grouping';
  /** Why it failed; absent when it passed. */
  readonly reason?: string;
}

export interface Tally {
  readonly passed: number;
  /** `name: reason`, one line each. */
  readonly failures: readonly string[];
}

/** The parts of node:test's `test:pass` and `test:fail` events that say how a test ended. */
export interface TestEvent {
  readonly name: string;
  /** 0 for what lies directly in a process, 1 for what lies in a suite of it, and so on. */
  readonly nesting: number;
  readonly skip?: string | boolean;
  readonly todo?: string | boolean;
  readonly details: {
    readonly type?: string | undefined;
    readonly error?: Error & { readonly failureType?: unknown };
  };
}

/** Reads one event. `files` are the test files: node reports a file without any test as a test of that name. */
export function outcomeOf(
  event: TestEvent,
  state: 'passed' | 'failed',
  files: readonly string[],
): Outcome {
  const { name } = event;
  const { type, error } = event.details;
  // A `describe` is reported beside its tests: the group itself counts only where it broke by itself.
  const grouping =
    type === 'suite' && (error?.failureType ?? 'subtestsFailed') === 'subtestsFailed';
  if (isMarked(event.skip)) return { name, state: 'failed', reason: 'it is skipped' };
  if (isMarked(event.todo)) return { name, state: 'failed', reason: 'it is marked as to do' };
  if (grouping) return { name, state: 'grouping' };
  if (state === 'failed') return { name, state, reason: error?.message ?? 'no reason given' };
  if (files.includes(name)) return empty(name);
  return { name, state };
}

export interface Ended {
  readonly event: TestEvent;
  readonly state: 'passed' | 'failed';
}

/**
 * Reads the events of processes that ran several files each (folder.ts), in the order in which node gives them: the
 * tests of a file, then the suite of its name. `processes` are what node calls those processes when they fail. A file
 * without a test has failed; so has one whose suite never ended, because its process did before.
 */
export function outcomesOfFiles(
  all: readonly Ended[],
  files: readonly string[],
  processes: readonly string[],
): readonly Outcome[] {
  const outcomes: Outcome[] = [];
  const missing = new Set(files);
  let held = 0;
  for (const { event, state } of all) {
    const one = outcomeOf(event, state, processes);
    outcomes.push(one);
    if (event.nesting > 0) {
      if (one.state !== 'grouping') held += 1;
      continue;
    }
    const isWhole = missing.delete(event.name) && one.state === 'grouping';
    if (isWhole && held === 0) outcomes.push(empty(event.name));
    held = 0;
  }
  for (const name of missing) {
    outcomes.push({ name, state: 'failed', reason: 'the file did not run to its end' });
  }
  return outcomes;
}

/** Adds up a suite. One without a single test has failed. */
export function tally(suite: string, outcomes: readonly Outcome[]): Tally {
  const failures = outcomes
    .filter((one) => one.state === 'failed')
    .map((one) => `${one.name}: ${one.reason ?? 'failed'}`.replaceAll(/\s+/g, ' '));
  const passed = outcomes.filter((one) => one.state === 'passed').length;
  if (passed + failures.length === 0) failures.push(`${suite}: the suite holds no test`);
  return { passed, failures };
}

/** The closing line: `12 passed, 0 failed`. */
export function tallyLine(tallies: readonly Tally[]): string {
  const passed = tallies.reduce((sum, one) => sum + one.passed, 0);
  const failed = tallies.reduce((sum, one) => sum + one.failures.length, 0);
  return `${passed} passed, ${failed} failed`;
}

function empty(name: string): Outcome {
  return { name, state: 'failed', reason: 'the file holds no test' };
}

// node sets `skip: ''` for a bare t.skip(): the key counts, not its value.
function isMarked(mark: string | boolean | undefined): boolean {
  return mark !== undefined && mark !== false;
}
