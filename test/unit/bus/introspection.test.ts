import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DOMParser, type Element } from '@xmldom/xmldom';
import { interfaceXml, nodeXml } from '../../../daemon/bus/introspection.ts';
import { standardNamesOf } from '../../../daemon/bus/standard.ts';
import { interfaceNames, interfaceSpec } from '../../../daemon/bus/table.ts';

function parsed(xml: string): Element {
  const onError = (_level: string, message: string): never => assert.fail(message);
  const root = new DOMParser({ onError }).parseFromString(xml, 'text/xml').documentElement;
  return root ?? assert.fail('no document');
}

function children(element: Element, tag: string): readonly Element[] {
  return [...element.getElementsByTagName(tag)].filter((child) => child.parentNode === element);
}

function named(element: Element, tag: string, name: string): Element {
  const found = children(element, tag).find((child) => child.getAttribute('name') === name);
  return found ?? assert.fail(`no ${tag} ${name}`);
}

test('the XML of an interface has every method, argument, property and signal', () => {
  for (const name of interfaceNames) {
    const spec = interfaceSpec(name);
    const element = named(parsed(interfaceXml(name)), 'interface', name);
    for (const [member, method] of Object.entries(spec.methods)) {
      const seen = children(named(element, 'method', member), 'arg').map((arg) => [
        ...[arg.getAttribute('direction'), arg.getAttribute('name'), arg.getAttribute('type')],
      ]);
      assert.deepEqual(seen, [
        ...method.in.map((arg) => ['in', arg.name, arg.signature]),
        ...method.out.map((arg) => ['out', arg.name, arg.signature]),
      ]);
    }
    assert.equal(children(element, 'method').length, Object.keys(spec.methods).length);
    for (const [member, { signature, emits }] of Object.entries(spec.properties)) {
      const property = named(element, 'property', member);
      assert.equal(property.getAttribute('type'), signature);
      assert.equal(property.getAttribute('access'), 'read');
      const flag = 'org.freedesktop.DBus.Property.EmitsChangedSignal';
      assert.equal(named(property, 'annotation', flag).getAttribute('value'), emits);
    }
    assert.equal(children(element, 'property').length, Object.keys(spec.properties).length);
    for (const [member, list] of Object.entries(spec.signals)) {
      const args = children(named(element, 'signal', member), 'arg');
      assert.deepEqual(
        args.map((arg) => arg.getAttribute('name')),
        list.map((arg) => arg.name),
      );
    }
  }
});

test('a node lists its interfaces and its children, escaped', () => {
  const root = parsed(
    nodeXml({
      interface: 'org.revived1.Manager',
      standard: standardNamesOf({ isObject: true, isRoot: true }),
      children: ['cards', 'a"<&>'],
    }),
  );
  assert.deepEqual(
    children(root, 'interface').map((child) => child.getAttribute('name')),
    [
      'org.revived1.Manager',
      'org.freedesktop.DBus.Peer',
      'org.freedesktop.DBus.Introspectable',
      'org.freedesktop.DBus.Properties',
      'org.freedesktop.DBus.ObjectManager',
    ],
  );
  assert.deepEqual(
    children(root, 'node').map((child) => child.getAttribute('name')),
    ['cards', 'a"<&>'],
  );
});

test('only the root has an object manager', () => {
  const standard = standardNamesOf({ isObject: true, isRoot: false });
  assert.equal(standard.includes('org.freedesktop.DBus.ObjectManager'), false);
});

test('a node without an object has neither properties nor an object manager', () => {
  const standard = standardNamesOf({ isObject: false, isRoot: false });
  const root = parsed(nodeXml({ interface: undefined, standard, children: [] }));
  assert.equal(children(root, 'interface').length, 2);
});
