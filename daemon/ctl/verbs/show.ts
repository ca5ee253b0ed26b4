/** `revivectl show CARD|DOMAIN`: everything about one of them. */
import { RevivedError } from '../../errors.ts';
import { parseCardAddress, pathElement } from '../../pci/address.ts';
import { cardCells, cardLines } from '../card.ts';
import type { Client } from '../client.ts';
import { columns } from '../columns.ts';
import type { Paint } from '../paint.ts';
import { type Card, cardPrefix, type Domain } from '../shapes.ts';
import { managerInterface, managerPath, type Objects, snapshotOf } from '../tree.ts';
import type { Verb } from '../verb.ts';

/** A domain and its cards, of views made printable. */
function domainLines(domain: Domain, cards: readonly Card[], paint: Paint): string[] {
  const own = cards.filter(({ address }) => domain.cards.includes(address));
  return [
    paint.bold(domain.name),
    ...columns(
      [
        ['UUID', domain.uuid],
        ['State', domain.state],
      ],
      '  ',
    ),
    '',
    ...(own.length === 0
      ? ['no cards']
      : [
          paint.bold('Cards'),
          ...columns(
            own.map((card) => cardCells(card, paint)),
            '  ',
          ),
        ]),
  ];
}

export const show: Verb = {
  name: 'show',
  operands: 'CARD|DOMAIN',
  arity: [1, 1],
  summary: 'show everything about a card or a domain',
  details: [
    'Of a card: its functions with driver and IOMMU group, its health with the evidence, who has',
    'it, and the ladder: each way to reset it on this host, or why that way is left out.',
  ],
  options: {},
  async run(client, args, out) {
    const [typed = ''] = args.operands;
    const objects = await client.getManagedObjects();
    const path = await pathOf(client, objects, typed);
    const { cards } = snapshotOf(objects, out.text);
    const only = snapshotOf(Object.fromEntries(entriesOf(objects, path)), out.text);
    const [card] = only.cards;
    const [domain] = only.domains;
    if (card !== undefined) {
      if (out.json) out.value(card);
      else for (const line of cardLines(card, out.paint)) out.line(line);
    } else if (domain !== undefined) {
      if (out.json) out.value(domain);
      else for (const line of domainLines(domain, cards, out.paint)) out.line(line);
    } else {
      throw new RevivedError('not-found', `It went away just now: ${typed}.`);
    }
    return 0;
  },
};

// An address is a card; a domain may be called like one, so the daemon is asked for a domain where there is no such card.
async function pathOf(client: Client, objects: Objects, typed: string): Promise<string> {
  const address = parseCardAddress(typed);
  const cardPath = address === undefined ? undefined : cardPrefix + pathElement(address);
  if (cardPath !== undefined && objects[cardPath] !== undefined) return cardPath;
  const call = { path: managerPath, interface: managerInterface, signature: 's' } as const;
  const [domain] = await client
    .callMethod({ ...call, member: 'GetDomain', args: [typed] })
    .catch((error: unknown) => {
      if (address === undefined || !(error instanceof RevivedError)) throw error;
      if (error.code !== 'not-found') throw error;
      const message = `There is no card ${address} here.`;
      throw new RevivedError('not-found', message, 'revivectl list --all shows what there is.');
    });
  return typeof domain === 'string' ? domain : '';
}

function entriesOf(objects: Objects, path: string): [string, Objects[string]][] {
  const found = objects[path];
  return found === undefined ? [] : [[path, found]];
}
