import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Lease, openLeases } from '../../../daemon/pipeline/lease.ts';
import { freshDirectory } from '../fresh-directory.ts';
import { card, fn } from '../inventory-of.ts';

const fresh = freshDirectory('lease');
const lease: Lease = {
  card: card('0000:01:00'),
  domain: 'a "name"\nwith $(everything)',
  uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f',
  since: 1,
  state: 'lent',
  boundBy: 'revived',
  reason: '',
  home: {
    functions: [
      {
        address: fn('0000:01:00.0'),
        id: '1234:1111',
        classCode: '038000',
        group: '11',
        driver: 'bochs-drm',
        override: '',
      },
    ],
    ports: [fn('0000:00:04.0')],
    power: [{ device: fn('0000:01:00.0'), attribute: 'power/control', value: 'auto' }],
  },
};

const file = () => join(mkdtempSync(join(fresh.path, 'one-')), 'leases.json');

test('what is set is there after a restart, and what is dropped is not', async () => {
  const path = file();
  const book = await openLeases(path, assert.fail);
  await book.set(lease);
  assert.deepEqual((await openLeases(path, assert.fail)).all(), [lease]);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await book.drop(lease.card);
  assert.deepEqual((await openLeases(path, assert.fail)).all(), []);
});

test('many changes at once end in the last one', async () => {
  const path = file();
  const book = await openLeases(path, assert.fail);
  await Promise.all(Array.from({ length: 50 }, (_, n) => book.set({ ...lease, since: n })));
  assert.equal(JSON.parse(readFileSync(path, 'utf8')).leases[0].since, 49);
});

const bad: readonly (readonly [string, unknown])[] = [
  [
    'a driver that is a path',
    {
      ...lease,
      home: { ...lease.home, functions: [{ ...lease.home.functions[0], driver: '../../../etc' }] },
    },
  ],
  [
    'an override with a newline',
    {
      ...lease,
      home: { ...lease.home, functions: [{ ...lease.home.functions[0], override: 'a\nb' }] },
    },
  ],
  ['a card that is a path', { ...lease, card: '../..' }],
  ['an unknown state', { ...lease, state: 'gone' }],
  [
    'power under a path',
    {
      ...lease,
      home: { ...lease.home, power: [{ ...lease.home.power[0], under: '../vfio' }] },
    },
  ],
  [
    'a power file of its own choice',
    {
      ...lease,
      home: { ...lease.home, power: [{ device: '0000:01:00.0', attribute: 'remove', value: '1' }] },
    },
  ],
  ['no home', { ...lease, home: null }],
];

for (const [name, entry] of bad) {
  test(`${name} is left out and reported, the rest is kept`, async () => {
    const path = file();
    writeFileSync(
      path,
      JSON.stringify({ version: 1, leases: [entry, { ...lease, card: '0000:02:00' }] }),
    );
    const said: string[] = [];
    const book = await openLeases(path, (why) => said.push(why));
    assert.deepEqual(
      book.all().map((one) => one.card),
      ['0000:02:00'],
    );
    assert.equal(said.length, 1);
  });
}

test('a file that is torn, of zeros, or of another version counts as none, and that is said', async () => {
  for (const text of [
    '{"version":1,"leases":[{',
    '\0\0\0\0',
    '{"version":2,"leases":[]}',
    '[]',
    'null',
  ]) {
    const path = file();
    writeFileSync(path, text);
    const said: string[] = [];
    assert.deepEqual((await openLeases(path, (why) => said.push(why))).all(), [], text);
    assert.equal(said.length, 1, text);
  }
});
