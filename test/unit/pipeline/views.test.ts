/** What people see of a card: from the inventory, the leases, the last check and the jobs. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Config, defaultConfig } from '../../../daemon/config/config.ts';
import { readInventory } from '../../../daemon/pci/inventory.ts';
import { rungNames } from '../../../daemon/pci/rung-name.ts';
import { homeWith, type Lease } from '../../../daemon/pipeline/lease.ts';
import { planPrepare } from '../../../daemon/pipeline/plan.ts';
import type { JobView } from '../../../daemon/pipeline/service.ts';
import {
  type CardSources,
  cardView,
  planReturnView,
  startView,
} from '../../../daemon/pipeline/views.ts';
import { SimKernel } from '../../sim/kernel.ts';
import { machine } from '../../sim/machine.ts';
import { desktopSpec } from '../../sim/presets.ts';
import { card, fn } from '../inventory-of.ts';

const navi = card('0000:03:00');
const polaris = card('0000:05:00');
const usb = card('0000:06:00');
const virtio = card('0000:07:00');

describe('views', () => {
  let kernel: SimKernel;
  before(() => {
    const withFlr = { functions: [{ model: 'virtio-gpu' } as const] };
    kernel = SimKernel.create(machine({ ...desktopSpec, ports: [...desktopSpec.ports, withFlr] }));
  });
  after(() => kernel.dispose());

  const sources = (change: Partial<CardSources> = {}): CardSources => ({
    sys: kernel.sys,
    inventory: readInventory(kernel.sys),
    leases: new Map(),
    health: new Map(),
    jobs: [],
    config: defaultConfig,
    against: () => undefined,
    outcomes: [],
    kernel: 'k',
    ...change,
  });
  const leaseOf = (address: typeof navi, change: Partial<Lease> = {}): Lease => ({
    card: address,
    domain: 'win10',
    uuid: 'u',
    since: 42,
    state: 'lent',
    boundBy: 'revived',
    home: homeWith(
      kernel.sys,
      readInventory(kernel.sys).cards.get(address) ?? assert.fail(`no ${address}`),
    ),
    reason: '',
    ...change,
  });
  const leases = (lease: Lease) => ({ leases: new Map([[lease.card, lease]]) });
  const without = (address: typeof navi) => {
    const inventory = readInventory(kernel.sys);
    const cards = new Map([...inventory.cards].filter(([one]) => one !== address));
    return { inventory: { ...inventory, cards } };
  };

  test('a card at home: who it is, where it sits, what drives it', () => {
    const view = cardView(navi, sources());
    assert.equal(view?.name, 'GPU 1002:73bf');
    assert.deepEqual(
      view?.functions.map(({ address, id, classCode, driver }) => [address, id, classCode, driver]),
      [
        ['0000:03:00.0', '1002:73bf', '030000', 'amdgpu'],
        ['0000:03:00.1', '1002:ab28', '040300', 'snd_hda_intel'],
        ['0000:03:00.2', '1002:73a6', '0c0330', 'xhci_hcd'],
        ['0000:03:00.3', '1002:73a4', '0c8000', null],
      ],
    );
    assert.deepEqual(view?.ports, ['0000:02:00.0', '0000:01:00.0', '0000:00:01.0']);
    assert.deepEqual(
      view?.groups,
      view?.functions.map((fn) => fn.group),
    );
    assert.equal(new Set(view?.groups).size, 4);
    assert.deepEqual(
      [view?.state, view?.domain, view?.leasedSince, view?.job, view?.interesting],
      ['home', null, 0, null, true],
    );
    assert.deepEqual(view?.health, { state: 'unknown', evidence: ['not checked yet'] });
  });

  test('the card that the host shows its console on', () => {
    const bootVga = [navi, polaris, usb].map((one) => cardView(one, sources())?.bootVga);
    assert.deepEqual(bootVga, [true, false, false]);
  });

  test('only cards that people pass are interesting, and what is lent', () => {
    const sata = card('0000:00:1f');
    assert.equal(cardView(sata, sources())?.interesting, false);
    assert.equal(cardView(sata, sources(leases(leaseOf(sata))))?.interesting, true);
    assert.equal(cardView(usb, sources())?.interesting, true);
  });

  test('a lent card is with its domain; one that a person took is with none', () => {
    const lent = cardView(navi, sources(leases(leaseOf(navi))));
    assert.deepEqual([lent?.state, lent?.domain, lent?.leasedSince], ['lent', 'win10', 42]);
    const taken = cardView(navi, sources(leases(leaseOf(navi, { domain: '', uuid: '' }))));
    assert.deepEqual([taken?.state, taken?.domain], ['lent', null]);
  });

  test('a stranded card says why, beside what its last check showed', () => {
    const lease = leaseOf(navi, { state: 'stranded', reason: 'no rung helped' });
    const health = new Map([[navi, { state: 'wedged' as const, evidence: ['all ones'] }]]);
    const view = cardView(navi, sources({ ...leases(lease), health }));
    assert.deepEqual(view?.health, { state: 'wedged', evidence: ['all ones', 'no rung helped'] });
  });

  test('a card that has left the bus is shown as its lease knew it, without drivers', () => {
    const lease = leaseOf(polaris, { state: 'stranded' });
    const view = cardView(polaris, sources({ ...without(polaris), ...leases(lease) }));
    assert.equal(view?.name, 'GPU 1002:67df');
    assert.deepEqual(
      view?.functions.map((fn) => fn.driver),
      [null, null],
    );
    assert.equal(cardView(polaris, sources(without(polaris))), undefined);
  });

  test('the job that works on it, none that has ended or works on another', () => {
    const job = (id: number, state: JobView['state'], address: typeof navi): JobView => ({
      id,
      operation: 'reset',
      subject: address,
      cards: [address],
      state,
      progress: 0,
      startedUsec: 1,
      finishedUsec: 0,
      requestedBy: '',
      steps: [],
      error: '',
    });
    const jobs = [job(1, 'done', navi), job(2, 'running', polaris), job(3, 'running', navi)];
    assert.equal(cardView(navi, sources({ jobs }))?.job, 3);
    assert.equal(cardView(usb, sources({ jobs }))?.job, null);
  });

  describe('the ladder', () => {
    const rungs = (address: typeof navi, change: Partial<CardSources> = {}) =>
      (cardView(address, sources(change))?.ladder ?? []).filter((rung) => rung.available);

    test('has every rung, available or with the reason why not', () => {
      const ladder = cardView(navi, sources())?.ladder ?? [];
      assert.deepEqual(ladder.map((rung) => rung.rung).sort(), [...rungNames].sort());
      for (const rung of ladder) {
        assert.ok(rung.reason.length > 10);
        assert.equal(rung.reaches.length > 0, rung.available);
        assert.ok(rung.worstMs >= rung.expectedMs);
        assert.ok(rung.expectedMs > 0 || !rung.available);
      }
      const pm = ladder.find((rung) => rung.rung === 'pm');
      assert.match(pm?.reason ?? '', /^never on AMD Navi 21: it has no effect/);
    });

    test('is that of the family, which the card names; unknown ids say so', () => {
      assert.match(cardView(navi, sources())?.family ?? '', /^AMD Navi 21 /);
      assert.match(cardView(virtio, sources())?.family ?? '', /not in the quirk data: the default/);
    });

    test('a host driver is no reason against a rung: it is unbound before', () => {
      const subordinate = rungs(navi).find((rung) => rung.rung === 'subordinate');
      assert.deepEqual(
        subordinate?.reaches,
        [0, 1, 2, 3].map((fn) => `${navi}.${fn}`),
      );
    });

    test('a slot with a power switch, of the card that sits in it', () => {
      const has = [navi, polaris].map((one) => rungs(one).some((x) => x.rung === 'slot-power'));
      assert.deepEqual(has, [false, true]);
    });

    test('what works through config space is left out when the last check found it dead', () => {
      const names = (change: Partial<CardSources> = {}) => rungs(virtio, change).map((x) => x.rung);
      const others = ['bus', 'subordinate', 'remove-rescan'];
      assert.deepEqual(names(), ['flr', 'pm', ...others]);
      const configDead = [fn(`${virtio}.0`)];
      const health = new Map([[virtio, { state: 'wedged' as const, evidence: [], configDead }]]);
      assert.deepEqual(names({ health }), others);
    });

    test('has what healed the card before first, and says so; the order of the configuration stays', () => {
      const healed = {
        ...{ card: virtio, id: '1af4:1050', family: '', kernel: 'k', driver: 'virtio-pci' },
        ...{ tried: 4, healed: 3, triedHealthy: 0, keptHealthy: 0, ms: [40], last: 1 },
      };
      const outcomes = [{ ...healed, rung: 'pm' as const }];
      const [first, second] = rungs(virtio, { outcomes });
      assert.deepEqual([first?.rung, second?.rung], ['pm', 'flr']);
      assert.match(first?.reason ?? '', /; it healed this card 3 of 4 times on this kernel$/);
      const [elsewhere] = rungs(virtio, { outcomes, kernel: 'j' });
      assert.match(elsewhere?.reason ?? '', /3 of 4 times on other kernels$/);
      const config: Config = {
        ...defaultConfig,
        cards: new Map([[virtio, { ladder: ['flr', 'pm'] }]]),
      };
      assert.deepEqual(
        rungs(virtio, { config, outcomes }).map((rung) => rung.rung),
        ['flr', 'pm'],
      );
    });

    test('has the rungs and the order of the configuration', () => {
      const config: Config = {
        ...defaultConfig,
        cards: new Map([[polaris, { ladder: ['slot-power', 'remove-rescan'] }]]),
      };
      assert.deepEqual(
        rungs(polaris, { config }).map((rung) => rung.rung),
        ['slot-power', 'remove-rescan'],
      );
    });

    test('a rung that the family forbids needs force in the configuration, and says what it does', () => {
      const ladder = ['subordinate', 'slot-power'] as const;
      const cards = (force: boolean) => new Map([[polaris, { ladder, force }]]);
      const of = (force: boolean) => ({ config: { ...defaultConfig, cards: cards(force) } });
      assert.deepEqual(
        rungs(polaris, of(false)).map((rung) => rung.rung),
        ['slot-power'],
      );
      const [first] = rungs(polaris, of(true));
      assert.equal(first?.rung, 'subordinate');
      assert.match(first?.reason ?? '', /forced by the configuration, although a bus reset leaves/);
    });
  });

  test('a plan shows steps, cards, what is done and what undoes it', () => {
    const inventory = readInventory(kernel.sys);
    const requested = inventory.cards.get(polaris)?.functions.map((fn) => fn.address) ?? [];
    const plan = planPrepare({
      domain: 'win10',
      uuid: 'u',
      requested: requested.slice(0, 1),
      inventory,
      leases: [],
      config: defaultConfig,
      needs: { disks: new Set(), mounted: new Set(), keyboards: [] },
      reviveMs: 1,
    });
    const message = { en: 'It draws.', ja: '-' };
    const finding = { rule: 'boot-vga', severity: 'warning', subject: 'host', message } as const;
    const findings = [{ ...finding, fix: null }];
    const { steps, ...rest } = startView('win10', { ...plan, findings });
    assert.deepEqual(rest.notes.slice(1), ['[boot-vga, warning] It draws.']);
    assert.deepEqual(rest, { ...rest, domain: 'win10', operation: 'prepare', refusal: null });
    for (const step of steps) {
      assert.ok(step.name.includes(polaris));
      assert.equal(step.card, polaris);
      assert.ok(step.detail !== '' && step.expectedMs > 0);
    }
    assert.equal(
      steps.find((step) => step.name.startsWith('override'))?.undo,
      'the old driver_override',
    );
  });

  test('a plan of a return has the steps of each lease, and says when there is none', () => {
    const { steps } = planReturnView('win10', [leaseOf(navi), leaseOf(polaris)], defaultConfig);
    assert.deepEqual([...new Set(steps.map((step) => step.card))], [navi, polaris]);
    assert.match(
      steps.find((step) => step.name === 'bind-home 0000:03:00.3')?.detail ?? '',
      /without a driver/,
    );
    assert.deepEqual(planReturnView('win10', [], defaultConfig).notes.length, 1);
  });
});
