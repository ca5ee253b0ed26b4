/**
 * Changes to XML by position: what is not meant stays byte for byte. They are made of elements that `readElement` found in the
 * same text. Pure.
 */
import type { XmlElement } from './element.ts';

/** The text from `from` up to `to` becomes `text`. */
export interface Splice {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

/** The text with all splices done; they may touch each other but not overlap. */
export function spliced(xml: string, splices: readonly Splice[]): string {
  const parts: string[] = [];
  let at = 0;
  for (const { from, to, text } of splices.toSorted((a, b) => a.from - b.from)) {
    parts.push(xml.slice(at, from), text);
    at = to;
  }
  return parts.join('') + xml.slice(at);
}

/** Attributes of a start tag that change; null takes one out. Those that have the value already are left as they are written. */
export function attributesSet(
  xml: string,
  element: XmlElement,
  values: Readonly<Record<string, string | null>>,
): readonly Splice[] {
  const written = attributesOf(xml, element);
  return Object.entries(values).flatMap(([name, value]): readonly Splice[] => {
    if ((element.attributes.get(name) ?? null) === value) return [];
    const old = written.get(name);
    if (value === null) return old === undefined ? [] : [{ ...old, text: '' }];
    const text = ` ${name}='${escaped(value)}'`;
    if (old !== undefined) return [{ ...old, text }];
    const at = written.get('')?.to ?? element.inner;
    return [{ from: at, to: at, text }];
  });
}

/** A new last child, on a line of its own where the other children have one. `markup` may hold line feeds: each is indented. */
export function childAdded(xml: string, parent: XmlElement, markup: string): readonly Splice[] {
  const last = parent.children.at(-1);
  if (last !== undefined) {
    return [{ from: last.end, to: last.end, text: indented(markup, gapBefore(xml, last)) }];
  }
  const own = gapBefore(xml, parent);
  const text = indented(markup, own === '' ? '' : `${own}  `);
  if (parent.inner !== parent.end) {
    // A comment or text in it stays, behind the new child.
    const blank = xml.slice(parent.inner, parent.tail).trim() === '';
    return [
      blank
        ? { from: parent.inner, to: parent.tail, text: text + own }
        : { from: parent.inner, to: parent.inner, text },
    ];
  }
  // <a/> becomes <a>...</a>.
  const slash = xml.lastIndexOf('/', parent.inner);
  const tag = /^<([^\s/>]+)/.exec(xml.slice(parent.start, parent.inner))?.[1] ?? '';
  return [{ from: slash, to: parent.inner, text: `>${text}${own}</${tag}>` }];
}

/** The element taken out, with the line that it leaves empty. */
export function elementRemoved(xml: string, element: XmlElement): Splice {
  return { from: element.start - gapBefore(xml, element).length, to: element.end, text: '' };
}

/** The line break and the indentation before an element; empty when something else stands on its line. */
export function gapBefore(xml: string, element: XmlElement): string {
  let at = element.start;
  while (at > 0 && /[ \t]/.test(xml.charAt(at - 1))) at -= 1;
  if (xml.charAt(at - 1) !== '\n') return '';
  return xml.slice(xml.charAt(at - 2) === '\r' ? at - 2 : at - 1, element.start);
}

function indented(markup: string, gap: string): string {
  return gap + markup.replaceAll('\n', gap);
}

const attribute = /\s+([^\s<>/="'&]+)\s*=\s*(?:"[^"<]*"|'[^'<]*')/y;

// Where each one stands, with the space before it; '' is the place behind the last one.
function attributesOf(
  xml: string,
  element: XmlElement,
): ReadonlyMap<string, { readonly from: number; readonly to: number }> {
  const found = new Map<string, { from: number; to: number }>();
  let at =
    element.start + (/^<[^\s/>]+/.exec(xml.slice(element.start, element.inner))?.[0].length ?? 1);
  for (;;) {
    attribute.lastIndex = at;
    const name = attribute.exec(xml)?.[1];
    if (name === undefined) break;
    found.set(name, { from: at, to: attribute.lastIndex });
    at = attribute.lastIndex;
  }
  return found.set('', { from: at, to: at });
}

function escaped(value: string): string {
  return value.replaceAll(/[&<>'"]/g, (one) => `&#${one.charCodeAt(0)};`);
}
