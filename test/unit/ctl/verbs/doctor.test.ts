import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { doctor } from '../../../../daemon/ctl/verbs/doctor.ts';
import { RevivedError } from '../../../../daemon/errors.ts';
import { xmlOf } from '../../doctor/facts-of.ts';
import { argsOf, clientOf, hear, hostile, hostileShown } from '../recorded.ts';

const root = mkdtempSync(join(tmpdir(), 'doctor-verb-'));
after(() => rmSync(root, { recursive: true }));
mkdirSync(join(root, 'etc/libvirt/qemu'), { recursive: true });
const folder = join(root, 'etc/libvirt/qemu');
writeFileSync(join(folder, 'a.xml'), xmlOf({ name: 'lpc', hostdevs: ['00:1f.0'] }));
writeFileSync(join(folder, 'b.xml'), xmlOf({ name: 'odd', hostdevs: ['0b:00.0'], agent: false }));

// Needs no daemon: any call to it fails the test.
const run = (
  operands: readonly string[],
  options: Record<string, string | boolean>,
  json = false,
) => {
  const heard = hear({ json });
  const code = doctor.run(clientOf({}), argsOf(operands, { root, ...options }), heard.out);
  return code.then((value) => ({ code: value, stdout: heard.stdout() }));
};

test('findings for people, the worst first, and exit 6', async () => {
  const { code, stdout } = await run([], {});
  assert.equal(code, 6);
  assert.match(
    stdout,
    /error {2}0000:00:1f\.0 {2}host-critical-device\n[\s\S]*note {2}domain:odd {2}agent-missing/,
  );
  assert.match(stdout, /\n1 error, 0 warnings, 1 note\n$/);
});

test('of one domain; notes alone are no reason for 6', async () => {
  assert.equal((await run(['odd'], {})).code, 0);
  assert.equal((await run(['lpc'], {}, true)).code, 6);
  writeFileSync(join(folder, 'w.xml'), xmlOf({ name: 'warned', args: ['-cpu', 'host'] }));
  assert.equal((await run(['warned'], {})).code, 6);
  rmSync(join(folder, 'w.xml'));
  const only = await run(['odd'], { 'only-errors': true });
  assert.match(only.stdout, /\n0 errors, 0 warnings, 0 notes\n$/);
  await assert.rejects(run(['none'], {}), (error) => {
    return error instanceof RevivedError && error.code === 'not-found';
  });
});

test('--json is English, --rules says why, a root that is none is not found', async () => {
  const { findings } = JSON.parse((await run([], {}, true)).stdout);
  assert.match(findings[0].message, /ISA/);
  assert.match((await run([], { rules: true })).stdout, /^acs-override\n {2}Groups made by/);
  await assert.rejects(run([], { root: join(root, 'none') }), (error) => {
    return error instanceof RevivedError && error.code === 'not-found';
  });
});

test('a captured host cannot be fixed, and a fix is not undone at once', async () => {
  for (const options of [{ fix: 'rom-bar-off' }, { undo: true }]) {
    await assert.rejects(run([], options), { code: 'invalid-argument' });
  }
  const both = doctor.run(clientOf({}), argsOf([], { fix: 'memlock', undo: true }), hear().out);
  await assert.rejects(both, { code: 'invalid-argument' });
});

test('a name cannot act on the terminal', async () => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: XML has none of these
  const name = hostile.replaceAll(/[\u0000-\u001f]/g, '').replace('"', '&quot;');
  writeFileSync(join(folder, 'c.xml'), xmlOf({ name, hostdevs: ['0c:00.0'], agent: false }));
  const { stdout } = await run([], {});
  assert.doesNotMatch(stdout, /\u009b|\u202e/);
  assert.ok(stdout.includes(hostileShown.slice(hostileShown.indexOf('\\u009b'))), stdout);
});
