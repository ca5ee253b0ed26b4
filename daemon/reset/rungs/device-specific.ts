/**
 * The kernel's `device_specific` method: a quirk of the kernel, or a module that hooks pci_dev_specific_reset (vendor-reset:
 * BACO or mode 1 of the whole card). Since 5.15 the module is asked only where the method has been chosen after it was
 * loaded, and it answers 0 whatever came of it (facts/kernel.md 0.8, 4): what it says of a failure in the kernel log, and the card
 * itself, are the answer.
 */

import { classify } from '../../doctor/explain.ts';
import { triedAwake } from '../../host/awake.ts';
import type { Host } from '../../host/host.ts';
import { mainFunction } from '../../pci/inventory.ts';
import { printable } from '../../printable.ts';
import type { ResetFacts, Rung } from '../rung.ts';
import { methodRung } from './method.ts';

const method = 'device_specific';
/** Most lines of the log that are judged: vendor-reset says about ten per reset. */
const maxLines = 200;

const kernel = methodRung({
  name: method,
  does: 'resets the card by its own procedure (kernel quirk or vendor-reset)',
  expectedMs: 2000,
  worstMs: 80000,
  reach: 'card',
  breaksLink: true,
  afterGuest: true,
  throughConfig: false,
});

export const deviceSpecific: Rung = {
  ...kernel,
  assess(facts) {
    const assessment = kernel.assess(withModule(facts));
    const { module } = facts;
    const listed = facts.functions.some((fn) => fn.methods?.includes(method));
    if (assessment.available || module === undefined || module.loaded || listed) return assessment;
    const what = `the kernel module ${module.name}, which gives it to this card, is not loaded`;
    const when = 'each start and each reset by hand loads it, where it can be had';
    return {
      available: false,
      reason: `${what}: ${when} (to see why not: modprobe ${module.name})`,
    };
  },
  async run(facts, host) {
    const cursor = host.kernelLog.cursor();
    const answer = await kernel.run(withModule(facts), host);
    if (answer.state === 'stuck') return answer;
    // vendor-reset leaves the card in D3hot, and from D3cold it may not come back (facts/kernel.md 4).
    const devices = [...facts.functions, ...facts.ports].map(({ address }) => address);
    const awake = await triedAwake(host, devices);
    const said = [answer.said, ...moduleSays(facts), ...awake].join('; ');
    const line = answer.state === 'done' ? failureIn(facts, host, cursor) : undefined;
    return line === undefined
      ? { ...answer, said }
      : { state: 'error', said: `${said}; but its own log says that it failed: ${line}` };
  },
};

// A module that is loaded is asked although the list does not have it: it was loaded after the device was found.
function withModule(facts: ResetFacts): ResetFacts {
  const main = mainFunction(facts.card)?.address;
  if (facts.module?.loaded !== true) return facts;
  return {
    ...facts,
    functions: facts.functions.map((fn) =>
      fn.address === main ? { ...fn, methods: [method, ...(fn.methods ?? [])] } : fn,
    ),
  };
}

function moduleSays({ module }: ResetFacts): readonly string[] {
  return module === undefined || module.loaded ? [] : [`${module.name} is not loaded any more`];
}

// Not its status line ("SMU response reg: ffffffff, sol reg: ffffffff"): that is what it found, written before it resets anything
// (amd_navi10_reset, amd_vega10_reset). Whether the card was lost in the reset, and is back, the next check sees.
function failureIn(facts: ResetFacts, host: Host, cursor: number): string | undefined {
  const own = facts.card.functions.map((fn) => fn.address);
  const line = host.kernelLog.since(cursor, own, maxLines).find((text) => {
    const found = classify(text);
    return found?.certain === true && found.class === 'reset-failed';
  });
  return line === undefined ? undefined : printable(line);
}
