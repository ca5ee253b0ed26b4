/** `revivectl take CARD`: from the host's drivers to vfio-pci, for a guest that revived does not see starting. */
import { cardPathOf } from '../card.ts';
import { runJob } from '../follow.ts';
import { cardInterface } from '../tree.ts';
import type { Verb } from '../verb.ts';

export const take: Verb = {
  name: 'take',
  operands: 'CARD',
  arity: [1, 1],
  summary: 'take a card from the host, ready for a guest',
  details: ['A domain of libvirt needs no take: its start does that.'],
  options: {},
  run: (client, args, out) =>
    runJob(
      client,
      {
        path: cardPathOf(args.operands[0] ?? ''),
        interface: cardInterface,
        member: 'Take',
        signature: '',
        args: [],
      },
      out,
    ),
};
