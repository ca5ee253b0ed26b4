import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RevivedError } from '../../../daemon/errors.ts';
import { type DomainEvent, readEvent } from '../../../daemon/libvirt/event.ts';
import { type Frame, FrameReader } from '../../../daemon/libvirt/frame.ts';
import { XdrReader, XdrWriter } from '../../../daemon/libvirt/xdr.ts';
import { recorded, sampleUuid } from './peer.ts';

const stopped = { name: 'test', uuid: sampleUuid, id: null };
const running = { ...stopped, id: 2 };

function eventOf(message: number, encode: (writer: XdrWriter) => XdrWriter): DomainEvent | null {
  const writer = new XdrWriter().i32(0).string('test').uuid(sampleUuid).i32(2);
  return readEvent(message, new XdrReader(encode(writer).payload()));
}

test('the recorded bytes of destroy and start (facts/libvirt.md 4)', () => {
  const stream = recorded(
    '00000044 20008086 00000001 0000013e 00000002 00000001 00000000 ' +
      `00000000 00000004 "test" ${sampleUuid.replaceAll('-', '')} ffffffff 00000005 00000001 ` +
      '00000044 20008086 00000001 0000013e 00000002 00000001 00000000 ' +
      `00000000 00000004 "test" ${sampleUuid.replaceAll('-', '')} 00000002 00000002 00000000`,
  );
  const events: (DomainEvent | null)[] = [];
  new FrameReader().push(stream, (frame: Frame) => {
    events.push(readEvent(frame.procedure, new XdrReader(frame.payload)));
  });
  assert.deepEqual(events, [
    { kind: 'lifecycle', domain: stopped, event: 'stopped', detail: 'destroyed' },
    { kind: 'lifecycle', domain: running, event: 'started', detail: 'booted' },
  ]);
});

test('why qemu ends, whatever is in its details', () => {
  const ending = (details: string | null) =>
    eventOf(6, (w) => {
      w.string('SHUTDOWN').u32(0).u32(1_700_000_000).u32(42);
      return w.optionalString(details);
    });
  for (const [details, reason] of [
    ['{"guest":true,"reason":"guest-reset"}', 'guest-reset'],
    ['{"guest":false}', 'unknown'],
    ['{"reason":["guest-reset"]}', 'unknown'],
    ['{"reason":"\\u001b[2J"}', 'unknown'],
    [`{"reason":"guest-reset","x":"${'x'.repeat(5000)}"}`, 'unknown'],
    ['null', 'unknown'],
    ['[', 'unknown'],
    [null, 'unknown'],
  ] as const) {
    assert.deepEqual(ending(details), { kind: 'ending', domain: running, reason });
  }
});

test('every kind that revived registers for', () => {
  const domain = running;
  assert.deepEqual(
    eventOf(319, (w) => w),
    { kind: 'reboot', domain },
  );
  assert.deepEqual(
    eventOf(348, (w) => w.i32(1).i32(2)),
    { kind: 'agent', domain, state: 'connected', reason: 'channel' },
  );
  for (const [message, kind] of [
    [333, 'device-removed'],
    [354, 'device-added'],
    [367, 'device-removal-failed'],
  ] as const) {
    assert.deepEqual(
      eventOf(message, (w) => w.string('hostdev0')),
      { kind, domain, alias: 'hostdev0' },
    );
  }
});

test('numbers that are new to us are words, messages that we did not ask for are nothing', () => {
  assert.deepEqual(
    eventOf(318, (w) => w.i32(77).i32(3)),
    { kind: 'lifecycle', domain: running, event: 'unknown-77', detail: 'unknown-3' },
  );
  assert.equal(
    eventOf(320, (w) => w),
    null,
  );
});

test('an event that is too short or too long is refused', () => {
  const isLibvirt = (error: unknown) => error instanceof RevivedError && error.code === 'libvirt';
  assert.throws(() => eventOf(318, (w) => w.i32(5)), isLibvirt);
  assert.throws(() => eventOf(318, (w) => w.i32(5).i32(1).u32(0)), isLibvirt);
  assert.throws(() => eventOf(333, (w) => w.u32(0xffffffff)), isLibvirt);
});
