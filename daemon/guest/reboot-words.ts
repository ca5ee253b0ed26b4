/** What people read of the reboot state: one word, one sentence, findings, and lines of the log with their stable ids. Pure. */
import type { Finding } from '../pipeline/service.ts';
import { printable } from '../printable.ts';
import { isAttempt, isRequired, type MarkedDomain, type RebootState } from './reboot-state.ts';
import type { ResumeEntry } from './resume-book.ts';

/** `armed`, `driver-changed`, `guest-restarting`, `reboot-pending`, `rebooting`; empty when nothing is going on. */
export function rebootWord(state: RebootState): string {
  if (state.phase === 'rebooting') return 'rebooting';
  const marks = new Set<string>(state.marked.map(({ mark }) => mark));
  // The guest that is caught is on its way down.
  if (state.phase === 'surveying' && marks.has('guest-restarting')) return 'guest-restarting';
  if (isAttempt(state) || state.kept.length > 0) return 'reboot-pending';
  const words = ['reboot-pending', 'guest-restarting', 'driver-changed', 'armed'];
  return words.find((word) => marks.has(word)) ?? '';
}

/** The word of one domain; empty when there is nothing about it. */
export function domainWord(state: RebootState, uuid: string): string {
  const mark = state.marked.find((one) => one.uuid === uuid)?.mark ?? '';
  return mark !== '' && mark !== 'armed' && state.phase === 'rebooting' ? 'rebooting' : mark;
}

/** `resumed` for a domain that was stopped for the reboot behind this boot, and is started; empty for any other. */
export function resumedWord(resumed: readonly ResumeEntry[], uuid: string): string {
  return resumed.some((one) => one.uuid === uuid && one.state === 'started') ? 'resumed' : '';
}

/** Why, and what is being waited for, as one line; empty when nothing is going on. */
export function reasonText(state: RebootState): string {
  const why = state.marked.map(markText);
  if (why.length === 0 && state.kept.length > 0) why.push(`${names(state.kept)} wait for it`);
  const now = phaseText(state);
  return [...why, ...(now === '' ? [] : [now])].join('; ');
}

/** What a person should know: a reboot that nobody has agreed to yet, and starts after one that failed. */
export function rebootFindings(
  state: RebootState,
  resumed: readonly ResumeEntry[],
): readonly Finding[] {
  const failed = resumed.filter((entry) => entry.state === 'failed');
  return [
    ...(isRequired(state) ? [pendingFinding(state)] : []),
    ...state.unstarted.map(
      ({ name, why }): Finding => ({
        rule: 'start-again-failed',
        severity: 'error',
        subject: 'host',
        message: `Domain ${printable(name)} was stopped for a reboot of the host that was given up, and could not be started again (${printable(why)}). It is not tried again: start it by hand.`,
      }),
    ),
    ...failed.map(
      ({ name, why }): Finding => ({
        rule: 'resume-failed',
        severity: 'error',
        subject: 'host',
        message: `Domain ${printable(name)} ran before the reboot of the host and was not started again (${printable(why)}). It is not tried again: start it by hand.`,
      }),
    ),
  ];
}

/** A line of the log. The id is stable between versions. */
export interface RebootLine {
  readonly id: string;
  readonly level: 'info' | 'warn';
  readonly text: string;
  readonly domain?: string;
}

/** What has happened between two states. */
export function rebootLines(before: RebootState, after: RebootState): readonly RebootLine[] {
  const marks = after.marked.flatMap((one): readonly RebootLine[] => {
    const old = before.marked.find(({ uuid }) => uuid === one.uuid);
    if (old?.mark === one.mark && old.to === one.to) return [];
    const level = one.mark === 'armed' ? 'info' : 'warn';
    return [{ id: `host-${markIds[one.mark]}`, level, text: markText(one), domain: one.name }];
  });
  if (before.phase === after.phase) return marks;
  const line = (id: string, text: string): readonly RebootLine[] => [
    ...marks,
    { id, level: 'warn', text },
  ];
  switch (after.phase) {
    case 'surveying':
      return line('host-reboot-begun', 'A reboot of the host for a card was agreed to and begins');
    case 'stopping':
      return line('host-reboot-stopping', phaseText(after));
    case 'grace':
      return line('host-reboot-announced', phaseText(after));
    case 'rebooting':
      return line('host-rebooting', 'The host reboots now');
    case 'undoing':
      return line('host-reboot-given-up', `The reboot of the host is given up: ${after.refusal}`);
    case 'idle':
    case 'checking':
      return marks;
  }
}

const markIds = {
  armed: 'reboot-armed',
  'driver-changed': 'reboot-driver-changed',
  'guest-restarting': 'reboot-guest-restarting',
  'reboot-pending': 'reboot-pending',
} as const;

function markText({ name, mark, from, to }: MarkedDomain): string {
  const guest = printable(name);
  const change = to === '' ? '' : ` (display driver ${printable(from)} -> ${printable(to)})`;
  switch (mark) {
    case 'armed':
      return `${guest} is armed: when it restarts itself next, the host reboots`;
    case 'driver-changed':
      return `a display driver was installed in ${guest}${change}: its restart is to be a reboot of the host`;
    case 'guest-restarting':
      return `${guest} restarts after a driver install${change}`;
    case 'reboot-pending':
      return `a display driver was installed in ${guest}${change}: its card is half set up until the host reboots`;
  }
}

function phaseText(state: RebootState): string {
  switch (state.phase) {
    case 'idle':
      if (state.refusal !== '') return `the last attempt was given up: ${state.refusal}`;
      return isRequired(state) ? 'waits for: revivectl reboot now' : '';
    case 'surveying':
      return 'looking at which domains run';
    case 'stopping':
      return `shutting down ${names(state.others.filter(({ uuid }) => state.left.includes(uuid)))}`;
    case 'grace':
      return `the host reboots at ${new Date(state.until).toISOString()}, unless: revivectl reboot cancel`;
    case 'checking':
      return 'asking logind whether the host may reboot';
    case 'rebooting':
      return 'the host reboots now';
    case 'undoing':
      return `given up: ${state.refusal}; what was stopped for it starts again`;
  }
}

function pendingFinding(state: RebootState): Finding {
  const why = state.marked.filter(({ mark }) => mark !== 'armed').map(markText);
  const stays = state.kept.map(({ name }) => printable(name)).join(', ');
  const held = stays === '' ? '' : ` ${stays} stays stopped until then.`;
  const refused = state.refusal === '' ? '' : ` The last attempt was given up: ${state.refusal}.`;
  const next = isAttempt(state)
    ? 'It is under way: revivectl reboot status.'
    : 'When nobody is disturbed by it: revivectl reboot now (or reboot the host yourself).';
  const what = why.join('; ') || 'a guest was stopped for a reboot of the host';
  return {
    rule: 'host-reboot-pending',
    severity: 'warning',
    subject: 'host',
    message: `The host has to reboot: ${what}.${held}${refused} ${next}`,
  };
}

function names(domains: readonly { readonly name: string }[]): string {
  return domains.map(({ name }) => printable(name)).join(', ') || 'nothing';
}

/** For everybody who is logged in, one line. */
export function wallText(state: RebootState): string {
  const names = state.marked.map(({ name }) => printable(name)).join(', ');
  return `The graphics driver of ${names || 'a virtual machine'} was changed, which needs a reboot of this host (revived). To stop it: revivectl reboot cancel`;
}
