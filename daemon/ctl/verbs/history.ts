/** `revivectl history`: the jobs that ended, newest first, or what came of rungs. */
import type { Client } from '../client.ts';
import { columns } from '../columns.ts';
import { misused } from '../command.ts';
import { jobBrush } from '../job.ts';
import type { Out } from '../out.ts';
import { exportOf, matrixLines } from '../outcomes.ts';
import type { Paint } from '../paint.ts';
import { decodeJob, decodeOutcome, type Job } from '../shapes.ts';
import { dateText, durationText } from '../time.ts';
import { managerInterface, managerPath } from '../tree.ts';
import { optionOf, type Verb } from '../verb.ts';

const usualLimit = 20;
const largestLimit = 1000;

/** A table of jobs made printable, the error of one that failed below it. */
function historyLines(jobs: readonly Job[], paint: Paint): string[] {
  if (jobs.length === 0) return ['no job has ended yet'];
  const heads = ['JOB', 'STARTED', 'WHAT', 'OF', 'ENDED', 'AFTER', 'BY'];
  const [head = '', ...rows] = columns([
    heads.map((text) => ({ text, brush: paint.dim })),
    ...jobs.map((job) => [
      String(job.id),
      dateText(job.startedUsec),
      job.operation,
      job.subject,
      { text: job.state, brush: jobBrush(job.state, paint) },
      durationText(Math.max(job.finishedUsec - job.startedUsec, 0) / 1000),
      job.requestedBy,
    ]),
  ]);
  const below = jobs.map((job) => (job.error === '' ? [] : [`    ${job.error}`]));
  return [head, ...rows.flatMap((row, index) => [row, ...(below[index] ?? [])])];
}

export const history: Verb = {
  name: 'history',
  operands: '',
  arity: [0, 0],
  summary: 'list the jobs that ended, newest first',
  details: [
    '--rungs: which ways to reset a card worked here, on which kernel and with which driver, and how',
    'long they took (the median of the last ones). The ladder prefers what worked.',
    '--rungs --export: the same as JSON to give away: kinds of cards, kernels, drivers and counts,',
    'and nothing that tells which machine it is from.',
  ],
  options: {
    limit: {
      type: 'string',
      short: 'n',
      value: 'N',
      about: `at most N jobs (1 to ${largestLimit}, else ${usualLimit})`,
    },
    rungs: { type: 'boolean', about: 'what came of each way to reset a card' },
    export: { type: 'boolean', about: 'with --rungs: JSON to give away' },
  },
  async run(client, args, out) {
    const rungs = args.options['rungs'] === true;
    const gives = args.options['export'] === true;
    if (gives && !rungs) throw misused(history, 'The option --export goes with --rungs');
    if (rungs && args.options['limit'] !== undefined) {
      throw misused(history, 'The options --rungs and --limit do not go together');
    }
    if (rungs) return listOutcomes(client, out, gives);
    const [reply] = await client.callMethod({
      path: managerPath,
      interface: managerInterface,
      member: 'GetHistory',
      signature: 'u',
      args: [limitOf(optionOf(args, 'limit'))],
    });
    const jobs = Array.isArray(reply) ? reply.map((item) => decodeJob(null, item, out.text)) : [];
    if (out.json) out.value({ jobs });
    else for (const line of historyLines(jobs, out.paint)) out.line(line);
    return 0;
  },
};

async function listOutcomes(client: Client, out: Out, gives: boolean): Promise<number> {
  const [reply] = await client.callMethod({
    path: managerPath,
    interface: managerInterface,
    member: 'GetOutcomes',
    signature: '',
    args: [],
  });
  const outcomes = Array.isArray(reply) ? reply.map((item) => decodeOutcome(item, out.text)) : [];
  if (gives) out.value(exportOf(outcomes));
  else if (out.json) out.value({ outcomes });
  else for (const line of matrixLines(outcomes, out.paint)) out.line(line);
  return 0;
}

function limitOf(typed: string | undefined): number {
  if (typed === undefined) return usualLimit;
  const limit = /^\d{1,4}$/.test(typed) ? Number(typed) : 0;
  if (limit >= 1 && limit <= largestLimit) return limit;
  throw misused(history, `The --limit is a number from 1 to ${largestLimit}, not '${typed}'`);
}
