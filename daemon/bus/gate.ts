/**
 * The one gate: may this caller do what the table says this method does? Root may; others only by polkit.
 * The subject is always the system bus name: a process id can be reused before it is looked at (CVE-2013-4288).
 */
import { asRevivedError, RevivedError } from '../errors.ts';
import type { BusCall } from './connection.ts';
import type { Caller } from './members.ts';
import type { Access, PolkitAction } from './table.ts';
import { textVariant } from './variant.ts';

export interface Gate {
  /** Who is behind a unique name. Asked for each message anew, never kept. Rejects when the caller is gone. */
  callerOf(sender: string): Promise<Caller>;
  /**
   * Resolves where the call is allowed, rejects with `not-authorised` and the reason where it is not.
   * `what` names the method for people; `interactive`: polkit may ask the user.
   */
  admit(access: Access, caller: Caller, what: string, interactive: boolean): Promise<void>;
}

/** Milliseconds to wait for polkit: a person who types a password needs more than a program. */
export interface GateTimeouts {
  readonly bus: number;
  readonly silent: number;
  readonly interactive: number;
}

const usual: GateTimeouts = { bus: 5_000, silent: 10_000, interactive: 120_000 };

const polkit = {
  destination: 'org.freedesktop.PolicyKit1',
  path: '/org/freedesktop/PolicyKit1/Authority',
  interface: 'org.freedesktop.PolicyKit1.Authority',
} as const;

/** A gate that asks over `call` (a connection to the system bus). */
export function createGate(
  call: (call: BusCall, timeoutMs: number) => Promise<readonly unknown[]>,
  timeouts: GateTimeouts = usual,
): Gate {
  let checks = 0;

  const cancel = async (cancellation: string): Promise<void> => {
    const request = { ...polkit, member: 'CancelCheckAuthorization', signature: 's' };
    await call({ ...request, body: [cancellation] }, timeouts.bus).catch(() => undefined);
  };

  const ask = async (
    action: PolkitAction,
    caller: Caller,
    interactive: boolean,
  ): Promise<readonly unknown[]> => {
    checks += 1;
    const cancellation = `revived-${checks}`;
    const subject = ['system-bus-name', { name: textVariant(caller.sender) }];
    const request: BusCall = {
      ...polkit,
      member: 'CheckAuthorization',
      signature: '(sa{sv})sa{ss}us',
      body: [subject, action, {}, interactive ? 1 : 0, cancellation],
    };
    try {
      return await call(request, interactive ? timeouts.interactive : timeouts.silent);
    } catch (error) {
      const known = asRevivedError(error);
      // The dialog must not outlive the call that it is for.
      if (known.code === 'timed-out') await cancel(cancellation);
      throw known;
    }
  };

  return {
    async callerOf(sender) {
      const [uid] = await call(
        {
          destination: 'org.freedesktop.DBus',
          path: '/org/freedesktop/DBus',
          interface: 'org.freedesktop.DBus',
          member: 'GetConnectionUnixUser',
          signature: 's',
          body: [sender],
        },
        timeouts.bus,
      ).catch((error: unknown) => {
        const reason = asRevivedError(error).message;
        throw new RevivedError('not-authorised', `The bus does not say who calls: ${reason}`);
      });
      if (typeof uid === 'number') return { sender, uid };
      throw new RevivedError('not-authorised', 'The bus does not say who calls.');
    },

    async admit(access, caller, what, interactive) {
      if (access === 'free' || caller.uid === 0) return;
      if (access === 'root') throw rootOnly(what);
      const verdict = await ask(access.polkit, caller, interactive).catch((error: unknown) => {
        throw unanswered(access.polkit, what, asRevivedError(error));
      });
      // (bba{ss}): authorised, would be after a challenge, details.
      const [result] = verdict;
      const [authorised, challenge] = Array.isArray(result) ? result : [];
      if (authorised === true) return;
      throw denied(access.polkit, what, challenge === true && !interactive);
    },
  };
}

function rootOnly(what: string): RevivedError {
  return new RevivedError(
    'not-authorised',
    `${what} is for root only: it is how libvirt's hook reports.`,
    'Use revivectl for what people can ask.',
  );
}

function denied(action: PolkitAction, what: string, challenge: boolean): RevivedError {
  return challenge
    ? new RevivedError(
        'not-authorised',
        `${what} needs the polkit action ${action}, which asks for a password, and this call does not allow that.`,
        'Allow interactive authorization, or call as root.',
      )
    : new RevivedError(
        'not-authorised',
        `${what} needs the polkit action ${action}, which this user does not have.`,
        'Call as root, or let an administrator grant the action with a rule in /etc/polkit-1/rules.d.',
      );
}

function unanswered(action: PolkitAction, what: string, error: RevivedError): RevivedError {
  return new RevivedError(
    'not-authorised',
    `${what} needs the polkit action ${action}, and polkit gave no verdict: ${error.message}`,
    'See whether polkit.service runs and knows the action (pkaction), or call as root.',
    { cause: error },
  );
}
