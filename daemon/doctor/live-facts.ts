/**
 * What only the host itself can tell, and a copy of its files cannot. A bundle carries it as a file, so that doctor says
 * elsewhere what it says on the host. The file is hostile like the rest of a captured tree.
 */
import { type FunctionAddress, isFunctionAddress } from '../pci/address.ts';
import { isRecord } from '../record.ts';
import type { HostFiles } from './captured.ts';
import type { FileFacts } from './qemu-user.ts';
import type { DisksInUse } from './system-disks.ts';

export interface LiveFacts {
  readonly disks: DisksInUse;
  /** As in HookFacts. */
  readonly hookLate: boolean | undefined;
  /** What the files that domains name are to QEMU. */
  readonly files: ReadonlyMap<string, FileFacts>;
}

/** Where a bundle keeps it, below its root. */
export const livePath = '/live.json';

const maxBytes = 4 * 1024 * 1024;
const maxFiles = 8192;
const maxDisks = 1024;

/** The file's text. */
export function liveText({ disks, hookLate, files }: LiveFacts): string {
  const rows = Array.from(files, ([path, facts]) => ({ path, ...facts }));
  return `${JSON.stringify({ disks, hookLate, files: rows }, null, 1)}\n`;
}

/** Reads it from a captured tree; undefined where it is missing or no such file. What is wrong in it is left out. */
export function readCapturedLive(files: HostFiles): LiveFacts | undefined {
  const root = parsed(files.text(livePath, maxBytes));
  if (root === undefined) return undefined;
  const disks = objectOf(root['disks']) ?? {};
  const rows = listOf(root['files'], maxFiles).flatMap((row) => {
    const path = objectOf(row)?.['path'];
    return typeof path === 'string' ? [[path, fileFacts(row)] as const] : [];
  });
  return {
    disks: { system: addresses(disks['system']), mounted: addresses(disks['mounted']) },
    hookLate: flag(root['hookLate']),
    files: new Map(rows),
  };
}

function parsed(text: string | undefined): Readonly<Record<string, unknown>> | undefined {
  try {
    return text === undefined ? undefined : objectOf(JSON.parse(text));
  } catch {
    return undefined; // whatever it is, it is not ours
  }
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return isRecord(value) ? value : undefined;
}

function listOf(value: unknown, most: number): readonly unknown[] {
  return Array.isArray(value) ? value.slice(0, most) : [];
}

function addresses(value: unknown): readonly FunctionAddress[] {
  return listOf(value, maxDisks).filter(
    (one): one is FunctionAddress => typeof one === 'string' && isFunctionAddress(one),
  );
}

function fileFacts(row: unknown): FileFacts {
  const { exists, readable } = objectOf(row) ?? {};
  return { exists: flag(exists), readable: flag(readable) };
}

function flag(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined;
}
