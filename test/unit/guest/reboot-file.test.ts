import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readRebootState, writeRebootState } from '../../../daemon/guest/reboot-file.ts';
import { initialState, type RebootState } from '../../../daemon/guest/reboot-state.ts';
import { card } from '../../integration/scripted-service.ts';

const cards = [card('0000:0b:00')];
const state: RebootState = {
  ...initialState('b1', true),
  phase: 'grace',
  marked: [{ uuid: 'w', name: 'a\n"', mark: 'armed', consent: 'person', cards, from: '', to: '' }],
  kept: [{ uuid: 'w', name: 'win', order: 4, cards }],
  left: ['w'],
  restarts: [{ uuid: 'w', at: 5 }],
};

test('a state comes back as it was; one that others could have written, or that is not one, does not', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'revived-reboot-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, 'reboot.json');
  assert.equal(await readRebootState(path), undefined);
  await writeRebootState(path, state);
  assert.deepEqual(await readRebootState(path), state);
  chmodSync(path, 0o666);
  await assert.rejects(readRebootState(path), /others may write/);

  const wrong: readonly Readonly<Record<string, unknown>>[] = [
    { phase: 'rebooted' },
    { attempt: '1' },
    { until: null },
    { sent: 1 },
    { marked: [{ ...state.marked[0], consent: 'all' }] },
    { kept: [{ ...state.kept[0], cards: ['../..'] }] },
    { left: [1] },
    { restarts: {} },
  ];
  chmodSync(path, 0o600);
  for (const change of wrong) {
    writeFileSync(path, JSON.stringify({ version: 1, state: { ...state, ...change } }));
    await assert.rejects(readRebootState(path), /is not what/, JSON.stringify(change));
  }
});
