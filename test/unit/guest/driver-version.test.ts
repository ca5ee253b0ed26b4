/** Versions from what reg.exe and PowerShell write, in any language, with anything else around it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  driversInRegistry,
  driversInWmi,
  versionFor,
} from '../../../daemon/guest/driver-version.ts';
import { registry, withDriver } from './windows.ts';

const navi = '1002:731f';
const bothOf = (drivers: Parameters<typeof registry>[1]) =>
  ['MatchingDeviceId', 'DriverVersion'].map((value) => registry(value, drivers));
const versionIn = (outputs: readonly string[]) => {
  const drivers = driversInRegistry(outputs);
  return drivers === undefined ? 'unknown' : versionFor(navi, drivers);
};
const own = { id: 'PCI\\VEN_1002&DEV_731F&REV_C1', version: '31.0.21921.1000' };

test('the registry: the version of the card that is asked for', () => {
  assert.equal(
    versionIn(bothOf([{ id: 'pci\\ven_10de&dev_2484', version: '1.2' }, own])),
    own.version,
  );
  assert.equal(
    versionIn(bothOf([{ id: 'pci\\cc_0300', version: '10.0' }])),
    '',
    'the basic driver',
  );
  assert.equal(versionIn(bothOf([own, own])), own.version);
  assert.equal(versionIn(bothOf([own, { ...own, version: '30.0' }])), undefined, 'an old one left');
});

test('the registry: deeper keys, other values, other languages and errors are passed over', () => {
  const outputs = bothOf([own]).map((out) =>
    out
      .replace('End of search', 'Ende der Suche')
      .replace(
        '\r\n\r\nE',
        '\r\n    Größe    REG_DWORD    0x1\r\n    DriverVersion    REG_DWORD    0x9\r\n\r\nE',
      )
      .concat(
        '\r\nHKEY_LOCAL_MACHINE\\SYSTEM\\X\\0000\\Sub\r\n    DriverVersion    REG_SZ    9.9\r\n',
      ),
  );
  assert.equal(versionIn(outputs), own.version);
});

test('the registry: what is not whole is not known', () => {
  const [ids = '', versions = ''] = bothOf([own]);
  for (const outputs of [
    ['', ''],
    [ids, ''],
    ['', versions],
    [ids, ids],
    ['ERROR: Access is denied.', versions],
    [ids, versions.replace(own.version, '\u001b[2J')],
    [ids, versions.replace(own.version, '1'.repeat(100))],
    [ids, versions.slice(0, versions.indexOf('REG_SZ'))],
    ['\0'.repeat(1000), 'x'.repeat(1000)],
  ]) {
    assert.equal(versionIn(outputs), 'unknown', JSON.stringify(outputs));
  }
});

test('WMI: one adapter, several, the basic driver, and nonsense', () => {
  const adapter = {
    PNPDeviceID: 'PCI\\VEN_1002&DEV_731F&SUBSYS_04E21043&REV_C1\\4&1A2B&0&0008',
    DriverVersion: own.version,
    InfFilename: 'oem12.inf',
  };
  const other = {
    PNPDeviceID: 'ROOT\\BASICDISPLAY\\0000',
    DriverVersion: '10.0',
    InfFilename: null,
  };
  const versionOf = (value: unknown) => {
    const drivers = driversInWmi(JSON.stringify(value));
    return drivers === undefined ? 'unknown' : versionFor(navi, drivers);
  };
  assert.equal(versionOf(adapter), own.version);
  assert.equal(versionOf([other, adapter]), own.version);
  assert.equal(versionOf({ ...adapter, InfFilename: 'display.inf' }), '');
  for (const value of [
    null,
    1,
    [1],
    {},
    [adapter, {}],
    { ...adapter, DriverVersion: 5 },
    Array(65).fill(adapter),
  ])
    assert.equal(versionOf(value), 'unknown', JSON.stringify(value));
  assert.equal(driversInWmi('Get-CimInstance : Access denied'), undefined);
});

test('what the scripted guest answers is what the reader reads', () => {
  const run = withDriver('1.2.3');
  const outputs = ['MatchingDeviceId', 'DriverVersion'].map(
    (value) => run('reg.exe', [value]) ?? '',
  );
  assert.equal(versionIn(outputs), '1.2.3');
});
