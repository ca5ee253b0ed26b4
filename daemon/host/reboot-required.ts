/**
 * /run/reboot-required and /run/reboot-required.pkgs, as Debian and Ubuntu have them (update-notifier-common
 * notify-reboot-required): the message of the day and cluster reboot daemons read them. Others write there too, so only what
 * is ours is taken away again.
 */
import { rm } from 'node:fs/promises';
import { readWhole, writeWhole } from './atomic-file.ts';

/** Sets the mark or takes ours away; nothing is written where that is so already. Rejects with the system's error. */
export type MarkRebootRequired = (required: boolean) => Promise<void>;

/** What stands in it for us: told apart by this from a mark that another program has made. */
const ownText = '*** System restart required *** (revived: a passed-through card)\n';
const ownPackage = 'revived';
const maxBytes = 64 * 1024;

/** The mark at `path` with its list of packages beside it. */
export function createRebootRequired(path: string): MarkRebootRequired {
  const list = `${path}.pkgs`;
  // Everybody may read them, whatever the umask of the service is. No owner: the unit's filter has no chown.
  const like = { mode: 0o644 };

  return async (required) => {
    const packages = linesOf(await readWhole(list, maxBytes));
    const flag = await readWhole(path, maxBytes);
    const isListed = packages.includes(ownPackage);
    if (required) {
      if (!isListed) await writeWhole(list, `${[...packages, ownPackage].join('\n')}\n`, like);
      if (flag === undefined) await writeWhole(path, ownText, like);
      return;
    }
    const others = packages.filter((name) => name !== ownPackage);
    if (isListed && others.length > 0) await writeWhole(list, `${others.join('\n')}\n`, like);
    if (isListed && others.length === 0) await rm(list, { force: true });
    if (flag === ownText && others.length === 0) await rm(path, { force: true });
  };
}

function linesOf(text: string | undefined): readonly string[] {
  return (text ?? '').split('\n').filter((line) => line !== '');
}
