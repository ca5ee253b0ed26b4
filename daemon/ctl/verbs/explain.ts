/** `revivectl explain FILE|-`: what a log of the kernel, QEMU or libvirt says about cards. Needs no daemon. */
import { createReadStream } from 'node:fs';
import process from 'node:process';
import { createExplainer, type Explainer, type Explanation } from '../../doctor/explain.ts';
import { isTrouble } from '../../doctor/log-class.ts';
import { createLogReader } from '../../doctor/log-reader.ts';
import { type Locale, localeOf, type Message } from '../../doctor/message.ts';
import { asRevivedError, RevivedError } from '../../errors.ts';
import { columns } from '../columns.ts';
import type { Paint } from '../paint.ts';
import { printable } from '../printable.ts';
import type { Verb } from '../verb.ts';

const heads = {
  verdict: { en: 'Verdict', ja: '診断' },
  evidence: { en: 'Deciding lines', ja: '決め手となった行' },
  advice: { en: 'Advice', ja: '対処' },
} as const satisfies Record<string, Message>;

export const explain: Verb = {
  name: 'explain',
  operands: 'FILE|-',
  arity: [1, 1],
  summary: 'say what a kernel, QEMU or libvirt log shows',
  details: [
    'Reads the text of journalctl, dmesg or /var/log/libvirt/qemu, or a part of it; - is stdin.',
    'Prints the verdict, the lines that decide, and what to do. Needs no daemon.',
    'People are answered in Japanese where the locale asks for it; --json is always English.',
  ],
  options: {},
  async run(_client, args, out) {
    const [file = '-'] = args.operands;
    const explainer = createExplainer();
    await read(file, explainer);
    if (out.json) {
      out.value(explainer.result());
    } else {
      const locale = localeOf(process.env);
      for (const line of lines(explainer.result(locale), out.paint, locale)) out.line(line);
    }
    return 0;
  },
};

function lines(explanation: Explanation, paint: Paint, locale: Locale): readonly string[] {
  const { classes, verdict, evidence, advice } = explanation;
  const brush = classes.some(isTrouble)
    ? paint.red
    : classes.length > 0
      ? paint.green
      : paint.yellow;
  const rows = evidence.map(({ line, text, class: name }) => [
    { text: String(line), brush: paint.dim },
    name,
    printable(text),
  ]);
  return [
    `${paint.bold(heads.verdict[locale])}  ${brush(printable(classes.join(', ')))}`.trimEnd(),
    `  ${printable(verdict)}`,
    ...(rows.length === 0 ? [] : ['', paint.bold(heads.evidence[locale]), ...columns(rows, '  ')]),
    '',
    paint.bold(heads.advice[locale]),
    `  ${printable(advice)}`,
  ];
}

async function read(file: string, explainer: Explainer): Promise<void> {
  const reader = createLogReader(explainer);
  // A descriptor given to createReadStream is read as it is: a pipe, a terminal or a file.
  const stream = file === '-' ? createReadStream('', { fd: 0 }) : createReadStream(file);
  try {
    for await (const chunk of stream) reader.push(chunk);
  } catch (error) {
    throw unreadable(file, error);
  }
  reader.end();
}

function unreadable(file: string, error: unknown): RevivedError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new RevivedError('not-found', `There is no file ${file}.`, 'For stdin say -.');
  }
  if (code === 'EISDIR') {
    const advice = 'Name the file of the log in it.';
    return new RevivedError('invalid-argument', `${file} is a directory and no log.`, advice);
  }
  if (code === 'EACCES' || code === 'EPERM') {
    const advice = 'Try sudo, or pipe it: sudo dmesg | revivectl explain -.';
    return new RevivedError('failed', `You may not read ${file}.`, advice);
  }
  return asRevivedError(error);
}
