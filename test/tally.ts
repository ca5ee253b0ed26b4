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
  if (files.includes(name)) return { name, state: 'failed', reason: 'the file holds no test' };
  return { name, state };
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

// node sets `skip: ''` for a bare t.skip(): the key counts, not its value.
function isMarked(mark: string | boolean | undefined): boolean {
  return mark !== undefined && mark !== false;
}
