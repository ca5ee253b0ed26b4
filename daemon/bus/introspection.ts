/** Introspection XML, generated from the tables; the DTD is that of the D-Bus specification ("Introspection Data Format"). */
import { type StandardName, standardSpec } from './standard.ts';
import { type InterfaceName, interfaceSpec } from './table.ts';

const doctype =
  '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"\n' +
  ' "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">\n';

/** The file for /usr/share/dbus-1/interfaces/NAME.xml. */
export function interfaceXml(name: InterfaceName): string {
  return `${doctype}<node>\n${ownInterface(name)}</node>\n`;
}

/** What Introspect answers for a node. `children` are names, not paths. */
export function nodeXml(node: {
  readonly interface: InterfaceName | undefined;
  readonly standard: readonly StandardName[];
  readonly children: readonly string[];
}): string {
  const own = node.interface === undefined ? '' : ownInterface(node.interface);
  const standard = node.standard.map(standardInterface).join('');
  const children = node.children.map((name) => `  <node name="${escaped(name)}"/>\n`).join('');
  return `${doctype}<node>\n${own}${standard}${children}</node>\n`;
}

function ownInterface(name: InterfaceName): string {
  const spec = interfaceSpec(name);
  const properties = Object.entries(spec.properties)
    .map(
      ([property, { signature, emits }]) =>
        `    <property name="${escaped(property)}" type="${escaped(signature)}" access="read">\n` +
        `      <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="${emits}"/>\n` +
        '    </property>\n',
    )
    .join('');
  return `  <interface name="${escaped(name)}">\n${members(spec)}${properties}  </interface>\n`;
}

function standardInterface(name: StandardName): string {
  return `  <interface name="${escaped(name)}">\n${members(standardSpec(name))}  </interface>\n`;
}

interface Arg {
  readonly name: string;
  readonly signature: string;
}

function members(spec: {
  readonly methods: Readonly<
    Record<string, { readonly in: readonly Arg[]; readonly out: readonly Arg[] }>
  >;
  readonly signals: Readonly<Record<string, readonly Arg[]>>;
}): string {
  const methods = Object.entries(spec.methods).map(([name, method]) => {
    const all = `${args(method.in, ' direction="in"')}${args(method.out, ' direction="out"')}`;
    return element('method', name, all);
  });
  const signals = Object.entries(spec.signals).map(([name, list]) =>
    element('signal', name, args(list, '')),
  );
  return [...methods, ...signals].join('');
}

function element(kind: 'method' | 'signal', name: string, content: string): string {
  const open = `    <${kind} name="${escaped(name)}"`;
  return content === '' ? `${open}/>\n` : `${open}>\n${content}    </${kind}>\n`;
}

function args(list: readonly Arg[], direction: string): string {
  return list
    .map(
      ({ name, signature }) =>
        `      <arg name="${escaped(name)}" type="${escaped(signature)}"${direction}/>\n`,
    )
    .join('');
}

function escaped(value: string): string {
  return value
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
