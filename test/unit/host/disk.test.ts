/** A disk that does not answer is waited for once, and left alone until it does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDisk } from '../../../daemon/host/disk.ts';
import { gate, turns } from '../sim-host.ts';

test('a write that does not come back is given up after five seconds; until it is back no other is begun', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const disk = createDisk();
  const { opened, open } = gate();
  const hung = disk.ask(() => opened);
  t.mock.timers.tick(5_000);
  await assert.rejects(hung, { code: 'timed-out', message: /within 5000 ms/ });
  let begun = 0;
  const write = async (): Promise<void> => void begun++;
  await assert.rejects(disk.ask(write), { code: 'timed-out', message: /has not come back yet/ });
  assert.equal(begun, 0);
  open();
  await turns();
  await disk.ask(write);
  await assert.rejects(
    disk.ask(() => Promise.reject(new Error('EIO'))),
    /EIO/,
  );
  await disk.ask(write);
  assert.equal(begun, 2);
});
