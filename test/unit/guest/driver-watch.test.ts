/** A driver installation is noticed once; what only looks like one is not, and a bad agent costs nothing but log lines. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createDriverWatch, type DriverChange } from '../../../daemon/guest/driver-watch.ts';
import { openLedger } from '../../../daemon/host/ledger.ts';
import { createLog } from '../../../daemon/log.ts';
import { freshDirectory } from '../fresh-directory.ts';
import { card } from '../inventory-of.ts';
import { sampleUuid } from '../libvirt/peer.ts';
import { windowsGuest, withDriver } from './windows.ts';

const directory = freshDirectory('watch');
const bounded = { timeout: 10_000 };
const gpu = card('0000:03:00');
const windows = { uuid: sampleUuid, name: 'win11', cards: [{ card: gpu, id: '1002:731f' }] };
const linux = { ...windows, uuid: '11111111-2222-3333-4444-555555555555' };

async function lab(t: TestContext, boot = 'b1', ledgerPath?: string) {
  const path = ledgerPath ?? join(directory.path, 'ledger.json');
  const log = createLog('text', 'warn', () => {});
  const { agent, guest } = await windowsGuest(t);
  const ledger = await openLedger(path, log);
  const changes: DriverChange[] = [];
  const notes: string[] = [];
  /** Waits that the watch has asked for, in order. */
  let waits: { ms: number; act: () => void }[] = [];
  let idle: (() => void) | undefined;
  let nowMs = 42;
  const watch = createDriverWatch({
    ...{ agent, ledger, boot, log },
    pollSeconds: () => 60,
    onSeen: () => {},
    onChange: (change) => changes.push(change),
    onNote(_uuid, note) {
      if (note !== undefined) notes.push(note);
    },
    clock: {
      nowUsec: () => nowMs * 1000,
      after(ms, act) {
        const wait = { ms, act };
        waits.push(wait);
        idle?.();
        return () => {
          waits = waits.filter((one) => one !== wait);
        };
      },
    },
  });
  t.after(() => watch.close());
  /** Lets the next wait end; resolves when the watch waits again. Gives what it then waits for, in ms. */
  const turn = async (): Promise<number> => {
    nowMs += 1;
    const next = waits.shift();
    assert.ok(next !== undefined, 'the watch waits for nothing');
    const again = new Promise<void>((resolve) => {
      idle = resolve;
    });
    next.act();
    await again;
    return waits.at(-1)?.ms ?? 0;
  };
  /** The same where the watch gives up: it asks nothing any more. */
  const lastTurn = async (until: () => boolean): Promise<void> => {
    waits.shift()?.act();
    while (!until()) await new Promise<void>((resolve) => void setImmediate(resolve));
    for (let n = 0; n < 20; n += 1)
      await new Promise<void>((resolve) => void setImmediate(resolve));
    assert.deepEqual(waits, []);
  };
  const install = (version: string) => {
    guest.run = withDriver(version);
  };
  return {
    watch,
    guest,
    changes,
    notes,
    turn,
    lastTurn,
    install,
    path,
    waiting: () => waits.length,
  };
}

/** `oldSeenAt`: in ms; the first turn is in ms 43, and each takes one. */
const change = (from: string, to: string, oldSeenAt: number) => ({
  ...{ uuid: sampleUuid, domain: 'win11', card: gpu },
  ...{ from, to, oldSeenAt },
});

test('an installation is told once, after a second look', bounded, async (t) => {
  const { watch, guest, changes, turn, install } = await lab(t);
  install('');
  watch.onAgent(sampleUuid, false);
  watch.onDomainStarted(windows);
  assert.equal(guest.asked.length, 0);
  watch.onAgent(sampleUuid, true);
  assert.equal(await turn(), 60_000, 'the first one is only remembered');
  install('31.0.1');
  assert.equal(await turn(), 5_000, 'seen: look again soon');
  assert.deepEqual(changes, []);
  assert.equal(await turn(), 60_000);
  assert.equal(await turn(), 60_000);
  assert.deepEqual(changes, [change('', '31.0.1', 43)]);
  assert.deepEqual(watch.versions(), [
    { uuid: sampleUuid, domain: 'win11', card: gpu, version: '31.0.1' },
  ]);
});

test(
  'versions that flap, and one that is seen before and after a reboot of the guest',
  bounded,
  async (t) => {
    const { watch, changes, turn, install } = await lab(t);
    install('1.0');
    watch.onDomainStarted(windows);
    await turn();
    for (const version of ['2.0', '1.0', '2.0', '3.0', '2.0', '1.0', '1.0']) {
      install(version);
      await turn();
    }
    assert.deepEqual(changes, []);
    install('2.0');
    await turn();
    watch.onAgent(sampleUuid, false);
    watch.onAgent(sampleUuid, true);
    await turn();
    assert.deepEqual(changes, [change('1.0', '2.0', 50)], 'the old one was read last in turn 8');
  },
);

test('a driver that is removed is no installation, the next one is', bounded, async (t) => {
  const { watch, changes, turn, install } = await lab(t);
  install('1.0');
  watch.onDomainStarted(windows);
  await turn();
  install('');
  await turn();
  await turn();
  assert.deepEqual(changes, []);
  install('2.0');
  await turn();
  await turn();
  assert.deepEqual(changes, [change('', '2.0', 45)]);
});

test('over restarts of the daemon and of the host', bounded, async (t) => {
  const first = await lab(t);
  first.install('1.0');
  first.watch.onDomainStarted(windows);
  await first.turn();
  const second = await lab(t, 'b1', first.path);
  second.install('2.0');
  second.watch.onDomainStarted(windows);
  await second.turn();
  await second.turn();
  assert.deepEqual(second.changes, [change('1.0', '2.0', 0)], 'it changed while nobody looked');
  const third = await lab(t, 'b2', first.path);
  third.install('3.0');
  third.watch.onDomainStarted(windows);
  await third.turn();
  assert.deepEqual(third.changes, [], 'the host was rebooted since');
  third.install('4.0');
  await third.turn();
  await third.turn();
  assert.deepEqual(third.changes, [change('3.0', '4.0', 43)]);
});

test('a Linux guest is left alone, and an agent that is blocked is said', bounded, async (t) => {
  const { watch, guest, notes, lastTurn } = await lab(t);
  guest.osId = 'debian';
  watch.onDomainStarted(linux);
  await lastTurn(() => guest.asked.length === 2);
  assert.deepEqual(notes, []);
  guest.osId = 'mswindows';
  guest.blocked = ['guest-exec'];
  watch.onDomainStarted(windows);
  await lastTurn(() => notes.length > 0);
  assert.match(notes.join(), /guest-exec is blocked/);
  assert.ok(guest.asked.every(({ execute }) => execute !== 'guest-exec'));
});

test(
  'failures back off and are said once; silence and garbage are no change',
  bounded,
  async (t) => {
    const { watch, guest, changes, notes, turn, install } = await lab(t);
    install('1.0');
    watch.onAgent(sampleUuid, true);
    watch.onDomainStarted(windows);
    await turn();
    guest.answer = ({ execute }) => (execute === 'guest-exec-status' ? '}{' : undefined);
    assert.deepEqual([await turn(), await turn(), await turn()], [120_000, 240_000, 480_000]);
    assert.equal(notes.length, 1);
    guest.answer = () => undefined;
    guest.run = () => 'no such thing';
    assert.equal(await turn(), 960_000);
    install('1.0');
    assert.equal(await turn(), 60_000);
    assert.deepEqual(changes, []);
  },
);

test(
  'what the registry cannot tell, WMI does; a card that the guest has lost asks nothing',
  bounded,
  async (t) => {
    const { watch, guest, turn, waiting } = await lab(t);
    guest.run = (path) =>
      path === 'reg.exe'
        ? 'ERROR: Access is denied.'
        : '[{"PNPDeviceID":"PCI\\\\VEN_1002&DEV_731F&SUBSYS_1","DriverVersion":"5.0","InfFilename":"oem1.inf"}]';
    watch.onDomainStarted(windows);
    await turn();
    assert.deepEqual(
      watch.versions().map(({ version }) => version),
      ['5.0'],
    );
    watch.onDomainStarted({ ...windows, cards: [] });
    assert.equal(waiting(), 0);
    assert.deepEqual(watch.versions(), []);
  },
);

test('a guest that stops, or a watch that ends, is asked no more', bounded, async (t) => {
  const { watch, waiting } = await lab(t);
  watch.onDomainStarted(windows);
  watch.onDomainStopped(sampleUuid);
  assert.equal(waiting(), 0);
  watch.onDomainStarted(windows);
  watch.onResync();
  assert.equal(waiting(), 1);
  watch.close();
  assert.equal(waiting(), 0);
});
