/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state from a stranger: cut anywhere, every bit of it flipped, and mangled at random (with a
 * fixed seed). It is refused with a sentence, or it makes a process, which then does what a guest
 * can do. Either way nothing is left behind; the sanitizers look for what else could go wrong.
 */
#include "harness.h"
#include "state_guest.h"

#include "sandbox/signal_state.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CWD ((uint64_t)AT_FDCWD)
#define ROUNDS 6000

static char base[64];
static vmkit_sandbox_config *config;
static struct state_guest guest;
static struct vmk_bytes snapshot;

/* A bit of everything. */
static void
make_snapshot(void)
{
    struct state_guest made;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 3};
    struct vmk_guest_sigevent timer = {.signo = 41, .value = 99};
    struct vmk_guest_itimerspec spec = {.value.seconds = 1800, .interval.seconds = 5};
    const struct vmk_guest_sigaction action = {.handler = 0x1234, .mask = 8};
    const uint64_t set = vmk_signal_bit(41);
    state_start(&made, config);
    state_write(&made, 1, "out");
    state_call(&made, mkdirat, CWD, state_string(&made, "/tmp/d"), 0755);
    state_call(&made, mkdirat, CWD, state_string(&made, "/tmp/d/e"), 0755);
    state_call(&made, symlinkat, state_string(&made, "d"), CWD, state_string(&made, "/tmp/l"));
    ck_assert_int_eq(state_open(&made, "/tmp/d/f", O_CREAT | O_RDWR, 0600), 3);
    state_write(&made, 3, "text");
    ck_assert_int_eq(state_call(&made, fallocate, 3, 0, 8192, 8192), 0);
    state_call(&made, linkat, CWD, state_string(&made, "/tmp/d/f"), CWD,
               state_string(&made, "/tmp/g"), 0);
    ck_assert_int_eq(state_call(&made, pipe2, STATE_RESULT, 0), 0);
    state_write(&made, 5, "pipe");
    ck_assert_int_eq(state_call(&made, eventfd2, 3, 0), 6);
    ck_assert_int_eq(state_call(&made, epoll_create1, 0), 7);
    state_call(&made, epoll_ctl, 7, EPOLL_CTL_ADD, 4, state_put(&made, &event, sizeof event));
    state_call(&made, epoll_ctl, 7, EPOLL_CTL_ADD, 6, state_put(&made, &event, sizeof event));
    ck_assert_int_eq(state_open(&made, "/proc/self/stat", O_RDONLY, 0), 8);
    ck_assert_int_eq(state_open(&made, "/dev/null", O_RDWR, 0), 9);
    ck_assert_int_eq(state_open(&made, "/proc/self/fd/3", O_PATH | O_NOFOLLOW, 0), 10);
    ck_assert_int_eq(state_open(&made, "/", O_RDONLY, 0), 11);
    ck_assert_int_eq(state_open(&made, "/data/file", O_RDONLY, 0), 12);
    ck_assert_int_eq(state_open(&made, "/data", O_RDONLY, 0), 13);
    ck_assert_int_eq(state_open(&made, "/tmp/d/e", O_RDONLY, 0), 14);
    state_call(&made, chdir, state_string(&made, "/tmp/d"));
    state_call(&made, unlinkat, CWD, state_string(&made, "/tmp/d/e"), AT_REMOVEDIR);
    ck_assert_int_gt(state_call(&made, mmap, 0, 4096, PROT_READ, MAP_PRIVATE, 3, 0), 0);
    int64_t fd = state_open(&made, "/data/other", O_RDONLY, 0);
    ck_assert_int_gt(state_call(&made, mmap, 0, 8192, PROT_READ, MAP_PRIVATE, (uint64_t)fd, 0), 0);
    state_call(&made, close, (uint64_t)fd);
    state_call(&made, rt_sigaction, 41, state_put(&made, &action, sizeof action), 0, 8);
    state_call(&made, rt_sigprocmask, 0, state_put(&made, &set, sizeof set), 0, 8);
    state_call(&made, kill, 2, 41);
    state_call(&made, timer_create, 1, state_put(&made, &timer, sizeof timer), STATE_RESULT);
    state_call(&made, timer_settime, 0, 0, state_put(&made, &spec, sizeof spec), 0);
    snapshot = (struct vmk_bytes){0};
    snapshot = state_save(&made);
    state_end(&made);
}

static void
put_host_file(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", base, name);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "host", 4), 4);
    close(fd);
}

static void
set_up(void)
{
    strcpy(base, "/tmp/vmkit-hostile-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    put_host_file("file");
    put_host_file("other");
    ck_assert_int_eq(vmk_config_new(&config, NULL), 0);
    vmk_config_set_program_memory(config, "\177ELF", 4, NULL);
    vmk_config_set_memory_limit(config, 4 << 20, NULL);
    ck_assert_int_eq(vmk_config_add_folder(config, base, "/data", VMKIT_FOLDER_WRITABLE, NULL), 0);
    make_snapshot();
    state_prepare(&guest, config);
}

static void
tear_down(void)
{
    char command[128];
    state_end(&guest);
    vmk_bytes_clear(&snapshot);
    vmk_config_unref(config);
    snprintf(command, sizeof command, "rm -rf %s", base);
    ck_assert_int_eq(system(command), 0);
}

/* What a guest could do with the process, wherever its memory is now. */
static void
use_process(void)
{
    const uint64_t va = STATE_RESULT;
    struct vmk_siginfo info;
    vmkit_error *error = NULL;
    struct vmk_bytes again = {0};
    for (uint64_t fd = 0; fd < 18; fd++) {
        state_call(&guest, fstat, fd, va);
        state_call(&guest, fcntl, fd, F_GETFL);
        state_call(&guest, getdents64, fd, va, 512);
        state_call(&guest, lseek, fd, 1, SEEK_CUR);
        if (fd != 4 && fd != 5 && fd != 6)
            state_call(&guest, read, fd, va, 64);
        state_call(&guest, epoll_pwait, fd, va, 8, 0, 0, 0);
        state_call(&guest, fchdir, fd);
        state_call(&guest, getcwd, va, 4096);
    }
    for (size_t i = 0; i < guest.space.vmas.count; i++)
        vmk_space_fault(&guest.space, guest.space.vmas.items[i].start, VMK_PAGE_READ);
    while (vmk_signals_take(&guest.process, UINT64_MAX, &info))
        continue;
    vmk_signals_expire(&guest.process);
    state_call(&guest, brk, guest.space.brk + 4096);
    state_call(&guest, munmap, 0x10000, UINT64_C(0x7fff00000000));
    if (vmk_state_save(&guest.process, &again, &error) < 0)
        vmk_error_unref(error);
    vmk_bytes_clear(&again);
    for (uint64_t fd = 0; fd < 18; fd += 2)
        state_call(&guest, close, fd);
}

/* Whether it was loaded. The process is as empty as before. */
static bool
try_load(const uint8_t *data, size_t size)
{
    struct vmk_process *process = &guest.process;
    vmkit_error *error = NULL;
    uint64_t used = guest.account.used;
    int r = vmk_state_load(process, config, data, size, &error);
    if (r == 0) {
        use_process();
        vmk_space_unmap(&guest.space, 0, VMK_SPACE_HIGH);
        vmk_space_clear(&guest.space);
        vmk_files_free(process->files);
        vmk_signals_free(process->signals);
        process->files = NULL;
        process->signals = NULL;
    } else {
        ck_assert_ptr_nonnull(error);
        ck_assert_uint_gt(strlen(vmk_error_get_message(error)), 20);
        ck_assert_ptr_null(strchr(vmk_error_get_message(error), '\n'));
        vmk_error_unref(error);
        ck_assert_uint_eq(guest.account.used, used);
    }
    /* Page tables stay. */
    ck_assert_uint_le(guest.account.used, used + (64 << 12));
    if (guest.account.used > (2 << 20)) {
        state_end(&guest);
        state_prepare(&guest, config);
    }
    return r == 0;
}

/* A copy that ends where the allocation does, so that a read behind the end is noticed. */
static bool
try_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, size);
    bool loaded = try_load(copy, size);
    free(copy);
    return loaded;
}

START_TEST(every_truncation_is_refused)
{
    ck_assert(try_copy(snapshot.data, snapshot.size));
    for (size_t size = 0; size < snapshot.size; size++)
        ck_assert_msg(!try_copy(snapshot.data, size), "%zu of %zu bytes were enough", size,
                      snapshot.size);
}
END_TEST

START_TEST(every_flipped_bit_is_refused_or_harmless)
{
    size_t refused = 0;
    for (size_t bit = 0; bit < snapshot.size * 8; bit++) {
        /* One page of text is like another. */
        if (bit / 8 > 2000 && bit / 8 + 2000 < snapshot.size && bit % 1009 != 0)
            continue;
        snapshot.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        refused += !try_load(snapshot.data, snapshot.size);
        snapshot.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_uint_gt(refused, snapshot.size / 2);
    ck_assert(try_copy(snapshot.data, snapshot.size));
}
END_TEST

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Change a few things; the new size. */
static size_t
mangle(uint8_t *data, size_t size, uint64_t *random)
{
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      0x7f,
                                      0x80,
                                      0xff,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      INT64_MAX,
                                      (uint64_t)INT64_MAX + 1,
                                      UINT64_MAX,
                                      4096,
                                      65536};
    uint64_t count = next_random(random) % 4 + 1;
    for (uint64_t i = 0; i < count; i++) {
        size_t at = (size_t)(next_random(random) % size);
        size_t width = (size_t)1 << next_random(random) % 4;
        uint64_t value = next_random(random);
        if (next_random(random) % 2 == 0)
            value = values[value % (sizeof values / sizeof values[0])];
        if (width > size - at)
            width = size - at;
        switch (next_random(random) % 8) {
        case 0: /* A piece goes. */
            memmove(data + at, data + at + width, size - at - width);
            size -= width;
            break;
        case 1: /* A piece comes twice, over what follows. */
            if (size - at >= 2 * width)
                memmove(data + at + width, data + at, width);
            break;
        default:
            memcpy(data + at, &value, width);
            break;
        }
        if (size == 0)
            break;
    }
    return size;
}

START_TEST(mangled_states_are_refused_or_harmless)
{
    uint64_t random = UINT64_C(0x9e3779b97f4a7c15);
    size_t refused = 0;
    uint8_t *copy = malloc(snapshot.size);
    ck_assert_ptr_nonnull(copy);
    for (int i = 0; i < ROUNDS; i++) {
        memcpy(copy, snapshot.data, snapshot.size);
        size_t size = mangle(copy, snapshot.size, &random);
        refused += !try_copy(copy, size);
    }
    free(copy);
    ck_assert_uint_gt(refused, ROUNDS / 4);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("state_hostile");
    TCase *tcase = tcase_create("state_hostile");
    tcase_set_timeout(tcase, 300);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, every_truncation_is_refused);
    tcase_add_test(tcase, every_flipped_bit_is_refused_or_harmless);
    tcase_add_test(tcase, mangled_states_are_refused_or_harmless);
    suite_add_tcase(suite, tcase);
    return suite;
}
