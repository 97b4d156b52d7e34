/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory calls. `torture SEED COUNT` makes random ones in a range of its own and prints each result
 * and, from time to time, a sum of all that the range holds: what Linux prints is the measure.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
#define LARGE (UINT64_C(2) << 20)
#define RANGE (UINT64_C(48) << 20)
#define PAGES (RANGE / PAGE)

static uint8_t *range;
static uint64_t seed;
static int probe_pipe[2];

/* What was asked for at each page: 0 for nothing, else the number of the call that mapped it, or
 * one of the page's own after a change of rights: Linux may keep such pages apart for good, and
 * mremap takes no two mappings. */
static uint32_t mapped_by[PAGES];
static uint8_t rights[PAGES];
static uint64_t sum = UINT64_C(0xcbf29ce484222325);

static void
mix(uint64_t value)
{
    sum = (sum ^ value) * UINT64_C(0x100000001b3);
}

static uint64_t
choose(uint64_t count)
{
    return probe_random(&seed) % count;
}

/* A range of pages: mostly a few, now and then some that hold whole pages of 2 MiB. */
static void
choose_range(uint64_t *ret_first, uint64_t *ret_count)
{
    uint64_t count = 1 + choose(24);
    if (choose(6) == 0)
        count = 512 * (1 + choose(4)) + choose(2) * choose(300);
    *ret_first = choose(PAGES - count);
    if (choose(3) == 0)
        *ret_first &= ~UINT64_C(511);
    *ret_count = count;
}

static int
choose_rights(void)
{
    static const int all[] = {PROT_READ | PROT_WRITE,
                              PROT_READ | PROT_WRITE,
                              PROT_READ | PROT_WRITE,
                              PROT_READ,
                              PROT_NONE,
                              PROT_READ | PROT_EXEC};
    return all[choose(sizeof all / sizeof all[0])];
}

/* Through the kernel, which says EFAULT where we may not touch: no fault of our own. */
static bool
readable(const uint8_t *at, uint8_t *ret_value)
{
    if (write(probe_pipe[1], at, 1) != 1)
        return false;
    CHECK(read(probe_pipe[0], ret_value, 1) == 1);
    return true;
}

static bool
writable(uint8_t *at, uint8_t value)
{
    CHECK(write(probe_pipe[1], &value, 1) == 1);
    if (read(probe_pipe[0], at, 1) == 1)
        return true;
    /* Whether the byte is still there is no one's promise. */
    fcntl(probe_pipe[0], F_SETFL, O_NONBLOCK);
    while (read(probe_pipe[0], &value, 1) == 1)
        ;
    fcntl(probe_pipe[0], F_SETFL, 0);
    return false;
}

static void
note(uint64_t first, uint64_t count, uint32_t call, int prot)
{
    for (uint64_t page = first; page < first + count; page++) {
        mapped_by[page] = call;
        rights[page] = (uint8_t)prot;
    }
}

static bool
is_uniform(uint64_t first, uint64_t count)
{
    for (uint64_t page = first; page < first + count; page++) {
        if (mapped_by[page] == 0 || mapped_by[page] != mapped_by[first] ||
            rights[page] != rights[first])
            return false;
    }
    return true;
}

static void
do_map(uint32_t call)
{
    uint64_t first, count;
    int prot = choose_rights();
    choose_range(&first, &count);
    void *at = mmap(range + first * PAGE, count * PAGE, prot,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    CHECK(at == range + first * PAGE);
    note(first, count, call, prot);
}

static void
do_map_where_free(uint32_t call)
{
    uint64_t first, count;
    choose_range(&first, &count);
    void *at = mmap(range + first * PAGE, count * PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        mix((uint64_t)errno);
        return;
    }
    CHECK(at == range + first * PAGE);
    note(first, count, call, PROT_READ | PROT_WRITE);
}

static void
do_unmap(uint32_t call)
{
    uint64_t first, count;
    choose_range(&first, &count);
    mix((uint64_t)munmap(range + first * PAGE, count * PAGE));
    note(first, count, 0, 0);
}

static uint32_t
alone(uint64_t page)
{
    return (uint32_t)(UINT32_MAX - page);
}

static void
do_protect(uint32_t call)
{
    uint64_t first, count;
    int prot = choose_rights();
    choose_range(&first, &count);
    if (mprotect(range + first * PAGE, count * PAGE, prot) < 0) {
        mix((uint64_t)errno);
        /* Linux changes what comes before a hole; we ask for it all or not at all. */
        for (uint64_t page = first; page < first + count; page++) {
            if (mapped_by[page] != 0 && mprotect(range + page * PAGE, PAGE, prot) == 0)
                note(page, 1, alone(page), prot);
        }
        return;
    }
    for (uint64_t page = first; page < first + count; page++)
        note(page, 1, alone(page), prot);
}

static void
do_write(uint32_t call)
{
    uint64_t first, count;
    choose_range(&first, &count);
    for (uint64_t page = first; page < first + count; page++) {
        uint8_t *at = range + page * PAGE + choose(PAGE);
        uint8_t value = (uint8_t)choose(256);
        if (mapped_by[page] != 0 && rights[page] & PROT_WRITE)
            *at = value;
        else if (choose(16) == 0)
            mix(writable(at, value));
    }
}

static void
do_read(uint32_t call)
{
    uint64_t first, count;
    choose_range(&first, &count);
    for (uint64_t page = first; page < first + count; page++) {
        uint8_t *at = range + page * PAGE + choose(PAGE), value = 0;
        if (mapped_by[page] != 0 && rights[page] & PROT_READ) {
            mix(*(volatile uint8_t *)at);
        } else if (choose(16) == 0) {
            mix(readable(at, &value));
            mix(value);
        }
    }
}

static void
do_discard(uint32_t call)
{
    uint64_t first, count;
    choose_range(&first, &count);
    /* Over a hole, it is ENOMEM, and what lies beside the hole is done or not. */
    for (uint64_t page = first; page < first + count; page++) {
        if (mapped_by[page] == 0)
            return;
    }
    mix((uint64_t)madvise(range + first * PAGE, count * PAGE, MADV_DONTNEED));
}

static void
do_shrink(uint32_t call)
{
    uint64_t first, count;
    choose_range(&first, &count);
    if (count < 2 || !is_uniform(first, count))
        return;
    uint64_t left = 1 + choose(count - 1);
    CHECK(mremap(range + first * PAGE, count * PAGE, left * PAGE, 0) == range + first * PAGE);
    note(first + left, count - left, 0, 0);
}

static void
do_move(uint32_t call)
{
    uint64_t first, count, to, new_count;
    choose_range(&first, &count);
    choose_range(&to, &new_count);
    if (!is_uniform(first, count) || (to < first + count && first < to + count))
        return;
    if (to + count > PAGES)
        return;
    if (choose(4) == 0)
        to = (to & ~UINT64_C(511)) | (first & 511);
    if (to + count > PAGES || (to < first + count && first < to + count))
        return;
    uint32_t by = mapped_by[first];
    uint8_t prot = rights[first];
    void *at = mremap(range + first * PAGE, count * PAGE, count * PAGE,
                      MREMAP_MAYMOVE | MREMAP_FIXED, range + to * PAGE);
    CHECK(at == range + to * PAGE);
    note(first, count, 0, 0);
    note(to, count, by, prot);
}

static void
sum_all(void)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        const volatile uint8_t *at = range + page * PAGE;
        if (mapped_by[page] == 0 || !(rights[page] & PROT_READ))
            continue;
        for (uint64_t i = 0; i < PAGE; i += 8)
            mix(*(const volatile uint64_t *)(at + i));
    }
}

static int
torture(int argc, char **argv)
{
    static void (*const actions[])(uint32_t call) = {
        do_map,     do_map,     do_map_where_free, do_unmap, do_protect,
        do_protect, do_write,   do_write,          do_write, do_read,
        do_read,    do_discard, do_move,           do_move,  do_shrink,
    };
    seed = strtoull(argv[2], NULL, 0);
    uint32_t count = (uint32_t)strtoul(argv[3], NULL, 0);
    CHECK(pipe(probe_pipe) == 0);
    uint8_t *memory =
        mmap(NULL, RANGE + LARGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    range = (uint8_t *)(((uintptr_t)memory + LARGE - 1) & ~(uintptr_t)(LARGE - 1));
    CHECK(munmap(range, RANGE) == 0);

    for (uint32_t call = 1; call <= count; call++) {
        actions[choose(sizeof actions / sizeof actions[0])](call);
        if (call % 100 == 0 || call == count) {
            sum_all();
            printf("%u %016llx\n", call, (unsigned long long)sum);
        }
    }
    return 0;
}

/* The heap: what comes back after it shrank is zero, whatever the steps. */
static int
heap(int argc, char **argv)
{
    uint64_t state = 7;
    uint8_t *start = sbrk(0), *end = start;
    CHECK(start != (void *)-1);
    for (int i = 0; i < 400; i++) {
        int64_t step = (int64_t)(probe_random(&state) % (3 << 20)) - (3 << 19);
        if (end + step < start)
            step = start - end;
        CHECK(sbrk(step) == end);
        for (uint8_t *at = end; at < end + step; at += 1021) {
            CHECK(*at == 0 || ((uintptr_t)at & ~(PAGE - 1)) == ((uintptr_t)end & ~(PAGE - 1)));
            *at = 0xa5;
        }
        end += step;
    }
    CHECK(brk(start) == 0);
    CHECK(sbrk(0) == start);
    CHECK(brk((void *)(UINT64_C(1) << 60)) == -1 && errno == ENOMEM);
    CHECK(sbrk(0) == start);
    printf("heap\n");
    return 0;
}

static void
fill(uint64_t *at, uint64_t size, uint64_t salt)
{
    for (uint64_t i = 0; i < size / 8; i += 64)
        at[i] = salt + i;
}

static void
verify(const uint64_t *at, uint64_t size, uint64_t salt)
{
    for (uint64_t i = 0; i < size / 8; i += 64)
        CHECK(at[i] == salt + i);
}

/* Mappings with pages of 2 MiB under them, cut, protected and moved in the middle. */
static int
large(int argc, char **argv)
{
    const uint64_t size = 16 << 20, middle = (5 << 20) + 3 * PAGE;
    uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    fill((uint64_t *)(void *)at, size, 1);

    CHECK(mprotect(at + middle, PAGE, PROT_READ) == 0);
    verify((uint64_t *)(void *)at, size, 1);
    CHECK(mprotect(at + middle, PAGE, PROT_NONE) == 0);
    CHECK(mprotect(at + middle, PAGE, PROT_READ | PROT_WRITE) == 0);
    verify((uint64_t *)(void *)at, size, 1);
    fill((uint64_t *)(void *)at, size, 2);
    CHECK(mprotect(at, size, PROT_NONE) == 0);
    CHECK(mprotect(at, size, PROT_READ | PROT_WRITE) == 0);
    verify((uint64_t *)(void *)at, size, 2);

    CHECK(munmap(at + (9 << 20) + PAGE, PAGE) == 0);
    verify((uint64_t *)(void *)at, 9 << 20, 2);
    verify((uint64_t *)(void *)(at + (9 << 20) + 2 * PAGE), size - (9 << 20) - 2 * PAGE,
           2 + ((9 << 20) + 2 * PAGE) / 8);
    CHECK(mmap(at + (9 << 20) + PAGE, PAGE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at + (9 << 20) + PAGE);
    CHECK(at[(9 << 20) + PAGE] == 0);

    CHECK(madvise(at + (2 << 20), 4 << 20, MADV_DONTNEED) == 0);
    for (uint64_t i = 2 << 20; i < 6 << 20; i += 512)
        CHECK(at[i] == 0);
    verify((uint64_t *)(void *)at, 2 << 20, 2);
    fill((uint64_t *)(void *)at, 9 << 20, 3);
    verify((uint64_t *)(void *)at, 9 << 20, 3);
    CHECK(munmap(at, size) == 0);

    /* Grown and moved, over and over, by steps that keep and that break the alignment. */
    uint64_t now = 4 << 20;
    at = mmap(NULL, now, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    fill((uint64_t *)(void *)at, now, 9);
    while (now < 64 << 20) {
        uint64_t next = now * 2 + (now & LARGE ? PAGE * 5 : 0);
        /* Something behind it, so that it has to move. */
        mmap(at + now, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        at = mremap(at, now, next, MREMAP_MAYMOVE);
        CHECK(at != MAP_FAILED);
        verify((uint64_t *)(void *)at, now, 9);
        fill((uint64_t *)(void *)at, next, 9);
        now = next;
    }
    uint8_t *to = mmap(NULL, now + LARGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(to != MAP_FAILED);
    for (uint64_t shift = 0; shift <= 3 * PAGE; shift += PAGE) {
        uint8_t *there = mremap(at, now, now, MREMAP_MAYMOVE | MREMAP_FIXED, to + shift);
        CHECK(there == to + shift);
        verify((uint64_t *)(void *)there, now, 9);
        at = mmap(NULL, now, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(mremap(there, now, now, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at);
        verify((uint64_t *)(void *)at, now, 9);
    }
    printf("large\n");
    return 0;
}

#define ERR(call) (errno = 0, (void)(call), errno)

/* What the calls refuse, and how. */
static int
errors(int argc, char **argv)
{
    const int anonymous = MAP_PRIVATE | MAP_ANONYMOUS, rw = PROT_READ | PROT_WRITE;
    uint8_t *at = mmap(NULL, 8 * PAGE, rw, anonymous, -1, 0);
    CHECK(at != MAP_FAILED);
    printf("%d ", ERR(mmap(NULL, 0, rw, anonymous, -1, 0)));
    printf("%d ", ERR(mmap(NULL, PAGE, rw, MAP_ANONYMOUS, -1, 0)));
    printf("%d ", ERR(mmap(NULL, UINT64_MAX, rw, anonymous, -1, 0)));
    printf("%d ", ERR(mmap(NULL, UINT64_MAX & ~(PAGE - 1), rw, anonymous, -1, 0)));
    printf("%d ", ERR(mmap(NULL, UINT64_C(1) << 60, rw, anonymous, -1, 0)));
    printf("%d ", ERR(mmap(at + 1, PAGE, rw, anonymous | MAP_FIXED, -1, 0)));
    printf("%d ", ERR(mmap((void *)(UINT64_C(1) << 60), PAGE, rw, anonymous | MAP_FIXED, -1, 0)));
    printf("%d ", ERR(mmap((void *)0xffffffffc0000000, PAGE, rw, anonymous | MAP_FIXED, -1, 0)));
    printf("%d ", ERR(mmap(NULL, PAGE, rw, MAP_PRIVATE, -1, 0)));
    printf("%d ", ERR(mmap(NULL, PAGE, rw, MAP_PRIVATE, 99, 0)));
    printf("%d ", ERR(mmap(NULL, PAGE, rw, MAP_PRIVATE, 1, 0x1001)));
    printf("%d\n", ERR(mmap(at, PAGE, rw, anonymous | MAP_FIXED_NOREPLACE, -1, 0)));
    printf("%d ", ERR(munmap(at + 1, PAGE)));
    printf("%d ", ERR(munmap(at, 0)));
    printf("%d ", ERR(munmap(at, UINT64_MAX)));
    printf("%d ", ERR(munmap((void *)(UINT64_C(1) << 60), PAGE)));
    printf("%d\n", ERR(munmap((void *)0x12345000, PAGE)));
    printf("%d ", ERR(mprotect(at + 1, PAGE, rw)));
    printf("%d ", ERR(mprotect(at, 0, rw)));
    printf("%d ", ERR(mprotect(at, PAGE, 0x1000)));
    printf("%d ", ERR(mprotect((void *)0x12345000, PAGE, rw)));
    printf("%d ", ERR(mprotect((void *)0xffffffffc0000000, PAGE, rw)));
    printf("%d\n", ERR(mprotect(at, UINT64_MAX, rw)));
    printf("%d ", ERR(mremap(at + 1, PAGE, PAGE, 0)));
    printf("%d ", ERR(mremap(at, PAGE, 0, 0)));
    printf("%d ", ERR(mremap(at, PAGE, 2 * PAGE, 0)));
    printf("%d ", ERR(mremap(at, PAGE, PAGE, MREMAP_FIXED, at + 4 * PAGE)));
    printf("%d ", ERR(mremap(at, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + PAGE)));
    printf("%d ", ERR(mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + 1)));
    printf("%d ", ERR(mremap((void *)0x12345000, PAGE, 2 * PAGE, MREMAP_MAYMOVE)));
    printf("%d ", ERR(mremap(at, PAGE, PAGE, 64)));
    printf("%d\n", ERR(mremap((void *)0xffffffffc0000000, PAGE, PAGE, MREMAP_MAYMOVE)));
    printf("%d ", ERR(madvise(at + 1, PAGE, MADV_DONTNEED)));
    printf("%d ", ERR(madvise(at, 0, MADV_DONTNEED)));
    printf("%d ", ERR(madvise(at, PAGE, 12345)));
    printf("%d ", ERR(madvise((void *)0x12345000, PAGE, MADV_DONTNEED)));
    printf("%d\n", ERR(madvise(at, UINT64_MAX - PAGE, MADV_DONTNEED)));
    printf("%d ", ERR(msync(at, PAGE, MS_SYNC)));
    printf("%d ", ERR(msync(at, PAGE, MS_SYNC | MS_ASYNC)));
    printf("%d ", ERR(msync((void *)0x12345000, PAGE, MS_SYNC)));
    printf("%d ", ERR(mincore(at + 1, PAGE, at)));
    printf("%d ", ERR(mincore((void *)0x12345000, PAGE, at)));
    printf("%d ", ERR(mincore(at, PAGE, (void *)8)));
    printf("%d ", ERR(mlock((void *)0x12345000, PAGE)));
    printf("%d\n", ERR(munlock(at, PAGE)));
    return 0;
}

/* `exhaust HOW`: ask for memory until there is no more. Prints how the end came. */
static int
exhaust(int argc, char **argv)
{
    uint64_t total = 0;
    if (argv[2][0] == 'm') {
        /* Refused: each mapping counts at once. */
        while (mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
               MAP_FAILED)
            total++;
        printf("%d %llu\n", errno, (unsigned long long)total);
    } else if (argv[2][0] == 'b') {
        while (sbrk(1 << 20) != (void *)-1)
            total++;
        printf("%d %llu\n", errno, (unsigned long long)total);
    } else {
        /* What is not counted beforehand: the page that cannot be had ends the run. */
        uint8_t *at = mmap(NULL, UINT64_C(1) << 40, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(at != MAP_FAILED);
        for (;; at += argv[2][0] == 't' ? PAGE : LARGE + PAGE)
            *(volatile uint8_t *)at = 1;
    }
    return 0;
}

/* Rights that change under pages that are there. */
static int
reprotect(int argc, char **argv)
{
    uint8_t *at = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    memset(at, 7, 16 * PAGE);
    CHECK(mprotect(at + PAGE, 2 * PAGE, PROT_READ) == 0);
    CHECK(at[PAGE] == 7);
    CHECK(mprotect(at, 16 * PAGE, PROT_READ | PROT_WRITE) == 0);
    at[PAGE]++;
    CHECK(at[PAGE] == 8 && at[PAGE + 1] == 7);
    CHECK(munmap(at + 4 * PAGE, PAGE) == 0);
    CHECK(at[5 * PAGE] == 7);
    return 0;
}

const struct probe probe_memory[] = {
    {"torture", torture}, {"heap", heap},           {"large", large}, {"errors", errors},
    {"exhaust", exhaust}, {"reprotect", reprotect}, {NULL, NULL},
};
