import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createRebootRequired } from '../../../daemon/host/reboot-required.ts';

test('ours comes and goes; what others wrote before, between or after stays', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'revived-required-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const flag = join(dir, 'reboot-required');
  const list = `${flag}.pkgs`;
  const mark = createRebootRequired(flag);
  const there = () => [flag, list].map((path) => existsSync(path) && readFileSync(path, 'utf8'));

  await mark(true);
  await mark(true);
  const [text, packages] = there();
  assert.match(String(text), /^\*\*\* System restart required \*\*\*.*\n$/);
  assert.equal(packages, 'revived\n');
  assert.equal(statSync(flag).mode & 0o777, 0o644);
  await mark(false);
  assert.deepEqual(there(), [false, false]);

  writeFileSync(flag, 'theirs\n');
  writeFileSync(list, 'linux-image\ndbus\n');
  await mark(true);
  assert.deepEqual(there(), ['theirs\n', 'linux-image\ndbus\nrevived\n']);
  await mark(false);
  assert.deepEqual(there(), ['theirs\n', 'linux-image\ndbus\n']);

  rmSync(flag);
  rmSync(list);
  await mark(true);
  writeFileSync(list, 'revived\nlibc6\n');
  await mark(false);
  assert.deepEqual(there(), [text, 'libc6\n'], 'they still need it');
});
