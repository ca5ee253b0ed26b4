import assert from 'node:assert/strict';
import { test } from 'node:test';
import { take } from '../../../../daemon/ctl/verbs/take.ts';
import { argsOf, clientOf, doneJob, hear, illPath } from '../recorded.ts';

test('take calls Take of the card and follows the job', async () => {
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
  assert.equal(await take.run(client, argsOf(['01:00.0']), out), 0);
  assert.deepEqual(called, [`org.revived1.Card Take ${illPath} `]);
  assert.match(stdout(), /done in 3\.2 s\n$/);
});

test('take needs an address', () => {
  assert.throws(() => take.run(clientOf({}), argsOf(['win10']), hear().out), {
    code: 'invalid-argument',
  });
});
