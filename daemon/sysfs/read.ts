/**
 * Plain reads of sysfs attributes that never block, not even while a reset of the device runs
 * (facts/kernel.md 0, finding 4: vendor, device, class, resource, reset_method, power_state, link files).
 * `uevent` is not among them: 6.10 to 6.13 take device_lock in uevent_show. `config` goes through io.ts.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/** An attribute without its newline; undefined when it is missing or cannot be read. */
export function readAttribute(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1').trimEnd();
  } catch {
    return undefined; // missing or refused: unknown is a value here
  }
}

/** The last element of a link's target (`driver`, `iommu_group`); undefined when there is no such link. */
export function readLinkName(path: string): string | undefined {
  const target = readLink(path);
  return target === undefined ? undefined : basename(target);
}

/** A link's target as written; undefined when there is no such link. */
export function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Names in a directory, sorted; undefined when it cannot be read (which is not the same as empty). */
export function readNames(path: string): readonly string[] | undefined {
  try {
    return readdirSync(path).sort();
  } catch {
    return undefined;
  }
}

/** True when something is at the path. */
export function present(path: string): boolean {
  return existsSync(path);
}
