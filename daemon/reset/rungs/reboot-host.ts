/**
 * The end of every ladder. A reboot of the host is never done as a rung: it takes everything with it, so it is asked for, and a
 * person says when.
 */
import type { Rung } from '../rung.ts';

const needed =
  'reboot needed: nothing milder brings this card back, and a reboot of the host is never done without your consent';

export const rebootHost: Rung = {
  name: 'reboot-host',
  does: 'asks for a reboot of the host',
  expectedMs: 0,
  worstMs: 0,
  reach: 'host',
  breaksLink: false,
  busWide: false,
  afterGuest: false,
  assess: () => ({ available: false, reason: needed }),
  run: async () => ({ state: 'error', said: needed }),
};
