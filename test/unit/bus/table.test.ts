import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  entryOf,
  interfaceNames,
  interfaceSpec,
  interfaces,
  isInterfaceName,
  signatureOf,
} from '../../../daemon/bus/table.ts';

const actions = new Set([
  'org.revived1.reset',
  'org.revived1.handover',
  'org.revived1.reboot-host',
  'org.revived1.configure',
]);
const memberName = /^[A-Z][A-Za-z]{0,254}$/;
const signatures = new Set(['s', 'o', 'b', 'u', 't', 'd', 'as', 'ao', 'a{sv}', 'aa{sv}']);
/** What only reads. A method that joins it here must not change anything. */
const free = ['Plan', 'GetHistory', 'GetOutcomes', 'GetCard', 'GetDomain'];

test('the list of names is the table', () => {
  assert.deepEqual(interfaceNames.toSorted(), Object.keys(interfaces).toSorted());
  for (const name of interfaceNames) assert.match(name, /^org\.revived1\.[A-Z][a-z]+$/);
});

test('every method says who may call it, ends in options and has named arguments', () => {
  for (const name of interfaceNames) {
    for (const [member, spec] of Object.entries(interfaceSpec(name).methods)) {
      const { access } = spec;
      assert.match(member, memberName);
      if (typeof access === 'object') assert.ok(actions.has(access.polkit), member);
      else assert.equal(access, member === 'Hook' ? 'root' : 'free', member);
      assert.equal(access === 'free', free.includes(member), member);
      assert.deepEqual(spec.in.at(-1), { name: 'options', signature: 'a{sv}' }, member);
      for (const list of [spec.in, spec.out]) {
        assert.equal(new Set(list.map((arg) => arg.name)).size, list.length, member);
        for (const arg of list) assert.ok(signatures.has(arg.signature), `${member} ${arg.name}`);
      }
      assert.ok(signatureOf(spec.in).length <= 255);
    }
  }
});

test('every property has a signature and says how it changes', () => {
  for (const name of interfaceNames) {
    for (const [property, spec] of Object.entries(interfaceSpec(name).properties)) {
      assert.match(property, memberName);
      assert.ok(signatures.has(spec.signature), property);
      assert.ok(spec.emits === 'true' || spec.emits === 'const', property);
    }
  }
});

test('names that callers give find nothing through the prototype', () => {
  assert.equal(entryOf(interfaceSpec('org.revived1.Manager').methods, 'constructor'), undefined);
  assert.equal(entryOf({ toString: 1 }, 'toString'), 1);
  assert.equal(isInterfaceName('org.revived1.Card'), true);
  assert.equal(isInterfaceName('__proto__'), false);
});
