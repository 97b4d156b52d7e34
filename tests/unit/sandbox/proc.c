/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of /proc, and the ioctl requests that every file has. */
#include "harness.h"

#include "fake_guest.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#define CWD ((uint64_t)AT_FDCWD)

/* A whole file, read in pieces that end anywhere. */
static const char *
read_in_pieces(const char *path)
{
    static char text[8192];
    size_t length = 0;
    int64_t fd = fake_open(path, O_RDONLY, 0);
    ck_assert_int_ge(fd, 0);
    for (;;) {
        int64_t got = fake_call(read, (uint64_t)fd, FAKE_BASE, 7);
        ck_assert_int_ge(got, 0);
        if (got == 0)
            break;
        memcpy(text + length, fake_at(FAKE_BASE), (size_t)got);
        length += (size_t)got;
    }
    ck_assert_int_eq(fake_call(close, (uint64_t)fd), 0);
    text[length] = '\0';
    return text;
}

static void
holds(const char *path, const char *line)
{
    const char *text = read_in_pieces(path);
    ck_assert_msg(strstr(text, line) != NULL, "%s lacks \"%s\":\n%s", path, line, text);
}

START_TEST(the_process_is_told_as_the_calls_tell_it)
{
    ck_assert_int_eq(vmk_config_set_user(fake.config, 1001, 1002, NULL), 0);
    fake_start();
    ck_assert_str_eq(read_in_pieces("/proc/self/comm"), "fake\n");
    holds("/proc/self/status", "Name:\tfake\nUmask:\t0022\nState:\tR (running)\n");
    holds("/proc/self/status", "\nPid:\t1\nPPid:\t0\nTracerPid:\t0\n");
    holds("/proc/self/status", "\nUid:\t1001\t1001\t1001\t1001\nGid:\t1002\t1002\t1002\t1002\n");
    /* getgroups(2) gives none either. */
    ck_assert_int_eq(fake_call(getgroups, 0, 0), 0);
    holds("/proc/self/status", "\nGroups:\t \n");
    holds("/proc/self/status", "\nThreads:\t1\nSigBlk:\t0000000000000000\nNoNewPrivs:\t1\n");
}
END_TEST

START_TEST(stat_has_the_fields_of_linux)
{
    char name[17], state;
    int pid, parent, group, fields = 1;
    fake_start();
    const char *text = read_in_pieces("/proc/1/stat");
    ck_assert_int_eq(sscanf(text, "%d (%16[^)]) %c %d %d", &pid, name, &state, &parent, &group), 5);
    ck_assert_int_eq(pid, 1);
    ck_assert_str_eq(name, "fake");
    ck_assert_int_eq(state, 'R');
    ck_assert_int_eq(parent, 0);
    ck_assert_int_eq(group, 1);
    for (const char *at = text; *at != '\0'; at++)
        fields += *at == ' ';
    ck_assert_int_eq(fields, 52);
    ck_assert_int_eq(text[strlen(text) - 1], '\n');
}
END_TEST

START_TEST(memory_is_what_was_charged)
{
    ck_assert_int_eq(vmk_config_set_memory_limit(fake.config, 64 << 20, NULL), 0);
    fake_start();
    ck_assert(vmk_memory_account_try_charge(&fake.account, 24 << 20));
    ck_assert(vmk_memory_account_try_charge(&fake.account, 8 << 20));
    vmk_memory_account_uncharge(&fake.account, 8 << 20);
    unsigned long long pages, resident, total, left, peak, size;
    uint64_t used = fake.account.used;
    ck_assert_int_eq(sscanf(read_in_pieces("/proc/self/statm"), "%llu %llu", &pages, &resident), 2);
    ck_assert_uint_eq(pages, used / 4096);
    ck_assert_uint_eq(resident, used / 4096);
    ck_assert_int_eq(
        sscanf(read_in_pieces("/proc/meminfo"), "MemTotal: %llu kB MemFree: %llu", &total, &left),
        2);
    ck_assert_uint_eq(total, 64 << 10);
    ck_assert_uint_eq(left, ((64 << 20) - used) / 1024);
    const char *text = strstr(read_in_pieces("/proc/self/status"), "VmPeak:");
    ck_assert_int_eq(sscanf(text, "VmPeak: %llu kB VmSize: %llu", &peak, &size), 2);
    ck_assert_uint_eq(peak, fake.account.peak / 1024);
    ck_assert_uint_eq(size, used / 1024);
    ck_assert_uint_gt(peak, size);
    vmk_memory_account_uncharge(&fake.account, 24 << 20);
}
END_TEST

START_TEST(limits_are_those_of_the_sandbox)
{
    ck_assert_int_eq(vmk_config_set_open_files_limit(fake.config, 17, NULL), 0);
    ck_assert_int_eq(vmk_config_set_memory_limit(fake.config, 64 << 20, NULL), 0);
    fake_start();
    holds("/proc/self/limits",
          "Limit                     Soft Limit           Hard Limit           Units     \n");
    holds("/proc/self/limits",
          "\nMax address space         67108864             67108864             bytes     \n");
    holds("/proc/self/limits",
          "\nMax open files            17                   17                   files     \n");
    holds("/proc/self/status", "\nFDSize:\t17\n");
}
END_TEST

START_TEST(arguments_and_environment_end_in_zeros)
{
    ck_assert_int_eq(
        vmk_config_set_arguments(fake.config, (const char *const[]){"a", "b c", NULL}, NULL), 0);
    ck_assert_int_eq(
        vmk_config_set_environment(fake.config, (const char *const[]){"K=V", "L=", NULL}, NULL), 0);
    fake_start();
    ck_assert_mem_eq(read_in_pieces("/proc/self/cmdline"), "a\0b c\0", 7);
    ck_assert_mem_eq(read_in_pieces("/proc/self/environ"), "K=V\0L=\0", 8);
}
END_TEST

START_TEST(mounts_are_listed_with_their_rights)
{
    ck_assert_int_eq(vmk_config_add_folder(fake.config, "/", "/a b\\c", 0, NULL), 0);
    fake_start();
    holds("/proc/self/mounts", " /tmp tmpfs rw 0 0\n");
    holds("/proc/mounts", " /tmp tmpfs rw 0 0\n");
    holds("/proc/mounts", "proc /proc proc ro 0 0\n");
    holds("/proc/mounts", "folder /a\\040b\\134c folder ro 0 0\n");
}
END_TEST

START_TEST(the_machine_has_one_name)
{
    struct utsname name;
    char text[300];
    fake_start();
    ck_assert_int_eq(fake_call(uname, FAKE_BASE), 0);
    memcpy(&name, fake_at(FAKE_BASE), sizeof name);
    snprintf(text, sizeof text, "%s\n", name.sysname);
    ck_assert_str_eq(read_in_pieces("/proc/sys/kernel/ostype"), text);
    snprintf(text, sizeof text, "%s\n", name.release);
    ck_assert_str_eq(read_in_pieces("/proc/sys/kernel/osrelease"), text);
    snprintf(text, sizeof text, "%s\n", name.nodename);
    ck_assert_str_eq(read_in_pieces("/proc/sys/kernel/hostname"), text);
    snprintf(text, sizeof text, "%s version %s ", name.sysname, name.release);
    ck_assert_mem_eq(read_in_pieces("/proc/version"), text, strlen(text));
}
END_TEST

START_TEST(the_machine_has_one_processor_and_one_process)
{
    unsigned long long seconds;
    fake_start();
    ck_assert_str_eq(read_in_pieces("/proc/cpuinfo"), "processor\t: 0\n\n");
    ck_assert_str_eq(read_in_pieces("/proc/loadavg"), "0.00 0.00 0.00 1/1 1\n");
    holds("/proc/stat", "\ncpu0 ");
    holds("/proc/stat", "\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n");
    ck_assert_ptr_null(strstr(read_in_pieces("/proc/stat"), "cpu1"));
    ck_assert_int_eq(sscanf(read_in_pieces("/proc/uptime"), "%llu.", &seconds), 1);
    ck_assert_uint_gt(seconds, 0);
    ck_assert_str_eq(read_in_pieces("/proc/filesystems"),
                     "nodev\tproc\nnodev\ttmpfs\nnodev\tfolder\n");
    ck_assert_str_eq(read_in_pieces("/proc/sys/fs/pipe-max-size"), "1048576\n");
    ck_assert_str_eq(read_in_pieces("/proc/sys/kernel/pid_max"), "32768\n");
    ck_assert_str_eq(read_in_pieces("/proc/sys/kernel/ngroups_max"), "65536\n");
    ck_assert_str_eq(read_in_pieces("/proc/sys/vm/max_map_count"), "65530\n");
    ck_assert_str_eq(read_in_pieces("/proc/sys/vm/overcommit_memory"), "0\n");
}
END_TEST

START_TEST(the_folder_of_the_process_is_linked)
{
    fake_start();
    ck_assert_int_eq(fake_call(chdir, fake_string("/tmp")), 0);
    ck_assert_int_eq(fake_call(readlinkat, CWD, fake_string("/proc/self/cwd"), FAKE_BASE, 100), 4);
    ck_assert_mem_eq(fake_at(FAKE_BASE), "/tmp", 4);
    ck_assert_int_eq(fake_call(readlinkat, CWD, fake_string("/proc/self"), FAKE_BASE, 100), 1);
    ck_assert_mem_eq(fake_at(FAKE_BASE), "1", 1);
}
END_TEST

START_TEST(nothing_in_proc_is_written_and_no_other_process_is_there)
{
    fake_start();
    ck_assert_int_eq(fake_open("/proc/self/comm", O_WRONLY, 0), -EACCES);
    ck_assert_int_eq(fake_open("/proc/3/status", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/proc/self/mem", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/proc/self/comm/x", O_RDONLY, 0), -ENOTDIR);
}
END_TEST

START_TEST(requests_that_every_file_has)
{
    const int32_t on = 1, off = 0;
    int32_t left;
    fake_start();
    uint64_t fd = (uint64_t)fake_open("/tmp/f", O_CREAT | O_RDWR, 0644);
    ck_assert_int_eq(fake_write((int64_t)fd, "content"), 7);
    ck_assert_int_eq(fake_call(lseek, fd, 3, SEEK_SET), 3);
    ck_assert_int_eq(fake_call(ioctl, fd, FIONREAD, FAKE_BASE), 0);
    memcpy(&left, fake_at(FAKE_BASE), sizeof left);
    ck_assert_int_eq(left, 4);
    ck_assert_int_eq(fake_call(lseek, fd, 100, SEEK_SET), 100);
    ck_assert_int_eq(fake_call(ioctl, fd, FIONREAD, FAKE_BASE), 0);
    memcpy(&left, fake_at(FAKE_BASE), sizeof left);
    ck_assert_int_eq(left, 0);
    ck_assert_int_eq(fake_call(ioctl, fd, FIONREAD, FAKE_WILD), -EFAULT);

    ck_assert_int_eq(fake_call(ioctl, fd, FIONBIO, fake_put(FAKE_BASE, &on, sizeof on)), 0);
    ck_assert_int_eq(fake_call(fcntl, fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    ck_assert_int_eq(fake_call(ioctl, fd, FIONBIO, fake_put(FAKE_BASE, &off, sizeof off)), 0);
    ck_assert_int_eq(fake_call(fcntl, fd, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(fake_call(ioctl, fd, FIONBIO, FAKE_WILD), -EFAULT);

    ck_assert_int_eq(fake_call(ioctl, fd, FIOCLEX, 0), 0);
    ck_assert_int_eq(fake_call(fcntl, fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fake_call(ioctl, fd, FIONCLEX, 0), 0);
    ck_assert_int_eq(fake_call(fcntl, fd, F_GETFD), 0);
    ck_assert_int_eq(fake_call(ioctl, fd, TCGETS, FAKE_BASE), -ENOTTY);
    ck_assert_int_eq(fake_call(ioctl, 99, FIOCLEX, 0), -EBADF);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("proc");
    TCase *tcase = tcase_create("proc");

    tcase_add_checked_fixture(tcase, fake_set_up, fake_tear_down);
    tcase_add_test(tcase, the_process_is_told_as_the_calls_tell_it);
    tcase_add_test(tcase, stat_has_the_fields_of_linux);
    tcase_add_test(tcase, memory_is_what_was_charged);
    tcase_add_test(tcase, limits_are_those_of_the_sandbox);
    tcase_add_test(tcase, arguments_and_environment_end_in_zeros);
    tcase_add_test(tcase, mounts_are_listed_with_their_rights);
    tcase_add_test(tcase, the_machine_has_one_name);
    tcase_add_test(tcase, the_machine_has_one_processor_and_one_process);
    tcase_add_test(tcase, the_folder_of_the_process_is_linked);
    tcase_add_test(tcase, nothing_in_proc_is_written_and_no_other_process_is_there);
    tcase_add_test(tcase, requests_that_every_file_has);
    suite_add_tcase(suite, tcase);
    return suite;
}
