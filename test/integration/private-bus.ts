/** A message bus of type system of the test's own: a real dbus-daemon with the rules of a real system bus. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface PrivateBus {
  readonly address: string;
  /** A directory of this bus, readable by all; removed by stop(). */
  readonly dir: string;
  /** Ends the daemon, as a crash of the bus does. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

const ourPolicy = fileURLToPath(new URL('../../../units/org.revived.conf', import.meta.url));

/**
 * Starts one. `policyFile` is included in its configuration: the one that is installed, if not another; `more` are further
 * elements of it.
 */
export async function startPrivateBus(
  options: { readonly policyFile?: string; readonly more?: string } = {},
): Promise<PrivateBus> {
  const dir = await mkdtemp(join(tmpdir(), 'revived-bus-'));
  await chmod(dir, 0o755);
  const config = join(dir, 'bus.conf');
  const { policyFile = ourPolicy, more = '' } = options;
  await writeFile(config, configuration(`${dir}/socket`, policyFile, more));
  const args = [`--config-file=${config}`, '--nofork', '--nopidfile', '--print-address=1'];
  const daemon = await started('dbus-daemon', args, 'dbus-daemon');
  const address = await firstLine(daemon, 'dbus-daemon');
  const kill = () => ended(daemon);
  return {
    address,
    dir,
    kill,
    async stop() {
      await kill();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Starts a program; a missing one fails the test with the package that has it. stderr is kept for the message. */
export async function started(
  program: string,
  args: readonly string[],
  debianPackage: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  try {
    await once(child, 'spawn');
  } catch (error) {
    throw new Error(`${program} cannot be run: install the package ${debianPackage}.`, {
      cause: error,
    });
  }
  return child;
}

/** Ends a child of ours and waits for it. */
export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

async function firstLine(child: ChildProcess, what: string): Promise<string> {
  if (child.stdout === null || child.stderr === null) throw new Error('no pipes');
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = `${complaint}${chunk.toString()}`.slice(-2000);
  });
  const lines = createInterface({ input: child.stdout });
  const exit = once(child, 'exit').then(() => {
    throw new Error(`${what} ended before it was ready: ${complaint}`);
  });
  const line = once(lines, 'line').then(([text]) => String(text));
  exit.catch(() => undefined); // its later end is stop()'s business
  return Promise.race([line, exit]);
}

// The rules are those of /usr/share/dbus-1/system.conf: nothing may be owned or called but what a policy allows.
function configuration(socket: string, policyFile: string, more: string): string {
  return `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
<type>system</type>
<listen>unix:path=${socket}</listen>
<auth>EXTERNAL</auth>
<policy context="default">
<allow user="*"/>
<deny own="*"/>
<deny send_type="method_call"/>
<allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/>
<allow receive_type="method_return"/>
<allow receive_type="error"/>
<allow receive_type="signal"/>
<allow send_destination="org.freedesktop.DBus"/>
</policy>
<include ignore_missing="yes">/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>
<include ignore_missing="yes">/usr/share/dbus-1/system.d/org.freedesktop.login1.conf</include>
<include>${policyFile}</include>
${more}
</busconfig>
`;
}
