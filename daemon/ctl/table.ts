/** The verbs of revivectl, in the order of the help. The first is the default. A new verb is its file and a line here. */
import type { Verb } from './verb.ts';
import { bundle } from './verbs/bundle.ts';
import { doctor } from './verbs/doctor.ts';
import { explain } from './verbs/explain.ts';
import { history } from './verbs/history.ts';
import { list } from './verbs/list.ts';
import { monitor } from './verbs/monitor.ts';
import { plan } from './verbs/plan.ts';
import { quarantine } from './verbs/quarantine.ts';
import { reboot } from './verbs/reboot.ts';
import { reset } from './verbs/reset.ts';
import { giveBack } from './verbs/return.ts';
import { show } from './verbs/show.ts';
import { status } from './verbs/status.ts';
import { take } from './verbs/take.ts';
import { version } from './verbs/version.ts';

export const verbs: readonly Verb[] = [
  status,
  list,
  show,
  plan,
  reset,
  take,
  giveBack,
  explain,
  doctor,
  bundle,
  history,
  monitor,
  quarantine,
  reboot,
  version,
];
