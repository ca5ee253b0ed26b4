/**
 * Lets the host's own driver reset the card: bind amdgpu (which by itself resets Polaris and Navi), have it recover the GPU
 * through debugfs, or by a BACO cycle of its runtime PM, read its verdict in the kernel log, and unbind (facts/kernel.md 5).
 * On a card whose config space is dead it can hang or crash the host, so there it is never tried.
 */
import { waitFor } from '../../deadline.ts';
import { classify } from '../../doctor/explain.ts';
import { holdersOf, hostNodes, namesOf } from '../../host/holders.ts';
import type { Host } from '../../host/host.ts';
import type { FunctionAddress } from '../../pci/address.ts';
import { deviceDirectory } from '../../pci/device.ts';
import { mainFunction } from '../../pci/inventory.ts';
import { readOverride } from '../../pci/override.ts';
import { quirkOf } from '../../pci/quirks.ts';
import { printable } from '../../printable.ts';
import { present, readAttribute, readLinkName, readNames } from '../../sysfs/read.ts';
import {
  hostDriven,
  type ResetFacts,
  type Rung,
  type RungAnswer,
  refusal,
  unavailable,
} from '../rung.ts';

const driver = 'amdgpu';
/** Firmware is loaded, memory is trained, rings are tested: seconds; 60 s is where the driver itself gives up. */
const probeMs = 80_000;
const recoverMs = 80_000;
const sleepMs = 15_000;
const maxLines = 400;

export const amdgpu: Rung = {
  name: 'amdgpu',
  does: 'lets the host driver amdgpu take the card, reset it, and give it back',
  expectedMs: 15000,
  worstMs: 200000,
  reach: 'machine',
  breaksLink: true,
  busWide: false,
  afterGuest: false,
  assess(facts) {
    const main = mainOf(facts);
    if (facts.gone || main === undefined)
      return unavailable('no function of the card is on the bus');
    if (quirkOf(facts.card).driverReset === undefined) {
      return unavailable('amdgpu does not reset cards of this family');
    }
    if (facts.configDead.includes(main)) {
      return unavailable(
        `the config space of ${main} is dead: amdgpu could hang or crash the host on it`,
      );
    }
    // Loading it would let it grab every other AMD card that has no driver, and overrule a blacklist.
    if (!facts.amdgpuLoaded) return unavailable('the driver amdgpu is not loaded on this host');
    const driven = hostDriven(facts);
    if (driven !== undefined) return unavailable(driven);
    return { available: true, reaches: facts.card.functions.map((fn) => fn.address) };
  },
  async run(facts, host) {
    const main = mainOf(facts);
    if (main === undefined) return { state: 'error', said: 'the card has no main function' };
    const file = `${deviceDirectory(host.paths.sys, main)}/driver_override`;
    const before = await readOverride(host, main).catch(() => undefined);
    if (before === undefined) return { state: 'error', said: 'driver_override cannot be read' };
    const limit = host.deadlines.attributeWrite;
    const cursor = host.kernelLog.cursor();
    const own = facts.card.functions.map((fn) => fn.address);
    const log = () => host.kernelLog.since(cursor, own, maxLines);
    const chosen = refusal(await host.io.write(file, `${driver}\n`, limit), 'driver_override');
    const answer = chosen ?? (await boundReset(facts, main, host, log)) ?? verdict(log(), main);
    if (answer.state === 'stuck') return answer;
    const back = refusal(await host.io.write(file, `${before}\n`, limit), 'driver_override');
    return back ?? answer;
  },
};

function mainOf(facts: ResetFacts): FunctionAddress | undefined {
  const main = mainFunction(facts.card)?.address;
  return facts.functions.find((fn) => fn.address === main)?.address;
}

// Undefined when all went through; the verdict is the driver's own.
async function boundReset(
  facts: ResetFacts,
  main: FunctionAddress,
  host: Host,
  log: () => readonly string[],
): Promise<RungAnswer | undefined> {
  const { sys } = host.paths;
  const directory = deviceDirectory(sys, main);
  const now = () => readLinkName(`${directory}/driver`);
  const old = now();
  if (old !== undefined) {
    const path = `${sys}/bus/pci/drivers/${old}/unbind`;
    const left = refusal(await host.io.write(path, main, host.deadlines.bind), `unbind ${old}`);
    if (left !== undefined) return left;
  }
  const probed = await host.io.write(`${sys}/bus/pci/drivers_probe`, main, probeMs);
  if (probed.state === 'stuck') return refusal(probed, 'binding amdgpu');
  if (now() !== driver) return { state: 'error', said: 'amdgpu did not take the card' };
  const reset = await trigger(facts, directory, host, log);
  if (reset?.state === 'stuck') return reset;
  const open = holdersOf(host.paths.proc, new Set(hostNodes(host.paths.dev, directory)));
  // Unbound under a client it may oops (facts/kernel.md 1): it stays, and the next step waits for that client.
  if (open.length > 0) {
    return { state: 'error', said: `amdgpu has the card, and it is in use: ${namesOf(open)}` };
  }
  const path = `${sys}/bus/pci/drivers/${driver}/unbind`;
  const left = refusal(await host.io.write(path, main, host.deadlines.bind), 'unbind amdgpu');
  return left?.state === 'stuck' ? left : (reset ?? left);
}

async function trigger(
  facts: ResetFacts,
  directory: string,
  host: Host,
  log: () => readonly string[],
): Promise<RungAnswer | undefined> {
  const { method, onLoad } = quirkOf(facts.card).driverReset ?? {};
  const minor = readNames(`${directory}/drm`)
    ?.map((name) => /^card(\d{1,6})$/.exec(name)?.[1])
    .find((number) => number !== undefined);
  const recover = `${host.paths.sys}/kernel/debug/dri/${minor}/amdgpu_gpu_recover`;
  if (minor !== undefined && present(recover)) {
    // Reading it starts the reset, waits for its end and gives its return code.
    const result = await host.io.read(recover, 64, recoverMs);
    if (result.state !== 'ok') return refusal(result, 'amdgpu_gpu_recover');
    const code = result.data.toString('latin1').trim();
    if (!/^(gpu recover )?0$/.test(code)) {
      return { state: 'error', said: `amdgpu_gpu_recover answered ${printable(code)}` };
    }
    // 0 is also what it answers where nothing was to be recovered (amdgpu_device_should_recover_gpu).
    return log().some((text) => classify(text)?.class === 'reset-ok')
      ? undefined
      : { state: 'error', said: 'amdgpu_gpu_recover answered 0, but its log tells of no reset' };
  }
  if (onLoad === true) return undefined; // binding it was the reset
  return method === 'baco'
    ? bacoAlone(facts, directory, host)
    : { state: 'error', said: 'debugfs is not there, and amdgpu has no other way to be asked' };
}

// The other functions of the card are its consumers (facts/kernel.md 1): kept awake, they keep it from falling asleep.
async function bacoAlone(
  facts: ResetFacts,
  directory: string,
  host: Host,
): Promise<RungAnswer | undefined> {
  const main = mainOf(facts);
  const others = facts.functions.filter(({ address }) => address !== main);
  const set = async (value: 'auto' | 'on') => {
    for (const { address } of others) {
      const file = `${deviceDirectory(host.paths.sys, address)}/power/control`;
      const result = await host.io.write(file, value, host.deadlines.bind);
      if (result.state === 'stuck') return refusal(result, `power/control of ${address}`);
    }
    return undefined;
  };
  const slept = (await set('auto')) ?? (await bacoCycle(directory, host));
  return slept?.state === 'stuck' ? slept : ((await set('on')) ?? slept);
}

// A discrete card that runtime PM lets sleep goes through BACO: the chip is off, the bus is alive.
async function bacoCycle(directory: string, host: Host): Promise<RungAnswer | undefined> {
  const status = () => readAttribute(`${directory}/power/runtime_status`);
  for (const [name, value] of [
    ['power/autosuspend_delay_ms', '0'],
    ['power/control', 'auto'],
  ] as const) {
    const result = await host.io.write(`${directory}/${name}`, value, host.deadlines.bind);
    const refused = refusal(result, name);
    if (refused !== undefined && name === 'power/control') return refused;
  }
  const slept = await waitFor(() => (status() === 'suspended' ? true : undefined), sleepMs, 50);
  const awake = await host.io.write(`${directory}/power/control`, 'on', recoverMs);
  const refused = refusal(awake, 'power/control');
  if (refused !== undefined) return refused;
  return slept === true
    ? undefined
    : { state: 'error', said: 'amdgpu did not let the card sleep (BACO)' };
}

function verdict(log: readonly string[], main: FunctionAddress): RungAnswer {
  const bad = log.find((text) => {
    const found = classify(text);
    return (
      found?.certain === true &&
      /^(reset-failed|device-lost|driver-stuck|iommu-stuck)$/.test(found.class)
    );
  });
  return bad === undefined
    ? { state: 'done', said: `amdgpu had ${main}, reset it and let it go` }
    : { state: 'error', said: `amdgpu says that it failed: ${printable(bad)}` };
}
