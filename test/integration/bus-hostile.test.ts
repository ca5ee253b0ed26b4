/** What a hostile or unlucky neighbour on the bus can do to the daemon: nothing that lasts. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type BusCall, type Connection, connect } from '../../daemon/bus/connection.ts';
import { exportService } from '../../daemon/bus/export.ts';
import { createFrameReader, type Frame, frameLimits } from '../../daemon/bus/frames.ts';
import { authenticated } from '../../daemon/bus/handshake.ts';
import { pendingLimits } from '../../daemon/bus/pending.ts';
import { encode, messageFlag, messageType, type Outgoing, Variant } from '../../daemon/bus/wire.ts';
import { RevivedError } from '../../daemon/errors.ts';
import { createLog } from '../../daemon/log.ts';
import { ended, type PrivateBus, startPrivateBus } from './private-bus.ts';
import { scriptedService } from './scripted-service.ts';

/** Nothing here may wait longer. */
const bounded = { timeout: 20_000 };
/** A bus that also lets replies pass which nobody asked for: a system bus does not. */
const laxPolicy = `<busconfig>
<policy user="root"><allow own="org.revived"/></policy>
<policy context="default">
<allow send_destination="*"/>
<allow send_requested_reply="false" send_type="method_return"/>
<allow send_requested_reply="false" send_type="error"/>
<allow receive_requested_reply="false" receive_type="method_return"/>
<allow receive_requested_reply="false" receive_type="error"/>
</policy>
</busconfig>
`;
const service = scriptedService();
const logged: string[] = [];
let dir: string;
let bus: PrivateBus;
let connection: Connection;
let client: Connection;

before(async () => {
  assert.equal(process.getuid?.(), 0, 'run this test as root: it owns a name on a system bus');
  dir = await mkdtemp(join(tmpdir(), 'revived-policy-'));
  const policyFile = join(dir, 'lax.conf');
  await writeFile(policyFile, laxPolicy);
  bus = await startPrivateBus({ policyFile });
  connection = await connect(bus.address);
  client = await connect(bus.address);
  const log = createLog('text', 'debug', (line) => logged.push(line));
  exportService({ connection, service, log, paths: { spool: '/nonexistent' } });
  await connection.requestName('org.revived');
});

after(async () => {
  client.close();
  connection.close();
  await bus.stop();
  await rm(dir, { recursive: true });
});

const manager = {
  destination: 'org.revived',
  path: '/org/revived',
  interface: 'org.revived1.Manager',
} as const;
const plan: BusCall = {
  ...manager,
  member: 'Plan',
  signature: 'ssa{sv}',
  body: ['win10', 'prepare', {}],
};
const ping: BusCall = { ...manager, interface: 'org.freedesktop.DBus.Peer', member: 'Ping' };

interface Raw {
  send(message: Partial<Outgoing>, patch?: (bytes: Buffer) => Buffer): number;
  /** The next message from somebody else than the bus itself. */
  next(): Promise<Frame>;
  readonly socket: net.Socket;
}

/** A connection that sends what it likes. */
async function rawClient(): Promise<Raw> {
  const socket = await authenticated(bus.address.replace(/^unix:path=|,guid.*$/g, ''), 5000);
  const frames: Frame[] = [];
  let wake = (): void => undefined;
  const reader = createFrameReader({
    bodyLimit: () => frameLimits.trustedBody,
    onFrame(frame) {
      if (frame.header.sender === 'org.freedesktop.DBus') return;
      frames.push(frame);
      wake();
    },
    onSkipped: assert.fail,
  });
  socket.on('data', (chunk: Buffer) => reader.push(chunk));
  socket.resume();
  let serial = 0;
  const raw: Raw = {
    socket,
    send(message, patch = (bytes) => bytes) {
      serial += 1;
      const full = {
        type: messageType.call,
        flags: 0,
        serial,
        signature: '',
        body: [],
        ...message,
      };
      socket.write(patch(encode(full)));
      return serial;
    },
    async next() {
      for (;;) {
        const frame = frames.shift();
        if (frame !== undefined) return frame;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
  const driver = { destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus' };
  raw.send({ ...driver, interface: 'org.freedesktop.DBus', member: 'Hello' });
  return raw;
}

async function refusal(request: BusCall): Promise<RevivedError> {
  const thrown = await client.call(request, 5000).then(
    () => undefined,
    (error: unknown) => error,
  );
  return thrown instanceof RevivedError ? thrown : assert.fail('the call was answered');
}

test('a descriptor that is not there does not end the daemon', bounded, async () => {
  const raw = await rawClient();
  // The type in the header and, for the second, inside a variant of the options.
  const inHeader = (bytes: Buffer): Buffer => {
    bytes.write('h', bytes.indexOf('\x01u\0', 0, 'latin1') + 1, 'latin1');
    return bytes;
  };
  raw.send({ ...manager, member: 'Plan', signature: 'u', body: [0] }, inHeader);
  const first = await raw.next();
  assert.equal(first.header.errorName, 'org.freedesktop.DBus.Error.InvalidArgs');
  assert.match(String(first.body()[0]), /was given "h"/);

  const options = { x: new Variant('u', 0) };
  const inVariant = (bytes: Buffer): Buffer => {
    bytes.write('h', bytes.lastIndexOf('\x01u\0', undefined, 'latin1') + 1, 'latin1');
    return bytes;
  };
  raw.send(
    { ...manager, member: 'Plan', signature: 'ssa{sv}', body: ['a', 'b', options] },
    inVariant,
  );
  const second = await raw.next();
  assert.equal(second.header.errorName, 'org.freedesktop.DBus.Error.InvalidArgs');
  assert.match(String(second.body()[0]), /cannot be read: No FDs available/);
  raw.socket.destroy();
  assert.deepEqual(await client.call(ping, 5000), []);
});

test('what the policy of the bus would stop is refused all the same', bounded, async () => {
  const foreign = await refusal({ ...manager, interface: 'a.b', member: 'Hook' });
  assert.equal(foreign.code, 'unknown-interface');
  const raw = await rawClient();
  const { interface: _interface, ...anywhere } = manager;
  raw.send({ ...anywhere, member: 'Ping' });
  assert.equal((await raw.next()).header.type, messageType.reply);
  raw.socket.destroy();
});

test('the bus itself keeps from us what dbus-next would read for ever', bounded, async () => {
  // An array of empty structs: no element, however many, moves the reader on (dbus-buffer.js, readArray).
  const raw = await rawClient();
  const options = { x: new Variant('aau', [[1], [2]]) };
  const empty = (bytes: Buffer): Buffer => {
    bytes.write('a()', bytes.lastIndexOf('\x03aau\0', undefined, 'latin1') + 1, 'latin1');
    return bytes;
  };
  const closed = once(raw.socket, 'close');
  raw.send({ ...manager, member: 'Plan', signature: 'ssa{sv}', body: ['a', 'b', options] }, empty);
  await closed;
  assert.deepEqual(await client.call(ping, 5000), []);
});

test('odd messages are ignored or refused, and the next one is read', bounded, async () => {
  const raw = await rawClient();
  const strange: readonly Partial<Outgoing>[] = [
    { type: messageType.reply, replySerial: 1, destination: connection.name },
    { type: messageType.error, replySerial: 2, errorName: 'a.b', destination: connection.name },
    {
      type: messageType.signal,
      path: '/',
      interface: 'a.b',
      member: 'C',
      destination: connection.name,
    },
    { ...manager, member: 'Plan', interface: undefined },
  ].map(({ interface: name, ...rest }) =>
    name === undefined ? rest : { ...rest, interface: name },
  );
  for (const message of strange) raw.send(message);
  const answer = await raw.next();
  assert.match(String(answer.body()[0]), /Plan takes "ssa\{sv\}" and was given nothing/);

  // Big endian, as another machine may send it: the header by hand, no body.
  const fields = ['\x01\x01o\0/', '\x03\x01s\0Ping', `\x06\x01s\0${connection.name}`].map(
    (text) => {
      const [code, value] = [text.slice(0, 4), text.slice(4)];
      const length = Buffer.alloc(4);
      length.writeUInt32BE(value.length);
      const field = Buffer.concat([Buffer.from(code, 'latin1'), length, Buffer.from(`${value}\0`)]);
      return Buffer.concat([field, Buffer.alloc(-field.length & 7)]);
    },
  );
  const prefix = Buffer.from('B\x01\0\x01\0\0\0\0\0\0\0\x63\0\0\0\0', 'latin1');
  const list = Buffer.concat(fields);
  const padding = fields.at(-1)?.length ?? 0;
  const last = 8 + connection.name.length + 1;
  prefix.writeUInt32BE(list.length - padding + last, 12);
  raw.socket.write(Buffer.concat([prefix, list]));
  const pong = await raw.next();
  assert.equal(pong.header.replySerial, 0x63);
  raw.socket.destroy();
});

test('a message that is too big is refused without being read', bounded, async () => {
  const big = 'x'.repeat(frameLimits.body);
  const tooLong = await refusal({ ...plan, body: [big, 'prepare', {}] });
  assert.equal(tooLong.code, 'limit-exceeded');
  const heap = process.memoryUsage().heapUsed;
  const many = Array.from({ length: 400_000 }, () => '');
  const wrong = await refusal({ ...plan, signature: 'as', body: [many] });
  assert.equal(wrong.code, 'invalid-argument');
  assert.ok(process.memoryUsage().heapUsed - heap < 400_000_000);
  const path = `/${'a'.repeat(frameLimits.header)}`;
  await assert.rejects(client.call({ ...ping, path }, 300), { code: 'timed-out' });
  assert.ok(logged.some((line) => line.includes('oversized header')));
  assert.deepEqual(await client.call(ping, 5000), []);
});

test('no answer is sent where none was asked for', bounded, async () => {
  const raw = await rawClient();
  const flags = messageFlag.noReply;
  raw.send({ ...manager, member: 'Plan', signature: 'ssa{sv}', body: ['a', 'prepare', {}], flags });
  raw.send({ ...manager, member: 'Nonsense', flags });
  const asked = raw.send({ ...ping });
  assert.equal((await raw.next()).header.replySerial, asked);
  // The first one takes longer than a ping: this is answered after it would have been.
  const last = raw.send({
    ...manager,
    member: plan.member,
    signature: 'ssa{sv}',
    body: ['a', 'prepare', {}],
  });
  assert.equal((await raw.next()).header.replySerial, last);
  raw.socket.destroy();
});

test('an answer counts only from whom was asked', bounded, async () => {
  const [asked, forger] = [await rawClient(), await rawClient()];
  const hello = forger.send({ ...ping });
  assert.equal((await forger.next()).header.replySerial, hello);
  const whoami = asked.send({ ...manager, member: 'Nonsense' });
  const own = (await asked.next()).header;
  assert.equal(own.replySerial, whoami);
  const answer = client.call({ ...ping, destination: own.destination ?? '' }, 5000);
  const { serial, sender } = (await asked.next()).header;
  const reply = { type: messageType.reply, replySerial: serial, destination: sender ?? '' };
  forger.send({ ...reply, signature: 's', body: ['forged'] });
  // Its answer to this shows that the forged one has been passed on before.
  forger.send({ ...ping, destination: own.destination ?? '' });
  assert.equal((await asked.next()).header.member, 'Ping');
  asked.send({ ...reply, signature: 's', body: ['true'] });
  assert.deepEqual(await answer, ['true']);
  for (const raw of [asked, forger]) raw.socket.destroy();
});

test('a caller that goes away in the middle of its call costs nothing', bounded, async () => {
  let release = (): void => undefined;
  const arrived = new Promise<void>((resolve) => {
    service.before.plan = () => {
      resolve();
      return new Promise<void>((go) => {
        release = go;
      });
    };
  });
  const raw = await rawClient();
  raw.send({ ...manager, member: 'Plan', signature: 'ssa{sv}', body: ['a', 'prepare', {}] });
  await arrived;
  const gone = once(raw.socket, 'close');
  raw.socket.destroy();
  await gone;
  release();
  delete service.before.plan;
  assert.deepEqual(await client.call(ping, 5000), []);
  assert.equal((await client.call(plan, 5000)).length, 3);
});

test('one connection can keep only so many calls waiting, and others go on', bounded, async () => {
  const waiting: (() => void)[] = [];
  service.before.plan = () => new Promise<void>((go) => waiting.push(go));
  const calls = Array.from({ length: pendingLimits.perSender + 1 }, () => client.call(plan, 5000));
  const outcomes = calls.map((call) =>
    call.then(
      () => 'answered',
      (error: unknown) => codeOf(error),
    ),
  );
  assert.equal(await Promise.race(outcomes), 'limit-exceeded');
  delete service.before.plan;
  const other = await connect(bus.address);
  assert.equal((await other.call(plan, 5000)).length, 3);
  other.close();
  for (const go of waiting) go();
  const all = await Promise.all(outcomes);
  assert.equal(all.filter((outcome) => outcome === 'answered').length, pendingLimits.perSender);
  assert.equal((await client.call(plan, 5000)).length, 3);
});

test('a bug in the pipeline is told without its stack', bounded, async () => {
  service.before.plan = () => {
    throw new TypeError('cannot read x of undefined');
  };
  const error = await refusal(plan);
  delete service.before.plan;
  assert.equal(error.message, 'cannot read x of undefined');
  assert.ok(logged.some((line) => line.startsWith('<3>') && line.includes('TypeError')));
});

test('the end of the bus ends the process with a status that is not 0', bounded, async () => {
  const own = await startPrivateBus();
  const program = new URL('./bus-child.mjs', import.meta.url).pathname;
  const child = spawn(process.execPath, [program, own.address], { stdio: 'pipe' });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  try {
    await Promise.race([once(child.stdout, 'data'), exited(child)]);
    const exit = exited(child);
    await own.kill();
    assert.equal(await exit, 1, errors);
    assert.match(errors, /The bus went away/);
  } finally {
    await ended(child);
    await own.stop();
  }
});

test('calls that wait when the bus goes away are rejected, later ones too', bounded, async () => {
  const own = await startPrivateBus();
  const [server, caller] = [await connect(own.address), await connect(own.address)];
  const lost = [server, caller].map((one) => new Promise<string>((tell) => one.onLost(tell)));
  await server.requestName('org.revived');
  const here = new Promise<void>((resolve) => server.onCall(() => resolve()));
  const pending = caller.call(ping, 5000);
  await here;
  await Promise.all([assert.rejects(pending, { code: 'unreachable' }), own.kill()]);
  await assert.rejects(caller.call(ping, 5000), { code: 'unreachable' });
  for (const reason of await Promise.all(lost)) assert.match(reason, /closed|ECONNRESET|EPIPE/);
  await own.stop();
  await assert.rejects(connect(own.address), { code: 'unreachable' });
});

function codeOf(error: unknown): string {
  return error instanceof RevivedError ? error.code : String(error);
}

async function exited(child: ReturnType<typeof spawn>): Promise<number | null> {
  const [code] = await once(child, 'exit');
  return typeof code === 'number' ? code : null;
}
