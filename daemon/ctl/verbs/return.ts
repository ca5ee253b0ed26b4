/** `revivectl return CARD`: back to the host's drivers, reset on the way where it needs it. */
import { cardPathOf } from '../card.ts';
import { runJob } from '../follow.ts';
import { cardInterface } from '../tree.ts';
import type { Verb } from '../verb.ts';

export const giveBack: Verb = {
  name: 'return',
  operands: 'CARD',
  arity: [1, 1],
  summary: 'give a card back to the host',
  details: ['For a card that `take` took or that is stranded. A running domain keeps its card.'],
  options: {},
  run: (client, args, out) =>
    runJob(
      client,
      {
        path: cardPathOf(args.operands[0] ?? ''),
        interface: cardInterface,
        member: 'Return',
        signature: '',
        args: [],
      },
      out,
    ),
};
