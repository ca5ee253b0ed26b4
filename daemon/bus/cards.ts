/** `org.revived1.Card`: a card as people and tools see it, and what they can ask of it. */
import { RevivedError } from '../errors.ts';
import type { CardView, FunctionView, RungView, Service } from '../pipeline/service.ts';
import { type BoundInterface, bindInterface, type Caller } from './members.ts';
import { jobPath } from './object-path.ts';
import {
  type Dict,
  flagVariant,
  text,
  texts,
  textVariant,
  u32Variant,
  u64,
  variant,
} from './variant.ts';

/** The interface of cards over a service. */
export function bindCard(service: Service): BoundInterface<CardView> {
  return bindInterface<'org.revived1.Card', CardView>(
    'org.revived1.Card',
    {
      Address: (card) => card.address,
      Name: (card) => text(card.name),
      Family: (card) => text(card.family),
      Functions: (card) => card.functions.map(functionDict),
      Groups: (card) => texts(card.groups),
      Ports: (card) => texts(card.ports),
      BootVga: (card) => card.bootVga,
      Interesting: (card) => card.interesting,
      State: (card) => card.state,
      Health: (card) => card.health.state,
      HealthEvidence: (card) => texts(card.health.evidence),
      Domain: (card) => text(card.domain ?? ''),
      LeasedSince: (card) => u64(card.leasedSince),
      Ladder: (card) => card.ladder.map(rungDict),
      Job: (card) => (card.job === null ? '/' : jobPath(card.job)),
    },
    {
      async Reset(card, [rung], caller) {
        return [jobPath(service.reset(card.address, rungName(rung), requester(caller)))];
      },
      async Take(card, _args, caller) {
        return [jobPath(service.take(card.address, requester(caller)))];
      },
      async Return(card, _args, caller) {
        return [jobPath(service.giveBack(card.address, requester(caller)))];
      },
      async Check(card) {
        const health = await service.check(card.address);
        return [health.state, texts(health.evidence)];
      },
    },
  );
}

function functionDict(fn: FunctionView): Dict {
  return {
    Address: textVariant(fn.address),
    Id: textVariant(fn.id),
    Class: textVariant(fn.classCode),
    Driver: textVariant(fn.driver ?? ''),
    Group: textVariant(fn.group ?? ''),
  };
}

function rungDict(rung: RungView): Dict {
  return {
    Rung: textVariant(rung.rung),
    Available: flagVariant(rung.available),
    Reason: textVariant(rung.reason),
    ExpectedMs: u32Variant(rung.expectedMs),
    WorstMs: u32Variant(rung.worstMs),
    Reaches: variant('as', texts(rung.reaches)),
  };
}

// Empty asks for the whole ladder. Which rungs there are is for the pipeline to say.
function rungName(rung: string): string | null {
  if (rung === '') return null;
  if (/^[a-z0-9_-]{1,32}$/.test(rung)) return rung;
  throw new RevivedError(
    'invalid-argument',
    'That is no name of a rung.',
    'The property Ladder of the card lists them; an empty name asks for the whole ladder.',
  );
}

function requester(caller: Caller): string {
  return `uid ${caller.uid}`;
}
