/** Doctor on the biggest machine that is thought of: what a person waits for after `revivectl doctor`, but for node's start. */
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { readInventory } from '../../daemon/pci/inventory.ts';
import { SimKernel } from '../sim/kernel.ts';
import { bigMachine } from '../sim/presets.ts';
import { type Figure, median, spread } from './figure.ts';
import { unmanagedXml } from './guest.ts';

const rounds = 7;
const domains = 256;
const limitMs = 60_000;
const child = fileURLToPath(new URL('doctor-child.mjs', import.meta.url));

/** `doctor-64`: 64 cards of 8 functions, each passed whole by 4 of 256 domains; a fresh process each time. */
export async function measureDoctor(): Promise<readonly Figure[]> {
  const machine = bigMachine(64, 8);
  const kernel = SimKernel.create(machine);
  try {
    const { root } = kernel;
    const cards = slotsOf(kernel.sys);
    mkdirSync(join(root, 'etc/libvirt/qemu'), { recursive: true });
    for (let index = 0; index < domains; index++) {
      const card = cards[index % cards.length] ?? '';
      const file = join(root, 'etc/libvirt/qemu', `vm${index}.xml`);
      writeFileSync(file, domainXml(`vm${index}`, card));
    }
    const samples: { ms: number; findings: number }[] = [];
    for (let round = 0; round < rounds; round++) {
      const options = { timeout: limitMs, killSignal: 'SIGKILL' } as const;
      const { stdout } = await promisify(execFile)(process.execPath, [child, root], options);
      samples.push(JSON.parse(stdout));
    }
    const times = samples.map(({ ms }) => ms);
    const how = `examine, judge, JSON ${spread(times)}; ${samples[0]?.findings} findings; ${rounds} runs`;
    return [{ name: 'doctor-64', value: median(times), how }];
  } finally {
    kernel.dispose();
  }
}

/** `0b:00` of every slot with 8 functions. */
function slotsOf(sys: string): readonly string[] {
  const whole = Array.from(readInventory(sys).cards.values()).filter(
    (card) => card.functions.length === 8 && card.ports.length > 0,
  );
  return whole.map((card) => card.address.slice(5));
}

function domainXml(name: string, card: string): string {
  const [bus, slot] = card.split(':');
  const hostdevs = Array.from(
    { length: 8 },
    (_, fn) =>
      `<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x${bus}' slot='0x${slot}' function='0x${fn}'/></source><address type='pci' domain='0x0000' bus='0x${(fn + 16).toString(16)}' slot='0x00' function='0x0'/></hostdev>`,
  );
  return unmanagedXml()
    .replace(/<name>.*<\/name>/, `<name>${name}</name>`)
    .replace('</devices>', `${hostdevs.join('')}</devices>`);
}
