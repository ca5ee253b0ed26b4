/** `org.revived1.Manager`: the hook's door, dry runs, history and the way from a name to an object. */
import { asRevivedError, RevivedError } from '../errors.ts';
import { parseCardAddress } from '../pci/address.ts';
import type {
  Finding,
  ManagerView,
  OutcomeView,
  PlanView,
  QuarantineView,
  Service,
} from '../pipeline/service.ts';
import { printable } from '../printable.ts';
import { takeSpooled } from './hook-spool.ts';
import { bindJob, jobDict } from './jobs.ts';
import { type BoundInterface, bindInterface } from './members.ts';
import { cardPath, domainPath } from './object-path.ts';
import {
  type Dict,
  flagVariant,
  text,
  texts,
  textVariant,
  u32,
  u32Variant,
  u64,
  variant,
} from './variant.ts';

/** Steps in one answer of GetHistory: to marshal one takes 20 microseconds of the daemon's one thread. */
const historySteps = 4000;

/** The interface of the manager over a service; `spool` is the directory of spooled domain XML. */
export function bindManager(service: Service, spool: string): BoundInterface<ManagerView> {
  const job = bindJob(service);
  return bindInterface<'org.revived1.Manager', ManagerView>(
    'org.revived1.Manager',
    {
      Version: (manager) => text(manager.version),
      Libvirt: (manager) => manager.libvirt,
      LibvirtVersion: (manager) => text(manager.libvirtVersion),
      Iommu: (manager) => manager.iommu,
      RunningJobs: (manager) => u32(manager.runningJobs),
      HostAtRisk: (manager) => text(manager.hostAtRisk),
      Findings: (manager) => manager.findings.map(findingDict),
      Quarantine: (manager) => manager.quarantine.map(quarantineDict),
      RebootState: (manager) => text(manager.rebootState),
      RebootReason: (manager) => text(manager.rebootReason),
      RebootAt: (manager) => u64(manager.rebootAtUsec),
    },
    {
      async Hook(_manager, [operation, domain, extra, path]) {
        try {
          const xml = path === '' ? '' : await takeSpooled(spool, path);
          await service.hook({ operation, domain, extra, xml });
          return [];
        } catch (error) {
          throw forLibvirt(error);
        }
      },
      async Plan(_manager, [domain, operation]) {
        if (operation !== 'prepare' && operation !== 'return') {
          throw new RevivedError(
            'invalid-argument',
            'The operation must be "prepare" or "return".',
          );
        }
        const plan = await service.plan(domain, operation);
        return [text(plan.refusal ?? ''), texts(plan.notes), plan.steps.map(stepDict)];
      },
      async GetHistory(_manager, [limit]) {
        if (limit < 1 || limit > 1000) {
          throw new RevivedError('invalid-argument', 'The limit must be 1 to 1000.');
        }
        const jobs: Dict[] = [];
        let steps = 0;
        for (const view of await service.history(limit)) {
          steps += view.steps.length;
          if (steps > historySteps && jobs.length > 0) break;
          jobs.push(jobDict(job, view));
        }
        return [jobs];
      },
      async GetOutcomes() {
        return [service.outcomes().map(outcomeDict)];
      },
      async GetCard(_manager, [wanted]) {
        const address = parseCardAddress(wanted);
        if (address === undefined) throw noAddress();
        if (service.cards().some((card) => card.address === address)) return [cardPath(address)];
        throw new RevivedError(
          'not-found',
          `There is no card ${address}.`,
          '"revivectl list" shows what there is.',
        );
      },
      async GetDomain(_manager, [wanted]) {
        const domains = service.domains();
        const found =
          domains.find((domain) => domain.uuid === wanted.toLowerCase()) ??
          domains.find((domain) => domain.name === wanted);
        if (found !== undefined) return [domainPath(found.uuid)];
        throw new RevivedError(
          'not-found',
          'There is no such domain.',
          'Only domains with PCI devices are known here: "revivectl list" shows them.',
        );
      },
      async Reload() {
        await service.reload();
        return [];
      },
      async ClearQuarantine(_manager, [wanted, name]) {
        const card = wanted === '' ? null : parseCardAddress(wanted);
        if (card === undefined) throw noAddress();
        return [u32(await service.clearQuarantine(card, name === '' ? null : name))];
      },
      async ClearHostRisk() {
        return [await service.clearHostRisk()];
      },
      async ArmReboot(_manager, [domain], caller) {
        await service.armReboot(domain, `uid ${caller.uid}`);
        return [];
      },
      async RebootNow(_manager, _args, caller) {
        await service.rebootNow(`uid ${caller.uid}`);
        return [];
      },
      async CancelReboot(_manager, _args, caller) {
        await service.cancelReboot(`uid ${caller.uid}`);
        return [];
      },
    },
  );
}

function noAddress(): RevivedError {
  return new RevivedError(
    'invalid-argument',
    'That is no PCI address.',
    'Write it as 0000:0b:00.0 or 0b:00.0.',
  );
}

function findingDict(finding: Finding): Dict {
  return {
    Rule: textVariant(finding.rule),
    Severity: textVariant(finding.severity),
    Subject: textVariant(finding.subject),
    Message: textVariant(finding.message),
  };
}

function quarantineDict(entry: QuarantineView): Dict {
  return {
    Card: textVariant(entry.card),
    Kind: textVariant(entry.kind),
    Name: textVariant(entry.name),
    Kernel: textVariant(entry.kernel),
    Active: flagVariant(entry.active),
    Since: variant('t', u64(entry.sinceUsec)),
  };
}

function outcomeDict(outcome: OutcomeView): Dict {
  return {
    Card: textVariant(outcome.card),
    Id: textVariant(outcome.id),
    Family: textVariant(outcome.family),
    Rung: textVariant(outcome.rung),
    Kernel: textVariant(outcome.kernel),
    Driver: textVariant(outcome.driver),
    Tried: u32Variant(outcome.tried),
    Healed: u32Variant(outcome.healed),
    TriedHealthy: u32Variant(outcome.triedHealthy),
    KeptHealthy: u32Variant(outcome.keptHealthy),
    MedianMs: u32Variant(outcome.medianMs),
    Last: variant('t', u64(outcome.lastUsec)),
  };
}

function stepDict(step: PlanView['steps'][number]): Dict {
  return {
    Name: textVariant(step.name),
    Card: textVariant(step.card),
    Detail: textVariant(step.detail),
    Undo: textVariant(step.undo),
    ExpectedMs: u32Variant(step.expectedMs),
  };
}

// libvirt shows a hook's last words to the user among its own: they must say who speaks, on one line, and the name of a
// domain in them must not act on the terminal.
function forLibvirt(thrown: unknown): RevivedError {
  const { code, message, advice } = asRevivedError(thrown);
  const said = message.startsWith('revived: ') ? message : `revived: ${message}`;
  return new RevivedError(code, printable(said), advice && printable(advice), { cause: thrown });
}
