/** Reads the machine at argv[2] and plans a start with its first display card, argv[3] times; prints milliseconds as JSON. */
import { join } from 'node:path';
import { defaultConfig } from '../../daemon/config/config.ts';
import { isDisplay } from '../../daemon/pci/device.ts';
import { readInventory } from '../../daemon/pci/inventory.ts';
import { readHostNeeds } from '../../daemon/pipeline/host-needs.ts';
import { planPrepare } from '../../daemon/pipeline/plan.ts';

const [, , sys = '', rounds = ''] = process.argv;
const card = [...readInventory(sys).cards.values()].find((one) => one.functions.some(isDisplay));
if (card === undefined) throw new Error(`${sys} has no display card`);
const paths = { sys, proc: join(sys, '../proc'), dev: join(sys, '../dev') };
const requested = card.functions.map((fn) => fn.address);

const times = Array.from({ length: Number(rounds) }, () => {
  const start = performance.now();
  const inventory = readInventory(sys);
  const plan = planPrepare({
    ...{ domain: 'win11', uuid: '', requested, inventory },
    ...{ leases: [], config: defaultConfig, needs: readHostNeeds(paths), reviveMs: 100_000 },
  });
  const ms = performance.now() - start;
  if (plan.cards[0]?.card.functions.length !== 8) throw new Error('the plan is not the whole card');
  return ms;
});
process.stdout.write(JSON.stringify(times));
