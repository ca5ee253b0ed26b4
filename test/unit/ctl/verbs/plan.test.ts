import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Call } from '../../../../daemon/ctl/client.ts';
import { plan } from '../../../../daemon/ctl/verbs/plan.ts';
import { argsOf, clientOf, hear, hostile, hostileShown, illCard, tree } from '../recorded.ts';

const steps = [
  {
    Name: 'unbind',
    Card: '0000:0b:00',
    Detail: 'from amdgpu',
    Undo: 'bind amdgpu',
    ExpectedMs: 40,
  },
  { Name: 'check', Card: '0000:0b:00', Detail: '', Undo: '', ExpectedMs: 3200 },
];

function clientWith(refusal: string) {
  const asked: Call[] = [];
  const client = clientOf({
    async callMethod(call) {
      asked.push(call);
      return [refusal, [`a ${hostile} note`], steps];
    },
    async getManagedObjects() {
      const ladder = { ...illCard, Address: '0000:0b:00', Family: `a ${hostile} family` };
      return { ...tree, '/org/revived/cards/0000_0b_00': { 'org.revived1.Card': ladder } };
    },
  });
  return { client, asked };
}

test('numbered steps with their times and undos', async () => {
  const { client, asked } = clientWith('');
  const { out, stdout } = hear();
  assert.equal(await plan.run(client, argsOf(['my "vm"']), out), 0);
  assert.equal(
    stdout(),
    `handing cards to my "vm": 2 steps, about 3.2 s
  1. unbind: from amdgpu (40 ms)
     undo: bind amdgpu
  2. check (3.2 s)
note: a ${hostileShown} note

Ladder of 0000:0b:00: a ${hostileShown} family
   -  flr: left out: the card has none
   1  bus: 1.2 s, at most 1 min 5 s
      secondary bus reset
      also resets 0000:01:00.1
   2  remove-rescan: 3.0 s, at most 1 min 30 s
      takes it off the bus
`,
  );
  const [call] = asked;
  assert.equal(call?.member, 'Plan');
  assert.equal(call?.signature, 'ss');
  assert.deepEqual(call?.args, ['my "vm"', 'prepare']);
});

test('a refusal is shown, and the exit code is 4', async () => {
  const { client, asked } = clientWith('group 27 is shared');
  const { out, stdout } = hear();
  assert.equal(await plan.run(client, argsOf(['vm'], { op: 'return' }), out), 4);
  assert.match(stdout(), /^taking the cards of vm: .*\nrefused: group 27 is shared\n/);
  assert.deepEqual(asked[0]?.args, ['vm', 'return']);
});

test('--json has the refusal too, and the same exit code', async () => {
  const refused = hear({ json: true });
  assert.equal(await plan.run(clientWith('no').client, argsOf(['vm']), refused.out), 4);
  assert.equal(JSON.parse(refused.stdout()).refusal, 'no');
  const open = hear({ json: true });
  assert.equal(await plan.run(clientWith('').client, argsOf(['vm']), open.out), 0);
  const shown = JSON.parse(open.stdout());
  assert.equal(shown.refusal, null);
  assert.deepEqual(Object.keys(shown.steps[0]), ['name', 'card', 'detail', 'undo', 'expectedMs']);
  assert.deepEqual(Object.keys(shown.ladders[0]), ['card', 'family', 'ladder']);
});

test('another operation is wrong usage, before anybody is asked', async () => {
  const running = plan.run(clientOf({}), argsOf(['vm'], { op: 'start' }), hear().out);
  await assert.rejects(running, { code: 'invalid-argument' });
});
