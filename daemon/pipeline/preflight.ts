/**
 * Before a start: what doctor says of it and what the plan says. Refused is what cannot be done and what would harm the host,
 * in doctor's own words where it has some; everything else is a note, and what could not be read refuses nothing.
 */
import type { Finding } from '../doctor/finding.ts';
import type { Preflight } from '../doctor/preflight.ts';
import { asRevivedError, RevivedError } from '../errors.ts';
import type { Host } from '../host/host.ts';
import { type PreparePlan, type PrepareRequest, planPrepare } from './plan.ts';

export interface StartPlan extends PreparePlan {
  readonly findings: readonly Finding[];
}

const silent: Preflight = { findings: [], harmful: [], doomed: [] };

/** The plan for the start of the domain in `xml`; `ask` reads what there is, once. Rejects with the refusal. */
export async function planStart(
  host: Pick<Host, 'paths' | 'log'>,
  xml: string,
  ask: () => PrepareRequest,
): Promise<StartPlan> {
  // Loaded with the first start: the daemon need not pay for the rules when it starts.
  const { preflight } = await import('../doctor/preflight.ts');
  const request = ask();
  const said = judge();
  const plan = planOrRefuse(request, said);
  const [harm] = said.harmful;
  if (harm !== undefined) throw refusalOf(harm);
  return { ...plan, findings: said.findings };

  function judge(): Preflight {
    const { requested, inventory, leases } = request;
    if (requested.length === 0) return silent;
    const inHand = leases.flatMap(({ home }) => home.functions.map(({ address }) => address));
    try {
      return preflight(host.paths, xml, inventory, new Set(inHand));
    } catch (thrown) {
      const why = asRevivedError(thrown).message;
      host.log.warn({ why }, 'Doctor could not judge the start, going on without');
      return silent;
    }
  }
}

function planOrRefuse(request: PrepareRequest, said: Preflight): PreparePlan {
  try {
    return planPrepare(request);
  } catch (thrown) {
    const [reason] = [...said.harmful, ...said.doomed];
    const refused = asRevivedError(thrown).code === 'refused';
    throw refused && reason !== undefined ? refusalOf(reason, thrown) : thrown;
  }
}

function refusalOf({ message }: Finding, cause?: unknown): RevivedError {
  return new RevivedError('refused', message.en, undefined, { cause });
}

/** A finding as a note of a plan: `[boot-vga, warning] ...`. */
export function noteOf({ rule, severity, message }: Finding): string {
  return `[${rule}, ${severity}] ${message.en}`;
}
