import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bindInterface,
  type Getters,
  type Handlers,
  stringLimit,
} from '../../../daemon/bus/members.ts';
import { Variant } from '../../../daemon/bus/wire.ts';

interface View {
  readonly uuid: string;
}
const view: View = { uuid: 'u' };
const caller = { sender: ':1.1', uid: 1000 };

const domain = bindInterface<'org.revived1.Domain', View>(
  'org.revived1.Domain',
  {
    Uuid: (of) => of.uuid,
    Name: () => 'win10',
    State: () => 'running',
    Cards: () => ['/a', '/b'],
    DriverVersion: () => '31.0.1',
    RebootState: () => 'armed',
  },
  {},
);

const given: unknown[] = [];
const handlers: Handlers<'org.revived1.Card', View> = {
  async Reset(_view, [rung], who) {
    given.push(rung, who.uid);
    return ['/job'];
  },
  Take: async () => ['/job'],
  Return: async () => ['/job'],
  Check: async () => ['healthy', []],
};
const cardGetters = {
  ...{
    Address: () => '',
    Name: () => '',
    Family: () => '',
    State: () => '',
    Health: () => '',
    Domain: () => '',
  },
  ...{ Functions: () => [], Groups: () => [], Ports: () => [], HealthEvidence: () => [] },
  ...{ BootVga: () => true, Interesting: () => true, LeasedSince: () => 1n, Ladder: () => [] },
  Job: () => '/',
};
const card = bindInterface<'org.revived1.Card', View>('org.revived1.Card', cardGetters, handlers);

type Card = 'org.revived1.Card';
type Fits<Value, Wanted> = Value extends Wanted ? true : false;
type With<Of, Name extends keyof Of, Member> = Omit<Of, Name> & Readonly<Record<Name, Member>>;

/** Checked by tsc: each line does not compile once the link between table and code is gone. */
const links = {
  complete: true satisfies Fits<typeof handlers, Handlers<Card, View>>,
  missingHandler: false satisfies Fits<Omit<Handlers<Card, View>, 'Take'>, Handlers<Card, View>>,
  wrongResult: false satisfies Fits<
    With<Handlers<Card, View>, 'Take', () => Promise<[number]>>,
    Handlers<Card, View>
  >,
  wrongArgument: false satisfies Fits<
    With<Handlers<Card, View>, 'Reset', (view: View, args: [number]) => Promise<[string]>>,
    Handlers<Card, View>
  >,
  missingGetter: false satisfies Fits<Omit<Getters<Card, View>, 'Job'>, Getters<Card, View>>,
  wrongGetter: false satisfies Fits<
    With<Getters<Card, View>, 'Name', () => number>,
    Getters<Card, View>
  >,
};

test('the table decides what compiles', () => {
  const { complete, ...refused } = links;
  assert.equal(complete, true);
  assert.deepEqual(new Set(Object.values(refused)), new Set([false]));
});

test('properties come in the order of the table, as values and as variants', () => {
  assert.deepEqual(Object.entries(domain.properties(view)), [
    ['Uuid', 'u'],
    ['Name', 'win10'],
    ['State', 'running'],
    ['Cards', ['/a', '/b']],
    ['DriverVersion', '31.0.1'],
    ['RebootState', 'armed'],
  ]);
  assert.deepEqual(domain.dict(view)['Cards'], new Variant('ao', ['/a', '/b']));
  assert.equal(domain.property('Name', view), 'win10');
  assert.equal(domain.property('constructor', view), undefined);
  assert.equal(domain.method('Reset'), undefined);
});

test('a handler gets what fits its signature', async () => {
  const reset = card.method('Reset') ?? assert.fail('no Reset');
  assert.deepEqual(await reset(view, ['bus', {}], caller), ['/job']);
  assert.deepEqual(given, ['bus', 1000]);
});

test('a body that does not fit never reaches the handler', async () => {
  const reset = card.method('Reset') ?? assert.fail('no Reset');
  given.length = 0;
  const bodies = [[], ['bus'], [5, {}], ['bus', []], ['bus', null], ['bus', {}, 1]];
  for (const body of bodies) {
    await assert.rejects(reset(view, body, caller), { code: 'invalid-argument' });
  }
  const long = 'ä'.repeat(stringLimit / 2 + 1);
  await assert.rejects(reset(view, [long, {}], caller), /"rung" is longer than 4096 bytes/);
  assert.deepEqual(given, []);
});
