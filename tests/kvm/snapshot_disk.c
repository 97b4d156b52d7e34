/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving a sandbox and a raw VM to a disk that is full, that takes a few bytes at a time, or that
 * fails, and in a process that is killed at any call. A save is whole or it is not there: the
 * former file stays, and nothing else is left behind.
 *
 * The full disk is a small tmpfs in a mount namespace of the test's own, as root or in a user
 * namespace. Where the host allows neither, that is printed, and what is left is a disk of so many
 * bytes as a writev() of the test's plays it, which is tested everywhere.
 */
#include "../api/assert.h"
#include "harness.h"
#include "snapshot_guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define NO_END UINT64_MAX

/* What the calls of a save do: that of this number fails, with 0 it kills the process; writev()
 * takes so many bytes in all and is full then; it hesitates. */
static struct {
    unsigned calls, fail_at;
    int fail_with;
    uint64_t room;
    bool hesitates;
} disk;

ssize_t
__real_writev(int fd, const struct iovec *iov, int count);
ssize_t
__wrap_writev(int fd, const struct iovec *iov, int count);
int
__real_linkat(int folder, const char *path, int new_folder, const char *new_path, int flags);
int
__wrap_linkat(int folder, const char *path, int new_folder, const char *new_path, int flags);
int
__real_renameat(int folder, const char *path, int new_folder, const char *new_path);
int
__wrap_renameat(int folder, const char *path, int new_folder, const char *new_path);
int
__wrap_fsync(int fd);

/* Count a call, and say whether it fails. */
static bool
strikes(void)
{
    if (++disk.calls != disk.fail_at)
        return false;
    if (disk.fail_with == 0)
        raise(SIGKILL);
    errno = disk.fail_with;
    return true;
}

int
__wrap_linkat(int folder, const char *path, int new_folder, const char *new_path, int flags)
{
    return strikes() ? -1 : __real_linkat(folder, path, new_folder, new_path, flags);
}

int
__wrap_renameat(int folder, const char *path, int new_folder, const char *new_path)
{
    return strikes() ? -1 : __real_renameat(folder, path, new_folder, new_path);
}

/* Here a file has to survive no more than the test. */
int
__wrap_fsync(int fd)
{
    (void)fd;
    return strikes() ? -1 : 0;
}

ssize_t
__wrap_writev(int fd, const struct iovec *iov, int count)
{
    size_t most = iov->iov_len;
    if (strikes())
        return -1;
    if (disk.hesitates && disk.calls % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    if (!disk.hesitates && disk.room == NO_END)
        return __real_writev(fd, iov, count);
    if (disk.hesitates && most > 1 + disk.calls * 997 % 5000)
        most = 1 + disk.calls * 997 % 5000;
    if (most > disk.room)
        most = (size_t)disk.room;
    if (most == 0 && iov->iov_len != 0) {
        errno = ENOSPC;
        return -1;
    }
    const struct iovec part = {.iov_base = iov->iov_base, .iov_len = most};
    ssize_t written = __real_writev(fd, &part, 1);
    if (written > 0 && disk.room != NO_END)
        disk.room -= (uint64_t)written;
    return written;
}

static void
be_healthy(void)
{
    memset(&disk, 0, sizeof disk);
    disk.room = NO_END;
}

/* Each test saves a sandbox and a raw VM, raw and compressed. */
#define WAYS 4

static char folder[64];
static vmkit_snapshot_options *options;
static vmkit_snapshot *snapshot;

static const char *
name_of(const char *name)
{
    static char paths[4][128];
    static size_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

#define VM_MEMORY (1u << 20)
#define VM_CODE 0x1000

/* One with a megabyte that zlib makes no smaller, whose guest goes to a port again and again. */
static vmkit_snapshot *
take_vm(void)
{
    static const uint8_t code[] = {0xe6, 0x10, 0xeb, 0xfc}; /* out %al,$0x10; jmp */
    vmkit_vm *vm = NULL;
    vmkit_vcpu *vcpu = NULL;
    vmkit_memory *memory = NULL;
    vmkit_snapshot *taken = NULL;
    uint64_t seed = 1;
    ASSERT_OK(vmkit_vm_new(NULL, &vm, &error));
    ASSERT_OK(vmkit_memory_new_anonymous(VM_MEMORY, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(vm, 0, memory, 0, VM_MEMORY, 0, &error));
    uint8_t *bytes = vmkit_memory_get_pointer(memory);
    for (size_t i = 0; i < VM_MEMORY; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        bytes[i] = (uint8_t)(seed >> 56);
    }
    memcpy(bytes + VM_CODE, code, sizeof code);
    ASSERT_OK(vmkit_vcpu_new(vm, 0, &vcpu, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_real_mode(vcpu, VM_CODE, 2 * VM_CODE, &error));
    ASSERT_OK(vmkit_vm_snapshot(vm, NULL, 0, &taken, &error));
    vmkit_memory_unref(memory);
    vmkit_vcpu_unref(vcpu);
    vmkit_vm_unref(vm);
    return taken;
}

static void
set_up(int way)
{
    be_healthy();
    snprintf(folder, sizeof folder, "/tmp/vmkit-disk-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snapshot = way / 2 == 0 ? snapshot_guest_take(NULL) : take_vm();
    ASSERT_OK(vmkit_snapshot_options_new(&options, &error));
    ASSERT_OK(vmkit_snapshot_options_set_threads(options, 1, &error));
    ASSERT_OK(vmkit_snapshot_options_set_compression(options, (uint32_t)way % 2, &error));
}

static unsigned
count_files(void)
{
    unsigned count = 0;
    DIR *names = opendir(folder);
    for (struct dirent *entry; (entry = readdir(names)) != NULL;)
        count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
    closedir(names);
    return count;
}

static void
tear_down(void)
{
    unlink(name_of("snapshot"));
    unlink(name_of("other"));
    ck_assert_int_eq(rmdir(folder), 0);
    vmkit_snapshot_options_unref(options);
    vmkit_snapshot_unref(snapshot);
}

/* The number of the call to fail after this one, of a save that makes so many: each natively; where
 * that takes long, each of the first and last, and some of those between, which write pages. */
static unsigned
get_next_call(unsigned at, unsigned calls)
{
    const unsigned edge = 4;
    unsigned next = at + harness_get_step(9);
    if (at < edge || at + edge >= calls)
        return at + 1;
    return next + edge < calls ? next : calls - edge;
}

static uint8_t *
read_file(const char *path, size_t *ret_size)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(fstat(fd, &status), 0);
    uint8_t *data = malloc((size_t)status.st_size + 1);
    ck_assert_ptr_nonnull(data);
    ck_assert_int_eq(read(fd, data, (size_t)status.st_size), status.st_size);
    close(fd);
    *ret_size = (size_t)status.st_size;
    return data;
}

/* Returns how many calls it took. */
static unsigned
save_former_file(void)
{
    disk.calls = 0;
    ASSERT_OK(vmkit_snapshot_save_path(snapshot, name_of("snapshot"), options, &error));
    unsigned calls = disk.calls;
    ck_assert_uint_eq(count_files(), 1);
    be_healthy();
    return calls;
}

/* It is a file that is whole, and the only one but for `others`. */
static void
check_former_file(const uint8_t *former, size_t size, unsigned others)
{
    size_t now_size;
    vmkit_snapshot_file *file = NULL;
    uint8_t *now = read_file(name_of("snapshot"), &now_size);
    ck_assert_uint_eq(now_size, size);
    ck_assert_int_eq(memcmp(now, former, size), 0);
    free(now);
    ASSERT_OK(vmkit_snapshot_file_open_path(name_of("snapshot"), 0, &file, &error));
    ASSERT_OK(vmkit_snapshot_file_verify(file, NULL, &error));
    vmkit_snapshot_file_unref(file);
    ck_assert_uint_eq(count_files(), 1 + others);
}

/* What has its place can be opened, and goes on. */
static void
check_that_it_goes_on(int way)
{
    vmkit_snapshot *opened = NULL;
    vmkit_vm *vm = NULL;
    vmkit_vcpu *vcpu = NULL;
    struct vmkit_exit exit = {.size = sizeof exit};
    ASSERT_OK(vmkit_snapshot_open_path(name_of("snapshot"), 0, NULL, &opened, &error));
    if (way / 2 == 0) {
        vmkit_sandbox *sandbox = snapshot_guest_fork(opened, NULL);
        ck_assert_uint_eq(snapshot_guest_ask(sandbox, "check", 0), 0);
        vmkit_sandbox_unref(sandbox);
    } else {
        ASSERT_OK(vmkit_vm_new_from_snapshot(opened, NULL, 0, &vcpu, 1, NULL, &vm, &error));
        ASSERT_OK(vmkit_vcpu_run(vcpu, &exit, &error));
        ck_assert_uint_eq(exit.reason, VMKIT_EXIT_PIO);
        vmkit_vcpu_unref(vcpu);
        vmkit_vm_unref(vm);
    }
    vmkit_snapshot_unref(opened);
}

static void
assert_full(const char *path)
{
    ASSERT_FAILS(vmkit_snapshot_save_path(snapshot, path, options, &error), ENOSPC, VMKIT_ERROR_IO,
                 "No space left on device");
    ASSERT_FAILS(vmkit_snapshot_save_path(snapshot, path, options, &error), ENOSPC, VMKIT_ERROR_IO,
                 path);
}

static bool
write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return done;
}

/* A namespace of mounts, of whatever kind the host gives to this process. */
static bool
enter_namespace(void)
{
    char map[64];
    snprintf(map, sizeof map, "0 %u 1", (unsigned)getuid());
    if (unshare(CLONE_NEWNS) < 0 &&
        (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || !write_text("/proc/self/uid_map", map)))
        return false;
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static bool
mount_disk(uint64_t size)
{
    char text[64];
    snprintf(text, sizeof text, "size=%llu,mode=700", (unsigned long long)size);
    return enter_namespace() && mount("tmpfs", folder, "tmpfs", 0, text) == 0;
}

/* Take up all of the disk but for so many bytes. */
static void
fill_disk(uint64_t left)
{
    static const uint8_t page[PAGE] = {1};
    int fd = open(name_of("other"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint64_t size = 0;
    ck_assert_int_ge(fd, 0);
    while (write(fd, page, sizeof page) == (ssize_t)sizeof page)
        size += sizeof page;
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_uint_gt(size, left);
    ck_assert_int_eq(ftruncate(fd, (off_t)(size - left)), 0);
    close(fd);
}

START_TEST(a_full_disk_leaves_the_former_file)
{
    set_up(_i);
    if (!mount_disk(32 << 20)) {
        printf("# no file system can be mounted here: %s\n", strerror(errno));
        fflush(stdout);
        tear_down();
        return;
    }
    save_former_file();
    size_t size;
    uint8_t *former = read_file(name_of("snapshot"), &size);
    const uint64_t left[] = {0, PAGE, 16 * PAGE, size / 2, (size - 1) / PAGE * PAGE};
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        fill_disk(left[i]);
        assert_full(name_of("snapshot"));
        check_former_file(former, size, 1);
        /* To a descriptor, where nothing was. */
        int fd = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        ASSERT_FAILS(vmkit_snapshot_save_fd(snapshot, fd, options, &error), ENOSPC, VMKIT_ERROR_IO,
                     "No space left on device");
        close(fd);
    }
    /* With as much as it takes, and what the file system takes for itself. */
    fill_disk((size + 16 * PAGE) / PAGE * PAGE);
    ASSERT_OK(vmkit_snapshot_save_path(snapshot, name_of("snapshot"), options, &error));
    check_former_file(former, size, 1);
    check_that_it_goes_on(_i);
    free(former);
    ck_assert_int_eq(unlink(name_of("other")), 0);
    ck_assert_int_eq(unlink(name_of("snapshot")), 0);
    ck_assert_int_eq(umount(folder), 0);
    tear_down();
}
END_TEST

START_TEST(a_disk_that_gets_full_anywhere_leaves_the_former_file)
{
    size_t size;
    set_up(_i);
    save_former_file();
    uint8_t *former = read_file(name_of("snapshot"), &size);
    for (uint64_t room = 0; room < size; room += size / 13 + 1) {
        disk.room = room;
        ASSERT_FAILS(vmkit_snapshot_save_path(snapshot, name_of("snapshot"), options, &error),
                     ENOSPC, VMKIT_ERROR_IO, "No space left on device");
        be_healthy();
        check_former_file(former, size, 0);
    }
    disk.room = size;
    ASSERT_OK(vmkit_snapshot_save_path(snapshot, name_of("snapshot"), options, &error));
    be_healthy();
    check_former_file(former, size, 0);
    check_that_it_goes_on(_i);
    free(former);
    tear_down();
}
END_TEST

START_TEST(each_call_that_fails_leaves_the_former_file)
{
    static const int errnos[] = {ENOSPC, EIO, EDQUOT};
    size_t size;
    int result;
    unsigned at = 1;
    set_up(_i);
    unsigned calls = save_former_file();
    uint8_t *former = read_file(name_of("snapshot"), &size);
    do {
        int err = errnos[at % 3];
        vmkit_error *error = NULL;
        disk.fail_at = at;
        disk.fail_with = err;
        result = vmkit_snapshot_save_path(snapshot, name_of("snapshot"), options, &error);
        be_healthy();
        check_former_file(former, size, 0);
        ck_assert(result == 0 || strstr(vmkit_error_get_message(error), strerror(err)) != NULL);
        vmkit_error_unref(error);
        at = get_next_call(at, calls);
    } while (result < 0);
    ck_assert_uint_gt(at, 3);
    free(former);
    tear_down();
}
END_TEST

START_TEST(short_writes_and_signals_lose_nothing)
{
    size_t size, other_size;
    set_up(_i);
    save_former_file();
    disk.hesitates = true;
    ASSERT_OK(vmkit_snapshot_save_path(snapshot, name_of("other"), options, &error));
    ck_assert_uint_gt(disk.calls, 100);
    be_healthy();
    uint8_t *data = read_file(name_of("snapshot"), &size);
    uint8_t *other = read_file(name_of("other"), &other_size);
    ck_assert_uint_eq(size, other_size);
    ck_assert_int_eq(memcmp(data, other, size), 0);
    free(data);
    free(other);
    tear_down();
}
END_TEST

/* Whether a process that saved was killed at the call of this number. */
static bool
save_and_be_killed(unsigned at)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        disk.fail_at = at;
        disk.fail_with = 0;
        int result = vmkit_snapshot_save_path(snapshot, name_of("snapshot"), options, NULL);
        _exit(result == 0 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) || status == 0,
                  "status 0x%x", status);
    return status != 0;
}

static unsigned
remove_others(void)
{
    unsigned count = 0;
    DIR *names = opendir(folder);
    for (struct dirent *entry; (entry = readdir(names)) != NULL;) {
        if (strcmp(entry->d_name, "snapshot") != 0)
            count += unlinkat(dirfd(names), entry->d_name, 0) == 0;
    }
    closedir(names);
    return count;
}

START_TEST(a_save_that_is_killed_at_any_call_leaves_the_former_file)
{
    size_t size;
    unsigned at = 1, left = 0;
    set_up(_i);
    unsigned calls = save_former_file();
    uint8_t *former = read_file(name_of("snapshot"), &size);
    for (; save_and_be_killed(at); at = get_next_call(at, calls)) {
        /* Between getting its name and taking the other one's place, the new file stays. */
        left += remove_others();
        check_former_file(former, size, 0);
    }
    ck_assert_uint_le(left, 1);
    check_former_file(former, size, 0);
    ck_assert_uint_gt(at, 3);
    check_that_it_goes_on(_i);
    free(former);
    tear_down();
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("snapshot_disk");
    TCase *tcase = tcase_create("disk");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_full_disk_leaves_the_former_file, 0, WAYS);
    tcase_add_loop_test(tcase, a_disk_that_gets_full_anywhere_leaves_the_former_file, 0, WAYS);
    tcase_add_loop_test(tcase, each_call_that_fails_leaves_the_former_file, 0, WAYS);
    tcase_add_loop_test(tcase, short_writes_and_signals_lose_nothing, 0, WAYS);
    tcase_add_loop_test(tcase, a_save_that_is_killed_at_any_call_leaves_the_former_file, 0, WAYS);
    suite_add_tcase(suite, tcase);
    return suite;
}
