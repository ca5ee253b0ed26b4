/** Texts that people read in English or Japanese. */

/** One text in both languages; neither may be empty. */
export interface Message {
  readonly en: string;
  readonly ja: string;
}

export type Locale = 'en' | 'ja';

/** The language of an environment: the first of LC_ALL, LC_MESSAGES and LANG that is set decides (locale(7)). */
export function localeOf(env: NodeJS.ProcessEnv): Locale {
  const name = [env['LC_ALL'], env['LC_MESSAGES'], env['LANG']].find(
    (value) => value !== undefined && value !== '',
  );
  return name !== undefined && /^ja(?:[_.@-]|$)/i.test(name) ? 'ja' : 'en';
}
