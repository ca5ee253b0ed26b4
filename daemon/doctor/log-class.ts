/** What a log can show, the gravest first, and what is said of it: what is wrong and why it matters, then what to do. */
import type { Message } from './message.ts';

interface Said {
  readonly verdict: Message;
  readonly advice: Message;
}

const table = {
  'iommu-stuck': {
    verdict: {
      en: 'The IOMMU waits for a device that does not answer any more. The whole host is at risk: it can freeze at any moment.',
      ja: 'IOMMU が応答しなくなったデバイスを待ち続けています。ホスト全体がいつ停止してもおかしくない状態です。',
    },
    advice: {
      en: 'Reset and unbind nothing more. Save your work, shut down the guests and reboot the host, best with the power off for some seconds.',
      ja: 'これ以上リセットやアンバインドをしないでください。作業を保存し、ゲストを終了してからホストを再起動してください。数秒間電源を切るのが確実です。',
    },
  },
  'device-lost': {
    verdict: {
      en: 'The device does not answer any more: it hangs, or it lost its power or its link. No driver and no guest can use it like this.',
      ja: 'デバイスが応答しません。ハングしたか、電源またはリンクを失っています。この状態ではドライバーもゲストも使えません。',
    },
    advice: {
      en: 'Try revivectl reset CARD, which knows more ways than the kernel. If none helps, switch the host off and on. Against the next time: keep the card out of D3cold (power/control=on, d3cold_allowed=0) and shut guests down instead of killing them.',
      ja: 'revivectl reset CARD を試してください。カーネルより多くの復旧手段があります。どれも効かなければホストの電源を入れ直してください。再発を防ぐには、カードを D3cold に入れず（power/control=on、d3cold_allowed=0）、ゲストは強制終了せずにシャットダウンしてください。',
    },
  },
  'flr-broken': {
    verdict: {
      en: 'The device does not come back from a function level reset (FLR): it says that it can do one, and then it is gone for minutes or for good.',
      ja: 'デバイスがファンクションレベルリセット（FLR）から戻りません。FLR に対応していると示しながら、実行すると長時間または永久に応答しなくなります。',
    },
    advice: {
      en: "Keep FLR away from it: leave flr out of the card's ladder in the configuration and write another method, like bus, into its reset_method. A chipset's own USB, audio or SATA controller is better not passed through. If it stays away, switch the host off and on.",
      ja: 'このデバイスでは FLR を使わないでください。設定でこのカードの ladder から flr を外し、reset_method に bus などの別の方法を書いてください。チップセット内蔵の USB・オーディオ・SATA コントローラーはパススルーしない方が安全です。戻らない場合はホストの電源を入れ直してください。',
    },
  },
  'reset-failed': {
    verdict: {
      en: 'The card was not reset: it is left half initialised, and the next guest or the host driver will find it so, even where a line claims that the reset succeeded.',
      ja: 'カードのリセットに失敗しました。成功と書かれた行があっても、カードは中途半端に初期化されたままで、次のゲストやホストのドライバーが正常に使えません。',
    },
    advice: {
      en: 'Try revivectl reset CARD. If it stays like this, suspend the host to RAM and wake it, or reboot it. Shut the guest down instead of killing it. vendor-reset can only help a card that is in its table.',
      ja: 'revivectl reset CARD を試してください。変わらなければ、ホストを一度サスペンド（RAM）して復帰させるか、再起動してください。ゲストは強制終了せずにシャットダウンしてください。vendor-reset が効くのは対応表にあるカードだけです。',
    },
  },
  'usb-hazard': {
    verdict: {
      en: 'A USB controller died: it did not survive the reset or the hand-over, and everything plugged into it is gone with it.',
      ja: 'USB コントローラーが停止しました。リセットまたは受け渡しに耐えられず、接続されていた機器もすべて使えません。',
    },
    advice: {
      en: 'Do not pass this controller through, or keep the kernel from resetting it (an empty reset_method). Pass single USB devices, or a USB card that resets well. To get it back: remove and rescan it, else switch the host off and on.',
      ja: 'このコントローラーはパススルーしないか、カーネルにリセットさせないでください（reset_method を空にします）。代わりに USB 機器を個別に渡すか、リセットに強い USB カードを使ってください。復旧するには remove と rescan を行い、だめならホストの電源を入れ直してください。',
    },
  },
  'function-lost': {
    verdict: {
      en: "One function did not come through the hand-over with the rest of its card, like the audio beside the graphics: it is dead, or still runs with the last guest's state.",
      ja: 'カードの一部のファンクション（映像に対する音声など）が、受け渡しの際に取り残されました。停止しているか、前のゲストの状態のまま動いています。',
    },
    advice: {
      en: 'Give all functions of the card to the guest together, on vfio-pci before the start, and reset the card as a whole: revivectl reset CARD. If it stays lost, remove and rescan the card or reboot the host.',
      ja: 'カードのすべてのファンクションを起動前に vfio-pci に渡し、同じゲストにまとめて割り当ててください。そのうえで revivectl reset CARD でカード全体をリセットします。それでも戻らなければ、カードを remove して rescan するか、ホストを再起動してください。',
    },
  },
  'driver-stuck': {
    verdict: {
      en: 'A driver or a program of the host does not let go of the card, or hangs on it. Unbinding can then wait for ever, and libvirt with it.',
      ja: 'ホストのドライバーまたはプログラムがカードを手放さないか、カードの処理で止まっています。アンバインドが終わらず、libvirt も巻き込まれることがあります。',
    },
    advice: {
      en: 'Stop what uses the card first: the desktop on it, nvidia-persistenced, monitoring, containers. Do not unbind or remove it by force. Where a task is already stuck in D state, only a reboot of the host helps.',
      ja: '先にカードを使っているもの（デスクトップ、nvidia-persistenced、監視ツール、コンテナなど）を止めてください。無理にアンバインドや remove をしないでください。すでに D 状態で止まったタスクがある場合は、ホストの再起動しかありません。',
    },
  },
  'group-not-viable': {
    verdict: {
      en: "The card's IOMMU group, or another that its reset reaches, holds something that the guest does not get. The kernel lends and resets only what is given whole.",
      ja: 'カードの IOMMU グループ（またはリセットが及ぶ別のグループ）に、ゲストへ渡していないデバイスがあります。カーネルは全体が揃わないと貸し出しもリセットもしません。',
    },
    advice: {
      en: 'Give every function of the card to the guest, and bind everything else in the group, bridges apart, to vfio-pci. If the group holds what the host needs, move the card to another slot.',
      ja: 'カードのすべてのファンクションをゲストに渡し、グループ内のほかのデバイス（ブリッジを除く）も vfio-pci にバインドしてください。ホストに必要なデバイスが同じグループにある場合は、カードを別のスロットに移してください。',
    },
  },
  'iommu-off': {
    verdict: {
      en: 'The IOMMU is off or missing, or cannot keep interrupts apart: without it no device can be passed through.',
      ja: 'IOMMU が無効か存在しない、または割り込みを分離できません。このままではデバイスをパススルーできません。',
    },
    advice: {
      en: "Switch it on in the firmware settings (VT-d; AMD-Vi or IOMMU). On Intel also boot with intel_iommu=on. A board without an IOMMU, like most small ARM boards, can't do it.",
      ja: 'ファームウェア設定で有効にしてください（Intel は VT-d、AMD は AMD-Vi または IOMMU）。Intel ではカーネルパラメーター intel_iommu=on も必要です。小型の ARM ボードなど、IOMMU のない機種では使えません。',
    },
  },
  'framebuffer-held': {
    verdict: {
      en: "The card's memory is taken by the firmware's framebuffer or by a host driver, so the guest cannot map it: a black screen.",
      ja: 'カードのメモリをファームウェアのフレームバッファーまたはホストのドライバーが使っているため、ゲストが割り当てられず、画面が黒いままになります。',
    },
    advice: {
      en: 'Let the host boot on another graphics card (firmware setting), or free this one before the start: unbind the vtconsoles and the firmware framebuffer; before Linux 6.0 boot with video=efifb:off. Give it back in the opposite order.',
      ja: 'ファームウェア設定でホストを別のグラフィックスで起動するか、ゲストの起動前に vtconsole とファームウェアのフレームバッファーをアンバインドしてください。Linux 6.0 より前では video=efifb:off で起動します。返却時は逆の順で戻してください。',
    },
  },
  'reset-method-inactive': {
    verdict: {
      en: 'A reset that was asked for or expected does not exist here for this device, so it goes from guest to guest without one.',
      ja: '要求または期待されたリセット方法が、このデバイスでは使えません。リセットされないままゲストからゲストへ渡されます。',
    },
    advice: {
      en: 'See with revivectl show CARD which ways there are. For vendor-reset: load the module first, then write device_specific into reset_method, and check that your card is in its table. An audio function alone never has a reset; give the whole card to the guest.',
      ja: '使える方法は revivectl show CARD で確認できます。vendor-reset を使う場合は、先にモジュールを読み込み、その後 reset_method に device_specific を書き、カードが対応表にあるか確認してください。音声ファンクション単体のリセットは存在しないため、カード全体をゲストに渡してください。',
    },
  },
  'kernel-regression': {
    verdict: {
      en: 'The kernel itself went wrong around PCI or VFIO, or behaves otherwise than kernels before it. The card is probably not the cause.',
      ja: 'PCI または VFIO の周辺でカーネル自体に問題が起きたか、以前のカーネルと動作が変わっています。カードが原因ではない可能性が高いです。',
    },
    advice: {
      en: 'Boot the last kernel that worked and compare; then report it with this log. Rebuild out-of-tree modules like vendor-reset for the new kernel. After an oops, reboot before the next guest.',
      ja: '最後に正常だったカーネルで起動して比べ、このログを付けて報告してください。vendor-reset などの外部モジュールは新しいカーネル用に再ビルドしてください。oops の後は、次のゲストを起動する前にホストを再起動してください。',
    },
  },
  'reset-ok': {
    verdict: {
      en: 'The device was reset, and nothing in the log speaks against it.',
      ja: 'デバイスはリセットされ、それを疑わせる行はログにありません。',
    },
    advice: {
      en: 'Nothing to do. If the guest still has no picture, the cause is elsewhere: see revivectl doctor.',
      ja: '対応は不要です。それでもゲストに画面が出ない場合、原因は別にあります。revivectl doctor を確認してください。',
    },
  },
  benign: {
    verdict: {
      en: 'Nothing here speaks of trouble with a card: such lines are normal.',
      ja: 'カードの問題を示す行はありません。このような行は正常な環境でも出ます。',
    },
    advice: {
      en: 'Nothing to do for these lines. If something fails, look at the lines around the moment when it fails, also in the log of the guest (/var/log/libvirt/qemu).',
      ja: 'これらの行への対応は不要です。何かが失敗する場合は、その時刻の前後の行と、ゲストのログ（/var/log/libvirt/qemu）を確認してください。',
    },
  },
} as const satisfies Record<string, Said>;

export type LogClass = keyof typeof table;

/** The classes that are no trouble. */
const fine: ReadonlySet<string> = new Set<LogClass>(['reset-ok', 'benign']);

/** Every class, the gravest first. */
export const logClasses: readonly LogClass[] = Object.keys(table).filter(
  (name): name is LogClass => name in table,
);

/** Whether a class is trouble. */
export function isTrouble(name: LogClass): boolean {
  return !fine.has(name);
}

/** What is said of a class. */
export function saidOf(name: LogClass): Said {
  return table[name];
}

/** What is said where there is no class, or more than one class explains. */
export const otherTexts = {
  hostAtRisk: {
    en: 'The host itself is in danger: a processor or a task hangs in the kernel.',
    ja: 'ホスト自体が危険な状態です。CPU またはタスクがカーネル内で停止しています。',
  },
  nothingKnown: {
    en: 'This is a log, but no line of it is known here as a sign of trouble with a card. That is no proof that all is well.',
    ja: 'ログではありますが、カードの問題を示すと知られている行はありません。ただし、正常である証明にはなりません。',
  },
  empty: {
    en: 'There is nothing in it: not a single line.',
    ja: '内容がありません。1 行も含まれていません。',
  },
  binary: {
    en: 'This is no text but binary data, like an image: nothing in it is a log.',
    ja: 'テキストではなく、画像などのバイナリデータです。ログは含まれていません。',
  },
  noLog: {
    en: 'Nothing in it is a log line of the kernel, QEMU or libvirt that is known here.',
    ja: 'カーネル、QEMU、libvirt のログと認識できる行がありません。',
  },
  howToCapture: {
    en: 'Save the text of the log with: journalctl -k -b > kernel.log (or dmesg > kernel.log), or take /var/log/libvirt/qemu/NAME.log; not a picture of it.',
    ja: '画面の写真ではなく、ログをテキストで保存してください: journalctl -k -b > kernel.log（または dmesg > kernel.log）、あるいは /var/log/libvirt/qemu/名前.log。',
  },
} as const satisfies Record<string, Message>;
