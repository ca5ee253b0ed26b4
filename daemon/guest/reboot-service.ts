/** The service of the front doors: the pipeline, with what is known of drivers in guests and of reboots of the host. */
import { RevivedError } from '../errors.ts';
import type { Change, Pipeline, Service } from '../pipeline/service.ts';
import type { Reboot } from './reboot.ts';
import { domainWord, reasonText, rebootFindings, rebootWord, resumedWord } from './reboot-words.ts';
import type { ResumeBook } from './resume-book.ts';

/** The display driver that was last seen on a card in a guest. */
export interface SeenDriver {
  readonly uuid: string;
  readonly version: string;
}

/** Adds host reboots to the pipeline. `subscribe` tells of their changes. */
export function withReboot(
  pipeline: Pipeline,
  reboot: Reboot,
  book: ResumeBook,
  versions: () => readonly SeenDriver[],
  subscribe: (listener: () => void) => () => void,
): Service {
  return {
    ...pipeline,
    manager() {
      const manager = pipeline.manager();
      const state = reboot.state();
      return {
        ...manager,
        findings: [...manager.findings, ...rebootFindings(state, book.entries())],
        rebootState: rebootWord(state) || (book.entries().length > 0 ? 'resumed' : ''),
        rebootReason: reasonText(state),
        rebootAtUsec: state.phase === 'grace' ? state.until * 1000 : 0,
      };
    },
    domains: () =>
      pipeline.domains().map((domain) => {
        const seen = versions().filter(({ uuid }) => uuid === domain.uuid);
        return {
          ...domain,
          driverVersion: [...new Set(seen.map(({ version }) => version))].join(', '),
          rebootState:
            domainWord(reboot.state(), domain.uuid) || resumedWord(book.entries(), domain.uuid),
        };
      }),
    onChange(listener) {
      const ends = [
        pipeline.onChange(listener),
        subscribe(() => {
          for (const change of changes(pipeline)) listener(change);
        }),
      ];
      return () => {
        for (const end of ends) end();
      };
    },
    async armReboot(wanted, by) {
      const domains = pipeline.domains();
      const found =
        domains.find(({ uuid }) => uuid === wanted.toLowerCase()) ??
        domains.find(({ name }) => name === wanted);
      if (found !== undefined) return reboot.arm({ uuid: found.uuid, name: found.name }, by);
      throw new RevivedError(
        'not-found',
        'There is no such domain.',
        'Only domains with PCI devices are known here: "revivectl list" shows them.',
      );
    },
    rebootNow: (by) => reboot.rebootNow(by),
    cancelReboot: (by) => reboot.cancel(by),
  };
}

// Few domains have cards; a change that is none is not announced (bus/changes.ts compares).
function changes(pipeline: Pipeline): readonly Change[] {
  const domains = pipeline.domains().map(({ uuid }): Change => ({ kind: 'domain', uuid }));
  return [{ kind: 'manager' }, ...domains];
}
