/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on files whose results Linux has of its own accord: what it prints is what Linux does. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void
tell(const char *what, long result)
{
    printf("%s %ld %s\n", what, result, result == -1 ? strerror(errno) : "");
}

static int
make_file(const char *text)
{
    int fd = memfd_create("probe", 0);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return fd;
}

/* Through syscall(2), since a C library has its own opinion of sizes. */
static int
sizes(int argc, char **argv)
{
    static const long counts[] = {-1, INT64_MAX, 1L << 62};
    int fd = make_file("hello world"), pair[2];
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED && pipe(pair) == 0);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        tell("read", syscall(SYS_read, fd, page, counts[i]));
        tell("write", syscall(SYS_write, fd, page, counts[i]));
        tell("pread", syscall(SYS_pread64, fd, page, counts[i], 0L));
        tell("pwrite", syscall(SYS_pwrite64, fd, page, counts[i], 0L));
        tell("wrong end", syscall(SYS_read, pair[1], page, counts[i]));
        tell("counter", syscall(SYS_read, eventfd(1, 0), page, counts[i]));
    }
    struct iovec negative[] = {{page, 4}, {page, (size_t)-1}};
    tell("readv", syscall(SYS_readv, fd, negative, 2));
    struct iovec large[] = {{page, 4}, {page + 8, INT64_MAX}, {page, INT64_MAX}};
    tell("preadv", syscall(SYS_preadv, fd, large, 3, 0L, 0L));
    return 0;
}

static long
copy(int from, loff_t at, int to, loff_t where, size_t size)
{
    return syscall(SYS_copy_file_range, from, &at, to, &where, size, 0);
}

static int
overlaps(int argc, char **argv)
{
    int fd = make_file("hello world"), other = make_file("");
    tell("behind", copy(fd, 0, fd, 4, 8));
    tell("before", copy(fd, 4, fd, 0, 5));
    tell("itself", copy(fd, 4, fd, 4, 1));
    tell("apart", copy(fd, 0, fd, 4, 4));
    tell("cut by the end", copy(fd, 8, fd, 11, 100));
    tell("at the end", copy(fd, 14, fd, 14, 100));
    tell("another", copy(fd, 0, other, 4, 8));
    return 0;
}

static int
mappable(int argc, char **argv)
{
    static const char *const paths[] = {
        "/",         "/dev",        "/proc",          "/proc/self/maps",
        "/dev/null", "/dev/full",   "/proc/self/exe", "/dev/zero",
        "/tmp",      "/dev/urandom"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        int fd = open(paths[i], O_RDONLY);
        CHECK(fd >= 0);
        for (int type = MAP_SHARED; type <= MAP_PRIVATE; type++) {
            const char *at = mmap(NULL, 4096, PROT_READ, type, fd, 0);
            printf("%s %d %s\n", paths[i], type, at == MAP_FAILED ? strerror(errno) : "mapped");
        }
    }
    return 0;
}

static int
show_flags(int argc, char **argv)
{
    int pair[2];
    CHECK(pipe(pair) == 0);
    const int fds[] = {open("/dev/null", O_RDWR),
                       open("/proc/self/maps", O_RDONLY | O_NONBLOCK),
                       open("/tmp", O_RDONLY | O_DIRECTORY),
                       open("/tmp", O_PATH),
                       memfd_create("probe", 0),
                       epoll_create1(0),
                       eventfd(0, 0),
                       pair[0],
                       pair[1]};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        printf("%#o\n", (unsigned)fcntl(fds[i], F_GETFL));
    return 0;
}

static void
wait_for(int epoll, const char *when)
{
    struct epoll_event events[4];
    int count = epoll_wait(epoll, events, 4, 0);
    printf("%s:", when);
    for (int i = 0; i < count; i++)
        printf(" %c %#x", (int)events[i].data.u32, events[i].events);
    printf("\n");
}

static void
watch(int epoll, int operation, int fd, char name, uint32_t events)
{
    struct epoll_event event = {.events = events | EPOLLET, .data.u32 = (uint32_t)name};
    CHECK(epoll_ctl(epoll, operation, fd, &event) == 0);
}

static int
edges(int argc, char **argv)
{
    static char bulk[65536];
    uint64_t one = 1;
    int pair[2], epoll = epoll_create1(0), counter = eventfd(0, EFD_NONBLOCK);
    CHECK(pipe2(pair, O_NONBLOCK) == 0);
    watch(epoll, EPOLL_CTL_ADD, pair[0], 'r', EPOLLIN);
    wait_for(epoll, "empty");
    CHECK(write(pair[1], "abcd", 4) == 4);
    wait_for(epoll, "written");
    wait_for(epoll, "again");
    CHECK(read(pair[0], bulk, 2) == 2);
    wait_for(epoll, "read in part");
    CHECK(write(pair[1], "ef", 2) == 2);
    wait_for(epoll, "written to");
    CHECK(read(pair[0], bulk, 10) == 4 && write(pair[1], "g", 1) == 1);
    wait_for(epoll, "emptied and written");
    watch(epoll, EPOLL_CTL_MOD, pair[0], 'r', EPOLLIN);
    wait_for(epoll, "asked anew");
    wait_for(epoll, "again");

    watch(epoll, EPOLL_CTL_ADD, pair[1], 'w', EPOLLOUT);
    wait_for(epoll, "room");
    wait_for(epoll, "again");
    CHECK(read(pair[0], bulk, 1) == 1 && write(pair[1], bulk, 65536) == 65536);
    CHECK(write(pair[1], bulk, 1) == -1);
    wait_for(epoll, "full");
    CHECK(read(pair[0], bulk, 65536) == 65536);
    wait_for(epoll, "room again");

    watch(epoll, EPOLL_CTL_ADD, counter, 'c', EPOLLIN);
    CHECK(write(counter, &one, 8) == 8);
    wait_for(epoll, "counted");
    wait_for(epoll, "again");
    CHECK(write(counter, &one, 8) == 8);
    wait_for(epoll, "counted up");
    CHECK(close(pair[1]) == 0);
    wait_for(epoll, "hung up");
    wait_for(epoll, "again");
    return 0;
}

const struct probe probe_files[] = {
    {"sizes", sizes},           {"overlaps", overlaps}, {"mappable", mappable},
    {"show-flags", show_flags}, {"edges", edges},       {NULL, NULL},
};
