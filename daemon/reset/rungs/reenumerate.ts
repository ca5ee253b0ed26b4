/**
 * Taking functions off the bus and finding them again, for the rungs that do so. The kernel forgets driver_override,
 * power/control, d3cold_allowed and reset_method with the device, and the host driver grabs it at once
 * (facts/kernel.md 0.11): the settings are written again, unbinding is left to the next step of the plan.
 */
import { waitFor } from '../../deadline.ts';
import type { Host } from '../../host/host.ts';
import type { FunctionAddress } from '../../pci/address.ts';
import { deviceDirectory } from '../../pci/device.ts';
import { readOverride } from '../../pci/override.ts';
import { present, readAttribute } from '../../sysfs/read.ts';
import { type ResetFacts, type RungAnswer, refusal } from '../rung.ts';

const kept = ['power/control', 'd3cold_allowed'] as const;
type Settings = ReadonlyMap<FunctionAddress, readonly (readonly [string, string])[]>;

const failed = (said: string): RungAnswer => ({ state: 'error', said });

/** Settings of all functions that a removal would lose. Rejects as readOverride does. */
export async function saveSettings(facts: ResetFacts, host: Host): Promise<Settings> {
  const entries = facts.functions.map(async ({ address }) => {
    const directory = deviceDirectory(host.paths.sys, address);
    const override = await readOverride(host, address);
    const values = kept.flatMap((name): (readonly [string, string])[] => {
      const value = readAttribute(`${directory}/${name}`);
      return value === undefined ? [] : [[name, value]];
    });
    if (override !== '') values.unshift(['driver_override', override]);
    return [address, values] as const;
  });
  return new Map(await Promise.all(entries));
}

/**
 * Writes the settings again, for the functions that are there, these side by side: none depends on another's. Power that is as it
 * was is left alone, as a rescan may leave it. What is refused now is found by the next check.
 */
export async function restoreSettings(settings: Settings, host: Host): Promise<void> {
  const restored = [...settings].map(async ([address, values]) => {
    const directory = deviceDirectory(host.paths.sys, address);
    if (!present(directory)) return;
    for (const [name, value] of values) {
      // That of driver_override is not known without a child, which is what writing it takes.
      const isKnown = name !== 'driver_override';
      if (isKnown && readAttribute(`${directory}/${name}`) === value) continue;
      await host.io.write(`${directory}/${name}`, value, host.deadlines.attributeWrite);
    }
  });
  await Promise.all(restored);
}

/** The one lock for these; behind a removal that never returned nothing is begun: it would hang as well (invariant 3). */
export function onTheBus(
  facts: ResetFacts,
  host: Host,
  work: () => Promise<RungAnswer>,
): Promise<RungAnswer> {
  return host.rescanLock.run(async () => {
    const child = host.stuck.busHeldBy();
    if (child !== undefined) {
      return failed(`child ${child} hangs in a removal or rescan: nothing was done`);
    }
    const answer = await work();
    // Before the lock is free: whoever waits for it looks at this next.
    if (answer.state === 'stuck') host.stuck.note(facts.card.address, answer.pid, true);
    return answer;
  });
}

/** Removes all functions of the card that are there, the last one first. Undefined when done. */
export async function removeAll(facts: ResetFacts, host: Host): Promise<RungAnswer | undefined> {
  for (const { address } of facts.functions.toReversed()) {
    const directory = deviceDirectory(host.paths.sys, address);
    if (!present(directory)) continue;
    const result = await host.io.write(`${directory}/remove`, '1', host.deadlines.bind);
    const refused = refusal(result, `removing ${address}`);
    if (refused !== undefined) return refused;
  }
  return undefined;
}

/** Looks for functions below the port above the card; on a root bus, in the whole machine. Undefined when done. */
export async function rescanBelow(facts: ResetFacts, host: Host): Promise<RungAnswer | undefined> {
  const port = facts.ports[0];
  const path =
    port === undefined
      ? `${host.paths.sys}/bus/pci/rescan`
      : `${deviceDirectory(host.paths.sys, port.address)}/rescan`;
  return refusal(await host.io.write(path, '1', host.deadlines.bind), 'rescan');
}

/** Waits until every function of the card is on the bus; says which one is missing at the end. */
export async function waitForAll(facts: ResetFacts, host: Host, ms: number): Promise<RungAnswer> {
  const missing = () =>
    facts.card.functions
      .map((fn) => fn.address)
      .filter((address) => !present(`${deviceDirectory(host.paths.sys, address)}/vendor`));
  const all = () => (missing().length === 0 ? true : undefined);
  const found = await waitFor(all, ms, 50);
  return found === true
    ? { state: 'done', said: 'all functions are on the bus again' }
    : failed(`${missing().join(', ')} did not come back`);
}
