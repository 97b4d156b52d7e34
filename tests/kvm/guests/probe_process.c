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
    {"calls-some", some_calls},
    {"touch", touch},
    {"fault", fault_at},
    {"raise", raise_signal},
    {"burn", burn},
    {"limit-cpu", limit_cpu},
    {"limit-files", limit_files},
    {"recurse", recurse_without_end},
    {NULL, NULL},
};
