/** The other functions of a card, and USB controllers (facts/kernel.md 3.3, 41 and 42: sound/pci/hda, drivers/usb/host). */
import type { Pattern } from '../log-pattern.ts';

export const functionPatterns: readonly Pattern[] = [
  {
    id: 'audio-dead',
    hints: [
      'snd_hda_intel',
      'corb reset',
      'mfg node',
      'azx_get_response',
      'no response from codec',
      'not operational',
      'probe error; disabling',
      'response, last cmd',
      'too slow response',
    ],
    // Not of the chipset's own codec on bus 00, which has such moods on healthy hosts.
    line: /^(?!.*\b0000:00:[01][0-9a-f]\.).*?(?:CORB reset timeout|no AFG or MFG node found|azx_get_response timeout|no response from codec|GPU sound probed, but not operational|Codec #\d+ probe error; disabling|(?:spurious|too slow) response.*last cmd|snd_hda_intel.*(?:probe of \S+|probe with driver \w+) failed with error -\d+)/i,
    shows: ['function-lost'],
  },
  {
    // Cards without a screen or with a fused-off audio say so at every boot.
    id: 'audio-mute',
    hints: ['no codecs'],
    line: /^(?!.*\b0000:00:[01][0-9a-f]\.).*?no codecs (?:found|initialized)/i,
    shows: ['function-lost'],
    handled: true,
  },
  {
    id: 'usb-controller-dead',
    hints: [
      'host controller not responding',
      'hc died',
      'host halt failed',
      'host not responding',
      'not accessible, reset failed',
      'host took too long',
    ],
    line: /xHCI host (?:controller )?not responding|HC died; cleaning up|Host halt failed, -\d+|Host not accessible, reset failed|Host took too long to start/i,
    shows: ['usb-hazard'],
  },
  {
    id: 'usb-controller-fails',
    hints: ['xhci', 'ehci'],
    line: /[xe]hci.*(?:can't setup: -\d+|init 0000:\S+ fail, -\d+|startup error -\d+|probe of \S+ failed with error -1(?:10|9)\b|failed with error -110\b|Abort failed to stop command ring|xHC restore state timeout|Controller not ready at resume|PCI post-resume error)/i,
    shows: ['usb-hazard'],
  },
  {
    id: 'usb-controller',
    hints: ['xhci_hcd ', 'class 0x0c03'],
    line: /\bxhci_hcd [0-9a-f:]+\.[0-7]|class 0x0c03[0-9a-f]{2}\b/,
    shows: [],
  },
];
