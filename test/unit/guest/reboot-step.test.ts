import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  initialState,
  isAttempt,
  isRequired,
  type RebootState,
} from '../../../daemon/guest/reboot-state.ts';
import { debounceMs, rebootStep } from '../../../daemon/guest/reboot-step.ts';
import { change, gpu, grace, machine, restarted, web, win } from './reboot-machine.ts';

test('auto: the guest is caught in its restart, the others stop, then grace, check and reboot', () => {
  const { feed, state, effects } = machine();
  assert.deepEqual(feed({ ...change, domain: win, policy: 'auto' }), []);
  assert.equal(state().marked[0]?.mark, 'driver-changed');
  assert.equal(isRequired(state()), false, 'the install still runs');
  assert.deepEqual(feed(restarted, { ...restarted, now: 2e6 + 3000 }), ['catch']);
  assert.equal(state().marked[0]?.mark, 'guest-restarting');
  assert.deepEqual(feed({ kind: 'caught' }), ['survey']);
  assert.deepEqual(feed({ kind: 'surveyed', running: [web], due: [], now: 2e6 }), ['stop']);
  assert.ok(isRequired(state()));
  const off = feed({ kind: 'domain-stopped', uuid: 'x', now: 3e6 });
  assert.deepEqual(off, ['announce', 'wake']);
  assert.deepEqual(effects.at(-1), { kind: 'wake', at: 3e6 + grace });
  assert.deepEqual(feed({ kind: 'tick', now: 3e6 + grace - 1 }), ['wake']);
  assert.deepEqual(feed({ kind: 'tick', now: 3e6 + grace }), ['check']);
  assert.deepEqual(feed({ kind: 'clear', due: [], now: 4e6 }), ['reboot']);
  assert.deepEqual(state().kept, [{ ...win, order: 4, cards: [gpu] }]);
  assert.deepEqual(state().others, [web]);
  assert.deepEqual(feed({ kind: 'sent' }, { kind: 'cancel', by: 'uid 0' }), ['wake']);
  assert.equal(state().phase, 'rebooting', 'logind has it: too late to cancel');
});

test('ask: nothing but a pending state, once per restart, until somebody consents', () => {
  const { feed, state } = machine();
  feed({ ...change, domain: win, policy: 'ask' });
  assert.deepEqual(feed(restarted, { ...restarted, now: 2e6 + 50 }), ['wake']);
  assert.deepEqual(feed({ kind: 'tick', now: 2e6 + debounceMs }), []);
  assert.equal(state().marked[0]?.mark, 'reboot-pending');
  assert.ok(isRequired(state()) && !isAttempt(state()));
  assert.deepEqual(feed({ kind: 'consent' }), ['survey']);
});

test('armed by hand: the next restart is the one, whatever the agent can tell', () => {
  const { feed, state } = machine();
  feed({ kind: 'arm', domain: win, cards: [gpu] });
  assert.equal(isRequired(state()), false);
  assert.deepEqual(feed({ ...restarted, domain: web }), [], 'another guest restarts');
  assert.deepEqual(feed(restarted), ['catch']);
});

test('armed, and a reboot of the guest is a stop: that stop is the restart, a shutdown is none', () => {
  const { feed, state } = machine();
  feed({ kind: 'arm', domain: win, cards: [gpu] });
  assert.deepEqual(
    feed({ kind: 'stopped', uuid: 'w', restart: false, order: 4, policy: 'ask', now: 1e6 }),
    [],
  );
  assert.deepEqual([state().marked[0]?.mark, state().kept], ['armed', []]);
  feed({ kind: 'started', uuid: 'w' });
  assert.deepEqual(
    feed({ kind: 'stopped', uuid: 'w', restart: true, order: 4, policy: 'ask', now: 2e6 }),
    ['survey'],
  );
  assert.deepEqual(state().kept, [{ ...win, order: 4, cards: [gpu] }], 'it stays off until then');
});

test('a stop that is no restart makes it pending, whatever was agreed to, and begins nothing', () => {
  for (const agreed of ['auto', 'person']) {
    const { feed, state } = machine();
    if (agreed === 'person') feed({ kind: 'arm', domain: win, cards: [gpu] });
    feed({ ...change, domain: win, policy: agreed === 'auto' ? 'auto' : 'ask' });
    const stop = {
      kind: 'stopped',
      uuid: 'w',
      restart: false,
      order: 4,
      policy: 'auto',
      now: 2e6,
    } as const;
    assert.deepEqual([feed(stop), state().phase, state().kept], [[], 'idle', []], agreed);
    assert.equal(state().marked[0]?.mark, 'reboot-pending');
    assert.ok(isRequired(state()));
    assert.deepEqual(feed({ kind: 'consent' }), ['survey']);
  }
});

test('a version that is seen only after the restart counts as restarted', () => {
  const stop = { ...restarted, kind: 'stopped', uuid: 'w', restart: true } as const;
  for (const restart of [restarted, stop]) {
    const { feed, state } = machine();
    feed(restart);
    const seen = { ...change, domain: win, policy: 'auto', now: 2e6 + 90_000 } as const;
    assert.deepEqual(feed({ ...seen, oldSeenAt: 2e6 - 60_000 }), ['survey'], restart.kind);
    assert.equal(state().kept.length, 0, 'it runs, and is asked to stop like the others');
  }
});

test('a version that comes after the restart is an install under way: it is not shut down', () => {
  for (const isArmed of [false, true]) {
    const { feed, state } = machine();
    feed(restarted);
    if (isArmed) feed({ kind: 'arm', domain: win, cards: [gpu] });
    const oldSeenAt = 2e6 + 60_000;
    const seen = { ...change, domain: win, policy: 'auto', now: 2e6 + 90_000, oldSeenAt } as const;
    assert.deepEqual(feed(seen), []);
    assert.equal(state().marked[0]?.mark, 'driver-changed');
    assert.deepEqual(
      feed({ ...restarted, now: 3e6 }),
      ['catch'],
      'but the restart that it asks for',
    );
  }
});

test('off is not looked at; one reboot of a boot needs no consent, and none after a resume', () => {
  const off = machine();
  off.feed({ ...change, domain: win, policy: 'off' }, restarted);
  assert.deepEqual([off.state().marked, off.effects], [[], []]);
  const again = machine(initialState('boot2', true));
  again.feed({ ...change, domain: win, policy: 'auto' }, restarted);
  assert.deepEqual(
    again.effects.map(({ kind }) => kind),
    ['wake'],
  );
});

test('auto that was taken back agrees to nothing any more; what a person agreed to stays', () => {
  const stop = {
    kind: 'stopped',
    uuid: 'w',
    restart: true,
    order: 4,
    policy: 'ask',
    now: 2e6,
  } as const;
  for (const input of [{ ...restarted, policy: 'off' }, stop] as const) {
    const { feed, state } = machine();
    feed({ ...change, domain: win, policy: 'auto' });
    const did = feed(input);
    assert.ok(!did.includes('catch') && !did.includes('survey'), input.kind);
    assert.deepEqual(
      [state().marked[0]?.consent, state().kept, state().phase],
      ['none', [], 'idle'],
    );
    assert.ok(
      state().marked.some(({ mark }) => mark !== 'driver-changed'),
      'it is pending',
    );
    const armed = machine();
    armed.feed({ kind: 'arm', domain: win, cards: [gpu] }, input);
    assert.ok(isAttempt(armed.state()), input.kind);
  }
  const late = machine();
  late.feed({ ...change, domain: win, policy: 'auto' });
  late.feed({ ...change, domain: win, policy: 'ask', to: '3' });
  assert.equal(late.state().marked[0]?.consent, 'none');
});

test('given up: what was stopped starts again, the caught guest stays, it stays pending and asks', () => {
  const { feed, state, effects } = machine();
  feed({ ...change, domain: win, policy: 'auto' }, restarted, { kind: 'caught' });
  feed({ kind: 'surveyed', running: [web], due: [], now: 2e6 });
  assert.deepEqual(feed({ kind: 'failed', why: 'web refuses' }), ['start-again']);
  assert.deepEqual(effects.at(-1), { kind: 'start-again', domains: [web] });
  feed({ kind: 'undone' });
  const { phase, kept, refusal, others } = state();
  assert.deepEqual([phase, kept.length, others.length, refusal], ['idle', 1, 0, 'web refuses']);
  assert.ok(isRequired(state()));
  assert.deepEqual(feed({ ...change, domain: win, policy: 'auto', to: '3' }, restarted), []);
  feed({ kind: 'started', uuid: 'w' });
  assert.equal(state().kept.length, 0, 'somebody has started it: it is not started again by us');
  feed({ kind: 'cancel', by: 'uid 0' });
  assert.deepEqual([state().marked, state().refusal], [[], ''], 'forgotten');
});

test('an agreement that nobody was asked for is one for all domains, and gone with the attempt', () => {
  const { feed, state } = machine();
  for (const domain of [win, web]) feed({ ...change, domain, policy: 'auto' });
  feed(restarted, { kind: 'failed', why: 'an inhibitor' }, { kind: 'undone' });
  assert.equal(state().marked.find(({ uuid }) => uuid === 'x')?.mark, 'driver-changed');
  assert.deepEqual(feed({ ...restarted, domain: web }), ['wake']);
});

test('a guest that was started in the grace period is stopped too, before the reboot', () => {
  const { feed } = machine();
  feed({ ...change, domain: win, policy: 'ask' }, { kind: 'consent' });
  feed({ kind: 'surveyed', running: [], due: [], now: 0 }, { kind: 'tick', now: grace });
  assert.deepEqual(feed({ kind: 'surveyed', running: [web], due: [], now: grace }), [
    'withdraw',
    'stop',
  ]);
});

test('one that is off for a moment, between its stop and its start, starts after the reboot too', () => {
  const { feed, state, effects } = machine();
  feed({ ...change, domain: win, policy: 'ask' }, { kind: 'consent' });
  const cold = { uuid: 'c', name: 'cold', order: 9, cards: [gpu] };
  const later = { ...cold, uuid: 'd' };
  assert.deepEqual(feed({ kind: 'surveyed', running: [web], due: [cold], now: 0 }), ['stop']);
  assert.deepEqual(effects.at(-1), { kind: 'stop', domains: [web] });
  assert.deepEqual(state().others, [cold, web]);
  feed({ kind: 'domain-stopped', uuid: 'x', now: 0 }, { kind: 'tick', now: grace });
  assert.deepEqual(feed({ kind: 'clear', due: [cold, later], now: grace }), ['reboot']);
  assert.deepEqual(state().others, [web, cold, later]);
});

test('a daemon that comes back goes on where it was; another boot begins anew', () => {
  const began = {
    kind: 'began',
    boot: 'boot1',
    now: 5e6,
    goingDown: false,
    resumed: false,
  } as const;
  const base: RebootState = { ...initialState('boot1', true), attempt: 7, until: 4e6 };
  const after = (phase: RebootState['phase'], goingDown = false) => {
    const step = rebootStep({ ...base, phase }, { ...began, goingDown }, grace);
    return [step.state.phase, step.state.until, ...step.effects.map(({ kind }) => kind)];
  };
  assert.deepEqual(after('idle'), ['idle', 4e6]);
  assert.deepEqual(after('surveying'), ['surveying', 4e6, 'survey']);
  assert.deepEqual(after('stopping'), ['surveying', 4e6, 'survey']);
  assert.deepEqual(after('grace'), ['grace', 5e6 + grace, 'announce', 'wake']);
  assert.deepEqual(after('checking'), ['grace', 5e6 + grace, 'announce', 'wake']);
  assert.deepEqual(after('rebooting'), ['grace', 5e6 + grace, 'announce', 'wake']);
  assert.deepEqual(after('rebooting', true), ['rebooting', 4e6, 'wake']);
  assert.deepEqual(after('undoing'), ['undoing', 4e6, 'start-again']);
  const next = rebootStep(
    { ...base, phase: 'rebooting' },
    { ...began, boot: 'b2', resumed: true },
    0,
  );
  assert.deepEqual(next, { state: initialState('b2', true), effects: [] });
});
