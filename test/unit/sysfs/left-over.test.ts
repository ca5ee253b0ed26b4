/** Children of a daemon that is gone are found and ended; what cannot be ended is known until it is gone. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createChildIo } from '../../../daemon/sysfs/child.ts';
import { childMarks, endLeftOvers, watchLeftOvers } from '../../../daemon/sysfs/left-over.ts';
import { readAttribute } from '../../../daemon/sysfs/read.ts';
import { until } from '../sim-host.ts';

const sys = mkdtempSync(join(tmpdir(), 'revived-left-over-'));
after(() => rmSync(sys, { recursive: true }));
const fifo = join(sys, 'fifo');
execFileSync('mkfifo', [fifo]);
const limits = { endMs: 20, killGraceMs: 5_000 };

test('one whose daemon is gone is ended; one whose daemon lives is not', async () => {
  // The shell is the daemon that goes.
  const script = `${childMarks.by}=$$ dd of=${fifo} conv=nocreat,notrunc </dev/null 2>/dev/null >&2 & echo $!`;
  const pid = execFileSync('sh', ['-c', script], { encoding: 'utf8' }).trim();
  // Of a process that has ended nothing is left in it, even while nobody has asked how it ended.
  const command = () => readAttribute(`/proc/${pid}/cmdline`) ?? '';
  await until(() => command().startsWith('dd\0'));
  const own = createChildIo({ dd: '/usr/bin/dd', scratch: sys }).write(fifo, 'ours', 10_000);
  assert.deepEqual(await endLeftOvers({ proc: '/proc', sys }, limits), []);
  assert.equal(command(), '');
  assert.equal(readFileSync(fifo, 'utf8'), 'ours');
  assert.equal((await own).state, 'ok');
});

test('one that cannot be ended is told, and that it is gone is told once', async () => {
  const proc = join(sys, 'proc');
  const path = `${sys}/bus/pci/drivers/amdgpu/unbind`;
  const pid = 4_194_305; // above pid_max: nobody's
  const at = join(proc, String(pid));
  const files = {
    cgroup: '0::/unit\n',
    cmdline: ['dd', `of=${path}`, 'conv=nocreat,notrunc', 'status=none', ''].join('\0'),
    environ: ['LC_ALL=C', `${childMarks.by}=77`, `${childMarks.value}=0000:01:00.0`, ''].join('\0'),
    stat: `${pid} (a) dd) D 1 1 1 0`,
  };
  for (const directory of [at, join(proc, 'self'), join(proc, '12'), join(proc, '13')]) {
    mkdirSync(directory, { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  }
  writeFileSync(join(proc, '12', 'cgroup'), '0::/somebody\n');
  writeFileSync(join(proc, '13', 'cmdline'), 'dd\0of=/sys/elsewhere\0');
  const left = await endLeftOvers({ proc, sys }, { endMs: 1, killGraceMs: 1 });
  assert.deepEqual(left, [{ pid, path, value: '0000:01:00.0' }]);
  const freed: number[] = [];
  watchLeftOvers({ proc, sys }, left, (one) => freed.push(one), 1);
  rmSync(at, { recursive: true });
  await until(() => freed.length > 0);
  assert.deepEqual(freed, [pid]);
});
