/** Without the agent's channel the guest cannot be asked anything. */
import type { Judgement, Rule } from '../finding.ts';
import { quoted } from '../label.ts';

export const agentMissing: Rule = {
  id: 'agent-missing',
  reads: 'the channels of domains',
  why: 'A clean shutdown is the best reset; the agent makes it reliable and tells when a driver was installed.',
  reference: 'https://libvirt.org/formatdomain.html (channel); facts/kernel.md 6, rung 1',
  judge(facts) {
    return facts.domains.flatMap((domain): readonly Judgement[] =>
      domain.agent || domain.hostdevs.length === 0
        ? []
        : [
            {
              severity: 'note',
              subject: `domain:${domain.name}`,
              message: {
                en: `Domain ${quoted(domain.name)} has no channel for the guest agent. Without it nobody can shut the guest down reliably, and cards suffer when a guest is forced off. Add a channel named org.qemu.guest_agent.0 and install qemu-guest-agent in the guest.`,
                ja: `ドメイン ${quoted(domain.name)} にゲストエージェントのチャンネルがありません。これがないと確実なシャットダウンができず、強制終了はカードの不調につながります。org.qemu.guest_agent.0 というチャンネルを追加し、ゲストに qemu-guest-agent をインストールしてください。`,
              },
              fix: null,
            },
          ],
    );
  },
};
