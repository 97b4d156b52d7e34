/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of vmkit-run, put into a sandbox configuration.
 */
#ifndef RUN_OPTIONS_H
#define RUN_OPTIONS_H

#include <vmkit/vmkit.h>

#include <stdbool.h>
#include <stddef.h>

/* Exit statuses of vmkit-run itself, as env(1), timeout(1) and the shells use them. */
enum {
    RUN_TIME_LIMIT = 124,
    RUN_FAILED = 125,
    RUN_NOT_EXECUTABLE = 126,
    RUN_NOT_FOUND = 127,
    RUN_SIGNAL = 128,
};

/* What a file that is restored may take without --memory, in bytes. */
#define RUN_RESTORE_MEMORY (UINT64_C(1) << 30)

enum run_stats { RUN_STATS_NONE, RUN_STATS_TEXT, RUN_STATS_JSON };

struct run_options {
    vmkit_sandbox_config *config;
    /* The program as it was named, and where it was found. */
    const char *program;
    char *path;
    /* Files of snapshots, or NULL: to write when the program is ready, and to begin with. */
    const char *save;
    const char *restore;
    /* Files that those need, in any order. */
    const char **parents;
    size_t parent_count;
    uint64_t memory; /* that --memory gives, in bytes; 0 without it */
    enum run_stats stats;
    bool quiet;
};

/* Reads the command line. Returns -1 to go on, or the status to exit with; what is wrong was told
 * on standard error. */
int
run_options_parse(struct run_options *options, int argc, char **argv);

void
run_options_clear(struct run_options *options);

/* "vmkit-run: ", the message, and a line break, on standard error. */
void
run_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
