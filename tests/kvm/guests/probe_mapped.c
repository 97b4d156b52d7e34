/* SPDX-License-Identifier: Apache-2.0 */
/* What a program does to a file, seen through its mappings of it. */
#include "probe.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096
#define SIZE (3 * PAGE)

static char path[256], other_path[256];
static sigjmp_buf beyond;
static int bus_code;

static void
on_bus(int signal, siginfo_t *info, void *context)
{
    bus_code = info->si_code;
    siglongjmp(beyond, 1);
}

static void
show(const char *what, const volatile char *at)
{
    if (sigsetjmp(beyond, 1) != 0)
        printf("%s: SIGBUS %d\n", what, bus_code);
    else
        printf("%s: %02x\n", what, (unsigned char)*at);
}

static char *
map(int fd, int protection, int flags, off_t offset)
{
    char *at = mmap(NULL, SIZE - (size_t)offset, protection, flags, fd, offset);
    CHECK(at != MAP_FAILED);
    return at;
}

/* A fresh file with a letter a page. */
static int
make(const char *name, char letter)
{
    static char block[PAGE];
    int fd = open(name, O_CREAT | O_RDWR | O_TRUNC, 0600);
    CHECK(fd >= 0);
    for (int i = 0; i < SIZE / PAGE; i++) {
        memset(block, letter + i, sizeof block);
        CHECK(pwrite(fd, block, sizeof block, (off_t)i * PAGE) == PAGE);
    }
    return fd;
}

static void
put(int fd, const char *text, off_t at)
{
    CHECK(pwrite(fd, text, strlen(text), at) == (ssize_t)strlen(text));
}

/* By which descriptor ever. */
static void
write_in_ways(int fd, int other, const char *shared, const char *private, const char *second)
{
    loff_t from = PAGE, to = 100;
    put(fd, "0", 0);
    show("pwrite, shared", shared);
    show("pwrite, private", private);
    int copy = dup(fd), again = open(path, O_RDWR);
    CHECK(lseek(copy, PAGE, SEEK_SET) == PAGE && write(copy, "1", 1) == 1);
    show("write by dup", second);
    show("the same by the other mapping", shared + PAGE);
    put(again, "2", 2 * PAGE);
    show("write by a file opened again", shared + 2 * PAGE);
    CHECK(link(path, other_path) == 0);
    int linked = open(other_path, O_RDWR);
    put(linked, "34", PAGE - 1);
    show("write by a link, before", shared + PAGE - 1);
    show("write by a link, behind", shared + PAGE);
    CHECK(pwritev(again, (struct iovec[]){{"5", 1}, {"6", 1}}, 2, 8) == 2);
    show("pwritev", shared + 9);
    CHECK(copy_file_range(other, &from, fd, &to, 1, 0) == 1);
    show("copy_file_range", private + 100);
    CHECK(lseek(fd, 200, SEEK_SET) == 200 && sendfile(fd, other, NULL, 1) == 1);
    show("sendfile", private + 200);
    CHECK(pwrite(fd, second, PAGE, 0) == PAGE);
    show("write of what is mapped", shared + 300);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 2000) == 0);
    show("a hole", shared + PAGE);
    show("behind a hole", shared + PAGE + 2000);
    CHECK(unlink(other_path) == 0);
    close(copy);
    close(again);
    close(linked);
}

static void
change_size(int fd, const char *shared, const char *private)
{
    CHECK(ftruncate(fd, PAGE + 100) == 0);
    show("last byte", shared + PAGE + 99);
    show("behind the last byte", shared + PAGE + 100);
    show("behind the last page", shared + 2 * PAGE);
    show("behind the last page, private", private + 2 * PAGE);
    int appending = open(path, O_WRONLY | O_APPEND);
    CHECK(write(appending, "7", 1) == 1);
    show("appended", shared + PAGE + 100);
    CHECK(ftruncate(fd, SIZE) == 0);
    show("grown", shared + 2 * PAGE);
    CHECK(truncate(path, 0) == 0);
    show("cut to nothing", shared);
    put(fd, "8", 0);
    show("written again", private);
    close(open(path, O_WRONLY | O_TRUNC));
    show("opened with O_TRUNC", shared);
    close(appending);
}

/* Its own pages stay its own, but those that are cut off. */
static void
keep_own(int fd)
{
    char *own = map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
    char *locked = map(fd, PROT_READ, MAP_PRIVATE, 0);
    own[PAGE] = '!';
    CHECK(mprotect(locked, PAGE, PROT_READ | PROT_WRITE) == 0);
    locked[1] = '?';
    CHECK(mprotect(locked, PAGE, PROT_READ) == 0);
    put(fd, "xx", 0);
    put(fd, "xx", PAGE);
    show("own page", own + PAGE);
    show("own page, read-only now", locked + 1);
    show("its neighbour", locked + PAGE);
    CHECK(ftruncate(fd, PAGE) == 0);
    show("own page, cut off", own + PAGE);
    show("own page, read-only, not cut off", locked + 1);
}

static void
move(int fd)
{
    char *at = map(fd, PROT_READ, MAP_SHARED, 0);
    show("before", at + PAGE);
    at = mremap(at, SIZE, 2 * SIZE, MREMAP_MAYMOVE);
    CHECK(at != MAP_FAILED);
    put(fd, "y", PAGE);
    show("mapped elsewhere", at + PAGE);
    CHECK(msync(at, SIZE, MS_SYNC | MS_INVALIDATE) == 0);
    show("invalidated", at + PAGE);
}

/* `mapped FOLDER` */
static int
mapped(int argc, char **argv)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = on_bus;
    CHECK(sigaction(SIGBUS, &action, NULL) == 0);
    snprintf(path, sizeof path, "%s/mapped-file", argv[2]);
    snprintf(other_path, sizeof other_path, "%s/mapped-other", argv[2]);

    int other = make(other_path, 'a'), fd = make(path, 'A');
    CHECK(unlink(other_path) == 0);
    const char *shared = map(fd, PROT_READ, MAP_SHARED, 0);
    const char *private = map(fd, PROT_READ, MAP_PRIVATE, 0);
    const char *second = map(fd, PROT_READ, MAP_SHARED, PAGE);
    show("first", shared);
    show("second", private + PAGE);
    show("third", second + PAGE);
    write_in_ways(fd, other, shared, private, second);
    change_size(fd, shared, private);
    close(fd);
    fd = make(path, 'K');
    keep_own(fd);
    move(make(path, 'P'));
    CHECK(unlink(path) == 0);
    return 0;
}

const struct probe probe_mapped[] = {
    {"mapped", mapped},
    {NULL, NULL},
};
