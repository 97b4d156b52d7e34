/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot files that vmkit-run is given: the one to go on from, and parents, in any order.
 */
#ifndef RUN_SNAPSHOTS_H
#define RUN_SNAPSHOTS_H

#include "run-options.h"

struct run_snapshots {
    vmkit_snapshot *restored; /* --restore, or NULL */
    vmkit_snapshot *parent;   /* what a file that is saved holds the difference to, or NULL */
};

/* Opens them. Returns whether all is well; what is wrong was told on standard error. */
bool
run_snapshots_open(struct run_snapshots *snapshots, const struct run_options *options);

void
run_snapshots_clear(struct run_snapshots *snapshots);

#endif
