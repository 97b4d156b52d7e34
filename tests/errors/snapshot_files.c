/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot_files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct snapshot_files files;

void
snapshot_files_name(char *path, const char *name)
{
    snprintf(path, sizeof files.full, "%s/%s", files.folder, name);
}

void
snapshot_files_make_options(uint32_t level, vmkit_snapshot *parent)
{
    vmkit_snapshot_options_unref(files.options);
    ASSERT_OK(vmkit_snapshot_options_new(&files.options, &error));
    ASSERT_OK(vmkit_snapshot_options_set_compression(files.options, level, &error));
    ASSERT_OK(vmkit_snapshot_options_set_parent(files.options, parent, &error));
}

/* A VM of a page of code, some other pages, and a vCPU. */
void
snapshot_files_set_up(void)
{
    static const uint8_t code[] = {0xe6, 0x10, 0xeb, 0xfc};
    strcpy(files.folder, "/tmp/vmkit-errors.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(files.folder));
    snapshot_files_name(files.full, "full");
    snapshot_files_name(files.packed, "packed");
    snapshot_files_name(files.child, "child");
    snapshot_files_name(files.out, "out");
    guest_new_real(&files.guest, code, sizeof code);
    for (size_t at = 0x20000; at < 0x28000; at += 4096)
        files.guest.memory[at] = (uint8_t)(at >> 12);
    ASSERT_OK(vmkit_vm_snapshot(files.guest.vm, NULL, 0, &files.snapshot, &error));
    snapshot_files_make_options(1, NULL);
    ASSERT_OK(vmkit_snapshot_save_path(files.snapshot, files.packed, files.options, &error));
    snapshot_files_make_options(0, NULL);
    ASSERT_OK(vmkit_snapshot_save_path(files.snapshot, files.full, files.options, &error));
    snapshot_files_make_options(0, files.snapshot);
    ASSERT_OK(vmkit_snapshot_save_path(files.snapshot, files.child, files.options, &error));
    ASSERT_OK(vmkit_snapshot_save_path(files.snapshot, files.full, NULL, &error));
    ASSERT_OK(vmkit_snapshot_file_open_path(files.packed, 0, &files.file, &error));
    snapshot_files_make_options(0, NULL);
}

void
snapshot_files_tear_down(void)
{
    DIR *names = opendir(files.folder);
    for (struct dirent *entry; (entry = readdir(names)) != NULL;)
        unlinkat(dirfd(names), entry->d_name, 0);
    closedir(names);
    ck_assert_int_eq(rmdir(files.folder), 0);
    vmkit_snapshot_file_unref(files.file);
    vmkit_snapshot_options_unref(files.options);
    vmkit_snapshot_unref(files.snapshot);
    files.options = NULL;
    guest_free(&files.guest);
}
