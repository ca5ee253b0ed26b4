import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createExplainer } from '../../../daemon/doctor/explain.ts';
import { createHintSearch } from '../../../daemon/doctor/hint-search.ts';
import { longestPiece } from '../../../daemon/doctor/log-line.ts';
import { createLogReader } from '../../../daemon/doctor/log-reader.ts';

/** The lines that a reader gives for bytes in portions of `size`. */
function linesOf(bytes: Buffer, size: number): readonly string[] {
  const lines: string[] = [];
  let begun = '';
  const reader = createLogReader({
    add(text, ends = true) {
      assert.ok(text.length <= longestPiece);
      begun += text;
      if (!ends) return;
      lines.push(begun);
      begun = '';
    },
  });
  for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
  reader.end();
  return lines;
}

test('lines are the same in whatever portions the bytes come', () => {
  const text = `one\ntwo\r\n\nvier \u65e5\u672c\u8a9e\n${'x'.repeat(3 * longestPiece + 5)}\nlast`;
  const wanted = text.split('\n');
  for (const size of [1, 2, 7, 4096, longestPiece, 1 << 20]) {
    assert.deepEqual(linesOf(Buffer.from(text), size), wanted, String(size));
  }
  assert.deepEqual(linesOf(Buffer.from('a\nb\n'), 1), ['a', 'b']);
  assert.deepEqual(linesOf(Buffer.alloc(0), 1), []);
  assert.deepEqual(linesOf(Buffer.from([0xff, 0x0a, 0xe6]), 1), ['\ufffd', '\ufffd']);
});

test('a line that never ends is given away in pieces as it comes', () => {
  let taken = 0;
  const reader = createLogReader({
    add(text, ends) {
      assert.equal(ends, false);
      taken += text.length;
    },
  });
  for (let at = 1; at < 50; at++) {
    reader.push(Buffer.alloc(1000, 'x'));
    assert.ok(at * 1000 - taken <= longestPiece);
  }
});

test('a line that never ends, and a long log, take no memory and little time', () => {
  const explainer = createExplainer();
  const reader = createLogReader(explainer);
  const endless = Buffer.alloc(1 << 20, 'vfio-pci ');
  const usual = Buffer.from(
    '[    1.5] usb 1-1: new high-speed USB device number 2\n'.repeat(20_000),
  );
  const before = process.memoryUsage().rss;
  const began = process.cpuUsage();
  for (let at = 0; at < 4; at++) {
    reader.push(endless);
    reader.push(usual);
  }
  reader.push(Buffer.from('AMD-Vi: Completion-Wait loop timed out'));
  reader.end();
  assert.deepEqual(explainer.result().classes, ['iommu-stuck']);
  assert.equal(explainer.result().evidence[0]?.line, 80_001);
  assert.ok(process.memoryUsage().rss - before < 200e6);
  // 8 MB: a quarter of a second where 20 MB/s are claimed 50 are usual. This catches only what is far off.
  assert.ok(process.cpuUsage(began).user < 8e6);
});

test('the search finds what includes() finds, whatever the case', () => {
  const letters = fc.string({
    unit: fc.constantFrom('a', 'b', 'B', 'c', ' ', '\u3042'),
    maxLength: 40,
  });
  const hint = fc.string({ unit: fc.constantFrom('a', 'b', 'A', ' '), minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(fc.array(hint, { minLength: 1, maxLength: 8 }), letters, (hints, text) => {
      const wanted = hints.flatMap((one, at) =>
        text.toLowerCase().includes(one.toLowerCase()) ? [at] : [],
      );
      assert.deepEqual([...createHintSearch(hints)(text)].sort(), wanted);
    }),
    { numRuns: 300 },
  );
  assert.throws(() => createHintSearch(['']), RangeError);
  assert.throws(() => createHintSearch(['\u3042']), RangeError);
});
