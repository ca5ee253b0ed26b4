/** Resets by a module (vendor-reset): loaded before, chosen for the kernel's own resets, never believed. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { defaultConfig } from '../../../daemon/config/config.ts';
import { createDesk } from '../../../daemon/pipeline/desk.ts';
import type { JobView } from '../../../daemon/pipeline/service.ts';
import { checkCard } from '../../../daemon/reset/verify.ts';
import { machine } from '../../sim/machine.ts';
import type { ModuleOptions } from '../../sim/modules.ts';
import { card as address } from '../inventory-of.ts';
import {
  readGuest,
  rungsOf,
  type SimPipeline,
  simHost,
  simPipeline,
  simStamp,
  treeOf,
  until,
} from '../sim-host.ts';

const card = address('0000:01:00');
const gpu = `${card}.0`;
const audio = `${card}.1`;
const name = 'vendor-reset';

describe('a module that resets the card', () => {
  let sim: SimPipeline;
  beforeEach(async () => {
    const functions = [{ model: 'polaris' }, { model: 'polaris-audio' }] as const;
    const drivers = ['pcieport', 'snd_hda_intel', 'vfio-pci'];
    const ports = [{ slot: '1', functions }];
    sim = await simPipeline({ machine: machine({ rootDevices: [], drivers, ports }) });
  });
  afterEach(() => sim.close());

  const install = (options: Partial<ModuleOptions> = {}) =>
    sim.kernel.installModule(name, { ids: ['1002:67df'], ...options });
  const methods = () => sim.kernel.device(gpu).methods;
  const last = (): JobView => sim.jobs.all().at(-1) ?? assert.fail('no job');
  const said = (step: string) => last().steps.find((one) => one.name === step)?.detail ?? '';
  const take = () => sim.handover.take([sim.card(card)], { domain: 'win10', uuid: 'u' }, 't').ended;
  const giveBack = () => sim.handover.giveBack(card, 't').ended;
  /** A guest comes and goes, and leaves the card as the fault has it. */
  const guestGoes = () => {
    const { group } = sim.kernel.device(gpu);
    sim.kernel.hold(9, 'qemu', `${sim.host.paths.dev}/vfio/${group}`);
    sim.kernel.letGo(9);
  };

  test('is loaded, chosen and read back before the guest, and heals the card after each', async () => {
    install();
    // The old list is `bus`, which the kernel refuses beside an audio function: it finds the methods anew.
    const tree = () => treeOf(sim.kernel.sys, ['reset_method']);
    const before = tree();
    sim.kernel.dieAfterGuest(card, { healsBy: ['device_specific'], clean: true });
    for (let cycle = 0; cycle < 3; cycle++) {
      await take();
      assert.match(said(`reset-module ${card}`), cycle === 0 ? /was loaded$/ : /is loaded$/);
      assert.equal(said(`reset-method ${gpu}`), 'device_specific');
      assert.deepEqual(methods(), ['device_specific']);
      guestGoes();
      await giveBack();
      assert.deepEqual(rungsOf(last()), [['device_specific', 'done']]);
      assert.deepEqual(tree(), before);
    }
    const { control, d3coldAllowed } = sim.kernel.device(gpu);
    assert.deepEqual([control, d3coldAllowed], ['on', true], 'as it was at home');
  });

  test('heals a dead card: what it found, and what the card reported as it died, is the past', async () => {
    install();
    await take();
    sim.kernel.reportError(sim.card(card).ports[0] ?? '', 'fatal');
    sim.kernel.die(card, { healsBy: ['device_specific'], clean: true });
    await giveBack();
    assert.deepEqual(rungsOf(last()), [['device_specific', 'done']]);
    const detail = said('rung device_specific');
    assert.match(detail, /returned 0 .*kernel: .*SMU response reg: ffffffff/);
    assert.doesNotMatch(detail, /its own log says/);
    assert.equal((await checkCard(sim.host, sim.card(card))).state, 'healthy');
  });

  const missing: readonly (readonly [string, Partial<ModuleOptions> | undefined])[] = [
    ['that is not installed', undefined],
    ['that the kernel refuses', { loads: false }],
  ];
  for (const [what, options] of missing) {
    test(`${what} is missed aloud, and the next rung is taken`, async () => {
      if (options !== undefined) install(options);
      await take();
      assert.match(said(`reset-module ${card}`), /^vendor-reset is not there, so device_specific/);
      if (options !== undefined) assert.match(said(`reset-module ${card}`), /kernel: .*version ma/);
      assert.match(said(`reset-method ${gpu}`), /cannot be chosen \(the kernel refuses it: EINVAL/);
      assert.deepEqual(methods(), [], 'the bus reset that it had is never right on its family');
      sim.kernel.die(card, { healsBy: ['remove-rescan'] });
      await giveBack();
      assert.deepEqual(rungsOf(last()), [['remove-rescan', 'done']]);
    });
  }

  test('in whose loading the host went down is not loaded again, and the card comes and goes without it', async () => {
    install();
    const step = { card, id: '1002:67df', kind: 'step', name: `reset-module ${card}` } as const;
    await sim.host.ledger.addQuarantine([{ ...step, kernel: 'k', boot: 'before', since: 1 }]);
    await take();
    const record = last().steps.find((one) => one.name === `reset-module ${card}`);
    assert.equal(record?.state, 'skipped');
    assert.match(record?.detail ?? '', /^in quarantine: the host went down during it/);
    assert.equal(sim.leases.get(card)?.state, 'lent');
    await giveBack();
    assert.equal(sim.leases.get(card), undefined);
    const { ended } = sim.handover.reset(sim.card(card), ['remove-rescan'], 't');
    await ended;
    assert.deepEqual(rungsOf(last()), [['remove-rescan', 'done']]);
  });

  test('that does not know the card is not chosen', async () => {
    install({ ids: ['1002:731f'] });
    await take();
    assert.match(said(`reset-module ${card}`), /was loaded/);
    assert.match(said(`reset-method ${gpu}`), /the kernel resets it by: bus/);
    await giveBack();
    assert.deepEqual(methods(), [], 'its list was stale: it is what the kernel finds anew');
  });

  test('that was unloaded in between is missed aloud, and the next rung is taken', async () => {
    install();
    await take();
    sim.kernel.unloadModule(name);
    sim.kernel.die(card, { healsBy: ['remove-rescan'] });
    await giveBack();
    const states = [
      ['device_specific', 'failed'],
      ['remove-rescan', 'done'],
    ];
    assert.deepEqual(rungsOf(last()), states);
    assert.match(
      said('rung device_specific'),
      /refuses the method \(EINVAL\); vendor-reset is not/,
    );
  });

  const failures = [
    ['fails', 'failed to reset device'],
    ['smu-error', 'SMU error 0xff'],
  ] as const;
  for (const [outcome, line] of failures) {
    test(`whose reset ${outcome} answers 0 and is not believed`, async () => {
      install({ outcome });
      await take();
      sim.kernel.die(card, { healsBy: ['device_specific', 'remove-rescan'] });
      await giveBack();
      assert.deepEqual(rungsOf(last()).at(0), ['device_specific', 'failed']);
      const detail = said('rung device_specific').replace(/ \| wedged: .*/, '');
      assert.match(
        detail,
        new RegExp(`returned 0 .* its own log says that it failed: .*: ${line}$`),
      );
      assert.deepEqual(rungsOf(last()).at(-1), ['remove-rescan', 'done']);
    });
  }

  test('whose reset of a healthy card fails leaves that to the next rung that resets it', async () => {
    install({ outcome: 'fails' });
    await take();
    await giveBack();
    const states = [
      ['device_specific', 'failed'],
      ['remove-rescan', 'failed'],
      ['slot-power', 'done'],
    ];
    assert.deepEqual(rungsOf(last()), states, 'it may be half reset, and a rescan resets nothing');
    assert.match(said('rung device_specific'), /suspect: .* the kernel log says reset-failed/);
  });

  test('whose reset fails without another rung strands the card, and no guest gets it', async () => {
    install({ outcome: 'fails' });
    sim.config = { ...defaultConfig, cards: new Map([[card, { ladder: ['device_specific'] }]]) };
    await take();
    await assert.rejects(giveBack());
    const { state, evidence } = await checkCard(sim.host, sim.card(card));
    assert.equal(state, 'suspect');
    assert.match(evidence.join(), /the kernel log says reset-failed/);
    await assert.rejects(take());
    assert.equal(sim.leases.get(card)?.state, 'stranded');
    install();
    await take();
    assert.equal(
      (await checkCard(sim.host, sim.card(card))).state,
      'healthy',
      'a reset that worked',
    );
  });

  test('whose reset failed is doubted by the next daemon too, until a reset worked', async () => {
    install({ outcome: 'fails' });
    sim.config = { ...defaultConfig, cards: new Map([[card, { ladder: ['device_specific'] }]]) };
    await take();
    await assert.rejects(giveBack());
    const next = async () => {
      const { host } = await simHost({ kernel: sim.kernel });
      const { state, evidence } = await checkCard(host, sim.card(card));
      host.kernelLog.close();
      return `${state}: ${evidence.join('; ')}`;
    };
    assert.match(await next(), /^suspect: .*the kernel log says reset-failed/);
    install();
    await take();
    assert.match(await next(), /^healthy: /);
  });

  test('wakes a card whose BARs are wrong: the next rung mends them', async () => {
    install();
    await take();
    sim.kernel.die(card, { healsBy: ['device_specific'] });
    await giveBack();
    const states = [
      ['device_specific', 'failed'],
      ['remove-rescan', 'done'],
    ];
    assert.deepEqual(rungsOf(last()), states);
    assert.match(said('rung device_specific'), /BAR 0 reads/);
  });

  test('that brings back the GPU without its sound has not healed the card', async () => {
    install({ losesAudio: true });
    await take();
    sim.kernel.die(card, { healsBy: ['device_specific'], clean: true });
    await assert.rejects(giveBack());
    assert.deepEqual(rungsOf(last()).at(0), ['device_specific', 'failed']);
    assert.match(said('rung device_specific'), new RegExp(`wedged: ${audio.replace('.', '\\.')}`));
  });

  test('is left alone where the configuration does without it, and is another where it says so', async () => {
    install();
    sim.config = { ...defaultConfig, cards: new Map([[card, { ladder: ['remove-rescan'] }]]) };
    await take();
    assert.equal(said(`reset-module ${card}`), '');
    await giveBack();
    sim.kernel.installModule('my_reset', { ids: ['1002:67df'] });
    sim.config = { ...defaultConfig, cards: new Map([[card, { resetModule: 'my_reset' }]]) };
    await take();
    assert.equal(said(`reset-module ${card}`), 'my_reset was loaded');
    assert.deepEqual(methods(), ['device_specific']);
    sim.kernel.die(card, { healsBy: ['device_specific'], clean: true });
    await giveBack();
    assert.deepEqual(rungsOf(last()), [['device_specific', 'done']]);
    assert.equal(sim.host.ledger.outcomes().at(-1)?.driver, 'none, my_reset');
  });

  test('is loaded for a reset that is asked for', async () => {
    install({ forbidsBusReset: true });
    await sim.handover.reset(sim.card(card), ['device_specific'], 't').ended;
    assert.deepEqual(rungsOf(last()), [['device_specific', 'done']]);
    assert.deepEqual(sim.kernel.resets, [{ method: 'device_specific', address: gpu }]);
    // The old list was `bus`, which vendor-reset forbids from now on: then it is what the kernel finds.
    assert.deepEqual(methods(), ['device_specific']);
  });

  describe('before the card was ever lent', () => {
    const reset = async (rung: string | null) => {
      const { host, leases, journal } = sim;
      const desk = createDesk({
        ...{ host, leases, journal, stamp: simStamp, version: '1', config: () => sim.config },
        ...{ reload: async () => {}, readDomain: readGuest, fetchXml: async () => '' },
        libvirtState: () => ({ libvirt: 'connected', libvirtVersion: '1' }),
      });
      const id = desk.reset(card, rung, 'a person');
      const job = () => desk.jobs().find((one) => one.id === id);
      await until(() => job()?.state !== 'running');
      await journal.rotate(); // waits for its entry
      return job() ?? assert.fail('no job');
    };

    test('resets it where its rung is asked for by name', async () => {
      install();
      const job = await reset('device_specific');
      assert.deepEqual([job.state, rungsOf(job)], ['done', [['device_specific', 'done']]]);
    });

    test('and not to be had, says what to do, and the card stays at home', async () => {
      const { length } = sim.kernel.writes;
      const { state, error, steps } = await reset('device_specific');
      assert.equal(state, 'failed');
      assert.match(error, /kernel module vendor-reset, .* is not loaded.*modprobe vendor-reset/);
      assert.deepEqual(
        steps.map((step) => step.name),
        [`reset-module ${card}`],
      );
      assert.equal(sim.kernel.writes.length, length, 'no driver has let go of it');
      assert.equal(sim.leases.get(card), undefined);
    });

    test('does not excuse another rung that cannot be done', async () => {
      install();
      await assert.rejects(reset('flr'), { code: 'refused', message: /flr: it is not in/ });
      await assert.rejects(reset('bus'), { code: 'refused', message: /bus: never on/ });
    });
  });
});
