/** A card as people read it: one line, or everything. Pure; views come in with their text made printable. */
import { RevivedError } from '../errors.ts';
import { parseCardAddress, pathElement } from '../pci/address.ts';
import { type Cell, columns } from './columns.ts';
import type { Brush, Paint } from './paint.ts';
import { cut } from './printable.ts';
import { type Card, cardPrefix, type Rung } from './shapes.ts';
import { dateText, durationText } from './time.ts';

/** The object path of a card that somebody typed (`0b:00`, `0000:0B:00.0`). Throws `invalid-argument` where it is no address. */
export function cardPathOf(typed: string): string {
  const address = parseCardAddress(typed);
  if (address !== undefined) return cardPrefix + pathElement(address);
  throw new RevivedError(
    'invalid-argument',
    `'${typed}' is no PCI address.`,
    'Write it as 0b:00, 0000:0b:00 or 0000:0b:00.0; revivectl list shows the cards.',
  );
}

/** True for the cards that status and list show without being asked for all. */
export function isShown(card: Card): boolean {
  return (
    card.interesting ||
    card.state !== 'home' ||
    card.job !== null ||
    ['suspect', 'wedged', 'lost'].includes(card.health.state)
  );
}

/** The cells of a card in a table: address, name, state, domain, health. */
export function cardCells(card: Card, paint: Paint): Cell[] {
  return [
    { text: card.address, brush: paint.bold },
    cut(card.name, 44),
    { text: card.state, brush: stateBrush(card.state, paint) },
    card.domain ?? '-',
    { text: card.health.state, brush: healthBrush(card.health.state, paint) },
  ];
}

export const cardHeads: readonly string[] = ['CARD', 'NAME', 'STATE', 'DOMAIN', 'HEALTH'];

/** What to do about a card now, null where there is nothing to do. */
export function nextStep(card: Card): string | null {
  if (card.job !== null) return `job ${card.job} is at it: revivectl monitor`;
  const ill = ['suspect', 'wedged', 'lost'].includes(card.health.state);
  if (ill && card.state === 'lent') {
    return `shut down ${card.domain ?? 'the domain that has it'}; the card is reset as it comes back`;
  }
  if (ill && !card.ladder.some((rung) => rung.available)) {
    return `no rung is left on this host; revivectl show ${card.address} says why. Restarting the host revives most cards`;
  }
  if (ill) return `revivectl reset ${card.address}`;
  return card.state === 'stranded' ? `revivectl return ${card.address}` : null;
}

/** Everything about a card, line by line. */
export function cardLines(card: Card, paint: Paint): string[] {
  const next = nextStep(card);
  const rows: Cell[][] = [
    ...(card.family === '' ? [] : [['Family', card.family]]),
    ['State', stateCell(card, paint)],
    ['Health', { text: card.health.state, brush: healthBrush(card.health.state, paint) }],
    ...card.health.evidence.map((line) => ['', line]),
    ...(next === null ? [] : [['Next', { text: next, brush: paint.bold }]]),
    ['Groups', card.groups.join(', ') || 'none'],
    ['Behind', card.ports.join(', ') || 'no port'],
    ...(card.bootVga ? [['Boot VGA', 'yes: the firmware drew on it']] : []),
  ];
  return [
    `${paint.bold(card.address)}  ${card.name}`,
    ...columns(rows, '  '),
    '',
    paint.bold('Functions'),
    ...columns(
      card.functions.map(({ address, id, classCode, driver, group }) => [
        address,
        id,
        className(classCode),
        driver ?? 'no driver',
        group === null ? 'no group' : `group ${group}`,
      ]),
      '  ',
    ),
    '',
    paint.bold('Ladder'),
    ...ladderLines(card, paint),
  ];
}

/** Functions that a rung reaches and that are not the card's own. */
function foreignReach(card: Card, rung: Rung): string[] {
  const own = new Set(card.functions.map(({ address }) => address));
  return rung.reaches.filter((address) => !own.has(address));
}

/** Rungs that take more than the card: the device node goes away, the slot or the whole host loses power. */
const drastic: ReadonlySet<string> = new Set([
  'remove-rescan',
  'slot-power',
  'd3cold',
  'suspend',
  'reboot-host',
]);

/**
 * What a person should know before a reset, a line for each rung that reaches foreign functions or is drastic. `rung`: the only
 * one that would be used, null for the ladder. Empty: nothing to ask.
 */
export function hazardsOf(card: Card, rung: string | null): string[] {
  const meant = card.ladder.filter((one) => one.available && (rung === null || one.rung === rung));
  return meant.flatMap((one) => {
    const foreign = foreignReach(card, one);
    if (foreign.length > 0) return [`${one.rung} also resets ${foreign.join(', ')}`];
    return drastic.has(one.rung)
      ? [`${one.rung}: ${one.reason || 'takes more than the card'}`]
      : [];
  });
}

/** The brush of a health state. */
export function healthBrush(state: string, paint: Paint): Brush {
  if (state === 'healthy') return paint.green;
  if (state === 'suspect') return paint.yellow;
  return state === 'wedged' || state === 'lost' ? paint.red : paint.dim;
}

/** The ladder of a card: rungs in their order with time and reach, and those that are left out with the reason. */
export function ladderLines(card: Card, paint: Paint): string[] {
  if (card.ladder.length === 0) return ['  none: revived knows no way to reset this card'];
  let position = 0;
  return card.ladder.flatMap((rung) => {
    if (!rung.available) return [paint.dim(`   -  ${rung.rung}: left out: ${rung.reason}`)];
    position += 1;
    const cost = `${durationText(rung.expectedMs)}, at most ${durationText(rung.worstMs)}`;
    const foreign = foreignReach(card, rung);
    return [
      `  ${String(position).padStart(2)}  ${paint.bold(rung.rung)}: ${cost}`,
      ...(rung.reason === '' ? [] : [`      ${rung.reason}`]),
      ...(foreign.length === 0 ? [] : [paint.yellow(`      also resets ${foreign.join(', ')}`)]),
    ];
  });
}

function stateCell(card: Card, paint: Paint): Cell {
  const since = card.leasedSince === 0 ? '' : ` since ${dateText(card.leasedSince)}`;
  const where = card.domain === null ? '' : ` (${card.domain}${since})`;
  return { text: card.state + where, brush: stateBrush(card.state, paint) };
}

function stateBrush(state: string, paint: Paint): Brush {
  if (state === 'stranded') return paint.red;
  return ['taking', 'returning', 'resetting'].includes(state) ? paint.yellow : (text) => text;
}

// PCI class codes, https://pci-ids.ucw.cz (list of classes): those that cards for guests are made of.
const classNames: Readonly<Record<string, string>> = {
  '0108': 'NVMe',
  '0200': 'Ethernet',
  '0300': 'VGA',
  '0302': '3D',
  '0380': 'display',
  '0403': 'audio',
  '0604': 'bridge',
  '0c03': 'USB',
  '0c80': 'serial bus',
  '1200': 'accelerator',
};

function className(code: string): string {
  return classNames[code.slice(0, 4)] ?? `class ${code}`;
}
