/**
 * Rungs that the kernel's reset_method knows by name: the method alone is written, then `reset`, then the old list.
 * `reset_method` is a cache of probe time and lies for functions that have siblings (facts/kernel.md 0.1): each rung
 * adds what it knows about that.
 */
import type { Host } from '../../host/host.ts';
import type { FunctionAddress } from '../../pci/address.ts';
import { deviceDirectory } from '../../pci/device.ts';
import { readAttribute } from '../../sysfs/read.ts';
import {
  type Assessment,
  hostDriven,
  type ResetFacts,
  type Rung,
  type RungAnswer,
  refusal,
  unavailable,
} from '../rung.ts';

interface MethodRung extends Omit<Rung, 'busWide' | 'assess' | 'run'> {
  /** True when the method is carried out through the function's own config space: useless where that is dead. */
  readonly throughConfig: boolean;
  /** A further reason against it. */
  readonly unless?: (facts: ResetFacts) => string | undefined;
}

/** Builds the rung for one kernel method. */
export function methodRung(method: MethodRung): Rung {
  const having = (facts: ResetFacts) =>
    facts.functions.filter((fn) => fn.methods?.includes(method.name)).map((fn) => fn.address);
  const isDead = (facts: ResetFacts, address: FunctionAddress) =>
    method.throughConfig && facts.configDead.includes(address);
  const { name, does, expectedMs, worstMs, reach, breaksLink, afterGuest } = method;
  return {
    ...{ name, does, expectedMs, worstMs, reach, breaksLink, afterGuest, busWide: false },
    assess(facts): Assessment {
      if (facts.gone) return unavailable('no function of the card is on the bus');
      const offered = having(facts);
      if (offered.length === 0)
        return unavailable('the kernel offers it for no function of this card');
      const against = method.unless?.(facts);
      if (against !== undefined) return unavailable(against);
      const reaches = offered.filter((address) => !isDead(facts, address));
      if (reaches.length === 0) {
        return unavailable(
          `it works through the config space of ${offered.join(', ')}, which is dead`,
        );
      }
      const driven = hostDriven(facts);
      if (driven !== undefined) return unavailable(driven);
      return { available: true, reaches };
    },
    async run(facts, host): Promise<RungAnswer> {
      const said: string[] = [];
      let state: 'done' | 'error' = 'done';
      for (const address of having(facts)) {
        if (isDead(facts, address)) {
          said.push(`${address}: left out, its config space is dead`);
          continue;
        }
        const answer = await resetBy(host, address, method.name, method.worstMs);
        said.push(`${address}: ${answer.said}`);
        if (answer.state === 'stuck') return { ...answer, said: said.join('; ') };
        if (answer.state === 'error') state = 'error';
      }
      return { state, said: said.join('; ') };
    },
  };
}

async function resetBy(
  host: Host,
  address: FunctionAddress,
  method: string,
  worstMs: number,
): Promise<RungAnswer> {
  const directory = deviceDirectory(host.paths.sys, address);
  const file = `${directory}/reset_method`;
  const limit = host.deadlines.attributeWrite;
  const before = readAttribute(file) ?? '';
  const chosen = await host.io.write(file, method, limit);
  if (chosen.state === 'error') {
    return { state: 'error', said: `the kernel refuses the method (${chosen.errno})` };
  }
  const unchosen = refusal(chosen, `choosing ${method}`);
  if (unchosen !== undefined) return unchosen;
  const reset = await host.io.write(`${directory}/reset`, '1', worstMs);
  const hangs = refusal(reset, method);
  if (hangs?.state === 'stuck') return hangs;
  // The old list may hold a stale entry that the kernel now refuses: then all methods are probed anew.
  const back = await host.io.write(file, before === '' ? '\n' : before, limit);
  if (back.state === 'error') await host.io.write(file, 'default', limit);
  const seconds = (reset.ms / 1000).toFixed(1);
  return reset.state === 'error'
    ? { state: 'error', said: `${reset.errno} after ${seconds} s` }
    : { state: 'done', said: `returned 0 after ${seconds} s` };
}
