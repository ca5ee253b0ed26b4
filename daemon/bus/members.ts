/**
 * The link between the interface table and the code behind it, as types: a handler or getter that is missing,
 * or that takes or gives the wrong types, does not compile. At run time the same check is made on what callers send.
 */
import { RevivedError } from '../errors.ts';
import { isRecord } from '../record.ts';
import {
  type Arg,
  entryOf,
  type InterfaceName,
  interfaceSpec,
  interfaces,
  type PropertySpec,
  type Signature,
} from './table.ts';
import { type Dict, variant } from './variant.ts';

interface Plain {
  readonly s: string;
  readonly o: string;
  readonly b: boolean;
  readonly u: number;
  readonly t: bigint;
  readonly d: number;
  readonly as: readonly string[];
  readonly ao: readonly string[];
  readonly 'a{sv}': Dict;
  readonly 'aa{sv}': readonly Dict[];
}

/** The TypeScript type of a value with this signature. */
type ValueOf<S extends Signature> = Plain[S];
/** Any value that we send. */
export type Value = ValueOf<Signature>;

/** The argument list of a method, as a tuple. */
type ArgsOf<A extends readonly Arg[]> = {
  readonly [K in keyof A]: A[K] extends Arg ? ValueOf<A[K]['signature']> : never;
};

type Methods<I extends InterfaceName> = (typeof interfaces)[I]['methods'];
type Properties<I extends InterfaceName> = (typeof interfaces)[I]['properties'];
type Shape = { readonly in: readonly Arg[]; readonly out: readonly Arg[] };
type In<M> = M extends Shape ? M['in'] : never;
type Out<M> = M extends Shape ? M['out'] : never;
type SignatureOf<P> = P extends { readonly signature: Signature } ? P['signature'] : never;

/** Who calls. */
export interface Caller {
  /** Unique name on the bus. */
  readonly sender: string;
  readonly uid: number;
}

/** One handler for each method of an interface. `view` is the object as it was when the call came. */
export type Handlers<I extends InterfaceName, View> = {
  readonly [M in keyof Methods<I>]: (
    view: View,
    args: ArgsOf<In<Methods<I>[M]>>,
    caller: Caller,
  ) => Promise<ArgsOf<Out<Methods<I>[M]>>>;
};

/** One getter for each property of an interface. */
export type Getters<I extends InterfaceName, View> = {
  readonly [P in keyof Properties<I>]: (view: View) => ValueOf<SignatureOf<Properties<I>[P]>>;
};

/** A handler behind its run-time check: takes a decoded body, gives the body of the answer. */
type BoundMethod<View> = (
  view: View,
  body: readonly unknown[],
  caller: Caller,
) => Promise<readonly Value[]>;

/** An interface that can be called by names. */
export interface BoundInterface<View> {
  readonly name: InterfaceName;
  method(name: string): BoundMethod<View> | undefined;
  /** Undefined where there is no such property. */
  property(name: string, view: View): Value | undefined;
  /** All properties, in the order of the table. */
  properties(view: View): Readonly<Record<string, Value>>;
  /** The same as `a{sv}`. */
  dict(view: View): Dict;
}

/** Bytes of UTF-8 in one string argument. */
export const stringLimit = 4096;

/** Puts the code behind an interface of the table. */
export function bindInterface<I extends InterfaceName, View>(
  name: I,
  getters: Getters<I, View>,
  handlers: Handlers<I, View>,
): BoundInterface<View> {
  const getterOf: Readonly<Record<string, (view: View) => Value>> = getters;
  const specs = Object.entries(interfaceSpec(name).properties);
  const bound = new Map<string, BoundMethod<View>>();
  for (const member of methodNames(name)) bound.set(member, bindMethod(name, member, handlers));

  const property = (wanted: string, view: View): Value | undefined =>
    entryOf(getterOf, wanted)?.(view);
  const collect = <T>(view: View, each: (value: Value, spec: PropertySpec) => T) => {
    const all: Record<string, T> = {};
    for (const [key, spec] of specs) {
      const value = property(key, view);
      if (value !== undefined) all[key] = each(value, spec);
    }
    return all;
  };
  return {
    name,
    method: (member) => bound.get(member),
    property,
    properties: (view) => collect(view, (value) => value),
    dict: (view) => collect(view, (value, spec) => variant(spec.signature, value)),
  };
}

function bindMethod<I extends InterfaceName, View, M extends keyof Methods<I> & string>(
  name: I,
  member: M,
  handlers: Handlers<I, View>,
): BoundMethod<View> {
  const run = handlers[member];
  const spec = entryOf(interfaceSpec(name).methods, member);
  return async (view, body, caller) => {
    if (!fits<In<Methods<I>[M]>>(spec?.in ?? [], body)) throw unexpected(member);
    return run(view, body, caller);
  };
}

function methodNames<I extends InterfaceName>(name: I): readonly (keyof Methods<I> & string)[] {
  const methods: Methods<I> = interfaces[name].methods;
  const isOne = (member: string): member is keyof Methods<I> & string =>
    Object.hasOwn(methods, member);
  return Object.keys(methods).filter(isOne);
}

function fits<A extends readonly Arg[]>(
  args: readonly Arg[],
  body: readonly unknown[],
): body is ArgsOf<A> {
  if (args.length !== body.length) return false;
  return args.every((arg, index) => fitsOne(arg, body[index]));
}

function fitsOne(arg: Arg, value: unknown): boolean {
  switch (arg.signature) {
    case 's':
    case 'o':
      if (typeof value !== 'string') return false;
      if (Buffer.byteLength(value) > stringLimit) throw tooLong(arg.name);
      return true;
    case 'b':
      return typeof value === 'boolean';
    case 'u':
    case 'd':
      return typeof value === 'number';
    case 't':
      return typeof value === 'bigint';
    case 'as':
    case 'ao':
      return Array.isArray(value) && value.every((item) => typeof item === 'string');
    case 'a{sv}':
      return isRecord(value);
    case 'aa{sv}':
      return Array.isArray(value) && value.every(isRecord);
  }
}

function tooLong(name: string): RevivedError {
  return new RevivedError(
    'invalid-argument',
    `The argument "${name}" is longer than ${stringLimit} bytes.`,
  );
}

function unexpected(member: string): RevivedError {
  return new RevivedError(
    'invalid-argument',
    `The arguments of ${member} do not have the types that its signature names.`,
  );
}
