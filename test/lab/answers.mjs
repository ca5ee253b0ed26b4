/**
 * How long the daemon takes to answer: a Ping on the system bus every 50 ms, for as many seconds as the argument says. Prints
 * `worst N ms, median N ms, N answers`. The bytes are written by hand, so that nothing but node is needed in the lab.
 */
import { connect } from 'node:net';

const seconds = Number(process.argv[2]);
const socket = connect('/run/dbus/system_bus_socket');
const waiting = new Map();
const took = [];
let serial = 0;

/** A method call without arguments (D-Bus specification, "Message Format"). */
function call(destination, path, member) {
  const header = (code, signature, text) => {
    const body = Buffer.from(`${text}\0`);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(body.length - 1);
    const field = Buffer.concat([Buffer.from([code, 1, signature.charCodeAt(0), 0]), length, body]);
    return Buffer.concat([field, Buffer.alloc((8 - (field.length % 8)) % 8)]);
  };
  const iface = member === 'Ping' ? 'org.freedesktop.DBus.Peer' : 'org.freedesktop.DBus';
  const fields = Buffer.concat([
    header(1, 'o', path),
    header(2, 's', iface),
    header(3, 's', member),
    header(6, 's', destination),
  ]);
  // The length of the array is without the padding of its last field.
  const last = 8 + destination.length + 1;
  const padding = (8 - (last % 8)) % 8;
  const head = Buffer.alloc(16);
  head.write('l', 0);
  head.writeUInt8(1, 1);
  head.writeUInt8(1, 3);
  head.writeUInt32LE(++serial, 8);
  head.writeUInt32LE(fields.length - padding, 12);
  waiting.set(serial, performance.now());
  socket.write(Buffer.concat([head, fields]));
}

let buffer = Buffer.alloc(0);
let said = false;
socket.on('data', (chunk) => {
  buffer = Buffer.concat([buffer, chunk]);
  if (!said) {
    const end = buffer.indexOf('\r\n');
    if (end < 0) return;
    if (!buffer.toString('latin1').startsWith('OK')) throw new Error('the bus refuses us');
    said = true;
    buffer = buffer.subarray(end + 2);
    socket.write('BEGIN\r\n');
    call('org.freedesktop.DBus', '/org/freedesktop/DBus', 'Hello');
    waiting.clear();
    const timer = setInterval(() => call('org.revived', '/org/revived', 'Ping'), 50);
    setTimeout(() => {
      clearInterval(timer);
      // What has not been answered counts as long as it has waited.
      for (const since of waiting.values()) took.push(performance.now() - since);
      took.sort((a, b) => a - b);
      const worst = Math.round(took.at(-1) ?? 0);
      const median = Math.round(took[Math.floor(took.length / 2)] ?? 0);
      process.stdout.write(`worst ${worst} ms, median ${median} ms, ${took.length} answers\n`);
      process.exit(took.length > 0 ? 0 : 1);
    }, seconds * 1000);
  }
  for (;;) {
    if (buffer.length < 16) return;
    const fields = buffer.readUInt32LE(12);
    const total = 16 + Math.ceil(fields / 8) * 8 + buffer.readUInt32LE(4);
    if (buffer.length < total) return;
    // Type 2 is a return; its reply serial is the field with code 5.
    const reply = replySerial(buffer.subarray(16, 16 + fields));
    const since = waiting.get(reply);
    if (buffer.readUInt8(1) === 2 && since !== undefined) {
      waiting.delete(reply);
      took.push(performance.now() - since);
    }
    buffer = buffer.subarray(total);
  }
});
socket.write(`\0AUTH EXTERNAL ${Buffer.from(String(process.getuid())).toString('hex')}\r\n`);

function replySerial(fields) {
  for (let at = 0; at + 8 <= fields.length; at += 8) {
    // The fields are aligned to 8 bytes; a `u` field is code, 1, 'u', 0, value.
    if (fields[at] === 5 && fields[at + 1] === 1 && fields[at + 2] === 0x75) {
      return fields.readUInt32LE(at + 4);
    }
  }
  return 0;
}
