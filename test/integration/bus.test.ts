/** The D-Bus API as its users meet it: real dbus-daemon, real polkitd, real busctl; only the pipeline is scripted. */
import assert from 'node:assert/strict';
import { chown, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Connection, connect } from '../../daemon/bus/connection.ts';
import { exportService } from '../../daemon/bus/export.ts';
import {
  type InterfaceName,
  interfaceNames,
  interfaceSpec,
  signatureOf,
} from '../../daemon/bus/table.ts';
import { RevivedError } from '../../daemon/errors.ts';
import { createLog } from '../../daemon/log.ts';
import { busctl, type Said, sampleWords } from './busctl.ts';
import { startPolkit } from './polkit.ts';
import { type PrivateBus, startPrivateBus } from './private-bus.ts';
import { sampleJob, sampleUuid, scriptedService } from './scripted-service.ts';

/** Nothing here may wait longer. */
const bounded = { timeout: 20_000 };
const nobody = 65534;
/** The uid that the rules below let reset, and nothing else. */
const resetter = 1;
const rules = `polkit.addRule(function (action, subject) {
  if (action.id == "org.revived1.reset" && subject.user == "daemon") return polkit.Result.YES;
});`;

const pathOf = {
  'org.revived1.Manager': '/org/revived',
  'org.revived1.Card': '/org/revived/cards/0000_0b_00',
  'org.revived1.Domain': `/org/revived/domains/${sampleUuid.replaceAll('-', '_')}`,
  'org.revived1.Job': '/org/revived/jobs/7',
} satisfies Record<InterfaceName, string>;

const methods = interfaceNames.flatMap((name) =>
  Object.entries(interfaceSpec(name).methods).map(([member, spec]) => ({ name, member, spec })),
);
const properties = interfaceNames.flatMap((name) =>
  Object.entries(interfaceSpec(name).properties).map(([member, spec]) => ({ name, member, spec })),
);
const service = scriptedService();
const logged: string[] = [];
let bus: PrivateBus;
let connection: Connection;
let client: Connection;
let spool: string;
let stopPolkit: (() => Promise<void>) | undefined;

before(async () => {
  assert.equal(process.getuid?.(), 0, 'run this test as root: it owns a name on a system bus');
  bus = await startPrivateBus();
  spool = join(bus.dir, 'spool');
  await mkdir(spool, { mode: 0o700 });
  connection = await connect(bus.address);
  client = await connect(bus.address);
  const log = createLog('text', 'debug', (line) => logged.push(line));
  exportService({ connection, service, log, paths: { spool } });
  await connection.requestName('org.revived');
});

after(async () => {
  client.close();
  connection.close();
  await stopPolkit?.();
  await bus.stop();
});

function call(uid: number, name: InterfaceName, member: string, words: readonly string[]) {
  return busctl(bus.address, uid, ['call', 'org.revived', pathOf[name], name, member, ...words]);
}

function callSample(uid: number, { name, member, spec }: (typeof methods)[number]): Promise<Said> {
  const signature = signatureOf(spec.in);
  return call(uid, name, member, [signature, ...sampleWords(spec.in)]);
}

/** Runs them a few at a time: two cores are there. */
async function each<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await run(item);
  };
  await Promise.all([worker(), worker(), worker()]);
}

/** Asserts a denial and gives its reason from the log: busctl words every AccessDenied as "Access denied". */
function denial(said: Said, member: string): string {
  assert.equal(said.err, 'Call failed: Access denied', member);
  const line = logged.findLast((text) => text.includes('denied') && text.includes(`.${member} `));
  return line ?? assert.fail(`the denial of ${member} was not logged`);
}

test('without polkit a guarded call is denied with that reason', bounded, async () => {
  const said = await call(nobody, 'org.revived1.Card', 'Take', ['a{sv}', '0']);
  assert.match(denial(said, 'Take'), /polkit gave no verdict/);
  assert.deepEqual(service.asked, []);
});

test('unprivileged calls of every method are denied, reading works', bounded, async () => {
  stopPolkit = await startPolkit(bus, client, rules);
  assert.ok(methods.length >= 11);
  service.asked.length = 0;
  await each(methods, async (method) => {
    const said = await callSample(nobody, method);
    if (method.spec.access === 'free') {
      assert.equal(said.code, 0, `${method.member}: ${said.err}`);
      return;
    }
    const needs = method.spec.access === 'root' ? /is for root only/ : /which this user does not/;
    assert.match(denial(said, method.member), needs);
  });
  assert.deepEqual(
    service.asked.filter((line) => !/^(plan|history) /.test(line)),
    [],
  );
  await each(properties, async ({ name, member, spec }) => {
    const said = await busctl(bus.address, nobody, [
      ...['get-property', 'org.revived', pathOf[name], name, member],
    ]);
    assert.equal(said.code, 0, `${member}: ${said.err}`);
    assert.ok(said.out.startsWith(`${spec.signature} `), `${member}: ${said.out}`);
  });
});

test('a denial says what is missing, and whether asking would help', bounded, async () => {
  const quiet = ['--allow-interactive-authorization=no'];
  const take = ['call', 'org.revived', pathOf['org.revived1.Card'], 'org.revived1.Card', 'Take'];
  const flag = await busctl(bus.address, nobody, [...quiet, ...take, 'a{sv}', '0']);
  assert.match(denial(flag, 'Take'), /org\.revived1\.handover, which asks for a password/);
  logged.length = 0;
  const option = ['1', 'auth.no_user_interaction', 'b', 'true'];
  const options = await busctl(bus.address, nobody, [...take, 'a{sv}', ...option]);
  assert.match(denial(options, 'Take'), /org\.revived1\.handover, which asks for a password/);
  const wrong = ['1', 'auth.no_user_interaction', 's', 'yes'];
  const typed = await busctl(bus.address, nobody, [...take, 'a{sv}', ...wrong]);
  assert.match(typed.err, /must be a boolean/);
});

test('a polkit rule lets one user do one thing', bounded, async () => {
  service.asked.length = 0;
  const reset = await call(resetter, 'org.revived1.Card', 'Reset', ['sa{sv}', 'bus', '0']);
  assert.equal(reset.out, 'o "/org/revived/jobs/7"', reset.err);
  const check = await call(resetter, 'org.revived1.Card', 'Check', ['a{sv}', '0']);
  assert.equal(check.out, 'sas "healthy" 1 "0000:0b:00.0: link at 16 GT/s"');
  const take = await call(resetter, 'org.revived1.Card', 'Take', ['a{sv}', '0']);
  assert.match(denial(take, 'Take'), /org\.revived1\.handover/);
  assert.deepEqual(service.asked, ['reset 0000:0b:00 bus uid 1', 'check 0000:0b:00']);
});

test('root may call every method', bounded, async () => {
  service.asked.length = 0;
  await each(methods, async (method) => {
    const said = await callSample(0, method);
    assert.equal(said.code, 0, `${method.member}: ${said.err}`);
    const out = signatureOf(method.spec.out);
    assert.ok(out === '' ? said.out === '' : said.out.startsWith(`${out} `), said.out);
  });
  assert.deepEqual(service.asked.toSorted(), [
    'arm win10 uid 0',
    'cancel 7',
    'cancel reboot uid 0',
    'check 0000:0b:00',
    'clear host risk',
    'clear quarantine - -',
    'history 1',
    'hook prepare win10  ',
    'plan win10 prepare',
    'reboot uid 0',
    'reload',
    'reset 0000:0b:00 bus uid 0',
    'return 0000:0b:00 uid 0',
    'take 0000:0b:00 uid 0',
  ]);
});

test('no property can be written, not even by root', bounded, async () => {
  const earlier = JSON.stringify(service.views);
  const samples: Readonly<Record<string, readonly string[]>> = {
    s: ['s', 'x'],
    o: ['o', '/x'],
    b: ['b', 'false'],
    u: ['u', '9'],
    t: ['t', '9'],
    d: ['d', '0.9'],
    as: ['as', '0'],
    ao: ['ao', '0'],
    'aa{sv}': ['aa{sv}', '0'],
  };
  await each(properties, async ({ name, member, spec }) => {
    for (const uid of [0, nobody]) {
      const words = samples[spec.signature] ?? [];
      const set = ['set-property', 'org.revived', pathOf[name], name, member, ...words];
      const said = await busctl(bus.address, uid, set);
      assert.notEqual(said.code, 0, member);
      assert.match(said.err, /cannot be written/, member);
    }
  });
  assert.equal(JSON.stringify(service.views), earlier);
});

test('the wrong signature is refused by name and reaches nobody', bounded, async () => {
  service.asked.length = 0;
  await each(methods, async ({ name, member, spec }) => {
    const said = await call(0, name, member, ['ai', '1', '5']);
    assert.match(said.err, new RegExp(`${member} takes ".*" and was given "ai"`));
    assert.ok(said.err.includes(`"${signatureOf(spec.in)}"`), said.err);
    assert.match((await call(0, name, member, [])).err, /was given nothing/);
  });
  const long = await call(0, 'org.revived1.Card', 'Reset', ['sa{sv}', 'x'.repeat(4097), '0']);
  assert.match(long.err, /"rung" is longer than 4096 bytes/);
  const odd = await call(0, 'org.revived1.Card', 'Reset', ['sa{sv}', '../bus', '0']);
  assert.match(odd.err, /no name of a rung/);
  assert.deepEqual(service.asked, []);
});

test('what does not exist is named as such', bounded, async () => {
  const errorOf = async (path: string, name: string, member: string, ...args: string[]) => {
    const [signature = '', ...body] = args;
    const request = { destination: 'org.revived', path, interface: name, member, signature, body };
    const error = await client.call(request, 5000).then(
      () => undefined,
      (thrown) => thrown,
    );
    assert.ok(error instanceof RevivedError, `${path} ${name}.${member} was answered`);
    return error.code;
  };
  const manager = 'org.revived1.Manager';
  const props = 'org.freedesktop.DBus.Properties';
  const cards = '/org/revived/cards';
  assert.equal(await errorOf('/org/revived', manager, 'Nonsense'), 'unknown-method');
  assert.equal(await errorOf('/org/revived', manager, 'toString'), 'unknown-method');
  assert.equal(await errorOf('/org/revived', 'org.revived1.Card', 'Take'), 'unknown-interface');
  assert.equal(await errorOf(`${cards}/0000_0c_00`, 'org.revived1.Card', 'Take'), 'unknown-object');
  assert.equal(await errorOf(`${cards}/__proto__`, 'org.revived1.Card', 'Take'), 'unknown-object');
  assert.equal(
    await errorOf('/org/revived', props, 'Get', 'ss', manager, 'No'),
    'unknown-property',
  );
  assert.equal(
    await errorOf('/org/revived', props, 'Get', 'ss', manager, 'constructor'),
    'unknown-property',
  );
  assert.equal(
    await errorOf('/org/revived', props, 'Get', 'ss', 'a.b', 'Version'),
    'unknown-interface',
  );
  assert.equal(await errorOf('/nothing', props, 'GetAll', 's', manager), 'unknown-object');
  assert.equal(
    await errorOf('/nothing', 'org.freedesktop.DBus.Introspectable', 'Introspect'),
    'unknown-object',
  );
  assert.equal(
    await errorOf(cards, 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects'),
    'unknown-interface',
  );
  const notFound = await call(nobody, manager, 'GetCard', ['sa{sv}', '0000:0c:00.1', '0']);
  assert.match(notFound.err, /There is no card 0000:0c:00/);
  const found = await call(nobody, manager, 'GetCard', ['sa{sv}', '0B:00.1', '0']);
  assert.equal(found.out, 'o "/org/revived/cards/0000_0b_00"');
  const domain = await call(nobody, manager, 'GetDomain', [
    'sa{sv}',
    sampleUuid.toUpperCase(),
    '0',
  ]);
  assert.equal(domain.out, `o "${pathOf['org.revived1.Domain']}"`);
  const limit = await call(nobody, manager, 'GetHistory', ['ua{sv}', '1001', '0']);
  assert.match(limit.err, /must be 1 to 1000/);
});

test('the tree, introspection and Peer are there for everybody', bounded, async () => {
  const tree = await busctl(bus.address, nobody, ['--list', 'tree', 'org.revived']);
  assert.deepEqual(
    tree.out.split('\n').toSorted(),
    [
      ...['/', '/org', '/org/revived', '/org/revived/cards', '/org/revived/cards/0000_0b_00'],
      ...['/org/revived/domains', pathOf['org.revived1.Domain'], '/org/revived/jobs'],
      '/org/revived/jobs/7',
    ].toSorted(),
  );
  for (const name of interfaceNames) {
    const seen = await busctl(bus.address, nobody, ['introspect', 'org.revived', pathOf[name]]);
    assert.equal(seen.code, 0, seen.err);
    for (const member of Object.keys(interfaceSpec(name).methods)) {
      assert.match(seen.out, new RegExp(`\\.${member} +method `));
    }
    for (const [member, { emits }] of Object.entries(interfaceSpec(name).properties)) {
      const flag = emits === 'const' ? 'const' : 'emits-change';
      assert.match(seen.out, new RegExp(`\\.${member} +property .* ${flag}`));
    }
  }
  const peer = ['call', 'org.revived', '/any/where', 'org.freedesktop.DBus.Peer'];
  assert.equal((await busctl(bus.address, nobody, [...peer, 'Ping'])).code, 0);
  const id = await busctl(bus.address, nobody, [...peer, 'GetMachineId']);
  assert.match(id.out, /^s "[0-9a-f]{32}"$/);
});

test('values arrive as they were meant', bounded, async () => {
  const all = { destination: 'org.revived', path: '/org/revived' };
  const name = 'org.freedesktop.DBus.ObjectManager';
  const [objects] = await client.call(
    { ...all, interface: name, member: 'GetManagedObjects' },
    5000,
  );
  assert.deepEqual(
    Object.keys(Object(objects)).toSorted(),
    Object.values(pathOf).toSorted().slice(1),
  );
  const get = ['--json=short', 'get-property', 'org.revived', pathOf['org.revived1.Card']];
  const read = async (property: string): Promise<unknown> => {
    const said = await busctl(bus.address, nobody, [...get, 'org.revived1.Card', property]);
    return JSON.parse(said.out).data;
  };
  assert.equal(await read('LeasedSince'), 1_700_000_000_123_456);
  assert.equal(await read('Job'), '/org/revived/jobs/7');
  assert.deepEqual(await read('Groups'), ['27', '28']);
  assert.deepEqual(await read('Ladder'), [
    {
      Rung: { type: 's', data: 'bus' },
      Available: { type: 'b', data: false },
      Reason: { type: 's', data: 'the card has a foreign neighbour' },
      ExpectedMs: { type: 'u', data: 1200 },
      WorstMs: { type: 'u', data: 60_000 },
      Reaches: { type: 'as', data: ['0000:0b:00.0', '0000:0b:00.1'] },
    },
  ]);
  service.views.past = [sampleJob(3)];
  const history = await call(nobody, 'org.revived1.Manager', 'GetHistory', ['ua{sv}', '5', '0']);
  assert.match(history.out, /"Steps" aa\{sv\} 2 4 "Name" s "unbind 0000:0b:00.0"/);
  assert.match(history.out, /"Id" u 3/);
});

test("the hook's XML is read once, removed, and a refusal says who speaks", bounded, async () => {
  service.asked.length = 0;
  const hook = (path: string) =>
    call(0, 'org.revived1.Manager', 'Hook', ['ssssa{sv}', 'prepare', 'win10', '-', path, '0']);
  const path = join(spool, 'win10.1234');
  await writeFile(path, '<domain/>', { mode: 0o600 });
  const fine = await hook(path);
  assert.equal(fine.code, 0, fine.err);
  assert.deepEqual(service.asked, ['hook prepare win10 - <domain/>']);
  assert.deepEqual(await readdir(spool), []);

  service.before.hook = () => {
    throw new RevivedError('busy', 'The card is still being returned.', 'Try again in 5 s.');
  };
  await writeFile(path, '<domain/>', { mode: 0o600 });
  const refused = await hook(path);
  assert.equal(
    refused.err,
    'Call failed: revived: The card is still being returned. Try again in 5 s.',
  );
  assert.deepEqual(await readdir(spool), []);
  assert.match((await hook('/etc/passwd')).err, /revived: The hook's spool file is not/);
  delete service.before.hook;

  await writeFile(path, '<domain/>');
  await chown(path, nobody, nobody);
  assert.match((await hook(path)).err, /revived: The hook's spool file belongs to uid 65534/);
  assert.deepEqual(await readdir(spool), []);
});

test('the name of a running daemon is not taken over', bounded, async () => {
  await assert.rejects(client.requestName('org.revived'), { code: 'busy' });
});
