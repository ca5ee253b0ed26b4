/** `revivectl plan DOMAIN`: what revived would do, without doing it. */
import { exitCodeOf } from '../../errors.ts';
import { ladderLines } from '../card.ts';
import { misused } from '../command.ts';
import type { Paint } from '../paint.ts';
import { type Card, decodePlan, type Plan } from '../shapes.ts';
import { durationText } from '../time.ts';
import { managerInterface, managerPath, snapshotOf } from '../tree.ts';
import { optionOf, type Verb } from '../verb.ts';

/** The numbered steps of a plan made printable, and the ladders of its cards; a refusal comes first. */
function planLines(view: Plan, cards: readonly Card[], paint: Paint): string[] {
  const total = view.steps.reduce((sum, { expectedMs }) => sum + expectedMs, 0);
  const number = (index: number) => String(index + 1).padStart(3);
  const of = view.operation === 'return' ? 'taking the cards of' : 'handing cards to';
  return [
    `${paint.bold(`${of} ${view.domain}`)}: ${count(view.steps.length)}, about ${durationText(total)}`,
    ...(view.refusal === null ? [] : [paint.red(`refused: ${view.refusal}`)]),
    ...view.steps.flatMap((step, index) => [
      `${number(index)}. ${step.name}${step.detail === '' ? '' : `: ${step.detail}`} (${durationText(step.expectedMs)})`,
      ...(step.undo === '' ? [] : [paint.dim(`     undo: ${step.undo}`)]),
    ]),
    ...view.notes.map((note) => paint.yellow(`note: ${note}`)),
    ...cards.flatMap((card) => [
      '',
      paint.bold(`Ladder of ${card.address}${card.family === '' ? '' : `: ${card.family}`}`),
      ...ladderLines(card, paint),
    ]),
  ];
}

export const plan: Verb = {
  name: 'plan',
  operands: 'DOMAIN',
  arity: [1, 1],
  summary: 'say what would be done for a domain, and do nothing',
  details: [
    'Each step with its time and its undo, and for each card its ladder: the rungs that would be',
    'tried on it if it were dead, and why the others are left out.',
    'Exits with 4 where the plan would be refused; the reason is printed.',
  ],
  options: {
    op: {
      type: 'string',
      value: 'prepare|return',
      about: 'for the start of the domain (prepare, the default) or for its end',
    },
  },
  async run(client, args, out) {
    const [domain = ''] = args.operands;
    const operation = optionOf(args, 'op') ?? 'prepare';
    if (operation !== 'prepare' && operation !== 'return') {
      throw misused(plan, `The --op is prepare or return, not '${operation}'`);
    }
    const reply = await client.callMethod({
      path: managerPath,
      interface: managerInterface,
      member: 'Plan',
      signature: 'ss',
      args: [domain, operation],
    });
    const view = decodePlan(domain, operation, reply, out.text);
    const involved = new Set(view.steps.map((step) => step.card));
    const { cards } =
      involved.size === 0 ? { cards: [] } : snapshotOf(await client.getManagedObjects(), out.text);
    const own = cards.filter((card) => involved.has(card.address));
    const ladders = own.map(({ address, family, ladder }) => ({ card: address, family, ladder }));
    if (out.json) out.value({ ...view, ladders });
    else for (const line of planLines(view, own, out.paint)) out.line(line);
    return view.refusal === null ? 0 : exitCodeOf('refused');
  },
};

function count(steps: number): string {
  return steps === 1 ? '1 step' : `${steps} steps`;
}
