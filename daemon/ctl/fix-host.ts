/** What fixes reach on the host: libvirt, qemu.conf, backups, programs. */
import { execFile } from 'node:child_process';
import { realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Backups, createBackups } from '../doctor/fix/backup.ts';
import { RevivedError } from '../errors.ts';
import { readWhole, writeWhole } from '../host/atomic-file.ts';
import type { Domains } from '../libvirt/domains.ts';
import { visitLibvirt } from '../libvirt/visit.ts';
import type { Paths } from '../paths.ts';

export interface FixHost {
  /** One visit to libvirt, in which `work` is done. */
  readonly libvirt: <T>(work: (domains: Domains) => Promise<T>) => Promise<T>;
  /** Domain XML, by uuid. */
  readonly domainBackups: Backups;
  /** qemu.conf, beside it. */
  readonly confBackups: Backups;
  readConf(): Promise<string>;
  /** Keeps its mode and owner. */
  writeConf(text: string): Promise<void>;
  /** Runs a program without a shell. Resolves to its exit code and the end of what it said. */
  run(argv: readonly string[]): Promise<{ readonly code: number; readonly said: string }>;
}

const maxConfBytes = 1024 * 1024;
/** Programs of fixes reload a service at the most. */
const programMs = 60_000;
const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The live host. `conf`: the path of qemu.conf. */
export function createFixHost(
  paths: Pick<Paths, 'state' | 'libvirtSockets'>,
  conf = '/etc/libvirt/qemu.conf',
): FixHost {
  return {
    libvirt: (work) => visitLibvirt(paths.libvirtSockets, 'qemu:///system', work),
    domainBackups: createBackups({
      ...{ folder: join(paths.state, 'backup'), subject: uuidForm },
      ...{ suffix: '.xml', most: 64 },
    }),
    confBackups: createBackups({
      ...{ folder: dirname(conf), subject: /^qemu\.conf$/ },
      ...{ suffix: '.revived-backup', most: 4 },
    }),
    async readConf() {
      const text = await readWhole(conf, maxConfBytes);
      if (text !== undefined) return text;
      throw new RevivedError(
        'not-found',
        `There is no ${conf}.`,
        'Install the QEMU driver of libvirt.',
      );
    },
    async writeConf(text) {
      const target = await realpath(conf);
      await writeWhole(target, text, await stat(target));
    },
    run: ([program = '', ...args]) =>
      new Promise((resolve) => {
        const options = { timeout: programMs, maxBuffer: 65_536 };
        execFile(program, args, options, (error, stdout, stderr) => {
          const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
          const said = `${stdout}${stderr}`.trim();
          resolve({ code, said: said === '' && error !== null ? error.message : said });
        });
      }),
  };
}
