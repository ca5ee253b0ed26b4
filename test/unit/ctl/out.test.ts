import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createOut } from '../../../daemon/ctl/out.ts';
import { hostile, hostileShown, streamsOf } from './recorded.ts';

const plain = { json: false, noColor: true, yes: false };

test('lines go to stdout, warnings to stderr with the name of the program and made printable', () => {
  const { streams, stdout, stderr } = streamsOf(false);
  const out = createOut(streams, plain);
  out.line('a');
  out.warn(hostile);
  assert.equal(stdout(), 'a\n');
  assert.equal(stderr(), `revivectl: ${hostileShown}\n`);
});

test('daemon text is made printable for people and left alone for JSON', () => {
  const { streams } = streamsOf(false);
  assert.equal(createOut(streams, plain).text(hostile), hostileShown);
  assert.equal(createOut(streams, { ...plain, json: true }).text(hostile), hostile);
});

test('a live line is replaced by what comes next, cut to the terminal, and nowhere else shown', () => {
  const { streams, stdout } = streamsOf(true);
  const out = createOut(streams, plain);
  out.live('x'.repeat(100));
  out.live('two');
  out.line('three');
  out.live('');
  assert.equal(stdout(), `${'x'.repeat(58)}…\r\u001b[Ktwo\r\u001b[Kthree\n`);

  const pipe = streamsOf(false);
  createOut(pipe.streams, plain).live('x');
  assert.equal(pipe.stdout(), '');
});

test('a terminal that does not know its width is taken for one of 80 columns', () => {
  const { streams, stdout } = streamsOf(true);
  Object.assign(streams.stdout, { columns: 0 });
  createOut(streams, plain).live('x'.repeat(100));
  assert.equal([...stdout()].length, 79);
});

test('values are one line in a pipe and in a stream, indented on a terminal', () => {
  for (const [tty, stream, wanted] of [
    [false, undefined, '{"a":[1]}\n'],
    [true, 'stream', '{"a":[1]}\n'],
    [true, undefined, '{\n  "a": [\n    1\n  ]\n}\n'],
  ] as const) {
    const { streams, stdout } = streamsOf(tty);
    createOut(streams, { ...plain, json: true }).value({ a: [1] }, stream);
    assert.equal(stdout(), wanted);
  }
});

test('colours only on a terminal, and never in JSON', () => {
  const coloured = (tty: boolean, wishes: object) =>
    createOut(streamsOf(tty).streams, { ...plain, noColor: false, ...wishes }).paint.red('x') !==
    'x';
  assert.equal(coloured(true, {}), true);
  assert.equal(coloured(true, { noColor: true }), false);
  assert.equal(coloured(true, { json: true }), false);
  assert.equal(coloured(false, {}), false);
});

test('a question is asked on stderr, and only yes is a yes', async () => {
  for (const [typed, wanted] of [
    ['y\n', true],
    ['YES\n', true],
    ['n\n', false],
    ['\n', false],
    ['yesterday\n', false],
  ] as const) {
    const { streams, stdin, stdout, stderr } = streamsOf(true);
    const { confirm } = createOut(streams, plain);
    assert.ok(confirm !== null);
    const answer = confirm('Reset it?');
    stdin.write(typed);
    assert.equal(await answer, wanted);
    assert.match(stderr(), /Reset it\? \[y\/N\] /);
    assert.equal(stdout(), '');
  }
});

test('the end of the input is a no', async () => {
  const { streams, stdin } = streamsOf(true);
  const answer = createOut(streams, plain).confirm?.('Reset it?');
  stdin.end();
  assert.equal(await answer, false);
});

test('nobody is asked without a terminal, and nobody with --json', () => {
  assert.equal(createOut(streamsOf(false).streams, plain).confirm, null);
  assert.equal(createOut(streamsOf(true).streams, { ...plain, json: true }).confirm, null);
});

test('Ctrl-C is taken and given back', () => {
  const before = process.listenerCount('SIGINT');
  const restore = createOut(streamsOf(false).streams, plain).onInterrupt(() => undefined);
  assert.equal(process.listenerCount('SIGINT'), before + 1);
  restore();
  assert.equal(process.listenerCount('SIGINT'), before);
});
