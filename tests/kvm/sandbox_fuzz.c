/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that make system calls at random (guests/probe_fuzz.c) under configurations at random:
 * whatever they do to themselves, the host goes on, and keeps nothing of them. VMKIT_FUZZ_SEED says
 * where to begin, VMKIT_FUZZ_SECONDS for how long.
 */
#include "harness.h"
#include "sandbox_guest.h"
#include "usage.h"

#include <vmkit/vmkit.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)
#define SECOND (1000 * MILLISECOND)

static uint64_t
pick(uint64_t *state, uint64_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state % below;
}

/* Callbacks that take a part, nothing, or fail. */
static int64_t
answer(uint64_t *state, uint64_t size)
{
    static const int64_t answers[] = {-EAGAIN, -EPIPE, -EIO, 0, 1, INT64_MIN, INT64_MAX};
    if (pick(state, 3) != 0)
        return (int64_t)size;
    return answers[pick(state, sizeof answers / sizeof answers[0])];
}

static int64_t
take(void *user_data, const void *data, uint64_t size)
{
    return answer(user_data, size);
}

static int64_t
give(void *user_data, void *buffer, uint64_t size)
{
    memset(buffer, 'x', size);
    return answer(user_data, size);
}

static void
connect_streams(vmkit_sandbox_config *config, uint64_t *state, int file)
{
    switch (pick(state, 3)) {
    case 0:
        vmkit_sandbox_config_set_input(config, "some input\n", 11, NULL);
        break;
    case 1:
        vmkit_sandbox_config_set_input_callback(config, give, state, NULL);
        break;
    default:
        vmkit_sandbox_config_set_stream_fd(config, VMKIT_STREAM_STDIN, file, NULL);
        break;
    }
    for (uint32_t stream = VMKIT_STREAM_STDOUT; stream <= VMKIT_STREAM_STDERR; stream++) {
        switch (pick(state, 3)) {
        case 0:
            vmkit_sandbox_config_set_output_buffer(config, stream, 1 + pick(state, 1 << 16), NULL);
            break;
        case 1:
            vmkit_sandbox_config_set_output_callback(config, stream, take, state, NULL);
            break;
        default:
            vmkit_sandbox_config_set_stream_fd(config, stream, file, NULL);
            break;
        }
    }
}

static void
run_seed(uint64_t seed, const char *folder, int file)
{
    char text[32];
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox *sandbox = NULL;
    vmkit_error *error = NULL;
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    vmkit_sandbox_config *config =
        guest_configure(&guest_probe, (const char *[]){"probe", "fuzz", text, "800", NULL});
    ck_assert_int_eq(
        vmkit_sandbox_config_add_folder(config, folder, "/host",
                                        pick(&state, 4) == 0 ? 0 : VMKIT_FOLDER_WRITABLE, NULL),
        0);
    connect_streams(config, &state, file);
    vmkit_sandbox_config_set_memory_limit(config, (8 + pick(&state, 56)) << 20, NULL);
    vmkit_sandbox_config_set_wall_time_limit(config, 1000 * MILLISECOND, NULL);
    vmkit_sandbox_config_set_open_files_limit(config, 8 + pick(&state, 100), NULL);
    vmkit_sandbox_config_set_output_limit(config, 1 + pick(&state, 1 << 20), NULL);
    int result = vmkit_sandbox_new(config, &sandbox, &error);
    if (result == 0)
        result = vmkit_sandbox_run(sandbox, &outcome, &error);
    ck_assert_msg(result == 0, "seed %s: %d: %s", text, result, vmkit_error_get_message(error));
    ck_assert_uint_ge(outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_uint_le(outcome.kind, VMKIT_OUTCOME_LIMIT);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}

/* What a guest made, of whatever depth. */
static void
remove_all(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    fchmod(fd, 0700);
    DIR *folder = fdopendir(fd);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) != 0)
            remove_all(fd, entry->d_name);
    }
    if (folder != NULL)
        closedir(folder);
    unlinkat(at, name, AT_REMOVEDIR);
}

static uint64_t
get_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 0);
}

START_TEST(random_calls_hurt_no_one)
{
    char folder[] = "/tmp/vmkit-fuzz-XXXXXX";
    uint64_t seed = get_number("VMKIT_FUZZ_SEED", 1);
    uint64_t end = guest_now_ns() + get_number("VMKIT_FUZZ_SECONDS", 5) * SECOND;
    uint64_t runs = 0;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    int file = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    ck_assert_int_ge(file, 0);
    run_seed(0, folder, file);
    struct usage before = usage_get();
    for (; runs < 5 || guest_now_ns() < end; runs++, seed++) {
        run_seed(seed, folder, file);
        ck_assert_int_eq(ftruncate(file, 0), 0);
        if (runs % 8 == 0) {
            remove_all(AT_FDCWD, folder);
            ck_assert_int_eq(mkdir(folder, 0700), 0);
        }
    }
    before.resident += 8192; /* what the C library's heap keeps after guests of different sizes */
    usage_check(&before);
    close(file);
    remove_all(AT_FDCWD, folder);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_fuzz");
    TCase *tcase = tcase_create("sandbox_fuzz");
    tcase_set_timeout(tcase, (double)get_number("VMKIT_FUZZ_SECONDS", 5) + 60);
    tcase_add_test(tcase, random_calls_hurt_no_one);
    suite_add_tcase(suite, tcase);
    return suite;
}
