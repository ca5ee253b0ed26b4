import assert from 'node:assert/strict';
import { test } from 'node:test';
import { giveBack } from '../../../../daemon/ctl/verbs/return.ts';
import { argsOf, clientOf, doneJob, hear, illPath } from '../recorded.ts';

test('return calls Return of the card and follows the job', async () => {
  const called: string[] = [];
  const client = clientOf({
    subscribe: async () => undefined,
    getProperties: async () => doneJob,
    async callMethod({ member, path, interface: of, signature }) {
      called.push([of, member, path, signature].join(' '));
      return ['/org/revived/jobs/7'];
    },
  });
  const { out, stdout } = hear();
  assert.equal(await giveBack.run(client, argsOf(['01:00.0']), out), 0);
  assert.deepEqual(called, [`org.revived1.Card Return ${illPath} `]);
  assert.match(stdout(), /done in 3\.2 s\n$/);
});

test('return needs an address', () => {
  assert.throws(() => giveBack.run(clientOf({}), argsOf(['win10']), hear().out), {
    code: 'invalid-argument',
  });
});
