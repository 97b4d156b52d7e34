/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots that were saved to a file and opened again: what goes on from them is what would have.
 */
#include "harness.h"
#include "sandbox_guest.h"
#include "snapshot_guest.h"

#include <vmkit/call.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

/* The ways to have a file. */
static const struct {
    uint32_t level;
    uint64_t flags;
} ways[] = {{0, 0}, {0, VMKIT_SNAPSHOT_FILE_COPY}, {1, 0}, {1, VMKIT_SNAPSHOT_FILE_COPY}};

#define WAYS (sizeof ways / sizeof ways[0])

/* A folder of the test's own. */
static char folder[64];

static const char *
name_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void
make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/vmkit-restore-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void
remove_folder(void)
{
    unlink(name_of("snapshot"));
    unlink(name_of("file"));
    ck_assert_int_eq(rmdir(folder), 0);
}

static vmkit_snapshot *
save_and_open(vmkit_snapshot *snapshot, size_t way)
{
    int fd = snapshot_guest_save(snapshot, ways[way].level);
    vmkit_snapshot *opened = snapshot_guest_open(fd, ways[way].flags);
    close(fd);
    return opened;
}

START_TEST(a_restored_sandbox_goes_on_where_the_snapshot_was_taken)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    vmkit_snapshot *opened = save_and_open(snapshot, (size_t)_i);
    vmkit_sandbox *fork = snapshot_guest_fork(snapshot, NULL);
    vmkit_sandbox *restored = snapshot_guest_fork(opened, NULL);
    vmkit_sandbox *other = snapshot_guest_fork(opened, NULL);
    vmkit_snapshot_unref(opened);
    snapshot_guest_compare_restored(restored, fork);
    snapshot_guest_compare(restored, other);
    ck_assert_uint_eq(snapshot_guest_ask(restored, "touch", 300), 0);
    ck_assert_uint_eq(snapshot_guest_ask(restored, "check", 0), 300);
    ck_assert_uint_eq(snapshot_guest_ask(other, "check", 0), 0);
    for (int i = 0; i < 3; i++) {
        snapshot_guest_do(restored, "soil-end", 1, VMKIT_OUTCOME_SIGNALLED);
        snapshot_guest_reset(restored);
        snapshot_guest_reset(other);
        snapshot_guest_compare(restored, other);
        ck_assert_uint_eq(snapshot_guest_ask(restored, "check", 0), 0);
    }
    vmkit_sandbox_unref(restored);
    vmkit_sandbox_unref(other);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

START_TEST(it_says_of_itself_what_the_one_in_memory_says)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    vmkit_snapshot *opened = save_and_open(snapshot, (size_t)_i);
    struct vmkit_snapshot_info info = {.size = sizeof info}, own = {.size = sizeof own};
    ck_assert_int_eq(vmkit_snapshot_get_info(snapshot, &info, NULL), 0);
    ck_assert_int_eq(vmkit_snapshot_get_info(opened, &own, NULL), 0);
    ck_assert_uint_eq(own.kind, VMKIT_SNAPSHOT_OF_SANDBOX);
    ck_assert_uint_eq(own.process_bytes, info.process_bytes);
    ck_assert_uint_eq(own.memory_limit_bytes, info.memory_limit_bytes);
    ck_assert_uint_eq(own.instruction_pointer, info.instruction_pointer);
    /* Tables that were made anew, and short gaps that the file stores. */
    ck_assert_uint_le(own.memory_bytes, info.memory_bytes);
    ck_assert_uint_ge(own.memory_bytes, info.memory_bytes - 16 * 4096);
    ck_assert_uint_ge(own.data_bytes, GUEST_TABLE_PAGES * 4096);
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

/* Descriptors, names, pipes, signals that are pending, registers: whatever a program can have. */
START_TEST(all_of_a_program_is_restored)
{
    vmkit_sandbox *sandbox = snapshot_guest_new(NULL);
    snapshot_guest_do(sandbox, "soil", 0, VMKIT_OUTCOME_READY);
    /* The time that is left of a timer is never the same. */
    snapshot_guest_do(sandbox, "disarm", 0, VMKIT_OUTCOME_READY);
    usleep(10000);
    vmkit_snapshot *snapshot = snapshot_guest_snapshot(sandbox);
    vmkit_snapshot *opened = save_and_open(snapshot, (size_t)_i);
    vmkit_sandbox *fork = snapshot_guest_fork(snapshot, NULL);
    vmkit_sandbox *restored = snapshot_guest_fork(opened, NULL);
    snapshot_guest_compare_restored(restored, fork);
    uint64_t changed = snapshot_guest_ask(fork, "check", 0);
    ck_assert_uint_ge(changed, 300);
    ck_assert_uint_eq(snapshot_guest_ask(restored, "check", 0), changed);
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_unref(snapshot);
    vmkit_sandbox_unref(restored);
    vmkit_sandbox_unref(fork);
    vmkit_sandbox_unref(sandbox);
}
END_TEST

START_TEST(one_that_was_never_run_is_restored)
{
    vmkit_sandbox_config *config = snapshot_guest_configure();
    vmkit_sandbox *sandbox = NULL;
    vmkit_error *error = NULL;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    EXPECT(vmkit_sandbox_new(config, &sandbox, &error));
    vmkit_snapshot *snapshot = snapshot_guest_snapshot(sandbox);
    vmkit_snapshot *opened = save_and_open(snapshot, 0);
    vmkit_sandbox *restored = snapshot_guest_fork(opened, NULL);
    for (int i = 0; i < 2; i++) {
        EXPECT(vmkit_sandbox_run(restored, &outcome, &error));
        ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_READY);
        ck_assert_uint_eq(snapshot_guest_ask(restored, "check", 0), 0);
        snapshot_guest_reset(restored);
    }
    vmkit_sandbox_unref(restored);
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_unref(snapshot);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

/* Saved, restored, changed, saved again, and so on: nothing is lost, nothing grows. */
START_TEST(one_that_was_restored_is_saved_again)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    struct vmkit_snapshot_info info = {.size = sizeof info};
    uint64_t memory = 0;
    for (uint64_t i = 0; i < 5; i++) {
        vmkit_snapshot *opened = save_and_open(snapshot, i % WAYS);
        vmkit_sandbox *restored = snapshot_guest_fork(opened, NULL);
        vmkit_snapshot_unref(snapshot);
        ck_assert_uint_eq(snapshot_guest_ask(restored, "check", 0), i * 10);
        snapshot_guest_ask(restored, "touch", (i + 1) * 10);
        snapshot = snapshot_guest_snapshot(restored);
        ck_assert_int_eq(vmkit_snapshot_get_info(snapshot, &info, NULL), 0);
        if (i == 0)
            memory = info.memory_bytes;
        ck_assert_uint_le(info.memory_bytes, memory + 16 * 4096);
        vmkit_sandbox_unref(restored);
        vmkit_snapshot_unref(opened);
    }
    vmkit_snapshot_unref(snapshot);
}
END_TEST

/* Of a snapshot that was opened, a further file has the same contents. */
START_TEST(a_snapshot_that_was_opened_is_saved_without_a_change)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    int first = snapshot_guest_save(snapshot, 0);
    vmkit_snapshot *opened = snapshot_guest_open(first, 0);
    int second = snapshot_guest_save(opened, 0);
    struct stat one, other;
    ck_assert_int_eq(fstat(first, &one), 0);
    ck_assert_int_eq(fstat(second, &other), 0);
    ck_assert_int_eq(one.st_size, other.st_size);
    void *a = mmap(NULL, (size_t)one.st_size, PROT_READ, MAP_PRIVATE, first, 0);
    void *b = mmap(NULL, (size_t)one.st_size, PROT_READ, MAP_PRIVATE, second, 0);
    ck_assert_int_eq(memcmp(a, b, (size_t)one.st_size), 0);
    munmap(a, (size_t)one.st_size);
    munmap(b, (size_t)one.st_size);
    close(first);
    close(second);
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

/* The time that is left of a timer begins again where it goes on; a file stands where it stood. */
START_TEST(timers_and_offsets_go_on)
{
    vmkit_sandbox *sandbox = snapshot_guest_new(NULL);
    snapshot_guest_do(sandbox, "prepare", 200000, VMKIT_OUTCOME_READY);
    vmkit_snapshot *snapshot = snapshot_guest_snapshot(sandbox);
    vmkit_sandbox_unref(sandbox);
    vmkit_snapshot *opened = save_and_open(snapshot, 0);
    vmkit_sandbox *restored = snapshot_guest_fork(opened, NULL);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(snapshot_guest_ask(restored, "await", 0), 1);
        snapshot_guest_reset(restored);
    }
    vmkit_sandbox_unref(restored);
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

static void
check_symbols(vmkit_sandbox *sandbox, uint64_t address)
{
    uint64_t found = 0;
    vmkit_error *error = NULL;
    EXPECT(vmkit_sandbox_find_symbol(sandbox, "main", &found, &error));
    ck_assert_uint_eq(found, address);
}

/* The program is in the file: for its symbols, and to be executed again. */
START_TEST(the_program_is_there)
{
    vmkit_sandbox *sandbox = snapshot_guest_new(NULL);
    vmkit_error *error = NULL;
    uint64_t address = 0;
    EXPECT(vmkit_sandbox_find_symbol(sandbox, "main", &address, &error));
    vmkit_snapshot *snapshot = snapshot_guest_snapshot(sandbox);
    vmkit_snapshot *opened = save_and_open(snapshot, (size_t)_i);
    vmkit_snapshot_unref(snapshot);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox *restored = snapshot_guest_fork(opened, NULL);
    vmkit_sandbox *other = snapshot_guest_fork(opened, NULL);
    check_symbols(restored, address);
    snapshot_guest_do(restored, "execute", 0, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(restored->process.ending.exit_status, 5);
    snapshot_guest_reset(restored);
    check_symbols(restored, address);
    vmkit_snapshot_unref(opened);
    snapshot_guest_do(other, "execute", 0, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(other->process.ending.exit_status, 5);
    vmkit_sandbox_unref(restored);
    vmkit_sandbox_unref(other);
}
END_TEST

/* What another process finds, which has nothing but the file. */
static int
restore_in_child(const char *path, uint64_t address)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_snapshot_open_path(path, 0, NULL, &snapshot, &error));
    vmkit_sandbox *restored = snapshot_guest_fork(snapshot, NULL);
    check_symbols(restored, address);
    uint64_t changed = snapshot_guest_ask(restored, "check", 0);
    snapshot_guest_do(restored, "exit", 7, VMKIT_OUTCOME_EXITED);
    vmkit_sandbox_unref(restored);
    vmkit_snapshot_unref(snapshot);
    return changed == 250 ? 7 : 1;
}

START_TEST(another_process_goes_on_with_it)
{
    make_folder();
    vmkit_error *error = NULL;
    uint64_t address = 0;
    int status = 0, go[2];
    ck_assert_int_eq(pipe(go), 0);
    /* Before this one knows of KVM. */
    pid_t child = fork();
    if (child == 0) {
        if (read(go[0], &address, sizeof address) != sizeof address)
            _exit(2);
        _exit(restore_in_child(name_of("snapshot"), address));
    }
    vmkit_sandbox *sandbox = snapshot_guest_new(NULL);
    snapshot_guest_ask(sandbox, "touch", 250);
    EXPECT(vmkit_sandbox_find_symbol(sandbox, "main", &address, &error));
    vmkit_snapshot *snapshot = snapshot_guest_snapshot(sandbox);
    EXPECT(vmkit_snapshot_save_path(snapshot, name_of("snapshot"), NULL, &error));
    vmkit_snapshot_unref(snapshot);
    vmkit_sandbox_unref(sandbox);
    ck_assert_int_eq(write(go[1], &address, sizeof address), sizeof address);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status 0x%x", status);
    close(go[0]);
    close(go[1]);
    remove_folder();
}
END_TEST

/* A sandbox that has a file of the folder open, as a snapshot. */
static vmkit_snapshot *
take_with_folder(void)
{
    vmkit_sandbox_config *config = snapshot_guest_configure();
    vmkit_error *error = NULL;
    int fd = open(name_of("file"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_eq(write(fd, "one two three", 13), 13);
    close(fd);
    EXPECT(vmkit_sandbox_config_add_folder(config, folder, "/data", 0, &error));
    vmkit_sandbox *sandbox = snapshot_guest_new(config);
    snapshot_guest_do(sandbox, "open-data", 0, VMKIT_OUTCOME_READY);
    ck_assert_uint_eq(snapshot_guest_result(sandbox), 4);
    vmkit_snapshot *snapshot = snapshot_guest_snapshot(sandbox),
                   *opened = save_and_open(snapshot, 0);
    vmkit_snapshot_unref(snapshot);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
    return opened;
}

START_TEST(a_host_folder_is_given_again)
{
    make_folder();
    vmkit_snapshot *opened = take_with_folder();
    vmkit_sandbox_config *config = snapshot_guest_configure();
    vmkit_sandbox *restored = NULL;
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmkit_snapshot_fork(opened, config, &restored, &error), -ENOENT);
    ck_assert_ptr_null(restored);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "\"/data\""));
    vmkit_error_unref(error);
    error = NULL;
    EXPECT(vmkit_sandbox_config_add_folder(config, folder, "/data", 0, &error));
    restored = snapshot_guest_fork(opened, config);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(snapshot_guest_ask(restored, "read-data", 0), 1);
        snapshot_guest_reset(restored);
    }
    vmkit_sandbox_unref(restored);
    restored = NULL;

    /* The folder is there, the file is not. */
    ck_assert_int_eq(unlink(name_of("file")), 0);
    ck_assert_int_eq(vmkit_snapshot_fork(opened, config, &restored, &error), -ENOENT);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "/data/file"));
    vmkit_error_unref(error);
    vmkit_sandbox_config_unref(config);
    vmkit_snapshot_unref(opened);
    remove_folder();
}
END_TEST

START_TEST(limits_are_the_snapshots_or_those_given)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    vmkit_snapshot *opened = save_and_open(snapshot, 0);
    vmkit_sandbox_config *config = snapshot_guest_configure();
    vmkit_sandbox *restored = snapshot_guest_fork(opened, NULL);
    vmkit_error *error = NULL;
    ck_assert_uint_eq(restored->process.limits.memory_bytes, 64 * MIB);
    snapshot_guest_do(restored, "exhaust", 0, VMKIT_OUTCOME_LIMIT);
    vmkit_sandbox_unref(restored);
    restored = NULL;
    vmkit_sandbox_config_set_memory_limit(config, 2 * MIB, NULL);
    ck_assert_int_eq(vmkit_snapshot_fork(opened, config, &restored, &error), -E2BIG);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "2097152"));
    vmkit_error_unref(error);
    vmkit_sandbox_config_unref(config);
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

/* It is one file that is whole, or the former one: never a part. */
static void
check_file_is_whole(void)
{
    vmkit_snapshot_file *file = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_snapshot_file_open_path(name_of("snapshot"), 0, &file, &error));
    EXPECT(vmkit_snapshot_file_verify(file, NULL, &error));
    vmkit_snapshot_file_unref(file);
    vmkit_snapshot *opened = NULL;
    EXPECT(vmkit_snapshot_open_path(name_of("snapshot"), 0, NULL, &opened, &error));
    vmkit_snapshot_unref(opened);
}

START_TEST(a_file_that_grows_too_large_leaves_the_former_one)
{
    make_folder();
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    vmkit_error *error = NULL;
    struct rlimit limit, small = {.rlim_cur = MIB, .rlim_max = RLIM_INFINITY};
    EXPECT(vmkit_snapshot_save_path(snapshot, name_of("snapshot"), NULL, &error));
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small.rlim_max = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    int r = vmkit_snapshot_save_path(snapshot, name_of("snapshot"), NULL, &error);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(r, -E2BIG);
    vmkit_error_unref(error);
    check_file_is_whole();
    vmkit_snapshot_unref(snapshot);
    /* And nothing else: the folder is empty afterwards. */
    remove_folder();
}
END_TEST

static int32_t
cancel_at(void *user_data, uint64_t done, uint64_t total)
{
    return done > total / 100 * *(uint64_t *)user_data;
}

START_TEST(a_save_that_is_cancelled_leaves_the_former_file)
{
    make_folder();
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    vmkit_snapshot_options *options = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_snapshot_save_path(snapshot, name_of("snapshot"), NULL, &error));
    EXPECT(vmkit_snapshot_options_new(&options, &error));
    for (uint64_t percent = 0; percent < 90; percent += 30) {
        EXPECT(vmkit_snapshot_options_set_progress(options, cancel_at, &percent, &error));
        ck_assert_int_eq(vmkit_snapshot_save_path(snapshot, name_of("snapshot"), options, &error),
                         -ECANCELED);
        vmkit_error_unref(error);
        error = NULL;
        check_file_is_whole();
    }
    vmkit_snapshot_options_unref(options);
    vmkit_snapshot_unref(snapshot);
    remove_folder();
}
END_TEST

/* A process that saves over and over is killed, at other points each time. */
START_TEST(a_save_that_is_killed_leaves_a_whole_file)
{
    make_folder();
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    vmkit_snapshot_options *options = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_snapshot_options_new(&options, &error));
    EXPECT(vmkit_snapshot_options_set_sync(options, 0, &error));
    EXPECT(vmkit_snapshot_options_set_threads(options, 1, &error));
    EXPECT(vmkit_snapshot_save_path(snapshot, name_of("snapshot"), options, &error));
    for (unsigned i = 0; i < 40; i++) {
        pid_t child = fork();
        while (child == 0)
            vmkit_snapshot_save_path(snapshot, name_of("snapshot"), options, NULL);
        usleep(500 + i * 700);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        check_file_is_whole();
    }
    vmkit_snapshot_options_unref(options);
    vmkit_snapshot_unref(snapshot);
    /* What it left behind is its own. */
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

__asm__(".section .rodata\ngolden_sandbox: .incbin \"" GOLDEN_SANDBOX "\"\n"
        "golden_clocks: .incbin \"" GOLDEN_CLOCKS "\"\n"
        "golden_end: .byte 0\n.text\n");
extern const uint8_t golden_sandbox[] __attribute__((visibility("hidden")));
extern const uint8_t golden_clocks[] __attribute__((visibility("hidden")));
extern const uint8_t golden_end[] __attribute__((visibility("hidden")));

/* The clocks that the second of the files has; the first one is of before there were any. */
static const uint64_t golden_times[VMK_CLOCK_KEPT] = {
    UINT64_C(30414409214929), UINT64_C(30414159605000), UINT64_C(30414409215019)};

static void
check_golden_clocks(const vmkit_snapshot *opened, bool has_clocks)
{
    const struct vmk_process_snapshot *own = (const struct vmk_process_snapshot *)opened;
    ck_assert_int_eq(own->has_clocks, has_clocks);
    for (int i = 0; i < VMK_CLOCK_KEPT && has_clocks; i++)
        ck_assert_uint_eq(own->clocks[i], golden_times[i]);
}

/* A file of guests/small.c that was kept is opened for ever. Whether it runs is up to the host. */
START_TEST(a_file_of_version_1_is_opened)
{
    const uint8_t *golden = _i == 0 ? golden_sandbox : golden_clocks;
    size_t size = (size_t)((_i == 0 ? golden_clocks : golden_end) - golden);
    struct vmkit_snapshot_info info = {.size = sizeof info};
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox *restored = NULL;
    vmkit_error *error = NULL;
    int fd = memfd_create("golden", MFD_CLOEXEC);
    ck_assert_int_eq(write(fd, golden, size), (ssize_t)size);
    vmkit_snapshot *opened = snapshot_guest_open(fd, 0);
    ck_assert_int_eq(vmkit_snapshot_get_info(opened, &info, NULL), 0);
    ck_assert_uint_eq(info.kind, VMKIT_SNAPSHOT_OF_SANDBOX);
    ck_assert_uint_eq(info.memory_limit_bytes, 256 * MIB);
    check_golden_clocks(opened, _i == 1);
    int r = vmkit_snapshot_fork(opened, NULL, &restored, &error);
    if (r == 0) {
        EXPECT(vmkit_sandbox_run(restored, &outcome, &error));
        ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_EXITED);
        ck_assert_int_eq(outcome.exit_status, 7);
        vmkit_sandbox_unref(restored);
    } else {
        ck_assert_int_eq(r, -ENOTSUP);
        ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_KVM_INCAPABLE);
        ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "the snapshot's processor"));
        vmkit_error_unref(error);
    }
    vmkit_snapshot_unref(opened);
    close(fd);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("snapshot_restore");
    TCase *tcase = tcase_create("snapshot_restore");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_restored_sandbox_goes_on_where_the_snapshot_was_taken, 0, WAYS);
    tcase_add_loop_test(tcase, it_says_of_itself_what_the_one_in_memory_says, 0, WAYS);
    tcase_add_loop_test(tcase, all_of_a_program_is_restored, 0, WAYS);
    tcase_add_test(tcase, one_that_was_never_run_is_restored);
    tcase_add_test(tcase, one_that_was_restored_is_saved_again);
    tcase_add_test(tcase, a_snapshot_that_was_opened_is_saved_without_a_change);
    tcase_add_test(tcase, timers_and_offsets_go_on);
    tcase_add_loop_test(tcase, the_program_is_there, 0, WAYS);
    tcase_add_test(tcase, another_process_goes_on_with_it);
    tcase_add_test(tcase, a_host_folder_is_given_again);
    tcase_add_test(tcase, limits_are_the_snapshots_or_those_given);
    tcase_add_test(tcase, a_file_that_grows_too_large_leaves_the_former_one);
    tcase_add_test(tcase, a_save_that_is_cancelled_leaves_the_former_file);
    tcase_add_test(tcase, a_save_that_is_killed_leaves_a_whole_file);
    tcase_add_loop_test(tcase, a_file_of_version_1_is_opened, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
