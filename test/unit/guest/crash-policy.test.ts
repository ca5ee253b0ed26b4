import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  endOfRun,
  isStartDue,
  recentStarts,
  refuseStart,
} from '../../../daemon/guest/crash-policy.ts';

test('a stop is a reboot only where reboots are stops, and a crash whatever qemu said before', () => {
  const cold = { cold: true };
  assert.equal(endOfRun(cold, 'shutdown', 'guest-reset'), 'reboot');
  assert.equal(endOfRun(cold, 'shutdown', 'host-qmp-system-reset'), 'reboot', 'virsh reset');
  assert.equal(endOfRun(cold, 'shutdown', 'guest-shutdown'), 'stop');
  assert.equal(endOfRun(cold, 'shutdown', undefined), 'stop');
  assert.equal(endOfRun(cold, 'destroyed', 'host-signal'), 'stop');
  assert.equal(
    endOfRun({ cold: false }, 'shutdown', 'guest-reset'),
    'stop',
    'its owner wants it so',
  );
  for (const detail of ['crashed', 'failed']) {
    assert.equal(endOfRun(cold, detail, undefined), 'crash');
    assert.equal(endOfRun(cold, detail, 'guest-reset'), 'crash');
  }
});

test('what is started again', () => {
  assert.equal(isStartDue('reboot', undefined), true);
  assert.equal(isStartDue('stop', { restart: 'on-crash' }), false);
  assert.equal(isStartDue('crash', undefined), false);
  assert.equal(isStartDue('crash', { restart: 'never' }), false);
  assert.equal(isStartDue('crash', { restart: 'on-crash' }), true);
});

test('starts within ten minutes are limited, each kind by itself', () => {
  const minute = 60_000_000;
  const crashes = [0, 1, 2].map((at) => ({ kind: 'crash', at: at * minute }) as const);
  assert.equal(refuseStart('crash', crashes.slice(1), 3 * minute), undefined);
  assert.match(
    refuseStart('crash', crashes, 3 * minute) ?? '',
    /crashed 4 times within 10 minutes/,
  );
  assert.equal(refuseStart('reboot', crashes, 3 * minute), undefined);
  assert.equal(refuseStart('crash', crashes, 10 * minute), undefined, 'the first is forgotten');
  assert.deepEqual(recentStarts(crashes, 11.5 * minute), crashes.slice(2));
  const future = [{ kind: 'crash', at: 90 * minute } as const];
  assert.deepEqual(recentStarts(future, 0), [], 'the clock was set back');
});
