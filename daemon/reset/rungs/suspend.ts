/**
 * Removes the functions, lets the host sleep (S3), and looks for them again: the most general way to take a card's power
 * (facts/kernel.md 6 row 8). What stayed on the bus would get back what was saved of the dead card. Below a slot with a power
 * switch the functions are removed when the host is awake again: a slot that pciehp then finds empty it takes for one whose card
 * was replaced, and switches it off and on while we rescan (pciehp_device_replaced, 6.11; seen in the lab).
 */
import { asRevivedError } from '../../errors.ts';
import { hostDriven, type Rung, unavailable } from '../rung.ts';
import {
  onTheBus,
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
  reach: 'host',
  breaksLink: true,
  busWide: true,
  afterGuest: false,
  assess(facts) {
    if (facts.noSleep !== undefined) return unavailable(facts.noSleep);
    const driven = hostDriven(facts);
    if (driven !== undefined) return unavailable(driven);
    return { available: true, reaches: facts.card.functions.map((fn) => fn.address) };
  },
  survey: (host) => host.suspend.survey(),
  undo: (before, host) => host.suspend.undo(before),
  run(facts, host) {
    return onTheBus(facts, host, async () => {
      const settings = await saveSettings(facts, host);
      const stay = facts.slot !== undefined;
      const before = stay ? undefined : await removeAll(facts, host);
      if (before?.state === 'stuck') return before;
      const awake =
        before ??
        (await host.suspend.sleep().then(
          () => undefined,
          (thrown: unknown) => ({ state: 'error', said: asRevivedError(thrown).message }) as const,
        ));
      if (stay && awake !== undefined) return awake;
      const after = stay ? await removeAll(facts, host) : undefined;
      if (after?.state === 'stuck') return after;
      const lost = await rescanBelow(facts, host);
      if (lost !== undefined) return lost;
      const answer = await waitForAll(facts, host, host.deadlines.appear);
      await restoreSettings(settings, host);
      return awake ?? after ?? answer;
    });
  },
};
