/** What is asked of a guest that has a card about its display driver, and what of that people see. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type DomainSettings, defaultConfig } from '../../../daemon/config/config.ts';
import { followGuests } from '../../../daemon/guest/follow.ts';
import { openRuns } from '../../../daemon/guest/runs.ts';
import { openLedger } from '../../../daemon/host/ledger.ts';
import { createDomains } from '../../../daemon/libvirt/domains.ts';
import { createLog } from '../../../daemon/log.ts';
import type { Lease } from '../../../daemon/pipeline/lease.ts';
import { freshDirectory } from '../fresh-directory.ts';
import { card } from '../inventory-of.ts';
import { connectTo, startPeer, sampleUuid as uuid } from '../libvirt/peer.ts';
import { turns, until } from '../sim-host.ts';
import { windowsAgent, withDriver } from './windows.ts';

const directory = freshDirectory('follow-drivers');
const bounded = { timeout: 10_000 };
const gpu = card('0000:03:00');
const lease: unknown = {
  ...{ card: gpu, domain: 'win11', uuid, since: 1, state: 'lent', boundBy: 'revived', reason: '' },
  home: {
    functions: [{ address: `${gpu}.0`, id: '1002:731f', classCode: '030000', group: '1' }],
    ports: [],
    power: [],
  },
};

async function lab(t: TestContext, first: DomainSettings = {}) {
  const { guest, script } = windowsAgent();
  guest.run = withDriver('31.0.1');
  const peer = await startPeer(script);
  const connection = await connectTo(peer, t);
  const lines: string[] = [];
  const log = createLog('text', 'info', (line) => lines.push(line));
  let settings = first;
  let told = 0;
  /** Waits of the driver watch: the next one ends when the test says so. */
  let waits: (() => void)[] = [];
  const follower = followGuests({
    libvirt: createDomains(() => connection, { call: 300, blocked: 300, start: 300 }),
    onReboot: async () => null,
    service: { onChange: () => () => {} },
    leases: { all: () => [lease as Lease] },
    runs: await openRuns(join(directory.path, `runs-${t.name.length}.json`), log),
    ledger: await openLedger(join(directory.path, `ledger-${t.name.length}.json`), log),
    ...{ log, boot: 'b1' },
    config: () => ({
      ...defaultConfig,
      domains: new Map([['win11', { guestReboot: 'pass', ...settings }]]),
    }),
    onDriverChange: () => {},
    onGuestReset: () => {},
    mayStart: () => true,
    onView() {
      told += 1;
    },
    clock: {
      nowUsec: () => 42,
      after(_ms, act) {
        waits.push(act);
        return () => {
          waits = waits.filter((one) => one !== act);
        };
      },
    },
  });
  t.after(() => follower.close());
  const domain = { name: 'win11', uuid, id: 2 };
  return {
    ...{ follower, guest, lines },
    waiting: () => waits.length,
    /** How often something was said to have changed, since this was asked last. */
    told() {
      const times = told;
      told = 0;
      return times;
    },
    start() {
      follower.onEvent({ kind: 'lifecycle', domain, event: 'started', detail: 'booted' });
      follower.onEvent({ kind: 'agent', domain, state: 'connected', reason: 'channel' });
    },
    stop: () =>
      follower.onEvent({ kind: 'lifecycle', domain, event: 'stopped', detail: 'shutdown' }),
    /** The agent is another one, or the same anew. */
    reconnect: () =>
      follower.onEvent({ kind: 'agent', domain, state: 'connected', reason: 'channel' }),
    next: () => waits.shift()?.(),
    /** The next read of its drivers, to its end: then the next one is waited for. */
    async look() {
      waits.shift()?.();
      await until(() => waits.length > 0);
    },
    reload(wanted: DomainSettings) {
      settings = wanted;
      follower.onConfig();
    },
    seen: () => follower.driverVersions().map(({ version }) => version),
  };
}

test(
  'after-driver-install: off asks the guest nothing, from a reload on too',
  bounded,
  async (t) => {
    const it = await lab(t, { afterDriverInstall: 'off' });
    it.start();
    assert.equal(it.waiting(), 0);
    it.reload({});
    await it.look();
    assert.deepEqual(it.seen(), ['31.0.1']);
    it.reload({ afterDriverInstall: 'off' });
    assert.deepEqual([it.waiting(), it.seen()], [0, []]);
  },
);

test(
  'what was seen and what is wrong are told when they change, and only then',
  bounded,
  async (t) => {
    const it = await lab(t);
    it.start();
    assert.equal(it.told(), 0);
    await it.look();
    assert.deepEqual([it.seen(), it.told()], [['31.0.1'], 1]);
    await it.look();
    assert.equal(it.told(), 0, 'the same again');
    it.guest.answer = () => '}{';
    await it.look();
    assert.equal(it.told(), 0, 'one bad answer is none');
    await it.look();
    assert.deepEqual([it.follower.findings().length, it.told()], [1, 1]);
    await it.look();
    assert.equal(it.told(), 0);
    it.stop();
    assert.deepEqual([it.seen(), it.follower.findings(), it.told()], [[], [], 2]);
  },
);

test(
  'what is wrong with an agent is said once, and no more when it is well',
  bounded,
  async (t) => {
    const it = await lab(t);
    const said = () => it.follower.findings().map(({ message }) => message.slice(0, 35));
    it.guest.answer = () => '}{';
    it.start();
    await it.look();
    await it.look();
    assert.deepEqual(said(), ['Its display driver cannot be read: ']);
    it.guest.answer = () => undefined;
    it.told();
    await it.look();
    assert.deepEqual([said(), it.told()], [[], 2], 'that, and the version');

    it.guest.blocked = ['guest-exec'];
    for (let n = 0; n < 3; n += 1) {
      it.reconnect();
      it.next();
      await until(() => it.follower.findings().length > 0);
      await turns();
    }
    assert.deepEqual(it.lines.filter((line) => line.includes('is blocked')).length, 1);
    it.guest.blocked = [];
    it.reconnect();
    await it.look();
    assert.deepEqual(said(), [], 'it is allowed now');
    it.guest.blocked = ['guest-exec'];
    it.reconnect();
    it.next();
    await until(() => it.follower.findings().length > 0);
    it.reload({ afterDriverInstall: 'off' });
    assert.deepEqual(said(), [], 'nobody wants to know any more');
    it.reload({});
    it.reconnect();
    it.next();
    await until(() => it.follower.findings().length > 0);
    it.follower.onEvent({ kind: 'synced', version: '9.0.0', domains: [] });
    assert.deepEqual(said(), [], 'it has ended while libvirt was away');
  },
);
