/* SPDX-License-Identifier: Apache-2.0 */
/* A save is whole or it is not there: short writes, signals, full disks, kills at any point. */
#include "archive/archive.h"
#include "archive/output.h"
#include "fixture.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 300

/* What the system calls of a save do: counted, and at one of them the failure. */
static int calls, fail_at, fail_with, syncs, folder_syncs;

static ssize_t
failing_writev(int fd, const struct iovec *iov, int count)
{
    if (++calls == fail_at) {
        if (fail_with == 0)
            raise(SIGKILL);
        errno = fail_with;
        return -1;
    }
    return writev(fd, iov, count);
}

static int
counting_fsync(int fd)
{
    struct stat status;
    ck_assert_int_eq(fstat(fd, &status), 0);
    if (S_ISDIR(status.st_mode))
        folder_syncs++;
    else
        syncs++;
    if (++calls == fail_at) {
        if (fail_with == 0)
            raise(SIGKILL);
        errno = fail_with;
        return -1;
    }
    return 0;
}

static const struct vmk_archive_ops failing = {.writev = failing_writev, .fsync = counting_fsync};

/* A few bytes at a time, with a signal's interruption in between. */
static ssize_t
short_writev(int fd, const struct iovec *iov, int count)
{
    if (++calls % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    size_t size =
        iov->iov_len < 1 + (size_t)(calls % 5000) ? iov->iov_len : 1 + (size_t)(calls % 5000);
    return write(fd, iov->iov_base, size);
}

static const struct vmk_archive_ops hesitant = {.writev = short_writev, .fsync = counting_fsync};

static void
arm(int at, int with)
{
    calls = syncs = folder_syncs = 0;
    fail_at = at;
    fail_with = with;
}

static uint8_t *
make_memory(uint32_t seed)
{
    uint8_t *memory = fixture_memory(PAGES);
    fixture_fill(memory, 0, 100, seed);
    fixture_fill(memory, 150, 100, seed + 1);
    return memory;
}

/* One save to a path: its result. */
static int
save(const char *path, const uint8_t *memory, const struct vmk_archive_settings *settings,
     vmkit_error **ret_error)
{
    struct vmk_archive_contents contents = {.architecture = "test", .memory_size = PAGES * PAGE};
    struct vmk_archive_writer *writer = NULL;
    int result = vmk_archive_writer_new_path(&contents, path, settings, &writer, ret_error);
    if (result == 0)
        result = vmk_archive_writer_add_memory(writer, 0, memory, PAGES * PAGE, ret_error);
    if (result == 0)
        result = vmk_archive_writer_finish(writer, NULL, ret_error);
    vmk_archive_writer_free(writer);
    return result;
}

static int
save_fd(int fd, const uint8_t *memory, const struct vmk_archive_settings *settings,
        vmkit_error **ret_error)
{
    struct vmk_archive_contents contents = {.architecture = "test", .memory_size = PAGES * PAGE};
    struct vmk_archive_writer *writer = NULL;
    int result = vmk_archive_writer_new_fd(&contents, fd, settings, &writer, ret_error);
    if (result == 0)
        result = vmk_archive_writer_add_memory(writer, 0, memory, PAGES * PAGE, ret_error);
    if (result == 0)
        result = vmk_archive_writer_finish(writer, NULL, ret_error);
    vmk_archive_writer_free(writer);
    return result;
}

static void
check_file(const char *path, const uint8_t *memory)
{
    struct vmk_archive *archive = fixture_open(path);
    fixture_check(archive, memory, PAGES);
    vmk_archive_unref(archive);
}

START_TEST(a_save_takes_the_place_of_the_former_file)
{
    uint8_t *first = make_memory(1), *second = make_memory(2);
    const struct vmk_archive_settings settings = {.level = 0};
    const char *path = fixture_path("a");
    struct stat status;
    ck_assert_int_eq(save(path, first, &settings, NULL), 0);
    struct vmk_archive *old = fixture_open(path);
    ck_assert_int_eq(save(path, second, &settings, NULL), 0);
    check_file(path, second);
    /* Who has the former one open keeps it. */
    fixture_check(old, first, PAGES);
    vmk_archive_unref(old);
    ck_assert_int_eq(fixture_count_files(), 1);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
    free(first);
    free(second);
}
END_TEST

START_TEST(short_writes_and_signals_lose_nothing)
{
    uint8_t *memory = make_memory(1);
    struct vmk_archive_settings settings = {.level = (uint32_t)_i, .ops = &hesitant};
    arm(0, 0);
    ck_assert_int_eq(save(fixture_path("a"), memory, &settings, NULL), 0);
    settings.ops = NULL;
    ck_assert_int_eq(save(fixture_path("b"), memory, &settings, NULL), 0);
    fixture_same_files(fixture_path("a"), fixture_path("b"));
    ck_assert_int_gt(calls, 100);
    free(memory);
}
END_TEST

START_TEST(a_failure_at_any_call_leaves_the_former_file)
{
    static const int errnos[] = {ENOSPC, EIO, EDQUOT};
    uint8_t *first = make_memory(1), *second = make_memory(2);
    const char *path = fixture_path("a");
    struct vmk_archive_settings settings = {.level = (uint32_t)_i, .sync = true, .ops = &failing};
    arm(0, 0);
    ck_assert_int_eq(save(path, second, &settings, NULL), 0);
    int count = calls;
    ck_assert_int_eq(save(path, first, &settings, NULL), 0);
    ck_assert_int_ge(count, 6);
    /* The last call syncs the folder: the file is in its place then. */
    for (int i = 1; i < count; i++) {
        int err = errnos[i % 3];
        arm(i, err);
        REFUSES(err == EDQUOT ? EIO : err, VMKIT_ERROR_IO, path, save, path, second, &settings);
        ck_assert_int_eq(fixture_count_files(), 1);
        check_file(path, first);
    }
    arm(count, EIO);
    REFUSES(EIO, VMKIT_ERROR_IO, "sync the folder", save, path, second, &settings);
    check_file(path, second);
    free(first);
    free(second);
}
END_TEST

START_TEST(a_kill_at_any_call_leaves_the_former_file)
{
    uint8_t *first = make_memory(1), *second = make_memory(2);
    const char *path = fixture_path("a");
    struct vmk_archive_settings settings = {.level = (uint32_t)_i, .sync = true, .ops = &failing};
    arm(0, 0);
    ck_assert_int_eq(save(path, second, &settings, NULL), 0);
    int count = calls;
    ck_assert_int_eq(save(path, first, &settings, NULL), 0);
    for (int i = 1; i <= count; i++) {
        pid_t child = fork();
        if (child == 0) {
            arm(i, 0);
            save(path, second, &settings, NULL);
            _exit(0);
        }
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        check_file(path, i < count ? first : second);
    }
    free(first);
    free(second);
}
END_TEST

/* Not at a call, but at any time. */
START_TEST(a_kill_at_any_time_leaves_a_whole_file)
{
    uint8_t *memories[] = {make_memory(1), make_memory(2)};
    const char *path = fixture_path("a");
    const struct vmk_archive_settings settings = {.level = 1, .sync = true, .threads = 2};
    ck_assert_int_eq(save(path, memories[0], &settings, NULL), 0);
    for (useconds_t i = 0; i < 40; i++) {
        pid_t child = fork();
        if (child == 0) {
            for (int j = 1;; j ^= 1)
                save(path, memories[j], &settings, NULL);
        }
        usleep(i * 1500);
        kill(child, SIGKILL);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);

        struct vmk_archive *archive = fixture_open(path);
        uint8_t *copy = malloc(PAGES * PAGE);
        ck_assert_int_eq(vmk_archive_read_memory(archive, 0, copy, PAGES * PAGE, NULL), 0);
        ck_assert(memcmp(copy, memories[0], PAGES * PAGE) == 0 ||
                  memcmp(copy, memories[1], PAGES * PAGE) == 0);
        vmk_archive_unref(archive);
        free(copy);
    }
    free(memories[0]);
    free(memories[1]);
}
END_TEST

START_TEST(sync_is_of_the_file_and_then_of_the_folder)
{
    uint8_t *memory = make_memory(1);
    struct vmk_archive_settings settings = {.level = 0, .sync = true, .ops = &failing};
    arm(0, 0);
    ck_assert_int_eq(save(fixture_path("a"), memory, &settings, NULL), 0);
    ck_assert_int_eq(syncs, 1);
    ck_assert_int_eq(folder_syncs, 1);
    settings.sync = false;
    arm(0, 0);
    ck_assert_int_eq(save(fixture_path("a"), memory, &settings, NULL), 0);
    ck_assert_int_eq(syncs + folder_syncs, 0);
    free(memory);
}
END_TEST

START_TEST(paths_that_cannot_be_written_are_refused)
{
    uint8_t *memory = make_memory(1);
    const struct vmk_archive_settings settings = {.level = 0};
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "empty", save, "", memory, &settings);
    REFUSES(ENOENT, VMKIT_ERROR_IO, "folder of", save, fixture_path("none/a"), memory, &settings);
    REFUSES(EISDIR, VMKIT_ERROR_IO, fixture_folder, save, fixture_folder, memory, &settings);
    REFUSES(EISDIR, VMKIT_ERROR_IO, "cannot write", save, fixture_path(""), memory, &settings);
    REFUSES(EISDIR, VMKIT_ERROR_IO, "cannot write", save, fixture_path(".."), memory, &settings);
    ck_assert_int_eq(save(fixture_path("a"), memory, &settings, NULL), 0);
    REFUSES(ENOTDIR, VMKIT_ERROR_IO, "folder of", save, fixture_path("a/b"), memory, &settings);
    ck_assert_int_eq(fixture_count_files(), 1);
    free(memory);
}
END_TEST

/* What is there and no regular file, `name` in the folder, stays as it was. */
static void
check_stays(const char *name, const struct stat *before)
{
    struct stat after;
    ck_assert_int_eq(lstat(fixture_path(name), &after), 0);
    ck_assert_uint_eq(after.st_ino, before->st_ino);
    ck_assert_uint_eq(after.st_mode, before->st_mode);
}

/* A device needs the right to make one. */
static bool
make_something_else(const char *name, mode_t type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (type != S_IFSOCK)
        return mknod(fixture_path(name), type | 0600, makedev(1, 3)) == 0;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", fixture_path(name));
    int bound = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(bound, (struct sockaddr *)&address, sizeof address), 0);
    close(bound);
    return true;
}

static const struct {
    mode_t type;
    const char *name;
} other_types[] = {{S_IFIFO, "FIFO"}, {S_IFSOCK, "socket"}, {S_IFCHR, "device"}};

START_TEST(what_is_no_regular_file_is_not_replaced)
{
    uint8_t *memory = make_memory(1);
    const struct vmk_archive_settings settings = {.level = 0};
    const char *name = other_types[_i].name;
    struct stat before;
    if (!make_something_else("a", other_types[_i].type)) {
        /* Without the right to make a device there is none to lose. */
        ck_assert_int_eq(errno, EPERM);
        ck_assert_uint_eq(other_types[_i].type, S_IFCHR);
    } else {
        ck_assert_int_eq(lstat(fixture_path("a"), &before), 0);
        REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, name, save, fixture_path("a"), memory,
                &settings);
        ck_assert_int_eq(symlink("a", fixture_path("link")), 0);
        REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, name, save, fixture_path("link"), memory,
                &settings);
        check_stays("a", &before);
        ck_assert_int_eq(fixture_count_files(), 2);
    }
    free(memory);
}
END_TEST

static mode_t coming;

/* While the memory is written, something else comes to stand in the place. */
static int
come_between(int fd)
{
    unlink(fixture_path("a"));
    ck_assert(coming == S_IFDIR ? mkdir(fixture_path("a"), 0700) == 0
                                : mkfifo(fixture_path("a"), 0600) == 0);
    return fsync(fd);
}

START_TEST(what_comes_to_stand_there_meanwhile_is_not_replaced)
{
    static const struct vmk_archive_ops ops = {.writev = writev, .fsync = come_between};
    uint8_t *memory = make_memory(1);
    const struct vmk_archive_settings settings = {.level = 0, .sync = true, .ops = &ops};
    coming = _i == 0 ? S_IFIFO : S_IFDIR;
    REFUSES(_i == 0 ? EINVAL : EISDIR, _i == 0 ? VMKIT_ERROR_INVALID_ARGUMENT : VMKIT_ERROR_IO,
            "cannot write", save, fixture_path("a"), memory, &settings);
    ck_assert_int_eq(fixture_count_files(), 1);
    ck_assert_int_eq(remove(fixture_path("a")), 0);
    free(memory);
}
END_TEST

/* A link stays, and so does what it says. */
static void
check_link(const char *name, const char *target)
{
    char text[64] = "";
    ck_assert_int_gt(readlink(fixture_path(name), text, sizeof text - 1), 0);
    ck_assert_str_eq(text, target);
}

START_TEST(a_link_stays_and_its_file_is_replaced)
{
    uint8_t *memory = make_memory(1);
    const struct vmk_archive_settings settings = {.level = 0};
    ck_assert_int_eq(mkdir(fixture_path("deep"), 0700), 0);
    ck_assert_int_eq(symlink("deep/second", fixture_path("first")), 0);
    ck_assert_int_eq(symlink("../file", fixture_path("deep/second")), 0);
    for (int i = 0; i < 2; i++) {
        /* First to nothing, and then to the file. */
        ck_assert_int_eq(save(fixture_path("first"), memory, &settings, NULL), 0);
        check_link("first", "deep/second");
        check_link("deep/second", "../file");
        check_file(fixture_path("file"), memory);
    }
    ck_assert_int_eq(fixture_count_files(), 3);
    ck_assert_int_eq(unlink(fixture_path("deep/second")), 0);
    ck_assert_int_eq(rmdir(fixture_path("deep")), 0);
    free(memory);
}
END_TEST

START_TEST(links_that_lead_nowhere_are_refused)
{
    uint8_t *memory = make_memory(1);
    const struct vmk_archive_settings settings = {.level = 0};
    char target[64];
    int fd = memfd_create("none", MFD_CLOEXEC);
    snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
    ck_assert_int_eq(symlink("loop", fixture_path("loop")), 0);
    ck_assert_int_eq(symlink("none/a", fixture_path("nowhere")), 0);
    ck_assert_int_eq(symlink("/", fixture_path("root")), 0);
    ck_assert_int_eq(symlink(target, fixture_path("memfd")), 0);
    REFUSES(ELOOP, VMKIT_ERROR_IO, "loop", save, fixture_path("loop"), memory, &settings);
    REFUSES(ENOENT, VMKIT_ERROR_IO, "folder of", save, fixture_path("nowhere"), memory, &settings);
    REFUSES(EISDIR, VMKIT_ERROR_IO, "cannot write", save, fixture_path("root"), memory, &settings);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "without a path", save, fixture_path("memfd"),
            memory, &settings);
    ck_assert_int_eq(fixture_count_files(), 4);
    close(fd);
    free(memory);
}
END_TEST

START_TEST(a_path_without_a_folder_is_in_the_current_one)
{
    uint8_t *memory = make_memory(1);
    const struct vmk_archive_settings settings = {.level = 0};
    ck_assert_int_eq(chdir(fixture_folder), 0);
    ck_assert_int_eq(save("here", memory, &settings, NULL), 0);
    check_file(fixture_path("here"), memory);
    ck_assert_int_eq(chdir("/"), 0);
    free(memory);
}
END_TEST

struct reading {
    int fd;
    uint8_t *data;
    size_t size;
};

static void *
read_all(void *argument)
{
    struct reading *reading = argument;
    for (ssize_t n = 1; n > 0; reading->size += (size_t)n) {
        reading->data = realloc(reading->data, reading->size + 65536);
        n = read(reading->fd, reading->data + reading->size, 65536);
        ck_assert_int_ge(n, 0);
    }
    return NULL;
}

/* A pipe, and a socket that does not block, get the same bytes as a file. */
START_TEST(a_pipe_gets_the_same_bytes)
{
    uint8_t *memory = make_memory(1);
    const struct vmk_archive_settings settings = {.level = _i % 2 == 0 ? 0 : 1};
    int fds[2];
    struct reading reading = {.size = 0};
    pthread_t thread;
    if (_i < 2)
        ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    else
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(fcntl(fds[0], F_SETFL, 0), 0);
    reading.fd = fds[0];
    ck_assert_int_eq(pthread_create(&thread, NULL, read_all, &reading), 0);
    ck_assert_int_eq(save_fd(fds[1], memory, &settings, NULL), 0);
    close(fds[1]);
    pthread_join(thread, NULL);
    close(fds[0]);
    fixture_write(fixture_path("piped"), reading.data, reading.size);
    ck_assert_int_eq(save(fixture_path("a"), memory, &settings, NULL), 0);
    fixture_same_files(fixture_path("a"), fixture_path("piped"));
    free(reading.data);
    free(memory);
}
END_TEST

/* It is an error and no signal: the default of SIGPIPE would end the test. */
START_TEST(a_pipe_without_a_reader_is_an_error)
{
    uint8_t *memory = make_memory(1);
    const struct vmk_archive_settings settings = {.level = 0};
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    close(fds[0]);
    REFUSES(EIO, VMKIT_ERROR_IO, "Broken pipe", save_fd, fds[1], memory, &settings);
    close(fds[1]);
    free(memory);
}
END_TEST

START_TEST(a_limit_of_file_sizes_is_an_error)
{
    uint8_t *memory = make_memory(1);
    const struct vmk_archive_settings settings = {.level = 0};
    const struct rlimit small = {.rlim_cur = 100000, .rlim_max = RLIM_INFINITY},
                        none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    vmkit_error *error = NULL;
    int result = save(fixture_path("a"), memory, &settings, &error);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    ck_assert_int_eq(result, -E2BIG);
    ck_assert_ptr_nonnull(strstr(vmk_error_get_message(error), "RLIMIT_FSIZE"));
    vmk_error_unref(error);
    ck_assert_int_eq(fixture_count_files(), 0);
    free(memory);
}
END_TEST

START_TEST(a_descriptor_of_a_file_is_cut_behind_the_end)
{
    uint8_t *memory = make_memory(1);
    const struct vmk_archive_settings settings = {.level = 1};
    uint8_t junk[3 * PAGE * PAGES / 2];
    memset(junk, 0xee, sizeof junk);
    fixture_write(fixture_path("a"), junk, sizeof junk);
    int fd = open(fixture_path("a"), O_RDWR);
    ck_assert_int_eq(save_fd(fd, memory, &settings, NULL), 0);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "a file of its own", save_fd, fd, memory,
            &settings);
    close(fd);
    check_file(fixture_path("a"), memory);
    free(memory);
}
END_TEST

START_TEST(a_memfd_can_be_written_and_read)
{
    uint8_t *memory = make_memory(1);
    const struct vmk_archive_settings settings = {.level = 0, .sync = true};
    struct vmk_archive *archive = NULL;
    int fd = memfd_create("test", 0);
    ck_assert_int_eq(save_fd(fd, memory, &settings, NULL), 0);
    ck_assert_int_eq(vmk_archive_open_fd(fd, "memfd", NULL, 0, &archive, NULL), 0);
    close(fd);
    fixture_check(archive, memory, PAGES);
    vmk_archive_unref(archive);
    free(memory);
}
END_TEST

START_TEST(descriptors_that_cannot_be_written_are_refused)
{
    uint8_t *memory = make_memory(1);
    const struct vmk_archive_settings settings = {.level = 0};
    ck_assert_int_eq(save(fixture_path("a"), memory, &settings, NULL), 0);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "not open", save_fd, -1, memory, &settings);
    int fd = open(fixture_path("a"), O_RDONLY);
    REFUSES(EACCES, VMKIT_ERROR_IO, "descriptor", save_fd, fd, memory, &settings);
    close(fd);
    fd = open(fixture_path("a"), O_WRONLY | O_APPEND);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "appends", save_fd, fd, memory, &settings);
    close(fd);
    fd = open("/dev/full", O_WRONLY);
    REFUSES(ENOSPC, VMKIT_ERROR_IO, "No space left", save_fd, fd, memory, &settings);
    close(fd);
    free(memory);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("save");
    TCase *tcase = fixture_tcase(suite, "save");
    tcase_add_test(tcase, a_save_takes_the_place_of_the_former_file);
    tcase_add_loop_test(tcase, short_writes_and_signals_lose_nothing, 0, 2);
    tcase_add_loop_test(tcase, a_failure_at_any_call_leaves_the_former_file, 0, 2);
    tcase_add_loop_test(tcase, a_kill_at_any_call_leaves_the_former_file, 0, 2);
    tcase_add_test(tcase, a_kill_at_any_time_leaves_a_whole_file);
    tcase_add_test(tcase, sync_is_of_the_file_and_then_of_the_folder);
    tcase_add_test(tcase, paths_that_cannot_be_written_are_refused);
    tcase_add_loop_test(tcase, what_is_no_regular_file_is_not_replaced, 0, 3);
    tcase_add_loop_test(tcase, what_comes_to_stand_there_meanwhile_is_not_replaced, 0, 2);
    tcase_add_test(tcase, a_link_stays_and_its_file_is_replaced);
    tcase_add_test(tcase, links_that_lead_nowhere_are_refused);
    tcase_add_test(tcase, a_path_without_a_folder_is_in_the_current_one);
    tcase_add_loop_test(tcase, a_pipe_gets_the_same_bytes, 0, 4);
    tcase_add_test(tcase, a_pipe_without_a_reader_is_an_error);
    tcase_add_test(tcase, a_limit_of_file_sizes_is_an_error);
    tcase_add_test(tcase, a_descriptor_of_a_file_is_cut_behind_the_end);
    tcase_add_test(tcase, a_memfd_can_be_written_and_read);
    tcase_add_test(tcase, descriptors_that_cannot_be_written_are_refused);
    return suite;
}
