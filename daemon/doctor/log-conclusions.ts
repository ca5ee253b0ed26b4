/** What no single line shows, but several together do. A new one is an entry in the list. */
import { cardOf, type FunctionAddress, functionNumber } from '../pci/address.ts';
import type { LogClass } from './log-class.ts';
import { asSeen, isOfCard, type Seen, type Sighting, type Tally } from './log-tally.ts';

interface Conclusion {
  readonly class: LogClass;
  /** The lines that it rests on; none where it cannot be drawn. */
  readonly from: (tally: Tally) => readonly Sighting[];
}

const none: Seen = asSeen([]);

const conclusions: readonly Conclusion[] = [
  {
    // Lost, but not with function 0 of its card: the card lives, a part of it does not.
    class: 'function-lost',
    from: (tally) => {
      const lines = [...seenOf(tally, 'device-lost').lines, ...seenOf(tally, 'usb-hazard').lines];
      const lost = [
        ...seenOf(tally, 'device-lost').devices,
        ...seenOf(tally, 'usb-hazard').devices,
      ];
      const whole = new Set(lost.filter((one) => functionNumber(one) === 0).map(cardOf));
      const parts = lost.filter(
        (one) => functionNumber(one) > 0 && isOfCard(one) && !whole.has(cardOf(one)),
      );
      return linesNaming(lines, parts);
    },
  },
  {
    // It was lost in a reset, and the log names it as a USB controller.
    class: 'usb-hazard',
    from: (tally) => {
      const { devices } = patternOf(tally, 'usb-controller');
      const names = ['flr-broken', 'reset-failed', 'device-lost'] as const;
      const lines = names.flatMap((name) => seenOf(tally, name).lines);
      return linesNaming([...new Set(lines)], [...devices]);
    },
  },
  {
    // vendor-reset wiped a card and wrote back only some of its functions (facts/kernel.md 4, failure class 7).
    class: 'function-lost',
    from: (tally) => {
      if (!tally.patterns.has('vendor-run')) return [];
      const wiped = patternOf(tally, 'bars-restored-from-zero');
      const cards = new Set([...wiped.devices].map(cardOf));
      const touched = patternOf(tally, 'config-restored');
      const left = [...touched.devices].filter(
        (one) => cards.has(cardOf(one)) && !wiped.devices.has(one),
      );
      return left.length === 0 ? [] : [...linesNaming(touched.lines, left), ...wiped.lines];
    },
  },
  {
    // Function 0 has no reset either: the kernel that gave it one yesterday does not today, or a function is not on vfio-pci.
    class: 'kernel-regression',
    from: (tally) => {
      const { devices, lines } = patternOf(tally, 'no-reset-mechanism');
      const cards = [...devices].filter((one) => functionNumber(one) === 0).map(cardOf);
      const whole = cards.filter(
        (card) => [...devices].filter((one) => cardOf(one) === card).length > 1,
      );
      return whole.length === 0 ? [] : lines;
    },
  },
  {
    // The kernel touched BARs that it had just had reset: the order of reset and restore changed between kernels.
    class: 'kernel-regression',
    from: (tally) => {
      const restored = patternOf(tally, 'bars-lost');
      const refused = patternOf(tally, 'unsupported-request');
      return restored.count > 0 && refused.count > 0 ? [...restored.lines, ...refused.lines] : [];
    },
  },
];

/** Every class that a tally shows, by its lines or by conclusion; the tally is at its end. */
export function conclude(tally: Tally): ReadonlyMap<LogClass, Seen> {
  const all = new Map(tally.classes);
  for (const { class: name, from } of conclusions) {
    const lines = from(tally);
    if (lines.length === 0) continue;
    const known = all.get(name);
    const merged = [...(known?.lines ?? []), ...lines.filter((one) => !known?.lines.includes(one))];
    all.set(name, { ...asSeen(merged), count: (known?.count ?? 0) + lines.length });
  }
  return all;
}

function seenOf(tally: Tally, name: LogClass): Seen {
  return tally.classes.get(name) ?? none;
}

function patternOf(tally: Tally, id: string): Seen {
  return tally.patterns.get(id) ?? none;
}

function linesNaming(lines: readonly Sighting[], devices: readonly FunctionAddress[]): Sighting[] {
  return lines.filter((line) => line.devices.some((one) => devices.includes(one)));
}
