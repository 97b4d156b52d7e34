/* SPDX-License-Identifier: Apache-2.0 */
/* Work without end of which each call is long for who serves it. A byte is written before each one.
 */
#include "probe.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE ((size_t)64 << 20)
#define ARGUMENTS 20000

static void
mark(void)
{
    CHECK(write(STDOUT_FILENO, ".", 1) == 1);
}

/* Memory that is there, in pages of 4 KiB. */
static uint8_t *
map(void)
{
    uint8_t *at =
        mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static int
make_file(void)
{
    int fd = open("/tmp/busy", O_CREAT | O_RDWR | O_TRUNC, 0600);
    CHECK(fd >= 0);
    return fd;
}

static void
protect(char **argv)
{
    for (uint8_t *at = map();;) {
        mark();
        CHECK(mprotect(at, SIZE, PROT_READ) == 0);
        CHECK(mprotect(at, SIZE, PROT_READ | PROT_WRITE) == 0);
    }
}

static void
discard(char **argv)
{
    for (uint8_t *at = map();;) {
        mark();
        CHECK(madvise(at, SIZE, MADV_DONTNEED) == 0);
        CHECK(madvise(at, SIZE, MADV_POPULATE_WRITE) == 0);
    }
}

static void
unmap(char **argv)
{
    for (;;) {
        uint8_t *at = map();
        mark();
        CHECK(munmap(at, SIZE) == 0);
    }
}

static void
truncate_file(char **argv)
{
    const uint8_t *data = map();
    for (int fd = make_file();;) {
        CHECK(pwrite(fd, data, SIZE, 0) == (ssize_t)SIZE);
        mark();
        CHECK(ftruncate(fd, 0) == 0);
    }
}

static void
write_file(char **argv)
{
    const uint8_t *data = map();
    for (int fd = make_file();;) {
        mark();
        CHECK(pwrite(fd, data, SIZE, 0) == (ssize_t)SIZE);
        CHECK(ftruncate(fd, 0) == 0);
    }
}

static void
read_random(char **argv)
{
    uint8_t *at = map();
    int fd = open("/dev/urandom", O_RDONLY);
    for (;;) {
        mark();
        CHECK(read(fd, at, SIZE) == (ssize_t)SIZE);
    }
}

/* A hole of a file, which is touched page by page. */
static void
touch_file(char **argv)
{
    int fd = make_file();
    CHECK(ftruncate(fd, SIZE) == 0);
    volatile uint8_t *at = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(at != MAP_FAILED);
    for (;;) {
        mark();
        for (size_t i = 0; i < SIZE; i += 4096)
            CHECK(at[i] == 0);
        CHECK(madvise((void *)at, SIZE, MADV_DONTNEED) == 0);
    }
}

static void
execute(char **argv)
{
    static char argument[] = "twenty-nine bytes of argument";
    char **arguments = calloc(ARGUMENTS + 1, sizeof *arguments);
    CHECK(arguments != NULL);
    for (int i = 0; i < ARGUMENTS; i++)
        arguments[i] = i < 3 ? argv[i] : argument;
    mark();
    execv("/proc/self/exe", arguments);
}

/* `busy WAY` */
static int
busy(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(char **argv);
    } ways[] = {
        {"protect", protect},        {"discard", discard},       {"unmap", unmap},
        {"truncate", truncate_file}, {"write-file", write_file}, {"read-random", read_random},
        {"touch-file", touch_file},  {"execute", execute},
    };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (strcmp(argv[2], ways[i].name) == 0)
            ways[i].run(argv);
    }
    return 1;
}

const struct probe probe_busy[] = {
    {"busy", busy},
    {NULL, NULL},
};
