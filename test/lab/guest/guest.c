/*
 * The nested guest of the lab: no system, only what of a Windows guest matters to revived. A multiboot kernel (QEMU's -kernel) that
 * answers as qemu-ga on Windows does on the real virtio-serial channel, obeys the ACPI power button, and remembers on a disk what a
 * driver install and a boot leave behind. A Linux kernel takes 70 s to start in an emulated machine in an emulated machine, and
 * minutes when the host is busy; this takes what the BIOS takes.
 *
 * It is steered by lines on COM1 (test/lab/guest.sh writes them), each answered with `done LINE`:
 *   version V [W]   the display driver is V from now on; with W, V and W by turns, one read each
 *   agent MODE      ok; hang: half an answer to guest-exec-status, then nothing; mute: nothing at all; garbage: no JSON; flood N: N MiB of
 *                   output; blocked: guest-exec is switched off; linux: another system; lie-text, lie-huge, lie-other: a pid that is no number, too
 *                   large, of nobody; lie-never: a program that does not end. A new mode begins with the port closed and opened again
 *   shutdown WHO    obey or refuse: the ACPI button and guest-shutdown
 *   reboot, poweroff
 * At boot it says `up N VERSION ID...`: the Nth boot, and vendor:device of each lent function. What the agent is asked it says after `asked`.
 *
 * The disk's first sector is that of a text file: `N VERSION...`. Needs the legacy interface of virtio: devices on the root bus.
 * virtio: "Virtio PCI Card Specification" 0.9.5. Registers of the chipset: Intel ICH9 datasheet 13.8.3 (PM1), 13.7 (RST_CNT at 0xcf9).
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* Multiboot 1: magic, flags (page-aligned modules; there are none), checksum. Then the way in, with flat segments, and the clock's interrupt. */
asm(".text\n.balign 4\n"
    ".long 0x1badb002, 1, -(0x1badb002 + 1)\n"
    ".globl _start\n_start:\n"
    "    lgdt segments_at\n    ljmp $8, $1f\n"
    "1:  mov $16, %ax\n    mov %ax, %ds\n    mov %ax, %es\n    mov %ax, %ss\n"
    "    mov $stack_end, %esp\n"
    "    call start\n"
    "segments: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff\n"
    "segments_at: .word 23\n    .long segments\n"
    "tick:\n"
    "    push %eax\n    mov $0x20, %al\n    out %al, $0x20\n    pop %eax\n    iret\n");
extern void tick(void);
u8 stack[32768] __attribute__((aligned(16), used));
asm(".globl stack_end\n.set stack_end, stack + 32768\n");

static u8 inb(u16 port) { u8 value; asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static u16 inw(u16 port) { u16 value; asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static u32 inl(u16 port) { u32 value; asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static void outb(u16 port, u8 value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static void outw(u16 port, u16 value) { asm volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
static void outl(u16 port, u32 value) { asm volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
#define barrier() asm volatile("" : : : "memory")

/* gcc calls these by itself. */
void *memcpy(void *to, const void *from, u32 size) { for (u32 i = 0; i < size; i++) ((u8 *)to)[i] = ((const u8 *)from)[i]; return to; }
void *memset(void *to, int value, u32 size) { for (u32 i = 0; i < size; i++) ((u8 *)to)[i] = value; return to; }

/* --- text ------------------------------------------------------------------------------------------------------------ */

static u32 length(const char *text) { u32 size = 0; while (text[size]) size++; return size; }
static int begins(const char *text, const char *with) { while (*with) if (*text++ != *with++) return 0; return 1; }
static const char *find(const char *text, const char *what)
{
    for (; *text; text++) if (begins(text, what)) return text;
    return 0;
}
static int is(const char *text, const char *other) { return begins(text, other) && !text[length(other)]; }

/* What is being written: an answer, or the output of a program. What does not fit is cut off. */
struct text { u32 size; char at[32768]; };
static void put(struct text *text, char letter) { if (text->size < sizeof text->at - 1) { text->at[text->size++] = letter; text->at[text->size] = 0; } }
static void add(struct text *text, const char *more) { while (*more) put(text, *more++); }
static void add_number(struct text *text, u32 value, u32 base, int digits)
{
    char reversed[12];
    int count = 0;
    do { reversed[count++] = "0123456789abcdef"[value % base]; value /= base; } while (value || count < digits);
    while (count) put(text, reversed[--count]);
}
static void add_base64(struct text *text, const struct text *plain)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (u32 i = 0; i < plain->size; i += 3) {
        u32 left = plain->size - i, bits = (u8)plain->at[i] << 16;
        if (left > 1) bits |= (u8)plain->at[i + 1] << 8;
        if (left > 2) bits |= (u8)plain->at[i + 2];
        put(text, letters[bits >> 18]);
        put(text, letters[bits >> 12 & 63]);
        put(text, left > 1 ? letters[bits >> 6 & 63] : '=');
        put(text, left > 2 ? letters[bits & 63] : '=');
    }
}
static u32 to_number(const char *text) { u32 value = 0; while (*text >= '0' && *text <= '9') value = value * 10 + (u32)(*text++ - '0'); return value; }
/* A word of a line: up to the next space. Returns what follows. */
static const char *word(const char *line, char *to, u32 size)
{
    u32 used = 0;
    while (*line && *line != ' ') { if (used < size - 1) to[used++] = *line; line++; }
    to[used] = 0;
    return *line ? line + 1 : line;
}

/* --- COM1 ------------------------------------------------------------------------------------------------------------ */

enum { com1 = 0x3f8 };
static void say(const char *text)
{
    for (; *text; text++) {
        while (!(inb(com1 + 5) & 0x20)) ;
        outb(com1, (u8)*text);
    }
}

/* --- PCI ------------------------------------------------------------------------------------------------------------- */

static u32 config(u32 bus, u32 device, u32 function, u32 at)
{
    outl(0xcf8, 0x80000000 | bus << 16 | device << 11 | function << 8 | at);
    return inl(0xcfc);
}

/* The functions that the host has lent: those behind a port that are not Red Hat's, whose ids QEMU's own devices have. */
static struct { u32 id; u32 class; } lent[16];
static u32 lent_count;
static void find_lent(void)
{
    for (u32 bus = 1; bus < 16; bus++) for (u32 device = 0; device < 32; device++) for (u32 function = 0; function < 8; function++) {
        u32 id = config(bus, device, function, 0), vendor = id & 0xffff;
        if (vendor == 0xffff && !function) break;
        if (vendor == 0xffff || vendor == 0x1af4 || vendor == 0x1b36 || lent_count == 16) continue;
        lent[lent_count].id = id;
        lent[lent_count++].class = config(bus, device, function, 8) >> 24;
    }
}

/* The I/O ports of a device on the root bus; 0: there is none. */
static u16 ports_of(u32 id)
{
    for (u32 device = 0; device < 32; device++) {
        if (config(0, device, 0, 0) != id) continue;
        outl(0xcf8, 0x80000000 | device << 11 | 4);
        outw(0xcfc, 7); /* I/O, memory, bus master */
        return config(0, device, 0, 0x10) & 0xfffc;
    }
    return 0;
}

/* --- virtio ---------------------------------------------------------------------------------------------------------- */

enum { max_size = 1024, guest_features = 4, queue_page = 8, queue_size = 12, queue_select = 14, queue_notify = 16, status = 18, settings = 20 };
struct descriptor { u64 address; u32 size; u16 flags; u16 next; };
struct queue {
    u8 ring[32768] __attribute__((aligned(4096)));
    u16 io, number, count, seen, tail;
    volatile u16 *available;
    volatile struct { u16 flags, index; struct { u32 id, size; } at[max_size]; } *used;
};
enum { by_device = 2, more = 1 };

static void set_up(struct queue *queue, u16 io, u16 number)
{
    memset(queue, 0, sizeof *queue);
    outw(io + queue_select, number);
    queue->io = io;
    queue->number = number;
    queue->count = inw(io + queue_size);
    if (queue->count > max_size) say("a queue is too large\n");
    u32 available = queue->count * 16u;
    queue->available = (void *)(queue->ring + available);
    queue->available[0] = 1; /* no interrupts */
    queue->used = (void *)(queue->ring + ((available + 6 + 2u * queue->count + 4095) & ~4095u));
    outl(io + queue_page, (u32)queue->ring >> 12);
}
static void describe(struct queue *queue, u16 at, void *data, u32 size, u16 flags)
{
    ((volatile struct descriptor *)queue->ring)[at] = (struct descriptor){ (u32)data, size, flags, at + 1 };
}
static void offer(struct queue *queue, u16 first)
{
    queue->available[2 + queue->tail % queue->count] = first;
    barrier();
    queue->available[1] = ++queue->tail;
    barrier();
    outw(queue->io + queue_notify, queue->number);
}
static int is_done(struct queue *queue) { barrier(); return queue->used->index != queue->seen; }

/* --- the disk -------------------------------------------------------------------------------------------------------- */

static struct queue disk;
static char sector[512];
static void transfer(u32 write)
{
    static struct { u32 type, reserved; u64 sector; } request;
    static u8 result;
    request.type = write;
    describe(&disk, 0, &request, sizeof request, more);
    describe(&disk, 1, sector, sizeof sector, more | (write ? 0 : by_device));
    describe(&disk, 2, &result, 1, by_device);
    offer(&disk, 0);
    while (!is_done(&disk)) ;
    disk.seen++;
}
static u32 boots;
static char versions[2][64], mode[32] = "ok";
static int version_turn, refuses;

static void keep(void)
{
    static struct text line;
    line.size = 0;
    add_number(&line, boots, 10, 1);
    for (int i = 0; i < 2; i++) if (versions[i][0]) { put(&line, ' '); add(&line, versions[i]); }
    put(&line, '\n');
    memset(sector, 0, sizeof sector);
    memcpy(sector, line.at, line.size);
    transfer(1);
}
static void remember(void)
{
    u16 io = ports_of(0x10011af4);
    if (!io) { say("no disk\n"); return; }
    outb(io + status, 0);
    outb(io + status, 3);
    outl(io + guest_features, 0);
    set_up(&disk, io, 0);
    outb(io + status, 7);
    transfer(0);
    sector[511] = 0;
    for (u32 i = 0; i < 511; i++) if (sector[i] == '\n') sector[i] = 0;
    boots = to_number(sector) + 1;
    const char *rest = word(sector, versions[0], 1);
    word(word(rest, versions[0], 64), versions[1], 64);
    keep();
}

/* --- the end --------------------------------------------------------------------------------------------------------- */

enum { pm1 = 0x600 };
static void power_off(void) { outw(pm1 + 4, 0x2000); for (;;) ; }
static void reboot(void) { outb(0xcf9, 2); outb(0xcf9, 6); for (;;) ; }

/* --- the port of the agent ------------------------------------------------------------------------------------------- */

static struct queue from_control, to_control, from_host, to_host;
static struct { u32 port; u16 event, value; } news[4], told;
static char received[4][4096];
static struct text asked;
static int stale; /* the mode has changed, perhaps while an answer was written */
static int hung; /* half an answer was the last that anybody heard */
static int mode_is_new; /* to be said when the port is open again */

static void poll(void);
static void wait_for(struct queue *queue)
{
    while (!is_done(queue)) { if (stale) return; poll(); }
    queue->seen++;
}
static void tell(u32 port, u16 event, u16 value)
{
    told.port = port;
    told.event = event;
    told.value = value;
    describe(&to_control, 0, &told, 8, 0);
    offer(&to_control, 0);
    while (!is_done(&to_control)) ;
    to_control.seen++;
}
static void send(const char *bytes, u32 size)
{
    if (stale) return;
    describe(&to_host, 0, (void *)bytes, size, 0);
    offer(&to_host, 0);
    wait_for(&to_host);
}
static void open_port(void)
{
    u16 io = ports_of(0x10031af4);
    if (!io) { say("no port\n"); return; }
    outb(io + status, 0);
    outb(io + status, 3);
    outl(io + guest_features, 2); /* several ports */
    /* Port 0 is for a console, and libvirt leaves it free; port 1 has the queues 4 and 5. */
    set_up(&from_control, io, 2);
    set_up(&to_control, io, 3);
    set_up(&from_host, io, 4);
    set_up(&to_host, io, 5);
    outb(io + status, 7);
    for (u16 i = 0; i < 4; i++) {
        describe(&from_control, i, &news[i], 8, by_device);
        offer(&from_control, i);
        describe(&from_host, i, received[i], sizeof received[i], by_device);
        offer(&from_host, i);
    }
    asked.size = 0;
    stale = hung = 0;
    tell(0xffffffff, 0, 1);
}
/* DEVICE_ADD (1): ready (3) and open (6). */
static void hear_control(void)
{
    while (is_done(&from_control)) {
        u16 at = (u16)from_control.used->at[from_control.seen++ % from_control.count].id;
        if (news[at].event == 1) {
            u32 port = news[at].port;
            tell(port, 3, 1);
            if (port == 1) {
                tell(port, 6, 1);
                if (mode_is_new) { say("done agent "); say(mode); say("\n"); }
                mode_is_new = 0;
            }
        }
        offer(&from_control, at);
    }
}

/* --- the agent ------------------------------------------------------------------------------------------------------- */

static struct text reply, output;
static u32 pid = 100, ready_pid;

static void answer(const char *text)
{
    reply.size = 0;
    add(&reply, text);
}
static void finish(void)
{
    put(&reply, '\n');
    send(reply.at, reply.size);
}
static void refuse(const char *why)
{
    answer("{\"error\":{\"class\":\"GenericError\",\"desc\":\"");
    add(&reply, why);
    add(&reply, "\"}}");
    finish();
}
static const char *value_of(const char *line, const char *key)
{
    const char *at = find(line, key);
    return at ? at + length(key) : "";
}

/* One line of `reg query`, if /v asks for that value or for all. */
static void registry_value(const char *wanted, const char *name, const char *value)
{
    if (*wanted && !(begins(wanted, name) && wanted[length(name)] == '"')) return;
    add(&output, "    ");
    add(&output, name);
    add(&output, "    REG_SZ    ");
    add(&output, value);
    add(&output, "\r\n");
}
static void registry_key(u32 number)
{
    add(&output, "\r\nHKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Control\\Class\\{4d36e968-e325-11ce-bfc1-08002be10318}\\");
    add_number(&output, number, 10, 4);
    add(&output, "\r\n");
}
static const char *next_version(void)
{
    const char *now = versions[version_turn];
    if (versions[1][0]) version_turn = !version_turn;
    return now;
}
static void device_id(struct text *text, u32 id, const char *before, const char *between)
{
    add(text, before);
    add_number(text, id & 0xffff, 16, 4);
    add(text, between);
    add_number(text, id >> 16, 16, 4);
}
/* As reg.exe prints the display class, the basic driver of Windows first. */
static void registry(const char *line)
{
    static struct text id;
    const char *wanted = value_of(line, "\"/v\",\"");
    /* A question for something else is no read of the version. */
    const char *version = *wanted && !begins(wanted, "DriverVersion") ? "" : next_version();
    u32 number = 0;
    registry_key(number++);
    registry_value(wanted, "DriverDesc", "Microsoft Basic Display Adapter");
    registry_value(wanted, "DriverVersion", "10.0.26100.1");
    registry_value(wanted, "MatchingDeviceId", "root\\basicdisplay");
    for (u32 i = 0; i < lent_count; i++) {
        if (lent[i].class != 3) continue;
        id.size = 0;
        device_id(&id, lent[i].id, "PCI\\VEN_", "&DEV_");
        registry_key(number++);
        registry_value(wanted, "DriverDesc", "Lab Display");
        registry_value(wanted, "DriverVersion", version);
        registry_value(wanted, "MatchingDeviceId", id.at);
    }
    add(&output, "\r\nEnde der Suche: ");
    add_number(&output, number, 10, 1);
    add(&output, " \xc3\x9c" "bereinstimmungen gefunden.\r\n");
}
/* As ConvertTo-Json -Compress prints Win32_VideoController. */
static void controllers(void)
{
    const char *version = next_version();
    put(&output, '[');
    for (u32 i = 0, count = 0; i < lent_count; i++) {
        if (lent[i].class != 3) continue;
        add(&output, count++ ? ",{\"PNPDeviceID\":\"" : "{\"PNPDeviceID\":\"");
        device_id(&output, lent[i].id, "PCI\\\\VEN_", "\\u0026DEV_");
        add(&output, "\\u0026SUBSYS_00000000\\u0026REV_02\\\\3\\u002611583659\\u00260\\u002608\",\"Name\":\"Lab Display\",\"DriverVersion\":\"");
        add(&output, version);
        add(&output, "\",\"InfFilename\":\"oem7.inf\",\"ConfigManagerErrorCode\":0,\"Status\":\"OK\"}");
    }
    add(&output, "]\r\n");
}

static void exec(const char *line)
{
    output.size = 0;
    if (find(line, "Win32_VideoController")) controllers();
    else if (find(line, "{4d36e968-e325-11ce-bfc1-08002be10318}")) registry(line);
    else { refuse("Failed to execute child process (No such file or directory)"); return; }
    ready_pid = pid += 4;
    answer("{\"return\":{\"pid\":");
    if (is(mode, "lie-text")) add(&reply, "\"104; shutdown /r\"");
    else if (is(mode, "lie-huge")) add(&reply, "18446744073709551615");
    else if (is(mode, "lie-other")) add(&reply, "4");
    else add_number(&reply, pid, 10, 1);
    add(&reply, "}}");
    finish();
}
static void exec_status(const char *line)
{
    static char block[65536];
    u32 wanted = to_number(value_of(line, "\"pid\":"));
    answer("{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"");
    if (is(mode, "hang")) {
        send(reply.at, reply.size);
        hung = 1;
        return;
    }
    if (begins(mode, "flood")) {
        send(reply.at, reply.size);
        memset(block, 'A', sizeof block);
        for (u32 left = to_number(mode + 6) * 16; left && !stale; left--) send(block, sizeof block);
        answer("\"}}");
    } else if (is(mode, "lie-never")) {
        answer("{\"return\":{\"exited\":false}}");
    } else if (wanted != ready_pid) {
        refuse("Invalid parameter 'pid'");
        return;
    } else {
        /* Once: then the agent has forgotten it. */
        ready_pid = 0;
        add_base64(&reply, &output);
        add(&reply, "\"}}");
    }
    finish();
}
static void info(void)
{
    static const char *const names[] = { "guest-sync", "guest-sync-delimited", "guest-ping", "guest-info", "guest-get-osinfo",
        "guest-shutdown", "guest-exec", "guest-exec-status" };
    answer("{\"return\":{\"version\":\"109.1.0\",\"supported_commands\":[");
    for (u32 i = 0; i < 8; i++) {
        add(&reply, i ? ",{\"enabled\":" : "{\"enabled\":");
        add(&reply, is(mode, "blocked") && begins(names[i], "guest-exec") ? "false" : "true");
        add(&reply, ",\"name\":\"");
        add(&reply, names[i]);
        add(&reply, "\",\"success-response\":true}");
    }
    add(&reply, "]}}");
    finish();
}
static void osinfo(void)
{
    answer(is(mode, "linux") ? "{\"return\":{\"name\":\"Debian GNU/Linux\",\"pretty-name\":\"Debian GNU/Linux 13 (trixie)\",\"version-id\":\"13\","
                               "\"kernel-release\":\"6.12.0\",\"machine\":\"x86_64\",\"id\":\"debian\"}}"
                             : "{\"return\":{\"name\":\"Microsoft Windows\",\"kernel-release\":\"26100\",\"version\":\"Microsoft Windows 11\","
                               "\"variant\":\"client\",\"pretty-name\":\"Windows 11 Pro\",\"version-id\":\"11\",\"variant-id\":\"client\","
                               "\"kernel-version\":\"10.0\",\"machine\":\"x86_64\",\"id\":\"mswindows\"}}");
    finish();
}
static void sync(const char *line)
{
    answer(find(line, "delimited") ? "\xff{\"return\":" : "{\"return\":");
    for (const char *id = value_of(line, "\"id\":"); *id >= '0' && *id <= '9'; id++) put(&reply, *id);
    put(&reply, '}');
    finish();
}

static void obey(const char *line)
{
    const char *command = value_of(line, "\"execute\":\"");
    say("asked ");
    say(line);
    say("\n");
    if (hung || is(mode, "mute")) return;
    if (begins(command, "guest-sync")) sync(line);
    else if (is(mode, "garbage")) { answer("\xff\x01{\"return\": [[[[ \xc3( } }"); finish(); }
    else if (begins(command, "guest-ping\"")) { answer("{\"return\":{}}"); finish(); }
    else if (begins(command, "guest-info\"")) info();
    else if (begins(command, "guest-get-osinfo\"")) osinfo();
    else if (begins(command, "guest-exec") && is(mode, "blocked")) refuse("Command guest-exec has been disabled: the command is not allowed");
    else if (begins(command, "guest-exec-status\"")) exec_status(line);
    else if (begins(command, "guest-exec\"")) exec(line);
    /* It has no answer when it works. */
    else if (begins(command, "guest-shutdown\"")) { if (refuses) refuse("somebody works here"); else if (find(line, "\"reboot\"")) reboot(); else power_off(); }
    else { answer("{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"The command has not been found\"}}"); finish(); }
}

static void hear_agent(void)
{
    while (is_done(&from_host) && !stale) {
        volatile typeof(from_host.used->at[0]) *used = &from_host.used->at[from_host.seen++ % from_host.count];
        u16 at = (u16)used->id;
        for (u32 i = 0; i < used->size && !stale; i++) {
            char letter = received[at][i];
            if (letter != '\n') { put(&asked, letter); continue; }
            obey(asked.at);
            asked.size = 0;
            asked.at[0] = 0;
        }
        /* Not to a queue that is to be set up anew. */
        if (!stale) offer(&from_host, at);
    }
}

/* --- the control line ------------------------------------------------------------------------------------------------ */

static void steer(const char *line)
{
    char verb[16];
    const char *rest = word(line, verb, sizeof verb);
    if (is(verb, "version")) {
        word(word(rest, versions[0], 64), versions[1], 64);
        version_turn = 0;
        keep();
    } else if (is(verb, "agent")) {
        u32 size = length(rest);
        if (size > sizeof mode - 1) size = sizeof mode - 1;
        memcpy(mode, rest, size);
        mode[size] = 0;
        /* Not from here: an answer may be half-way. And it is done when the port is open again. */
        stale = mode_is_new = 1;
        return;
    } else if (is(verb, "shutdown")) refuses = is(rest, "refuse");
    else if (is(verb, "reboot")) reboot();
    else if (is(verb, "poweroff")) power_off();
    say("done ");
    say(line);
    say("\n");
}

/* What may come at any time: the power button and the control line. */
static void poll(void)
{
    static char line[128];
    static u32 used;
    if (inw(pm1) & 0x100) {
        outw(pm1, 0x100);
        if (!refuses) power_off();
    }
    while (inb(com1 + 5) & 1) {
        char letter = (char)inb(com1);
        if (letter != '\n') { if (used < sizeof line - 1) line[used++] = letter; continue; }
        line[used] = 0;
        used = 0;
        steer(line);
    }
}

/* --- the clock, so that an idle guest costs nothing ------------------------------------------------------------------ */

static void start_clock(void)
{
    static u64 table[48];
    static struct { u16 size; u32 at; } __attribute__((packed)) where;
    /* All that the controllers may say, which includes the spurious 7 and 15. */
    for (u32 i = 32; i < 48; i++) table[i] = ((u64)((u32)tick & 0xffff0000) << 32) | 0x8e0000080000ull | ((u32)tick & 0xffff);
    where.size = sizeof table - 1;
    where.at = (u32)table;
    asm volatile("lidt %0" : : "m"(where));
    /* The interrupt controllers at 32, all but the timer masked; the timer at 50 Hz. */
    outb(0x20, 0x11); outb(0x21, 0x20); outb(0x21, 4); outb(0x21, 1); outb(0x21, 0xfe);
    outb(0xa0, 0x11); outb(0xa1, 0x28); outb(0xa1, 2); outb(0xa1, 1); outb(0xa1, 0xff);
    outb(0x43, 0x36); outb(0x40, 23864 & 0xff); outb(0x40, 23864 >> 8);
    asm volatile("sti");
}

__attribute__((used)) static void start(void)
{
    static struct text up;
    start_clock();
    outw(pm1 + 2, 0x100); /* the power button, please */
    find_lent();
    remember();
    open_port();
    add(&up, "up ");
    add_number(&up, boots, 10, 1);
    for (int i = 0; i < 2; i++) if (versions[i][0]) { put(&up, ' '); add(&up, versions[i]); }
    for (u32 i = 0; i < lent_count; i++) device_id(&up, lent[i].id, " ", ":");
    put(&up, '\n');
    say(up.at);
    for (;;) {
        hear_control();
        hear_agent();
        poll();
        if (stale) open_port();
        asm volatile("hlt");
    }
}
