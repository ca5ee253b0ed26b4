import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  cardLines,
  cardPathOf,
  hazardsOf,
  healthBrush,
  isShown,
  nextStep,
} from '../../../daemon/ctl/card.ts';
import { createPaint } from '../../../daemon/ctl/paint.ts';
import { printable } from '../../../daemon/ctl/printable.ts';
import { type Card, decodeCard } from '../../../daemon/ctl/shapes.ts';
import { RevivedError } from '../../../daemon/errors.ts';
import { dullCard, illCard, illPath, lentCard, lentPath } from './recorded.ts';

const paint = createPaint(false);
const cardOf = (path: string, properties: object): Card => decodeCard(path, properties, printable);
const ill = cardOf(illPath, illCard);
const lent = cardOf(lentPath, lentCard);

test('a card is found by all spellings of its address', () => {
  for (const typed of ['0b:00', '0000:0b:00', '0000:0b:00.0', '0B:00', '0b:00.1']) {
    assert.equal(cardPathOf(typed), '/org/revived/cards/0000_0b_00');
  }
  for (const typed of ['win10', '0b:00.9', '0b', '../x', '']) {
    assert.throws(
      () => cardPathOf(typed),
      (error) => error instanceof RevivedError && error.code === 'invalid-argument',
    );
  }
});

test('what is shown without asking: interesting cards, and those that something is the matter with', () => {
  const dull = cardOf('/x', dullCard);
  assert.equal(isShown(dull), false);
  assert.equal(isShown(lent), true);
  assert.equal(isShown({ ...dull, interesting: true }), true);
  assert.equal(isShown({ ...dull, health: { state: 'suspect', evidence: [] } }), true);
  assert.equal(isShown({ ...dull, state: 'taking' }), true);
  assert.equal(isShown({ ...dull, job: 1 }), true);
});

test('the next step', () => {
  const noRung = { ...ill, ladder: ill.ladder.filter(({ available }) => !available) };
  assert.equal(nextStep(lent), null);
  assert.equal(nextStep(ill), 'revivectl reset 0000:01:00');
  assert.match(nextStep(noRung) ?? '', /^no rung is left .* revivectl show 0000:01:00 says why/);
  assert.equal(nextStep({ ...ill, job: 9 }), 'job 9 is at it: revivectl monitor');
  assert.match(nextStep({ ...ill, state: 'lent', domain: 'vm' }) ?? '', /^shut down vm; /);
  const well = { ...ill, health: { state: 'healthy', evidence: [] } };
  assert.equal(nextStep(well), 'revivectl return 0000:01:00');
  assert.equal(nextStep(cardOf('/x', dullCard)), null);
});

test('everything about a card', () => {
  assert.deepEqual(cardLines(ill, paint), [
    '0000:01:00  TU104',
    '  Family    NVIDIA Turing (medium confidence)',
    '  State     stranded',
    '  Health    wedged',
    '            0000:01:00.0: vendor reads as ffff',
    '            D3 and stays there',
    '  Next      revivectl reset 0000:01:00',
    '  Groups    27, 28',
    '  Behind    0000:0a:00.0, 0000:00:03.1',
    '  Boot VGA  yes: the firmware drew on it',
    '',
    'Functions',
    '  0000:01:00.0  10de:1e87  VGA  no driver  group 13',
    '',
    'Ladder',
    '   -  flr: left out: the card has none',
    '   1  bus: 1.2 s, at most 1 min 5 s',
    '      secondary bus reset',
    '      also resets 0000:01:00.1',
    '   2  remove-rescan: 3.0 s, at most 1 min 30 s',
    '      takes it off the bus',
  ]);
});

test('a lent card says whose it is, and a card without rungs that there are none', () => {
  const lines = cardLines(lent, paint).join('\n');
  assert.match(lines, /State {3}lent \(win10 since 20\d\d-/);
  assert.match(lines, /0000:0b:00\.1 {2}1002:ab38 {2}audio {2}no driver {2}no group/);
  assert.match(lines, /none: revived knows no way to reset this card$/);
  assert.doesNotMatch(lines, /Boot VGA|Next/);
});

test('what to ask before a reset: foreign functions and drastic rungs, of what would be used', () => {
  const foreign = 'bus also resets 0000:01:00.1';
  const drastic = 'remove-rescan: takes it off the bus';
  assert.deepEqual(hazardsOf(ill, null), [foreign, drastic]);
  assert.deepEqual(hazardsOf(ill, 'remove-rescan'), [drastic]);
  assert.deepEqual(hazardsOf(ill, 'flr'), []);
  const shut = ill.ladder.map((rung) => ({ ...rung, available: false }));
  assert.deepEqual(hazardsOf({ ...ill, ladder: shut }, null), []);
  const [flr] = ill.ladder;
  assert.ok(flr !== undefined);
  const gentle = { ...flr, available: true, reaches: ['0000:01:00.0'] };
  assert.deepEqual(hazardsOf({ ...ill, ladder: [gentle] }, null), []);
});

test('health has its colour', () => {
  const shown = ['healthy', 'suspect', 'wedged', 'lost', 'unknown'].map((state) =>
    healthBrush(state, createPaint(true))('x'),
  );
  assert.deepEqual(
    shown.map((text) => text.slice(2, 4)),
    ['32', '33', '31', '31', '2m'],
  );
});
