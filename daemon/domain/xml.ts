/**
 * The bounds of a domain's XML and how it is spoken of: the text comes from a hook's stdin, from libvirt, from a file that a
 * user wrote or from a captured host. element.ts reads it.
 */
import { RevivedError } from '../errors.ts';
import { printable } from '../printable.ts';

/** Bytes of XML; libvirt itself sends at most 4 MiB over its socket. */
const maxBytes = 8 * 1024 * 1024;
// A real domain has some hundred elements, ten levels and a handful of namespaces. The bounds hold the time
// of one parse under a second; an element that declares a namespace copies all of its parent's.
const maxDepth = 256;
const maxTags = 50_000;
const maxAttributes = 100_000;
const maxNamespaces = 256;
// libvirt writes a handful; each is replaced by itself.
const maxReferences = 100_000;

/** As strtoul with base 0, which libvirt uses (virXMLPropUInt): 0x1f, 017, 15. Undefined beyond `max`. */
export function numberOf(text: string, max: number): number | undefined {
  const octal = /^0[0-7]+$/.test(text);
  if (!octal && !/^(0x[0-9a-f]+|0|[1-9][0-9]*)$/i.test(text)) return undefined;
  const value = octal ? Number.parseInt(text, 8) : Number(text);
  return value <= max ? value : undefined;
}

/** One pass over the text, before any parser sees it: an entity bomb costs nothing. Throws `invalid-argument`. */
export function checkBounds(xml: string): void {
  const size = Buffer.byteLength(xml);
  if (size > maxBytes) throw invalidXml(`it has ${size} bytes, more than ${maxBytes}`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the ones that XML 1.0 forbids
  if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(xml)) {
    throw invalidXml('it contains control characters');
  }
  const seen = { depth: 0, tags: 0, attributes: 0 };
  for (let at = xml.indexOf('<'); at !== -1; at = xml.indexOf('<', at)) {
    at = skipMarkup(xml, at, seen);
    if (seen.depth > maxDepth) throw invalidXml(`it is nested more than ${maxDepth} levels deep`);
    if (seen.tags > maxTags) throw invalidXml(`it has more than ${maxTags} tags`);
    if (seen.attributes > maxAttributes) {
      throw invalidXml(`it has more than ${maxAttributes} attributes`);
    }
  }
  if (xml.split('&', maxReferences + 2).length > maxReferences + 1) {
    throw invalidXml(`it has more than ${maxReferences} character references`);
  }
  if (xml.split('xmlns', maxNamespaces + 2).length > maxNamespaces + 1) {
    throw invalidXml(`it declares more than ${maxNamespaces} namespaces`);
  }
}

// Counts what begins at `at` (a '<') and returns where it ends; what is not closed is the parser's to refuse.
function skipMarkup(
  xml: string,
  at: number,
  seen: { depth: number; tags: number; attributes: number },
): number {
  const after = (mark: string, from: number) => {
    const end = xml.indexOf(mark, from);
    return end === -1 ? xml.length : end + mark.length;
  };
  seen.tags += 1;
  if (xml.startsWith('<!--', at)) return after('-->', at + 4);
  if (xml.startsWith('<![CDATA[', at)) return after(']]>', at + 9);
  if (xml.startsWith('<?', at)) return after('?>', at + 2);
  if (xml.startsWith('<!', at)) {
    throw invalidXml('it declares a document type or entities, which libvirt never writes');
  }
  if (xml.startsWith('</', at)) {
    seen.depth -= 1;
    return after('>', at + 2);
  }
  const stops = /["'>]/g;
  stops.lastIndex = at + 1;
  for (let stop = stops.exec(xml); stop !== null; stop = stops.exec(xml)) {
    if (stop[0] === '>') {
      if (xml[stop.index - 1] !== '/') seen.depth += 1;
      return stops.lastIndex;
    }
    seen.attributes += 1;
    stops.lastIndex = after(stop[0], stops.lastIndex);
  }
  return xml.length;
}

/** What is quoted from the XML in a message: short, on one line. */
export function shown(text: string): string {
  return printable(text.length > 120 ? `${text.slice(0, 120)}...` : text);
}

/** The error for XML that cannot be used; `what` is a clause that begins with "it". */
export function invalidXml(what: string, cause?: unknown): RevivedError {
  return new RevivedError(
    'invalid-argument',
    `The domain XML cannot be used: ${what}.`,
    'Look at it with `virsh dumpxml` and correct it with `virsh edit`.',
    { cause },
  );
}
