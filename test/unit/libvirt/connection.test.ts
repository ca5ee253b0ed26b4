import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { RevivedError } from '../../../daemon/errors.ts';
import {
  type Connection,
  type ConnectionOptions,
  openConnection,
} from '../../../daemon/libvirt/connection.ts';
import { encodeFrame, type Frame, maxFrameBytes } from '../../../daemon/libvirt/frame.ts';
import { procedures } from '../../../daemon/libvirt/protocol.ts';
import type { XdrReader } from '../../../daemon/libvirt/xdr.ts';
import {
  fault,
  healthyScript,
  lifecycle,
  type Peer,
  reply,
  type Script,
  startPeer,
} from './peer.ts';

/** Nothing here may wait longer. */
const bounded = { timeout: 10_000 };

interface Line {
  readonly peer: Peer;
  readonly connection: Connection;
  readonly messages: number[];
  readonly ended: Promise<RevivedError>;
}

async function line(
  t: TestContext,
  script: Script,
  options: Partial<ConnectionOptions> = {},
): Promise<Line> {
  const peer = await startPeer(script);
  const messages: number[] = [];
  let onClose: (reason: RevivedError) => void = () => {};
  const ended = new Promise<RevivedError>((resolve) => {
    onClose = resolve;
  });
  const connection = await openConnection({
    path: peer.path,
    connectMs: 1000,
    pingMs: 60_000,
    pings: 5,
    onMessage: (number) => messages.push(number),
    onClose,
    ...options,
  });
  t.after(async () => {
    connection.close(new RevivedError('cancelled', 'the test is over'));
    await peer.close();
  });
  return { peer, connection, messages, ended };
}

const version = (connection: Connection, timeoutMs = 5000): Promise<number> =>
  connection.call(
    procedures.libVersion,
    () => {},
    (r: XdrReader) => r.u64(),
    timeoutMs,
  );
const silence: Script = () => undefined;
const number = (value: number) => (frame: Frame) => reply(frame, (w) => w.u32(0).u32(value));
const is = (code: string, text: RegExp) => (error: unknown) =>
  error instanceof RevivedError && error.code === code && text.test(error.message);

test('a call is answered', bounded, async (t) => {
  const { connection, peer } = await line(t, healthyScript);
  assert.equal(await version(connection), 9_000_000);
  assert.deepEqual(
    peer.received.map((f) => [f.program, f.version, f.procedure, f.type, f.serial, f.status]),
    [[0x20008086, 1, 157, 0, 1, 0]],
  );
});

test('calls are sent without waiting and answered in any order', bounded, async (t) => {
  const asked: Frame[] = [];
  const { connection, peer } = await line(t, (frame) => {
    asked.push(frame);
    if (asked.length < 50) return undefined;
    return Buffer.concat(asked.toReversed().map((f) => number(f.serial)(f)));
  });
  const answers = await Promise.all(Array.from({ length: 50 }, () => version(connection)));
  assert.deepEqual(
    answers,
    peer.received.map((frame) => frame.serial),
  );
});

test('an event with the serial of an open call is an event', bounded, async (t) => {
  const { connection, messages } = await line(t, (frame) =>
    Buffer.concat([lifecycle(5, 1), number(7)(frame)]),
  );
  assert.equal(await version(connection), 7);
  assert.deepEqual(messages, [318]);
});

test('an error of libvirt ends the call, not the connection', bounded, async (t) => {
  let first = true;
  const { connection } = await line(t, (frame) => {
    if (!first) return number(1)(frame);
    first = false;
    return fault(frame, 42, 'Domain not found');
  });
  await assert.rejects(version(connection), is('not-found', /Domain not found/));
  assert.equal(await version(connection), 1);
});

test('a server that never answers: each call ends in its own time', bounded, async (t) => {
  const { connection } = await line(t, silence);
  const began = performance.now();
  await Promise.all([
    assert.rejects(version(connection, 20), is('timed-out', /20 ms/)),
    assert.rejects(version(connection, 40), is('timed-out', /40 ms/)),
  ]);
  assert.ok(performance.now() - began < 2000);
});

test('an answer that comes too late is dropped, the next call works', bounded, async (t) => {
  let late: Frame | undefined;
  const { connection } = await line(t, (frame) => {
    if (late === undefined) {
      late = frame;
      return undefined;
    }
    return Buffer.concat([number(1)(late), number(2)(frame)]);
  });
  await assert.rejects(version(connection, 10), is('timed-out', /LIB_VERSION/));
  assert.equal(await version(connection), 2);
});

test('calls that nobody answers do not pile up without end', bounded, async (t) => {
  const { connection } = await line(t, silence);
  const calls = Array.from({ length: 300 }, () => version(connection, 30));
  const ends = await Promise.allSettled(calls);
  const codes = ends.map((one) => one.status === 'rejected' && one.reason.code);
  assert.equal(codes.filter((code) => code === 'timed-out').length, 256);
  assert.equal(codes.filter((code) => code === 'limit-exceeded').length, 44);
  await assert.rejects(version(connection, 30), is('limit-exceeded', /256 calls/));
});

test('a server that does not read: what waits for it is bounded', bounded, async (t) => {
  const { connection, peer } = await line(t, silence);
  peer.pause();
  const large = 'x'.repeat(4_000_000);
  const define = () =>
    connection.call(
      procedures.defineXmlFlags,
      (w) => w.string(large),
      () => {},
      200,
    );
  const ends = await Promise.allSettled(Array.from({ length: 12 }, define));
  const codes = ends.map((one) => one.status === 'rejected' && one.reason.code);
  assert.ok(codes.includes('limit-exceeded'), String(codes));
});

const lies: Readonly<Record<string, Script>> = {
  'an answer to nothing': (f) => number(1)({ ...f, serial: f.serial + 1 }),
  'an answer to another procedure': (f) => number(1)({ ...f, procedure: 1 }),
  'an answer of another program': (f) => number(1)({ ...f, program: 0x20008087 }),
  'an unknown status': (f) => encodeFrame({ ...f, type: 1, status: 9 }, Buffer.alloc(0)),
  'a call': (f) => encodeFrame(f, f.payload),
  'a stream': (f) => encodeFrame({ ...f, type: 3 }, Buffer.alloc(0)),
  'an answer with file descriptors': (f) => encodeFrame({ ...f, type: 5 }, Buffer.alloc(8)),
  'an answer that is cut short': (f) => reply(f, (w) => w.u32(0)),
  'an answer that is too long': (f) => reply(f, (w) => w.u32(0).u32(0).u32(0)),
  'an error that is cut short': (f) =>
    encodeFrame({ ...f, type: 1, status: 1 }, Buffer.from('0000002a', 'hex')),
  'a frame of 4 GiB': () => Buffer.from('ffffffff', 'hex'),
  'a frame beyond the limit': () => {
    const bytes = Buffer.alloc(28);
    bytes.writeUInt32BE(maxFrameBytes + 4);
    return bytes;
  },
  'a frame without a header': () => Buffer.from('0000000400000004', 'hex'),
  'another protocol': () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
};

for (const [what, script] of Object.entries(lies)) {
  test(`${what} ends the connection with a reason`, bounded, async (t) => {
    const { connection, ended } = await line(t, script);
    await assert.rejects(version(connection), is('libvirt', /makes no sense/));
    assert.match((await ended).message, /makes no sense/);
    await assert.rejects(version(connection), is('libvirt', /makes no sense/));
  });
}

test('a frame that is cut off by the end of the stream', bounded, async (t) => {
  const { connection, ended, peer } = await line(t, (f) =>
    f.serial === 1 ? number(1)(f).subarray(0, 30) : undefined,
  );
  const open = assert.rejects(version(connection), is('libvirt', /lost.*closed/));
  const other = assert.rejects(version(connection), is('libvirt', /lost.*closed/));
  await peer.until(() => peer.received.length === 2);
  peer.hangUp();
  await Promise.all([open, other]);
  assert.equal((await ended).code, 'libvirt');
});

test('an event that makes no sense to its reader ends the connection', bounded, async (t) => {
  const { connection, ended } = await line(t, () => lifecycle(5, 1).fill(0xff, 28), {
    onMessage: (_number, reader) => void reader.string(),
  });
  await assert.rejects(version(connection), is('libvirt', /4294967295|bytes of text/));
  await ended;
});

test('whatever bytes come, the connection ends with a typed error or waits', bounded, async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 4, maxLength: 120 }), async (bytes) => {
      const { connection } = await line(t, () => Buffer.from(bytes));
      await assert.rejects(version(connection, 20), (error: unknown) => {
        assert.ok(error instanceof RevivedError);
        return true;
      });
    }),
    { numRuns: 25 },
  );
});

test('a server that answers signs of life stays, without any call', bounded, async (t) => {
  const { connection, peer } = await line(t, healthyScript, { pingMs: 5, pings: 2 });
  await peer.until(() => peer.received.length >= 10);
  assert.ok(peer.received.every((frame) => frame.program === 0x6b656570 && frame.serial === 0));
  assert.equal(await version(connection), 9_000_000);
});

test('a server that hangs is noticed, open calls end', bounded, async (t) => {
  const { connection, ended, peer } = await line(t, silence, { pingMs: 10, pings: 3 });
  await assert.rejects(version(connection, 8000), is('libvirt', /no sign of life/));
  assert.match((await ended).message, /no sign of life/);
  assert.equal(peer.received.filter((frame) => frame.program === 0x6b656570).length, 3);
});

test("the server's own question for a sign of life is answered", bounded, async (t) => {
  const ping = { program: 0x6b656570, version: 1, procedure: 1, type: 2, serial: 0, status: 0 };
  const { connection, peer } = await line(t, (frame) =>
    frame.procedure === 157
      ? Buffer.concat([encodeFrame(ping, Buffer.alloc(0)), number(1)(frame)])
      : undefined,
  );
  await version(connection);
  await peer.until(() => peer.received.length === 2);
  assert.deepEqual({ ...peer.received[1], payload: 0 }, { ...ping, procedure: 2, payload: 0 });
});

test('close rejects what is open and is final', bounded, async (t) => {
  const { connection, ended } = await line(t, silence);
  const open = version(connection);
  connection.close(new RevivedError('cancelled', 'over'));
  await assert.rejects(open, is('cancelled', /over/));
  assert.equal((await ended).message, 'over');
  await assert.rejects(version(connection), is('cancelled', /over/));
});

test('arguments that cannot be sent are refused and leave nothing open', bounded, async (t) => {
  const { connection, peer } = await line(t, healthyScript);
  const bad = connection.call(
    procedures.lookupByName,
    (w) => w.string('a\0b'),
    () => {},
    1000,
  );
  await assert.rejects(bad, is('invalid-argument', /NUL/));
  assert.equal(await version(connection), 9_000_000);
  assert.equal(peer.received.length, 1);
});

test('no socket, and a socket that nobody listens on', bounded, async () => {
  const peer = await startPeer(silence);
  const options = { connectMs: 1000, pingMs: 1000, pings: 5 };
  const handlers = { onMessage: () => {}, onClose: () => assert.fail('it never was open') };
  await assert.rejects(
    openConnection({ path: join(peer.path, 'x'), ...options, ...handlers }),
    is('libvirt', /cannot be reached.*ENOTDIR/),
  );
  await peer.close();
  await assert.rejects(
    openConnection({ path: peer.path, ...options, ...handlers }),
    is('libvirt', /cannot be reached.*ENOENT/),
  );
});
