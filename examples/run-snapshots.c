/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that holds what differs from a parent is opened with the parent, which may have one as
 * well. The files say which they are and which they need, so the user need not say it.
 */
#include "run-snapshots.h"

#include <vmkit/snapshot_file.h>

#include <stdlib.h>
#include <string.h>

struct file {
    const char *path;
    struct vmkit_snapshot_file_info info;
    vmkit_snapshot *snapshot; /* NULL until it was needed */
    bool is_opening;
};

/* The parents, and behind them the file to go on from, if there is one. */
struct chain {
    struct file *files;
    size_t parents, count;
    uint64_t memory; /* the most that is decompressed of each */
};

static bool
succeeded(int result, vmkit_error *error)
{
    if (result < 0)
        run_complain("%s%s", vmkit_error_get_message(error),
                     strstr(vmkit_error_get_message(error), "needs its parent") != NULL
                         ? "; give it with --parent"
                         : "");
    vmkit_error_unref(error);
    return result >= 0;
}

static bool
look(struct file *file)
{
    vmkit_snapshot_file *opened = NULL;
    vmkit_error *error = NULL;
    int result = vmkit_snapshot_file_open_path(file->path, 0, &opened, &error);

    file->info.size = sizeof file->info;
    if (result == 0)
        result = vmkit_snapshot_file_get_info(opened, &file->info, &error);
    vmkit_snapshot_file_unref(opened);
    return succeeded(result, error);
}

static bool
is_parent_of(const struct file *parent, const struct file *file)
{
    return file->info.depth > 0 && memcmp(file->info.parent, parent->info.identity, 16) == 0;
}

/* The file may be a stranger's: a few bytes of it may stand for many. */
static bool
open_with(struct file *file, vmkit_snapshot *parent, uint64_t memory)
{
    vmkit_snapshot_options *opening = NULL;
    vmkit_error *error = NULL;
    int result = vmkit_snapshot_options_new(&opening, &error);

    if (result == 0)
        result = vmkit_snapshot_options_set_memory_limit(opening, memory, &error);
    if (result == 0)
        result = vmkit_snapshot_options_set_parent(opening, parent, &error);
    if (result == 0)
        result = vmkit_snapshot_open_path(file->path, 0, opening, &file->snapshot, &error);
    vmkit_snapshot_options_unref(opening);
    return succeeded(result, error);
}

/* Opens it with its parents. Without one that it needs, the library says which. */
static bool
open_file(struct chain *chain, struct file *file)
{
    vmkit_snapshot *parent = NULL;

    if (file->snapshot != NULL)
        return true;
    file->is_opening = true;
    for (size_t i = 0; i < chain->parents && parent == NULL; i++) {
        struct file *other = &chain->files[i];
        if (!is_parent_of(other, file) || other->is_opening)
            continue;
        if (!open_file(chain, other))
            return false;
        parent = other->snapshot;
    }
    file->is_opening = false;
    return open_with(file, parent, chain->memory);
}

/* The parent that no other one needs, or NULL after saying why there is none. */
static struct file *
find_last(const struct chain *chain)
{
    struct file *last = NULL;

    for (size_t i = 0; i < chain->parents; i++) {
        struct file *file = &chain->files[i];
        bool is_needed = false;
        for (size_t j = 0; j < chain->parents; j++)
            is_needed |= is_parent_of(file, &chain->files[j]);
        if (is_needed)
            continue;
        if (last != NULL) {
            run_complain("--parent: %s and %s are not in one chain", last->path, file->path);
            return NULL;
        }
        last = file;
    }
    if (last == NULL)
        run_complain("--parent: each of the files needs another one of them");
    return last;
}

/* Whether --restore needed all parents. */
static bool
check_needed(const struct chain *chain, const char *restored)
{
    for (size_t i = 0; i < chain->parents; i++) {
        if (chain->files[i].snapshot == NULL) {
            run_complain("--parent %s: it is no parent of %s", chain->files[i].path, restored);
            return false;
        }
    }
    return true;
}

static bool
open_all(struct chain *chain, const struct run_options *options, struct run_snapshots *snapshots)
{
    struct file *restored = options->restore != NULL ? &chain->files[chain->parents] : NULL;
    struct file *last = NULL;

    /* A file without parents says what is wrong with it when it is opened. */
    for (size_t i = 0; i < chain->count && chain->parents > 0; i++) {
        if (!look(&chain->files[i]))
            return false;
    }
    if (chain->parents > 0 && options->save != NULL) {
        last = find_last(chain);
        if (last == NULL || !open_file(chain, last))
            return false;
        snapshots->parent = vmkit_snapshot_ref(last->snapshot);
    }
    if (restored == NULL)
        return true;
    /* Given as a parent as well, it is one and the same. */
    if (last != NULL && memcmp(last->info.identity, restored->info.identity, 16) == 0)
        restored = last;
    if (!open_file(chain, restored) || !check_needed(chain, options->restore))
        return false;
    snapshots->restored = vmkit_snapshot_ref(restored->snapshot);
    return true;
}

bool
run_snapshots_open(struct run_snapshots *snapshots, const struct run_options *options)
{
    struct chain chain = {
        .parents = options->parent_count,
        .count = options->parent_count + (options->restore != NULL),
        .memory = options->memory != 0 ? options->memory : RUN_RESTORE_MEMORY,
    };

    *snapshots = (struct run_snapshots){.restored = NULL};
    chain.files = calloc(chain.count + 1, sizeof *chain.files);
    if (chain.files == NULL) {
        run_complain("out of memory");
        return false;
    }
    for (size_t i = 0; i < chain.count; i++)
        chain.files[i].path = i < chain.parents ? options->parents[i] : options->restore;
    bool good = open_all(&chain, options, snapshots);
    for (size_t i = 0; i < chain.count; i++)
        vmkit_snapshot_unref(chain.files[i].snapshot);
    free(chain.files);
    return good;
}

void
run_snapshots_clear(struct run_snapshots *snapshots)
{
    vmkit_snapshot_unref(snapshots->restored);
    vmkit_snapshot_unref(snapshots->parent);
}
