/** Changes settings of qemu.conf as text; every other line stays as it is. Pure. */
import { RevivedError } from '../../errors.ts';

/** Settings that have one line each; lists and the rest are left to people. */
const known = new Set(['user', 'group']);

/**
 * The text with the settings changed: a value replaces the last line that sets it or comes as a new line, null turns every line
 * that sets it into a comment. Throws `invalid-argument` for a setting that is no text, or a file that holds text over several lines.
 */
export function editQemuConf(
  conf: string,
  settings: Readonly<Record<string, string | null>>,
): string {
  // Within """ a line that looks like a setting is none (libvirt src/util/virconf.c).
  if (conf.includes('"""') || conf.includes('\0')) {
    throw new RevivedError(
      'invalid-argument',
      'qemu.conf holds text over several lines, in which settings cannot be told from text.',
      'Change it by hand.',
    );
  }
  return Object.entries(settings).reduce((text, [name, value]) => set(text, name, value), conf);
}

function set(conf: string, name: string, value: string | null): string {
  if (!known.has(name) || (value !== null && !/^[\w.@+-]{1,64}$/.test(value))) {
    throw new RevivedError('invalid-argument', `${name} is no setting that revived changes.`);
  }
  const line = new RegExp(`^[ \\t]*${name}[ \\t]*=.*$`, 'gm');
  if (value === null) return conf.replaceAll(line, '#$&');
  const wanted = `${name} = "${value}"`;
  const last = [...conf.matchAll(line)].at(-1);
  if (last === undefined)
    return `${conf}${conf === '' || conf.endsWith('\n') ? '' : '\n'}${wanted}\n`;
  const rest = conf.slice(last.index + last[0].length);
  return conf.slice(0, last.index) + wanted + rest;
}
