/** The reboot state machine: pure. Every input in every state has its answer here; what means nothing changes nothing. */
import {
  type Consent,
  type InstallPolicy,
  initialState,
  isAttempt,
  isWanted,
  type MarkedDomain,
  type RebootEffect,
  type RebootInput,
  type RebootState,
  type RebootStep,
  type StoppedDomain,
} from './reboot-state.ts';

/** REBOOT comes two or three times for one reset (facts/libvirt.md 1.4): within this time it is the same one. */
export const debounceMs = 10_000;
/** A new driver version that is seen this soon after a restart came with that restart: two polls and a boot of Windows. */
const seenLateMs = 300_000;
/** Until a host that was told to reboot is down: stop jobs of systemd end after 90 s, guests may need more. */
const goingDownMs = 900_000;
const maxMarked = 64;
const maxRestarts = 64;
const maxUnstarted = 64;

/** The next state. Inputs that mean nothing now change nothing. `graceMs`: how long a reboot can be cancelled. */
export function rebootStep(state: RebootState, input: RebootInput, graceMs: number): RebootStep {
  if ('attempt' in input && input.attempt !== state.attempt) return unchanged(state);
  switch (input.kind) {
    case 'began':
      return began(state, input, graceMs);
    case 'arm':
      return unchanged(arm(state, input));
    case 'driver-changed':
      return driverChanged(state, input);
    case 'restarted':
      return restarted(state, input);
    case 'started':
      return unchanged(started(state, input.uuid));
    case 'stopped':
      return stopped(state, input);
    case 'consent':
      return isWanted(state) ? begin(state, 'person') : unchanged(state);
    case 'cancel':
      return cancel(state, input.by);
    case 'tick':
      return tick(state, input.now);
    case 'caught':
      return state.phase === 'surveying' ? survey(state) : unchanged(state);
    case 'surveyed':
      return surveyed(state, input, graceMs);
    case 'domain-stopped':
      return state.phase === 'stopping'
        ? stoppedOne(state, input.uuid, input.now + graceMs)
        : unchanged(state);
    case 'clear': {
      if (state.phase !== 'checking') return unchanged(state);
      const until = input.now + goingDownMs;
      return {
        state: { ...withOthers(state, input.due), phase: 'rebooting', until, sent: false },
        effects: [{ kind: 'reboot' }],
      };
    }
    case 'sent':
      if (state.phase !== 'rebooting') return unchanged(state);
      return {
        state: { ...state, sent: true },
        effects: [{ kind: 'wake', at: state.until }],
      };
    case 'failed':
      return isAttempt(state) ? giveUp(state, input.why) : unchanged(state);
    case 'start-failed': {
      const { uuid, name } = input.domain;
      const unstarted = [...without(state.unstarted, uuid), { uuid, name, why: input.why }];
      return unchanged({ ...state, unstarted: unstarted.slice(-maxUnstarted) });
    }
    case 'undone':
      if (state.phase !== 'undoing') return unchanged(state);
      return unchanged({ ...state, phase: 'idle', others: [], left: [] });
  }
}

function unchanged(state: RebootState): RebootStep {
  return { state, effects: [] };
}

function began(
  state: RebootState,
  { boot, now, goingDown, resumed }: RebootInput & { readonly kind: 'began' },
  graceMs: number,
): RebootStep {
  if (state.boot !== boot) return unchanged(initialState(boot, resumed));
  const wait: readonly RebootEffect[] = [{ kind: 'wake', at: now + debounceMs }];
  const effects: readonly RebootEffect[] = state.marked.length === 0 ? [] : wait;
  switch (state.phase) {
    case 'idle':
      return { state, effects };
    // Those that were caught are not pulled again: after all this time their guests may be at work.
    case 'surveying':
    case 'stopping':
      return survey({ ...state, phase: 'surveying' });
    case 'rebooting':
      if (goingDown) return { state, effects: [{ kind: 'wake', at: state.until }] };
      return toGrace(state, now + graceMs);
    case 'checking':
    case 'grace':
      // Nobody could cancel while the daemon was away.
      return toGrace(state, state.until > now ? state.until : now + graceMs);
    case 'undoing':
      return { state, effects: [{ kind: 'start-again', domains: inOrder(state.others) }] };
  }
}

function arm(
  state: RebootState,
  { domain, cards }: RebootInput & { readonly kind: 'arm' },
): RebootState {
  const old = markOf(state, domain.uuid);
  return withMark(state, {
    ...(old ?? { mark: 'armed', cards, from: '', to: '' }),
    uuid: domain.uuid,
    name: domain.name,
    consent: 'person',
  });
}

function driverChanged(
  state: RebootState,
  input: RebootInput & { readonly kind: 'driver-changed' },
): RebootStep {
  const { domain, card, from, to, policy, oldSeenAt, now } = input;
  const old = markOf(state, domain.uuid);
  if (policy === 'off' && old === undefined) return unchanged(state);
  const automatic: Consent = policy === 'auto' && !state.autoSpent ? 'auto' : 'none';
  const isNew = old === undefined || old.mark === 'armed';
  const at = state.restarts.find(({ uuid }) => uuid === domain.uuid)?.at;
  // The old one seen since: the install came after that restart, and its installer may still be at work.
  const isLate = at !== undefined && now - at < seenLateMs && oldSeenAt <= at;
  const next = withMark(state, {
    uuid: domain.uuid,
    name: domain.name,
    cards: [...new Set([...(old?.cards ?? []), card])],
    from: old?.from || from,
    to,
    mark: isNew ? (isLate ? 'reboot-pending' : 'driver-changed') : old.mark,
    consent: old === undefined ? automatic : consentOf(old, policy),
  });
  const consent = markOf(next, domain.uuid)?.consent ?? 'none';
  return isNew && isLate && consent !== 'none' ? begin(next, consent) : unchanged(next);
}

function restarted(
  state: RebootState,
  { domain, order, policy, now }: RebootInput & { readonly kind: 'restarted' },
): RebootStep {
  const { uuid } = domain;
  const last = state.restarts.find((one) => one.uuid === uuid)?.at ?? Number.NEGATIVE_INFINITY;
  // A clock that was set back must not hide restarts.
  if (now - last >= 0 && now - last < debounceMs) return unchanged(state);
  const noted = withRestart(state, uuid, now);
  const marked = markOf(noted, uuid);
  if (marked === undefined || !(marked.mark === 'armed' || marked.mark === 'driver-changed')) {
    return unchanged(noted);
  }
  const consent = consentOf(marked, policy);
  const restarting = withMark(noted, { ...marked, consent, mark: 'guest-restarting' });
  if (consent === 'none' || state.phase !== 'idle') {
    return { state: restarting, effects: [{ kind: 'wake', at: now + debounceMs }] };
  }
  const kept = [...without(state.kept, uuid), { ...domain, order, cards: marked.cards }];
  const begun = begin({ ...restarting, kept }, consent);
  // Asked who runs only when this one does not any more.
  return { state: begun.state, effects: [{ kind: 'catch', domain }] };
}

function withRestart(state: RebootState, uuid: string, at: number): RebootState {
  const others = state.restarts.filter((one) => one.uuid !== uuid).slice(1 - maxRestarts);
  return { ...state, restarts: [...others, { uuid, at }] };
}

function started(state: RebootState, uuid: string): RebootState {
  if (![...state.kept, ...state.unstarted].some((one) => one.uuid === uuid)) return state;
  return {
    ...state,
    kept: without(state.kept, uuid),
    unstarted: without(state.unstarted, uuid),
  };
}

function stopped(
  before: RebootState,
  { uuid, restart, order, policy, now }: RebootInput & { readonly kind: 'stopped' },
): RebootStep {
  // A reboot that is made a stop comes without a REBOOT event.
  const state = restart ? withRestart(before, uuid, now) : before;
  const marked = markOf(state, uuid);
  // One that is armed waits for its restart, which is a stop where its reboots are cold; a shutdown is none.
  if (marked === undefined || state.phase !== 'idle' || (marked.mark === 'armed' && !restart)) {
    return unchanged(state);
  }
  if (marked.mark === 'reboot-pending') return unchanged(state);
  // What was agreed to is that its restart is a reboot of the host: a shutdown may be for tonight.
  const consent = restart ? consentOf(marked, policy) : 'none';
  const pending = withMark(state, { ...marked, consent, mark: 'reboot-pending' });
  if (consent === 'none') return unchanged(pending);
  const own = { uuid, name: marked.name, order, cards: marked.cards };
  return begin({ ...pending, kept: [...without(state.kept, uuid), own] }, consent);
}

/** Begins an attempt, unless one is under way. */
function begin(state: RebootState, by: Consent): RebootStep {
  if (state.phase !== 'idle') return unchanged(state);
  return survey({
    ...state,
    attempt: state.attempt + 1,
    phase: 'surveying',
    refusal: '',
    others: [],
    left: [],
    sent: false,
    autoSpent: state.autoSpent || by === 'auto',
  });
}

function survey(state: RebootState): RebootStep {
  return { state, effects: [{ kind: 'survey' }] };
}

function surveyed(
  state: RebootState,
  { running, due, now }: RebootInput & { readonly kind: 'surveyed' },
  graceMs: number,
): RebootStep {
  if (!(state.phase === 'surveying' || state.phase === 'checking')) return unchanged(state);
  const left = running.map(({ uuid }) => uuid);
  const found = settleMarks({ ...withOthers(state, [...due, ...running]), left });
  if (running.length === 0) return toGrace(found, now + graceMs);
  return {
    state: { ...found, phase: 'stopping' },
    effects: [
      ...(state.phase === 'checking' ? [{ kind: 'withdraw', until: state.until } as const] : []),
      { kind: 'stop', domains: running },
    ],
  };
}

// As they are found now, but for those that are kept.
function withOthers(state: RebootState, found: readonly StoppedDomain[]): RebootState {
  const isNew = ({ uuid }: StoppedDomain): boolean => found.some((one) => one.uuid === uuid);
  const isKept = ({ uuid }: StoppedDomain): boolean => {
    return state.kept.some((one) => one.uuid === uuid);
  };
  const others = [
    ...state.others.filter((one) => !isNew(one)),
    ...found.filter((one) => !isKept(one)),
  ];
  return { ...state, others };
}

function stoppedOne(state: RebootState, uuid: string, until: number): RebootStep {
  const left = state.left.filter((one) => one !== uuid);
  const next = { ...state, left };
  return left.length === 0 ? toGrace(next, until) : unchanged(next);
}

function toGrace(state: RebootState, until: number): RebootStep {
  return {
    state: { ...settleMarks(state), phase: 'grace', until, sent: false, left: [] },
    effects: [
      { kind: 'announce', until },
      { kind: 'wake', at: until },
    ],
  };
}

function tick(state: RebootState, now: number): RebootStep {
  if (state.phase === 'grace' && now >= state.until) {
    return { state: { ...state, phase: 'checking' }, effects: [{ kind: 'check' }] };
  }
  if (state.phase === 'rebooting' && state.sent && now >= state.until) {
    return giveUp(state, 'logind took the request, and yet the host did not go down');
  }
  // A clock that was set back makes the grace period longer, never shorter.
  if (state.phase === 'grace') return { state, effects: [{ kind: 'wake', at: state.until }] };
  if (isAttempt(state)) return unchanged(state);
  const isOver = (uuid: string): boolean => {
    const at = state.restarts.find((one) => one.uuid === uuid)?.at ?? 0;
    return now - at >= debounceMs || now < at;
  };
  const isWaiting = ({ mark }: MarkedDomain): boolean => mark === 'guest-restarting';
  const marked = state.marked.map((one): MarkedDomain => {
    return isWaiting(one) && isOver(one.uuid) ? { ...one, mark: 'reboot-pending' } : one;
  });
  const wake: RebootEffect = { kind: 'wake', at: now + debounceMs };
  return { state: { ...state, marked }, effects: marked.some(isWaiting) ? [wake] : [] };
}

function cancel(state: RebootState, by: string): RebootStep {
  if (state.phase === 'rebooting' && state.sent) return unchanged(state);
  const marked = state.marked
    .filter(({ mark }) => mark !== 'armed')
    .map((one): MarkedDomain => ({ ...one, consent: 'none' }));
  if (isAttempt(state)) return giveUp({ ...state, marked }, `${by} has cancelled it`);
  if (state.phase === 'undoing') return unchanged({ ...state, marked });
  // Nothing is under way: somebody knows better than we do, and wants to hear no more of it.
  return unchanged({ ...state, marked: [], kept: [], unstarted: [], refusal: '' });
}

/** Ends an attempt: what was stopped for it starts again, but for those that were caught. It stays pending. */
function giveUp(state: RebootState, why: string): RebootStep {
  const marked = state.marked.map((one): MarkedDomain => {
    if (one.mark === 'armed') return one;
    const mark = one.mark === 'guest-restarting' ? 'reboot-pending' : one.mark;
    return { ...one, mark, consent: 'none' };
  });
  const wasAnnounced = ['grace', 'checking', 'rebooting'].includes(state.phase);
  return {
    state: {
      ...state,
      marked,
      attempt: state.attempt + 1,
      phase: 'undoing',
      sent: false,
      refusal: why,
    },
    effects: [
      ...(wasAnnounced ? [{ kind: 'withdraw', until: state.until } as const] : []),
      { kind: 'start-again', domains: inOrder(state.others) },
    ],
  };
}

// Every guest is asked to stop: whatever was installed in it, the card needs the reboot now.
function settleMarks(state: RebootState): RebootState {
  const marked = state.marked.map((one): MarkedDomain => {
    return one.mark === 'armed' ? one : { ...one, mark: 'reboot-pending' };
  });
  return { ...state, marked };
}

function markOf(state: RebootState, uuid: string): MarkedDomain | undefined {
  return state.marked.find((one) => one.uuid === uuid);
}

// What the policy agreed to holds for as long as it is the policy.
function consentOf({ consent }: MarkedDomain, policy: InstallPolicy): Consent {
  return consent === 'auto' && policy !== 'auto' ? 'none' : consent;
}

function withMark(state: RebootState, mark: MarkedDomain): RebootState {
  const rest = state.marked.filter(({ uuid }) => uuid !== mark.uuid);
  if (rest.length >= maxMarked) return state;
  return { ...state, marked: [...rest, mark] };
}

function without<T extends { readonly uuid: string }>(list: readonly T[], uuid: string) {
  return list.filter((one) => one.uuid !== uuid);
}

// As libvirt started them before.
function inOrder(domains: readonly StoppedDomain[]): readonly StoppedDomain[] {
  return domains.toSorted((a, b) => a.order - b.order);
}
