/**
 * Speed and width of a PCI Express link, against the best that was seen there. A narrow link after a reset works and is slow: it
 * is said, and is no reason to reset a card again. Speed falls and rises with load on GPUs, so the width is what tells.
 */
import type { FunctionAddress } from './address.ts';

export interface Link {
  /** GT/s: 2.5, 5, 8, 16, 32, 64. */
  readonly speed: number;
  /** Lanes. */
  readonly width: number;
}

/** A link as `current_link_speed` and `current_link_width` show it; undefined where it is dead, down or not there. */
export function linkOf(speed: string | undefined, width: string | undefined): Link | undefined {
  const [, gigatransfers] = /^(\d{1,3}(?:\.\d)?) GT\/s/.exec(speed ?? '') ?? [];
  const lanes = /^\d{1,2}$/.test(width ?? '') ? Number(width) : 0;
  // 0: the link is down; 63: LNKSTA reads as ones (facts/kernel.md 0.5).
  if (gigatransfers === undefined || lanes === 0 || lanes > 32) return undefined;
  return { speed: Number(gigatransfers), width: lanes };
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
