/** Installs the stand-in for dd of one machine: a script that the daemon can be given as REVIVED_DD. */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Writes <root>/dd, which runs `bundle` (build/test/sim/dd.mjs, absolute). Gives its path. */
export function installDd(root: string, bundle: string): string {
  const script = join(root, 'dd');
  writeFileSync(script, `#!/bin/sh\nexec ${quoted(process.execPath)} ${quoted(bundle)} "$@"\n`);
  chmodSync(script, 0o755);
  return script;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
