/** `revivectl doctor --fix RULE [DOMAIN]` and `--undo`: shows what would change, asks, does it, keeps what was there. */
import { ruleList } from '../doctor/doctor.ts';
import { readDomainFacts } from '../doctor/domain-facts.ts';
import type { DomainEdit, Finding, Fix } from '../doctor/finding.ts';
import type { Backup, Backups } from '../doctor/fix/backup.ts';
import { unifiedDiff } from '../doctor/fix/diff.ts';
import { editDomain } from '../doctor/fix/domain-edit.ts';
import { editQemuConf } from '../doctor/fix/qemu-conf.ts';
import { asRevivedError, RevivedError } from '../errors.ts';
import type { Domains } from '../libvirt/domains.ts';
import { LibvirtError } from '../libvirt/protocol.ts';
import type { FixHost } from './fix-host.ts';
import type { Out } from './out.ts';

/** One thing that a fix changes, known before anything is done. */
interface Change {
  readonly kind: Fix['kind'];
  /** `domain:NAME`, `qemu.conf`, `host`. */
  readonly subject: string;
  /** The diff, or the commands. */
  readonly shown: readonly string[];
  readonly question: string;
  /** Does it. Resolves to the path of the backup (null: there is nothing to put back) and what is to be known after it. */
  readonly apply: () => Promise<{ readonly backup: string | null; readonly after: string }>;
}

type FixOf<K extends Fix['kind']> = Extract<Fix, { kind: K }>;

const confAfter =
  'It counts from the next start of libvirt: systemctl restart libvirtd (or virtqemud). Running guests go on.';
const domainAfter = 'It counts from the next start of the domain.';

/**
 * Applies the fixes of a rule's `findings` (those of one domain, or of the host). Resolves to the exit code. Rejects with
 * `not-found` (no such rule), `invalid-argument` (which domain?), `refused` (no fix, or nobody to ask), or why it failed.
 */
export async function fixFindings(
  host: FixHost,
  rule: string,
  findings: readonly Finding[],
  out: Out,
): Promise<number> {
  if (!ruleList().some(([id]) => id === rule)) {
    throw new RevivedError(
      'not-found',
      `There is no rule ${rule}.`,
      'See revivectl doctor --rules.',
    );
  }
  const own = findings.filter((one) => one.rule === rule);
  const changes = await changesOf(host, rule, own, out);
  return carryOut(changes, 'There is nothing to fix.', out);
}

/** Puts the newest backup back: of the domain that is named, else the newest of all. Exit code and errors as `fixFindings`. */
export async function undoFix(
  host: FixHost,
  domain: string | undefined,
  out: Out,
): Promise<number> {
  const uuid =
    domain === undefined
      ? undefined
      : (await host.libvirt((domains) => domains.lookup(domain))).uuid;
  const ofDomain = await withRights(host.domainBackups.newest(uuid));
  const ofConf = uuid === undefined ? await withRights(host.confBackups.newest()) : undefined;
  const change =
    ofConf !== undefined && ofConf.usec > (ofDomain?.usec ?? 0)
      ? await confUndo(host, ofConf)
      : ofDomain && (await domainUndo(host, ofDomain));
  if (change === undefined) {
    throw new RevivedError(
      'not-found',
      'There is no backup to put back.',
      'Only what doctor --fix changed in a domain or in qemu.conf is kept.',
    );
  }
  return carryOut([change], 'It is as it was before.', out);
}

async function changesOf(
  host: FixHost,
  rule: string,
  findings: readonly Finding[],
  out: Out,
): Promise<readonly Change[]> {
  const fixes = findings.flatMap(({ fix }) => fix ?? []);
  const [first] = findings;
  if (first !== undefined && fixes.length === 0) {
    throw new RevivedError(
      'refused',
      `No program can fix ${rule} here, a person has to: ${first.message.en}`,
    );
  }
  const edits = new Map<string, DomainEdit[]>();
  for (const fix of fixes) {
    if (fix.kind === 'domain-xml')
      edits.set(fix.domain, [...(edits.get(fix.domain) ?? []), ...fix.edits]);
  }
  if (edits.size > 1) {
    throw new RevivedError(
      'invalid-argument',
      `Several domains need this fix: ${[...edits.keys()].slice(0, 8).join(', ')}.`,
      'Name one of them.',
    );
  }
  // The same setting or command comes from several findings.
  const conf = fixes.find((fix): fix is FixOf<'qemu-conf'> => fix.kind === 'qemu-conf');
  const command = fixes.find((fix): fix is FixOf<'command'> => fix.kind === 'command');
  const made = [
    ...Array.from(edits, ([name, list]) => domainChange(host, name, list, out)),
    ...(conf === undefined ? [] : [confChange(host, conf, out)]),
    ...(command === undefined ? [] : [commandChange(host, command)]),
  ];
  return Promise.all(made);
}

async function carryOut(changes: readonly Change[], none: string, out: Out): Promise<number> {
  const done: unknown[] = [];
  const open = changes.filter(({ shown }) => shown.length > 0);
  for (const { kind, subject, shown, question, apply } of open) {
    if (!out.json) for (const line of shown) out.line(painted(line, out));
    if (!(await agreed(question, out))) {
      out.warn('Nothing was done.');
      return 1;
    }
    const { backup, after } = await withRights(apply());
    done.push({ kind, subject, changes: shown, backup });
    if (!out.json) {
      out.line(`${out.paint.green('done')}  ${after}`);
      if (backup !== null)
        out.line(`What was there is in ${backup}; revivectl doctor --undo puts it back.`);
    }
  }
  if (out.json) out.value({ changes: done });
  else if (open.length === 0) out.line(none);
  return 0;
}

async function agreed(question: string, out: Out): Promise<boolean> {
  if (out.yes) return true;
  if (out.confirm !== null) return out.confirm(question);
  throw new RevivedError(
    'refused',
    'Nothing was changed: it has to be agreed to, and nobody is there to be asked.',
    'With --yes it is done without a question.',
  );
}

async function domainChange(
  host: FixHost,
  name: string,
  edits: readonly DomainEdit[],
  out: Out,
): Promise<Change> {
  const { uuid, xml } = await host.libvirt((domains) => storedXml(domains, name));
  const edited = editDomain(xml, edits);
  return {
    ...domainView(name, xml, edited),
    async apply() {
      const backup = await host.libvirt((domains) =>
        replaceDomain(host.domainBackups, domains, { uuid, xml, edited }, out),
      );
      const now = await host.libvirt((domains) => domains.domainXml(uuid, stored));
      if (editDomain(now, edits) !== now) {
        out.warn('libvirt took the definition but left a part of the fix out; ask doctor again.');
      }
      return { backup, after: domainAfter };
    },
  };
}

async function domainUndo(host: FixHost, kept: Backup): Promise<Change> {
  const old = await withRights(host.domainBackups.read(kept));
  const { name } = readDomainFacts(old, false);
  const xml = await host.libvirt((domains) => domains.domainXml(kept.subject, stored));
  return {
    ...domainView(name, xml, old),
    async apply() {
      // It was valid for libvirt when it was read: its schema does not know all that libvirt takes.
      await host.libvirt(async (domains) => {
        await unchanged(domains, kept.subject, xml);
        await domains.defineXml(old);
      });
      await host.domainBackups.forget(kept);
      return { backup: null, after: domainAfter };
    },
  };
}

function domainView(name: string, xml: string, edited: string) {
  return {
    kind: 'domain-xml',
    subject: `domain:${name}`,
    shown: unifiedDiff(`domain ${name}`, withoutSecrets(xml), withoutSecrets(edited)),
    question: 'Change the domain?',
  } as const;
}

// What the next start will use, with passwords: what is not in the text that is defined would be lost.
const stored = { inactive: true, secure: true } as const;

async function storedXml(domains: Domains, name: string) {
  const { uuid } = await domains.lookup(name);
  const xml = await domains.domainXml(uuid, stored);
  // A name can look like the uuid of another domain.
  if (readDomainFacts(xml, false).name === name) return { uuid, xml };
  throw new RevivedError('not-found', `libvirt has no domain with the name ${name}.`);
}

async function replaceDomain(
  backups: Backups,
  domains: Domains,
  { uuid, xml, edited }: { uuid: string; xml: string; edited: string },
  out: Out,
): Promise<string> {
  await unchanged(domains, uuid, xml);
  const backup = await backups.keep(uuid, xml, out.now());
  try {
    await domains.defineXml(edited, { validate: true });
  } catch (error) {
    // libvirt said no, so nothing has to be put back; after a lost answer nobody knows.
    if (error instanceof LibvirtError) await backups.forget({ path: backup });
    throw error;
  }
  return backup;
}

async function unchanged(domains: Domains, uuid: string, xml: string): Promise<void> {
  if ((await domains.domainXml(uuid, stored)) === xml) return;
  throw new RevivedError(
    'busy',
    'Nothing was changed: somebody else has changed the domain since it was shown.',
    'Try again.',
  );
}

async function confChange(host: FixHost, fix: FixOf<'qemu-conf'>, out: Out): Promise<Change> {
  const conf = await withRights(host.readConf());
  return confTo(host, conf, editQemuConf(conf, fix.settings), () =>
    host.confBackups.keep('qemu.conf', conf, out.now()),
  );
}

async function confUndo(host: FixHost, kept: Backup): Promise<Change> {
  const conf = await withRights(host.readConf());
  const old = await withRights(host.confBackups.read(kept));
  const change = confTo(host, conf, old, async () => null);
  return {
    ...change,
    async apply() {
      const done = await change.apply();
      await host.confBackups.forget(kept);
      return done;
    },
  };
}

function confTo(
  host: FixHost,
  conf: string,
  edited: string,
  keep: () => Promise<string | null>,
): Change {
  return {
    kind: 'qemu-conf',
    subject: 'qemu.conf',
    shown: unifiedDiff('qemu.conf', conf, edited),
    question: 'Change qemu.conf?',
    async apply() {
      if ((await host.readConf()) !== conf) {
        throw new RevivedError('busy', 'qemu.conf was changed since it was shown.', 'Try again.');
      }
      const backup = await keep();
      await host.writeConf(edited);
      return { backup, after: confAfter };
    },
  };
}

async function commandChange(host: FixHost, { commands }: FixOf<'command'>): Promise<Change> {
  return {
    kind: 'command',
    subject: 'host',
    shown: commands.map((argv) => argv.join(' ')),
    question: commands.length === 1 ? 'Run it?' : 'Run them?',
    async apply() {
      for (const argv of commands) {
        const { code, said } = await host.run(argv);
        // systemctl: no such unit. libvirtd and virtqemud are seldom both there.
        if (code === 0 || (argv[0] === 'systemctl' && code === 5)) continue;
        throw new RevivedError(
          'failed',
          `${argv.join(' ')} ended with ${code}: ${said}.`,
          'The commands before it were done.',
        );
      }
      return { backup: null, after: 'Nothing has to be put back.' };
    },
  };
}

// A diff shows lines around the change; the password of a console may be one of them.
function withoutSecrets(xml: string): string {
  return xml.replaceAll(/(\spasswd\s*=\s*)(?:'[^']*'|"[^"]*")/g, "$1'...'");
}

function painted(line: string, out: Out): string {
  const text = out.text(line.replaceAll('\t', '    '));
  if (/^(?:---|\+\+\+) /.test(line)) return out.paint.bold(text);
  if (line.startsWith('+')) return out.paint.green(text);
  if (line.startsWith('-')) return out.paint.red(text);
  return line.startsWith('@@') ? out.paint.dim(text) : text;
}

async function withRights<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EROFS') throw asRevivedError(error);
    throw new RevivedError(
      'not-authorised',
      `The host may not be changed by you: ${asRevivedError(error).message}.`,
      'Run it as root.',
    );
  }
}
