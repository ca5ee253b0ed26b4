/**
 * Runs the assertions of conformance.ts on the kernel of this machine, which must be the lab (test/lab/machine.sh),
 * through the daemon's own door. `node conformance-main.mjs [--quick] [WORD...]`: --quick leaves out what waits 70 s
 * per method; words choose the assertions whose names contain one of them. Exit 0 when all hold.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import process from 'node:process';
import { createChildIo } from '../../daemon/sysfs/child.ts';
import { assertions } from './conformance.ts';
import type { Bench } from './hands.ts';
import { labCards } from './presets.ts';

const sys = '/sys';

// The bridge right above each card, read while the card is there: mending starts when it is not.
function portsAbove(): ReadonlyMap<string, string> {
  const devices = `${sys}/bus/pci/devices`;
  return new Map(
    readdirSync(devices).map((address) => {
      const port = readlinkSync(`${devices}/${address}`).split('/').at(-2) ?? '';
      return [address.slice(0, -2), port];
    }),
  );
}

function checkIsLab(): void {
  for (const [name, card] of Object.entries(labCards)) {
    if (existsSync(`${sys}/bus/pci/devices/${card}.0`)) continue;
    throw new Error(`there is no ${name} card at ${card}: this is not the lab machine`);
  }
  if (!readFileSync('/proc/cmdline', 'latin1').includes('lab.mode=')) {
    throw new Error('this is not the lab machine (no lab.mode= on its command line)');
  }
}

async function main(args: readonly string[]): Promise<number> {
  checkIsLab();
  execFileSync('modprobe', ['vfio-pci']);
  const ports = portsAbove();
  // Slot Control, Power Controller Control; the indicator bits stay (lab.md, "The wedge").
  const power = async (card: string, bits: string): Promise<void> => {
    execFileSync('setpci', ['-s', ports.get(card) ?? card, `CAP_EXP+18.w=${bits}:0400`]);
  };
  const bench: Bench = {
    io: createChildIo({ dd: '/usr/bin/dd', scratch: '/run' }),
    sys,
    dev: '/dev',
    cards: labCards,
    wedge: (card) => power(card, '0400'),
    unwedge: (card) => power(card, '0000'),
  };
  const quick = args.includes('--quick');
  const words = args.filter((arg) => !arg.startsWith('--'));
  const chosen = assertions.filter(
    ({ name, slow }) =>
      !(quick && slow === true) &&
      (words.length === 0 || words.some((word) => name.includes(word))),
  );
  process.stdout.write(`1..${chosen.length}\n`);
  let failures = 0;
  for (const [place, { name, run }] of chosen.entries()) {
    try {
      await run(bench);
      process.stdout.write(`ok ${place + 1} - ${name}\n`);
    } catch (error) {
      failures++;
      const message = error instanceof Error ? error.message : String(error);
      const lines = message.split('\n').map((line) => `# ${line}\n`);
      process.stdout.write(`not ok ${place + 1} - ${name}\n${lines.join('')}`);
    }
  }
  return chosen.length > 0 && failures === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
