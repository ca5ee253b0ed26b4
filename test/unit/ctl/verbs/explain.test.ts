import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { explain } from '../../../../daemon/ctl/verbs/explain.ts';
import { RevivedError } from '../../../../daemon/errors.ts';
import { argsOf, clientOf, hear } from '../recorded.ts';

const folder = mkdtempSync(join(tmpdir(), 'explain-'));
after(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'kernel.log');
writeFileSync(
  file,
  '[    1.0] usb 1-1: new device\n' +
    '[   61.0] vfio-pci 0000:0b:00.0: not ready 65535ms after FLR; giving up \u202e\u009b31m\n',
);

async function said(json: boolean, lang: string, path = file): Promise<string> {
  const { LC_ALL, LC_MESSAGES, LANG } = process.env;
  Object.assign(process.env, { LC_ALL: lang, LC_MESSAGES: '', LANG: '' });
  try {
    const { out, stdout } = hear({ json });
    // The client of these tests refuses every call: no daemon is asked.
    assert.equal(await explain.run(clientOf({}), argsOf([path]), out), 0);
    return stdout();
  } finally {
    for (const [name, value] of Object.entries({ LC_ALL, LC_MESSAGES, LANG })) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

test('for people: the verdict, the lines that decide, the advice; data is made printable', async () => {
  const lines = (await said(false, 'C')).split('\n');
  assert.equal(lines[0], 'Verdict  flr-broken');
  assert.match(lines[1] ?? '', /^ {2}0000:0b:00\.0: The device does not come back/);
  assert.equal(lines[3], 'Deciding lines');
  assert.match(
    lines[4] ?? '',
    /^ {2}2 {2}flr-broken {2}\[ {3}61\.0\] .*giving up \\u202e\\u009b31m$/,
  );
  assert.equal(lines[6], 'Advice');
  assert.match(lines[7] ?? '', /^ {2}Keep FLR away from it/);
});

test('in Japanese where the locale says so, JSON always in English', async () => {
  assert.match(
    await said(false, 'ja_JP.UTF-8'),
    /^診断 {2}flr-broken\n {2}0000:0b:00\.0: デバイスが/,
  );
  const english = await said(true, 'C');
  assert.equal(await said(true, 'ja_JP.UTF-8'), english);
  const { classes, devices } = JSON.parse(english);
  assert.deepEqual([classes, devices], [['flr-broken'], ['0000:0b:00.0']]);
});

test('a file that is not there, or is none', async () => {
  const { out } = hear();
  const failing = (path: string) => explain.run(clientOf({}), argsOf([path]), out);
  const coded = (code: string) => (error: unknown) =>
    error instanceof RevivedError && error.code === code && error.advice !== undefined;
  await assert.rejects(failing(join(folder, 'no.log')), coded('not-found'));
  await assert.rejects(failing(join(file, 'under')), coded('not-found'));
  await assert.rejects(failing(folder), coded('invalid-argument'));
});
