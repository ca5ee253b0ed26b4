/**
 * The real polkitd on a private bus, with actions and rules of the test's own: it runs in a mount namespace where
 * these directories lie over the host's, so the host is not touched.
 */
import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Connection } from '../../daemon/bus/connection.ts';
import { ended, type PrivateBus, started } from './private-bus.ts';

const policyFile = fileURLToPath(new URL('../../../units/org.revived1.policy', import.meta.url));
const polkitd = '/usr/lib/polkit-1/polkitd';

// $1 actions, $2 rules, $3 polkitd. exec keeps the process id that the test ends.
const script = `set -e
mount --bind "$1" /usr/share/polkit-1/actions
mount --bind "$2" /usr/share/polkit-1/rules.d
mount --bind "$2" /etc/polkit-1/rules.d
exec "$3" --no-debug`;

/**
 * Starts it and waits until it has its name. The actions are those of our policy file; `rules` (JavaScript, polkit(8))
 * may allow some. Returns what ends it. `connection` is any to that bus.
 */
export async function startPolkit(
  bus: PrivateBus,
  connection: Connection,
  rulesText: string,
): Promise<() => Promise<void>> {
  const actions = join(bus.dir, 'actions');
  const rules = join(bus.dir, 'rules.d');
  for (const dir of [actions, rules]) {
    await mkdir(dir);
    await chmod(dir, 0o755);
  }
  await copyFile(policyFile, join(actions, 'org.revived1.policy'));
  await writeFile(join(rules, '10-test.rules'), rulesText, { mode: 0o644 });

  const here = new Promise<void>((resolve) => {
    const driver = 'org.freedesktop.DBus';
    const rule = { sender: driver, interface: driver, member: 'NameOwnerChanged' };
    connection
      .watch(rule, ({ body: [name, , owner] }) => {
        if (name === 'org.freedesktop.PolicyKit1' && owner !== '') resolve();
      })
      .catch(() => undefined); // then the wait below runs out
  });
  const child = await started(
    'unshare',
    ['--mount', 'sh', '-c', script, 'sh', actions, rules, polkitd],
    'util-linux',
    { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: bus.address },
  );
  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint = `${complaint}${chunk.toString()}`.slice(-2000);
  });
  const failed = new Promise<never>((_, reject) => {
    child.once('exit', (code) =>
      reject(
        new Error(
          `${polkitd} ended with ${code}: install the package polkitd and run as root. ${complaint}`,
        ),
      ),
    );
  });
  failed.catch(() => undefined); // its later end is the caller's business
  await Promise.race([here, failed]);
  return () => ended(child);
}
