/** `revivectl history`: the jobs that ended, newest first. */
import { columns } from '../columns.ts';
import { misused } from '../command.ts';
import { jobBrush } from '../job.ts';
import type { Paint } from '../paint.ts';
import { decodeJob, type Job } from '../shapes.ts';
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
  details: [],
  options: {
    limit: {
      type: 'string',
      short: 'n',
      value: 'N',
      about: `at most N jobs (1 to ${largestLimit}, else ${usualLimit})`,
    },
  },
  async run(client, args, out) {
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

function limitOf(typed: string | undefined): number {
  if (typed === undefined) return usualLimit;
  const limit = /^\d{1,4}$/.test(typed) ? Number(typed) : 0;
  if (limit >= 1 && limit <= largestLimit) return limit;
  throw misused(history, `The --limit is a number from 1 to ${largestLimit}, not '${typed}'`);
}
