/** Composition root: builds the parts, wires them, nothing else. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { systemBusAddress } from './bus/address.ts';
import { type Connection, connect } from './bus/connection.ts';
import { exportService } from './bus/export.ts';
import { interfaceXml } from './bus/introspection.ts';
import { logindDoor, logindSleep } from './bus/logind.ts';
import { interfaceNames } from './bus/table.ts';
import { Variant } from './bus/wire.ts';
import type { Config } from './config/config.ts';
import { loadConfig } from './config/load.ts';
import { asRevivedError, sentence } from './errors.ts';
import { followGuests } from './guest/follow.ts';
import { openHostReboot } from './guest/host-reboot.ts';
import { openRuns } from './guest/runs.ts';
import { writeWhole } from './host/atomic-file.ts';
import { createBaseline } from './host/baseline.ts';
import { defaultDeadlines, type Host } from './host/host.ts';
import { openKernelLog } from './host/kernel-log.ts';
import { openLedger } from './host/ledger.ts';
import { createLock } from './host/lock.ts';
import { createModuleLoader } from './host/modules.ts';
import { createNotify } from './host/notify.ts';
import { openHostRisk } from './host/risk.ts';
import { createStuckChildren, guardIo } from './host/stuck.ts';
import { createSleep } from './host/suspend.ts';
import { createLibvirtClient } from './libvirt/client.ts';
import { readDomain } from './libvirt/domain-xml.ts';
import { isActive, newsOf } from './libvirt/news.ts';
import { createLog } from './log.ts';
import { pathsFrom } from './paths.ts';
import { createDesk } from './pipeline/desk.ts';
import { openJournal } from './pipeline/journal.ts';
import { journaledLeases } from './pipeline/journaled-leases.ts';
import { openLeases } from './pipeline/lease.ts';
import { createChildIo } from './sysfs/child.ts';
import { endLeftOvers, watchLeftOvers } from './sysfs/left-over.ts';
import { readAttribute } from './sysfs/read.ts';

declare const VERSION: string;

const busName = 'org.revived';
/** systemd ends us by force after TimeoutStopSec=15. */
const settleMs = 10_000;

async function main(): Promise<void> {
  const paths = pathsFrom(process.env);
  const format = process.env['REVIVED_LOG'] === 'json' ? 'json' : 'text';
  const log = createLog(format, process.env['REVIVED_LOG_LEVEL'] ?? 'info', (line) => {
    process.stderr.write(line);
  });
  for (const directory of [paths.run, paths.spool]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }
  try {
    mkdirSync(paths.state, { recursive: true, mode: 0o700 });
  } catch {
    // Cards move without it; the journal and the hook's policy say what is lost.
  }
  const notify = createNotify(paths.systemdNotify, process.env, (why) => {
    log.warn({ why }, 'systemd could not be told, ignoring');
  });

  let config: Config = await loadConfig(paths);
  const keepHookPolicy = (): Promise<void> =>
    writeWhole(paths.hookPolicy, `${config.hookUnreachable}\n`).catch((error: unknown) => {
      log.warn(
        { why: asRevivedError(error).message },
        'The hook cannot be told its policy, ignoring',
      );
    });
  const stamp = {
    boot: readAttribute(`${paths.proc}/sys/kernel/random/boot_id`) ?? '',
    kernel: readAttribute(`${paths.proc}/sys/kernel/osrelease`) ?? '',
  };
  const [leases, journal, ledger, risk, runs, connection] = await Promise.all([
    openLeases(paths.leases, (why) => log.warn({}, why)),
    openJournal(paths.journal, stamp, log),
    openLedger(paths.ledger, log),
    openHostRisk(paths.hostRisk, log),
    openRuns(paths.runs, log),
    connect(systemBusAddress(process.env)),
    keepHookPolicy(),
  ]);

  const stuck = createStuckChildren();
  const onFreed = (pid: number): void => {
    for (const card of stuck.freed(pid)) desk.onFreed(card);
  };
  // Before anything is done to a card: a write of the daemon before this one may still be at work on it.
  const children = { proc: paths.ownProc, sys: paths.sys };
  const leftOver = await endLeftOvers(children);
  const io = createChildIo({
    dd: paths.dd,
    scratch: paths.run,
    onFreed: (_path, pid) => onFreed(pid),
  });
  const host: Host = {
    paths,
    io: guardIo(io, stuck),
    log,
    kernelLog: openKernelLog(paths.dev),
    rescanLock: createLock('the PCI bus (remove and rescan)'),
    stuck,
    ledger,
    baseline: createBaseline(ledger, stamp.boot),
    risk,
    kernel: stamp.kernel,
    get deadlines() {
      return { ...defaultDeadlines, holders: config.holdersSeconds * 1000 };
    },
    suspend: createSleep({
      sys: paths.sys,
      io,
      logind: logindSleep(connection),
      writeMs: defaultDeadlines.attributeWrite,
      allowed: () => config.suspend,
      running: (card) => {
        if (libvirt.state().state !== 'connected') return undefined;
        const others = desk.domains().filter((one) => !one.cards.includes(card));
        return others.filter((one) => isActive(one.state)).map((one) => one.name);
      },
    }),
    loadModule: createModuleLoader(paths.sys, async (unit) => {
      const systemd = {
        destination: 'org.freedesktop.systemd1',
        path: '/org/freedesktop/systemd1',
        interface: 'org.freedesktop.systemd1.Manager',
      };
      const body = [unit, 'replace'];
      const start = { ...systemd, member: 'StartUnit', signature: 'ss', body };
      const [job] = await connection.call(start, 10_000);
      const property = ['org.freedesktop.systemd1.Job', 'State'];
      const ask = { ...systemd, ...propertyGet, path: String(job), body: property };
      // A job that has ended is no object any more.
      return () =>
        connection.call(ask, 1000).then(
          () => true,
          () => false,
        );
    }),
  };

  const libvirt = createLibvirtClient({
    sockets: paths.libvirtSockets,
    uri: 'qemu:///system',
    log,
    onState: () => desk.onLibvirtState(),
    onEvent(event) {
      // First: whether a stopped domain is held for a reboot of the host is known before anybody asks.
      reboot.onEvent(event);
      if (event.kind === 'synced') {
        desk.onDomains(
          event.domains.map((domain) => ({ ...domain, running: isActive(domain.state) })),
        );
      } else {
        const news = newsOf(event);
        if (news !== undefined) desk.onNews(news);
      }
      guests.onEvent(event);
    },
  });
  const desk = createDesk({
    host,
    leases: journaledLeases(leases, journal),
    journal,
    stamp,
    version: VERSION,
    config: () => config,
    async reload() {
      config = await loadConfig(paths);
      await keepHookPolicy();
      guests.onConfig();
      log.info({}, 'The configuration was read anew');
    },
    readDomain(xml) {
      const { name, uuid, hostdevs } = readDomain(xml);
      const managed = hostdevs.every((hostdev) => hostdev.managed);
      return { name, uuid, managed, functions: hostdevs.map((hostdev) => hostdev.address) };
    },
    libvirtState() {
      const now = libvirt.state();
      return { libvirt: now.state, libvirtVersion: now.state === 'connected' ? now.version : '' };
    },
    async fetchXml(domain, inactive) {
      const { uuid } = await libvirt.lookup(domain);
      return libvirt.domainXml(uuid, { inactive });
    },
    guestFindings: () => guests.findings(),
    crashed: (uuid) => guests.crashed(uuid),
  });
  const reboot = await openHostReboot({
    paths,
    boot: stamp.boot,
    log,
    logind: logindDoor(connection),
    libvirt,
    pipeline: desk,
    config: () => config,
    runs,
    versions: () => guests.driverVersions(),
  });
  const guests = followGuests({
    ...{ libvirt, leases, ledger, runs, log, service: desk, boot: stamp.boot },
    config: () => config,
    async onReboot(uuid) {
      return readDomain(await libvirt.domainXml(uuid, { inactive: true })).onReboot;
    },
    onDriverChange: reboot.onDriverChange,
    onGuestReset: () => {}, // the event itself says that to `reboot`
    mayStart: (uuid) => !reboot.holds(uuid),
    onView: reboot.onGuests,
  });

  const exported = exportService({ connection, service: reboot.service, log, paths });
  connection.onLost((reason) => {
    log.error({ reason }, 'The system bus is gone: nobody can reach this daemon, ending');
    process.exit(1);
  });
  // Before anybody can call: a hook that comes now finds the leases as they are.
  await desk.recover(leftOver);
  watchLeftOvers(children, leftOver, onFreed);
  await connection.requestName(busName);

  // Before anybody is told that we are ready: a signal without a handler would just kill us.
  process.on('SIGHUP', () => {
    desk.reload().catch((error: unknown) => {
      log.error({}, `The old configuration stays: ${sentence(asRevivedError(error))}`);
    });
  });
  let stopping = false;
  const stop = async (): Promise<void> => {
    if (stopping) return;
    stopping = true;
    notify.tell('STOPPING=1');
    // Before: calls that end with the connection have not failed.
    reboot.close();
    guests.close();
    libvirt.stop();
    await desk.settle(settleMs);
    // A host that goes down in order has not died with its cards lent (pipeline/recovery.ts).
    await journal.append({
      event: 'daemon',
      state: (await isShuttingDown(connection)) ? 'stopped' : 'away',
    });
    exported.close();
    connection.close();
    await journal.close();
    host.kernelLog.close();
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop());

  notify.tell('--ready', `--status=${VERSION}: ready`);
  notify.startWatchdog();
  log.info({ version: VERSION, leases: leases.all().length }, 'Ready');

  libvirt.start();
  void reboot.resume();
  desk.checkAll().catch((error: unknown) => {
    log.warn(
      { why: asRevivedError(error).message },
      'The first check of the cards failed, ignoring',
    );
  });
}

const propertyGet = {
  interface: 'org.freedesktop.DBus.Properties',
  member: 'Get',
  signature: 'ss',
} as const;

async function isShuttingDown(connection: Connection): Promise<boolean> {
  const property = {
    ...propertyGet,
    destination: 'org.freedesktop.systemd1',
    path: '/org/freedesktop/systemd1',
    body: ['org.freedesktop.systemd1.Manager', 'SystemState'],
  };
  const [state] = await connection.call(property, 1000).catch(() => []); // not known counts as no
  return state instanceof Variant && state.value === 'stopping';
}

/** `--introspect DIR`: the interface descriptions, for installation. */
function writeInterfaces(directory: string): void {
  mkdirSync(directory, { recursive: true });
  for (const name of interfaceNames) writeFileSync(`${directory}/${name}.xml`, interfaceXml(name));
}

function readArguments(args: readonly string[]): void {
  const [first, second] = args;
  if (first === undefined) {
    main().catch((error: unknown) => {
      process.stderr.write(`<3>revived cannot run: ${sentence(asRevivedError(error))}\n`);
      process.exit(1);
    });
  } else if (first === '--version') process.stdout.write(`${VERSION}\n`);
  else if (first === '--introspect' && second !== undefined) writeInterfaces(second);
  else {
    process.stderr.write('usage: revived [--version | --introspect DIR]\n');
    process.exit(2);
  }
}

readArguments(process.argv.slice(2));
