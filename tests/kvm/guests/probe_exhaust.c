/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that want more time in one call, or more of the host's memory, than they may have. */
#include "probe.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <poll.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define LARGE ((size_t)2 << 20)
#define GIB ((size_t)1 << 30)

static char *
map(void *at, size_t size, int rights, int flags)
{
    char *memory =
        mmap(at, size, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

/* Tell the caller that what comes next is long. */
static void
go(void)
{
    CHECK(write(1, "!", 1) == 1);
}

static void
linger_mincore(void)
{
    char *memory = map(NULL, 64 * GIB, PROT_READ, 0);
    unsigned char *vector = (unsigned char *)map(NULL, 64 * GIB / PAGE, PROT_READ | PROT_WRITE, 0);
    go();
    for (;;)
        mincore(memory, 64 * GIB, vector);
}

static void
linger_sendfile(void)
{
    int from = open("/tmp/sparse", O_RDWR | O_CREAT, 0600), to = open("/dev/null", O_WRONLY);
    CHECK(ftruncate(from, 1 << 30) == 0);
    go();
    for (;;) {
        off_t offset = 0;
        sendfile(to, from, &offset, 1 << 30);
    }
}

static void
linger_fallocate(void)
{
    int fd = open("/tmp/full", O_RDWR | O_CREAT, 0600);
    go();
    for (;;) {
        CHECK(posix_fallocate(fd, 0, 200 << 20) == 0);
        CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 16 << 20) == 0);
    }
}

/* Every second page of the lower half is of other rights; the upper half has as many mappings. */
static void
linger_mappings(void)
{
    const size_t count = 32000;
    char *memory = map(NULL, 2 * count * PAGE, PROT_READ, 0);
    for (size_t i = 0; i < 2 * count; i += 2)
        CHECK(mprotect(memory + i * PAGE, PAGE, PROT_NONE) == 0);
    go();
    mprotect(memory, count * PAGE, PROT_READ);
    for (;;)
        continue;
}

/* Page tables for many regions, and then one mapping over all of them. */
static char *
map_tables(size_t regions)
{
    char *memory = map(NULL, regions * LARGE, PROT_NONE, 0);
    int zero = open("/dev/zero", O_RDONLY);
    for (size_t i = 0; i < regions; i++)
        map(memory + i * LARGE, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED);
    for (size_t i = 0; i < regions; i += 500) {
        struct iovec pieces[500];
        for (size_t j = 0; j < 500; j++)
            pieces[j] = (struct iovec){memory + (i + j) * LARGE, 1};
        CHECK(readv(zero, pieces, 500) == 500);
    }
    return map(memory, regions * LARGE, PROT_READ, MAP_FIXED);
}

static void
linger_protect(void)
{
    const size_t size = 15000 * LARGE;
    char *memory = map_tables(15000);
    go();
    for (;;) {
        mprotect(memory, size, PROT_NONE);
        mprotect(memory, size, PROT_READ);
    }
}

static void
linger_discard(void)
{
    const size_t size = 15000 * LARGE;
    char *memory = map_tables(15000);
    go();
    for (;;)
        madvise(memory, size, MADV_DONTNEED);
}

static void
linger_move(void)
{
    const size_t size = 15000 * LARGE;
    char *memory = map_tables(15000);
    go();
    for (;;)
        memory =
            mremap(memory, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
                   (char *)0x100000000000 + ((uintptr_t)memory ^ 0x10000000000) % 0x20000000000);
}

/* A link at the end of a deep path that goes up and down, and ends at itself. */
static void
linger_path(void)
{
    char target[4000];
    CHECK(chdir("/tmp") == 0);
    for (int i = 0; i < 1500; i++)
        CHECK(mkdir("a", 0700) == 0 && chdir("a") == 0);
    size_t used = 0;
    while (used + 8 < sizeof target) {
        memcpy(target + used, "../a/", 5);
        used += 5;
    }
    strcpy(target + used, "l");
    CHECK(symlink(target, "l") == 0);
    go();
    for (;;)
        access("l", F_OK);
}

static void
linger_execve(void)
{
    const size_t count = 1000000;
    char **arguments =
        (char **)map(NULL, (count + 1) * sizeof *arguments, PROT_READ | PROT_WRITE, 0);
    char *environment[] = {"A=1", (char *)8, NULL};
    for (size_t i = 0; i < count; i++)
        arguments[i] = "";
    go();
    for (;;)
        execve("/proc/self/exe", arguments, environment);
}

static void
linger_maps(void)
{
    char *memory = map(NULL, 60000 * PAGE, PROT_READ, 0);
    for (size_t i = 0; i < 60000; i += 2)
        CHECK(mprotect(memory + i * PAGE, PAGE, PROT_NONE) == 0);
    go();
    for (;;)
        close(open("/proc/self/maps", O_RDONLY));
}

/* Instances of epoll that watch the same files each, until so many watches were refused. */
static int
fill_epolls(int instances, int files, int refusals, struct pollfd *list)
{
    int first = -1, made = 0, refused = 0;
    for (int i = 0; i < files; i++) {
        int fd = eventfd(0, 0);
        CHECK(fd >= 0);
        first = first < 0 ? fd : first;
    }
    for (int i = 0; i < instances; i++) {
        list[i].fd = epoll_create1(0);
        list[i].events = POLLIN;
        CHECK(list[i].fd >= 0);
        for (int j = 0; j < files && refused < refusals; j++) {
            struct epoll_event event = {.events = EPOLLIN};
            bool done = epoll_ctl(list[i].fd, EPOLL_CTL_ADD, first + j, &event) == 0;
            made += done;
            refused += !done;
        }
    }
    return made;
}

static void
linger_poll(void)
{
    /* One poll looks at all of an instance's files as often as it is named. */
    static struct pollfd list[300];
    CHECK(fill_epolls(10, 700, 1, list) == 10 * 700);
    for (int i = 10; i < 300; i++)
        list[i] = list[i % 10];
    go();
    for (;;)
        poll(list, 300, 0);
}

static int
linger(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } ways[] = {
        {"mincore", linger_mincore},     {"sendfile", linger_sendfile},
        {"fallocate", linger_fallocate}, {"mappings", linger_mappings},
        {"protect", linger_protect},     {"discard", linger_discard},
        {"move", linger_move},           {"path", linger_path},
        {"execve", linger_execve},       {"maps", linger_maps},
        {"poll", linger_poll},
    };
    for (size_t i = 0; argc > 2 && i < sizeof ways / sizeof ways[0]; i++) {
        if (strcmp(ways[i].name, argv[2]) == 0)
            ways[i].run();
    }
    return 1;
}

/* `hoard texts`: open files of /proc, each with a long text. */
static int
hoard_texts(void)
{
    char *memory = map(NULL, 40000 * PAGE, PROT_READ, 0);
    for (size_t i = 0; i < 40000; i += 2)
        CHECK(mprotect(memory + i * PAGE, PAGE, PROT_NONE) == 0);
    int count = 0;
    while (open("/proc/self/maps", O_RDONLY) >= 0)
        count++;
    return count;
}

static int
hoard_watches(void)
{
    static struct pollfd list[500];
    return fill_epolls(500, 500, 1000, list);
}

/* Files that are closed and that mappings keep open. */
static int
hoard_mappings(const char *path)
{
    int count = 0;
    for (; count < 2000; count++) {
        int fd = open(path, O_RDONLY);
        if (fd < 0 || mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
            break;
        close(fd);
    }
    return count;
}

static int
hoard(int argc, char **argv)
{
    CHECK(argc > 2);
    int count = strcmp(argv[2], "texts") == 0     ? hoard_texts()
                : strcmp(argv[2], "watches") == 0 ? hoard_watches()
                                                  : hoard_mappings(argv[3]);
    go();
    printf("%d\n", count);
    return 0;
}

const struct probe probe_exhaust[] = {{"linger", linger}, {"hoard", hoard}, {NULL, NULL}};
