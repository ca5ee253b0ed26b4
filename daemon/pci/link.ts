/**
 * Speed and width of a PCI Express link, against the best that was seen there. A narrow link after a reset works and is slow: it
 * is said, and is no reason to reset a card again. Speed falls and rises with load on GPUs, so the width is what tells.
 */
import type { FunctionAddress } from './address.ts';
import { walkCapabilities } from './config-space.ts';

export interface Link {
  /** GT/s: 2.5, 5, 8, 16, 32, 64. */
  readonly speed: number;
  /** Lanes. */
  readonly width: number;
}

/** PCI_EXP_LNKSTA_CLS: 1 is 2.5 GT/s. */
const speeds: readonly (number | undefined)[] = [undefined, 2.5, 5, 8, 16, 32, 64];

/**
 * The link of a function by the first 256 bytes of its config space; undefined where it is dead, down or not there. The
 * attributes `current_link_*` read the same register, and wake what sleeps (sysfs/read.ts).
 */
export function linkOf(config: Buffer): Link | undefined {
  const list = config.length < 64 ? undefined : walkCapabilities(config);
  if (list?.state !== 'whole' || list.linkStatus === undefined) return undefined;
  const speed = speeds[list.linkStatus & 0xf];
  const width = (list.linkStatus >> 4) & 0x3f;
  // 0: the link is down; 63: it reads as ones (facts/kernel.md 0.5).
  return speed === undefined || width === 0 || width > 32 ? undefined : { speed, width };
}

/** The faster and the wider of two. */
export function bestLink(a: Link, b: Link | undefined): Link {
  if (b === undefined) return a;
  return { speed: Math.max(a.speed, b.speed), width: Math.max(a.width, b.width) };
}

/** What is to be said of a link that is narrower than the best that was seen; undefined where nothing is. */
export function linkNote(
  address: FunctionAddress,
  now: Link,
  best: Link | undefined,
): string | undefined {
  if (best === undefined || now.width >= best.width) return undefined;
  return `${address}: its link has ${linkText(now)} where ${linkText(best)} was seen`;
}

function linkText({ speed, width }: Link): string {
  return `x${width} at ${speed} GT/s`;
}
