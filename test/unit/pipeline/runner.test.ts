/** Whatever fails, in whatever order: what was done is undone in reverse, and the journal knew before the kernel did. */
import assert from 'node:assert/strict';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { defaultConfig } from '../../../daemon/config/config.ts';
import { asRevivedError, type RevivedError } from '../../../daemon/errors.ts';
import { createJobBook, type Job } from '../../../daemon/pipeline/job.ts';
import { homeWith } from '../../../daemon/pipeline/lease.ts';
import { planReturn, takeSteps } from '../../../daemon/pipeline/plan.ts';
import {
  describe as describeStep,
  LeftAsIsError,
  type RunOptions,
  runSteps,
  UndoFailedError,
} from '../../../daemon/pipeline/runner.ts';
import { type Step, stepTitle } from '../../../daemon/pipeline/step.ts';
import { machine } from '../../sim/machine.ts';
import { card } from '../inventory-of.ts';
import { journalOf, type SimPipeline, simPipeline, stepsOf, treeOf } from '../sim-host.ts';

const gpu = card('0000:01:00');
const functions = [`${gpu}.0`, `${gpu}.1`];
const port = '0000:00:01.0';
/** reset_method of `.0` is a stale cache (facts/kernel.md 0.1): what was in it cannot all be put back. */
const stale = ['reset_method'] as const;

describe('runSteps', () => {
  let sim: SimPipeline;
  let home: Readonly<Record<string, string>>;
  /** Looks at every write before it is done; its number within the run. */
  let onWrite: (number: number, path: string) => void = () => {};
  let count = 0;

  before(async () => {
    const boards = machine({
      drivers: ['pcieport', 'amdgpu', 'snd_hda_intel', 'vfio-pci'],
      rootDevices: [],
      ports: [
        {
          slot: '1',
          functions: [{ model: 'polaris', acpiReset: true }, { model: 'polaris-audio' }],
        },
      ],
    });
    sim = await simPipeline({ machine: boards });
    sim.watch.atWrite = (path) => onWrite(count++, path);
    for (const address of [...functions, port]) {
      sim.kernel.write(sim.at(address, 'power/control'), 'auto');
    }
    home = treeOf(sim.kernel.sys, stale);
  });
  after(() => sim.close());

  const tree = () => treeOf(sim.kernel.sys, stale);
  const plan = (reviveMs = 1000): readonly Step[] => {
    const config = { ...defaultConfig, cards: new Map([[gpu, { resetMethod: 'acpi' }]]) };
    return takeSteps(sim.card(gpu), config, reviveMs);
  };
  const run = async (
    steps: readonly Step[],
    onFailure: RunOptions['onFailure'],
    job: Job = sim.jobs.start('take', gpu, [gpu], 'a test'),
  ) => {
    count = 0;
    const { host, journal } = sim;
    const options: RunOptions = { host, job, journal, onFailure, signal: job.signal };
    const error = await runSteps(steps, options).then(
      () => undefined,
      (thrown: unknown) => asRevivedError(thrown),
    );
    onWrite = () => {};
    job.finish(error === undefined ? 'done' : 'failed', '');
    const written = journalOf(host.paths.journal).filter((line) => line['job'] === job.id);
    return { error, steps: stepsOf(job.view), written, writes: count };
  };

  /** Puts the machine back by hand. */
  const repair = (): void => {
    const set = (address: string, name: string, value: string) =>
      sim.kernel.write(sim.at(address, name), value);
    for (const address of functions) {
      const driver = home[`${address} driver`] ?? '';
      if (sim.driver(address) !== driver) {
        if (sim.driver(address) !== undefined) set(address, 'driver/unbind', address);
        set(address, 'driver_override', driver);
        sim.kernel.write(sim.bus('drivers_probe'), address);
      }
      set(address, 'driver_override', '\n');
    }
    for (const [key, value] of Object.entries(home)) {
      const [address = '', name = ''] = key.split(' ');
      if (name === 'power/control' || name === 'd3cold_allowed') set(address, name, value);
    }
    assert.deepEqual(tree(), home);
  };

  const undoable = (step: Step): boolean => describeStep(step).undo !== '';
  /** What a step that could not be undone may have left changed. */
  const ownKeys = (title: string, refused: readonly string[]): RegExp => {
    const [step = '', subject = ''] = title.split(' ');
    if (step === 'pin-power') {
      const files = refused.map((path) => path.split('/devices/')[1]?.replace('/', ' '));
      return new RegExp(`^(${files.join('|')})$`);
    }
    return step === 'override'
      ? new RegExp(`^${subject} driver_override$`)
      : new RegExp(`^${subject} driver(_override)?$`);
  };

  const mirrored = (steps: readonly Step[], seen: readonly (readonly [string, string])[]): void => {
    const failedAt = seen.findIndex(([, state]) => state === 'failed');
    const executed = steps.slice(0, failedAt + 1);
    assert.deepEqual(
      seen.slice(0, failedAt + 1).map(([name]) => name),
      executed.map(stepTitle),
    );
    assert.deepEqual(
      seen.slice(failedAt + 1).map(([name]) => name),
      executed
        .toReversed()
        .filter(undoable)
        .map((step) => `undo ${stepTitle(step)}`),
    );
  };

  /** Every intent has its outcome, every undo as well, and nothing comes between the two. */
  const paired = (all: readonly Record<string, unknown>[]): void => {
    const isRung = (line: Record<string, unknown>) => String(line['event']).startsWith('rung');
    const rungs = all.filter(isRung).map((line) => line['event']);
    assert.deepEqual(
      rungs,
      rungs.map((_, n) => (n % 2 === 0 ? 'rung' : 'rung-done')),
    );
    const written = all.filter((line) => !isRung(line));
    const outcomes: Readonly<Record<string, readonly string[]>> = {
      intent: ['done', 'failed'],
      undo: ['undone', 'undo-failed'],
    };
    assert.equal(written.length % 2, 0);
    for (let n = 0; n < written.length; n += 2) {
      const [begin, end] = [written[n], written[n + 1]];
      assert.ok(outcomes[String(begin?.['event'])]?.includes(String(end?.['event'])));
      for (const key of ['index', 'step', 'undo']) assert.deepEqual(begin?.[key], end?.[key]);
    }
  };

  test('for any sequence of failures the executed undos mirror the executed steps', async () => {
    const clean = await run(plan(), 'rollback');
    assert.equal(clean.error, undefined);
    paired(clean.written);
    assert.ok(clean.writes >= 12, `${clean.writes} writes`);
    repair();
    let failures = 0;
    let undoFailures = 0;
    const positions = fc.uniqueArray(fc.nat(clean.writes * 2), { minLength: 1, maxLength: 4 });
    const errno = fc.constantFrom('EIO', 'EBUSY', 'ENODEV', 'EINVAL');
    await fc.assert(
      fc.asyncProperty(positions, errno, async (failing, error) => {
        const refused: string[] = [];
        onWrite = (number, path) => {
          if (!failing.includes(number)) return;
          refused.push(path);
          sim.kernel.failWrite(path, error);
        };
        const steps = plan();
        const seen = await run(steps, 'rollback');
        paired(seen.written);
        if (seen.error === undefined) return repair(); // ENODEV of an unbind is what was wanted
        failures++;
        mirrored(steps, seen.steps);
        const left = seen.steps.flatMap(([name, state]) =>
          state === 'undo-failed' ? [name.slice('undo '.length)] : [],
        );
        assert.equal(seen.error instanceof UndoFailedError, left.length > 0);
        const now = tree();
        for (const title of left) {
          undoFailures++;
          assert.ok(seen.error.message.includes(title), `${seen.error.message} names ${title}`);
        }
        for (const key of Object.keys(home).filter((one) => now[one] !== home[one])) {
          assert.ok(
            left.some((title) => ownKeys(title, refused).test(key)),
            `${key} is ${now[key]}, was ${home[key]}; not undone: ${left.join()}`,
          );
        }
        repair();
      }),
      { numRuns: 40 },
    );
    assert.ok(failures > 10 && undoFailures > 0, `${failures} failures, ${undoFailures} in undos`);
  });

  test('nothing is written to the kernel without an open entry on disk', async () => {
    const open: string[] = [];
    onWrite = (number, path) => {
      open.push(lastLine(sim.host.paths.journal));
      if (number === 8) sim.kernel.failWrite(path, 'EIO');
    };
    await run(plan(), 'rollback');
    assert.ok(open.length > 12);
    for (const line of open) assert.match(line, /"event":"(intent|undo)"/);
    assert.deepEqual(tree(), home);
  });

  test('cancelled anywhere, a card that is alive is as it was before', async () => {
    const { writes } = await run(plan(), 'rollback');
    repair();
    for (let at = 0; at < writes - 3; at++) {
      const job = sim.jobs.start('take', gpu, [gpu], 'a test');
      onWrite = (number) => {
        if (number === at) sim.jobs.cancel(job.id);
      };
      const steps = plan();
      const seen = await run(steps, 'rollback', job);
      assert.equal(seen.error?.code, 'cancelled', `at write ${at}`);
      assert.equal(seen.error instanceof LeftAsIsError, false);
      assert.deepEqual(tree(), home, `at write ${at}`);
    }
  });

  test('a step in quarantine is not done: what was done before it is undone, and it says why', async () => {
    const unbind = `unbind ${gpu}.0`;
    const entry = { card: gpu, id: '1002:67df', kind: 'step', name: unbind } as const;
    await sim.host.ledger.addQuarantine([{ ...entry, kernel: 'k', boot: 'before', since: 1 }]);
    const steps = plan();
    const seen = await run(steps, 'rollback');
    assert.equal(seen.error?.code, 'refused');
    assert.match(message(seen.error), /^unbind .* is not done: in quarantine: the host went down/);
    assert.match(message(seen.error), /revivectl quarantine clear 0000:01:00 allows it again/);
    const at = steps.findIndex((step) => stepTitle(step) === unbind);
    assert.ok(at > 0);
    assert.deepEqual(
      seen.steps.slice(at).map(([name]) => name),
      [
        unbind,
        ...steps
          .slice(0, at)
          .toReversed()
          .filter(undoable)
          .map((step) => `undo ${stepTitle(step)}`),
      ],
    );
    assert.equal(
      seen.written.some(({ index }) => index === at),
      false,
      'it was never begun',
    );
    assert.deepEqual(tree(), home);
    assert.equal(await sim.host.ledger.clearQuarantine(() => true), 1);
    assert.equal((await run(plan(), 'rollback')).error, undefined);
    repair();
  });

  describe('a dead card', () => {
    const steps = () => plan().filter((step) => step.step !== 'wait-free');
    before(() => sim.kernel.die(gpu));
    after(() => {
      sim.kernel.die(gpu, { healsBy: ['remove-rescan'] });
      for (const address of functions) sim.kernel.write(sim.at(address, 'remove'), '1');
      sim.kernel.write(sim.bus('rescan'), '1');
      repair();
    });

    test('that was not revived for a cancel is not looked after any further', async () => {
      const book = createJobBook(9000, (id) => {
        const last = book
          .all()
          .find((job) => job.id === id)
          ?.steps.at(-1);
        // The very moment when the step begins: its intent is not written yet.
        if (last?.name.startsWith('revive') && last.state === 'running') book.cancel(id);
      });
      const seen = await run(steps(), 'rollback', book.start('take', gpu, [gpu], 'a test'));
      assert.ok(seen.error instanceof LeftAsIsError);
      assert.match(seen.error.message, /it was cancelled/);
      assert.deepEqual(
        seen.steps.filter(([name]) => name.startsWith('rung')),
        [],
      );
    });

    test('is not given back to host drivers: nothing is undone', async () => {
      const seen = await run(steps(), 'rollback');
      assert.ok(seen.error instanceof LeftAsIsError);
      assert.match(seen.error.message, /could not be brought back/);
      assert.equal(
        seen.steps.some(([name]) => name.startsWith('undo')),
        false,
      );
      paired(seen.written);
      assert.deepEqual(
        functions.map((address) => sim.driver(address)),
        [undefined, undefined],
      );
    });
  });

  describe('without rollback', () => {
    const lease = () => ({
      card: gpu,
      domain: '',
      uuid: '',
      since: 1,
      state: 'lent' as const,
      boundBy: 'revived' as const,
      reason: '',
      home: homeWith(sim.kernel.sys, sim.card(gpu)),
    });

    test('stop ends at the failure and leaves what is done', async () => {
      onWrite = (_number, path) => {
        if (path.endsWith('/unbind')) sim.kernel.failWrite(path, 'EBUSY');
      };
      const seen = await run(plan(), 'stop');
      assert.equal(seen.error?.code, 'failed');
      assert.equal(seen.steps.at(-1)?.[1], 'failed');
      assert.equal(tree()[`${gpu}.0 driver_override`], 'vfio-pci');
      repair();
    });

    test('go-on does the rest, and tells the first failure at the end', async () => {
      const back = planReturn(lease(), defaultConfig, 1000).giveBack;
      assert.equal((await run(plan(), 'rollback')).error, undefined);
      const firstBind = back.find((step) => step.step === 'bind-home');
      let failed = false;
      onWrite = (_number, path) => {
        if (failed || !path.endsWith('drivers_probe')) return;
        failed = true;
        sim.kernel.failWrite(path, 'EIO');
      };
      const seen = await run(back, 'go-on');
      assert.match(message(seen.error), /drivers_probe failed: EIO/);
      assert.deepEqual(
        seen.steps.map(([, state]) => state),
        back.map((step) => (step === firstBind ? 'failed' : 'done')),
      );
      const now = tree();
      assert.equal(now[`${gpu}.0 driver`], '-');
      assert.deepEqual({ ...now, [`${gpu}.0 driver`]: home[`${gpu}.0 driver`] }, home);
      repair();
    });
  });
});

function message(error: RevivedError | undefined): string {
  return error?.message ?? '';
}

/** The last line of a file that ends with a newline; lines are shorter than the piece that is read. */
function lastLine(path: string): string {
  const fd = openSync(path, 'r');
  const piece = Buffer.alloc(16_384);
  const { size } = fstatSync(fd);
  const length = readSync(fd, piece, 0, piece.length, Math.max(0, size - piece.length));
  closeSync(fd);
  return piece.toString('utf8', 0, length).trimEnd().split('\n').at(-1) ?? '';
}
