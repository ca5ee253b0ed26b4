/** Explaining a log that is as big as a person would send one: 100 MB of it, with trouble here and there. */
import { execFile } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { examples } from '../unit/doctor/log-examples.ts';
import { type Figure, median, spread } from './figure.ts';

const rounds = 3;
const limitMs = 120_000;
const size = 100e6;
/** One line in so many is one that a pattern matches. */
const every = 200;
const child = fileURLToPath(new URL('explain-child.mjs', import.meta.url));

/** What a busy host says all day. */
const usual = [
  'usb 1-4: new high-speed USB device number 7 using xhci_hcd',
  'audit: type=1400 audit(1700000000.123:456): apparmor="STATUS" operation="profile_load" name="snap.x"',
  'br0: port 3(vnet5) entered forwarding state',
  'docker0: port 1(veth1234abc) entered disabled state',
  'EXT4-fs (dm-0): mounted filesystem 6695eb01-f6a4-4304-99aa-97f2502e193f r/w with ordered data mode.',
  'pcieport 0000:00:1c.4: PME: Spurious native interrupt!',
  'nvme nvme0: 8/0/0 default/read/poll queues',
  'kvm: SMP vm created on host with unstable TSC; guest TSC will not be reliable',
];

/** `explain` and `explain-rss`: a fresh process each time; the file is in the page cache. */
export async function measureExplain(): Promise<readonly Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'explain-'));
  try {
    const file = join(folder, 'kernel.log');
    const bytes = writeLog(file);
    const samples: { ms: number; megabytes: number; classes: number }[] = [];
    for (let round = 0; round < rounds; round++) {
      const options = { timeout: limitMs, killSignal: 'SIGKILL' } as const;
      const { stdout } = await promisify(execFile)(process.execPath, [child, file], options);
      samples.push(JSON.parse(stdout));
    }
    const times = samples.map(({ ms }) => ms);
    const megabytes = median(samples.map((sample) => sample.megabytes));
    const what = `${(bytes / 1e6).toFixed(0)} MB, ${samples[0]?.classes} classes`;
    const how = `${what}: ${spread(times)}; ${rounds} runs`;
    return [
      { name: 'explain', value: bytes / 1e3 / median(times), how },
      { name: 'explain-rss', value: megabytes, how: `the most that the process took, of ${what}` },
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Writes the log in blocks of some MB, each line with its own time; returns its size in bytes. */
function writeLog(file: string): number {
  const trouble = Object.values(examples);
  const fd = openSync(file, 'wx');
  let bytes = 0;
  let count = 0;
  try {
    while (bytes < size) {
      const lines = Array.from({ length: 20_000 }, () => {
        count++;
        const text =
          count % every === 0
            ? trouble[(count / every) % trouble.length]
            : usual[count % usual.length];
        return `[${(count / 100).toFixed(6).padStart(14)}] tower kernel: ${text}\n`;
      });
      bytes += writeSync(fd, lines.join(''));
    }
  } finally {
    closeSync(fd);
  }
  return bytes;
}
