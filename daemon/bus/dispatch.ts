/** From a call to its answer: find the method in the tables, check its signature, pass the gate, run it, reply. */
import { asRevivedError, dbusNameOf, RevivedError, sentence } from '../errors.ts';
import type { Log } from '../log.ts';
import { printable } from '../printable.ts';
import { isRecord } from '../record.ts';
import type { Connection, IncomingCall } from './connection.ts';
import type { Gate } from './gate.ts';
import type { BusObject, Objects } from './objects.ts';
import type { Pending } from './pending.ts';
import { isStandardName, type StandardName, standardInterfaces, standardSpec } from './standard.ts';
import { answerStandard, objectAt, unknownInterface } from './standard-calls.ts';
import { entryOf, interfaceNames, interfaceSpec, type MethodSpec, signatureOf } from './table.ts';
import { type Dict, flagOption } from './variant.ts';

export interface DispatchParts {
  readonly connection: Pick<Connection, 'reply' | 'refuse'>;
  readonly objects: Objects;
  readonly gate: Gate;
  readonly pending: Pending;
  /** Sends the signals that are due, so that an answer never names an object that nobody has heard of. */
  readonly flush: () => void;
  readonly log: Log;
}

/** The handler of all calls to us. It answers each of them, never throws, and leaves nothing pending behind. */
export function createDispatch(parts: DispatchParts): (call: IncomingCall) => void {
  const refuse = (call: IncomingCall, thrown: unknown): void => {
    const error = asRevivedError(thrown);
    note(parts.log, call, thrown, error);
    parts.connection.refuse(call, dbusNameOf(error.code), sentence(error));
  };

  const runOwn = async (call: IncomingCall, object: BusObject, spec: MethodSpec) => {
    const leave = parts.pending.arrive(call.sender);
    try {
      const body = call.body();
      const caller = await parts.gate.callerOf(call.sender);
      const exit = parts.pending.enter(caller);
      try {
        const what = `${object.interface}.${call.member}`;
        await parts.gate.admit(spec.access, caller, what, mayAsk(call, body));
        const run = object.method(call.member);
        if (run === undefined) throw unknownMethod(call, object.interface);
        const result = await run(body, caller);
        parts.flush();
        parts.connection.reply(call, signatureOf(spec.out), result);
      } finally {
        exit();
      }
    } finally {
      leave();
    }
  };

  return (call) => {
    // Only methods of ours do more than answer. The bus bounds the calls that wait for one (dbus-daemon(1),
    // max_replies_per_connection), nothing bounds the others: a flood of GetManagedObjects would keep libvirt's hook waiting.
    if (!call.replyExpected && !isNamedAsOurs(call)) return;
    try {
      const target = targetOf(parts.objects, call);
      if (target.kind === 'standard') {
        const { signature, body } = answerStandard(parts.objects, target.name, call);
        parts.connection.reply(call, signature, body);
        return;
      }
      checkSignature(call, signatureOf(target.spec.in));
      runOwn(call, target.object, target.spec).catch((error: unknown) => refuse(call, error));
    } catch (error) {
      refuse(call, error);
    }
  };
}

function isNamedAsOurs({ interface: wanted, member }: IncomingCall): boolean {
  return interfaceNames.some(
    (name) =>
      (wanted === undefined || wanted === name) &&
      entryOf(interfaceSpec(name).methods, member) !== undefined,
  );
}

type Target =
  | { readonly kind: 'standard'; readonly name: StandardName }
  | { readonly kind: 'own'; readonly object: BusObject; readonly spec: MethodSpec };

function targetOf(objects: Objects, call: IncomingCall): Target {
  const { interface: wanted, member } = call;
  if (wanted !== undefined && isStandardName(wanted)) return standardTarget(call, wanted);

  const object = wanted === undefined ? objects.find(call.path) : objectAt(objects, call.path);
  if (object !== undefined && (wanted === undefined || wanted === object.interface)) {
    const spec = entryOf(interfaceSpec(object.interface).methods, member);
    if (spec !== undefined) return { kind: 'own', object, spec };
  }
  if (wanted === undefined) {
    // The interface is optional in a call: then the member decides.
    for (const name of Object.keys(standardInterfaces).filter(isStandardName)) {
      if (entryOf(standardSpec(name).methods, member) !== undefined) {
        return standardTarget(call, name);
      }
    }
    throw unknownMethod(call, undefined);
  }
  if (wanted !== object?.interface) throw unknownInterface(call.path, wanted);
  throw unknownMethod(call, wanted);
}

function standardTarget(call: IncomingCall, name: StandardName): Target {
  const spec = entryOf(standardSpec(name).methods, call.member);
  if (spec === undefined) throw unknownMethod(call, name);
  checkSignature(call, spec.in.map((arg) => arg.signature).join(''));
  return { kind: 'standard', name };
}

function checkSignature(call: IncomingCall, expected: string): void {
  if (call.signature === expected) return;
  const named = (signature: string): string => (signature === '' ? 'nothing' : `"${signature}"`);
  throw new RevivedError(
    'invalid-argument',
    `${call.member} takes ${named(expected)} and was given ${named(call.signature)}.`,
  );
}

// Both must allow it: the message flag and the options, which stand last in every method of ours.
function mayAsk(call: IncomingCall, body: readonly unknown[]): boolean {
  const options = body.at(-1);
  return call.interactive && !(isDict(options) && flagOption(options, 'auth.no_user_interaction'));
}

// What the bus has marshalled as a{sv} holds variants (bus/members.ts has checked that).
function isDict(value: unknown): value is Dict {
  return isRecord(value);
}

function unknownMethod(call: IncomingCall, name: string | undefined): RevivedError {
  const where = name === undefined ? `The object ${call.path}` : `The interface ${name}`;
  return new RevivedError('unknown-method', `${where} has no method ${call.member}.`);
}

// Callers cause these lines: what they send stands in them escaped and cut.
function note(log: Log, call: IncomingCall, thrown: unknown, error: RevivedError): void {
  const fields = {
    sender: call.sender,
    method: `${call.interface ?? ''}.${call.member}`.slice(0, 200),
    path: call.path.slice(0, 200),
    code: error.code,
  };
  const reason = printable(error.message).slice(0, 500);
  if (!(thrown instanceof RevivedError)) {
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    log.error({ ...fields, stack }, `A call failed in an unexpected way: ${reason}`);
  } else if (error.code === 'not-authorised') {
    log.info(fields, `A call was denied: ${reason}`);
  } else {
    log.debug(fields, `A call was refused: ${reason}`);
  }
}
