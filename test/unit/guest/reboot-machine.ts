/** The reboot state machine, with a guest that a driver is installed in and one without a card. */
import {
  initialState,
  type RebootEffect,
  type RebootInput,
} from '../../../daemon/guest/reboot-state.ts';
import { rebootStep } from '../../../daemon/guest/reboot-step.ts';
import { card } from '../../integration/scripted-service.ts';

export const grace = 60_000;
export const win = { uuid: 'w', name: 'win' };
export const web = { uuid: 'x', name: 'web', order: 3, cards: [] };
export const gpu = card('0000:0b:00');
const versions = { from: '1', to: '2', oldSeenAt: 0 } as const;
export const change = { kind: 'driver-changed', card: gpu, ...versions, now: 0 } as const;
export const restarted = {
  kind: 'restarted',
  domain: win,
  order: 4,
  policy: 'auto',
  now: 2e6,
} as const;

/** Feeds inputs one after the other; `attempt` is filled in. What was to be done, in order. */
export function machine(start = initialState('boot1', false)) {
  let state = start;
  const effects: RebootEffect[] = [];
  const feed = (...inputs: readonly (RebootInput | Late)[]): readonly string[] => {
    const from = effects.length;
    for (const input of inputs) {
      const whole: RebootInput = lateKinds(input) ? { attempt: state.attempt, ...input } : input;
      const step = rebootStep(state, whole, grace);
      state = step.state;
      effects.push(...step.effects);
    }
    return effects.slice(from).map(({ kind }) => kind);
  };
  return { feed, state: () => state, effects };
}
type WithoutAttempt<T> = T extends { readonly attempt: number } ? Omit<T, 'attempt'> : never;
export type Late = WithoutAttempt<RebootInput>;
function lateKinds(input: RebootInput | Late): input is Late {
  return attemptKinds.some((kind) => kind === input.kind) && !('attempt' in input);
}
const attemptKinds = [
  'caught',
  'surveyed',
  'domain-stopped',
  'clear',
  'sent',
  'failed',
  'undone',
] as const;
