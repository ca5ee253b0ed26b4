/** The real revivectl against the real daemon: the shape of all its JSON, and its exit codes. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { labCards } from '../sim/presets.ts';
import { type Daemon, type DaemonRoom, domainXml, openDaemonRoom } from './daemon-room.ts';
import { isRecord, monitorShape, type Shape, shapes, wrongWith } from './json-shapes.ts';

const bounded = { timeout: 60_000 };
const { xhci } = labCards;

let room: DaemonRoom;
let daemon: Daemon;

before(async () => {
  assert.equal(process.getuid?.(), 0, 'run this test as root: it owns a name on a system bus');
  room = await openDaemonRoom();
  daemon = await room.start();
});
after(() => room?.close());

/** Runs a verb with --json; its answer, which has that shape. */
async function json(shape: Shape, ...args: readonly string[]): Promise<Record<string, unknown>> {
  const value = await room.json(...args);
  assert.deepEqual(wrongWith(value, shape, args.join(' ') || 'no verb'), []);
  return isRecord(value) ? value : assert.fail('no object');
}

function listIn(value: Record<string, unknown>, key: string): readonly unknown[] {
  const list = value[key];
  return Array.isArray(list) ? list : assert.fail(`${key} is no list`);
}

/** `revivectl --json monitor` in the background. */
function monitor() {
  const child = spawn(process.execPath, [room.revivectl, '--json', 'monitor'], {
    env: { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: room.hooks.bus.address },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(child, 'exit');
  const lines: Record<string, unknown>[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const value: unknown = JSON.parse(line);
    lines.push(isRecord(value) ? value : assert.fail(`not an object: ${line}`));
  });
  return {
    lines,
    /** Whether a line told that `subject` came into that state. */
    told: (kind: string, subject: string, state: string) =>
      lines.some(({ kind: k, subject: s, view }) => {
        return k === kind && s === subject && isRecord(view) && view['state'] === state;
      }),
    async end() {
      child.kill('SIGINT');
      assert.deepEqual(await exit, [0, null]);
    },
  };
}

test('--json of every verb has the promised shape', bounded, async () => {
  const watch = monitor();
  const { revivectl, revived } = await json(shapes.version, 'version');
  assert.equal(revivectl, revived);
  const took = await json(shapes.job, 'take', xhci);
  assert.deepEqual([took['operation'], took['state'], took['cards']], ['take', 'done', [xhci]]);
  assert.ok(listIn(took, 'steps').length > 3);

  // A domain wants the card as well: from now on there is one to show.
  const uuid = randomUUID();
  const xml = domainXml('win11', uuid, [`${xhci}.0`]);
  const refused = await room.hooks.run({ operation: 'prepare', domain: 'win11', xml });
  assert.match(refused.err, /^revived: Card 0000:03:00 is with a person \(revivectl take\)/);
  const seen = { driverVersion: '', rebootState: '' };
  const win = { uuid, name: 'win11', state: 'shutoff', cards: [xhci], ...seen };
  assert.deepEqual(await json(shapes.domain, 'show', 'win11'), win);

  const status = await json(shapes.status, 'status');
  assert.deepEqual(await json(shapes.status), status, 'status is what is said without a verb');
  assert.deepEqual(status['domains'], [win]);
  assert.equal(listIn(status, 'jobs').length, 1);
  const card = await json(shapes.card, 'show', xhci);
  assert.deepEqual([card['state'], card['domain'], card['interesting']], ['lent', null, true]);
  assert.ok(listIn(card, 'ladder').length > 5 && listIn(card, 'ports').length === 1);
  assert.equal((await room.ctl('reboot', 'arm', 'win11')).code, 0);
  assert.deepEqual(await json(shapes.reboot, 'reboot'), {
    state: 'armed',
    reason: 'win11 is armed: when it restarts itself next, the host reboots',
    atUsec: 0,
    domains: [{ uuid, name: 'win11', driverVersion: '', rebootState: 'armed' }],
  });
  assert.equal((await room.ctl('reboot', 'now')).code, 4, 'nothing was installed');
  assert.equal((await room.ctl('reboot', 'cancel')).code, 0);
  const some = await json(shapes.list, 'list');
  const every = await json(shapes.list, 'list', '--all');
  assert.equal(listIn(some, 'cards').length, 2);
  assert.ok(listIn(every, 'cards').length > listIn(some, 'cards').length);

  const returned = await json(shapes.job, 'return', xhci);
  const reset = await json(shapes.job, 'reset', xhci);
  assert.deepEqual(
    [returned['state'], reset['state'], reset['operation']],
    ['done', 'done', 'reset'],
  );
  const { jobs } = await json(shapes.history, 'history', '--limit', '2');
  assert.deepEqual(jobs, [reset, returned]);
  const { outcomes } = await json(shapes.outcomes, 'history', '--rungs');
  assert.ok(Array.isArray(outcomes) && outcomes.length > 0, 'the rung of the reset is counted');

  await room.until('monitor shows the end of the reset', () =>
    watch.told('job', String(reset['id']), 'done'),
  );
  assert.ok(watch.told('card', xhci, 'resetting') && watch.told('card', xhci, 'home'));
  for (const line of watch.lines) {
    const kind = (['manager', 'card', 'domain', 'job'] as const).find(
      (one) => one === line['kind'],
    );
    const view = kind === undefined ? assert.fail(JSON.stringify(line)) : shapes[kind];
    const shape = monitorShape(line['view'] === null ? 'null' : view);
    assert.deepEqual(wrongWith(line, shape, 'monitor'), []);
  }
  await watch.end();
});

test('exit codes say what kind of failure it is, and stderr why', bounded, async () => {
  const expect = async (code: number, why: RegExp, ...args: readonly string[]): Promise<void> => {
    const said = await room.ctl(...args);
    assert.deepEqual([said.code, said.out], [code, ''], `${args.join(' ')}: ${said.err}`);
    assert.match(said.err, /^revivectl: [^\n]+$/);
    assert.match(said.err, why);
  };
  await expect(2, /no verb 'rest'/, 'rest', xhci);
  await expect(2, /needs CARD/, 'reset');
  await expect(2, /no rung "kick"/, 'reset', xhci, '--rung', 'kick');
  await expect(3, /no card 0000:7f:00/, 'show', '7f:00');
  await expect(3, /0000:7f:00/, 'reset', '7f:00');
  await expect(3, /no such domain/, 'show', 'nosuch');
  await expect(4, /at home already/, 'return', xhci);
  await expect(1, /libvirt/, 'plan', 'win11');

  daemon.kill('SIGTERM');
  assert.equal((await daemon.ended).code, 0);
  await expect(7, /org\.revived/, 'status');
  const { revived } = await json(shapes.version, 'version');
  assert.equal(revived, null);
});
