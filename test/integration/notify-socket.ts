/** The notify socket of systemd (sd_notify(3)). Node has no datagram sockets of AF_UNIX; perl-base is always there. */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { waitFor } from '../../daemon/deadline.ts';
import { ended, started } from './private-bus.ts';

interface NotifySocket {
  readonly path: string;
  /** What came so far, one message each. */
  messages(): readonly string[];
  /** Resolves with the first message that matches; rejects after `ms`. */
  told(pattern: RegExp, ms: number): Promise<string>;
  close(): Promise<void>;
}

// One line of JSON-like text for each datagram: newlines become \n, there are no others to mind.
const script = `use IO::Socket::UNIX;
my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die "$ARGV[0]: $!";
$| = 1;
print "listening\\n";
while (defined $socket->recv(my $message, 8192)) { $message =~ s/\\n/\\\\n/g; print "$message\\n"; }`;

/** Listens at `path`. */
export async function startNotifySocket(path: string): Promise<NotifySocket> {
  rmSync(path, { force: true });
  const child = await started('perl', ['-e', script, path], 'perl-base');
  if (child.stdout === null) throw new Error('no pipe');
  const lines = createInterface({ input: child.stdout });
  const [first] = await once(lines, 'line');
  if (first !== 'listening') throw new Error(`the notify socket said ${first}`);
  const messages: string[] = [];
  lines.on('line', (line) => messages.push(line.replaceAll('\\n', '\n')));
  return {
    path,
    messages: () => messages,
    async told(pattern, ms) {
      const found = await waitFor(() => messages.find((one) => pattern.test(one)), ms, 10);
      if (found !== undefined) return found;
      throw new Error(`${pattern} was not told within ${ms} ms, but: ${messages.join(' | ')}`);
    },
    async close() {
      await ended(child);
      rmSync(path, { force: true });
    },
  };
}
