/** `revivectl reset CARD`: resets a card by its ladder, or by one rung of it. */
import { RevivedError } from '../../errors.ts';
import { cardPathOf, hazardsOf } from '../card.ts';
import type { Client } from '../client.ts';
import { runJob } from '../follow.ts';
import type { Out } from '../out.ts';
import { decodeCard } from '../shapes.ts';
import { cardInterface } from '../tree.ts';
import { optionOf, type Verb } from '../verb.ts';

export const reset: Verb = {
  name: 'reset',
  operands: 'CARD',
  arity: [1, 1],
  summary: 'reset a card until it is healthy, and follow that',
  details: [
    'Climbs the ladder that revivectl show CARD shows, up to the first rung that makes it healthy.',
    'On a terminal it asks before a rung that reaches other devices, removes the card from the bus',
    'or takes its power; --yes answers. Ctrl-C asks the job to cancel.',
  ],
  options: { rung: { type: 'string', value: 'RUNG', about: 'use this rung and no other' } },
  async run(client, args, out) {
    const path = cardPathOf(args.operands[0] ?? '');
    const rung = optionOf(args, 'rung') ?? '';
    if (!(await agreed(client, path, rung, out))) {
      out.warn('Nothing was done.');
      return 1;
    }
    return runJob(
      client,
      { path, interface: cardInterface, member: 'Reset', signature: 's', args: [rung] },
      out,
    );
  },
};

async function agreed(client: Client, path: string, rung: string, out: Out): Promise<boolean> {
  if (out.yes || out.confirm === null) return true;
  const properties = await client.getProperties(path, cardInterface);
  const card = decodeCard(path, properties, out.text);
  if (rung !== '' && !card.ladder.some((one) => one.rung === rung)) {
    const known = card.ladder.map((one) => one.rung).join(', ') || 'none';
    throw new RevivedError(
      'not-found',
      `Card ${card.address} has no rung '${rung}'.`,
      `It has: ${known}.`,
    );
  }
  const hazards = hazardsOf(card, rung === '' ? null : rung);
  if (hazards.length === 0) return true;
  out.line(`${out.paint.bold(card.address)}  ${card.name}`);
  for (const hazard of hazards) out.line(`  ${out.paint.yellow(hazard)}`);
  const question =
    rung === '' ? 'Reset it, with these too where the gentler rungs fail?' : 'Reset it?';
  return out.confirm(question);
}
