/** The client over a real bus, against the real bus half of the daemon; only the service behind it is scripted. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Connection, connect, type IncomingCall } from '../../../daemon/bus/connection.ts';
import { exportService } from '../../../daemon/bus/export.ts';
import { Variant } from '../../../daemon/bus/wire.ts';
import { type Client, type ClientEvent, createClient } from '../../../daemon/ctl/client.ts';
import { snapshotOf } from '../../../daemon/ctl/tree.ts';
import { createLog } from '../../../daemon/log.ts';
import { type PrivateBus, startPrivateBus } from '../../integration/private-bus.ts';
import {
  card,
  sampleCard,
  sampleUuid,
  scriptedService,
} from '../../integration/scripted-service.ts';

const bounded = { timeout: 20_000 };
const cardCall = {
  path: '/org/revived/cards/0000_0b_00',
  interface: 'org.revived1.Card',
  signature: '',
  args: [],
} as const;
const managerCall = { path: '/org/revived', interface: 'org.revived1.Manager' } as const;
const anybody = '<policy context="default"><allow own="org.revived"/>';

let bus: PrivateBus;
const closers: (() => void)[] = [];

/** A bus on which this test may own the name, whoever runs it; `calls` false: and nobody may call it. */
async function busFor(calls: boolean): Promise<PrivateBus> {
  const directory = await mkdtemp(join(tmpdir(), 'revived-policy-'));
  const policyFile = join(directory, 'org.revived.conf');
  const allow = calls ? '<allow send_destination="org.revived"/>' : '';
  await writeFile(policyFile, `<busconfig>${anybody}${allow}</policy></busconfig>`);
  try {
    return await startPrivateBus({ policyFile });
  } finally {
    await rm(directory, { recursive: true });
  }
}

function clientTo(address: string, interactive = false): Client {
  const client = createClient({
    address,
    interactive,
    deadlines: { answer: 2000, password: 2500 },
  });
  closers.push(() => client.close());
  return client;
}

async function serve(service = scriptedService()): Promise<Connection> {
  const connection = await connect(bus.address);
  closers.push(() => connection.close());
  const log = createLog('text', 'error', () => undefined);
  exportService({ connection, service, log, paths: { spool: '/nonexistent' } });
  await connection.requestName('org.revived');
  return connection;
}

/** Events as they come; `next` waits for the next one. */
function ears() {
  const heard: ClientEvent[] = [];
  let ring: () => void = () => undefined;
  return {
    hear(event: ClientEvent) {
      heard.push(event);
      ring();
    },
    async next(): Promise<ClientEvent> {
      for (;;) {
        const event = heard.shift();
        if (event !== undefined) return event;
        await new Promise<void>((resolve) => {
          ring = resolve;
        });
      }
    },
  };
}

before(async () => {
  bus = await busFor(true);
}, bounded);

after(async () => {
  for (const close of closers) close();
  await bus.stop();
});

test('the whole tree in one call, the manager included', bounded, async () => {
  const connection = await serve();
  const snapshot = snapshotOf(await clientTo(bus.address).getManagedObjects(), (text) => text);
  assert.equal(snapshot.manager.version, '0.1.0');
  assert.deepEqual(snapshot.cards, [sampleCard()]);
  assert.equal(snapshot.domains[0]?.uuid, sampleUuid);
  assert.equal(snapshot.jobs[0]?.startedUsec, 1_700_000_000_000_001);
  connection.close();
});

test('methods, their answers and the errors of the daemon', bounded, async () => {
  const connection = await serve();
  const client = clientTo(bus.address);
  assert.equal(await client.isRunning(), true);
  const plan = { ...managerCall, member: 'Plan', signature: 'ss' } as const;
  const [refusal, notes, steps] = await client.callMethod({ ...plan, args: ['win10', 'prepare'] });
  assert.equal(refusal, 'the framebuffer is held');
  assert.deepEqual(notes, ['2 functions']);
  const step = { Name: 'unbind', Card: '0000:0b:00', Detail: 'from amdgpu' };
  assert.deepEqual(steps, [{ ...step, Undo: 'bind', ExpectedMs: 40 }]);

  const find = { ...managerCall, member: 'GetDomain', signature: 's' } as const;
  await assert.rejects(client.callMethod({ ...find, args: ['my "vm"\n'] }), {
    code: 'not-found',
    message: /^There is no such domain\. /,
  });
  const absent = { ...cardCall, path: '/org/revived/cards/0000_0c_00', member: 'Take' };
  await assert.rejects(client.callMethod(absent), {
    code: 'not-found',
    message: 'There is no card 0000:0c:00 here.',
  });
  connection.close();
});

test(
  'whether polkit may ask a person is said in the header and in the options',
  bounded,
  async () => {
    const calls: IncomingCall[] = [];
    const connection = await connect(bus.address);
    connection.onCall((call) => {
      calls.push(call);
      connection.reply(call, 'o', ['/org/revived/jobs/1']);
    });
    await connection.requestName('org.revived');
    for (const interactive of [true, false]) {
      const client = clientTo(bus.address, interactive);
      const answer = await client.callMethod({ ...cardCall, member: 'Take' });
      assert.deepEqual(answer, ['/org/revived/jobs/1']);
    }
    const quiet = { 'auth.no_user_interaction': new Variant('b', true) };
    assert.deepEqual(
      calls.map(({ interactive, signature }) => [interactive, signature]),
      [
        [true, 'a{sv}'],
        [false, 'a{sv}'],
      ],
    );
    assert.deepEqual(
      calls.map((call) => call.body()),
      [[{}], [quiet]],
    );
    connection.close();
  },
);

test('a daemon that does not answer is unreachable, after the deadline', bounded, async () => {
  const connection = await connect(bus.address);
  connection.onCall(() => undefined);
  await connection.requestName('org.revived');
  const deadlines = { answer: 30, password: 40 };
  for (const interactive of [false, true]) {
    const client = createClient({ address: bus.address, interactive, deadlines });
    await assert.rejects(client.callMethod({ ...cardCall, member: 'Take' }), {
      code: 'unreachable',
      message: new RegExp(
        `^The daemon does not answer: .* within ${interactive ? 0.04 : 0.03} s\\.$`,
      ),
      advice: 'Look at: systemctl status revived.',
    });
    client.close();
  }
  connection.close();
});

test('no daemon, and no bus', bounded, async () => {
  const client = clientTo(bus.address);
  assert.equal(await client.isRunning(), false);
  await assert.rejects(client.getManagedObjects(), {
    code: 'unreachable',
    advice: 'Look at: systemctl status revived.',
  });
  await assert.rejects(clientTo('unix:path=/nonexistent/bus').isRunning(), { code: 'unreachable' });
});

test('signals of the daemon are heard, its going and its coming back', bounded, async () => {
  const service = scriptedService();
  const connection = await serve(service);
  const { hear, next } = ears();
  const client = clientTo(bus.address);
  await client.subscribe(hear);

  service.views.cards = [{ ...sampleCard(), state: 'home' }];
  service.announce({ kind: 'card', address: card('0000:0b:00') });
  const signal = await next();
  assert.ok(signal.kind === 'signal');
  assert.deepEqual(
    [signal.path, signal.interface, signal.member],
    [cardCall.path, 'org.freedesktop.DBus.Properties', 'PropertiesChanged'],
  );
  assert.deepEqual(signal.args, ['org.revived1.Card', { State: 'home' }, []]);

  connection.close();
  assert.deepEqual(await next(), { kind: 'daemon', present: false });
  const second = scriptedService();
  const again = await serve(second);
  assert.deepEqual(await next(), { kind: 'daemon', present: true });
  second.views.cards = [{ ...sampleCard(), health: { state: 'lost', evidence: [] } }];
  second.announce({ kind: 'card', address: card('0000:0b:00') });
  assert.equal((await next()).kind, 'signal');
  again.close();
});

test('a daemon that is started by the call is heard too', bounded, async () => {
  const { hear, next } = ears();
  await clientTo(bus.address).subscribe(hear);
  const connection = await serve();
  assert.deepEqual(await next(), { kind: 'daemon', present: true });
  connection.close();
});

test(
  'signals that others send to us in the name of the daemon are not heard',
  bounded,
  async () => {
    const service = scriptedService();
    const connection = await serve(service);
    const { hear, next } = ears();
    const client = clientTo(bus.address);
    await client.subscribe(hear);

    const driver = 'org.freedesktop.DBus';
    const question = { destination: driver, path: '/', interface: driver, member: 'ListNames' };
    const [names] = await connection.call(question, 2000);
    assert.ok(Array.isArray(names));
    for (const name of names.filter((one: string) => one.startsWith(':'))) {
      for (const [path, what, ...args] of [
        [
          '/org/revived/jobs/7',
          `${driver}.Properties.PropertiesChanged`,
          'string:org.revived1.Job',
        ],
        [
          '/org/freedesktop/DBus',
          `${driver}.NameOwnerChanged`,
          'string:org.revived',
          'string::1.1',
        ],
      ] as const) {
        const words = [`--address=${bus.address}`, '--type=signal', `--dest=${name}`, path, what];
        const extra = what.endsWith('OwnerChanged') ? ['string:'] : [];
        const sent = spawnSync('dbus-send', [...words, ...args, ...extra], { encoding: 'utf8' });
        assert.equal(sent.status, 0, sent.stderr);
      }
    }
    service.views.cards = [{ ...sampleCard(), name: 'the real one' }];
    service.announce({ kind: 'card', address: card('0000:0b:00') });
    const event = await next();
    assert.ok(event.kind === 'signal');
    assert.deepEqual(event.args[1], { Name: 'the real one' });
    connection.close();
  },
);

test('a bus policy that forbids calls is said in words of ours', bounded, async () => {
  const closed = await busFor(false);
  const connection = await connect(closed.address);
  await connection.requestName('org.revived');
  const client = clientTo(closed.address);
  await assert.rejects(client.getManagedObjects(), {
    code: 'not-authorised',
    message: 'The policy of the system bus does not let you talk to revived.',
  });
  const { hear, next } = ears();
  await client.subscribe(hear);
  await closed.kill();
  assert.deepEqual(await next(), { kind: 'bus-lost' });
  await assert.rejects(client.isRunning(), { code: 'unreachable' });
  await closed.stop();
});
