import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RevivedError } from '../../../daemon/errors.ts';
import {
  encodeFrame,
  type Frame,
  FrameReader,
  maxFrameBytes,
} from '../../../daemon/libvirt/frame.ts';
import { recorded } from './peer.ts';

function framesOf(chunks: readonly Buffer[]): Frame[] {
  const frames: Frame[] = [];
  const reader = new FrameReader();
  for (const chunk of chunks) reader.push(chunk, (frame) => frames.push(frame));
  return frames;
}

const isLibvirt = (error: unknown) => error instanceof RevivedError && error.code === 'libvirt';

// facts/libvirt.md 4, as it went over the socket of libvirtd 9.0.0.
const authList = recorded('0000001c 20008086 00000001 00000042 00000000 00000001 00000000');
const authListAnswer = recorded(
  '00000024 20008086 00000001 00000042 00000001 00000001 00000000 00000001 00000000',
);

test('the recorded bytes of a call', () => {
  const bytes = encodeFrame(
    { program: 0x20008086, version: 1, procedure: 66, type: 0, serial: 1, status: 0 },
    Buffer.alloc(0),
  );
  assert.deepEqual(bytes, authList);
});

test('the recorded bytes of an answer', () => {
  const [frame] = framesOf([authListAnswer]);
  assert.deepEqual(
    { ...frame, payload: frame?.payload.toString('hex') },
    {
      ...{ program: 0x20008086, version: 1, procedure: 66, type: 1, serial: 1, status: 0 },
      payload: '0000000100000000',
    },
  );
});

const word = fc.nat(0xffffffff);
const frame = fc.record(
  {
    ...{ program: word, version: word, type: word, serial: word, status: word },
    procedure: fc.integer({ min: -0x80000000, max: 0x7fffffff }),
    payload: fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)),
  },
  { noNullPrototype: true },
);

test('frames come out as they went in, however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 }),
      (frames, sizes) => {
        const stream = Buffer.concat(frames.map((one) => encodeFrame(one, one.payload)));
        const chunks: Buffer[] = [];
        for (let at = 0, turn = 0; at < stream.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          chunks.push(stream.subarray(at, at + size));
          at += size;
        }
        assert.deepEqual(framesOf(chunks), frames);
      },
    ),
  );
});

test('a length below the header or above the limit ends the stream before anything is held', () => {
  for (const length of [0, 4, 27, maxFrameBytes + 1, 0xffffffff]) {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(length);
    assert.throws(() => framesOf([bytes]), isLibvirt, String(length));
  }
});

test('the longest frame that libvirt may send passes, in small pieces, in time', () => {
  const header = { program: 1, version: 1, procedure: 1, type: 1, serial: 1, status: 0 };
  const bytes = encodeFrame(header, Buffer.alloc(maxFrameBytes - 28));
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 4096) chunks.push(bytes.subarray(at, at + 4096));
  const began = performance.now();
  const frames = framesOf(chunks);
  assert.equal(frames[0]?.payload.length, maxFrameBytes - 28);
  assert.ok(performance.now() - began < 2000, 'joining is linear');
});
