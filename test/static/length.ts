/** No source file over 400 lines without the reason in it. */
import { type Rule, sourcesBelow } from './tree.ts';

const limit = 400;
const reason = /^\/\/ over 400 lines because \S/m;

export const lengthRule: Rule = (tree) =>
  [...sourcesBelow(tree, 'daemon/'), ...sourcesBelow(tree, 'test/')].flatMap(([path, text]) => {
    const lines = text.split('\n').length - 1;
    return lines > limit && !reason.test(text)
      ? [`${path} has ${lines} lines: split it, or say "// over 400 lines because ..."`]
      : [];
  });
