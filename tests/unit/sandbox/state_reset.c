/* SPDX-License-Identifier: Apache-2.0 */
/* Back to the snapshot: nothing of what happened since is left. */
#include "harness.h"
#include "state_guest.h"

#include "sandbox/signal_state.h"
#include "sandbox/tmpfs_internal.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CWD ((uint64_t)AT_FDCWD)

static vmkit_sandbox_config *config;
static struct state_guest guest;
static struct vmk_bytes snapshot;

static void
set_up(void)
{
    struct state_guest first;
    ck_assert_int_eq(vmk_config_new(&config, NULL), 0);
    ck_assert_int_eq(vmk_config_set_program_memory(config, "\177ELF", 4, NULL), 0);
    state_start(&first, config);
    state_write(&first, 1, "before ");
    ck_assert_int_eq(state_open(&first, "/tmp/kept", O_CREAT | O_RDWR, 0644), 3);
    ck_assert_int_eq(state_write(&first, 3, "kept"), 4);
    ck_assert_int_eq(state_call(&first, pipe2, STATE_RESULT, 0), 0);
    ck_assert_int_eq(state_write(&first, 5, "inside"), 6);
    ck_assert_int_eq(state_open(&first, "/tmp/unlinked", O_CREAT | O_RDWR, 0644), 6);
    ck_assert_int_eq(state_call(&first, unlinkat, CWD, state_string(&first, "/tmp/unlinked"), 0),
                     0);
    snapshot = (struct vmk_bytes){0};
    snapshot = state_save(&first);
    state_end(&first);
    vmk_config_set_input(config, "input", 5, NULL);
    state_prepare(&guest, config);
    ck_assert_int_eq(vmk_state_load(&guest.process, config, snapshot.data, snapshot.size, NULL), 0);
}

static void
tear_down(void)
{
    state_end(&guest);
    vmk_bytes_clear(&snapshot);
    vmk_config_unref(config);
}

/* Reset, after which the process saves as the snapshot is. */
static void
reset(void)
{
    vmkit_error *error = NULL;
    int r = vmk_state_reset(&guest.process, snapshot.data, snapshot.size, &error);
    ck_assert_msg(r == 0, "%s", vmk_error_get_message(error));
    struct vmk_bytes bytes = state_save(&guest);
    ck_assert_uint_eq(bytes.size, snapshot.size);
    ck_assert_mem_eq(bytes.data, snapshot.data, bytes.size);
    vmk_bytes_clear(&bytes);
    guest.next_string = STATE_BASE;
}

START_TEST(nothing_done_changes_nothing)
{
    const struct vmk_file *file = guest.process.files->table.entries[3].file;
    uint64_t used = guest.account.used;
    reset();
    ck_assert_ptr_eq(guest.process.files->table.entries[3].file, file);
    ck_assert_uint_eq(guest.account.used, used);
}
END_TEST

START_TEST(the_process_and_its_signals_come_back)
{
    const struct vmk_file *file = guest.process.files->table.entries[3].file;
    const struct vmk_guest_sigaction action = {.handler = 0x1000};
    state_call(&guest, umask, 0);
    state_call(&guest, prctl, PR_SET_NAME, state_string(&guest, "other"));
    state_call(&guest, rt_sigaction, SIGUSR1, state_put(&guest, &action, sizeof action), 0, 8);
    state_call(&guest, kill, 2, SIGUSR1);
    guest.process.ending.kind = VMKIT_OUTCOME_SIGNALLED;
    guest.process.cpu_before_ns = 5;
    guest.process.syscalls = 3;
    guest.process.syscall_counts[7] = 3;
    reset();
    ck_assert_ptr_eq(guest.process.files->table.entries[3].file, file);
    ck_assert(!vmk_signals_pending(&guest.process));
    ck_assert_uint_eq(guest.process.signals->actions[SIGUSR1].handler, 0);
    ck_assert_str_eq(guest.process.name, "state");
    ck_assert_int_eq(guest.process.ending.kind, 0);
    ck_assert_uint_eq(guest.process.syscall_counts[7], 0);
    ck_assert_uint_eq(guest.process.cpu_before_ns, 0);
}
END_TEST

START_TEST(output_ends_where_it_did)
{
    const void *data;
    uint64_t size;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(state_write(&guest, 1, "more"), 4);
        ck_assert_int_eq(state_write(&guest, 2, "errors"), 6);
        ck_assert_uint_eq(guest.process.output_bytes, 17);
        reset();
        ck_assert_int_eq(vmk_files_get_output(guest.process.files, 1, &data, &size), 0);
        ck_assert_uint_eq(size, 7);
        ck_assert_mem_eq(data, "before ", 7);
        ck_assert_int_eq(vmk_files_get_output(guest.process.files, 2, &data, &size), 0);
        ck_assert_uint_eq(size, 0);
        ck_assert_uint_eq(guest.process.output_bytes, 7);
    }
}
END_TEST

START_TEST(streams_that_were_closed_or_read_are_connected_again)
{
    ck_assert_str_eq(state_read(&guest, 0), "input");
    reset();
    ck_assert_str_eq(state_read(&guest, 0), "input");
    for (uint64_t fd = 0; fd < 7; fd++)
        state_call(&guest, close, fd);
    reset();
    ck_assert_str_eq(state_read(&guest, 0), "input");
    ck_assert_int_eq(state_write(&guest, 1, "x"), 1);
    ck_assert_str_eq(state_read(&guest, 4), "inside");
    reset();
}
END_TEST

START_TEST(files_that_were_changed_come_back)
{
    ck_assert_int_eq(state_call(&guest, lseek, 3, 0, SEEK_SET), 0);
    reset();
    ck_assert_int_eq(state_write(&guest, 3, "changed"), 7);
    reset();
    ck_assert_int_eq(state_call(&guest, unlinkat, CWD, state_string(&guest, "/tmp/kept"), 0), 0);
    ck_assert_int_eq(state_call(&guest, mkdirat, CWD, state_string(&guest, "/tmp/kept"), 0755), 0);
    ck_assert_int_eq(state_call(&guest, chdir, state_string(&guest, "/tmp/kept")), 0);
    ck_assert_int_eq(state_open(&guest, "secret", O_CREAT | O_WRONLY, 0644), 7);
    reset();
    ck_assert_int_eq(state_open(&guest, "/tmp/secret", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(state_write(&guest, 6, "into the file without a name"), 28);
    reset();
    state_call(&guest, fchmodat, CWD, state_string(&guest, "/tmp/kept"), 0);
    reset();
    int64_t fd = state_open(&guest, "/tmp/kept", O_RDONLY, 0);
    ck_assert_str_eq(state_read(&guest, fd), "kept");
    reset();
}
END_TEST

START_TEST(memory_files_that_did_not_change_stay)
{
    const struct tmp_inode *inode = tmp_inode(guest.process.files->table.entries[3].file->node);
    /* The descriptors change, the files do not. */
    ck_assert_int_eq(state_open(&guest, "/tmp/kept", O_RDONLY, 0), 7);
    ck_assert_str_eq(state_read(&guest, 7), "kept");
    reset();
    ck_assert_ptr_eq(tmp_inode(guest.process.files->table.entries[3].file->node), inode);
}
END_TEST

START_TEST(mappings_come_back)
{
    size_t count = guest.space.vmas.count;
    ck_assert_int_gt(
        state_call(&guest, mmap, 0, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, UINT64_MAX, 0),
        0);
    ck_assert_int_eq(state_call(&guest, mprotect, STATE_BASE, 4096, PROT_READ), 0);
    ck_assert_uint_ne(guest.space.vmas.count, count);
    reset();
    ck_assert_uint_eq(guest.space.vmas.count, count);
}
END_TEST

START_TEST(a_pipe_and_its_contents_come_back)
{
    ck_assert_str_eq(state_read(&guest, 4), "inside");
    state_call(&guest, close, 4);
    reset();
    ck_assert_str_eq(state_read(&guest, 4), "inside");
    ck_assert_int_eq(state_write(&guest, 5, "other"), 5);
    reset();
    ck_assert_str_eq(state_read(&guest, 4), "inside");
    reset();
}
END_TEST

START_TEST(a_host_file_that_went_fails_the_reset_with_its_name)
{
    char path[] = "/tmp/vmkit-reset-XXXXXX";
    struct state_guest other;
    vmkit_error *error = NULL;
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    vmkit_sandbox_config *shown;
    ck_assert_int_eq(vmk_config_new(&shown, NULL), 0);
    vmk_config_set_program_memory(shown, "\177ELF", 4, NULL);
    ck_assert_int_eq(vmk_config_add_folder(shown, "/tmp", "/host", 0, NULL), 0);
    char name[64] = "/host/";
    strcat(name, path + strlen("/tmp/"));
    state_start(&other, shown);
    ck_assert_int_eq(state_open(&other, name, O_RDONLY, 0), 3);
    struct vmk_bytes bytes = state_save(&other);
    state_end(&other);
    state_prepare(&other, shown);
    ck_assert_int_eq(vmk_state_load(&other.process, shown, bytes.data, bytes.size, NULL), 0);

    ck_assert_int_eq(unlink(path), 0);
    /* It is open still. */
    ck_assert_int_eq(vmk_state_reset(&other.process, bytes.data, bytes.size, &error), 0);
    state_call(&other, close, 3);
    int r = vmk_state_reset(&other.process, bytes.data, bytes.size, &error);
    ck_assert_int_eq(r, -ENOENT);
    ck_assert_ptr_nonnull(strstr(vmk_error_get_message(error), name));
    vmk_error_unref(error);
    /* And once it is there again, so is the process. */
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(fd);
    ck_assert_int_eq(vmk_state_reset(&other.process, bytes.data, bytes.size, NULL), 0);
    ck_assert_str_eq(state_read(&other, 3), "");
    unlink(path);
    vmk_bytes_clear(&bytes);
    state_end(&other);
    vmk_config_unref(shown);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("state_reset");
    TCase *tcase = tcase_create("state_reset");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, nothing_done_changes_nothing);
    tcase_add_test(tcase, the_process_and_its_signals_come_back);
    tcase_add_test(tcase, output_ends_where_it_did);
    tcase_add_test(tcase, streams_that_were_closed_or_read_are_connected_again);
    tcase_add_test(tcase, files_that_were_changed_come_back);
    tcase_add_test(tcase, memory_files_that_did_not_change_stay);
    tcase_add_test(tcase, mappings_come_back);
    tcase_add_test(tcase, a_pipe_and_its_contents_come_back);
    tcase_add_test(tcase, a_host_file_that_went_fails_the_reset_with_its_name);
    suite_add_tcase(suite, tcase);
    return suite;
}
