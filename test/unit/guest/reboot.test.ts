/** What the executor makes of libvirt's events, and what it refuses. With real domains: daemon-reboot.test.ts. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { RevivedError } from '../../../daemon/errors.ts';
import type { OnRefusal } from '../../../daemon/guest/guest-stop.ts';
import { openReboot } from '../../../daemon/guest/reboot.ts';
import type { InstallPolicy } from '../../../daemon/guest/reboot-state.ts';
import { rebootFindings } from '../../../daemon/guest/reboot-words.ts';
import { openResumeBook } from '../../../daemon/guest/resume-book.ts';
import type { Run } from '../../../daemon/guest/runs.ts';
import type { LibvirtEvent } from '../../../daemon/libvirt/session.ts';
import { createLog } from '../../../daemon/log.ts';
import { freshDirectory } from '../fresh-directory.ts';
import { card } from '../inventory-of.ts';
import { turns, until } from '../sim-host.ts';

const directory = freshDirectory('reboot');
const bounded = { timeout: 10_000 };
const gpu = card('0000:03:00');
const win = { uuid: 'w', name: 'win', id: 4 };
const web = { uuid: 'x', name: 'web', id: 2 };
const run: Run = { ...win, running: true, cold: true, due: null, starts: [] };

/** A host with a domain that runs and has a card, and another that does not run. */
async function host(times = { graceMs: 60_000, shutdownMs: 1000 }) {
  const dir = mkdtempSync(join(directory.path, 'run-'));
  const lines: string[] = [];
  const log = createLog('text', 'info', (line) => lines.push(line));
  const world = {
    ...{ runs: true, webRuns: false, isPersistent: true },
    run: undefined as Run | undefined,
    due: [] as readonly Run[],
    ...{
      isAway: false,
      isStopping: false,
      createFails: '',
      awayCode: 'libvirt' as 'libvirt' | 'timed-out',
      missed: 0,
    },
  };
  const settings = {
    afterDriverInstall: 'ask' as InstallPolicy,
    onRefusal: 'destroy' as OnRefusal,
  };
  const asked: string[] = [];
  const ask = (what: string) => async () => {
    asked.push(what);
  };
  const status = (uuid = 'w') => {
    const runs = uuid === 'w' ? world.runs : world.webRuns;
    return { state: runs ? 'running' : 'shutoff', reason: 'unknown' };
  };
  const here = () => {
    if (world.isStopping) throw new RevivedError('cancelled', 'revived stops');
    if (!world.isAway) return;
    world.missed += 1;
    throw new RevivedError(world.awayCode, 'There is no connection to libvirt.');
  };
  const list = () => [win, web].map((one) => ({ ...one, ...status(one.uuid) }));
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
        async list() {
          here();
          return list();
        },
        async domainState(uuid) {
          here();
          return status(uuid);
        },
        isPersistent: async () => world.isPersistent,
        shutdown: ask('shutdown'),
        managedSave: ask('managedSave'),
        async create(uuid) {
          here();
          if (world.createFails !== '') throw new Error(world.createFails);
          asked.push('create');
          if (uuid === 'x') world.webRuns = true;
        },
        async destroy() {
          asked.push('destroy');
          if (!world.isAway) world.runs = false;
          here();
        },
      },
      markRequired: async () => {},
      settings: () => settings,
      times: () => times,
      cardsOf: () => [gpu],
      runs: {
        get: (uuid) => [...world.due, world.run].find((one) => one?.uuid === uuid),
        all: () => world.due,
      },
      onChange: () => {},
      libvirtMs: 300,
    });
  const synced = (): LibvirtEvent => ({ kind: 'synced', version: '9.0.0', domains: list() });
  const reboot = await open();
  reboot.onEvent(synced());
  await turns(); // it has begun: nothing is written for that any more
  const stopped = (one: typeof win, detail: string) => {
    if (one === win) world.runs = false;
    else world.webRuns = false;
    reboot.onEvent({ kind: 'lifecycle', domain: { ...one, id: null }, event: 'stopped', detail });
  };
  return {
    path: join(dir, 'reboot.json'),
    ...{ world, settings, asked, lines, reboot, open, synced, stopped },
    stops(reason: string) {
      reboot.onEvent({ kind: 'ending', domain: win, reason });
      stopped(win, 'shutdown');
    },
    /** The guest restarts itself, and is caught; web is asked to shut down. */
    async stopping() {
      world.webRuns = true;
      await reboot.arm(win, 'uid 0');
      reboot.onEvent({ kind: 'reboot', domain: win });
      await until(() => asked.includes('shutdown'));
    },
  };
}

test(
  'a reset that is a stop is the restart that it is armed for, also one from outside',
  bounded,
  async () => {
    for (const reason of ['guest-reset', 'host-qmp-system-reset']) {
      const { reboot, stops, asked, world } = await host();
      await reboot.arm(win, 'uid 0');
      world.run = run;
      stops(reason);
      assert.equal(reboot.state().kept[0]?.order, 4, 'its place among the others');
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
      world.runs = false;
      world.run = { ...run, running: false, due: hasRestarted ? 'reboot' : null };
      const next = await open();
      next.onEvent(synced());
      assert.equal(next.holds('w'), hasRestarted);
      assert.deepEqual(
        next.state().kept.map(({ order }) => order),
        hasRestarted ? [4] : [],
      );
      if (hasRestarted) await until(() => asked.includes('announce'));
      await next.cancel('uid 0');
      await turns();
    }
  },
);

test('who was told to shut it down by hand does not meet it running again', bounded, async () => {
  const { settings, stopping, stopped, reboot, lines, asked } = await host({
    graceMs: 60_000,
    shutdownMs: 20,
  });
  settings.onRefusal = 'wait';
  await stopping();
  await until(() => reboot.state().phase === 'idle');
  assert.match(lines.join(''), /Domain web has not shut down within .* by hand/);
  stopped(web, 'shutdown');
  await turns();
  assert.deepEqual(asked, ['destroy', 'shutdown', 'shutdown'], 'off, as was asked for');
});

test(
  'a guest that shuts down after the cancel runs again, one whose plug was pulled does not',
  bounded,
  async () => {
    const ends = [
      ['shutdown', ['create']],
      ['destroyed', []],
    ] as const;
    for (const [detail, then] of ends) {
      const { stopping, stopped, reboot, asked } = await host();
      await stopping();
      await reboot.cancel('uid 0');
      await until(() => reboot.state().phase === 'idle');
      stopped(web, detail);
      await turns();
      assert.deepEqual(asked, ['destroy', 'shutdown', ...then], detail);
    }
  },
);

for (const awayCode of ['libvirt', 'timed-out'] as const) {
  const how = awayCode === 'libvirt' ? 'is away' : 'hangs';
  test(
    `given up while libvirt ${how}: what was stopped starts when it is back`,
    bounded,
    async () => {
      const { stopping, stopped, reboot, asked, world, synced } = await host({
        ...{ graceMs: 20, shutdownMs: 1000 },
      });
      await stopping();
      stopped(web, 'shutdown');
      Object.assign(world, { awayCode, isAway: true }); // the question before the reboot fails
      await until(() => world.missed === 2); // and so does the first start
      await turns();
      assert.deepEqual([reboot.state().phase, reboot.state().others.length], ['undoing', 1]);
      world.isAway = false;
      reboot.onEvent(synced());
      await until(() => reboot.state().phase === 'idle');
      assert.deepEqual([asked.at(-1), reboot.state().unstarted], ['create', []]);
    },
  );
}

test(
  'what cannot be started again is a finding until it runs, and not waited for',
  bounded,
  async () => {
    for (const why of ['no card', 'There is no connection to libvirt.']) {
      const { stopping, stopped, reboot, asked, world, synced } = await host();
      await stopping();
      stopped(web, 'shutdown');
      if (why === 'no card') world.createFails = why;
      else world.isAway = true;
      await reboot.cancel('uid 0');
      await until(() => reboot.state().phase === 'idle');
      const told = () =>
        rebootFindings(reboot.state(), []).filter((one) => one.rule === 'start-again-failed');
      assert.match(
        told()[0]?.message ?? '',
        /^Domain web was stopped for .*(no card|no connection)/,
      );
      assert.ok(!asked.includes('create'));
      Object.assign(world, { isAway: false, webRuns: true });
      reboot.onEvent(synced());
      assert.deepEqual(told(), []);
    }
  },
);

test(
  'the connection is lost while a guest is caught: it is kept, unless it is seen to run',
  bounded,
  async () => {
    for (const runs of [false, true]) {
      const { reboot, world, synced } = await host();
      await reboot.arm(win, 'uid 0');
      world.isAway = true;
      reboot.onEvent({ kind: 'reboot', domain: win });
      await until(() => reboot.state().phase === 'idle');
      assert.deepEqual(reboot.state().kept.length, 1);
      Object.assign(world, { isAway: false, runs });
      reboot.onEvent(synced());
      assert.equal(reboot.holds('w'), !runs);
    }
  },
);

test(
  'a daemon that ends in order leaves the attempt as it is, for the next one',
  bounded,
  async () => {
    const { stopping, stopped, reboot, world, path, asked } = await host();
    await stopping();
    const [state, left] = [reboot.state(), readFileSync(path, 'utf8')];
    reboot.close();
    world.isStopping = true;
    stopped(web, 'shutdown');
    reboot.onDriverChange({
      uuid: 'x',
      domain: 'web',
      card: gpu,
      from: '1',
      to: '2',
      oldSeenAt: 0,
    });
    await assert.rejects(reboot.cancel('uid 0'), { code: 'cancelled' });
    await turns();
    assert.deepEqual([reboot.state(), readFileSync(path, 'utf8')], [state, left]);
    assert.ok(!asked.includes('announce'));
  },
);

test(
  'a guest that is about to be started again goes through the reboot with the others',
  bounded,
  async () => {
    const { reboot, world, asked, stops, path, lines } = await host({
      graceMs: 20,
      shutdownMs: 1000,
    });
    await reboot.arm(win, 'uid 0');
    world.due = [
      { ...run, ...web, running: false, due: 'reboot' },
      { ...run, running: false, due: 'reboot' },
    ];
    reboot.onDriverChange({
      uuid: 'w',
      domain: 'win',
      card: gpu,
      from: '1',
      to: '2',
      oldSeenAt: 0,
    });
    stops('guest-reset');
    await until(() => asked.includes('reboot'));
    assert.deepEqual(
      lines.flatMap((line) => /id=([a-z-]+)/.exec(line)?.[1] ?? []),
      [
        ...['host-reboot-arm', 'host-reboot-armed', 'host-reboot-driver-changed'],
        ...['host-reboot-pending', 'host-reboot-begun', 'host-reboot-announced', 'host-rebooting'],
      ],
      'ids are for scripts: they stay',
    );
    assert.deepEqual(asked, ['announce', 'reboot']);
    assert.match(
      readFileSync(join(path, '../resume.json'), 'utf8'),
      /"x".*"order":2.*"w".*"order":4/,
    );
  },
);

test(
  'who sees to its start by itself is left to it when the reboot is given up',
  bounded,
  async () => {
    const { reboot, world, asked, stops } = await host();
    await reboot.arm(win, 'uid 0');
    world.due = [{ ...run, ...web, running: false, due: 'reboot' }];
    stops('guest-reset');
    await until(() => asked.includes('announce'));
    await reboot.cancel('uid 0');
    await until(() => reboot.state().phase === 'idle');
    assert.deepEqual(asked, ['announce', 'withdraw']);
  },
);
