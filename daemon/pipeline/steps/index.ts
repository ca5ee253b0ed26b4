/** One executor per step; a missing one does not compile. */
import type { StepExecutor, StepName } from '../step.ts';
import { bindHome } from './bind-home.ts';
import { bindVfio } from './bind-vfio.ts';
import { forbidMethods } from './forbid-methods.ts';
import { override } from './override.ts';
import { pinPower } from './pin-power.ts';
import { resetMethod } from './reset-method.ts';
import { resetModule } from './reset-module.ts';
import { restorePower } from './restore-power.ts';
import { reviveStep } from './revive.ts';
import { unbind } from './unbind.ts';
import { verify } from './verify.ts';
import { waitClosed } from './wait-closed.ts';
import { waitFree } from './wait-free.ts';

export const executors: { readonly [K in StepName]: StepExecutor<K> } = {
  'wait-free': waitFree,
  'wait-closed': waitClosed,
  'pin-power': pinPower,
  'restore-power': restorePower,
  override,
  unbind,
  'bind-vfio': bindVfio,
  'bind-home': bindHome,
  'reset-method': resetMethod,
  'forbid-methods': forbidMethods,
  'reset-module': resetModule,
  revive: reviveStep,
  verify,
};
