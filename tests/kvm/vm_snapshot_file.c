/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw VMs through files. A computation is stopped anywhere, saved in each way that there is, and
 * goes on from the file; and a small file, of which each part is damaged in turn, is refused or
 * does no harm.
 */
#include "compute_guest.h"
#include "usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)

static char folder[] = "/tmp/vmkit-snapshots.XXXXXX";
static vmkit_snapshot_options *options;

static void
set_up(void)
{
    memcpy(strrchr(folder, '.'), ".XXXXXX", 7);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ASSERT_OK(vmkit_snapshot_options_new(&options, &error));
    /* Here a file has to survive no more than the test. */
    ASSERT_OK(vmkit_snapshot_options_set_sync(options, 0, &error));
}

static void
tear_down(void)
{
    DIR *names = opendir(folder);
    for (struct dirent *entry; (entry = readdir(names)) != NULL;)
        unlinkat(dirfd(names), entry->d_name, 0);
    closedir(names);
    ck_assert_int_eq(rmdir(folder), 0);
    vmkit_snapshot_options_unref(options);
}

/* The path of file `number`, in a buffer that the fourth call from here uses again. */
static const char *
path_of(unsigned int number)
{
    static char paths[4][64];
    static size_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%u", folder, number);
    return path;
}

static void
save(vmkit_snapshot *snapshot, vmkit_snapshot *parent, uint32_t level, const char *path)
{
    ASSERT_OK(vmkit_snapshot_options_set_compression(options, level, &error));
    ASSERT_OK(vmkit_snapshot_options_set_parent(options, parent, &error));
    ASSERT_OK(vmkit_snapshot_save_path(snapshot, path, options, &error));
}

static vmkit_snapshot *
open_file(const char *path, uint64_t flags, vmkit_snapshot *parent)
{
    vmkit_snapshot *snapshot = NULL;
    ASSERT_OK(vmkit_snapshot_options_set_parent(options, parent, &error));
    ASSERT_OK(vmkit_snapshot_open_path(path, flags, options, &snapshot, &error));
    return snapshot;
}

static struct vmkit_snapshot_file_info
get_file_info(const char *path)
{
    struct vmkit_snapshot_file_info info = {.size = sizeof info};
    vmkit_snapshot_file *file = NULL;
    ASSERT_OK(vmkit_snapshot_file_open_path(path, 0, &file, &error));
    ASSERT_OK(vmkit_snapshot_file_verify(file, NULL, &error));
    ASSERT_OK(vmkit_snapshot_file_get_info(file, &info, &error));
    vmkit_snapshot_file_unref(file);
    return info;
}

/* The ways from one VM to the next. Those with a parent are on top of the file before. */
static const struct way {
    uint32_t level;
    uint64_t flags;  /* of the open */
    bool increment;  /* what differs from the file before */
    uint64_t tracks; /* of the VM that is made */
} ways[] = {
    {0, 0, false, VMKIT_VM_SNAPSHOT_TRACK},
    {0, 0, true, 0},
    {1, 0, true, VMKIT_VM_SNAPSHOT_TRACK},
    {0, VMKIT_SNAPSHOT_FILE_COPY, true, 0},
    {0, VMKIT_SNAPSHOT_FILE_COPY, false, 0},
    {6, 0, false, VMKIT_VM_SNAPSHOT_TRACK},
    {6, 0, true, 0},
    {0, 0, true, VMKIT_VM_SNAPSHOT_TRACK},
};

/* The next VM takes the place of this one, and its snapshot that of the former one. */
static void
hop(struct compute *machine, vmkit_snapshot **opened, const struct way *way)
{
    vmkit_snapshot *parent = way->increment ? *opened : NULL;
    vmkit_snapshot *snapshot = compute_take(machine, parent, 0);
    save(snapshot, parent, way->level, path_of(0));
    vmkit_snapshot_unref(snapshot);
    snapshot = open_file(path_of(0), way->flags, parent);
    ASSERT_OK(vmkit_snapshot_options_set_parent(options, NULL, &error));
    compute_free(machine);
    vmkit_snapshot_unref(*opened);
    *opened = snapshot;
    *machine = compute_restore(snapshot, way->tracks);
}

static void
assert_survives(uint32_t controller, bool user, unsigned int hops)
{
    struct compute machine = compute_new(controller, 1, user, COMPUTE_ENDLESS);
    vmkit_snapshot *opened = NULL;
    uint32_t most_ns = 100000;
    uint64_t rounds = 0;
    compute_kicker_start();
    for (unsigned int i = 0; i < hops; i++) {
        compute_get_on(machine.vcpus[0], rounds, &most_ns);
        hop(&machine, &opened, &ways[i % (sizeof ways / sizeof ways[0])]);
        rounds = compute_get_rounds(machine.vcpus[0]);
    }
    compute_kicker_stop();
    vmkit_snapshot_unref(opened);
    rounds += 100;
    compute_set_word(&machine, COMPUTE_DATA + COMPUTE_ROUNDS, rounds);
    compute_run(machine.vcpus[0], VMKIT_EXIT_MMIO);
    compute_assert_result(&machine, 0, user, rounds);
    compute_free(&machine);
}

START_TEST(user_mode_survives_files)
{
    assert_survives(VMKIT_INTERRUPT_CONTROLLER_NONE, true, 48);
}
END_TEST

START_TEST(user_mode_with_a_local_controller_survives_files)
{
    assert_survives(VMKIT_INTERRUPT_CONTROLLER_SPLIT, true, 16);
}
END_TEST

START_TEST(user_mode_with_all_controllers_survives_files)
{
    assert_survives(VMKIT_INTERRUPT_CONTROLLER_KERNEL, true, 8);
}
END_TEST

START_TEST(supervisor_mode_survives_files)
{
    assert_survives(VMKIT_INTERRUPT_CONTROLLER_NONE, false, 8);
}
END_TEST

static void
finish_in_a_child(const char *path)
{
    vmkit_snapshot *snapshot = open_file(path, 0, NULL);
    struct compute machine = compute_restore(snapshot, 0);
    uint64_t rounds = compute_get_rounds(machine.vcpus[0]) + 1000;
    compute_set_word(&machine, COMPUTE_DATA + COMPUTE_ROUNDS, rounds);
    compute_run(machine.vcpus[0], VMKIT_EXIT_MMIO);
    compute_assert_result(&machine, 0, true, rounds);
    compute_free(&machine);
    vmkit_snapshot_unref(snapshot);
}

START_TEST(another_process_goes_on_with_it)
{
    struct compute machine = compute_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 1, true, COMPUTE_ENDLESS);
    uint32_t most_ns = 100000;
    int status = 0;
    compute_kicker_start();
    compute_get_on(machine.vcpus[0], 0, &most_ns);
    compute_kicker_stop();
    vmkit_snapshot *snapshot = compute_take(&machine, NULL, 0);
    save(snapshot, NULL, 0, path_of(0));
    vmkit_snapshot_unref(snapshot);
    compute_free(&machine);
    pid_t child = fork();
    if (child == 0) {
        finish_in_a_child(path_of(0));
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

#define LINKS 6

static vmkit_snapshot_file *
open_chain(unsigned int last)
{
    vmkit_snapshot_file *parent = NULL, *file = NULL;
    for (unsigned int i = 0; i <= last; i++) {
        ASSERT_OK(vmkit_snapshot_file_open_path(path_of(i), 0, &file, &error));
        if (i > 0)
            ASSERT_OK(vmkit_snapshot_file_set_parent(file, parent, &error));
        vmkit_snapshot_file_unref(parent);
        parent = file;
    }
    return file;
}

static uint8_t *
read_file(const char *path, size_t *ret_size)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(fstat(fd, &status), 0);
    uint8_t *data = malloc((size_t)status.st_size);
    ck_assert_int_eq(read(fd, data, (size_t)status.st_size), status.st_size);
    close(fd);
    *ret_size = (size_t)status.st_size;
    return data;
}

static void
assert_same_files(const char *one, const char *other)
{
    size_t sizes[2];
    uint8_t *data[2] = {read_file(one, &sizes[0]), read_file(other, &sizes[1])};
    ck_assert_uint_eq(sizes[0], sizes[1]);
    ck_assert_mem_eq(data[0], data[1], sizes[0]);
    free(data[0]);
    free(data[1]);
}

START_TEST(a_merged_chain_is_the_full_save_of_that_moment)
{
    const char *full = NULL;
    struct compute machine = compute_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 1, true, COMPUTE_ENDLESS);
    vmkit_snapshot *parent = NULL;
    uint32_t most_ns = 100000;
    uint64_t rounds = 0;
    compute_kicker_start();
    for (unsigned int i = 0; i < LINKS; i++) {
        uint32_t level = i % 3 == 1 ? 6 : 0;
        compute_get_on(machine.vcpus[0], rounds, &most_ns);
        rounds = compute_get_rounds(machine.vcpus[0]);
        vmkit_snapshot *snapshot = compute_take(&machine, parent, VMKIT_VM_SNAPSHOT_TRACK);
        full = path_of(100);
        save(snapshot, NULL, level, full);
        save(snapshot, parent, i % 2 == 0 ? 0 : 1, path_of(i));
        vmkit_snapshot_file *file = open_chain(i);
        ASSERT_OK(vmkit_snapshot_options_set_compression(options, level, &error));
        ASSERT_OK(vmkit_snapshot_file_merge_path(file, path_of(101), options, &error));
        vmkit_snapshot_file_unref(file);
        assert_same_files(path_of(100), path_of(101));
        /* The computation has its code, tables, seeds, stack and data; it writes to few of them. */
        if (i > 0)
            ck_assert_uint_le(get_file_info(path_of(i)).data_pages, 4);
        vmkit_snapshot_unref(parent);
        parent = snapshot;
    }
    compute_kicker_stop();
    ASSERT_OK(vmkit_snapshot_options_set_parent(options, NULL, &error));
    vmkit_snapshot_unref(parent);
    compute_free(&machine);
}
END_TEST

START_TEST(where_the_guest_has_not_run_an_increment_has_no_page)
{
    struct compute machine = compute_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 1, true, COMPUTE_ENDLESS);
    for (uint64_t flags = 0; flags <= VMKIT_VM_SNAPSHOT_TRACK; flags++) {
        vmkit_snapshot *base = compute_take(&machine, NULL, flags);
        vmkit_snapshot *next = compute_take(&machine, base, 0);
        save(base, NULL, 0, path_of(0));
        save(next, base, 0, path_of(1));
        ck_assert_uint_eq(get_file_info(path_of(1)).data_pages, 0);
        ck_assert_uint_eq(get_file_info(path_of(1)).zero_pages, 0);
        ASSERT_OK(vmkit_snapshot_options_set_parent(options, NULL, &error));
        vmkit_snapshot_unref(base);
        vmkit_snapshot_unref(next);
    }
    compute_free(&machine);
}
END_TEST

START_TEST(a_restore_that_fails_leaves_nothing_behind)
{
    struct compute machine = compute_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 2, true, 1);
    vmkit_snapshot *snapshot = compute_take(&machine, NULL, 0), *opened = NULL;
    vmkit_vcpu *vcpus[COMPUTE_VCPUS] = {NULL};
    vmkit_vm *vm = NULL;
    uint32_t count = 0;
    save(snapshot, NULL, 0, path_of(0));
    save(snapshot, snapshot, 0, path_of(1));
    ASSERT_OK(vmkit_snapshot_options_set_parent(options, NULL, &error));
    unsigned long descriptors = usage_count_descriptors();
    ASSERT_FAILS(vmkit_snapshot_open_path(path_of(1), 0, NULL, &opened, &error), ENOENT,
                 VMKIT_ERROR_NOT_FOUND, "it needs its parent");
    ck_assert_uint_eq(usage_count_descriptors(), descriptors);
    opened = open_file(path_of(0), 0, NULL);
    ck_assert_uint_eq(usage_count_descriptors(), descriptors + 1);
    ASSERT_FAILS(vmkit_vm_new_from_snapshot(opened, NULL, 0, vcpus, 1, &count, &vm, &error), E2BIG,
                 VMKIT_ERROR_LIMIT, "2 vCPUs, and there is room for 1");
    ck_assert_uint_eq(usage_count_descriptors(), descriptors + 1);
    ck_assert_ptr_null(vm);
    ck_assert_ptr_null(vcpus[0]);
    vmkit_snapshot_unref(opened);
    ck_assert_uint_eq(usage_count_descriptors(), descriptors);
    vmkit_snapshot_unref(snapshot);
    compute_free(&machine);
}
END_TEST

/* A file of as little as there can be: one page of code, and a vCPU that goes to its doorbell. */
static uint8_t *
make_small_file(uint32_t level, size_t *ret_size)
{
    /* out %al,$0x10; jmp */
    static const uint8_t code[] = {0xe6, 0x10, 0xeb, 0xfc};
    struct guest guest;
    vmkit_snapshot *snapshot = NULL;
    guest_new_real(&guest, code, sizeof code);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ASSERT_OK(vmkit_vm_snapshot(guest.vm, NULL, 0, &snapshot, &error));
    save(snapshot, NULL, level, path_of(0));
    vmkit_snapshot_unref(snapshot);
    guest_free(&guest);
    return read_file(path_of(0), ret_size);
}

static int
open_bytes(int fd, vmkit_snapshot **ret_snapshot)
{
    vmkit_error *error = NULL;
    int result = vmkit_snapshot_open_fd(fd, 0, NULL, ret_snapshot, &error);
    ck_assert_int_eq(result < 0, error != NULL);
    ck_assert(result == 0 || result == -EINVAL || result == -ENOTSUP);
    if (error != NULL)
        ck_assert_uint_gt(strlen(vmkit_error_get_message(error)), 16);
    vmkit_error_unref(error);
    return result;
}

/* Every so many bits are flipped of what is not read before it is needed. */
#define LAZY_STEP 251
/* Where that takes long, every so many of the others, which come by each bit of a byte. */
#define SLOW_STEP 23

START_TEST(a_file_that_is_cut_is_refused)
{
    size_t size;
    uint8_t *data = make_small_file((uint32_t)_i, &size);
    vmkit_snapshot *snapshot = NULL;
    int fd = memfd_create("test", MFD_CLOEXEC);
    ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
    unsigned long descriptors = usage_count_descriptors();
    while (size-- > 0) {
        if (size % harness_get_step(SLOW_STEP) != 0)
            continue;
        ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
        ck_assert_int_eq(open_bytes(fd, &snapshot), -EINVAL);
    }
    ck_assert_uint_eq(usage_count_descriptors(), descriptors);
    close(fd);
    free(data);
}
END_TEST

/* Whatever its memory holds, the library has a VM of it, and gets it back. */
static void
use(vmkit_snapshot *snapshot)
{
    struct guest guest = {.exit.size = sizeof guest.exit};
    ASSERT_OK(
        vmkit_vm_new_from_snapshot(snapshot, NULL, 0, &guest.vcpu, 1, NULL, &guest.vm, &error));
    vmkit_vcpu_kick(guest.vcpu);
    guest_run(&guest, VMKIT_EXIT_KICKED);
    guest_free(&guest);
}

/* Every bit, but for those of the one page of memory when it is mapped unread, of which some. */
START_TEST(a_bit_that_flips_is_refused_or_harmless)
{
    size_t size, accepted = 0, refused = 0, unread = _i == 0 ? PAGE : 0;
    size_t step = harness_get_step(SLOW_STEP);
    uint8_t *data = make_small_file((uint32_t)_i, &size);
    int fd = memfd_create("test", MFD_CLOEXEC);
    ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
    for (size_t bit = 0; bit < size * 8;) {
        vmkit_snapshot *snapshot = NULL;
        uint8_t byte = data[bit / 8] ^ (uint8_t)(1 << bit % 8);
        ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
        if (open_bytes(fd, &snapshot) == 0) {
            use(snapshot);
            vmkit_snapshot_unref(snapshot);
            accepted++;
        }
        ck_assert_int_eq(pwrite(fd, &data[bit / 8], 1, (off_t)(bit / 8)), 1);
        refused += snapshot == NULL;
        bit += snapshot == NULL ? step : LAZY_STEP;
    }
    /* That page, and a few bytes between parts. */
    ck_assert_uint_ge(accepted, unread * 8 / LAZY_STEP);
    ck_assert_uint_le(accepted, (unread + 64) * 8 / LAZY_STEP + 1);
    ck_assert_uint_gt(refused, 8 * 8000 / step);
    close(fd);
    free(data);
}
END_TEST

START_TEST(a_full_disk_is_an_error)
{
    struct compute machine = compute_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 1, true, 1);
    vmkit_snapshot *snapshot = compute_take(&machine, NULL, 0);
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    ASSERT_FAILS(vmkit_snapshot_save_fd(snapshot, fd, NULL, &error), ENOSPC, VMKIT_ERROR_IO,
                 "No space left");
    close(fd);
    /* It has no file for it, and none is its parent's. */
    ASSERT_OK(vmkit_snapshot_options_set_parent(options, snapshot, &error));
    ASSERT_FAILS(vmkit_snapshot_save_path(snapshot, path_of(0), options, &error), EINVAL,
                 VMKIT_ERROR_INVALID_ARGUMENT, "the parent has no file");
    ck_assert_int_eq(access(path_of(0), F_OK), -1);
    ASSERT_OK(vmkit_snapshot_options_set_parent(options, NULL, &error));
    vmkit_snapshot_unref(snapshot);
    compute_free(&machine);
}
END_TEST

static void *
save_and_open(void *argument)
{
    vmkit_snapshot *snapshot = argument, *opened = NULL;
    int fd = memfd_create("test", MFD_CLOEXEC);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
        ASSERT_OK(vmkit_snapshot_save_fd(snapshot, fd, NULL, &error));
        ASSERT_OK(vmkit_snapshot_open_fd(fd, 0, NULL, &opened, &error));
        struct compute machine = compute_restore(opened, 0);
        compute_run(machine.vcpus[0], VMKIT_EXIT_MMIO);
        compute_assert_result(&machine, 0, true, 50);
        compute_free(&machine);
        vmkit_snapshot_unref(opened);
    }
    close(fd);
    return NULL;
}

START_TEST(threads_save_one_snapshot_at_once)
{
    struct compute machine = compute_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 1, true, 50);
    vmkit_snapshot *snapshot = compute_take(&machine, NULL, 0);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, save_and_open, snapshot), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    vmkit_snapshot_unref(snapshot);
    compute_free(&machine);
}
END_TEST

START_TEST(arguments_are_checked)
{
    struct compute machine = compute_new(VMKIT_INTERRUPT_CONTROLLER_NONE, 1, true, 1);
    vmkit_snapshot *snapshot = compute_take(&machine, NULL, 0), *opened = NULL;
    ck_assert_int_eq(vmkit_snapshot_save_path(NULL, path_of(0), NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_save_path(snapshot, NULL, NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_save_path(snapshot, "", NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_save_path(snapshot, folder, NULL, NULL), -EISDIR);
    ck_assert_int_eq(vmkit_snapshot_save_fd(NULL, 1, NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_save_fd(snapshot, -1, NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_open_path(NULL, 0, NULL, &opened, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_open_path(path_of(0), 2, NULL, &opened, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_open_path(path_of(0), 0, NULL, NULL, NULL), -EINVAL);
    ASSERT_FAILS(vmkit_snapshot_open_path(path_of(0), 0, NULL, &opened, &error), ENOENT,
                 VMKIT_ERROR_NOT_FOUND, path_of(0));
    ck_assert_int_eq(vmkit_snapshot_open_path(folder, 0, NULL, &opened, NULL), -EISDIR);
    ck_assert_int_eq(vmkit_snapshot_open_fd(-1, 0, NULL, &opened, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_open_fd(0, 0, NULL, NULL, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_open_fd(0, 4, NULL, &opened, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_options_set_parent(NULL, snapshot, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_options_set_memory_limit(NULL, 1, NULL), -EINVAL);
    ck_assert_ptr_null(opened);
    vmkit_snapshot_unref(snapshot);
    compute_free(&machine);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_snapshot_file");
    TCase *tcase = tcase_create("vm_snapshot_file");

    tcase_set_timeout(tcase, 280);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, user_mode_survives_files);
    tcase_add_test(tcase, user_mode_with_a_local_controller_survives_files);
    tcase_add_test(tcase, user_mode_with_all_controllers_survives_files);
    tcase_add_test(tcase, supervisor_mode_survives_files);
    tcase_add_test(tcase, another_process_goes_on_with_it);
    tcase_add_test(tcase, a_merged_chain_is_the_full_save_of_that_moment);
    tcase_add_test(tcase, where_the_guest_has_not_run_an_increment_has_no_page);
    tcase_add_test(tcase, a_restore_that_fails_leaves_nothing_behind);
    tcase_add_loop_test(tcase, a_file_that_is_cut_is_refused, 0, 2);
    tcase_add_loop_test(tcase, a_bit_that_flips_is_refused_or_harmless, 0, 2);
    tcase_add_test(tcase, a_full_disk_is_an_error);
    tcase_add_test(tcase, threads_save_one_snapshot_at_once);
    tcase_add_test(tcase, arguments_are_checked);
    suite_add_tcase(suite, tcase);
    return suite;
}
