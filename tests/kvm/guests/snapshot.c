/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program to take snapshots of: see snapshot.h. Its commands write canaries to all that a program
 * can write to, end it in every way, or tell what it sees.
 */
#include "snapshot.h"

#include <vmkit/guest.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define WORDS (PAGE / sizeof(uint64_t))

static struct guest_shared shared;
static uint64_t table[GUEST_TABLE_PAGES * WORDS] __attribute__((aligned(4096)));
static uint64_t *heap, *region;

static int
is(const char *command)
{
    return strcmp(shared.command, command) == 0;
}

static uint64_t
pattern(uint64_t i)
{
    return i * UINT64_C(0x9e3779b97f4a7c15);
}

/* Not a loop that the compiler turns into something that needs the stack. */
static void
fill(uint64_t *words, uint64_t count, uint64_t value)
{
    for (uint64_t i = 0; i < count; i++)
        ((volatile uint64_t *)words)[i] = value;
}

static void
initialise(void)
{
    for (uint64_t i = 0; i < GUEST_TABLE_PAGES * WORDS; i++)
        table[i] = pattern(i);
    heap = malloc(64 * PAGE);
    region = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fill(heap, 64 * WORDS, 1);
    fill(region, 32 * WORDS, 2);
    umask(027);
    /* ret */
    ((volatile uint8_t *)region)[8 * PAGE] = 0xc3;
    shared.table = (uint64_t)(uintptr_t)table;
    shared.region = (uint64_t)(uintptr_t)region;
}

/* Each page's first word is another one than before. */
static void
touch_table(uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++)
        ((volatile uint64_t *)table)[i * WORDS] = GUEST_CANARY + i;
}

static uint64_t
check_table(void)
{
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < GUEST_TABLE_PAGES * WORDS; i++)
        wrong += table[i] != pattern(i);
    return wrong;
}

static void
handler(int signal)
{
    _exit(signal);
}

static void
soil_mappings(void)
{
    uint64_t *fresh =
        mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fill(fresh, 64 * WORDS, GUEST_CANARY);
    uint64_t *large =
        mmap(NULL, 6 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fill(large, (6 << 20) / 8, GUEST_CANARY);
    munmap((char *)large + (1 << 20), 3 << 20);
    uint64_t *far = mmap((void *)(uintptr_t)GUEST_FAR, 2 * PAGE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    fill(far, 2 * WORDS, GUEST_CANARY);
    /* What was there before: fewer rights, more, moved, gone, thrown away. */
    mprotect(region, 4 * PAGE, PROT_NONE);
    mprotect(region + 4 * WORDS, 4 * PAGE, PROT_READ);
    mprotect(region + 8 * WORDS, 4 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    ((volatile uint8_t *)region)[8 * PAGE] = 0xc3; /* ret */
    ((void (*)(void))(uintptr_t)(region + 8 * WORDS))();
    munmap(region + 12 * WORDS, 4 * PAGE);
    madvise(region + 16 * WORDS, 4 * PAGE, MADV_DONTNEED);
    fill(region + 16 * WORDS, 2 * WORDS, GUEST_CANARY);
    uint64_t *moved = mremap(region + 20 * WORDS, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                             (char *)far + 16 * PAGE);
    if (moved != MAP_FAILED)
        fill(moved, 4 * WORDS, GUEST_CANARY);
    char *end = sbrk(32 * PAGE);
    fill((uint64_t *)(void *)end, 32 * WORDS, GUEST_CANARY);
}

/* Rights come and go, and nothing else happens. */
static void
flip_rights(void)
{
    mprotect(region + 8 * WORDS, 4 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    ((volatile uint8_t *)region)[8 * PAGE] = 0xc3; /* ret */
    ((void (*)(void))(uintptr_t)(region + 8 * WORDS))();
    mprotect(region + 4 * WORDS, PAGE, PROT_READ);
}

/* The names, the descriptors and what is in them. */
static void
soil_files(void)
{
    uint64_t canary = GUEST_CANARY;
    char name[] = "/tmp/canary-file";
    mkdir("/tmp/canary-folder", 0755);
    int fd = open(name, O_RDWR | O_CREAT, 0600);
    for (int i = 0; i < 1000; i++) {
        if (write(fd, &canary, sizeof canary) != sizeof canary)
            _exit(90);
    }
    dup2(fd, 20);
    int ends[2];
    if (pipe(ends) < 0 || write(ends[1], &canary, sizeof canary) != sizeof canary)
        _exit(91);
    eventfd(7, 0);
    close(2);
    /* A page that the host alone writes to. */
    lseek(fd, 0, SEEK_SET);
    if (read(fd, table + 700 * WORDS, PAGE) != PAGE)
        _exit(95);
    if (chdir("/tmp/canary-folder") < 0)
        _exit(92);
    umask(0);
}

static void
soil_signals(void)
{
    static char stack[8 * PAGE];
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigset_t set;
    sigaltstack(&alternate, NULL);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    struct itimerval soon = {.it_value.tv_usec = 1000};
    setitimer(ITIMER_REAL, &soon, NULL);
    timer_t timer;
    timer_create(CLOCK_MONOTONIC, NULL, &timer);
    struct rlimit limit = {.rlim_cur = 7, .rlim_max = 9};
    setrlimit(RLIMIT_NOFILE, &limit);
    setpriority(PRIO_PROCESS, 0, 5);
    setenv("CANARY", "canary", 1);
}

__attribute__((noinline)) static void
soil_stack(void)
{
    uint64_t below[100 * WORDS];
    fill(below, 100 * WORDS, GUEST_CANARY);
    __asm__ __volatile__("" : : "r"(below) : "memory");
}

/* Whether the processor, and whoever is below, has AVX-512 in use. */
static int
has_avx512(void)
{
    return __builtin_cpu_supports("avx512f");
}

__attribute__((target("avx512f"))) static void
soil_avx512(void)
{
    uint64_t canary = GUEST_CANARY;
    __asm__ __volatile__("vpbroadcastq %0, %%zmm31\n\tvpbroadcastq %0, %%zmm16\n\t"
                         "vpbroadcastq %0, %%zmm3\n\tkmovw %k0, %%k3"
                         :
                         : "r"(canary)
                         : "memory");
}

static void
soil_vectors(void)
{
    uint64_t canary = GUEST_CANARY;
    uint32_t mxcsr = 0x7f80;
    uint16_t control = 0x27f;
    __asm__ __volatile__("movq %0, %%xmm7\n\tmovq %0, %%xmm15\n\tldmxcsr %1\n\tfldcw %2\n\t"
                         "fldpi\n\tfldl2e"
                         :
                         : "r"(canary), "m"(mxcsr), "m"(control)
                         : "memory");
    if (__builtin_cpu_supports("avx"))
        __asm__ __volatile__("vmovq %0, %%xmm9\n\tvinsertf128 $1, %%xmm9, %%ymm9, %%ymm9"
                             :
                             : "r"(canary)
                             : "memory");
    if (has_avx512())
        soil_avx512();
}

/* Registers that no compiler lets go of: the bases too, so that nothing of the C library works any
 * more. It ends as the argument says. */
static _Noreturn void
soil_registers(uint64_t how)
{
    uint64_t canary = GUEST_CANARY, base = GUEST_CANARY & UINT64_C(0x7fffffff000);
    syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, base);
    register uint64_t end __asm__("r15") = how;
    __asm__ __volatile__("mov %%ax, %%ds\n\tmov %%ax, %%es\n\t"
                         "mov %2, %%rsi\n\tmov $158, %%eax\n\tmov $0x1002, %%edi\n\tsyscall\n\t"
                         "mov %1, %%rbx\n\tmov %%rbx, %%rbp\n\tmov %%rbx, %%r8\n\t"
                         "mov %%rbx, %%r9\n\tmov %%rbx, %%r10\n\tmov %%rbx, %%r12\n\t"
                         "mov %%rbx, %%r13\n\tmov %%rbx, %%r14\n\t"
                         "std\n\t"
                         "cmp $1, %%r15\n\tje 1f\n\t"
                         "cmp $2, %%r15\n\tje 2f\n\t"
                         "cmp $3, %%r15\n\tje 3f\n\t"
                         "mov $231, %%eax\n\tmov $33, %%edi\n\tsyscall\n"
                         "1:\tmovb $0, 16\n"
                         "2:\tpause\n\tjmp 2b\n"
                         "3:\tud2\n"
                         :
                         : "a"(0), "b"(canary), "d"(base), "r"(end)
                         : "memory", "rsi", "rdi", "rcx", "r8", "r9", "r10", "r12", "r13", "r14");
    __builtin_unreachable();
}

enum { BY_EXIT, BY_FAULT, BY_SPINNING, BY_ILLEGAL };

static void
soil_all(void)
{
    touch_table(300);
    fill(heap, 64 * WORDS, GUEST_CANARY);
    fill(region, 64 * WORDS, GUEST_CANARY);
    soil_stack();
    soil_mappings();
    soil_files();
    soil_signals();
    soil_vectors();
}

/* All memory that there is. */
static void
exhaust(void)
{
    for (;;) {
        uint64_t *more = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (more == MAP_FAILED)
            more = (uint64_t *)(void *)table;
        fill(more, (1 << 20) / 8, GUEST_CANARY);
    }
}

/* Execute this program again, to its end. */
static void
execute(void)
{
    char *const arguments[] = {(char *)"again", (char *)"exit", NULL};
    char *const environment[] = {(char *)"CANARY=canary", NULL};
    execve("/proc/self/exe", arguments, environment);
    _exit(93);
}

/* A few bytes of the start that are not the same in two processes. */
static void
tell_random(void)
{
    uint64_t bytes[2];
    memcpy(bytes, (const void *)(uintptr_t)getauxval(AT_RANDOM), sizeof bytes);
    printf("%016llx%016llx\n", (unsigned long long)bytes[0], (unsigned long long)bytes[1]);
}

static void
tell_file(const char *path)
{
    char text[4096];
    int fd = open(path, O_RDONLY);
    for (ssize_t n; fd >= 0 && (n = read(fd, text, sizeof text)) > 0;)
        fwrite(text, 1, (size_t)n, stdout);
    close(fd);
}

/* All of the process that it can ask for, in words. */
static void
tell_all(void)
{
    struct sigaction action = {0};
    struct rlimit limit = {0};
    struct itimerval timer = {0};
    stack_t alternate = {0};
    sigset_t blocked, pending;
    char folder[256] = "?";
    tell_file("/proc/self/maps");
    sigemptyset(&blocked);
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    sigpending(&pending);
    sigaction(SIGUSR1, NULL, &action);
    sigaltstack(NULL, &alternate);
    getrlimit(RLIMIT_NOFILE, &limit);
    getitimer(ITIMER_REAL, &timer);
    mode_t mask = umask(0);
    umask(mask);
    printf("%d %d %d %p\n", sigismember(&blocked, SIGUSR1), sigismember(&pending, SIGUSR1),
           action.sa_handler == SIG_DFL, alternate.ss_sp);
    printf("%llu %ld %d %o %s\n", (unsigned long long)limit.rlim_cur, timer.it_value.tv_usec,
           getpriority(PRIO_PROCESS, 0), mask, getcwd(folder, sizeof folder));
    printf("%d %d %d\n", access("/tmp/canary-file", F_OK), fcntl(20, F_GETFD), fcntl(2, F_GETFD));
    printf("%s %p %llu\n", getenv("CANARY") == NULL ? "-" : "canary", sbrk(0),
           (unsigned long long)check_table());
    printf("%llu %llu %llu\n", (unsigned long long)heap[5], (unsigned long long)region[5],
           (unsigned long long)region[40 * WORDS]);
}

/* Many short-lived mappings, so that tables come and go. */
static void
churn(uint64_t seed)
{
    for (uint64_t i = 0; i < 24; i++) {
        uint64_t at = 0x20000000000 + ((seed * 7919 + i * 104729) % 4096 << 21);
        uint64_t *page = mmap((void *)(uintptr_t)at, 2 * PAGE, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (page[0] != 0 || page[WORDS] != 0)
            _exit(94);
        fill(page, 2 * WORDS, GUEST_CANARY);
    }
}

static volatile sig_atomic_t alarms;

static void
count_alarm(int signal)
{
    (void)signal;
    alarms++;
}

/* A timer, and an open file that stands in its midst. */
static void
prepare(uint64_t microseconds)
{
    struct sigaction action = {.sa_handler = count_alarm};
    struct itimerval timer = {.it_value.tv_sec = (time_t)(microseconds / 1000000),
                              .it_value.tv_usec = (suseconds_t)(microseconds % 1000000)};
    int fd = open("/tmp/text", O_RDWR | O_CREAT, 0600);
    if (write(fd, "one two three", 13) != 13 || lseek(fd, 4, SEEK_SET) != 4 || dup2(fd, 30) != 30)
        _exit(96);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* A file of the host, the first bytes of which were read. */
static uint64_t
open_data(void)
{
    char text[4];
    int fd = open("/data/file", O_RDONLY);
    return fd >= 0 && dup2(fd, 31) == 31 && read(31, text, 4) == 4 ? 4 : 0;
}

static uint64_t
read_data(void)
{
    char text[4] = "";
    return read(31, text, 3) == 3 && strcmp(text, "two") == 0;
}

/* Wait for the timer, and read on. */
static uint64_t
await(void)
{
    char text[4] = "";
    while (alarms == 0)
        pause();
    return read(30, text, 3) == 3 && strcmp(text, "two") == 0 ? (uint64_t)alarms : 0;
}

static uint64_t
read_clock(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t
read_uptime(void)
{
    struct sysinfo info;
    return sysinfo(&info) == 0 ? (uint64_t)info.uptime : 0;
}

/* Wait for a time of the clock, which a futex can wait for by the monotonic one alone. */
static long
wait_until(int way, clockid_t clock, const struct timespec *end)
{
    static uint32_t word;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    struct itimerspec expiry = {.it_value = *end};
    sigset_t set;
    timer_t timer;
    if (way == 0)
        return clock_nanosleep(clock, TIMER_ABSTIME, end, NULL);
    if (way == 1)
        return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, end, NULL, FUTEX_BITSET_MATCH_ANY) ==
                           -1 &&
                       errno == ETIMEDOUT
                   ? 0
                   : -1;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (timer_create(clock, &event, &timer) < 0 ||
        timer_settime(timer, TIMER_ABSTIME, &expiry, NULL) < 0)
        return -1;
    int got = sigwaitinfo(&set, NULL);
    timer_delete(timer);
    return got == SIGUSR2 ? 0 : -1;
}

/* Waits by each clock and in each way for a time that lies ahead. How many did not end there, or
 * much later. */
static uint64_t
wait_by_clocks(uint64_t ahead)
{
    static const struct {
        int way;
        clockid_t clock;
    } waits[] = {{0, CLOCK_MONOTONIC},
                 {0, CLOCK_BOOTTIME},
                 {1, CLOCK_MONOTONIC},
                 {2, CLOCK_MONOTONIC},
                 {2, CLOCK_BOOTTIME}};
    uint64_t wrong = 0;
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        uint64_t end = read_clock(waits[i].clock) + ahead;
        struct timespec time = {(time_t)(end / 1000000000u), (long)(end % 1000000000u)};
        long result = wait_until(waits[i].way, waits[i].clock, &time);
        uint64_t now = read_clock(waits[i].clock);
        wrong += result != 0 || now < end || now > end + 20000000000u;
    }
    return wrong;
}

static void
serve(void)
{
    if (is("touch"))
        touch_table(shared.argument);
    else if (is("check"))
        shared.result = check_table();
    else if (is("soil"))
        soil_all();
    else if (is("soil-end"))
        soil_all(), soil_registers(shared.argument);
    else if (is("peek"))
        shared.result = *(volatile uint64_t *)(uintptr_t)shared.argument;
    else if (is("poke"))
        *(volatile uint64_t *)(uintptr_t)shared.argument = GUEST_CANARY;
    else if (is("jump"))
        ((void (*)(void))(uintptr_t)shared.argument)();
    else if (is("exit"))
        _exit((int)shared.argument);
    else if (is("exhaust"))
        exhaust();
    else if (is("exhaust-slowly"))
        for (;;)
            churn(shared.argument), munmap(region, 64 * PAGE);
    else if (is("execute"))
        execute();
    else if (is("random"))
        tell_random();
    else if (is("tell"))
        tell_all();
    else if (is("churn"))
        churn(shared.argument);
    else if (is("files"))
        soil_files();
    else if (is("split"))
        soil_mappings();
    else if (is("flip"))
        flip_rights();
    else if (is("prepare"))
        prepare(shared.argument);
    else if (is("await"))
        shared.result = await();
    else if (is("disarm"))
        setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    else if (is("open-data"))
        shared.result = open_data();
    else if (is("read-data"))
        shared.result = read_data();
    else if (is("clock"))
        shared.result = read_clock((clockid_t)shared.argument);
    else if (is("uptime"))
        shared.result = read_uptime();
    else if (is("wait-by-clocks"))
        shared.result = wait_by_clocks(shared.argument);
    else if (is("ports"))
        __asm__ __volatile__("rep outsb" : : "d"(0xe0), "S"(table), "c"(1u << 30) : "memory");
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "exit") == 0)
        return 5;
    initialise();
    for (;;) {
        memset(shared.command, 0, sizeof shared.command);
        if (vmkit_guest_call(VMKIT_GUEST_NR_READY, &shared, 0, NULL, 0) != 0)
            return 99;
        if (shared.command[0] == 0) {
            ssize_t n = read(0, shared.command, sizeof shared.command - 1);
            shared.command[n < 0 ? 0 : n] = 0;
        }
        serve();
    }
}
