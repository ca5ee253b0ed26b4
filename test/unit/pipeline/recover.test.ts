/** The start of a daemon over what the one before it, or the boot before this one, has left; and what people clear. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { defaultConfig } from '../../../daemon/config/config.ts';
import { RevivedError } from '../../../daemon/errors.ts';
import { openLedger } from '../../../daemon/host/ledger.ts';
import { openHostRisk } from '../../../daemon/host/risk.ts';
import { readInventory } from '../../../daemon/pci/inventory.ts';
import { createDesk, type Desk } from '../../../daemon/pipeline/desk.ts';
import { type Journal, openJournal } from '../../../daemon/pipeline/journal.ts';
import type { JournalEntry, Stamp } from '../../../daemon/pipeline/journal-entry.ts';
import { journaledLeases } from '../../../daemon/pipeline/journaled-leases.ts';
import { homeWith, openLeases } from '../../../daemon/pipeline/lease.ts';
import { begin, lease, step } from '../journal-entries.ts';
import {
  benchCards,
  journalOf,
  leasesOnDisk,
  readGuest,
  rungsOf,
  type SimHost,
  simHost,
  simStamp,
  until,
} from '../sim-host.ts';

const { bochs, flr } = benchCards;
const before: Stamp = { boot: 'before', kernel: simStamp.kernel };

describe('recover', () => {
  let sim: SimHost;
  let journal: Journal | undefined;
  beforeEach(async () => {
    sim = await simHost();
  });
  afterEach(async () => {
    await journal?.close();
    sim.dispose();
  });

  /** Before `recover`; all that it knows is what is on disk. */
  const daemon = async (stamp: Stamp = simStamp, isKilled = false): Promise<Desk> => {
    await journal?.close();
    const { paths, log } = sim.host;
    const opened = await openJournal(paths.journal, stamp, log);
    journal = opened;
    const written = isKilled ? { ...opened, append: async () => {} } : opened;
    return createDesk({
      host: {
        ...sim.host,
        ledger: await openLedger(paths.ledger, log),
        risk: await openHostRisk(paths.hostRisk, log),
      },
      leases: journaledLeases(await openLeases(paths.leases, (why) => log.warn({}, why)), written),
      journal: written,
      stamp,
      version: '1.2.3',
      config: () => defaultConfig,
      reload: async () => {},
      readDomain: readGuest,
      libvirtState: () => ({ libvirt: 'connected', libvirtVersion: '11.3.0' }),
      async fetchXml() {
        throw new RevivedError('not-found', 'There are no domains.');
      },
    });
  };
  const start = async (stamp?: Stamp): Promise<Desk> => {
    const desk = await daemon(stamp);
    await desk.recover();
    return desk;
  };
  /** What an earlier daemon wrote until its end. */
  const wrote = async (stamp: Stamp, ...entries: readonly JournalEntry[]) => {
    const written = await openJournal(sim.host.paths.journal, stamp, sim.host.log);
    await written.append(...entries);
    await written.close();
  };
  const lent = (address = bochs) => {
    const card = readInventory(sim.kernel.sys).cards.get(address) ?? assert.fail();
    return {
      event: 'lease',
      lease: { ...lease(address).lease, home: homeWith(sim.kernel.sys, card) },
    } satisfies JournalEntry;
  };
  const rung = (address: typeof bochs, name: string, job = 7): JournalEntry => ({
    event: 'rung',
    job,
    card: address,
    rung: name,
    detail: '',
  });
  const ended = async (desk: Desk, id: number) => {
    const job = () => desk.jobs().find((one) => one.id === id);
    await until(() => job()?.state !== 'running');
    return job();
  };
  const said = (text: string) => sim.logged.filter((line) => line.includes(text)).length;
  const names = (desk: Desk) => desk.manager().quarantine.map((one) => one.name);

  test('a host that went down in a rung: it is in quarantine, its job has an end, and that is said', async () => {
    await wrote(before, lent(), begin(7), rung(bochs, 'subordinate'));
    const desk = await start();
    const { quarantine, findings } = desk.manager();
    assert.deepEqual(
      quarantine.map(({ sinceUsec, ...one }) => [
        one,
        Math.abs(sinceUsec / 1e3 - Date.now()) < 6e4,
      ]),
      [[{ card: bochs, kind: 'rung', name: 'subordinate', kernel: 'k', active: true }, true]],
    );
    assert.deepEqual(
      findings.map((one) => one.rule),
      ['quarantined'],
    );
    const [job] = await desk.history(10);
    assert.deepEqual([job?.id, job?.state], [7, 'failed']);
    assert.match(job?.error ?? '', /The host went down during it \(rung subordinate\)/);
    assert.equal(said('The host went down during rung subordinate'), 1);
    assert.deepEqual(
      desk.manager().runningJobs,
      0,
      'the leases of that boot are no leases of this one',
    );
    const entry = desk.cards().find((one) => one.address === bochs)?.ladder;
    const shown = entry?.find((one) => one.rung === 'subordinate');
    assert.deepEqual([shown?.available, shown?.reason.slice(0, 13)], [false, 'in quarantine']);
    assert.throws(() => desk.reset(bochs, 'subordinate', 'a test'), {
      code: 'refused',
      message: /subordinate: in quarantine: the host went down during it/,
    });
    assert.equal(sim.kernel.writes.length, 0);
    const reset = await ended(desk, desk.reset(bochs, null, 'a test'));
    assert.deepEqual(rungsOf(reset), [
      ['subordinate', 'skipped'],
      ['remove-rescan', 'done'],
    ]);
    assert.equal(reset?.id, 8, 'numbers of jobs go on');
  });

  test('ended in the middle or done again, it ends the same', async () => {
    await wrote(before, lent(), begin(7), step('intent', 2), rung(flr, 'flr'));
    const killed = await daemon(simStamp, true);
    await killed.recover();
    await killed.recover();
    const { quarantine } = killed.manager();
    assert.equal(quarantine.length, 2);
    const state = async (desk: Desk) => ({
      manager: desk.manager(),
      history: (await desk.history(10)).map(({ finishedUsec, ...job }) => job),
      leases: desk.cards().map((one) => one.state),
    });
    const first = await start();
    const after = await state(first);
    assert.deepEqual([after.manager.quarantine, after.history.length], [quarantine, 1]);
    assert.deepEqual(await state(await start()), after);
    assert.deepEqual(await state(await start()), after);
    assert.equal(said('was cut off'), 3, 'each time until it was settled, and not again');
    const { kernels } = await openLedger(sim.host.paths.ledger, sim.host.log);
    assert.deepEqual(
      kernels().map((one) => one.died),
      [['before']],
    );
  });

  test('two boots that went down with the card lent, and the kernel that was good', async () => {
    await wrote({ boot: 'good', kernel: '6.11' }, lent(), { event: 'daemon', state: 'stopped' });
    for (const boot of ['one', 'two']) {
      const desk = await start({ boot, kernel: 'k' });
      assert.deepEqual(desk.manager().findings, [], boot);
      await journal?.append(lent());
    }
    const desk = await start({ boot: 'three', kernel: 'k' });
    assert.deepEqual(
      desk.manager().findings.map((one) => [one.rule, one.subject]),
      [['kernel-suspect', bochs]],
    );
    assert.match(desk.manager().findings[0]?.message ?? '', /2 times .* went well is 6\.11: boot/);
    assert.equal(said('The last kernel on which it went well is 6.11'), 1);
  });

  test('that the kernel log cannot be read is said', async () => {
    const desk = await start();
    const told = () => desk.manager().findings.map(({ rule, message }) => `${rule}: ${message}`);
    assert.deepEqual(told(), []);
    Object.assign(sim.host.kernelLog, { unreadable: () => 'EPERM: operation not permitted, read' });
    assert.match(told().join(), /^kernel-log-unreadable: .*\(EPERM: .* systemctl restart revived$/);
  });

  test('what the ledger could not keep is judged again, also after a shutdown in order', async () => {
    await wrote(before, lent(), begin(7), rung(bochs, 'subordinate'));
    mkdirSync(`${sim.host.paths.ledger}.new`);
    assert.deepEqual(names(await start()), ['subordinate']);
    assert.equal(said('The ledger cannot be written'), 1);
    await journal?.append({ event: 'daemon', state: 'stopped' });
    rmSync(`${sim.host.paths.ledger}.new`, { recursive: true });
    const later = await start({ ...simStamp, boot: 'later' });
    assert.deepEqual(names(later), ['subordinate']);
    assert.deepEqual([said('was cut off'), (await later.history(10)).length], [1, 1]);
    assert.deepEqual(names(await start({ ...simStamp, boot: 'later' })), ['subordinate']);
  });

  test('a child of the daemon before this one that hangs: its card is left as it was until the child is back', async () => {
    const taking = { ...lent().lease, domain: '', uuid: '', state: 'taking' as const };
    await wrote(simStamp, { event: 'lease', lease: taking }, begin(7), step('intent', 2));
    const [pid, path] = [5_000_001, sim.bus('drivers/bochs-drm/unbind')];
    const desk = await daemon();
    await desk.recover([{ pid, path, value: `${bochs}.0` }]);
    desk.onDomains([]);
    const state = () => desk.cards().find((one) => one.address === bochs)?.state;
    assert.deepEqual([state(), desk.manager().runningJobs, sim.kernel.writes], ['taking', 0, []]);
    const events = () => journalOf(sim.host.paths.journal).map(({ event }) => event);
    assert.deepEqual(events().slice(events().indexOf('daemon')), ['daemon', 'intent', 'lease']);
    const told: string[] = [];
    desk.onChange(({ kind }) => told.push(kind));
    const line = 'watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [kworker/3:1:77]';
    appendFileSync(`${sim.host.paths.dev}/kmsg`, `6,1,1,-;${line}\n`.padEnd(8192));
    assert.deepEqual(sim.host.stuck.freed(pid), [bochs]);
    assert.equal(
      desk.manager().hostAtRisk,
      `while a child of the daemon before this one hung with card ${bochs}: ${line}`,
    );
    assert.deepEqual(told, ['manager']);
    desk.onFreed(bochs);
    await until(() => leasesOnDisk(sim.host.paths.leases).length === 0);
    assert.equal(state(), 'home');
    assert.ok(events().includes('failed'), 'nothing is open any more');
  });

  describe('leases that are lost', () => {
    const spoils: readonly (readonly [string, (path: string) => void])[] = [
      ['gone', (path) => rmSync(path, { force: true })],
      ['cut off', (path) => writeFileSync(path, '{"version":1,"lea')],
      ['a directory, where nothing can be written', (path) => mkdirSync(path)],
    ];
    for (const [name, spoil] of spoils) {
      test(`${name}: those of this boot are in the journal`, async () => {
        await wrote(before, lent(flr));
        await wrote(simStamp, { event: 'daemon', state: 'started' }, lent());
        spoil(sim.host.paths.leases);
        const desk = await start();
        const states = () => desk.cards().map((one) => [one.address, one.state]);
        assert.deepEqual(states(), [
          [bochs, 'lent'],
          [flr, 'home'],
        ]);
        assert.equal(said('The lease of the card was lost; the journal has it'), 1);
        if (!name.startsWith('a directory')) {
          assert.deepEqual(
            leasesOnDisk(sim.host.paths.leases).map((one) => one.card),
            [bochs],
          );
        }
      });
    }

    test('are not those of another boot', async () => {
      await wrote(before, lent());
      const desk = await start();
      assert.deepEqual(
        desk.cards().map((one) => one.state),
        ['home', 'home'],
      );
    });

    test('are not made up where the file is whole', async () => {
      await wrote(simStamp, lent());
      writeFileSync(sim.host.paths.leases, '{"version":1,"leases":[]}', { mode: 0o600 });
      const desk = await start();
      assert.deepEqual(
        desk.cards().map((one) => one.state),
        ['home', 'home'],
      );
    });
  });

  describe('what people clear', () => {
    const rungs = [
      [bochs, 'subordinate'],
      [bochs, 'remove-rescan'],
      [flr, 'flr'],
    ] as const;
    beforeEach(async () => {
      await wrote(before, ...rungs.map(([address, name], n) => rung(address, name, n)));
    });

    const ways: readonly (readonly [
      string,
      typeof bochs | null,
      string | null,
      readonly string[],
    ])[] = [
      ['a card', bochs, null, ['flr']],
      ['one rung of a card', bochs, 'subordinate', ['remove-rescan', 'flr']],
      ['a rung of all cards', null, 'flr', ['subordinate', 'remove-rescan']],
      ['all', null, null, []],
      ['nothing that is there', flr, 'subordinate', ['subordinate', 'remove-rescan', 'flr']],
    ];
    for (const [name, address, what, left] of ways) {
      test(`the quarantine of ${name}: it stays cleared after a restart`, async () => {
        const desk = await start();
        let changes = 0;
        desk.onChange(() => changes++);
        assert.equal(await desk.clearQuarantine(address, what), 3 - left.length);
        assert.deepEqual(names(desk), left);
        assert.ok(changes > 0);
        assert.deepEqual(names(await start()), left);
      });
    }

    test('that the host is at risk: until then every reset is refused with the reason', async () => {
      await (await openHostRisk(sim.host.paths.hostRisk, sim.host.log)).mark('a soft lockup');
      const desk = await start();
      assert.equal(desk.manager().hostAtRisk, 'a soft lockup');
      assert.throws(() => desk.reset(flr, null, 'a test'), {
        code: 'refused',
        message: /host is at risk \(a soft lockup\)/,
        advice: /revivectl quarantine clear host/,
      });
      assert.deepEqual([desk.jobs(), sim.kernel.writes], [[], []]);
      assert.deepEqual([await desk.clearHostRisk(), await desk.clearHostRisk()], [true, false]);
      assert.equal(desk.manager().hostAtRisk, '');
      assert.equal((await ended(desk, desk.reset(flr, 'pm', 'a test')))?.state, 'done');
      assert.equal((await start()).manager().hostAtRisk, '');
    });
  });
});
