/** The real busctl as some user, and arguments for any method of the interface table. */
import { execFile } from 'node:child_process';
import type { Arg } from '../../daemon/bus/table.ts';

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `busctl ARGS` on the bus at `address` as `uid` (with no groups). Never rejects for a failed call. */
export function busctl(address: string, uid: number, args: readonly string[]): Promise<Said> {
  const run = ['busctl', `--address=${address}`, '--timeout=10', ...args];
  const drop = [`--reuid=${uid}`, '--regid=65534', '--clear-groups'];
  const [program = '', ...rest] = uid === 0 ? run : ['setpriv', ...drop, ...run];
  return new Promise((resolve, reject) => {
    execFile(program, rest, { maxBuffer: 33_554_432 }, (error, out, err) => {
      if (error?.code === 'ENOENT') {
        reject(new Error(`${program} is missing: install the packages systemd and util-linux.`));
      } else {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, out: out.trim(), err: err.trim() });
      }
    });
  });
}

/** Plausible words for the arguments of a method, as busctl takes them after the signature. */
export function sampleWords(args: readonly Arg[]): readonly string[] {
  return args.map(({ name, signature }) => {
    if (signature === 'a{sv}') return '0';
    if (signature === 'u') return '1';
    const words: Readonly<Record<string, string>> = {
      operation: 'prepare',
      address: '0000:0b:00',
      domain: 'win10',
      rung: 'bus',
    };
    return words[name] ?? '';
  });
}
