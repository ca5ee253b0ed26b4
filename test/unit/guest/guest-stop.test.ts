/** How a guest is stopped for a reboot of the host: who is asked, in which order, and what one that does not obey leads to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createGuestEnds, type OnRefusal, stopGuest } from '../../../daemon/guest/guest-stop.ts';

const bounded = { timeout: 10_000 };
const web = { uuid: 'x', name: 'web' };

interface Guest {
  /** What ends it; nothing, where it obeys to nobody. */
  readonly obeys?: 'agent' | 'acpi' | 'save' | 'destroy';
  readonly hasAgent?: boolean;
  readonly isPersistent?: boolean;
  readonly isOff?: boolean;
}

async function stop(onRefusal: OnRefusal, guest: Guest): Promise<readonly string[]> {
  const asked: string[] = [];
  const ends = createGuestEnds();
  let runs = guest.isOff !== true;
  const ask = async (what: string): Promise<void> => {
    asked.push(what);
    if (what === 'agent' && guest.hasAgent === false) throw new Error('no agent');
    if (what !== guest.obeys) return;
    runs = false;
    ends.ended(web.uuid);
  };
  const result = await stopGuest(web, {
    control: {
      domainState: async () => ({ state: runs ? 'running' : 'shutoff', reason: 'unknown' }),
      shutdown: (_uuid, by) => ask(by),
      managedSave: () => ask('save'),
      destroy: () => ask('destroy'),
      isPersistent: async () => guest.isPersistent !== false,
    },
    ...{ ends, onRefusal, ms: 20, signal: new AbortController().signal, onStep: () => {} },
  }).then(
    () => 'off',
    (thrown: unknown) => String(thrown),
  );
  return [...asked, result];
}

test(
  'its agent is asked, then its power button is pressed; no more than it needs',
  bounded,
  async () => {
    assert.deepEqual(await stop('wait', { obeys: 'agent' }), ['agent', 'off']);
    assert.deepEqual(await stop('wait', { obeys: 'acpi' }), ['agent', 'acpi', 'off']);
    assert.deepEqual(await stop('wait', { obeys: 'acpi', hasAgent: false }), [
      'agent',
      'acpi',
      'off',
    ]);
    assert.deepEqual(await stop('wait', { isOff: true }), ['off']);
  },
);

test(
  'one that does not obey: waited for no longer, saved or pulled, as it is configured',
  bounded,
  async () => {
    const [, , why] = await stop('wait', {});
    assert.match(why ?? '', /Domain web has not shut down within/);
    assert.deepEqual(await stop('save', { obeys: 'save' }), ['agent', 'acpi', 'save', 'off']);
    assert.deepEqual(await stop('destroy', { obeys: 'destroy' }), [
      'agent',
      'acpi',
      'destroy',
      'off',
    ]);
    const [, , , failed] = await stop('save', {});
    assert.match(failed ?? '', /has not shut down, and on-refusal: save failed/);
  },
);

test('a transient domain is asked only where it may be destroyed anyway', bounded, async () => {
  for (const policy of ['wait', 'save'] as const) {
    const [only] = await stop(policy, { obeys: 'agent', isPersistent: false });
    assert.match(only ?? '', /is transient/);
  }
  assert.deepEqual(await stop('destroy', { obeys: 'agent', isPersistent: false }), [
    'agent',
    'off',
  ]);
});
