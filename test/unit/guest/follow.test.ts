/** What a guest's reboot or crash leads to, with libvirt at the other end of a socket. Real guests: daemon-guest.test.ts. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type DomainSettings, defaultConfig } from '../../../daemon/config/config.ts';
import { RevivedError } from '../../../daemon/errors.ts';
import { followGuests } from '../../../daemon/guest/follow.ts';
import { openRuns } from '../../../daemon/guest/runs.ts';
import { openLedger } from '../../../daemon/host/ledger.ts';
import { openConnection } from '../../../daemon/libvirt/connection.ts';
import { createDomains } from '../../../daemon/libvirt/domains.ts';
import { createLog } from '../../../daemon/log.ts';
import { type Lease, openLeases } from '../../../daemon/pipeline/lease.ts';
import type { Change } from '../../../daemon/pipeline/service.ts';
import { freshDirectory } from '../fresh-directory.ts';
import { card } from '../inventory-of.ts';
import { fault, reply, startPeer, sampleUuid as uuid } from '../libvirt/peer.ts';
import { turns, until } from '../sim-host.ts';

const directory = freshDirectory('follow');
const bounded = { timeout: 10_000 };
const names = new Map([
  [151, 'is-persistent'],
  [390, 'reboot-action'],
  [9, 'create'],
  [212, 'state'],
]);
const gpu = card('0000:03:00');

/** A card whose family does not survive a guest's reboot, or one that nobody knows. */
function leaseOf(id: string): Lease {
  const fn = {
    address: `${gpu}.0`,
    id,
    classCode: '030000',
    group: '1',
    driver: 'amdgpu',
    override: '',
  };
  const lease: unknown = {
    ...{
      card: gpu,
      domain: 'win11',
      uuid,
      since: 1,
      state: 'lent',
      boundBy: 'revived',
      reason: '',
    },
    home: { functions: [fn], ports: [], power: [] },
  };
  return lease as Lease;
}

interface Options {
  readonly settings?: DomainSettings;
  readonly dir?: string;
  readonly id?: string;
  readonly onReboot?: string;
  readonly transient?: boolean;
  readonly mayStart?: boolean;
  /** What libvirt makes of a change of the reboot action. */
  readonly action?: 'refused' | 'silence';
  /** libvirt does not answer to a start. */
  readonly isSlow?: boolean;
}

async function lab(t: TestContext, options: Options = {}) {
  const dir = options.dir ?? mkdtempSync(join(directory.path, 'run-'));
  const calls: string[] = [];
  let refusal: readonly [number, string] | undefined;
  /** VIR_DOMAIN_RUNNING, or VIR_DOMAIN_SHUTOFF. */
  let state: 1 | 5 = 5;
  const peer = await startPeer((frame) => {
    const name = names.get(frame.procedure);
    if (name === undefined) return fault(frame, 86, 'Guest agent is not responding');
    if (name === 'state') return reply(frame, (w) => w.i32(state).i32(0));
    calls.push(
      name === 'reboot-action'
        ? `${name} ${frame.payload.readUInt32BE(frame.payload.length - 8)}`
        : name,
    );
    if (name === 'reboot-action' && options.action === 'silence') return undefined;
    if (name === 'reboot-action' && options.action === 'refused') return fault(frame, 3, 'no');
    if (name === 'create' && options.isSlow === true) return undefined;
    if (name === 'create' && refusal !== undefined) return fault(frame, ...refusal);
    return reply(frame, (w) => (name === 'is-persistent' ? w.i32(options.transient ? 0 : 1) : w));
  });
  const connection = await openConnection({
    ...{ path: peer.path, connectMs: 1000, pingMs: 60_000, pings: 5 },
    onMessage: () => {},
    onClose: () => {},
  });
  const lines: string[] = [];
  const log = createLog('text', 'info', (line) => lines.push(line));
  const runsPath = join(dir, 'runs.json');
  const leases = await openLeases(join(dir, 'leases.json'), () => {});
  const runs = await openRuns(runsPath, log);
  const listeners = new Set<(change: Change) => void>();
  const resets: string[] = [];
  const follower = followGuests({
    libvirt: createDomains(() => connection, { call: 60_000, blocked: 200, start: 1000 }),
    onReboot: async () => options.onReboot ?? null,
    service: {
      onChange(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    ...{ leases, runs, log, boot: 'b1', ledger: await openLedger(join(dir, 'ledger.json'), log) },
    config: () => ({ ...defaultConfig, domains: new Map([['win11', options.settings ?? {}]]) }),
    onDriverChange: () => {},
    onGuestReset: (domain) => resets.push(domain),
    onView: () => {},
    mayStart: () => options.mayStart !== false,
  });
  const leave = () => {
    follower.close();
    connection.close(new RevivedError('cancelled', 'the daemon ends'));
  };
  t.after(async () => {
    leave();
    await peer.close();
  });
  const told = (change: Change) => {
    for (const listener of listeners) listener(change);
  };
  let id = 1;
  const domain = (run: number | null = id) => ({ name: 'win11', uuid, id: run });
  const lifecycle = (event: string, detail: string) =>
    follower.onEvent({ kind: 'lifecycle', domain: domain(), event, detail });
  return {
    ...{ calls, lines, resets, follower, runs, dir, lifecycle, leave },
    saved: () => (existsSync(runsPath) ? readFileSync(runsPath, 'utf8') : ''),
    refuse(number: number, message: string) {
      refusal = [number, message];
    },
    isUp() {
      state = 1;
    },
    async lend() {
      await leases.set(leaseOf(options.id ?? '1002:731f'));
      told({ kind: 'domain', uuid });
    },
    async bringHome() {
      await leases.drop(gpu);
      told({ kind: 'card', address: gpu });
    },
    start() {
      id += 1;
      lifecycle('started', 'booted');
    },
    ends: (reason: string) => follower.onEvent({ kind: 'ending', domain: domain(), reason }),
    listed(state: string, reason: string, run: number | null = id) {
      const status = { ...domain(run), state, reason };
      follower.onEvent({ kind: 'synced', version: '9.0.0', domains: [status] });
    },
    /** Until what is under way has called libvirt, if it will: it writes to disk before it does. */
    async quiet() {
      for (let n = 0; n < 5; n += 1) {
        await runs.drop('nobody');
        await turns();
      }
    },
  };
}

const cold = { settings: { guestReboot: 'cold' } } as const;

async function running(t: TestContext, options: Options = cold) {
  const it = await lab(t, options);
  await it.lend();
  it.start();
  await until(() => it.lines.join('').includes('is a stop'));
  assert.equal(it.runs.get(uuid)?.cold, true);
  return it;
}

test(
  'cold: a reboot is a stop, the card comes home, and it starts again; once',
  bounded,
  async (t) => {
    const it = await running(t);
    assert.deepEqual(it.calls, ['is-persistent', 'reboot-action 0']);
    it.ends('guest-reset');
    it.ends('host-signal');
    assert.deepEqual(it.resets, [uuid]);
    assert.equal(it.follower.crashed(uuid), false);
    it.lifecycle('stopped', 'shutdown');
    it.lifecycle('stopped', 'shutdown');
    await it.quiet();
    assert.equal(it.calls.includes('create'), false, 'not before the card is home');
    await it.bringHome();
    await until(() => it.calls.includes('create'));
    it.start();
    await it.lend();
    await until(() => it.calls.length === 5);
    assert.deepEqual(
      it.calls.slice(2),
      ['create', 'is-persistent', 'reboot-action 0'],
      'a new run, a new wish',
    );
  },
);

test('cold: a shutdown, a destroy and a crash stay what they are', bounded, async (t) => {
  for (const [ending, detail] of [
    ['guest-shutdown', 'shutdown'],
    ['host-signal', 'destroyed'],
    ['', 'failed'],
  ] as const) {
    const it = await running(t);
    if (ending !== '') it.ends(ending);
    assert.equal(it.follower.crashed(uuid), detail === 'failed');
    it.lifecycle('stopped', detail);
    await it.bringHome();
    await it.quiet();
    assert.equal(it.calls.includes('create'), false, detail);
    assert.deepEqual(it.runs.all(), []);
  }
});

test(
  'who is made cold: by its family, but not against the definition, and never a transient one',
  bounded,
  async (t) => {
    const told = ['is-persistent', 'reboot-action 0'];
    const cases: readonly (readonly [Options, boolean, readonly string[]])[] = [
      [{ id: '1002:731f' }, true, told],
      [{ id: '8086:ffff' }, false, []],
      [{ settings: { guestReboot: 'pass' } }, false, []],
      [{ onReboot: 'destroy' }, false, ['is-persistent']],
      [{ ...cold, id: '8086:ffff', onReboot: 'preserve' }, true, told],
      [{ ...cold, onReboot: 'destroy' }, true, ['is-persistent']],
      [{ ...cold, transient: true }, false, ['is-persistent']],
    ];
    for (const [options, isCold, calls] of cases) {
      const it = await lab(t, options);
      await it.lend();
      it.start();
      await until(() => it.calls.length >= calls.length);
      await it.quiet();
      assert.deepEqual(it.calls, calls, JSON.stringify(options));
      assert.equal(it.runs.get(uuid)?.cold, isCold, JSON.stringify(options));
      assert.equal(it.follower.findings().length, options.transient === true ? 1 : 0);
    }
  },
);

test(
  'libvirt refuses to make it cold: it is not; no answer: it may be, so a reset is a reboot',
  bounded,
  async (t) => {
    for (const action of ['refused', 'silence'] as const) {
      const it = await lab(t, { ...cold, action });
      await it.lend();
      it.start();
      await until(() => it.follower.findings().length > 0);
      assert.match(it.follower.findings()[0]?.message ?? '', /is not made a stop/);
      it.ends('guest-reset');
      assert.deepEqual(it.resets, action === 'silence' ? [uuid] : []);
      await it.quiet();
    }
  },
);

test('a crash: started again where that is wanted, three times in a while', bounded, async (t) => {
  const it = await lab(t, { settings: { restart: 'on-crash', guestReboot: 'pass' } });
  for (let n = 1; n <= 4; n += 1) {
    await it.lend();
    it.start();
    assert.equal(it.follower.crashed(uuid), true, 'no word of qemu so far');
    it.lifecycle('stopped', n === 2 ? 'crashed' : 'failed');
    await it.bringHome();
    if (n < 4) await until(() => it.calls.filter((one) => one === 'create').length === n);
  }
  await until(() => it.follower.findings().length > 0);
  assert.match(it.follower.findings()[0]?.message ?? '', /crashed 4 times within 10 minutes/);
  await it.quiet();
  assert.equal(it.calls.filter((one) => one === 'create').length, 3);
});

test(
  'the daemon ends between the stop and the start: the next one starts it, once',
  bounded,
  async (t) => {
    const first = await running(t);
    first.ends('guest-reset');
    await until(() => first.saved().includes('"due":"reboot"'));
    first.follower.close();
    const second = await lab(t, { ...cold, dir: first.dir });
    second.listed('shutoff', 'shutdown', null);
    await second.quiet();
    assert.deepEqual(second.calls, [], 'its card is lent still');
    await second.bringHome();
    await until(() => second.calls.includes('create'));
    await second.lend();
    second.start();
    await until(() => second.saved().includes('"cold":true,"due":null'));
    const third = await lab(t, { ...cold, dir: first.dir });
    third.listed('shutoff', 'shutdown', null);
    await third.bringHome();
    await third.quiet();
    assert.deepEqual(third.calls, [], 'whether it was to reboot is not known');
    assert.match(third.lines.join(''), /stays off/);
  },
);

test('the daemon ends in order while libvirt starts it: it is due still', bounded, async (t) => {
  const it = await running(t, { ...cold, isSlow: true });
  it.ends('guest-reset');
  it.lifecycle('stopped', 'shutdown');
  await it.bringHome();
  await until(() => it.calls.includes('create'));
  it.leave();
  await it.quiet();
  const { due, id } = it.runs.get(uuid) ?? assert.fail();
  assert.deepEqual([due, id, it.follower.findings()], ['reboot', 2, []]);
});

test('the daemon ends in the moment of the reset: the run is known again', bounded, async (t) => {
  const first = await running(t);
  first.ends('host-qmp-system-reset'); // `virsh reset`
  await until(() => first.saved().includes('"due":"reboot"'));
  first.follower.close();
  const second = await lab(t, { ...cold, dir: first.dir });
  second.listed('running', 'booted', 2);
  second.start = () => {};
  second.follower.onEvent({
    kind: 'lifecycle',
    domain: { name: 'win11', uuid, id: 2 },
    ...{ event: 'stopped', detail: 'shutdown' },
  });
  await second.bringHome();
  await until(() => second.calls.includes('create'));
});

test(
  'who starts it by hand is not disturbed; who may not be started, or cannot, stays off',
  bounded,
  async (t) => {
    const byHand = await running(t);
    byHand.ends('guest-reset');
    byHand.lifecycle('stopped', 'shutdown');
    byHand.start();
    await byHand.bringHome();
    await byHand.quiet();
    assert.equal(byHand.calls.includes('create'), false);

    const vetoed = await running(t, { ...cold, mayStart: false });
    vetoed.ends('guest-reset');
    vetoed.lifecycle('stopped', 'shutdown');
    await vetoed.bringHome();
    await until(() => vetoed.runs.get(uuid)?.due === null);
    assert.equal(vetoed.calls.includes('create'), false);

    for (const [number, message] of [
      [70, 'Hook script execution failed'],
      [55, "network 'default' is not active"],
    ] as const) {
      const refused = await running(t);
      refused.refuse(number, message);
      refused.ends('guest-reset');
      refused.lifecycle('stopped', 'shutdown');
      await refused.bringHome();
      await until(() => refused.follower.findings().length > 0);
      assert.match(refused.follower.findings()[0]?.message ?? '', /could not be started again/);
      assert.equal(refused.runs.get(uuid)?.due, null);
    }
    const quicker = await running(t);
    quicker.refuse(55, 'domain is already running');
    quicker.isUp();
    quicker.ends('guest-reset');
    quicker.lifecycle('stopped', 'shutdown');
    await quicker.bringHome();
    await until(() => quicker.calls.includes('create'));
    await quicker.quiet();
    assert.deepEqual(quicker.follower.findings(), [], 'somebody else was quicker');
  },
);

test('a file of runs that is not ours starts nothing', bounded, async (t) => {
  const dir = directory.path;
  const due = { uuid, name: 'win11', id: 2, running: false, cold: true, due: 'reboot', starts: [] };
  const wrong = [{ ...due, due: 'now' }, { ...due, starts: [1] }, { ...due, uuid: 7 }, null];
  for (const text of [JSON.stringify({ version: 1, runs: wrong }), '[', '{"version":2}']) {
    writeFileSync(join(dir, 'runs.json'), text, { mode: 0o600 });
    const it = await lab(t, { ...cold, dir });
    it.listed('shutoff', 'shutdown', null);
    await it.quiet();
    assert.deepEqual([it.calls, it.runs.all()], [[], []]);
  }
});
