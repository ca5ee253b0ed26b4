/** Kernels of which it is known that they break passthrough. */
import { isDisplay } from '../../pci/device.ts';
import type { Rule } from '../finding.ts';
import type { HostFacts } from '../host-facts.ts';
import type { Message } from '../message.ts';

interface Suspect {
  readonly from: readonly [number, number, number];
  /** The last one that is bad. */
  readonly to: readonly [number, number, number];
  readonly applies: (facts: HostFacts) => boolean;
  readonly what: Message;
  readonly reference: string;
}

const passesGpu = (vendor?: string) => (facts: HostFacts) =>
  facts.passed.some(
    ({ fn }) => fn !== undefined && isDisplay(fn) && (vendor === undefined || fn.vendor === vendor),
  );

const suspects: readonly Suspect[] = [
  ...(
    [
      [6, 14, 2],
      [6, 12, 23],
    ] as const
  ).map(
    (version): Suspect => ({
      from: version,
      to: version,
      applies: passesGpu(),
      what: {
        en: 'GPUs are not reset when a guest ends or reboots, so they work once per host boot',
        ja: 'ゲストの終了や再起動の際に GPU がリセットされず、ホストの起動ごとに一度しか動きません',
      },
      reference: 'https://github.com/zen-kernel/zen-kernel/issues/380',
    }),
  ),
  {
    from: [6, 15, 0],
    to: [6, 16, 99],
    applies: passesGpu('1002'),
    what: {
      en: 'some Radeon cards hang the host after a few guest cycles',
      ja: '一部の Radeon カードでは、ゲストを数回起動するとホストが固まります',
    },
    reference: 'https://bugzilla.kernel.org/show_bug.cgi?id=220471',
  },
  {
    from: [5, 15, 0],
    to: [5, 15, 99],
    applies: ({ vendorReset }) => vendorReset === true,
    what: {
      en: 'the kernel can crash at shutdown when vendor-reset is loaded',
      ja: 'vendor-reset を読み込んでいると、シャットダウン時にカーネルがクラッシュすることがあります',
    },
    reference: 'https://github.com/gnif/vendor-reset/issues/46',
  },
];

export const kernelSuspect: Rule = {
  id: 'kernel-suspect',
  reads: 'proc/version',
  why: 'A kernel update is the most usual reason for "it worked yesterday".',
  reference: 'facts/peers.md 3, pain 28',
  judge(facts) {
    const version = versionOf(facts.kernel);
    if (version === undefined) return [];
    return suspects
      .filter(
        ({ from, to, applies }) =>
          order(from, version) <= 0 && order(version, to) <= 0 && applies(facts),
      )
      .map(({ what, reference }) => ({
        severity: 'warning',
        subject: 'host',
        message: {
          en: `This kernel (${version.join('.')}) is known for trouble: ${what.en} (${reference}). If you see that, boot an older or newer kernel.`,
          ja: `このカーネル(${version.join('.')})には既知の問題があります: ${what.ja}(${reference})。症状が出る場合は、前後のバージョンのカーネルで起動してください。`,
        },
        fix: null,
      }));
  },
};

function versionOf(kernel: string | undefined): readonly [number, number, number] | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})(?:\.(\d{1,4}))?/.exec(kernel ?? '');
  return match === null ? undefined : [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
}

function order(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((part, index) => part !== b[index]);
  return at === -1 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}
