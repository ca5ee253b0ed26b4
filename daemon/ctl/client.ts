/**
 * The daemon as revivectl sees it, over D-Bus: plain calls with a deadline, no introspection first, no proxies. The bytes are
 * the business of bus/connection.ts. Nothing connects before the first call, so a verb that needs no daemon has none.
 */
import { type BusCall, type Connection, connect } from '../bus/connection.ts';
import { flagVariant } from '../bus/variant.ts';
import { Variant } from '../bus/wire.ts';
import { RevivedError } from '../errors.ts';
import { isRecord } from '../record.ts';
import { addressOfPath } from './shapes.ts';
import { managerInterface, managerPath, type Objects, objectsOf } from './tree.ts';

/** A method of an org.revived1 interface; the client adds the `options a{sv}` that ends all of them. */
export interface Call {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  /** Of the arguments before the options, in D-Bus notation. */
  readonly signature: '' | 's' | 'ss' | 'u';
  readonly args: readonly (string | number)[];
}

/** A signal of the daemon, variants taken off. */
export interface Signal {
  readonly kind: 'signal';
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly args: readonly unknown[];
}

/** What a subscriber hears: a signal, the daemon coming or going, or the end of the connection to the bus. */
export type ClientEvent =
  | Signal
  | { readonly kind: 'daemon'; readonly present: boolean }
  | { readonly kind: 'bus-lost' };

/**
 * Everything that verbs may ask. Each function rejects with a RevivedError: the daemon's own code and sentence, or
 * `unreachable` where the bus or the daemon does not answer in time. Calls start the daemon where it does not run.
 */
export interface Client {
  /** Whether the daemon runs. Does not start it. */
  isRunning(): Promise<boolean>;
  /** The whole tree, the manager included. */
  getManagedObjects(): Promise<Objects>;
  /** All properties of one interface of one object. */
  getProperties(path: string, name: string): Promise<unknown>;
  /** Calls a method; resolves to its out arguments. */
  callMethod(call: Call): Promise<readonly unknown[]>;
  /** Hears the daemon's property and object signals, and its coming and going, from the moment it resolves. Once in a client's life. */
  subscribe(listener: (event: ClientEvent) => void): Promise<void>;
  /** Ends the connection, if there is one. The client is of no use afterwards. */
  close(): void;
}

export interface ClientOptions {
  /** D-Bus address: `unix:path=...`. */
  readonly address: string;
  /** Somebody is there to answer polkit: without, calls that need a password are refused at once. */
  readonly interactive: boolean;
  readonly deadlines?: Deadlines;
}

/** Milliseconds: for an answer, for an answer that may wait until somebody has typed a password. */
interface Deadlines {
  readonly answer: number;
  readonly password: number;
}

const usualDeadlines: Deadlines = { answer: 25_000, password: 300_000 };
const busName = 'org.revived';
const driver = 'org.freedesktop.DBus';
const propertiesInterface = 'org.freedesktop.DBus.Properties';
const objectManagerInterface = 'org.freedesktop.DBus.ObjectManager';

/** A client that connects with its first call. */
export function createClient(options: ClientOptions): Client {
  const deadlines = options.deadlines ?? usualDeadlines;
  let connection: Promise<Connection> | undefined;

  const connected = (): Promise<Connection> => {
    connection ??= connect(options.address);
    return connection;
  };
  const request = async (call: BusCall): Promise<readonly unknown[]> => {
    const deadline = call.interactive === true ? deadlines.password : deadlines.answer;
    const body = await (await connected())
      .call(call, deadline)
      .catch((error: unknown) => explain(error, call.path));
    return body.map(plain);
  };
  const askDriver = (member: string): Promise<readonly unknown[]> =>
    request({
      destination: driver,
      path: '/org/freedesktop/DBus',
      interface: driver,
      member,
      signature: 's',
      body: [busName],
    });
  const getProperties = async (path: string, name: string): Promise<unknown> => {
    const [properties] = await request({
      destination: busName,
      path,
      interface: propertiesInterface,
      member: 'GetAll',
      signature: 's',
      body: [name],
    });
    return properties;
  };

  return {
    getProperties,

    async isRunning() {
      const [running] = await askDriver('NameHasOwner');
      return running === true;
    },

    async getManagedObjects() {
      const [reply] = await request({
        destination: busName,
        path: managerPath,
        interface: objectManagerInterface,
        member: 'GetManagedObjects',
      });
      const objects = objectsOf(reply);
      if (objects[managerPath]?.[managerInterface] !== undefined) return objects;
      // Whether an ObjectManager lists the object that it lives on is left open by the specification.
      const manager = await getProperties(managerPath, managerInterface);
      return {
        ...objects,
        [managerPath]: { [managerInterface]: isRecord(manager) ? manager : {} },
      };
    },

    callMethod(call) {
      const { interactive } = options;
      return request({
        destination: busName,
        path: call.path,
        interface: call.interface,
        member: call.member,
        signature: `${call.signature}a{sv}`,
        body: [...call.args, interactive ? {} : { 'auth.no_user_interaction': flagVariant(true) }],
        interactive,
      });
    },

    async subscribe(listener) {
      const bus = await connected();
      const lost = () => listener({ kind: 'bus-lost' });
      // Anybody may send us a signal past the match rules: watches are by unique name, which the bus sets.
      const hear = async (owner: string): Promise<void> => {
        for (const name of [propertiesInterface, objectManagerInterface]) {
          await bus.watch({ sender: owner, interface: name }, (signal) => {
            const { path, interface: of, member, body } = signal;
            listener({ kind: 'signal', path, interface: of, member, args: body.map(plain) });
          });
        }
      };
      bus.onLost(lost);
      const owners = { sender: driver, interface: driver, member: 'NameOwnerChanged' };
      await bus.watch(owners, ({ body: [name, , owner] }) => {
        if (name !== busName || typeof owner !== 'string') return;
        if (owner === '') listener({ kind: 'daemon', present: false });
        else hear(owner).then(() => listener({ kind: 'daemon', present: true }), lost);
      });
      const [owner] = await askDriver('GetNameOwner').catch(nobody);
      if (typeof owner === 'string') await hear(owner);
    },

    close() {
      connection?.then(
        (open) => open.close(),
        () => undefined, // it was reported to whoever called
      );
    },
  };
}

/** A value of the wire with the variants taken off, and 64 bit numbers (microseconds: below 2^53) as numbers. */
function plain(value: unknown): unknown {
  if (value instanceof Variant) return plain(value.value);
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

// The daemon does not run: no owner to listen to until it comes.
function nobody(thrown: unknown): readonly unknown[] {
  if (thrown instanceof RevivedError && thrown.code === 'unreachable') return [];
  throw thrown;
}

// Errors of the daemon bring their advice in the sentence; those of the bus and of the connection get theirs here.
function explain(thrown: unknown, path: string): never {
  if (!(thrown instanceof RevivedError)) throw thrown;
  const { code, message, cause } = thrown;
  // A deadline of ours, and not the daemon's own error of that name, has no D-Bus name as its cause.
  if (code === 'unreachable' || (code === 'timed-out' && cause === undefined)) {
    const text = `The daemon does not answer: ${message.replace(/\.?$/, '.')}`;
    throw new RevivedError('unreachable', text, 'Look at: systemctl status revived.', { cause });
  }
  const address = addressOfPath(path);
  if (code === 'unknown-object' && address !== null) {
    const text = `There is no card ${address} here.`;
    throw new RevivedError('not-found', text, 'revivectl list --all shows what there is.');
  }
  // dbus-daemon and dbus-broker say which of their rules matched; what matters is that one did.
  if (code === 'not-authorised' && /^(Rejected send|Sender is not auth)/.test(message)) {
    const text = 'The policy of the system bus does not let you talk to revived.';
    throw new RevivedError(code, text, 'Run it as root.', { cause });
  }
  throw thrown;
}
