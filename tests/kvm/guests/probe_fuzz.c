/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls at random, one after the other, with arguments that are mostly plausible: what one
 * leaves behind, an odd file, mapping, timer or signal mask, is what the next one finds. The same
 * seed gives the same calls.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
#define AREA_PAGES 64
#define AREA_SIZE (AREA_PAGES * PAGE)

/* Arguments by letter: f descriptor, p path, b buffer, n its size, o offset, i small number, F
 * flags, v list of buffers, c its length, t time, s signal, a address of a mapping, l its length, r
 * rights, m kind of mapping, S signal set size, x anything. */
struct call {
    short number;
    const char *arguments;
};

static const struct call calls[] = {
    {SYS_read, "fbn"},
    {SYS_write, "fbn"},
    {SYS_open, "pFi"},
    {SYS_close, "f"},
    {SYS_stat, "pb"},
    {SYS_fstat, "fb"},
    {SYS_lstat, "pb"},
    {SYS_poll, "bci"},
    {SYS_lseek, "foi"},
    {SYS_mmap, "alrmfo"},
    {SYS_mprotect, "alr"},
    {SYS_munmap, "al"},
    {SYS_brk, "x"},
    {SYS_rt_sigaction, "sbbS"},
    {SYS_rt_sigprocmask, "ibbS"},
    {SYS_ioctl, "fxb"},
    {SYS_pread64, "fbno"},
    {SYS_pwrite64, "fbno"},
    {SYS_readv, "fvc"},
    {SYS_writev, "fvc"},
    {SYS_access, "pi"},
    {SYS_pipe, "b"},
    {SYS_select, "ibbbt"},
    {SYS_mremap, "allma"},
    {SYS_msync, "ali"},
    {SYS_mincore, "alb"},
    {SYS_madvise, "ali"},
    {SYS_dup, "f"},
    {SYS_dup2, "ff"},
    {SYS_nanosleep, "tb"},
    {SYS_getitimer, "ib"},
    {SYS_alarm, "i"},
    {SYS_setitimer, "itb"},
    {SYS_sendfile, "ffbn"},
    {SYS_socket, "iii"},
    {SYS_clone, "xbbbx"},
    {SYS_execve, "pvv"},
    {SYS_uname, "b"},
    {SYS_fcntl, "fib"},
    {SYS_flock, "fi"},
    {SYS_fsync, "f"},
    {SYS_truncate, "pn"},
    {SYS_ftruncate, "fn"},
    {SYS_getdents, "fbn"},
    {SYS_getcwd, "bn"},
    {SYS_chdir, "p"},
    {SYS_fchdir, "f"},
    {SYS_rename, "pp"},
    {SYS_mkdir, "pi"},
    {SYS_rmdir, "p"},
    {SYS_creat, "pi"},
    {SYS_link, "pp"},
    {SYS_unlink, "p"},
    {SYS_symlink, "pp"},
    {SYS_readlink, "pbn"},
    {SYS_chmod, "pi"},
    {SYS_fchmod, "fi"},
    {SYS_umask, "i"},
    {SYS_getrlimit, "ib"},
    {SYS_getrusage, "ib"},
    {SYS_sysinfo, "b"},
    {SYS_times, "b"},
    {SYS_rt_sigpending, "bS"},
    {SYS_rt_sigtimedwait, "bbtS"},
    {SYS_rt_sigqueueinfo, "isb"},
    {SYS_sigaltstack, "bb"},
    {SYS_utime, "pb"},
    {SYS_mknod, "pii"},
    {SYS_statfs, "pb"},
    {SYS_fstatfs, "fb"},
    {SYS_prctl, "ixxxx"},
    {SYS_arch_prctl, "ib"},
    {SYS_setrlimit, "ib"},
    {SYS_readahead, "fon"},
    {SYS_tkill, "is"},
    {SYS_time, "b"},
    {SYS_futex, "biitbi"},
    {SYS_epoll_create, "i"},
    {SYS_getdents64, "fbn"},
    {SYS_fadvise64, "foni"},
    {SYS_timer_create, "ibb"},
    {SYS_timer_settime, "iitb"},
    {SYS_timer_gettime, "ib"},
    {SYS_timer_getoverrun, "i"},
    {SYS_timer_delete, "i"},
    {SYS_clock_gettime, "ib"},
    {SYS_clock_nanosleep, "iitb"},
    {SYS_epoll_wait, "fbii"},
    {SYS_epoll_ctl, "fifb"},
    {SYS_tgkill, "iis"},
    {SYS_utimes, "pt"},
    {SYS_waitid, "iibib"},
    {SYS_openat, "fpFi"},
    {SYS_mkdirat, "fpi"},
    {SYS_newfstatat, "fpbF"},
    {SYS_unlinkat, "fpF"},
    {SYS_renameat2, "fpfpi"},
    {SYS_linkat, "fpfpF"},
    {SYS_symlinkat, "pfp"},
    {SYS_readlinkat, "fpbn"},
    {SYS_fchmodat, "fpi"},
    {SYS_faccessat2, "fpiF"},
    {SYS_pselect6, "ibbbtb"},
    {SYS_ppoll, "bctbS"},
    {SYS_set_robust_list, "bn"},
    {SYS_splice, "fbfbni"},
    {SYS_sync_file_range, "foni"},
    {SYS_utimensat, "fptF"},
    {SYS_epoll_pwait, "fbiibS"},
    {SYS_eventfd2, "iF"},
    {SYS_fallocate, "fion"},
    {SYS_epoll_create1, "F"},
    {SYS_dup3, "ffF"},
    {SYS_pipe2, "bF"},
    {SYS_preadv, "fvcoo"},
    {SYS_pwritev, "fvcoo"},
    {SYS_prlimit64, "iibb"},
    {SYS_renameat, "fpfp"},
    {SYS_getrandom, "bni"},
    {SYS_memfd_create, "pi"},
    {SYS_execveat, "fpvvF"},
    {SYS_copy_file_range, "fbfbni"},
    {SYS_preadv2, "fvcooi"},
    {SYS_pwritev2, "fvcooi"},
    {SYS_statx, "fpFib"},
    {SYS_close_range, "ffi"},
    {SYS_openat2, "fpbn"},
    {SYS_sched_getaffinity, "inb"},
    {SYS_capget, "bb"},
    {SYS_membarrier, "iii"},
    {SYS_clock_adjtime, "ib"},
    {SYS_setxattr, "ppbni"},
    {SYS_listxattr, "pbn"},
};

static const char *const paths[] = {
    "",
    "/",
    ".",
    "..",
    "/tmp",
    "/tmp/a",
    "/tmp/b",
    "/tmp/folder",
    "/tmp/folder/a",
    "/tmp/link",
    "/tmp/loop",
    "/tmp/folder/../../tmp/a",
    "/tmp/a/",
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/urandom",
    "/dev/tty",
    "/dev/stdin",
    "/dev/fd/3",
    "/proc/self/fd/1",
    "/proc/self/fd/4",
    "/proc/self/maps",
    "/proc/self/status",
    "/proc/self/root/tmp/a",
    "/proc/self/exe",
    "/proc/self/cwd",
    "/proc/self/mem",
    "/proc/1",
    "/proc/meminfo",
    "/host",
    "/host/a",
    "/host/folder",
    "/host/folder/b",
    "/host/link",
    "/host/../host/a",
    "/host/new",
};

static uint8_t *area; /* A page that is not there follows it. */
static uint64_t state;
static char long_path[6000];

static uint64_t
pick(uint64_t below)
{
    return probe_random(&state) % below;
}

static uint64_t
pick_address(void)
{
    switch (pick(8)) {
    case 0:
        return (uintptr_t)area + AREA_SIZE - 1 - pick(64);
    case 1:
        return 0;
    case 2:
        return (uintptr_t)area + pick(AREA_SIZE);
    default:
        return (uintptr_t)area + pick(AREA_PAGES) * PAGE + 8 * pick(16);
    }
}

static uint64_t
pick_size(void)
{
    static const uint64_t sizes[] = {0,    1,       7,       16,         128,       4095,
                                     4096, 1 << 13, 1 << 17, UINT32_MAX, INT64_MAX, UINT64_MAX};
    return pick(2) == 0 ? pick(600) : sizes[pick(sizeof sizes / sizeof sizes[0])];
}

static uint64_t
pick_descriptor(void)
{
    switch (pick(10)) {
    case 0:
        return (uint64_t)AT_FDCWD;
    case 1:
        return UINT64_MAX;
    case 2:
        return pick(70);
    default:
        return pick(14);
    }
}

static uint64_t
pick_flags(void)
{
    return pick(3) == 0 ? pick(1 << 23) : UINT64_C(1) << pick(24) | UINT64_C(1) << pick(12);
}

static uint64_t
pick_argument(char kind)
{
    switch (pick(20) == 0 ? 'x' : kind) {
    case 'f':
        return pick_descriptor();
    case 'p':
        return (uintptr_t)(pick(40) == 0 ? long_path : paths[pick(sizeof paths / sizeof paths[0])]);
    case 'b':
    case 'v':
    case 't':
        return pick_address();
    case 'n':
        return pick_size();
    case 'o':
        return pick(3) == 0 ? probe_random(&state) : pick(10000);
    case 'c':
        return pick(20);
    case 'F':
        return pick_flags();
    case 's':
        return pick(66);
    case 'S':
        return 8;
    case 'a':
        return (uintptr_t)area + (pick(3 * AREA_PAGES) - AREA_PAGES) * PAGE;
    case 'l':
        return pick(2 * AREA_PAGES) * PAGE;
    case 'r':
        return pick(8);
    case 'm':
        return pick(2) == 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED : pick(1 << 7);
    case 'i':
        return pick(4) == 0 ? UINT64_C(1) << pick(64) : pick(24);
    default:
        return pick(2) == 0 ? probe_random(&state) : UINT64_C(1) << pick(64);
    }
}

/* What structures in the area hold: buffers with sizes, descriptors with events, times. */
static void
fill_area(void)
{
    for (uint64_t page = 0; page < AREA_PAGES; page++) {
        uint64_t words[32];
        for (int i = 0; i < 32; i += 2) {
            words[i] = pick(2) == 0 ? pick_address() : pick_descriptor() | pick(64) << 32;
            words[i + 1] = pick(3) == 0 ? pick_size() : pick(5000);
        }
        memcpy(area + page * PAGE, words, sizeof words);
    }
}

static sigjmp_buf lost;

/* The area, or a part of it, is gone, or may not be used that way. */
static void
come_back(int number)
{
    siglongjmp(lost, 1);
}

static void
note(int number)
{
}

/* Make the area anew, whatever became of it. */
static void
make_area(void)
{
    mmap(area, AREA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    munmap(area + AREA_SIZE, PAGE);
}

/* A timer that ends what waits. */
static void
keep_going(void)
{
    struct itimerval often = {{0, 2000}, {0, 2000}};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = note}, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

/* Things to find. */
static void
prepare(void)
{
    static const int numbers[] = {SIGPIPE, SIGUSR1, SIGXFSZ};
    int ends[2];
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaction(numbers[i], &(struct sigaction){.sa_handler = note}, NULL);
    sigaction(SIGSEGV, &(struct sigaction){.sa_handler = come_back}, NULL);
    sigaction(SIGBUS, &(struct sigaction){.sa_handler = come_back}, NULL);
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[0] = '/';
    mkdir("/tmp/folder", 0755);
    symlink("folder/a", "/tmp/link");
    symlink("loop", "/tmp/loop");
    open("/tmp/a", O_RDWR | O_CREAT, 0644);
    open("/tmp/folder", O_RDONLY | O_DIRECTORY);
    open("/host", O_RDONLY | O_DIRECTORY);
    open("/proc/self/maps", O_RDONLY);
    open("/host/a", O_RDWR | O_CREAT, 0644);
    pipe2(ends, O_NONBLOCK);
    epoll_create1(0);
}

/* `fuzz SEED COUNT` */
static int
fuzz(int argc, char **argv)
{
    long count = strtol(argv[3], NULL, 0);
    state = strtoull(argv[2], NULL, 0) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    area = mmap(NULL, AREA_SIZE + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    make_area();
    prepare();
    volatile long i = 0;
    if (sigsetjmp(lost, 1) != 0)
        make_area();
    for (; i < count; i++) {
        const struct call *call = &calls[pick(sizeof calls / sizeof calls[0])];
        uint64_t a[6] = {0};
        if (i % 32 == 0)
            fill_area();
        if (pick(8) != 0)
            keep_going();
        for (int k = 0; k < 6; k++)
            a[k] = pick_argument(k < (int)strlen(call->arguments) ? call->arguments[k] : 'i');
        syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
    return 0;
}

const struct probe probe_fuzz[] = {{"fuzz", fuzz}, {NULL, NULL}};
