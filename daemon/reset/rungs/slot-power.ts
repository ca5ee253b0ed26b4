/**
 * Power off and on by the slot's own switch (pciehp; facts/kernel.md 1 slots, 9.2). The functions are removed first:
 * with them in place a slot without power answers "Already enabled". EINVAL on 0 means that somebody else took the power
 * away, ENODEV that pciehp has it off already (drivers/pci/hotplug/pciehp_ctrl.c).
 */
import {
  foreign,
  hostDriven,
  type ResetFacts,
  type Rung,
  type RungAnswer,
  refusal,
  unavailable,
} from '../rung.ts';
import {
  onTheBus,
  removeAll,
  rescanBelow,
  restoreSettings,
  saveSettings,
  waitForAll,
} from './reenumerate.ts';

export const slotPower: Rung = {
  name: 'slot-power',
  does: 'switches the power of the slot off and on',
  expectedMs: 3000,
  worstMs: 120000,
  reach: 'machine',
  breaksLink: true,
  busWide: true,
  afterGuest: false,
  assess(facts) {
    if (facts.slot === undefined) {
      return unavailable('the platform has no power switch for this slot');
    }
    const driven = hostDriven(facts);
    if (driven !== undefined) return unavailable(driven);
    const reaches = below(facts);
    const others = foreign(facts, reaches);
    if (others.length > 0) return unavailable(`it would cut off ${others.join(', ')}`);
    return { available: true, reaches };
  },
  run(facts, host) {
    return onTheBus(facts, host, async () => {
      const slot = facts.slot;
      if (slot === undefined) return { state: 'error', said: 'the slot has no power switch' };
      const settings = await saveSettings(facts, host);
      // What was removed already is found again where the rest is refused, or the card is lost to the rungs after this one.
      const found = async (refused: RungAnswer): Promise<RungAnswer> => {
        const lost = refused.state === 'stuck' ? undefined : await rescanBelow(facts, host);
        if (lost?.state === 'stuck') return lost;
        if (refused.state !== 'stuck') await restoreSettings(settings, host);
        return refused;
      };
      const refused = await removeAll(facts, host);
      if (refused !== undefined) return found(refused);
      for (const [value, tolerated] of [
        ['0', ['EINVAL', 'ENODEV']],
        ['1', []],
      ] satisfies readonly (readonly [string, readonly string[]])[]) {
        const result = await host.io.write(`${slot.directory}/power`, value, host.deadlines.bind);
        const isTolerated = result.state === 'error' && tolerated.includes(result.errno);
        const refused = isTolerated ? undefined : refusal(result, `slot power ${value}`);
        if (refused !== undefined) return found(refused);
      }
      const answer = await waitForAll(facts, host, host.deadlines.appear);
      await restoreSettings(settings, host);
      return answer;
    });
  },
};

// The slot belongs to the port whose secondary bus the card sits on.
function below(facts: ResetFacts) {
  return facts.ports[0]?.below ?? facts.card.functions.map((fn) => fn.address);
}
