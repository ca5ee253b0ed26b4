/** `revivectl bundle [FILE]`: one archive with which somebody else can judge this host by `doctor --root` and `explain`. */
import { writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import process from 'node:process';
import { gzipSync } from 'node:zlib';
import { bundleContents } from '../../doctor/bundle/contents.ts';
import { tarOf } from '../../doctor/bundle/tar.ts';
import { hostFilesAt } from '../../doctor/live-host.ts';
import { RevivedError } from '../../errors.ts';
import { pathsFrom } from '../../paths.ts';
import { optionOf, type Verb } from '../verb.ts';

/** Everything in the archive lies below it. */
const folder = 'revived-bundle';

export const bundle: Verb = {
  name: 'bundle',
  operands: '[FILE]',
  arity: [0, 1],
  summary: 'write an archive that others can judge this host by',
  details: [
    'What doctor reads of this host, for doctor --root elsewhere, and the kernel log for explain.',
    'Serial numbers, MACs, UUIDs, names of users and of the host are replaced, passwords taken out.',
    `FILE: ${folder}.tar.gz without; a file that is there is not replaced. As root it has more.`,
  ],
  options: { root: { type: 'string', value: 'DIR', about: 'bundle the captured host below DIR' } },
  async run(_client, args, out) {
    const root = optionOf(args, 'root') ?? '/';
    const [file = `${folder}.tar.gz`] = args.operands;
    const files = hostFilesAt(resolve(root), pathsFrom(process.env));
    const captured = files.text('/etc/hostname', 256)?.trim();
    const { entries, leftOut, masked } = bundleContents(files, files.live ? hostname() : captured);
    const archive = tarOf(entries.map((entry) => ({ ...entry, path: `${folder}/${entry.path}` })));
    const bytes = gzipSync(archive);
    write(file, bytes);
    const paths = entries.flatMap(({ kind, path }) => (kind === 'file' ? [path] : []));
    if (out.json) {
      out.value({ file, bytes: bytes.length, files: paths, leftOut, masked });
      return 0;
    }
    const { uuid, mac, serial, user } = masked;
    const devices = entries.filter(({ path }) => path.endsWith('/vendor')).length;
    out.line(`${out.text(file)}  ${bytes.length} bytes, ${devices} PCI functions, and`);
    for (const path of paths.filter((one) => !one.startsWith('sys/')))
      out.line(`  ${out.text(path)}`);
    out.line(`Replaced: ${uuid} UUIDs, ${mac} MACs, ${serial} serial numbers, ${user} users.`);
    for (const path of leftOut) out.warn(`${path} is left out: too large, or its name too long.`);
    out.line(
      `Look through it before you give it away. Elsewhere: revivectl doctor --root ${folder}`,
    );
    return 0;
  },
};

function write(file: string, bytes: Buffer): void {
  try {
    writeFileSync(file, bytes, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    throw new RevivedError('refused', `${file} is there already.`, 'Name another file.');
  }
}
