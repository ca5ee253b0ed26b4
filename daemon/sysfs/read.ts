/**
 * Plain reads of sysfs attributes that never block, not even while a reset of the device runs
 * (facts/kernel.md 0, finding 4: vendor, device, class, resource, reset_method, power_state).
 * `driver_override` (pci-sysfs.c, most kernels) and `uevent` (6.10 to 6.13) take device_lock to be shown, and `config` waits for
 * the reset itself: these go through io.ts. Links, bus numbers and the power of a slot are registers: since 6.12 the kernel
 * wakes the device and the ports above it to show them (pci_config_pm_runtime_get), and waits a minute for one that cannot wake.
 */
import {
  closeSync,
  constants,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { basename } from 'node:path';

// sysfs shows at most a page (fs/sysfs/file.c). One buffer for all: a read is synchronous.
const page = Buffer.alloc(4096);

const registers =
  /\/((current|max)_link_(speed|width)|(secondary|subordinate)_bus_number|slots\/[^/]+\/power)$/;
const blocking = /\/(driver_override|uevent|config)$/;
// No attribute is a link; in a captured tree one could lead to any file of the host that judges it.
const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | constants.O_NOFOLLOW;

/**
 * An attribute without its newline; undefined when it is missing or cannot be read. A captured tree may hold anything under
 * that name: a pipe does not block, of a huge file the first page is read, and a link is not followed.
 */
export function readAttribute(path: string): string | undefined {
  // A defect of ours: with it the whole daemon stands still as long as one card's reset does.
  if (blocking.test(path) || registers.test(path)) {
    throw new Error(`${path} may block: read it through SysfsIo`);
  }
  return readPage(path);
}

/**
 * As readAttribute, of what the kernel reads from a register of the device: it may take a minute. For captured trees, and for
 * processes that only their caller waits for; never for the daemon, and not where something sleeps that it would wake.
 */
export function readRegister(path: string): string | undefined {
  if (!registers.test(path)) throw new Error(`${path} shows no register: use readAttribute`);
  return readPage(path);
}

function readPage(path: string): string | undefined {
  try {
    const fd = openSync(path, flags);
    try {
      return page.toString('latin1', 0, readSync(fd, page, 0, page.length, null)).trimEnd();
    } finally {
      closeSync(fd);
    }
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

/** Where a path leads to, through all links; undefined when it leads nowhere. */
export function realPath(path: string): string | undefined {
  try {
    return realpathSync.native(path);
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

/**
 * True when something is at the path. By stat(2): access(2), which existsSync uses, also asks the device cgroup, and
 * DevicePolicy=closed answers no for /dev/vfio/N (fs/namei.c inode_permission; seen in the lab).
 */
export function present(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false; // ENOTDIR, ELOOP, EACCES: nothing that we could use
  }
}
