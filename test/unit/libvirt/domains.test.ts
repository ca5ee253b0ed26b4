import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { RevivedError } from '../../../daemon/errors.ts';
import { createDomains, type Domains } from '../../../daemon/libvirt/domains.ts';
import type { Frame } from '../../../daemon/libvirt/frame.ts';
import {
  connectTo,
  fault,
  healthyScript,
  type Peer,
  reply,
  type Script,
  sampleUuid,
  startPeer,
} from './peer.ts';

/** Nothing here may wait longer. */
const bounded = { timeout: 10_000 };
const deadlines = { call: 2000, blocked: 4000, start: 4000 };
const other = '11111111-2222-3333-4444-555555555555';

async function line(t: TestContext, script: Script): Promise<{ domains: Domains; peer: Peer }> {
  const peer = await startPeer(script);
  const connection = await connectTo(peer, t);
  return { domains: createDomains(() => connection, deadlines), peer };
}

const hex = (frame: Frame | undefined): string => frame?.payload.toString('hex') ?? '';
const uuidHex = (uuid: string) => uuid.replaceAll('-', '');
/** The domain struct that every call carries: the uuid as name, the uuid, id -1. */
const struct = `00000024${Buffer.from(sampleUuid).toString('hex')}${uuidHex(sampleUuid)}ffffffff`;
const ok: Script = (frame) => reply(frame);

test('a list is all domains with their state', bounded, async (t) => {
  const { domains, peer } = await line(t, (frame) => {
    if (frame.procedure === 212) {
      return reply(frame, (w) =>
        hex(frame).includes(uuidHex(other)) ? w.i32(5).i32(3) : w.i32(1).i32(1),
      );
    }
    return reply(frame, (w) => {
      w.u32(2).string('a "b"\n').uuid(sampleUuid).i32(7);
      w.string('b').uuid(other).i32(-1).u32(2);
    });
  });
  assert.deepEqual(await domains.list(), [
    { name: 'a "b"\n', uuid: sampleUuid, id: 7, state: 'running', reason: 'booted' },
    { name: 'b', uuid: other, id: null, state: 'shutoff', reason: 'crashed' },
  ]);
  assert.equal(hex(peer.received[0]), '0000000100000000', 'results wanted, active and inactive');
});

test('a domain that ends while the list is made is not in it', bounded, async (t) => {
  const { domains } = await line(t, (frame) =>
    frame.procedure === 212 ? fault(frame, 42, 'no domain') : healthyScript(frame),
  );
  assert.deepEqual(await domains.list(), []);
});

test('any other trouble with one domain is trouble with the list', bounded, async (t) => {
  const { domains } = await line(t, (frame) =>
    frame.procedure === 212 ? fault(frame, 88, 'access denied') : healthyScript(frame),
  );
  await assert.rejects(domains.list(), { code: 'refused' });
});

test('the states of many domains are asked for in bounded batches', bounded, async (t) => {
  const count = 100;
  let open = 0;
  let most = 0;
  const { domains, peer } = await line(t, (frame) => {
    if (frame.procedure === 212) {
      open += 1;
      most = Math.max(most, open);
      setImmediate(() => {
        open -= 1;
        peer.send(reply(frame, (w) => w.i32(1).i32(1)));
      });
      return undefined;
    }
    return reply(frame, (w) => {
      w.u32(count);
      for (let id = 0; id < count; id += 1) w.string(`d${id}`).uuid(sampleUuid).i32(id);
      w.u32(count);
    });
  });
  assert.equal((await domains.list()).length, count);
  assert.ok(most <= 32, String(most));
});

test('a list of more domains than libvirt has is refused', bounded, async (t) => {
  const { domains } = await line(t, (frame) => reply(frame, (w) => w.u32(16_385)));
  await assert.rejects(domains.list(), { code: 'libvirt' });
});

test('a name is looked up as it is', bounded, async (t) => {
  const { domains, peer } = await line(t, (frame) =>
    reply(frame, (w) => w.string('x').uuid(sampleUuid).i32(-1)),
  );
  for (const name of ['a b', `"'`, 'a\nb', '../../etc', '$(reboot)', '-h', 'ä']) {
    await domains.lookup(name);
    const { payload, procedure } = peer.received.at(-1) ?? {};
    assert.equal(procedure, 23);
    const size = payload?.readUInt32BE(0) ?? 0;
    assert.equal(payload?.toString('utf8', 4, 4 + size), name);
  }
});

test('a uuid is looked up as one, then as a name', bounded, async (t) => {
  const { domains, peer } = await line(t, (frame) =>
    frame.procedure === 24
      ? fault(frame, 42, 'no domain')
      : reply(frame, (w) => w.string(other).uuid(sampleUuid).i32(-1)),
  );
  assert.deepEqual(await domains.lookup(other), { name: other, uuid: sampleUuid, id: null });
  assert.deepEqual(
    peer.received.map((frame) => frame.procedure),
    [24, 23],
  );
});

test('what each call says to libvirt', bounded, async (t) => {
  const { domains, peer } = await line(t, (frame) => {
    if (frame.procedure === 14) return reply(frame, (w) => w.string('<domain/>'));
    if (frame.procedure === 151) return reply(frame, (w) => w.i32(1));
    return frame.procedure === 212 ? reply(frame, (w) => w.i32(3).i32(11)) : ok(frame);
  });
  assert.deepEqual(await domains.domainState(sampleUuid), {
    state: 'paused',
    reason: 'starting-up',
  });
  assert.equal(await domains.domainXml(sampleUuid), '<domain/>');
  await domains.domainXml(sampleUuid, { inactive: true });
  await domains.domainXml(sampleUuid, { inactive: true, secure: true });
  await domains.create(sampleUuid);
  await domains.destroy(sampleUuid);
  await domains.shutdown(sampleUuid, 'acpi');
  await domains.shutdown(sampleUuid, 'agent');
  await domains.managedSave(sampleUuid);
  assert.equal(await domains.isPersistent(sampleUuid), true);
  await domains.setRebootAction(sampleUuid, 'destroy');
  await domains.setRebootAction(sampleUuid, 'restart');
  assert.deepEqual(
    peer.received.map((frame) => [frame.procedure, hex(frame)]),
    [
      [212, `${struct}00000000`],
      [14, `${struct}00000000`],
      [14, `${struct}00000002`],
      [14, `${struct}00000003`],
      ...[9, 12].map((procedure) => [procedure, struct]),
      [258, `${struct}00000001`],
      [258, `${struct}00000002`],
      [182, `${struct}00000000`],
      [151, struct],
      [390, `${struct}000000010000000000000001`],
      [390, `${struct}000000010000000100000001`],
    ],
  );
});

test('metadata is one element of our namespace, stored', bounded, async (t) => {
  const { domains, peer } = await line(t, ok);
  await domains.setMetadata(sampleUuid, 'urn:x', 'k', null);
  // type ELEMENT 2; no metadata; key; uri; flags CONFIG 2
  const words = [
    '00000002',
    '00000000',
    '00000001',
    '00000001',
    '6b000000',
    '00000001',
    '00000005',
  ];
  assert.equal(hex(peer.received[0]), `${struct}${words.join('')}75726e3a7800000000000002`);
});

test('an agent command goes to the QEMU program (facts/libvirt.md 4)', bounded, async (t) => {
  const { domains, peer } = await line(t, (frame) =>
    reply(frame, (w) => w.optionalString('{"return":{}}')),
  );
  assert.equal(
    await domains.agentCommand(sampleUuid, '{"execute":"guest-ping"}', 5),
    '{"return":{}}',
  );
  const [frame] = peer.received;
  assert.deepEqual([frame?.program, frame?.procedure], [0x20008087, 3]);
  const command = Buffer.from('{"execute":"guest-ping"}').toString('hex');
  assert.equal(hex(frame), `${struct}00000018${command}0000000500000000`);
  await assert.rejects(domains.agentCommand(sampleUuid, '{}', 0), { code: 'invalid-argument' });
  await assert.rejects(domains.agentCommand(sampleUuid, '{}', 4000), { code: 'invalid-argument' });
});

test('what is no uuid never reaches libvirt', bounded, async (t) => {
  const { domains, peer } = await line(t, ok);
  await assert.rejects(domains.destroy('win11'), { code: 'invalid-argument' });
  await assert.rejects(domains.domainXml(''), { code: 'invalid-argument' });
  assert.equal(peer.received.length, 0);
});

test('without a connection every call rejects, none throws', bounded, async () => {
  const domains = createDomains(() => {
    throw new RevivedError('libvirt', 'not connected');
  }, deadlines);
  const calls = [
    domains.list(),
    domains.lookup('x'),
    domains.domainXml(sampleUuid),
    domains.create(sampleUuid),
    domains.agentCommand(sampleUuid, '{}', 1),
  ];
  for (const one of calls) await assert.rejects(one, /not connected/);
});
