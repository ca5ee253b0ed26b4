/** Plain values as D-Bus variants and dicts (`a{sv}`), clamped so that every one of them can be marshalled. */
import { RevivedError } from '../errors.ts';
import { Variant } from './wire.ts';

/** `a{sv}`. One that a caller sent can have any own keys: read it with `flagOption`. */
export type Dict = Readonly<Record<string, Variant>>;

/** A string; D-Bus knows no NUL. */
export function text(value: string): string {
  return value.replaceAll('\0', '\ufffd');
}

/** Strings. */
export function texts(values: readonly string[]): readonly string[] {
  return values.map(text);
}

/** An unsigned 32 bit number: rounded and clamped; what is no number becomes 0. */
export function u32(value: number): number {
  return Number.isNaN(value) ? 0 : Math.min(Math.max(Math.round(value), 0), 0xffff_ffff);
}

/** An unsigned 64 bit number: rounded, never negative; what is not finite becomes 0. */
export function u64(value: number): bigint {
  return Number.isFinite(value) ? BigInt(Math.max(Math.round(value), 0)) : 0n;
}

/** A part of a whole, 0 to 1. */
export function fraction(value: number): number {
  return Number.isNaN(value) ? 0 : Math.min(Math.max(value, 0), 1);
}

/** Any value of a signature as a variant. */
export function variant(signature: string, value: unknown): Variant {
  return new Variant(signature, value);
}

/** A string as a variant. */
export function textVariant(value: string): Variant {
  return new Variant('s', text(value));
}

/** A truth value as a variant. */
export function flagVariant(value: boolean): Variant {
  return new Variant('b', value);
}

/** An unsigned 32 bit number as a variant. */
export function u32Variant(value: number): Variant {
  return new Variant('u', u32(value));
}

/** A truth value from a caller's options; absent is false. Throws `invalid-argument` for another type. */
export function flagOption(options: Dict, key: string): boolean {
  const given = Object.hasOwn(options, key) ? options[key] : undefined;
  if (given === undefined) return false;
  if (given instanceof Variant && typeof given.value === 'boolean') return given.value;
  throw new RevivedError('invalid-argument', `The option "${key}" must be a boolean.`);
}
