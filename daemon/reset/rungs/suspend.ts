/**
 * Removes the functions, lets the host sleep (S3), and looks for them again: the most general way to take a card's power
 * (facts/kernel.md 6 row 8). What stayed on the bus would get back what was saved of the dead card.
 */
import { asRevivedError } from '../../errors.ts';
import { hostDriven, type Rung } from '../rung.ts';
import {
  removeAll,
  rescanBelow,
  restoreSettings,
  saveSettings,
  waitForAll,
} from './reenumerate.ts';

export const suspend: Rung = {
  name: 'suspend',
  does: 'takes the functions off the bus, lets the whole host sleep for 20 seconds, and looks for them again',
  expectedMs: 30000,
  worstMs: 180000,
  assess(facts) {
    const no = (reason: string) => ({ available: false, reason }) as const;
    if (facts.noSleep !== undefined) return no(facts.noSleep);
    const driven = hostDriven(facts);
    if (driven !== undefined) return no(`${driven}: it must be unbound first`);
    return { available: true, reaches: facts.card.functions.map((fn) => fn.address) };
  },
  run(facts, host) {
    return host.rescanLock.run(async () => {
      const settings = await saveSettings(facts, host);
      const refused = await removeAll(facts, host);
      if (refused?.state === 'stuck') return refused;
      const awake =
        refused ??
        (await host.suspend.sleep().then(
          () => undefined,
          (thrown: unknown) => ({ state: 'error', said: asRevivedError(thrown).message }) as const,
        ));
      const lost = await rescanBelow(facts, host);
      if (lost !== undefined) return lost;
      const answer = await waitForAll(facts, host, host.deadlines.appear);
      await restoreSettings(settings, host);
      return awake ?? answer;
    });
  },
};
