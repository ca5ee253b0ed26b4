/** With a program in the place of systemd-notify that writes down how it was called. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, mock, test } from 'node:test';
import { createNotify } from '../../../daemon/host/notify.ts';
import { freshDirectory } from '../fresh-directory.ts';
import { until } from '../sim-host.ts';

const fresh = freshDirectory('notify');
let directory: string;
let program: string;
let problems: string[];
beforeEach(() => {
  directory = fresh.path;
  program = join(directory, 'systemd-notify');
  const script = `#!/bin/sh
{ printf '%s\\n' "$@"; echo "socket $NOTIFY_SOCKET"; echo "watchdog $WATCHDOG_USEC"; } >${directory}/$$.part
mv ${directory}/$$.part ${directory}/$$.call
`;
  writeFileSync(program, script, { mode: 0o755 });
  problems = [];
});

const notify = (env: Readonly<Record<string, string>>, file = program) =>
  createNotify(file, env, (why) => problems.push(why));
const calls = () => readdirSync(directory).filter((name) => name.endsWith('.call'));
const lines = () => readFileSync(join(directory, calls()[0] ?? ''), 'utf8').split('\n');

test('each assignment is an argument of its own, for this process, to the socket of the unit', async () => {
  notify({ NOTIFY_SOCKET: '@unit', WATCHDOG_USEC: '9' }).tell(
    '--ready',
    '--status=1: $(reboot) "x"',
  );
  await until(() => calls().length === 1);
  assert.deepEqual(lines().slice(0, 5), [
    `--pid=${process.pid}`,
    '--ready',
    '--status=1: $(reboot) "x"',
    'socket @unit',
    'watchdog ',
  ]);
  assert.deepEqual(problems, []);
});

test('without a socket nobody is told', async () => {
  notify({}).tell('READY=1');
  notify({ NOTIFY_SOCKET: '' }).tell('READY=1');
  notify({ NOTIFY_SOCKET: '@unit' }).tell('READY=1');
  await until(() => calls().length > 0);
  assert.equal(calls().length, 1);
});

test('a program that is not there is said, and is no reason to end', async () => {
  notify({ NOTIFY_SOCKET: '@unit' }, join(directory, 'missing')).tell('READY=1');
  await until(() => problems.length === 1);
  assert.match(problems[0] ?? '', /ENOENT/);
});

test('the watchdog is fed at half its interval, and only where the unit has one', async () => {
  mock.timers.enable({ apis: ['setInterval'] });
  try {
    for (const usec of [undefined, '', 'soon', '0', '1999999']) {
      const env = usec === undefined ? {} : { WATCHDOG_USEC: usec };
      notify({ NOTIFY_SOCKET: '@unit', ...env }).startWatchdog();
    }
    mock.timers.tick(100_000);
    notify({ NOTIFY_SOCKET: '@unit', WATCHDOG_USEC: '30000000' }).startWatchdog();
    mock.timers.tick(14_999);
    mock.timers.tick(1);
  } finally {
    mock.timers.reset();
  }
  await until(() => calls().length > 0);
  assert.equal(calls().length, 1);
  assert.deepEqual(lines().slice(0, 2), [`--pid=${process.pid}`, 'WATCHDOG=1']);
});
