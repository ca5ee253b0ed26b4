/** The order of things inside one call; what callers see of it is in test/integration/bus*.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IncomingCall } from '../../../daemon/bus/connection.ts';
import { createDispatch } from '../../../daemon/bus/dispatch.ts';
import { createObjects } from '../../../daemon/bus/objects.ts';
import { createPending } from '../../../daemon/bus/pending.ts';
import { RevivedError } from '../../../daemon/errors.ts';
import { createLog } from '../../../daemon/log.ts';
import { scriptedService } from '../../integration/scripted-service.ts';

const cancel: IncomingCall = {
  ...{
    sender: ':1.5',
    path: '/org/revived/jobs/7',
    interface: 'org.revived1.Job',
    member: 'Cancel',
  },
  ...{ signature: 'a{sv}', body: () => [{}], interactive: true, serial: 1, replyExpected: true },
};

/** Handles one call and gives what happened, in order. `admit` may deny. */
async function happenings(
  call: IncomingCall,
  admit: () => Promise<void> = async () => undefined,
): Promise<readonly string[]> {
  const seen: string[] = [];
  const service = scriptedService();
  let answered = (): void => undefined;
  const done = new Promise<void>((resolve) => {
    answered = resolve;
  });
  const dispatch = createDispatch({
    connection: {
      reply(_call, signature, body) {
        seen.push(`reply ${signature} ${body}`);
        answered();
      },
      refuse(_call, name, message) {
        seen.push(`${name}: ${message}`);
        answered();
      },
    },
    objects: createObjects(service, '/spool'),
    gate: {
      async callerOf(sender) {
        seen.push(`who is ${sender}`);
        return { sender, uid: 1000 };
      },
      async admit(_access, _caller, what, interactive) {
        seen.push(`may ${what} ${interactive}`);
        await admit();
      },
    },
    pending: createPending(),
    flush: () => seen.push(`signals after ${service.asked}`),
    log: createLog('text', 'fatal', () => undefined),
  });
  dispatch(call);
  await done;
  return seen;
}

test('who, may they, do it, tell the others, answer', async () => {
  assert.deepEqual(await happenings(cancel), [
    'who is :1.5',
    'may org.revived1.Job.Cancel true',
    'signals after cancel 7',
    'reply  ',
  ]);
});

test('a denial ends it before anything is done', async () => {
  const seen = await happenings(cancel, async () => {
    throw new RevivedError('not-authorised', 'No.', 'Ask.');
  });
  assert.deepEqual(seen.slice(2), ['org.freedesktop.DBus.Error.AccessDenied: No. Ask.']);
});

test('the interface may be left out', async () => {
  const { interface: _interface, ...rest } = cancel;
  assert.deepEqual(await happenings({ ...rest, interface: undefined }), await happenings(cancel));
  const ping = { ...cancel, interface: undefined, member: 'Ping', signature: '' };
  assert.deepEqual(await happenings(ping), ['reply  ']);
  const none = await happenings({ ...cancel, interface: undefined, member: 'Pong' });
  assert.match(none.join(), /^org\.freedesktop\.DBus\.Error\.UnknownMethod: /);
});

test('a body that cannot be read is refused before anybody is asked', async () => {
  const body = () => {
    throw new RevivedError('invalid-argument', 'Unreadable.');
  };
  assert.deepEqual(await happenings({ ...cancel, body }), [
    'org.freedesktop.DBus.Error.InvalidArgs: Unreadable.',
  ]);
});

test('an unknown property is named', async () => {
  const get = { ...cancel, interface: 'org.freedesktop.DBus.Properties', member: 'Get' };
  const body = () => ['org.revived1.Job', 'Nonsense'];
  const seen = await happenings({ ...get, signature: 'ss', body });
  assert.match(seen.join(), /UnknownProperty: /);
});

test('what only asks costs no work where nobody waits for the answer', () => {
  const real = createObjects(scriptedService(), '/spool');
  let work = 0;
  const counted = <T>(result: T): T => {
    work += 1;
    return result;
  };
  const answer = (): void => undefined;
  const dispatch = createDispatch({
    connection: { reply: answer, refuse: answer },
    objects: {
      list: (kind) => counted(real.list(kind)),
      find: (path) => counted(real.find(path)),
      paths: () => counted(real.paths()),
    },
    gate: { callerOf: () => assert.fail(), admit: () => assert.fail() },
    pending: createPending(),
    flush: () => assert.fail(),
    log: createLog('text', 'fatal', answer),
  });
  const standard = (name: string, member: string, signature: string): IncomingCall => {
    const named = { path: '/org/revived', interface: `org.freedesktop.DBus.${name}`, member };
    return { ...cancel, ...named, signature, body: () => ['org.revived1.Manager', 'Version'] };
  };
  const calls = [
    standard('ObjectManager', 'GetManagedObjects', ''),
    standard('Properties', 'GetAll', 's'),
    standard('Properties', 'Get', 'ss'),
    standard('Introspectable', 'Introspect', ''),
    { ...cancel, member: 'Nonsense' },
  ];
  for (const call of calls) {
    for (const named of [call, { ...call, interface: undefined }]) {
      work = 0;
      dispatch({ ...named, replyExpected: false });
      assert.equal(work, 0, call.member);
      dispatch(named);
      assert.ok(work > 0, call.member);
    }
  }
});
