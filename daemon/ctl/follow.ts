/** Starts a job of the daemon and follows it to its end, step by step. */
import { asRevivedError, RevivedError, sentence } from '../errors.ts';
import type { Call, Client } from './client.ts';
import {
  isRunning,
  jobBrush,
  jobTitle,
  newSteps,
  outcomeText,
  progressText,
  stepLine,
} from './job.ts';
import type { Out } from './out.ts';
import { decodeJob, type Job, jobOfPath } from './shapes.ts';
import { jobInterface } from './tree.ts';
import { createWakeup } from './wakeup.ts';

// A signal that got lost, or a daemon that hangs, is found out by asking anew after this time.
const askAnewMs = 30_000;

/**
 * Calls a method that answers with a job and follows that job. Ctrl-C asks the job to cancel, a second one stops following.
 * Resolves to the exit code: 0 done, 1 not. Rejects where the daemon refuses the call or goes away.
 */
export async function runJob(client: Client, call: Call, out: Out): Promise<number> {
  const wakeup = createWakeup();
  let path: string | null = null;
  let lost = false;
  let interrupts = 0;
  // The state is read at every ring and not put together from signals: none can be missed or come out of order.
  await client.subscribe((event) => {
    if (event.kind === 'bus-lost' || (event.kind === 'daemon' && !event.present)) lost = true;
    if (event.kind !== 'signal' || event.path === path) wakeup.ring();
  });
  const [answer] = await client.callMethod(call);
  const id = jobOfPath(answer);
  if (typeof answer !== 'string' || id === null) {
    throw new RevivedError(
      'failed',
      'No job was started, and no error given: revived may be of another version.',
    );
  }
  path = answer;
  const jobPath = answer;
  const restore = out.onInterrupt(() => {
    interrupts += 1;
    if (interrupts === 1) cancel(client, jobPath, out);
    wakeup.ring();
  });
  try {
    let before: Job | null = null;
    for (;;) {
      if (lost) throw gone(id);
      const properties = await client.getProperties(jobPath, jobInterface);
      const job = decodeJob(jobPath, properties, out.text);
      if (!out.json) show(before, job, out);
      if (!isRunning(job)) return conclude(job, out);
      if (interrupts > 1) {
        out.warn(`The ${jobTitle(job)}, goes on; see revivectl status.`);
        return 1;
      }
      before = job;
      await wakeup.wait(askAnewMs);
    }
  } finally {
    out.live('');
    restore();
  }
}

function show(before: Job | null, job: Job, out: Out): void {
  if (before === null) out.line(out.paint.bold(jobTitle(job)));
  for (const step of newSteps(before, job)) out.line(stepLine(step, out.paint));
  out.live(isRunning(job) ? progressText(job) : '');
}

function conclude(job: Job, out: Out): number {
  if (out.json) out.value(job);
  else if (job.state === 'done') out.line(jobBrush(job.state, out.paint)(outcomeText(job)));
  if (job.state === 'done') return 0;
  out.warn(outcomeText(job));
  return 1;
}

function cancel(client: Client, path: string, out: Out): void {
  out.warn('Asking the job to cancel; Ctrl-C again leaves it alone.');
  client
    .callMethod({ path, interface: jobInterface, member: 'Cancel', signature: '', args: [] })
    .catch((error: unknown) =>
      out.warn(`It was not cancelled: ${sentence(asRevivedError(error))}`),
    );
}

function gone(id: number): RevivedError {
  return new RevivedError(
    'unreachable',
    `The daemon went away during job ${id}.`,
    'When it is back it completes or undoes what was begun; see revivectl status and systemctl status revived.',
  );
}
