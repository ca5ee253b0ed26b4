import assert from 'node:assert/strict';
import { test } from 'node:test';
import { socketsOf, systemBusAddress } from '../../../daemon/bus/address.ts';

test('the address is that of the environment, else the usual one', () => {
  assert.equal(systemBusAddress({}), 'unix:path=/run/dbus/system_bus_socket');
  assert.equal(systemBusAddress({ DBUS_SYSTEM_BUS_ADDRESS: '' }), systemBusAddress({}));
  assert.equal(systemBusAddress({ DBUS_SYSTEM_BUS_ADDRESS: 'unix:path=/x' }), 'unix:path=/x');
});

test('sockets of an address, in order', () => {
  assert.deepEqual(socketsOf('unix:path=/run/a%20b,guid=12;unix:abstract=/tmp/x'), [
    '/run/a b',
    '\0/tmp/x',
  ]);
});

test('an address without a unix socket is refused', () => {
  assert.throws(() => socketsOf('tcp:host=localhost,port=1'), { code: 'invalid-argument' });
  assert.throws(() => socketsOf('nonsense'), { code: 'invalid-argument' });
});
