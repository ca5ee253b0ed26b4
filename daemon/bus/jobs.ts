/** `org.revived1.Job`: work that takes longer than an answer should. */
import type { JobView, Service, StepRecord } from '../pipeline/service.ts';
import { type BoundInterface, bindInterface } from './members.ts';
import { cardPath } from './object-path.ts';
import { type Dict, fraction, text, textVariant, u32Variant, u64 } from './variant.ts';

/** The interface of jobs over a service. */
export function bindJob(service: Service): BoundInterface<JobView> {
  return bindInterface<'org.revived1.Job', JobView>(
    'org.revived1.Job',
    {
      Operation: (job) => job.operation,
      Subject: (job) => text(job.subject),
      Cards: (job) => job.cards.map(cardPath),
      State: (job) => job.state,
      Progress: (job) => fraction(job.progress),
      Started: (job) => u64(job.startedUsec),
      Finished: (job) => u64(job.finishedUsec),
      RequestedBy: (job) => text(job.requestedBy),
      Steps: (job) => job.steps.map(stepDict),
      Error: (job) => text(job.error),
    },
    {
      async Cancel(job) {
        service.cancel(job.id);
        return [];
      },
    },
  );
}

/** A job as one dict: its properties by their names, and `Id`. */
export function jobDict(bound: BoundInterface<JobView>, job: JobView): Dict {
  return { Id: u32Variant(job.id), ...bound.dict(job) };
}

function stepDict(step: StepRecord): Dict {
  return {
    Name: textVariant(step.name),
    State: textVariant(step.state),
    Ms: u32Variant(step.ms),
    Detail: textVariant(step.detail),
  };
}
