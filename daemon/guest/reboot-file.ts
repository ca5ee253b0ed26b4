/**
 * The reboot state on disk: /run/revived/reboot.json, so that a daemon that was killed goes on within the same boot. Read
 * with suspicion: a reboot is asked for on the strength of it.
 */
import { readOwn, writeWhole } from '../host/atomic-file.ts';
import { type CardAddress, isCardAddress } from '../pci/address.ts';
import type { MarkedDomain, RebootState, StoppedDomain } from './reboot-state.ts';

const version = 1;
const maxBytes = 4 * 1024 * 1024;

/** The state of that file; undefined when there is none. Rejects when it is not whole, not ours, or not of this kind. */
export async function readRebootState(path: string): Promise<RebootState | undefined> {
  const text = await readOwn(path, maxBytes);
  if (text === undefined) return undefined;
  const file: unknown = JSON.parse(text);
  if (isRecord(file) && file['version'] === version && isRecord(file['state'])) {
    // A daemon before this one knew nothing of them.
    const state = { unstarted: [], ...file['state'] };
    if (isRebootState(state)) return state;
  }
  throw new Error(`${path} is not what this version writes`);
}

/** Replaces the file. Rejects with the system's error. */
export function writeRebootState(path: string, state: RebootState): Promise<void> {
  return writeWhole(path, JSON.stringify({ version, state }));
}

/** True for a domain to be stopped or started, as it stands in a state file. */
export function isStoppedDomain(value: unknown): value is StoppedDomain {
  return isNamed(value) && isNumber(value['order']) && isCards(value['cards']);
}

/** True for a plain object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const phases = ['idle', 'surveying', 'stopping', 'grace', 'checking', 'rebooting', 'undoing'];
const marks = ['armed', 'driver-changed', 'guest-restarting', 'reboot-pending'];
const consents = ['none', 'auto', 'person'];

function isRebootState(value: unknown): value is RebootState {
  return (
    isRecord(value) &&
    isText(value['boot']) &&
    isText(value['refusal']) &&
    isNumber(value['attempt']) &&
    isNumber(value['until']) &&
    isOneOf(phases, value['phase']) &&
    typeof value['sent'] === 'boolean' &&
    typeof value['autoSpent'] === 'boolean' &&
    isList(value['marked'], isMarked) &&
    isList(value['kept'], isStoppedDomain) &&
    isList(value['others'], isStoppedDomain) &&
    isList(value['unstarted'], (one) => isNamed(one) && isText(one['why'])) &&
    isList(value['left'], isText) &&
    isList(value['restarts'], (one) => isRecord(one) && isText(one['uuid']) && isNumber(one['at']))
  );
}

function isMarked(value: unknown): value is MarkedDomain {
  return (
    isNamed(value) &&
    isOneOf(marks, value['mark']) &&
    isOneOf(consents, value['consent']) &&
    isCards(value['cards']) &&
    isText(value['from']) &&
    isText(value['to'])
  );
}

function isNamed(value: unknown): value is Record<string, unknown> {
  return isRecord(value) && isText(value['uuid']) && isText(value['name']);
}

function isCards(value: unknown): value is readonly CardAddress[] {
  return isList(value, (one) => isText(one) && isCardAddress(one));
}

function isList(value: unknown, isOne: (one: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isOne);
}

function isOneOf(words: readonly string[], value: unknown): boolean {
  return isText(value) && words.includes(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
