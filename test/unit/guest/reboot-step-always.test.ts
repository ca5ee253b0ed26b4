/** What the reboot state machine never does, whatever comes in whatever order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  isAttempt,
  type RebootInput,
  type RebootState,
} from '../../../daemon/guest/reboot-state.ts';
import { change, gpu, type Late, machine, restarted, web, win } from './reboot-machine.ts';

const domains = [win, { uuid: 'x', name: 'web' }];
const domain = fc.constantFrom(...domains);
/** What the world answers to the state as it is: the work that was asked for is done. */
function answer(state: RebootState): readonly (RebootInput | Late)[] {
  switch (state.phase) {
    case 'idle':
      return [];
    case 'surveying':
      return [{ kind: 'surveyed', running: state.attempt % 2 === 0 ? [] : [web], due: [], now: 0 }];
    case 'stopping':
      return state.left.map((uuid) => ({ kind: 'domain-stopped', uuid, now: 0 }) as const);
    case 'grace':
      return [{ kind: 'tick', now: state.until }];
    case 'checking':
      return [{ kind: 'clear', due: [], now: 0 }];
    case 'rebooting':
      return [{ kind: 'sent' }];
    case 'undoing':
      return [{ kind: 'undone' }];
  }
}

const inputs = fc.array(
  fc.oneof(
    { weight: 30, arbitrary: fc.constant('answer' as const) },
    {
      weight: 2,
      arbitrary: domain.map((d) => ({ kind: 'arm', domain: d, cards: [gpu] }) as const),
    },
    {
      weight: 4,
      arbitrary: fc
        .tuple(domain, fc.constantFrom('ask', 'auto', 'off'))
        .map(([d, policy]) => ({ ...change, domain: d, policy }) as const),
    },
    { weight: 4, arbitrary: domain.map((d) => ({ ...restarted, domain: d, now: 0 }) as const) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(domain, fc.boolean())
        .map(
          ([{ uuid }, restart]) =>
            ({ kind: 'stopped', uuid, restart, order: 4, policy: 'auto', now: 0 }) as const,
        ),
    },
    { weight: 1, arbitrary: domain.map(({ uuid }) => ({ kind: 'started', uuid }) as const) },
    { weight: 2, arbitrary: fc.constant({ kind: 'consent' } as const) },
    { weight: 1, arbitrary: fc.constant({ kind: 'cancel', by: 'uid 0' } as const) },
    { weight: 6, arbitrary: fc.constant({ kind: 'tick', now: 0 } as const) },
    { weight: 4, arbitrary: fc.constant({ kind: 'caught' } as const) },
    {
      weight: 6,
      arbitrary: fc
        .constantFrom([], [web])
        .map((running) => ({ kind: 'surveyed', running, due: [], now: 0 }) as const),
    },
    { weight: 4, arbitrary: fc.constant({ kind: 'domain-stopped', uuid: 'x', now: 0 } as const) },
    { weight: 8, arbitrary: fc.constant({ kind: 'clear', due: [], now: 0 } as const) },
    { weight: 4, arbitrary: fc.constant({ kind: 'sent' } as const) },
    { weight: 3, arbitrary: fc.constant({ kind: 'failed', why: 'no' } as const) },
    { weight: 2, arbitrary: fc.constant({ kind: 'undone' } as const) },
    {
      weight: 1,
      arbitrary: fc
        .boolean()
        .map(
          (goingDown) =>
            ({ kind: 'began', boot: 'boot1', now: 0, goingDown, resumed: false }) as const,
        ),
    },
  ),
  { minLength: 10, maxLength: 60, size: 'max' },
);

/** Time goes on with each input, enough for each wait in some runs. */
function run(
  list: readonly (RebootInput | Late | 'answer')[],
  ms: number,
  look: (
    input: RebootInput | Late,
    before: RebootState,
    after: RebootState,
    did: readonly string[],
  ) => void,
): void {
  const { feed, state } = machine();
  for (const [index, one] of list.entries()) {
    for (const input of one === 'answer' ? answer(state()) : [one]) {
      const before = state();
      const isTimed = 'now' in input && input.now === 0;
      const did = feed(isTimed ? { ...input, now: 1e9 + index * ms } : input);
      look(input, before, state(), did);
    }
  }
}

test('whatever happens: no reboot without consent, none after a cancel, none twice', () => {
  let reboots = 0;
  const runs = fc.property(inputs, fc.constantFrom(50, 20_000, 400_000), (list, ms) => {
    let agreed = false;
    let attempts: number[] = [];
    run(list, ms, (input, before, after, did) => {
      const isAuto = input.kind === 'driver-changed' && input.policy === 'auto';
      if (input.kind === 'consent' || input.kind === 'arm' || isAuto) agreed = true;
      if (input.kind === 'stopped' && !input.restart) assert.equal(after.attempt, before.attempt);
      if (input.kind === 'cancel' && !before.sent) {
        assert.ok(!isAttempt(after) && !did.includes('reboot'));
        assert.ok(after.marked.every(({ consent }) => consent === 'none'));
        agreed = false;
      }
      if (!did.includes('reboot')) return;
      reboots += 1;
      assert.ok(agreed, 'somebody, or the policy, has agreed since the last cancel');
      assert.deepEqual([before.phase, before.left], ['checking', []], 'nothing runs any more');
      if (before.attempt === attempts.at(-1)) assert.equal(input.kind, 'clear');
      assert.ok(!attempts.includes(before.attempt) || !before.sent, 'one attempt asks once');
      attempts = [...attempts, before.attempt];
    });
  });
  fc.assert(runs, { numRuns: 2000 });
  assert.ok(reboots > 100, `the runs got that far ${reboots} times`);
});

test('whatever happens: nobody agreed, nothing begins; by itself it begins once in a boot', () => {
  const own = inputs.map((list) =>
    list.filter((one) => one === 'answer' || !(one.kind === 'consent' || one.kind === 'arm')),
  );
  const runs = fc.property(own, fc.boolean(), (list, isAuto) => {
    const attempts = new Set<number>();
    const asking = list.map((one) =>
      one !== 'answer' && one.kind === 'driver-changed' && !isAuto
        ? ({ ...one, policy: 'ask' } as const)
        : one,
    );
    run(asking, 20_000, (_input, _before, after, did) => {
      if (isAttempt(after)) attempts.add(after.attempt);
      if (!isAuto) assert.ok(did.every((kind) => kind === 'wake'));
    });
    assert.ok(attempts.size <= 1, 'an attempt of its own is made once');
  });
  fc.assert(runs, { numRuns: 1000 });
});
