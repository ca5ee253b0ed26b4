import assert from 'node:assert/strict';
import { test } from 'node:test';
import { polkitRule } from '../../static/polkit.ts';

function judged(table: string, policy: string): readonly string[] {
  return polkitRule(
    new Map([
      ['daemon/bus/table.ts', table],
      ['units/org.revived1.policy', policy],
    ]),
  );
}
const table = `| 'org.revived1.reset'\n'org.revived1.Card': {`;

test('the same actions on both sides', () => {
  assert.deepEqual(judged(table, '<action id="org.revived1.reset">'), []);
});

test('an action that one side lacks is named', () => {
  assert.match(judged(table, '').join(), /policy lacks org\.revived1\.reset/);
  const more = '<action id="org.revived1.reset"><action id="org.revived1.more">';
  assert.match(judged(table, more).join(), /table\.ts lacks org\.revived1\.more/);
  assert.match(judged('', '').join(), /names no polkit action/);
});
