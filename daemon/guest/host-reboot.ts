/** Reboots of the host, as main.ts wires them: the state machine, its files, the resume, and the service that shows them. */
import type { Config } from '../config/config.ts';
import { createPower, type LogindDoor } from '../host/power.ts';
import { createRebootRequired } from '../host/reboot-required.ts';
import type { LibvirtClient } from '../libvirt/client.ts';
import type { Log } from '../log.ts';
import type { Paths } from '../paths.ts';
import type { CardAddress } from '../pci/address.ts';
import type { Pipeline, Service } from '../pipeline/service.ts';
import { openReboot, type Reboot } from './reboot.ts';
import { type SeenDriver, withReboot } from './reboot-service.ts';
import { createResume } from './resume.ts';
import { openResumeBook } from './resume-book.ts';
import type { RunBook } from './runs.ts';

export interface HostRebootParts {
  readonly paths: Pick<Paths, 'reboot' | 'resume' | 'rebootRequired'>;
  /** The id of this boot. */
  readonly boot: string;
  readonly log: Log;
  readonly logind: LogindDoor;
  readonly libvirt: LibvirtClient;
  readonly pipeline: Pipeline;
  readonly config: () => Config;
  readonly runs: RunBook;
  readonly versions: () => readonly SeenDriver[];
}

export interface HostReboot extends Pick<Reboot, 'onDriverChange' | 'onEvent' | 'holds'> {
  /** The pipeline with what is about reboots. */
  readonly service: Service;
  /** What is known of guests (`versions`, findings) has changed: the listeners of the service are told. */
  onGuests(): void;
  /** Starts what ran before a reboot of ours. Call it when libvirt is being connected to. */
  resume(): Promise<void>;
  /** The daemon ends in order. Before libvirt is left. */
  close(): void;
}

/** Opens what a daemon, or a boot, before this one has left. Never rejects. */
export async function openHostReboot(parts: HostRebootParts): Promise<HostReboot> {
  const { boot, config, libvirt, log, paths, pipeline } = parts;
  const listeners = new Set<() => void>();
  const onChange = (): void => {
    for (const listener of listeners) listener();
  };
  const book = await openResumeBook(paths.resume, boot, log);
  const reboot = await openReboot({
    boot,
    path: paths.reboot,
    book,
    power: createPower(parts.logind),
    control: libvirt,
    markRequired: createRebootRequired(paths.rebootRequired),
    settings(domain) {
      const { afterDriverInstall = 'ask', onRefusal = 'wait' } = config().domains.get(domain) ?? {};
      return { afterDriverInstall, onRefusal };
    },
    times: () => ({
      graceMs: config().rebootGraceSeconds * 1000,
      shutdownMs: config().rebootShutdownSeconds * 1000,
    }),
    runs: parts.runs,
    cardsOf: (uuid) => pipeline.domains().find((one) => one.uuid === uuid)?.cards ?? [],
    log,
    onChange,
  });
  const resume = createResume({
    book,
    control: libvirt,
    waitsFor(cards) {
      if (libvirt.state().state !== 'connected') return 'libvirt is not there';
      const missing = cards.find((address) => !isReady(pipeline, address));
      return missing === undefined ? undefined : `card ${missing} is not ready`;
    },
    log,
    onChange,
  });
  const subscribe = (listener: () => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
  return {
    onDriverChange: reboot.onDriverChange,
    onEvent: reboot.onEvent,
    holds: reboot.holds,
    onGuests: onChange,
    service: withReboot(pipeline, reboot, book, parts.versions, subscribe),
    async resume() {
      const end = pipeline.onChange(resume.look);
      await resume.run();
      end();
    },
    close() {
      reboot.close();
      resume.close();
    },
  };
}

function isReady(pipeline: Pipeline, address: CardAddress): boolean {
  const card = pipeline.cards().find((one) => one.address === address);
  return card !== undefined && card.job === null && card.state === 'home';
}
