/**
 * The closed list of errors: one table for code <-> D-Bus name <-> exit code of revivectl.
 * Every error that reaches a person carries what to do next (`advice`).
 */

const table = {
  failed: { dbus: 'org.revived1.Error.Failed', exit: 1 },
  'invalid-argument': { dbus: 'org.freedesktop.DBus.Error.InvalidArgs', exit: 2 },
  'not-found': { dbus: 'org.revived1.Error.NotFound', exit: 3 },
  refused: { dbus: 'org.revived1.Error.Refused', exit: 4 },
  busy: { dbus: 'org.revived1.Error.Busy', exit: 4 },
  'not-authorised': { dbus: 'org.freedesktop.DBus.Error.AccessDenied', exit: 5 },
  'timed-out': { dbus: 'org.revived1.Error.TimedOut', exit: 1 },
  stuck: { dbus: 'org.revived1.Error.Stuck', exit: 1 },
  cancelled: { dbus: 'org.revived1.Error.Cancelled', exit: 1 },
  'limit-exceeded': { dbus: 'org.freedesktop.DBus.Error.LimitsExceeded', exit: 1 },
  'read-only': { dbus: 'org.freedesktop.DBus.Error.PropertyReadOnly', exit: 2 },
  'unknown-method': { dbus: 'org.freedesktop.DBus.Error.UnknownMethod', exit: 1 },
  'unknown-object': { dbus: 'org.freedesktop.DBus.Error.UnknownObject', exit: 3 },
  'unknown-interface': { dbus: 'org.freedesktop.DBus.Error.UnknownInterface', exit: 1 },
  'unknown-property': { dbus: 'org.freedesktop.DBus.Error.UnknownProperty', exit: 3 },
  libvirt: { dbus: 'org.revived1.Error.Libvirt', exit: 1 },
  unreachable: { dbus: 'org.revived1.Error.Unreachable', exit: 7 },
} as const;

export type ErrorCode = keyof typeof table;

/** An error meant for people: `message` says what is wrong and why it matters, `advice` what to do. */
export class RevivedError extends Error {
  readonly code: ErrorCode;
  readonly advice: string | undefined;

  constructor(code: ErrorCode, message: string, advice?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'RevivedError';
    this.code = code;
    this.advice = advice;
  }
}

/** The D-Bus error name of a code. */
export function dbusNameOf(code: ErrorCode): string {
  return table[code].dbus;
}

/** The exit code of revivectl for a code (design: 0 ok .. 7 unreachable). */
export function exitCodeOf(code: ErrorCode): number {
  return table[code].exit;
}

/** The code of a D-Bus error name that a client received; names that are not ours become `failed`. */
export function codeOfDbusName(name: string): ErrorCode {
  for (const [code, row] of Object.entries(table)) {
    if (row.dbus === name) return code as ErrorCode;
  }
  return unreachableNames.has(name) ? 'unreachable' : 'failed';
}

// What the bus itself says when our name has no owner and cannot be started.
const unreachableNames = new Set([
  'org.freedesktop.DBus.Error.ServiceUnknown',
  'org.freedesktop.DBus.Error.NameHasNoOwner',
  'org.freedesktop.DBus.Error.NoReply',
  'org.freedesktop.DBus.Error.Disconnected',
  'org.freedesktop.DBus.Error.Spawn.ChildExited',
  'org.freedesktop.DBus.Error.Spawn.Failed',
  'org.freedesktop.DBus.Error.TimedOut',
  'org.freedesktop.systemd1.NoSuchUnit',
  'org.freedesktop.systemd1.UnitMasked',
]);

/** Any thrown value as a RevivedError: foreign errors keep their message, never their stack. */
export function asRevivedError(thrown: unknown): RevivedError {
  if (thrown instanceof RevivedError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new RevivedError('failed', message, undefined, { cause: thrown });
}

/** Message and advice on one line, as people read it. */
export function sentence(error: RevivedError): string {
  return error.advice === undefined ? error.message : `${error.message} ${error.advice}`;
}
