/** What a reboot of the host means at this moment: whether it is allowed, and which domains it stops. */
import { RevivedError } from '../errors.ts';
import type { Power } from '../host/power.ts';
import type { DomainRef } from '../libvirt/event.ts';
import { isActive } from '../libvirt/news.ts';
import type { CardAddress } from '../pci/address.ts';
import type { GuestControl } from './guest-stop.ts';
import type { StoppedDomain } from './reboot-state.ts';
import type { ResumeBook } from './resume-book.ts';
import type { RunBook } from './runs.ts';

export interface SurveyParts {
  readonly book: Pick<ResumeBook, 'isBusy'>;
  readonly power: Pick<Power, 'isGoingDown' | 'checkReboot'>;
  readonly control: Pick<GuestControl, 'list'>;
  readonly runs: Pick<RunBook, 'all'>;
  readonly cardsOf: (uuid: string) => readonly CardAddress[];
}

export interface HostSurvey {
  readonly running: readonly StoppedDomain[];
  /** They do not run: each is to be started again as soon as its card is home. */
  readonly due: readonly StoppedDomain[];
}

/**
 * Which domains run, or are about to. `until`: our own announcement, which is nobody's objection. Rejects where the host must not, or cannot, be
 * rebooted now, and where libvirt does not tell.
 */
export async function surveyHost(
  { book, control, power, runs, cardsOf }: SurveyParts,
  until: number,
): Promise<HostSurvey> {
  refuseResuming(book);
  if (await power.isGoingDown()) {
    throw new RevivedError('refused', 'The host is going down already.');
  }
  await power.checkReboot(until);
  const stopped = ({ uuid, name, id }: DomainRef): StoppedDomain => {
    return { uuid, name, order: id ?? 0, cards: cardsOf(uuid) };
  };
  const running = (await control.list()).filter((domain) => isActive(domain.state));
  const isOff = (uuid: string): boolean => !running.some((domain) => domain.uuid === uuid);
  const due = runs.all().filter((run) => run.due !== null && isOff(run.uuid));
  return { running: running.map(stopped), due: due.map(stopped) };
}

/** Throws `refused` while domains of the last reboot are being started: their list is not to be replaced by that of a next one. */
export function refuseResuming(book: Pick<ResumeBook, 'isBusy'>): void {
  if (!book.isBusy()) return;
  throw new RevivedError(
    'refused',
    'The domains that ran before the last reboot are still being started.',
  );
}
