/** Writes a tar archive (POSIX.1-1988 ustar), which every tar reads. Pure. */

export type TarEntry = { readonly path: string } & (
  | { readonly kind: 'file'; readonly mode: number; readonly content: Buffer }
  | { readonly kind: 'directory' }
  | { readonly kind: 'link'; readonly target: string }
);

const block = 512;

/** The archive, without the entries that do not fit the format (`fits`). Owner root, time 0. */
export function tarOf(entries: readonly TarEntry[]): Buffer {
  const parts = entries.filter(fits).flatMap((entry) => {
    const content = entry.kind === 'file' ? entry.content : Buffer.alloc(0);
    const rest = Buffer.alloc((block - (content.length % block)) % block);
    return [header(entry, content.length), content, rest];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}

/** Whether path (100 bytes behind a prefix of 155) and target (100 bytes) fit the format. */
export function fits(entry: TarEntry): boolean {
  return (
    split(entry.path) !== undefined &&
    (entry.kind !== 'link' || Buffer.byteLength(entry.target) <= 100)
  );
}

function header(entry: TarEntry, size: number): Buffer {
  const bytes = Buffer.alloc(block);
  const [prefix, name] = split(entry.path) ?? ['', ''];
  const octal = (value: number, at: number, width: number) =>
    bytes.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1');
  bytes.write(name, 0);
  octal(entry.kind === 'file' ? entry.mode & 0o777 : 0o755, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  bytes.write('        ', 148, 'latin1');
  bytes.write({ file: '0', directory: '5', link: '2' }[entry.kind], 156, 'latin1');
  if (entry.kind === 'link') bytes.write(entry.target, 157);
  bytes.write('ustar\u000000', 257, 'latin1');
  bytes.write(prefix, 345);
  const sum = bytes.reduce((total, one) => total + one, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

function split(path: string): readonly [string, string] | undefined {
  if (Buffer.byteLength(path) <= 100) return ['', path];
  for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
    const [prefix, name] = [path.slice(0, at), path.slice(at + 1)];
    if (Buffer.byteLength(prefix) <= 155 && Buffer.byteLength(name) <= 100) return [prefix, name];
  }
  return undefined;
}
