import assert from 'node:assert/strict';
import { test } from 'node:test';
import { busPolicyRule } from '../../static/bus-policy.ts';

const table = `  'org.revived1.Card': {\n`;
const policy = '<allow send_interface="org.revived1.Card"/>';
const makefile = '0644 dist/interfaces/org.revived1.Card.xml $(DATADIR)/org.revived1.Card.xml\n';

function judged(files: { table?: string; policy?: string; makefile?: string }): string {
  return busPolicyRule(
    new Map([
      ['daemon/bus/table.ts', files.table ?? table],
      ['units/org.revived.conf', files.policy ?? policy],
      ['Makefile', files.makefile ?? makefile],
    ]),
  ).join('\n');
}

test('the same interfaces in the table, in the bus policy and in the Makefile', () => {
  assert.equal(judged({}), '');
});

test('an interface that is closed, not installed or not ours is named', () => {
  assert.match(judged({ policy: '' }), /org\.revived\.conf lacks org\.revived1\.Card/);
  assert.match(judged({ makefile: '' }), /Makefile lacks org\.revived1\.Card/);
  const more = `${policy}<allow send_interface="org.revived1.More"/>`;
  assert.match(judged({ policy: more }), /names org\.revived1\.More/);
  assert.match(judged({ table: '' }), /names no interface/);
});
