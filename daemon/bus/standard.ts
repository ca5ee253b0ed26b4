/**
 * The interfaces that every service has, as the D-Bus specification words them ("Standard Interfaces").
 * All of them only read, and reading is free; Set is there to be refused.
 */

interface StandardArg {
  readonly name: string;
  readonly signature: string;
}

interface StandardMethod {
  readonly in: readonly StandardArg[];
  readonly out: readonly StandardArg[];
}

export interface StandardInterface {
  readonly methods: Readonly<Record<string, StandardMethod>>;
  readonly signals: Readonly<Record<string, readonly StandardArg[]>>;
}

const iface = { name: 'interface_name', signature: 's' } as const;
const property = { name: 'property_name', signature: 's' } as const;

export const standardInterfaces = {
  'org.freedesktop.DBus.Peer': {
    methods: {
      Ping: { in: [], out: [] },
      GetMachineId: { in: [], out: [{ name: 'machine_uuid', signature: 's' }] },
    },
    signals: {},
  },
  'org.freedesktop.DBus.Introspectable': {
    methods: { Introspect: { in: [], out: [{ name: 'xml_data', signature: 's' }] } },
    signals: {},
  },
  'org.freedesktop.DBus.Properties': {
    methods: {
      Get: { in: [iface, property], out: [{ name: 'value', signature: 'v' }] },
      GetAll: { in: [iface], out: [{ name: 'props', signature: 'a{sv}' }] },
      Set: { in: [iface, property, { name: 'value', signature: 'v' }], out: [] },
    },
    signals: {
      PropertiesChanged: [
        iface,
        { name: 'changed_properties', signature: 'a{sv}' },
        { name: 'invalidated_properties', signature: 'as' },
      ],
    },
  },
  'org.freedesktop.DBus.ObjectManager': {
    methods: {
      GetManagedObjects: {
        in: [],
        out: [{ name: 'objects', signature: 'a{oa{sa{sv}}}' }],
      },
    },
    signals: {
      InterfacesAdded: [
        { name: 'object_path', signature: 'o' },
        { name: 'interfaces_and_properties', signature: 'a{sa{sv}}' },
      ],
      InterfacesRemoved: [
        { name: 'object_path', signature: 'o' },
        { name: 'interfaces', signature: 'as' },
      ],
    },
  },
} as const satisfies Readonly<Record<string, StandardInterface>>;

export type StandardName = keyof typeof standardInterfaces;

/** True for the name of a standard interface. */
export function isStandardName(name: string): name is StandardName {
  return Object.hasOwn(standardInterfaces, name);
}

/** The specification of a standard interface, for code that works on any of them. */
export function standardSpec(name: StandardName): StandardInterface {
  return standardInterfaces[name];
}

/** The standard interfaces of a node: all have Peer and Introspectable, objects Properties, the root ObjectManager. */
export function standardNamesOf(node: {
  readonly isObject: boolean;
  readonly isRoot: boolean;
}): readonly StandardName[] {
  return [
    'org.freedesktop.DBus.Peer',
    'org.freedesktop.DBus.Introspectable',
    ...(node.isObject ? (['org.freedesktop.DBus.Properties'] as const) : []),
    ...(node.isRoot ? (['org.freedesktop.DBus.ObjectManager'] as const) : []),
  ];
}
