import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RuleId } from '../../../daemon/doctor/finding.ts';
import { rules } from '../../../daemon/doctor/rules/index.ts';
import { devicesCases } from './cases-devices.ts';
import { domainsCases } from './cases-domains.ts';
import { hostCases } from './cases-host.ts';
import { topologyCases } from './cases-topology.ts';
import { factsOf } from './facts-of.ts';
import { type Case, nvidia, passes } from './rule-case.ts';

const cases: Readonly<Record<RuleId, Case>> = {
  ...topologyCases,
  ...devicesCases,
  ...domainsCases,
  ...hostCases,
};

for (const [id, { red, green }] of Object.entries(cases)) {
  const rule = Object.values(rules).find((one) => one.id === id);
  test(`${id}: red and green`, () => {
    assert.ok(rule !== undefined);
    for (const [text, severity, subject, says] of red) {
      const [found, ...more] = rule.judge(factsOf(text));
      assert.ok(found !== undefined, `nothing found: ${JSON.stringify(text)}`);
      assert.deepEqual([found.severity, found.subject, more.length], [severity, subject, 0]);
      assert.match(found.message.en, says ?? /./);
      for (const one of [found.message, found.fix?.description]) {
        if (one === undefined) continue;
        assert.match(one.en, /^[\x20-\x7e]+$/, 'English');
        assert.match(one.ja, /[\u3040-\u30ff]/, 'Japanese');
        for (const text of [one.en, one.ja])
          assert.doesNotMatch(text, /undefined|null|NaN|\[object/);
      }
    }
    for (const text of green) assert.deepEqual(rule.judge(factsOf(text)), [], JSON.stringify(text));
  });
}

test('every rule is filed under its id, and says what it reads, why and from where', () => {
  for (const [id, rule] of Object.entries(rules)) {
    assert.equal(rule.id, id);
    for (const text of [rule.reads, rule.why, rule.reference]) assert.ok(text.length > 5, id);
  }
});

test('fixes name what an editor has to do', () => {
  const { fix } = rules['functions-split'].judge(
    factsOf({ domains: passes('0b:00.0 guest=5:0.0', '0b:00.1 guest=6:0.0') }),
  )[0] ?? { fix: null };
  assert.ok(fix?.kind === 'domain-xml');
  assert.deepEqual(fix.edits, [
    {
      op: 'place',
      hostdev: '0000:0b:00.0',
      guest: { bus: 5, slot: 0, function: 0 },
      multifunction: true,
    },
    {
      op: 'place',
      hostdev: '0000:0b:00.1',
      guest: { bus: 5, slot: 0, function: 1 },
      multifunction: false,
    },
  ]);
  const left = rules['function-left-behind'].judge(
    factsOf({ functions: nvidia, domains: passes('0b:00.0 guest=5:0.0 multi') }),
  )[0];
  assert.ok(left?.fix?.kind === 'domain-xml');
  assert.deepEqual(left.fix.edits, [
    {
      op: 'add-hostdev',
      hostdev: '0000:0b:00.1',
      like: '0000:0b:00.0',
      guest: { bus: 5, slot: 0, function: 1 },
    },
  ]);
});
