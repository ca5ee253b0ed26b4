import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPower } from '../../../daemon/host/power.ts';

/** A logind that gives these answers; what it was asked to change, in order. */
function power(answers: {
  readonly inhibitors?: unknown;
  readonly can?: string;
  readonly scheduled?: readonly [string, bigint];
}) {
  const asked: string[] = [];
  const { inhibitors = [], can = 'yes', scheduled = ['', 0n] } = answers;
  return {
    asked,
    ...createPower({
      async call(member, _signature, body) {
        if (member === 'ListInhibitors') return [inhibitors];
        if (member === 'CanReboot') return [can];
        asked.push([member, ...body.map(String)].join(' '));
        return [];
      },
      property: async (name) => (name === 'ScheduledShutdown' ? scheduled : false),
    }),
  };
}
const inhibitor = (what: string, mode: string) => [what, 'apt', 'a\nb', mode, 0, 1];

test('a block on shutdown refuses, by name and on one line; delays and other blocks do not', async () => {
  for (const mode of ['block', 'block-weak']) {
    await assert.rejects(
      power({ inhibitors: [inhibitor('sleep:shutdown', mode)] }).checkReboot(0),
      {
        code: 'refused',
        message: 'The host must not be rebooted now: apt holds it up (a\\u000ab).',
      },
    );
  }
  const harmless = [inhibitor('shutdown', 'delay'), inhibitor('sleep:idle', 'block'), 'x', null];
  await power({ inhibitors: harmless }).checkReboot(0);
  const many = Array.from({ length: 9 }, () => inhibitor('shutdown', 'block'));
  await assert.rejects(power({ inhibitors: many }).checkReboot(0), /, and 4 more\./);
});

test('a host that cannot reboot is not asked to', async () => {
  for (const can of ['no', 'na', 'challenge']) {
    await assert.rejects(power({ can }).checkReboot(0), { code: 'refused' });
  }
});

test('what somebody else has scheduled is neither replaced nor taken back', async () => {
  const day = 32_503_680_000_000n; // 3000-01-01, in ms
  const others = power({ scheduled: ['poweroff', day * 1000n] });
  await assert.rejects(others.checkReboot(6000), {
    code: 'refused',
    message: /scheduled a poweroff of this host for 3000-01-01T00:00:00\.000Z/,
  });
  await assert.rejects(
    power({ scheduled: ['reboot', 2n ** 64n - 1n] }).checkReboot(0),
    /some time/,
  );
  await power({ scheduled: ['reboot', day * 1000n] }).checkReboot(Number(day));
  await power({ scheduled: ['dry-reboot', day * 1000n] }).checkReboot(0);
  await power({ scheduled: ['reboot', 1n] }).checkReboot(0);
  await others.announce(6000, 'x');
  await others.withdraw(6000);
  assert.deepEqual(others.asked, []);
  const ours = power({ scheduled: ['reboot', 6_000_000n] });
  await ours.announce(6000, 'a\u001bb');
  await ours.withdraw(6000);
  assert.deepEqual(ours.asked, [
    'SetWallMessage a\\u001bb true',
    'ScheduleShutdown dry-reboot 6000000',
    'CancelScheduledShutdown',
    'SetWallMessage  true',
  ]);
});
