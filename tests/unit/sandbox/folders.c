/* SPDX-License-Identifier: Apache-2.0 */
/* Host folders: what is shown, what is refused, and that there is no way out. */
#include "harness.h"

#include "fake_guest.h"
#include "util/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define CWD ((uint64_t)AT_FDCWD)

/* base/shown is shown to the guest; base/secret is not. */
static char base[64];

static const char *
in_base(const char *name)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ & 3];
    snprintf(path, sizeof paths[0], "%s/%s", base, name);
    return path;
}

static void
put_host_file(const char *name, const char *text)
{
    int fd = open(in_base(name), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static const char *
get_host_file(const char *name)
{
    static char text[256];
    int fd = open(in_base(name), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    text[size < 0 ? 0 : size] = '\0';
    return text;
}

static void
set_up(void)
{
    fake_set_up();
    strcpy(base, "/tmp/vmkit-folders-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    ck_assert_int_eq(mkdir(in_base("shown"), 0755), 0);
    ck_assert_int_eq(mkdir(in_base("shown/sub"), 0755), 0);
    put_host_file("secret", "secret");
    put_host_file("shown/file", "content");
    put_host_file("shown/sub/deep", "deep");
}

static void
tear_down(void)
{
    char command[100];
    fake_tear_down();
    snprintf(command, sizeof command, "rm -rf %s", base);
    ck_assert_int_eq(system(command), 0);
}

static void
start(const char *guest_path, uint64_t flags)
{
    ck_assert_int_eq(vmk_config_add_folder(fake.config, in_base("shown"), guest_path, flags, NULL),
                     0);
    fake_start();
}

static const char *
read_file(const char *path)
{
    int64_t fd = fake_open(path, O_RDONLY, 0);
    if (fd < 0)
        return NULL;
    const char *text = fake_read(fd);
    fake_call(close, (uint64_t)fd);
    return text;
}

static int64_t
make_link(const char *target, const char *path)
{
    return fake_call(symlinkat, fake_string(target), CWD, fake_string(path));
}

static unsigned
count_host_fds(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

START_TEST(a_folder_is_read)
{
    struct stat host;
    struct stat guest;
    start("/data/in", 0);
    ck_assert_str_eq(read_file("/data/in/file"), "content");
    ck_assert_str_eq(read_file("/data/in/sub/deep"), "deep");
    ck_assert_str_eq(read_file("/data/./in//sub/../sub/deep"), "deep");
    ck_assert_int_eq(stat(in_base("shown/file"), &host), 0);
    ck_assert_int_eq(fake_call(newfstatat, CWD, fake_string("/data/in/file"), FAKE_BASE + 8192, 0),
                     0);
    memcpy(&guest, fake_at(FAKE_BASE + 8192), sizeof guest);
    ck_assert_uint_eq(guest.st_ino, host.st_ino);
    ck_assert_uint_eq(guest.st_mode, host.st_mode);
    ck_assert_uint_eq(guest.st_uid, host.st_uid);
    ck_assert_int_eq(guest.st_size, 7);
    ck_assert_int_eq(guest.st_mtim.tv_nsec, host.st_mtim.tv_nsec);
    ck_assert_int_eq(guest.st_blocks, host.st_blocks);
}
END_TEST

START_TEST(a_read_only_folder_stays_as_it_is)
{
    start("/in", 0);
    ck_assert_int_eq(fake_open("/in/file", O_WRONLY, 0), -EROFS);
    ck_assert_int_eq(fake_open("/in/file", O_RDWR, 0), -EROFS);
    ck_assert_int_eq(fake_open("/in/file", O_RDONLY | O_TRUNC, 0), -EROFS);
    ck_assert_int_eq(fake_open("/in/new", O_WRONLY | O_CREAT, 0644), -EROFS);
    ck_assert_int_eq(fake_open("/in", O_TMPFILE | O_RDWR, 0644), -EROFS);
    ck_assert_int_ge(fake_open("/in/file", O_RDONLY | O_CREAT, 0644), 0);
    ck_assert_int_eq(fake_call(mkdirat, CWD, fake_string("/in/new"), 0755), -EROFS);
    ck_assert_int_eq(fake_call(mkdirat, CWD, fake_string("/in/sub"), 0755), -EEXIST);
    ck_assert_int_eq(fake_call(unlinkat, CWD, fake_string("/in/file"), 0), -EROFS);
    ck_assert_int_eq(fake_call(unlinkat, CWD, fake_string("/in/sub"), AT_REMOVEDIR), -EROFS);
    ck_assert_int_eq(fake_call(renameat, CWD, fake_string("/in/file"), CWD, fake_string("/in/b")),
                     -EROFS);
    ck_assert_int_eq(fake_call(linkat, CWD, fake_string("/in/file"), CWD, fake_string("/in/b"), 0),
                     -EROFS);
    ck_assert_int_eq(make_link("file", "/in/link"), -EROFS);
    ck_assert_int_eq(fake_call(fchmodat, CWD, fake_string("/in/file"), 0600), -EROFS);
    ck_assert_int_eq(fake_call(truncate, fake_string("/in/file"), 0), -EROFS);
    ck_assert_int_eq(fake_call(utimensat, CWD, fake_string("/in/file"), 0, 0), -EROFS);
    ck_assert_int_eq(fake_call(faccessat, CWD, fake_string("/in/file"), W_OK), -EROFS);
    ck_assert_int_eq(fake_call(faccessat, CWD, fake_string("/in/file"), R_OK), 0);
    int64_t fd = fake_open("/in/file", O_RDONLY, 0);
    ck_assert_int_eq(fake_call(fchmod, (uint64_t)fd, 0600), -EROFS);
    ck_assert_int_eq(fake_write(fd, "x"), -EBADF);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", (int)fd);
    ck_assert_int_eq(fake_open(path, O_WRONLY, 0), -EROFS);
    ck_assert_str_eq(get_host_file("shown/file"), "content");
}
END_TEST

START_TEST(a_writable_folder_is_changed)
{
    struct stat status;
    start("/out", VMKIT_FOLDER_WRITABLE);
    umask(077);
    int64_t fd = fake_open("/out/new", O_CREAT | O_RDWR | O_EXCL, 0666);
    ck_assert_int_eq(fake_write(fd, "written"), 7);
    ck_assert_str_eq(get_host_file("shown/new"), "written");
    ck_assert_int_eq(stat(in_base("shown/new"), &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0644);
    ck_assert_int_eq(fake_call(mkdirat, CWD, fake_string("/out/d"), 0777), 0);
    ck_assert_int_eq(stat(in_base("shown/d"), &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0755);
    umask(022);
    ck_assert_int_eq(
        fake_call(renameat, CWD, fake_string("/out/new"), CWD, fake_string("/out/d/moved")), 0);
    ck_assert_str_eq(get_host_file("shown/d/moved"), "written");
    ck_assert_int_eq(
        fake_call(linkat, CWD, fake_string("/out/d/moved"), CWD, fake_string("/out/l"), 0), 0);
    ck_assert_str_eq(get_host_file("shown/l"), "written");
    ck_assert_int_eq(fake_call(unlinkat, CWD, fake_string("/out/l"), 0), 0);
    ck_assert_int_eq(fake_call(truncate, fake_string("/out/d/moved"), 2), 0);
    ck_assert_str_eq(get_host_file("shown/d/moved"), "wr");
    ck_assert_int_eq(fake_call(fchmodat, CWD, fake_string("/out/d/moved"), 0600), 0);
    ck_assert_int_eq(stat(in_base("shown/d/moved"), &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    struct timespec times[2] = {{1, 2}, {3, 4}};
    fake_put(FAKE_BASE, times, sizeof times);
    ck_assert_int_eq(fake_call(utimensat, CWD, fake_string("/out/d/moved"), FAKE_BASE, 0), 0);
    ck_assert_int_eq(stat(in_base("shown/d/moved"), &status), 0);
    ck_assert_int_eq(status.st_mtim.tv_sec, 3);
    ck_assert_int_eq(fake_call(unlinkat, CWD, fake_string("/out/d"), AT_REMOVEDIR), -ENOTEMPTY);
}
END_TEST

START_TEST(appending_and_sharing_positions_work)
{
    start("/out", VMKIT_FOLDER_WRITABLE);
    int64_t fd = fake_open("/out/file", O_WRONLY | O_APPEND, 0);
    ck_assert_int_eq(fake_call(pwrite64, (uint64_t)fd, fake_string("+"), 1, 0), 1);
    ck_assert_int_eq(fake_write(fd, "more"), 4);
    ck_assert_int_eq(fake_call(lseek, (uint64_t)fd, 0, SEEK_CUR), 12);
    ck_assert_str_eq(get_host_file("shown/file"), "content+more");
    ck_assert_int_eq(fake_call(fcntl, (uint64_t)fd, F_SETFL, 0), 0);
    ck_assert_int_eq(fake_call(pwrite64, (uint64_t)fd, fake_string("C"), 1, 0), 1);
    ck_assert_str_eq(get_host_file("shown/file"), "Content+more");
    int64_t copy = fake_call(dup, (uint64_t)fd);
    ck_assert_int_eq(fake_call(lseek, (uint64_t)copy, 3, SEEK_SET), 3);
    ck_assert_int_eq(fake_call(lseek, (uint64_t)fd, 0, SEEK_CUR), 3);
    ck_assert_int_eq(fake_call(lseek, (uint64_t)fd, 0, SEEK_END), 12);
    ck_assert_int_eq(fake_call(lseek, (uint64_t)fd, (uint64_t)-20, SEEK_CUR), -EINVAL);
}
END_TEST

START_TEST(no_guest_file_carries_the_callers_rights)
{
    struct stat status;
    start("/out", VMKIT_FOLDER_WRITABLE);
    ck_assert_int_ge(fake_open("/out/a", O_CREAT | O_WRONLY, 06755), 0);
    ck_assert_int_eq(fake_call(fchmodat, CWD, fake_string("/out/file"), 06755), 0);
    ck_assert_int_eq(fake_call(mkdirat, CWD, fake_string("/out/d"), 06755), 0);
    stat(in_base("shown/a"), &status);
    ck_assert_uint_eq(status.st_mode & 07777, 0755);
    stat(in_base("shown/file"), &status);
    ck_assert_uint_eq(status.st_mode & 07777, 0755);
    stat(in_base("shown/d"), &status);
    ck_assert_uint_eq(status.st_mode & 07777, 0755);
    ck_assert_int_eq(fake_call(fchownat, CWD, fake_string("/out/file"), 12345, 12345, 0), -EPERM);
    ck_assert_int_eq(
        fake_call(fchownat, CWD, fake_string("/out/file"), status.st_uid, status.st_gid, 0), 0);
    ck_assert_int_eq(fake_call(mknodat, CWD, fake_string("/out/n"), S_IFCHR | 0666, 0x103), -EPERM);
    ck_assert_int_eq(fake_call(mknodat, CWD, fake_string("/out/n"), S_IFIFO | 0666, 0), -EPERM);
    ck_assert_int_eq(fake_call(mknodat, CWD, fake_string("/out/n"), S_IFREG | 0666, 0), 0);
}
END_TEST

START_TEST(dots_do_not_lead_out)
{
    start("/", 0);
    ck_assert_str_eq(read_file("/file"), "content");
    ck_assert_str_eq(read_file("/../../../file"), "content");
    ck_assert_int_eq(fake_open("/../secret", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/sub/../../secret", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/sub/../../../../../../etc/passwd", O_RDONLY, 0), -ENOENT);
    int64_t fd = fake_open("/sub", O_RDONLY | O_DIRECTORY, 0);
    ck_assert_int_eq(fake_call(openat, (uint64_t)fd, fake_string("../../secret"), O_RDONLY, 0),
                     -ENOENT);
    ck_assert_int_ge(fake_call(openat, (uint64_t)fd, fake_string("../../file"), O_RDONLY, 0), 0);
    ck_assert_int_eq(fake_call(fchdir, (uint64_t)fd), 0);
    ck_assert_str_eq(read_file("deep"), "deep");
    ck_assert_int_eq(fake_call(chdir, fake_string("../../..")), 0);
    ck_assert_int_eq(fake_call(getcwd, FAKE_BASE, 100), 2);
    ck_assert_str_eq(fake_at(FAKE_BASE), "/");
}
END_TEST

START_TEST(links_lead_to_the_guests_tree_alone)
{
    char target[256];
    start("/data", 0);
    snprintf(target, sizeof target, "%s", in_base("secret"));
    ck_assert_int_eq(symlink(target, in_base("shown/absolute")), 0);
    ck_assert_int_eq(symlink("../secret", in_base("shown/relative")), 0);
    ck_assert_int_eq(symlink("../../../../../../../etc/passwd", in_base("shown/far")), 0);
    ck_assert_int_eq(symlink("/", in_base("shown/root")), 0);
    ck_assert_int_eq(symlink("/data/file", in_base("shown/guest")), 0);
    ck_assert_int_eq(symlink("..", in_base("shown/sub/up")), 0);
    ck_assert_int_eq(symlink("/proc/self/root/etc", in_base("shown/magic")), 0);
    ck_assert_int_eq(symlink("loop", in_base("shown/loop")), 0);
    ck_assert_int_eq(fake_open("/data/absolute", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/data/relative", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/data/far", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/data/root/etc/passwd", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/data/magic/passwd", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/data/loop", O_RDONLY, 0), -ELOOP);
    ck_assert_str_eq(read_file("/data/guest"), "content");
    ck_assert_str_eq(read_file("/data/root/data/file"), "content");
    ck_assert_str_eq(read_file("/data/sub/up/file"), "content");
    ck_assert_str_eq(read_file("/data/sub/up/sub/deep"), "deep");
    ck_assert_int_eq(fake_open("/data/guest", O_RDONLY | O_NOFOLLOW, 0), -ELOOP);
}
END_TEST

START_TEST(links_that_the_guest_makes_lead_nowhere_else)
{
    char target[256];
    start("/out", VMKIT_FOLDER_WRITABLE);
    snprintf(target, sizeof target, "%s", in_base("secret"));
    ck_assert_int_eq(make_link(target, "/out/a"), 0);
    ck_assert_int_eq(make_link("../secret", "/out/b"), 0);
    ck_assert_int_eq(make_link(base, "/out/c"), 0);
    ck_assert_int_eq(fake_open("/out/a", O_RDWR, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/out/a", O_RDWR | O_CREAT, 0644), -ENOENT);
    ck_assert_int_eq(fake_open("/out/b", O_WRONLY | O_CREAT, 0644), -EACCES);
    ck_assert_int_eq(fake_open("/out/c/secret", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_call(truncate, fake_string("/out/b"), 0), -ENOENT);
    ck_assert_int_eq(fake_call(fchmodat, CWD, fake_string("/out/a"), 0777), -ENOENT);
    ck_assert_int_eq(
        fake_call(renameat, CWD, fake_string("/out/file"), CWD, fake_string("/out/c/x")), -ENOENT);
    ck_assert_str_eq(get_host_file("secret"), "secret");
}
END_TEST

START_TEST(special_files_are_shown_and_not_opened)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(mkfifo(in_base("shown/fifo"), 0666), 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", in_base("shown/socket"));
    ck_assert_int_eq(bind(socket_fd, (struct sockaddr *)&address, sizeof address), 0);
    bool has_device = mknod(in_base("shown/device"), S_IFCHR | 0666, 0x103) == 0;
    start("/out", VMKIT_FOLDER_WRITABLE);
    ck_assert_int_eq(fake_open("/out/fifo", O_RDONLY, 0), -ENXIO);
    ck_assert_int_eq(fake_open("/out/fifo", O_WRONLY, 0), -ENXIO);
    ck_assert_int_eq(fake_open("/out/fifo", O_RDWR | O_CREAT, 0644), -ENXIO);
    ck_assert_int_eq(fake_open("/out/socket", O_RDWR, 0), -ENXIO);
    ck_assert_int_eq(fake_open("/out/device", O_RDWR, 0), has_device ? -EACCES : -ENOENT);
    ck_assert_int_eq(fake_call(truncate, fake_string("/out/fifo"), 0), -EINVAL);
    ck_assert_int_ge(fake_open("/out/fifo", O_PATH, 0), 0);
    ck_assert_int_eq(fake_call(newfstatat, CWD, fake_string("/out/fifo"), FAKE_BASE, 0), 0);
    close(socket_fd);
}
END_TEST

START_TEST(procfs_below_a_folder_is_not_entered)
{
    ck_assert_int_eq(vmk_config_add_folder(fake.config, "/", "/host", 0, NULL), 0);
    fake_start();
    ck_assert_int_eq(fake_open("/host/proc/self/mem", O_RDONLY, 0), -EACCES);
    ck_assert_int_eq(fake_open("/host/proc", O_RDONLY, 0), -EACCES);
    ck_assert_int_eq(fake_open("/host/proc/version", O_RDONLY, 0), -EACCES);
    ck_assert_int_eq(fake_open("/host/tmp/../proc/version", O_RDONLY, 0), -EACCES);
    ck_assert_int_eq(fake_open("/host/dev/null", O_RDONLY, 0), -EACCES);
    ck_assert_int_ge(fake_open("/host/etc/passwd", O_RDONLY, 0), 0);
}
END_TEST

START_TEST(a_single_file_is_shown)
{
    ck_assert_int_eq(vmk_config_add_folder(fake.config, in_base("secret"), "/etc/one", 0, NULL), 0);
    ck_assert_int_eq(vmk_config_add_folder(fake.config, in_base("shown/file"), "/etc/two",
                                           VMKIT_FOLDER_WRITABLE, NULL),
                     0);
    fake_start();
    ck_assert_str_eq(read_file("/etc/one"), "secret");
    ck_assert_int_eq(fake_open("/etc/one", O_WRONLY, 0), -EROFS);
    ck_assert_int_eq(fake_open("/etc/one/x", O_RDONLY, 0), -ENOTDIR);
    int64_t fd = fake_open("/etc/two", O_WRONLY | O_TRUNC, 0);
    ck_assert_int_eq(fake_write(fd, "new"), 3);
    ck_assert_str_eq(get_host_file("shown/file"), "new");
    ck_assert_int_eq(fake_open("/etc/three", O_CREAT | O_WRONLY, 0644), -EACCES);
    ck_assert_int_eq(fake_call(unlinkat, CWD, fake_string("/etc/two"), 0), -EBUSY);
}
END_TEST

START_TEST(mounts_lie_over_a_folder_that_is_the_root)
{
    start("/", VMKIT_FOLDER_WRITABLE);
    ck_assert_int_eq(mkdir(in_base("shown/tmp"), 0755), 0);
    put_host_file("shown/tmp/hidden", "x");
    ck_assert_int_eq(fake_open("/tmp/hidden", O_RDONLY, 0), -ENOENT);
    ck_assert_int_ge(fake_open("/tmp/private", O_CREAT | O_WRONLY, 0644), 0);
    ck_assert_ptr_null(get_host_file("shown/tmp/private"));
    ck_assert_int_eq(fake_call(unlinkat, CWD, fake_string("/tmp"), AT_REMOVEDIR), -EBUSY);
    ck_assert_int_eq(fake_call(renameat, CWD, fake_string("/file"), CWD, fake_string("/tmp/file")),
                     -EXDEV);
    int64_t fd = fake_open("/", O_RDONLY, 0);
    int64_t size = fake_call(getdents64, (uint64_t)fd, FAKE_BASE, 4096);
    int64_t more = fake_call(getdents64, (uint64_t)fd, FAKE_BASE + (uint64_t)size, 4096);
    unsigned seen = 0;
    for (int64_t at = 0; at < size + more;) {
        const char *record = fake_at(FAKE_BASE + (uint64_t)at);
        uint16_t length;
        memcpy(&length, record + 16, sizeof length);
        seen += strcmp(record + 19, "tmp") == 0;
        seen += strcmp(record + 19, "proc") == 0 ? 10 : 0;
        seen += strcmp(record + 19, "file") == 0 ? 100 : 0;
        at += length;
    }
    ck_assert_uint_eq(seen, 111);
    ck_assert_int_eq(fake_call(getdents64, (uint64_t)fd, FAKE_BASE, 4096), 0);
}
END_TEST

START_TEST(one_descriptor_of_the_host_for_each_of_the_guest)
{
    start("/data", 0);
    unsigned before = count_host_fds();
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(fake_open("/data/sub/deep", O_RDONLY, 0), 3 + i);
    ck_assert_uint_eq(count_host_fds(), before + 10);
    ck_assert_int_eq(fake_call(close_range, 3, UINT32_MAX, 0), 0);
    ck_assert_uint_eq(count_host_fds(), before);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(fake_open("/data/none/x", O_RDONLY, 0), -ENOENT);
    ck_assert_uint_eq(count_host_fds(), before);
    vmk_config_set_open_files_limit(fake.config, 4, NULL);
    fake.process.files->table.limit = 4;
    ck_assert_int_eq(fake_open("/data/file", O_RDONLY, 0), 3);
    ck_assert_int_eq(fake_open("/data/file", O_RDONLY, 0), -EMFILE);
}
END_TEST

START_TEST(every_host_descriptor_is_closed_on_exec)
{
    start("/data", VMKIT_FOLDER_WRITABLE);
    fake_open("/data/file", O_RDWR, 0);
    fake_open("/data/sub", O_RDONLY, 0);
    fake_open("/data/new", O_RDWR | O_CREAT, 0644);
    fake_call(chdir, fake_string("/data/sub"));
    for (int fd = 3; fd < 64; fd++) {
        char path[40];
        char target[256];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length < 0)
            continue;
        target[length] = '\0';
        if (strncmp(target, base, strlen(base)) == 0)
            ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    }
}
END_TEST

static atomic_bool stop_swapping;

/* Another process that shares the folder swaps a folder and a link to outside. */
static void *
swap(void *argument)
{
    const char *one = in_base("shown/sub");
    const char *two = in_base("shown/link");
    while (!atomic_load(&stop_swapping))
        syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, two, RENAME_EXCHANGE);
    return NULL;
}

START_TEST(a_race_with_renames_never_leads_out)
{
    pthread_t thread;
    start("/data", VMKIT_FOLDER_WRITABLE);
    put_host_file("deep", "outside");
    ck_assert_int_eq(symlink(base, in_base("shown/link")), 0);
    atomic_store(&stop_swapping, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, swap, NULL), 0);
    int found = 0;
    for (int i = 0; i < 20000; i++) {
        int64_t fd = fake_open("/data/sub/deep", O_RDWR, 0);
        if (fd < 0)
            continue;
        if (strcmp(fake_read(fd), "deep") == 0)
            found++;
        else
            found = -1000000;
        fake_call(close, (uint64_t)fd);
        fake_open("/data/sub/made", O_CREAT | O_WRONLY, 0644);
        fake_call(close, 3);
        fake_call(fchmodat, CWD, fake_string("/data/sub/deep"), 0600);
    }
    atomic_store(&stop_swapping, true);
    pthread_join(thread, NULL);
    struct stat status;
    ck_assert_int_gt(found, 0);
    ck_assert_ptr_null(get_host_file("made"));
    ck_assert_int_eq(stat(in_base("deep"), &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0644);
}
END_TEST

/* `name` in the folder that the test works in. */
static uint64_t
at_place(const char *place, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", place, name);
    return fake_string(path);
}

static void
check_cwd(const char *place, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", place, name);
    ck_assert_int_eq(fake_call(getcwd, FAKE_BASE, 100), (int64_t)strlen(path) + 1);
    ck_assert_str_eq(fake_at(FAKE_BASE), path);
    ck_assert_int_eq(fake_call(readlinkat, CWD, fake_string("/proc/self/cwd"), FAKE_BASE, 100),
                     (int64_t)strlen(path));
}

START_TEST(dots_go_up_from_where_a_folder_is_now)
{
    static const char *const places[] = {"/data", "/tmp"};
    const char *place = places[_i];
    start("/data", VMKIT_FOLDER_WRITABLE);
    ck_assert_int_eq(fake_call(mkdirat, CWD, at_place(place, "a"), 0755), 0);
    ck_assert_int_eq(fake_call(mkdirat, CWD, at_place(place, "a/in"), 0755), 0);
    ck_assert_int_eq(fake_call(mkdirat, CWD, at_place(place, "a/in/deep"), 0755), 0);
    ck_assert_int_eq(fake_call(mkdirat, CWD, at_place(place, "b"), 0755), 0);
    ck_assert_int_eq(fake_call(chdir, at_place(place, "a/in/deep")), 0);
    check_cwd(place, "a/in/deep");

    /* To another folder, in exchange for one, and over one. */
    ck_assert_int_eq(
        fake_call(renameat2, CWD, at_place(place, "a/in"), CWD, at_place(place, "b/out"), 0), 0);
    check_cwd(place, "b/out/deep");
    ck_assert_int_ge(fake_open("../../made", O_CREAT | O_EXCL | O_RDWR, 0600), 0);
    ck_assert_int_eq(fake_call(faccessat, CWD, at_place(place, "b/made"), F_OK), 0);
    ck_assert_int_eq(fake_call(faccessat, CWD, at_place(place, "a/made"), F_OK), -ENOENT);
    ck_assert_int_eq(fake_call(renameat2, CWD, at_place(place, "a"), CWD, at_place(place, "b/out"),
                               RENAME_EXCHANGE),
                     0);
    check_cwd(place, "a/deep");
    ck_assert_int_eq(fake_call(renameat2, CWD, at_place(place, "a"), CWD, at_place(place, "b/out"),
                               RENAME_EXCHANGE),
                     0);
    ck_assert_int_eq(
        fake_call(renameat2, CWD, at_place(place, "b/out"), CWD, at_place(place, "a"), 0), 0);
    check_cwd(place, "a/deep");
    ck_assert_int_eq(fake_call(faccessat, CWD, fake_string("../../b/made"), F_OK), 0);
    /* Only its own name leads to it. */
    ck_assert_int_eq(fake_call(renameat2, CWD, fake_string("../deep"), CWD,
                               at_place(place, "b/deep (deleted)"), 0),
                     0);
    check_cwd(place, "b/deep (deleted)");

    ck_assert_int_eq(fake_call(unlinkat, CWD, at_place(place, "b/deep (deleted)"), AT_REMOVEDIR),
                     0);
    ck_assert_int_eq(fake_call(getcwd, FAKE_BASE, 100), -ENOENT);
    ck_assert_int_eq(fake_open("made", O_CREAT | O_RDWR, 0600), -ENOENT);
}
END_TEST

START_TEST(a_folder_that_was_moved_out_has_nothing_above_it)
{
    start("/data", VMKIT_FOLDER_WRITABLE);
    ck_assert_int_eq(fake_call(chdir, fake_string("/data/sub")), 0);
    ck_assert_int_eq(rename(in_base("shown/sub"), in_base("outside")), 0);
    ck_assert_int_eq(fake_call(getcwd, FAKE_BASE, 100), -ENOENT);
    ck_assert_int_eq(fake_open("../secret", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("..", O_RDONLY, 0), -ENOENT);
    ck_assert_str_eq(read_file("deep"), "deep");
}
END_TEST

START_TEST(a_working_directory_is_checked)
{
    vmkit_error *error = NULL;
    struct vmk_files *files;
    ck_assert_int_eq(vmk_config_add_folder(fake.config, in_base("shown"), "/data", 0, NULL), 0);
    ck_assert_int_eq(vmk_config_set_working_directory(fake.config, "/data/sub", NULL), 0);
    fake_start();
    ck_assert_str_eq(read_file("deep"), "deep");
    vmk_config_set_working_directory(fake.config, "/data/none", NULL);
    ck_assert_int_eq(vmk_files_new(fake.config, &fake.process, &fake.account, &files, &error),
                     -ENOENT);
    ck_assert_str_eq(vmk_error_get_message(error),
                     "cannot enter working directory \"/data/none\" of the sandbox: No such file "
                     "or directory");
    vmk_error_unref(error);
    vmk_config_set_working_directory(fake.config, "/data/file", NULL);
    ck_assert_int_eq(vmk_files_new(fake.config, &fake.process, &fake.account, &files, NULL),
                     -ENOTDIR);
}
END_TEST

START_TEST(a_program_is_opened_for_execve)
{
    struct vmk_file *file;
    char bytes[8];
    start("/data", 0);
    struct vmk_files *files = fake.process.files;
    ck_assert_int_eq(vmk_files_open_program(files, AT_FDCWD, "/data/file", 0, &file), -EACCES);
    ck_assert_int_eq(chmod(in_base("shown/file"), 0755), 0);
    ck_assert_int_eq(vmk_files_open_program(files, AT_FDCWD, "/data/file", 0, &file), 0);
    ck_assert_int_eq(vmk_file_pread(&fake.process, file, bytes, sizeof bytes, 3), 4);
    ck_assert_mem_eq(bytes, "tent", 4);
    vmk_file_unref(file);
    ck_assert_int_eq(vmk_files_open_program(files, AT_FDCWD, "/data", 0, &file), -EACCES);
    ck_assert_int_eq(vmk_files_open_program(files, AT_FDCWD, "/data/none", 0, &file), -ENOENT);
    ck_assert_int_eq(vmk_files_open_program(files, AT_FDCWD, "/dev/null", 0, &file), -EACCES);
    ck_assert_int_eq(vmk_files_open_program(files, AT_FDCWD, "/proc/self/exe", 0, &file), 0);
    ck_assert_int_eq(vmk_file_pread(&fake.process, file, bytes, sizeof bytes, 0), 4);
    ck_assert_mem_eq(bytes, "\177ELF", 4);
    vmk_file_unref(file);
    ck_assert_int_eq(vmk_files_open_program(files, AT_FDCWD, "/proc/self/fd/1", 0, &file), -EACCES);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_folders");
    TCase *tcase = tcase_create("sandbox_folders");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_folder_is_read);
    tcase_add_test(tcase, a_read_only_folder_stays_as_it_is);
    tcase_add_test(tcase, a_writable_folder_is_changed);
    tcase_add_test(tcase, appending_and_sharing_positions_work);
    tcase_add_test(tcase, no_guest_file_carries_the_callers_rights);
    tcase_add_test(tcase, dots_do_not_lead_out);
    tcase_add_test(tcase, links_lead_to_the_guests_tree_alone);
    tcase_add_test(tcase, links_that_the_guest_makes_lead_nowhere_else);
    tcase_add_test(tcase, special_files_are_shown_and_not_opened);
    tcase_add_test(tcase, procfs_below_a_folder_is_not_entered);
    tcase_add_test(tcase, a_single_file_is_shown);
    tcase_add_test(tcase, mounts_lie_over_a_folder_that_is_the_root);
    tcase_add_test(tcase, one_descriptor_of_the_host_for_each_of_the_guest);
    tcase_add_test(tcase, every_host_descriptor_is_closed_on_exec);
    tcase_add_test(tcase, a_race_with_renames_never_leads_out);
    tcase_add_loop_test(tcase, dots_go_up_from_where_a_folder_is_now, 0, 2);
    tcase_add_test(tcase, a_folder_that_was_moved_out_has_nothing_above_it);
    tcase_add_test(tcase, a_working_directory_is_checked);
    tcase_add_test(tcase, a_program_is_opened_for_execve);
    suite_add_tcase(suite, tcase);
    return suite;
}
