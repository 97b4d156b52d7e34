/* SPDX-License-Identifier: Apache-2.0 */
/* What a test of the API needs a program to do. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int
leave(int argc, char **argv)
{
    return (int)strtol(argv[2], NULL, 0);
}

static _Noreturn int
spin(int argc, char **argv)
{
    for (;;)
        __asm__ volatile("pause");
}

static _Noreturn int
sleep_long(int argc, char **argv)
{
    for (;;)
        nanosleep(&(struct timespec){.tv_sec = 1000}, NULL);
}

static int
read_pipe(int argc, char **argv)
{
    int ends[2];
    char byte;
    CHECK(pipe(ends) == 0);
    return (int)read(ends[0], &byte, 1);
}

/* Copies its input to its output. */
static int
copy(int argc, char **argv)
{
    char buffer[8192];
    ssize_t n;
    while ((n = read(STDIN_FILENO, buffer, sizeof buffer)) > 0)
        CHECK(write(STDOUT_FILENO, buffer, (size_t)n) == n);
    return n < 0 ? errno : 0;
}

static int
show_strings(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        printf("arg %d [%s]\n", i, argv[i]);
    CHECK(argv[argc] == NULL);
    for (char **entry = environ; *entry != NULL; entry++)
        printf("env [%s]\n", *entry);
    return 0;
}

static int
auxiliary(int argc, char **argv)
{
    const uint64_t *random = (const uint64_t *)getauxval(AT_RANDOM);
    CHECK(getauxval(AT_PAGESZ) == 4096);
    CHECK(getauxval(AT_CLKTCK) == 100);
    CHECK(getauxval(AT_ENTRY) != 0 && getauxval(AT_PHDR) != 0);
    CHECK(getauxval(AT_PHNUM) > 2 && getauxval(AT_PHENT) == 56);
    CHECK(getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid());
    CHECK(getauxval(AT_GID) == getgid() && getauxval(AT_EGID) == getegid());
    CHECK(getauxval(AT_SECURE) == 0 && getauxval(AT_BASE) == 0);
    CHECK(random != NULL && (random[0] != 0 || random[1] != 0));
    CHECK(strcmp((const char *)getauxval(AT_PLATFORM), "x86_64") == 0);
    printf("name %s uid %u gid %u aligned %d\n", (const char *)getauxval(AT_EXECFN), getuid(),
           getgid(), (int)((uintptr_t)argv & 7));
    return 0;
}

static int
write_forever(int argc, char **argv)
{
    static char line[4096];
    memset(line, 'y', sizeof line);
    int fd = argc > 2 ? STDERR_FILENO : STDOUT_FILENO;
    while (write(fd, line, sizeof line) > 0)
        ;
    return errno;
}

static int
open_forever(int argc, char **argv)
{
    int count = 0, fd;
    while ((fd = dup(0)) >= 0)
        count++;
    printf("%d %s\n", count, errno == EMFILE ? "EMFILE" : strerror(errno));
    return 0;
}

/* As many arguments as fit by their bytes, but not with the pointers to them. */
static int
exec_pointers(int argc, char **argv)
{
    static char *arguments[400001];
    for (int i = 0; i < 400000; i++)
        arguments[i] = "a";
    execve("/proc/self/exe", arguments, (char *[]){NULL});
    printf("%s\n", strerror(errno));
    return errno != E2BIG;
}

static int
fork_storm(int argc, char **argv)
{
    int refused = 0;
    for (int i = 0; i < 1000; i++) {
        errno = 0;
        if (fork() == 0)
            _exit(0);
        else
            refused += errno == EAGAIN || errno == ENOSYS;
    }
    printf("%d\n", refused);
    return 0;
}

static int
fill_tmp(int argc, char **argv)
{
    static char block[1 << 16];
    int fd = open("/tmp/full", O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0);
    memset(block, 1, sizeof block);
    while (write(fd, block, sizeof block) > 0)
        ;
    printf("%s\n", errno == ENOSPC ? "ENOSPC" : strerror(errno));
    return 0;
}

/* In and out of the VM without end: by system calls, or by faults. */
static _Noreturn int
cross(int argc, char **argv)
{
    const size_t size = 1 << 20;
    while (strcmp(argv[2], "calls") == 0)
        syscall(SYS_getppid);
    for (;;) {
        volatile char *at =
            mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t i = 0; i < size; i += 4096)
            at[i] = 1;
        munmap((void *)at, size);
    }
}

static int
some_calls(int argc, char **argv)
{
    for (int i = 0; i < 7; i++)
        syscall(SYS_getppid);
    for (int i = 0; i < 3; i++)
        syscall(499);
    for (int i = 0; i < 2; i++)
        syscall(100000 + i);
    return 0;
}

static int
touch(int argc, char **argv)
{
    uint64_t size = strtoull(argv[2], NULL, 0);
    uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    for (uint64_t i = 0; i < size; i += 4096)
        at[i] = 1;
    return 0;
}

static int
fault_at(int argc, char **argv)
{
    *(volatile uint8_t *)strtoull(argv[2], NULL, 0) = 1;
    return 0;
}

static int
raise_signal(int argc, char **argv)
{
    raise((int)strtol(argv[2], NULL, 0));
    return 0;
}

static int
burn(int argc, char **argv)
{
    struct timespec start, now;
    long wanted = strtol(argv[2], NULL, 0);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < wanted);
    return 0;
}

static int
recurse_without_end(int argc, char **argv)
{
    /* Where the compiler cannot see that it never ends. */
    static int (*volatile again)(int, char **) = recurse_without_end;
    volatile char here[4096];
    here[0] = (char)argc;
    return again(argc + 1, argv) + here[0];
}

static void
on_xcpu(int signal, siginfo_t *info, void *context)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_CPU, &limit) == 0);
    printf("signal %d code %d, %d of %d s\n", signal, info->si_code, (int)limit.rlim_cur,
           (int)limit.rlim_max);
    fflush(stdout);
}

/* `limit-cpu HANDLE`: spin beyond a limit of CPU time, with a handler of SIGXCPU or without. */
static int
limit_cpu(int argc, char **argv)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = on_xcpu;
    if (strcmp(argv[2], "handle") == 0)
        sigaction(SIGXCPU, &action, NULL);
    CHECK(setrlimit(RLIMIT_CPU, &(struct rlimit){0, 1}) == 0);
    return spin(argc, argv);
}

#define TELL(call)                                   \
    do {                                             \
        errno = 0;                                   \
        int result = (call);                         \
        printf("%s: %d %d\n", #call, result, errno); \
    } while (0)

/* What the calls that make a descriptor say when the limit is reached. */
static int
limit_files(int argc, char **argv)
{
    int ends[2];
    for (int fd = 3; fd < 10; fd++)
        close(fd);
    CHECK(dup2(1, 9) == 9);
    CHECK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){5, 8}) == 0);
    TELL(dup(1));
    TELL(open("/dev/null", O_RDONLY));
    TELL(dup(1));
    TELL(open("/dev/null", O_RDONLY));
    TELL(pipe(ends));
    TELL(fcntl(1, F_DUPFD, 0));
    TELL(fcntl(1, F_DUPFD, 5));
    TELL(fcntl(1, F_DUPFD_CLOEXEC, 9));
    TELL(dup2(1, 4));
    TELL(dup2(1, 5));
    TELL(dup2(9, 9));
    TELL(dup2(77, 77));
    TELL(dup2(77, 9));
    TELL(dup3(1, 9, 0));
    TELL(dup3(9, 9, 0));
    TELL(fcntl(9, F_GETFD));
    TELL(close(4));
    TELL(pipe(ends));
    TELL(setrlimit(RLIMIT_NOFILE, &(struct rlimit){8, 8}));
    TELL(pipe(ends));
    TELL(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, 8}));
    TELL(dup(1));
    TELL(dup2(1, 0));
    TELL(fcntl(1, F_DUPFD, 0));
    TELL(setrlimit(RLIMIT_NOFILE, &(struct rlimit){9, 8}));
    return 0;
}

/* What comes of a siginfo of 128 bytes, all of them set: which bytes the one who waits gets. */
static void
queue_and_take(int signal, int code, unsigned char *info)
{
    unsigned char got[128];
    sigset_t set;
    memset(info, 0x55, 128);
    memcpy(info + 8, &code, sizeof code);
    printf("signal %d code %d:", signal, code);
    if (syscall(SYS_rt_sigqueueinfo, getpid(), signal, info) < 0) {
        printf(" %d\n", errno);
        return;
    }
    memset(got, 0xee, sizeof got);
    sigemptyset(&set);
    sigaddset(&set, signal);
    CHECK(syscall(SYS_rt_sigtimedwait, &set, got, NULL, 8) == signal);
    for (int i = 0; i < 128; i += 4)
        printf(" %02x%02x%02x%02x", got[i + 3], got[i + 2], got[i + 1], got[i]);
    printf("\n");
}

static unsigned char handled[128];

static void
keep_info(int signal, siginfo_t *info, void *context)
{
    memcpy(handled, info, sizeof handled);
}

static int
queue_info(int argc, char **argv)
{
    static const int signals[] = {SIGUSR1, SIGSEGV, SIGCHLD, SIGSYS, 40};
    static const int codes[] = {0, 1, 2, 6, 7, 50, 0x80, 0x81, -1, -2, -6, -7, -8, -60, -61, -1000};
    unsigned char whole[128];
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        for (size_t j = 0; j < sizeof codes / sizeof codes[0]; j++)
            queue_and_take(signals[i], codes[j], whole);

    /* Of a layout that is known only what it needs is read. */
    unsigned char *page =
        mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED && munmap(page + 4096, 4096) == 0);
    const int known = SI_QUEUE, unknown = -1000;
    unsigned char *short_info = page + 4096 - 48;
    memcpy(short_info + 8, &known, sizeof known);
    TELL((int)syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, short_info));
    memcpy(short_info + 8, &unknown, sizeof unknown);
    TELL((int)syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR2, short_info));
    TELL((int)syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR2, short_info + 1));
    memset(whole, 0, sizeof whole);
    memcpy(whole + 8, &unknown, sizeof unknown);
    TELL((int)syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR2, whole));
    whole[127] = 1;
    TELL((int)syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR2, whole));
    TELL((int)syscall(SYS_rt_sigqueueinfo, 1, SIGUSR2, whole));
    TELL((int)syscall(SYS_rt_tgsigqueueinfo, 0, 0, SIGUSR2, whole));
    TELL((int)syscall(SYS_rt_tgsigqueueinfo, 0, 0, SIGUSR2, short_info + 1));
    whole[127] = 0;
    TELL((int)syscall(SYS_rt_tgsigqueueinfo, 0, 0, SIGUSR2, whole));
    TELL((int)syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), 70, whole));

    /* A handler gets the same. */
    action.sa_sigaction = keep_info;
    sigaction(SIGUSR1, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 8) == SIGUSR1);
    memset(whole, 0x55, sizeof whole);
    memcpy(whole + 8, &known, sizeof known);
    CHECK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, whole) == 0);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    for (size_t i = 0; i < sizeof handled; i++)
        printf("%02x%s", handled[i], i % 32 == 31 ? "\n" : "");
    return 0;
}

const struct probe probe_process[] = {
    {"exit", leave},
    {"spin", spin},
    {"sleep", sleep_long},
    {"read-pipe", read_pipe},
    {"copy", copy},
    {"strings", show_strings},
    {"auxv", auxiliary},
    {"write", write_forever},
    {"open", open_forever},
    {"exec-pointers", exec_pointers},
    {"fork", fork_storm},
    {"fill-tmp", fill_tmp},
    {"cross", cross},
    {"calls-some", some_calls},
    {"touch", touch},
    {"fault", fault_at},
    {"raise", raise_signal},
    {"burn", burn},
    {"limit-cpu", limit_cpu},
    {"limit-files", limit_files},
    {"queue-info", queue_info},
    {"recurse", recurse_without_end},
    {NULL, NULL},
};
