import assert from 'node:assert/strict';
import { mkdtemp, rm, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { RevivedError } from '../../../daemon/errors.ts';
import {
  createLibvirtClient,
  type LibvirtClient,
  type LibvirtState,
  retryDelay,
  type Timings,
} from '../../../daemon/libvirt/client.ts';
import type { Frame } from '../../../daemon/libvirt/frame.ts';
import type { LibvirtEvent } from '../../../daemon/libvirt/session.ts';
import { createLog } from '../../../daemon/log.ts';
import { fault, healthyScript, lifecycle, reply, sampleUuid, startPeer } from './peer.ts';

/** Nothing here may wait longer. */
const bounded = { timeout: 10_000 };

interface Watched {
  readonly client: LibvirtClient;
  readonly events: LibvirtEvent[];
  readonly states: LibvirtState[];
  readonly lines: string[];
  /** Resolves when the condition holds; looked at after each event, state or log line. */
  until(condition: () => boolean): Promise<void>;
}

function watched(
  t: TestContext,
  sockets: readonly string[],
  timings: Partial<Timings> = {},
  onEvent: (event: LibvirtEvent) => void = () => {},
): Watched {
  const events: LibvirtEvent[] = [];
  const states: LibvirtState[] = [];
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const look = () => {
    for (const one of waiting) one();
  };
  const client = createLibvirtClient({
    sockets,
    uri: 'qemu:///system',
    log: createLog('text', 'info', (one) => {
      lines.push(one);
      look();
    }),
    onEvent(event) {
      events.push(event);
      look();
      onEvent(event);
    },
    onState(state) {
      states.push(state);
      look();
    },
    timings: { firstRetry: 5, lastRetry: 50, call: 2000, ...timings },
  });
  t.after(() => client.stop());
  return {
    ...{ client, events, states, lines },
    until: (condition) =>
      new Promise((resolve) => {
        const one = () => {
          if (!condition()) return;
          waiting.delete(one);
          resolve();
        };
        waiting.add(one);
        one();
      }),
  };
}

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'revived-client-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

const names = (states: readonly LibvirtState[]) => states.map((one) => one.state);
const kinds = (events: readonly LibvirtEvent[]) =>
  events.map((one) => (one.kind === 'lifecycle' ? one.event : one.kind));
const procedures = (frames: readonly Frame[]) => frames.map((frame) => frame.procedure);

test('the wait doubles and ends at the limit', () => {
  const delays = Array.from({ length: 9 }, (_, attempt) => retryDelay(attempt, 100, 5000));
  assert.deepEqual(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
  assert.equal(retryDelay(1e6, 100, 5000), 5000);
});

test('it authenticates, opens, registers, and only then lists', bounded, async (t) => {
  const peer = await startPeer(healthyScript);
  t.after(peer.close);
  const { client, events, states, until } = watched(t, [peer.path]);
  client.start();
  await until(() => events.length === 1);
  assert.deepEqual(procedures(peer.received), [
    ...[66, 1, 157],
    ...[316, 316, 316, 316, 316, 316, 4],
    ...[273, 212],
  ]);
  assert.deepEqual(
    peer.received.filter((frame) => frame.procedure === 316).map((f) => f.payload.readInt32BE(0)),
    [0, 1, 15, 18, 19, 22],
  );
  assert.match(peer.received[1]?.payload.toString('latin1') ?? '', /qemu:\/\/\/system/);
  const domain = { name: 'test', uuid: sampleUuid, id: 1, state: 'running', reason: 'booted' };
  assert.deepEqual(events, [{ kind: 'synced', version: '9.0.0', domains: [domain] }]);
  assert.deepEqual(names(states), ['connecting', 'connected']);
  assert.deepEqual(client.state(), { state: 'connected', version: '9.0.0', socket: peer.path });
});

test('what happens between registration and list comes after the list', bounded, async (t) => {
  const peer = await startPeer((frame) => {
    const answer = healthyScript(frame) ?? Buffer.alloc(0);
    if (frame.procedure === 316) return Buffer.concat([answer, lifecycle(2, 0)]);
    return frame.procedure === 273 ? Buffer.concat([lifecycle(5, 1), answer]) : answer;
  });
  t.after(peer.close);
  const { client, events, until } = watched(t, [peer.path]);
  client.start();
  await until(() => events.length === 8);
  assert.deepEqual(kinds(events), ['synced', ...Array(6).fill('started'), 'stopped']);
});

test('after each loss it comes back, registers first and lists afterwards', bounded, async (t) => {
  const peer = await startPeer(healthyScript);
  t.after(peer.close);
  const { client, events, states, until } = watched(t, [peer.path]);
  client.start();
  for (let turn = 1; turn <= 3; turn += 1) {
    await until(() => events.length === turn);
    peer.hangUp();
    await until(() => names(states).filter((one) => one === 'connecting').length === turn + 1);
  }
  await until(() => events.length === 4);
  assert.deepEqual(kinds(events), ['synced', 'synced', 'synced', 'synced']);
  const once = [66, 1, 157, 316, 316, 316, 316, 316, 316, 4, 273, 212];
  assert.deepEqual(procedures(peer.received), [...once, ...once, ...once, ...once]);
});

test(
  'while it does not let us in, a call is one that was not made, whatever that ended in',
  bounded,
  async (t) => {
    // Procedure 66 (AUTH_LIST) is never answered: a libvirtd that hangs behind its socket.
    const peer = await startPeer((frame) =>
      frame.procedure === 66 ? undefined : healthyScript(frame),
    );
    t.after(peer.close);
    const { client, lines, until } = watched(t, [peer.path], { call: 20, firstRetry: 60_000 });
    client.start();
    await until(() => lines.some((line) => line.includes('connecting')));
    await assert.rejects(client.list(), { code: 'libvirt', message: /AUTH_LIST|20 ms|answer/ });
  },
);

test('while it is away calls reject with the reason', bounded, async (t) => {
  const peer = await startPeer((frame) =>
    frame.procedure === 14 ? undefined : healthyScript(frame),
  );
  t.after(peer.close);
  const { client, events, until } = watched(t, [peer.path], {
    firstRetry: 60_000,
    lastRetry: 60_000,
  });
  await assert.rejects(client.list(), { code: 'libvirt', message: /no connection/ });
  client.start();
  await until(() => events.length === 1);
  const open = assert.rejects(client.domainXml(sampleUuid), { code: 'libvirt', message: /lost/ });
  await peer.until(() => peer.received.at(-1)?.procedure === 14);
  peer.hangUp();
  await open;
  await until(() => client.state().state === 'connecting');
  await assert.rejects(client.list(), { code: 'libvirt', message: /lost.*closed/ });
});

test('without a socket it waits for one, and takes the first that exists', bounded, async (t) => {
  const dir = await folder(t);
  const sockets = [join(dir, 'virtqemud-sock'), join(dir, 'libvirt-sock')];
  // A back-off that would not end within this test: what wakes it is the socket.
  const { client, states, events, until } = watched(t, sockets, {
    ...{ firstRetry: 60_000, lastRetry: 60_000 },
  });
  client.start();
  await until(() => client.state().state === 'absent');
  const [first = '', second = ''] = sockets;
  const old = await startPeer(healthyScript, second);
  await until(() => events.length === 1);
  assert.deepEqual(names(states), ['connecting', 'absent', 'connected']);
  const newer = await startPeer(healthyScript, first);
  t.after(newer.close);
  await old.close();
  await until(() => client.state().state === 'connecting');
  await unlink(first);
  // Made anew: nothing but its appearance ends the pause.
  const last = await startPeer(healthyScript, first);
  t.after(last.close);
  await until(() => events.length === 2);
  assert.equal(last.connections(), 1);
});

test('a hook may block the list: calls and events work meanwhile', bounded, async (t) => {
  let blocked: Frame | undefined;
  const peer = await startPeer((frame) => {
    if (frame.procedure === 14) return reply(frame, (w) => w.string('<domain/>'));
    if (frame.procedure !== 273 || blocked !== undefined) return healthyScript(frame);
    blocked = frame;
    return undefined;
  });
  t.after(peer.close);
  const { client, events, until } = watched(t, [peer.path], { hold: 10 });
  client.start();
  await peer.until(() => blocked !== undefined);
  assert.equal(await client.domainXml(sampleUuid), '<domain/>');
  peer.send(lifecycle(5, 1));
  await until(() => events.length === 1);
  if (blocked !== undefined) peer.send(healthyScript(blocked) ?? Buffer.alloc(0));
  await until(() => events.length === 2);
  assert.deepEqual(kinds(events), ['stopped', 'synced']);
  assert.equal(procedures(peer.received).filter((number) => number === 273).length, 2);
});

test('polkit is asked where libvirt wants it; a password cannot be given', bounded, async (t) => {
  const polkit = await startPeer((frame) => {
    if (frame.procedure === 66) return reply(frame, (w) => w.u32(1).u32(2));
    return frame.procedure === 70 ? reply(frame, (w) => w.i32(1)) : healthyScript(frame);
  });
  t.after(polkit.close);
  const good = watched(t, [polkit.path]);
  good.client.start();
  await good.until(() => good.events.length === 1);
  assert.deepEqual(procedures(polkit.received).slice(0, 3), [66, 70, 1]);

  const sasl = await startPeer((frame) => reply(frame, (w) => w.u32(1).u32(1)));
  t.after(sasl.close);
  const bad = watched(t, [sasl.path]);
  bad.client.start();
  await bad.until(() => bad.lines.length > 0);
  assert.match(bad.lines[0] ?? '', /password.*auth_unix_rw/);
  assert.equal(bad.events.length, 0);
});

test('what keeps failing is said once, not with each try', bounded, async (t) => {
  const peer = await startPeer((frame) => fault(frame, 45, 'authentication failed'));
  t.after(peer.close);
  const { client, lines } = watched(t, [peer.path], { firstRetry: 1, lastRetry: 2 });
  client.start();
  await peer.until(() => peer.connections() >= 6);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /authentication failed.*Run revived as root/);
});

test('a listener that throws harms nobody', bounded, async (t) => {
  const peer = await startPeer(healthyScript);
  t.after(peer.close);
  const { client, events, lines, until } = watched(t, [peer.path], {}, () => {
    throw new Error('a bug');
  });
  client.start();
  await until(() => events.length === 1);
  peer.send(lifecycle(5, 1));
  await until(() => events.length === 2 && lines.length === 3);
  assert.equal(client.state().state, 'connected');
  assert.equal(peer.connections(), 1);
  assert.match(lines.join(''), /listener.*a bug/);
});

test('a server that speaks nonsense is left and tried again', bounded, async (t) => {
  let turn = 0;
  const peer = await startPeer((frame) => {
    if (frame.procedure !== 66) return healthyScript(frame);
    turn += 1;
    return turn < 3 ? Buffer.from('ffffffff', 'hex') : healthyScript(frame);
  });
  t.after(peer.close);
  const { client, events, lines, until } = watched(t, [peer.path]);
  client.start();
  await until(() => events.length === 1);
  assert.equal(peer.connections(), 3);
  assert.match(lines[0] ?? '', /makes no sense/);
});

test('stop ends open calls and every further try; it can be started again', bounded, async (t) => {
  const peer = await startPeer((frame) =>
    frame.procedure === 14 ? undefined : healthyScript(frame),
  );
  t.after(peer.close);
  const { client, events, until } = watched(t, [peer.path]);
  client.start();
  client.start();
  await until(() => events.length === 1);
  const open = assert.rejects(client.domainXml(sampleUuid), { code: 'cancelled' });
  await peer.until(() => peer.received.at(-1)?.procedure === 14);
  client.stop();
  await open;
  await assert.rejects(client.list(), RevivedError);
  client.start();
  client.stop();
  client.start();
  await until(() => events.length === 2);
  assert.equal(client.state().state, 'connected');
  await client.domainState(sampleUuid);
  assert.equal(procedures(peer.received).filter((number) => number === 273).length, 2);
});
