import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createFrameReader, type Frame, frameLimits } from '../../../daemon/bus/frames.ts';
import { encode, messageType } from '../../../daemon/bus/wire.ts';

function call(serial: number, text: string, path = '/a'): Buffer {
  return encode({
    ...{ type: messageType.call, flags: 0, serial, path, member: 'M' },
    ...{ signature: 's', body: [text] },
  });
}

function reading(bodyLimit = 1000) {
  const frames: Frame[] = [];
  const skipped: string[] = [];
  const reader = createFrameReader({
    bodyLimit: () => bodyLimit,
    onFrame: (frame) => frames.push(frame),
    onSkipped: (what) => skipped.push(what),
  });
  return { reader, frames, skipped };
}

test('messages come out whole, however the bytes were cut', () => {
  const texts = ['', 'x', 'y'.repeat(500), 'last'];
  const bytes = Buffer.concat(texts.map((text, index) => call(index + 1, text)));
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length), { maxLength: 20 }), (cuts) => {
      const { reader, frames } = reading();
      const edges = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
      for (const [index, edge] of edges.entries()) {
        reader.push(bytes.subarray(edge, edges[index + 1] ?? edge));
      }
      assert.deepEqual(
        frames.map((frame) => frame.body()[0]),
        texts,
      );
    }),
  );
});

test('byte by byte is the same', () => {
  const { reader, frames } = reading();
  for (const byte of call(5, 'slow')) reader.push(Buffer.from([byte]));
  assert.deepEqual(frames[0]?.body(), ['slow']);
});

test('a body over the limit is skipped and said so; the next message is read', () => {
  const { reader, frames } = reading(100);
  const bytes = Buffer.concat([call(1, 'z'.repeat(300_000)), call(2, 'next')]);
  for (let at = 0; at < bytes.length; at += 65_536) reader.push(bytes.subarray(at, at + 65_536));
  assert.equal(frames[0]?.header.serial, 1);
  assert.throws(() => frames[0]?.body(), { code: 'limit-exceeded' });
  assert.deepEqual(frames[1]?.body(), ['next']);
});

test('an oversized header is skipped with its body', () => {
  const { reader, frames, skipped } = reading();
  reader.push(call(1, 'x', `/${'a'.repeat(frameLimits.header)}`));
  reader.push(call(2, 'next'));
  assert.deepEqual(skipped, ['a message with an oversized header']);
  assert.deepEqual(
    frames.map((frame) => frame.header.serial),
    [2],
  );
});

test('an unreadable header is skipped with its body', () => {
  const { reader, frames, skipped } = reading();
  const broken = call(1, 'x');
  broken.write('?', broken.indexOf('\x01o\0') + 1); // the type of the field "path"
  reader.push(Buffer.concat([broken, call(2, 'next')]));
  assert.deepEqual(skipped, ['a message with an unreadable header']);
  assert.deepEqual(frames[0]?.body(), ['next']);
});

test('bytes that are no message end the stream', () => {
  const { reader } = reading();
  assert.throws(() => reader.push(Buffer.from('HTTP/1.1 400 Bad Request')), {
    code: 'unreachable',
  });
});
