/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tour of the C library, for a static program: `libc AREA` prints what that area gives. A native
 * run and one in a sandbox print the same.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

/* What a call returned, and why it failed. */
static void
tell(const char *what, long result)
{
    printf("%s %ld%s%s\n", what, result, result < 0 ? " " : "", result < 0 ? strerror(errno) : "");
}

static uint32_t
next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static int
area_stdio(void)
{
    char line[64], left[16];
    int number;
    FILE *file = tmpfile();

    if (file == NULL)
        return perror("tmpfile"), 1;
    for (int i = 0; i < 1000; i++)
        fprintf(file, "line %d %x %e\n", i, (unsigned)i * 7919u, i / 3.0);
    printf("length %ld\n", ftell(file));
    fseek(file, 5000, SEEK_SET);
    printf("at 5000: %s", fgets(line, sizeof line, file));
    rewind(file);
    for (int i = 0; fscanf(file, "%15s %d %*x %*f", left, &number) == 2; i++) {
        if (i % 250 == 0)
            printf("%s=%d\n", left, number);
    }
    printf("eof %d error %d\n", feof(file), ferror(file));
    setvbuf(file, NULL, _IONBF, 0);
    fseek(file, 0, SEEK_SET);
    fputs("LINE", file);
    rewind(file);
    printf("%s", fgets(line, sizeof line, file));
    fclose(file);
    file = fopen("/nowhere/at/all", "r");
    printf("open: %s\n", file == NULL ? strerror(errno) : "worked");
    printf("%5.2f|%-8s|%08d|%+d|%#o|%g|%a|%zu|%c|%%\n", 3.14159, "left", 42, 7, 8, 1e-10, 0.5,
           (size_t)123, 'x');
    fprintf(stderr, "to stderr\n");
    while (fgets(line, sizeof line, stdin) != NULL)
        printf("input: %s", line);
    return 0;
}

static int
area_malloc(void)
{
    enum { COUNT = 2000 };
    static unsigned char *blocks[COUNT];
    static size_t sizes[COUNT];
    uint32_t state = 1;
    unsigned long sum = 0;

    for (int round = 0; round < 20000; round++) {
        uint32_t i = next_random(&state) % COUNT;
        size_t size = next_random(&state) % (i % 50 == 0 ? 400000 : 2000);

        for (size_t j = 0; j < sizes[i]; j += 997)
            sum += blocks[i][j];
        blocks[i] = realloc(blocks[i], size + 1);
        if (blocks[i] == NULL)
            return puts("out of memory"), 1;
        memset(blocks[i], (int)(i & 0xff), size + 1);
        sizes[i] = size + 1;
    }
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    printf("sum %lu\n", sum);
    unsigned char *zeros = calloc(1000, 1000);
    for (size_t i = 0; i < 1000000; i++)
        sum += zeros[i];
    free(zeros);
    void *aligned = aligned_alloc(4096, 8192);
    printf("sum %lu aligned %d\n", sum, (int)((uintptr_t)aligned % 4096));
    free(aligned);
    printf("absurd %s\n", malloc(SIZE_MAX / 4) == NULL ? strerror(errno) : "worked");
    return 0;
}

static int
compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static int
area_qsort(void)
{
    enum { COUNT = 200000 };
    static uint32_t numbers[COUNT];
    uint32_t state = 42, key;

    for (int i = 0; i < COUNT; i++)
        numbers[i] = next_random(&state);
    key = numbers[777];
    qsort(numbers, COUNT, sizeof numbers[0], compare_numbers);
    for (int i = 0; i < COUNT; i += 20000)
        printf("%d: %" PRIu32 "\n", i, numbers[i]);
    for (int i = 1; i < COUNT; i++) {
        if (numbers[i - 1] > numbers[i])
            return puts("not sorted"), 1;
    }
    uint32_t *found = bsearch(&key, numbers, COUNT, sizeof numbers[0], compare_numbers);
    printf("found %d\n", found != NULL && *found == key);
    return 0;
}

static int
area_math(void)
{
    double sum = 0;

    for (int i = 1; i <= 50; i++) {
        double x = i / 7.0;
        printf("%.12g %.12g %.12g %.12g %.12g %.12g\n", sin(x), exp(-x), log(x), pow(x, 1.5),
               atan2(x, 2), tgamma(x));
        sum += fma(x, x, cbrt(x)) + hypot(x, 3) + erf(x) + fmod(x, 0.3);
    }
    printf("%.12g %La\n", sum, sqrtl(2));
    feclearexcept(FE_ALL_EXCEPT);
    volatile double zero = 0;
    printf("%f %f", 1 / zero, zero / zero < 0 ? 1.0 : 2.0);
    printf(" exceptions %d\n", fetestexcept(FE_DIVBYZERO) != 0);
    for (int mode = 0; mode < 4; mode++) {
        static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
        fesetround(modes[mode]);
        printf("round %d: %.0f %ld\n", mode, rint(2.5), lrint(-1.5));
    }
    fesetround(FE_TONEAREST);
    /* Whatever the processor's vectors are, they survive system calls. */
    volatile double wide[64];
    for (int i = 0; i < 64; i++)
        wide[i] = sqrt(i);
    for (int i = 0; i < 64; i++) {
        getppid();
        sum += wide[i] * i;
    }
    printf("%.12g\n", sum);
    return 0;
}

static int
area_time(void)
{
    struct timespec first, second, resolution;
    const struct timespec nap = {.tv_nsec = 20000000};
    struct tm parts = {.tm_year = 100, .tm_mon = 1, .tm_mday = 30, .tm_hour = 12};
    char text[64];
    time_t moment = 1700000000;

    clock_gettime(CLOCK_MONOTONIC, &first);
    nanosleep(&nap, NULL);
    clock_gettime(CLOCK_MONOTONIC, &second);
    long passed = (second.tv_sec - first.tv_sec) * 1000000000 + second.tv_nsec - first.tv_nsec;
    printf("slept %d\n", passed >= 20000000 && passed < 2000000000);
    printf("resolution %d\n", clock_getres(CLOCK_REALTIME, &resolution));
    printf("now %d\n", time(NULL) > 1600000000);
    printf("cpu %d\n", clock() >= 0 && clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &first) == 0 &&
                           clock_gettime(CLOCK_THREAD_CPUTIME_ID, &second) == 0);
    printf("mktime %ld\n", (long)mktime(&parts));
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %j %U %a", gmtime(&moment));
    puts(text);
    printf("bad clock: %s\n", clock_gettime(12345, &first) == 0 ? "worked" : strerror(errno));
    struct timeval of_day;
    printf("gettimeofday %d\n", gettimeofday(&of_day, NULL));
    return 0;
}

static int
area_locale(void)
{
    wchar_t wide[16];

    printf("locale %s\n", setlocale(LC_ALL, "") == NULL ? "none" : setlocale(LC_ALL, NULL));
    printf("missing %s\n", setlocale(LC_ALL, "xx_YY.UTF-8") == NULL ? "refused" : "taken");
    printf("utf-8 %s\n", setlocale(LC_CTYPE, "C.UTF-8") == NULL ? "missing" : "there");
    printf("point %s\n", localeconv()->decimal_point);
    printf("letters %d%d%d\n", isalpha('a') != 0, isdigit('5') != 0, toupper('q') == 'Q');
    printf("wide %zu\n", mbstowcs(wide, "abc", 16));
    printf("%ls %d\n", L"wide output", wcscmp(L"a", L"b") < 0);
    return 0;
}

static jmp_buf place;
static sigjmp_buf signal_place;

static void
leap(int depth)
{
    if (depth == 0)
        longjmp(place, 7);
    if (depth > 0)
        leap(depth - 1);
}

static void
leap_from_handler(int number)
{
    siglongjmp(signal_place, number);
}

static int
area_setjmp(void)
{
    int value = setjmp(place);

    if (value == 0)
        leap(100);
    printf("longjmp %d\n", value);
    signal(SIGSEGV, leap_from_handler);
    for (volatile int i = 0; i < 3; i++) {
        value = sigsetjmp(signal_place, 1);
        if (value == 0)
            __asm__ volatile("movl $1, 16" : : : "memory");
        printf("recovered from %d\n", value);
    }
    return 0;
}

static volatile sig_atomic_t seen[65];

static void
count_signal(int number)
{
    seen[number]++;
}

static void
tell_signal(int number, siginfo_t *info, void *context)
{
    seen[number] += info->si_value.sival_int;
}

static int
area_signals(void)
{
    struct sigaction action = {.sa_handler = count_signal}, old;
    const struct itimerval often = {{0, 5000}, {0, 5000}};
    const union sigval value = {.sival_int = 5};
    sigset_t set, pending, before;

    sigaction(SIGUSR1, &action, &old);
    printf("default before %d\n", old.sa_handler == SIG_DFL);
    for (int i = 0; i < 3; i++)
        raise(SIGUSR1);
    printf("usr1 %d\n", (int)seen[SIGUSR1]);

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &before);
    raise(SIGUSR1);
    raise(SIGUSR1);
    sigpending(&pending);
    printf("pending %d seen %d\n", sigismember(&pending, SIGUSR1), (int)seen[SIGUSR1]);
    sigprocmask(SIG_SETMASK, &before, NULL);
    printf("after %d\n", (int)seen[SIGUSR1]);

    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = tell_signal;
    sigaction(SIGRTMIN, &action, NULL);
    printf("queue %d\n", sigqueue(getpid(), SIGRTMIN, value));
    printf("value %d\n", (int)seen[SIGRTMIN]);

    action.sa_flags = 0;
    action.sa_handler = count_signal;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    while (seen[SIGALRM] < 3)
        pause();
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    puts("three alarms");

    signal(SIGPIPE, SIG_IGN);
    int ends[2];
    printf("pipe %d\n", pipe(ends));
    close(ends[0]);
    tell("write", write(ends[1], "x", 1));
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR2);
    int number = 0;
    printf("sigwait %d", sigwait(&set, &number));
    printf(" %d\n", number == SIGUSR2);
    return 0;
}

/* Sizes that most file systems do not allow: an error, and no signal. */
static int
area_large_files(void)
{
    int fd = open("large", O_RDWR | O_CREAT | O_EXCL, 0600);
    tell("write", pwrite(fd, "x", 1, INT64_MAX / 2));
    tell("truncate", truncate("large", INT64_MAX / 2));
    tell("ftruncate", ftruncate(fd, INT64_MAX));
    tell("allocate", fallocate(fd, 0, INT64_MAX / 2, 10));
    close(fd);
    return unlink("large") != 0;
}

static int
area_files(void)
{
    struct stat info;
    char buffer[32] = "";
    struct iovec parts[] = {{"one ", 4}, {"two ", 4}, {"three", 5}};
    int ends[2];

    mkdir("/tmp/vmkit-files", 0755);
    int fd = open("/tmp/vmkit-files/a", O_RDWR | O_CREAT | O_TRUNC, 0640);
    printf("writev %zd\n", writev(fd, parts, 3));
    printf("pread %zd %s\n", pread(fd, buffer, 5, 4), buffer);
    printf("pwrite %zd\n", pwrite(fd, "TWO", 3, 4));
    ftruncate(fd, 20);
    fstat(fd, &info);
    printf("size %ld mode %o\n", (long)info.st_size, info.st_mode);
    lseek(fd, -16, SEEK_END);
    printf("read %zd %.5s\n", read(fd, buffer, 5), buffer);
    char *mapped = mmap(NULL, 20, PROT_READ, MAP_PRIVATE, fd, 0);
    printf("mapped %.13s\n", mapped == MAP_FAILED ? strerror(errno) : mapped);
    int copy = dup(fd);
    printf("dup %d same offset %d\n", copy == fd + 1, lseek(copy, 0, SEEK_CUR) == 9);
    printf("flags %d\n", (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
    close(copy);
    close(fd);
    tell("closed", read(fd, buffer, 1));
    printf("rename %d\n", rename("/tmp/vmkit-files/a", "/tmp/vmkit-files/b"));
    printf("link %d\n", symlink("b", "/tmp/vmkit-files/c"));
    memset(buffer, 0, sizeof buffer);
    printf("readlink %zd %s\n", readlink("/tmp/vmkit-files/c", buffer, 31), buffer);
    tell("rmdir", rmdir("/tmp/vmkit-files"));
    unlink("/tmp/vmkit-files/b");
    unlink("/tmp/vmkit-files/c");
    printf("rmdir %d\n", rmdir("/tmp/vmkit-files"));
    printf("pipe %d\n", pipe(ends));
    struct pollfd ready = {.fd = ends[0], .events = POLLIN};
    printf("poll %d\n", poll(&ready, 1, 10));
    write(ends[1], "x", 1);
    tell("poll", poll(&ready, 1, 10));
    printf("readable %d\n", ready.revents == POLLIN);
    return 0;
}

static int
area_process(void)
{
    struct rlimit limit;
    unsigned char random[16];
    int nonzero = 0;

    printf("pid %d\n", getpid() > 0);
    printf("user %d %d %d %d\n", getuid() == geteuid(), getgid() == getegid(), getuid() < 65536,
           getgid() < 65536);
    printf("limit %d\n", getrlimit(RLIMIT_STACK, &limit));
    printf("random %zd\n", getrandom(random, sizeof random, 0));
    for (int i = 0; i < 16; i++)
        nonzero += random[i] != 0;
    printf("random bytes %d\n", nonzero > 4);
    printf("environment %s\n", getenv("VMKIT_TEST") == NULL ? "none" : getenv("VMKIT_TEST"));
    printf("page %ld\n", sysconf(_SC_PAGESIZE));
    fflush(stdout);
    exit(42);
}

static const struct {
    const char *name;
    int (*run)(void);
} areas[] = {
    {"stdio", area_stdio},     {"malloc", area_malloc},
    {"qsort", area_qsort},     {"math", area_math},
    {"time", area_time},       {"locale", area_locale},
    {"setjmp", area_setjmp},   {"signals", area_signals},
    {"files", area_files},     {"large-files", area_large_files},
    {"process", area_process},
};

int
main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof areas / sizeof areas[0]; i++) {
        if (argc == 2 && strcmp(argv[1], "--list") == 0)
            puts(areas[i].name);
        else if (argc == 2 && strcmp(argv[1], areas[i].name) == 0)
            return areas[i].run();
    }
    return argc == 2 && strcmp(argv[1], "--list") == 0 ? 0 : 2;
}
