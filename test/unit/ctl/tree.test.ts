import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Signal } from '../../../daemon/ctl/client.ts';
import { printable } from '../../../daemon/ctl/printable.ts';
import { applySignal, objectsOf, snapshotOf } from '../../../daemon/ctl/tree.ts';
import { dullCard, hostileShown, illPath, tree } from './recorded.ts';

function signal(of: string, member: string, path: string, ...args: unknown[]): Signal {
  return { kind: 'signal', path, interface: `org.freedesktop.DBus.${of}`, member, args };
}

const changed = (path: string, name: string, properties: object) =>
  signal('Properties', 'PropertiesChanged', path, name, properties, []);

test('a snapshot has everything, in a stable order', () => {
  const { manager, cards, domains, jobs } = snapshotOf(tree, printable);
  assert.equal(manager.version, '0.1.0');
  const addresses = cards.map(({ address }) => address);
  assert.deepEqual(addresses, ['0000:01:00', '0000:02:00', '0000:0b:00']);
  assert.deepEqual(
    domains.map(({ name }) => name),
    [hostileShown, 'win10'],
  );
  assert.deepEqual(
    jobs.map(({ id }) => id),
    [7],
  );
  assert.deepEqual(snapshotOf({}, printable).cards, []);
});

test('changed properties are merged into their object', () => {
  const after = applySignal(tree, changed(illPath, 'org.revived1.Card', { Health: 'healthy' }));
  const [card] = snapshotOf(after, printable).cards;
  assert.equal(card?.health.state, 'healthy');
  assert.equal(card?.name, 'TU104');
  assert.equal(snapshotOf(tree, printable).cards[0]?.health.state, 'wedged');
});

test('a change of what is gone brings nothing back', () => {
  const gone = applySignal(
    tree,
    signal('ObjectManager', 'InterfacesRemoved', '/org/revived', illPath, ['org.revived1.Card']),
  );
  assert.equal(snapshotOf(gone, printable).cards.length, 2);
  assert.equal(applySignal(gone, changed(illPath, 'org.revived1.Card', { State: 'home' })), gone);
});

test('added objects are there', () => {
  const path = '/org/revived/cards/0000_03_00';
  const interfaces = { 'org.revived1.Card': { ...dullCard, Address: '0000:03:00' } };
  const after = applySignal(
    tree,
    signal('ObjectManager', 'InterfacesAdded', '/org/revived', path, interfaces),
  );
  assert.equal(snapshotOf(after, printable).cards[2]?.address, '0000:03:00');
});

test('other signals and nonsense change nothing', () => {
  const own = { kind: 'signal', path: illPath, interface: 'org.revived1.Job' } as const;
  const nonsense: Signal[] = [
    { ...own, member: 'Completed', args: [true, ''] },
    signal('Properties', 'PropertiesChanged', illPath),
    signal('Properties', 'PropertiesChanged', illPath, 'org.revived1.Card', 7),
    signal('ObjectManager', 'InterfacesAdded', '/org/revived', 1, {}),
    signal('ObjectManager', 'InterfacesRemoved', '/org/revived', illPath, 'x'),
  ];
  for (const one of nonsense) assert.equal(applySignal(tree, one), tree);
});

test('a reply of GetManagedObjects that is none is an empty tree', () => {
  assert.deepEqual(objectsOf(undefined), {});
  assert.deepEqual(objectsOf({ '/a': 7, '/b': { i: { P: 1 }, j: [] } }), {
    '/a': {},
    '/b': { i: { P: 1 } },
  });
});
