/** `revivectl list`: the cards, and the domains that have or want one. */
import { cardCells, cardHeads, isShown } from '../card.ts';
import { columns } from '../columns.ts';
import type { Paint } from '../paint.ts';
import type { Card, Domain } from '../shapes.ts';
import { snapshotOf } from '../tree.ts';
import type { Verb } from '../verb.ts';

/** Two tables, of views made printable. */
function listLines(cards: readonly Card[], domains: readonly Domain[], paint: Paint): string[] {
  const heads = (words: readonly string[]) => words.map((text) => ({ text, brush: paint.dim }));
  return [
    ...(cards.length === 0
      ? ['no cards']
      : columns([heads(cardHeads), ...cards.map((card) => cardCells(card, paint))])),
    ...(domains.length === 0 ? [] : ['']),
    ...(domains.length === 0
      ? []
      : columns([
          heads(['DOMAIN', 'STATE', 'CARDS']),
          ...domains.map(({ name, state, cards: own }) => [name, state, own.join(', ')]),
        ])),
  ];
}

export const list: Verb = {
  name: 'list',
  operands: '',
  arity: [0, 0],
  summary: 'list cards, and domains with cards',
  details: ['Without --all: display and USB controller cards, and any card that is or was lent.'],
  options: { all: { type: 'boolean', about: 'every PCI card of the host, every domain' } },
  async run(client, args, out) {
    const snapshot = snapshotOf(await client.getManagedObjects(), out.text);
    const all = args.options['all'] === true;
    const cards = snapshot.cards.filter((card) => all || isShown(card));
    const domains = snapshot.domains.filter((domain) => all || domain.cards.length > 0);
    if (out.json) out.value({ cards, domains });
    else for (const line of listLines(cards, domains, out.paint)) out.line(line);
    return 0;
  },
};
