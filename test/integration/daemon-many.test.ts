/** Many hook calls leave nothing behind in the daemon: no descriptor, no child, no memory, no file. */
import assert from 'node:assert/strict';

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Connection, connect } from '../../daemon/bus/connection.ts';
import { labCards } from '../sim/presets.ts';
import { type Daemon, type DaemonRoom, domainXml, openDaemonRoom } from './daemon-room.ts';

const calls = 200;
/** V8 lets its young generation grow to 3 x 16 MiB (max_semi_space_size) before it is in balance. */
const warmUp = 600;
const growthLimit = 20 * 1024 * 1024;
const { xhci } = labCards;
const sampleUuid = '6695eb01-f6a4-8304-79aa-97f2502e193f';

let room: DaemonRoom;
let daemon: Daemon;

before(async () => {
  room = await openDaemonRoom();
  daemon = await room.start();
});
after(() => room?.close());

const descriptors = () => readdirSync(`/proc/${daemon.pid}/fd`).length;

function children(): number {
  const threads = readdirSync(`/proc/${daemon.pid}/task`);
  const lists = threads.map((thread) =>
    readFileSync(`/proc/${daemon.pid}/task/${thread}/children`, 'latin1').trim(),
  );
  return lists.join(' ').split(' ').filter(Boolean).length;
}

function resident(): number {
  const status = readFileSync(`/proc/${daemon.pid}/status`, 'latin1');
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** What the hook does, without its processes. */
async function callDirectly(connection: Connection, file: string): Promise<void> {
  const xml = domainXml('win11', sampleUuid, ['0000:77:00.0']);
  writeFileSync(join(room.hooks.spool, file), xml, { mode: 0o600 });
  const call = connection.call(
    {
      destination: 'org.revived',
      path: '/org/revived',
      interface: 'org.revived1.Manager',
      member: 'Hook',
      signature: 'ssssa{sv}',
      body: ['prepare', 'win11', '-', `/run/revived/hook/${file}`, {}],
    },
    10_000,
  );
  await assert.rejects(call, { code: 'refused', message: /no such device/ });
}

test(`${calls} hook calls in a row`, { timeout: 120_000 }, async () => {
  const uuid = sampleUuid;
  const call = async (operation: string, address: string, code: number): Promise<void> => {
    const xml = domainXml('win11', uuid, [address]);
    const said = await room.hooks.run({ operation, domain: 'win11', xml });
    assert.equal(said.code, code, `${operation} ${address}: ${said.err}`);
  };
  // A whole life of a guest with a card, and one that is refused: four calls each.
  const life = async (): Promise<void> => {
    for (const operation of ['prepare', 'started', 'stopped', 'release']) {
      await call(operation, `${xhci}.0`, 0);
    }
    await room.until('the card is at home', () => room.leases().length === 0);
  };
  const refusal = async (): Promise<void> => {
    await call('prepare', '0000:77:00.0', 1);
    for (const operation of ['started', 'stopped', 'release']) {
      await call(operation, '0000:77:00.0', 0);
    }
  };
  const quiet = () => room.until('all its children have ended', () => children() === 0);

  await life();
  await refusal();
  const connection = await connect(room.hooks.bus.address);
  try {
    for (let n = 0; n < warmUp; n++) await callDirectly(connection, `warm-up-${n}`);
  } finally {
    connection.close();
  }
  await quiet();
  const before = { descriptors: descriptors(), resident: resident() };
  assert.ok(before.descriptors > 5 && before.resident > 10_000_000, 'they can be seen');

  await life();
  for (let made = 4; made < calls; made += 4) await refusal();

  await quiet();
  await room.until(
    'it has no more descriptors than before',
    () => descriptors() <= before.descriptors,
  );
  const growth = resident() - before.resident;
  process.stdout.write(`# ${Math.round(growth / 1024)} KiB more resident after ${calls} calls\n`);
  assert.ok(growth < growthLimit, `${Math.round(growth / 1024)} KiB`);
  assert.deepEqual(readdirSync(room.hooks.spool), []);
  const { out } = await room.bus(
    ...['get-property', 'org.revived', '/org/revived', 'org.revived1.Manager', 'RunningJobs'],
  );
  assert.equal(out, 'u 0');
});
