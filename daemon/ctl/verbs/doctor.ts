/** `revivectl doctor [DOMAIN] [--fix RULE]`: what a knowledgeable person would say about this host, or about a captured one. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import process from 'node:process';
import { type Report, reportJson, reportOf, ruleList } from '../../doctor/doctor.ts';
import type { DomainFacts } from '../../doctor/domain-facts.ts';
import type { Finding, Severity } from '../../doctor/finding.ts';
import { type HostFacts, readHostFacts } from '../../doctor/host-facts.ts';
import { hostFilesAt } from '../../doctor/live-host.ts';
import { type Locale, localeOf } from '../../doctor/message.ts';
import { RevivedError } from '../../errors.ts';
import { pathsFrom } from '../../paths.ts';
import { columns } from '../columns.ts';
import { misused } from '../command.ts';
import { fixFindings, undoFix } from '../fix.ts';
import { createFixHost } from '../fix-host.ts';
import type { Out } from '../out.ts';
import type { Paint } from '../paint.ts';
import { optionOf, type Verb } from '../verb.ts';

const foundSomething = 6;

export const doctor: Verb = {
  name: 'doctor',
  operands: '[DOMAIN]',
  arity: [0, 1],
  summary: 'look for what keeps cards from working in guests',
  details: [
    'Of a domain: only what concerns it, its devices and the host. Needs no daemon; as root it',
    'sees more. Exits with 6 where there is an error or a warning.',
    '--fix shows what it would change, asks (--yes answers), and keeps what was there for --undo.',
  ],
  options: {
    root: { type: 'string', value: 'DIR', about: 'judge the captured host below DIR instead' },
    'only-errors': { type: 'boolean', about: 'print errors only' },
    fix: { type: 'string', value: 'RULE', about: 'mend what this rule found, after a question' },
    undo: { type: 'boolean', about: 'put back what the last fix changed' },
    rules: { type: 'boolean', about: 'list what is looked at, and why' },
  },
  async run(_client, args, out) {
    if (args.options['rules'] === true) return listRules(out);
    const [typed] = args.operands;
    const rule = optionOf(args, 'fix');
    const undo = args.options['undo'] === true;
    if (rule !== undefined || undo) {
      if (args.options['root'] !== undefined || (rule !== undefined && undo)) {
        throw misused(doctor, 'The options --fix, --undo and --root go one at a time');
      }
    }
    const paths = pathsFrom(process.env);
    const fixHost = createFixHost(paths);
    if (undo) return undoFix(fixHost, typed, out);
    const facts = readHostFacts(hostFilesAt(rootOf(optionOf(args, 'root') ?? '/'), paths));
    const whole = reportOf(facts, typed === undefined ? undefined : domainOf(facts, typed));
    if (rule !== undefined) return fixFindings(fixHost, rule, whole.findings, out);
    const report =
      args.options['only-errors'] === true
        ? { ...whole, findings: whole.findings.filter(({ severity }) => severity === 'error') }
        : whole;
    if (out.json) out.value(reportJson(report));
    else for (const line of reportLines(report, out, localeOf(process.env))) out.line(line);
    return report.findings.some(({ severity }) => severity !== 'note') ? foundSomething : 0;
  },
};

/** The report for people; errors first, each with its fix. */
function reportLines(report: Report, out: Out, locale: Locale): readonly string[] {
  const { host, cards, findings } = report;
  const iommu = host.iommu === null ? 'unknown' : host.iommu ? 'on' : 'off';
  return [
    ...columns([
      ['Kernel', out.text(host.kernel ?? 'unknown')],
      ['IOMMU', iommu],
      ['Cards', String(cards.length)],
      ['Domains', String(host.domains.length)],
    ]),
    ...findings.flatMap((finding) => ['', ...findingLines(finding, out, locale)]),
    '',
    tally(findings),
  ];
}

function findingLines(finding: Finding, out: Out, locale: Locale): readonly string[] {
  const { rule, severity, subject, message, fix } = finding;
  const head = brush(out.paint, severity)(severity);
  return [
    `${head}  ${out.paint.bold(out.text(subject))}  ${out.paint.dim(rule)}`,
    `  ${out.text(message[locale])}`,
    ...(fix === null ? [] : [`  ${out.paint.green('→')} ${out.text(fix.description[locale])}`]),
  ];
}

function brush(paint: Paint, severity: Severity) {
  return { error: paint.red, warning: paint.yellow, note: paint.dim }[severity];
}

function tally(findings: readonly Finding[]): string {
  const count = (severity: Severity) => {
    const number = findings.filter((one) => one.severity === severity).length;
    return `${number} ${severity}${number === 1 ? '' : 's'}`;
  };
  return `${count('error')}, ${count('warning')}, ${count('note')}`;
}

function listRules(out: Out): number {
  const rules = ruleList();
  if (out.json) {
    out.value(rules.map(([id, { reads, why, reference }]) => ({ id, reads, why, reference })));
  } else {
    for (const [id, { reads, why, reference }] of rules) {
      out.line(out.paint.bold(id));
      for (const line of [why, `reads: ${reads}`, `see: ${reference}`]) out.line(`  ${line}`);
    }
  }
  return 0;
}

function rootOf(typed: string): string {
  const root = resolve(typed);
  if (statSync(root, { throwIfNoEntry: false })?.isDirectory() === true) return root;
  throw new RevivedError(
    'not-found',
    `${typed} is no directory.`,
    'It has to hold sys/, proc/ and etc/ of a host, as far as they were captured.',
  );
}

function domainOf(facts: HostFacts, typed: string): DomainFacts {
  const found =
    facts.domains.find(({ name }) => name === typed) ??
    facts.domains.find(({ uuid }) => uuid === typed.toLowerCase());
  if (found !== undefined) return found;
  throw new RevivedError(
    'not-found',
    `There is no domain ${typed} in etc/libvirt/qemu.`,
    'virsh list --all shows their names; only root may read that folder.',
  );
}
