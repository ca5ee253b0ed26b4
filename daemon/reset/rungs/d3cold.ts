/**
 * Takes the power away below the port by runtime PM: every function and port down to the one whose power ACPI can cut (_PR3,
 * power_resources_D3hot of its firmware node; facts/kernel.md 6 row 11) is allowed to sleep; when that port has gone to D3cold
 * the rails are off, and waking it is a cold start. Functions without a driver stay in D0 until the port takes them along
 * (pci_pm_runtime_suspend of drivers/pci/pci-driver.c). It may not come back, so it stands late in every ladder.
 */
import { waitFor } from '../../deadline.ts';
import type { Host } from '../../host/host.ts';
import type { FunctionAddress } from '../../pci/address.ts';
import { deviceDirectory } from '../../pci/device.ts';
import { readAttribute } from '../../sysfs/read.ts';
import {
  foreign,
  hostDriven,
  type PortFacts,
  type ResetFacts,
  type Rung,
  type RungAnswer,
  refusal,
  unavailable,
} from '../rung.ts';

/** A port goes to sleep 100 ms after its last child (pcie_portdrv_probe); more than that means that something keeps it awake. */
const asleepMs = 5000;

export const d3cold: Rung = {
  name: 'd3cold',
  does: 'lets the card and its port sleep until the platform cuts its power, and wakes them',
  expectedMs: 3000,
  worstMs: 120000,
  reach: 'machine',
  breaksLink: true,
  busWide: false,
  afterGuest: false,
  assess(facts) {
    if (facts.gone) return unavailable('no function of the card is on the bus');
    const port = portFor(facts);
    if (port === undefined)
      return unavailable('the platform cannot cut the power of this card (no _PR3)');
    const others = foreign(facts, port.below);
    if (others.length > 0) return unavailable(`it would cut off ${others.join(', ')}`);
    const driven = hostDriven(facts);
    if (driven !== undefined) return unavailable(driven);
    return { available: true, reaches: port.below };
  },
  async run(facts, host) {
    const port = portFor(facts);
    if (port === undefined) return { state: 'error', said: 'no port can cut the power' };
    const devices = [
      ...facts.functions.map((fn) => fn.address),
      ...facts.ports.slice(0, facts.ports.indexOf(port) + 1).map((one) => one.address),
    ];
    const before = devices.map((device) => ({ device, ...settingsOf(host, device) }));
    for (const device of devices) {
      for (const [name, value] of asleep) {
        const refused = await set(host, device, name, value);
        // A child that hangs has the device's lock: nothing more is written to it.
        if (refused?.state === 'stuck') return refused;
        if (refused !== undefined) return (await wake(host, before)) ?? refused;
      }
    }
    const state = () =>
      readAttribute(`${deviceDirectory(host.paths.sys, port.address)}/power_state`);
    const off = await waitFor(() => (state() === 'D3cold' ? true : undefined), asleepMs, 20);
    const seen = state() ?? 'unknown';
    const stopped = await wake(host, before);
    if (stopped !== undefined) return stopped;
    return off === true
      ? { state: 'done', said: `${port.address} was in D3cold, and is awake again` }
      : { state: 'error', said: `${port.address} never went to D3cold (power_state ${seen})` };
  },
};

const asleep = [
  ['d3cold_allowed', '1'],
  ['power/control', 'auto'],
] as const;

interface Before {
  readonly device: FunctionAddress;
  readonly control: string | undefined;
  readonly allowed: string | undefined;
}

// The lowest one: the less is switched off, the better.
function portFor(facts: ResetFacts): PortFacts | undefined {
  return facts.ports.find((port) => port.canCutPower);
}

function settingsOf(host: Host, device: FunctionAddress): Omit<Before, 'device'> {
  const directory = deviceDirectory(host.paths.sys, device);
  return {
    control: readAttribute(`${directory}/power/control`),
    allowed: readAttribute(`${directory}/d3cold_allowed`),
  };
}

// From the port down: a function cannot wake below a port that sleeps. What it was before is what it is afterwards.
async function wake(host: Host, before: readonly Before[]): Promise<RungAnswer | undefined> {
  let refused: RungAnswer | undefined;
  const put = async (device: FunctionAddress, name: string, value: string): Promise<void> => {
    if (refused?.state === 'stuck') return;
    const answer = await set(host, device, name, value);
    if (refused === undefined || answer?.state === 'stuck') refused = answer;
  };
  for (const { device } of before.toReversed()) await put(device, 'power/control', 'on');
  for (const { device, control, allowed } of before) {
    if (allowed !== undefined) await put(device, 'd3cold_allowed', allowed);
    if (control === 'auto') await put(device, 'power/control', control);
  }
  return refused;
}

async function set(
  host: Host,
  device: FunctionAddress,
  name: string,
  value: string,
): Promise<RungAnswer | undefined> {
  const path = `${deviceDirectory(host.paths.sys, device)}/${name}`;
  if (readAttribute(path) === undefined) return undefined;
  return refusal(await host.io.write(path, value, host.deadlines.wake), `${name} of ${device}`);
}
