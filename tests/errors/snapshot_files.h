/* SPDX-License-Identifier: Apache-2.0 */
/* A small VM, its snapshot, and files of it. */
#ifndef VMK_TEST_ERRORS_SNAPSHOT_FILES_H
#define VMK_TEST_ERRORS_SNAPSHOT_FILES_H

#include "../kvm/guest.h"

struct snapshot_files {
    char folder[32];
    char full[64];
    char packed[64]; /* compressed */
    char child[64];  /* an increment of the full one, as it was first */
    char out[64];    /* not there */
    struct guest guest;
    vmkit_snapshot *snapshot;
    vmkit_snapshot_file *file; /* the compressed one */
    vmkit_snapshot_options *options;
};

extern struct snapshot_files files;

/* The path of that name in the folder, in 64 bytes. */
void
snapshot_files_name(char *path, const char *name);

/* New options in place of those that are there. */
void
snapshot_files_make_options(uint32_t level, vmkit_snapshot *parent);

void
snapshot_files_set_up(void);

void
snapshot_files_tear_down(void);

#endif
