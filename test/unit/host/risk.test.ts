/** The mark that the host is at risk stays until a person has looked. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, test } from 'node:test';
import { openHostRisk } from '../../../daemon/host/risk.ts';
import { createLog } from '../../../daemon/log.ts';
import { freshDirectory } from '../fresh-directory.ts';

const fresh = freshDirectory('risk');

describe('the mark', () => {
  let path: string;
  let logged: string[];
  const log = createLog('text', 'debug', (line) => logged.push(line));
  const open = () => openHostRisk(path, log);
  beforeEach(() => {
    path = join(fresh.path, 'host-risk.json');
    logged = [];
  });

  test('stays through a restart of the daemon, with its first reason, until it is cleared', async () => {
    const risk = await open();
    let told = 0;
    risk.onMark(() => told++);
    assert.equal(risk.reason(), '');
    assert.equal(await risk.clear(), false);
    await risk.mark('first');
    await risk.mark('second');
    assert.deepEqual([risk.reason(), told], ['first', 1]);
    const later = await open();
    assert.equal(later.reason(), 'first');
    assert.equal(logged.filter((line) => line.includes('The host is at risk')).length, 1);
    assert.equal(await later.clear(), true);
    assert.equal(await later.clear(), false);
    assert.equal(later.reason(), '');
    assert.equal((await open()).reason(), '');
  });

  test('has a reason of bounded length', async () => {
    const risk = await open();
    await risk.mark('x'.repeat(10_000));
    assert.equal(risk.reason().length, 500);
  });

  test('that cannot be read or written is said; in memory it counts', async () => {
    for (const text of ['{"version":1,"rea', '\0\0\0']) {
      writeFileSync(path, text, { mode: 0o600 });
      assert.equal((await open()).reason(), '');
      assert.match(logged.pop() ?? '', /cannot be kept in its file/);
    }
    for (const text of ['null', '{"reason":7}', '{}']) {
      writeFileSync(path, text, { mode: 0o600 });
      assert.equal((await open()).reason(), '', text);
    }
    rmSync(path);
    mkdirSync(path);
    const risk = await open();
    await risk.mark('first');
    assert.equal(risk.reason(), 'first');
    assert.equal(logged.filter((line) => line.includes('cannot be kept in its file')).length, 2);
  });
});
