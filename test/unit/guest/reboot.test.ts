/** What the executor makes of libvirt's events, and what it refuses. With real domains: daemon-reboot.test.ts. */
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openReboot } from '../../../daemon/guest/reboot.ts';
import type { InstallPolicy } from '../../../daemon/guest/reboot-state.ts';
import { openResumeBook } from '../../../daemon/guest/resume-book.ts';
import type { LibvirtEvent } from '../../../daemon/libvirt/session.ts';
import { createLog } from '../../../daemon/log.ts';
import { freshDirectory } from '../fresh-directory.ts';
import { card } from '../inventory-of.ts';
import { turns, until } from '../sim-host.ts';

const directory = freshDirectory('reboot');
const bounded = { timeout: 10_000 };
const gpu = card('0000:03:00');
const win = { uuid: 'w', name: 'win', id: 4 };

/** A host with one domain that runs and has a card. */
async function host() {
  const dir = mkdtempSync(join(directory.path, 'run-'));
  const log = createLog('text', 'info', () => {});
  const world = { runs: true, isPersistent: true, hasRestarted: false };
  const asked: string[] = [];
  const ask = (what: string) => async () => {
    asked.push(what);
  };
  const status = () => ({ state: world.runs ? 'running' : 'shutoff', reason: 'unknown' });
  const open = async () =>
    openReboot({
      ...{ boot: 'b1', path: join(dir, 'reboot.json'), log },
      book: await openResumeBook(join(dir, 'resume.json'), 'b1', log),
      power: {
        checkReboot: async () => {},
        announce: ask('announce'),
        withdraw: ask('withdraw'),
        reboot: ask('reboot'),
        isGoingDown: async () => false,
      },
      control: {
        list: async () => [{ ...win, ...status() }],
        domainState: async () => status(),
        isPersistent: async () => world.isPersistent,
        shutdown: ask('shutdown'),
        managedSave: ask('managedSave'),
        create: ask('create'),
        async destroy() {
          asked.push('destroy');
          world.runs = false;
        },
      },
      markRequired: async () => {},
      settings: () => ({ afterDriverInstall: 'ask' as InstallPolicy, onRefusal: 'destroy' }),
      times: () => ({ graceMs: 60_000, shutdownMs: 1000 }),
      cardsOf: () => [gpu],
      hasRestarted: () => world.hasRestarted,
      onChange: () => {},
    });
  const synced = (): LibvirtEvent => {
    return { kind: 'synced', version: '9.0.0', domains: [{ ...win, ...status() }] };
  };
  const reboot = await open();
  reboot.onEvent(synced());
  await turns(); // it has begun: nothing is written for that any more
  return {
    ...{ world, asked, reboot, open, synced },
    stops(reason: string) {
      reboot.onEvent({ kind: 'ending', domain: win, reason });
      world.runs = false;
      const domain = { ...win, id: null };
      reboot.onEvent({ kind: 'lifecycle', domain, event: 'stopped', detail: 'shutdown' });
    },
  };
}

test(
  'a reset that is a stop is the restart that it is armed for, also one from outside',
  bounded,
  async () => {
    for (const reason of ['guest-reset', 'host-qmp-system-reset']) {
      const { reboot, stops, asked } = await host();
      await reboot.arm(win, 'uid 0');
      stops(reason);
      assert.ok(reboot.holds('w'), 'nobody else starts it again');
      await until(() => asked.includes('announce'));
      assert.deepEqual(asked, ['announce'], reason);
    }
    const { reboot, stops } = await host();
    await reboot.arm(win, 'uid 0');
    stops('guest-shutdown');
    assert.deepEqual([reboot.holds('w'), reboot.state().phase], [false, 'idle']);
  },
);

test('a transient domain is not pulled: nothing could start it again', bounded, async () => {
  const { reboot, world, asked } = await host();
  world.isPersistent = false;
  await reboot.arm(win, 'uid 0');
  reboot.onEvent({ kind: 'reboot', domain: win });
  await until(() => reboot.state().phase === 'idle' && reboot.state().attempt === 2);
  assert.match(reboot.state().refusal, /^Domain win is transient: nothing could start it again/);
  assert.deepEqual([asked, reboot.state().kept], [[], []], 'it runs on');
  await reboot.cancel('uid 0');
});

test(
  'a restart that the daemon before has heard of is one: held before anybody else acts',
  bounded,
  async () => {
    for (const hasRestarted of [false, true]) {
      const { reboot, world, asked, open, synced } = await host();
      await reboot.arm(win, 'uid 0');
      Object.assign(world, { runs: false, hasRestarted });
      const next = await open();
      next.onEvent(synced());
      assert.equal(next.holds('w'), hasRestarted);
      if (hasRestarted) await until(() => asked.includes('announce'));
      await next.cancel('uid 0');
      await turns();
    }
  },
);
