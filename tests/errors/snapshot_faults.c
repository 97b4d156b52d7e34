/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever is done with snapshots of sandboxes, while one call of the host after the other fails,
 * once or from then on: an error that says so, nothing left behind, the template as good as before,
 * and the sandbox that it happened to can be reset. That each error has a sentence, and is one that
 * the function documents, is what the observer of all calls looks at (harness/observe.h).
 */
#include "../api/assert.h"
#include "../kvm/call_guest.h"
#include "faults.h"
#include "usage.h"

#include <vmkit/pool.h>
#include <vmkit/snapshot.h>
#include <vmkit/snapshot_file.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Calls that are looked at one by one; those behind them here and there. */
#define CALLS_EACH 16
#define CALLS_MAX 100000

/* The words of the guest in the base, in the template, which was forked from it, and in what the
 * cases make of a fork of the template. */
#define BASE_VALUE 1000
#define TEMPLATE_STEP 3
#define TEMPLATE_VALUE 77
/* So that its memory lies in more places than a fork maps one by one. */
#define DIRTY_STEP 2
#define DIRTY_VALUE 5

static char folder[] = "/tmp/vmkit-errors.XXXXXX";
static char raw[64], packed[64], child[64], out[64];
static vmkit_snapshot *base, *template;
static uint64_t template_sum, dirty_sum;
static unsigned failures;

/* A fork of the template that has changed, and what a case made. */
static vmkit_sandbox *dirty;
static vmkit_snapshot *taken;
static vmkit_sandbox *made;

static uint64_t
gather(vmkit_sandbox *sandbox)
{
    call_sandbox = sandbox;
    return call_guest_call("gather", VMKIT_RESULT_INTEGER, NULL, 0);
}

static void
scatter(vmkit_sandbox *sandbox, uint64_t step, uint64_t value)
{
    call_sandbox = sandbox;
    CALL("scatter", INTEGER(step), INTEGER(value));
}

/* Options, or NULL for none that differs from what holds without. */
static int
make_options(vmkit_snapshot *parent, uint32_t level, uint32_t is_lazy,
             vmkit_snapshot_options **ret_options, vmkit_error **ret_error)
{
    int r = vmkit_snapshot_options_new(ret_options, ret_error);
    if (r == 0)
        r = vmkit_snapshot_options_set_parent(*ret_options, parent, ret_error);
    if (r == 0)
        r = vmkit_snapshot_options_set_compression(*ret_options, level, ret_error);
    if (r == 0)
        r = vmkit_snapshot_options_set_lazy(*ret_options, is_lazy, ret_error);
    return r;
}

static int
save(const char *path, vmkit_snapshot *parent, uint32_t level, vmkit_error **ret_error)
{
    vmkit_snapshot_options *options = NULL;
    int r = make_options(parent, level, 0, &options, ret_error);
    if (r == 0)
        r = vmkit_snapshot_save_path(parent == NULL && path == raw ? base : template, path, options,
                                     ret_error);
    vmkit_snapshot_options_unref(options);
    return r;
}

static void
set_up(void)
{
    strcpy(strrchr(folder, '.'), ".XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(raw, sizeof raw, "%s/raw", folder);
    snprintf(packed, sizeof packed, "%s/packed", folder);
    snprintf(child, sizeof child, "%s/child", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    call_guest_configure(&guest_call, "once");
    ASSERT_OK(vmkit_sandbox_config_set_memory_limit(call_config, 16 << 20, &error));
    call_guest_start();
    vmkit_sandbox *origin = call_sandbox;
    scatter(origin, 1, BASE_VALUE);
    ASSERT_OK(vmkit_sandbox_snapshot(origin, &base, &error));
    vmkit_sandbox_unref(origin);
    ASSERT_OK(vmkit_snapshot_fork(base, NULL, &origin, &error));
    scatter(origin, TEMPLATE_STEP, TEMPLATE_VALUE);
    template_sum = gather(origin);
    ASSERT_OK(vmkit_sandbox_snapshot(origin, &template, &error));
    scatter(origin, DIRTY_STEP, DIRTY_VALUE);
    dirty_sum = gather(origin);
    vmkit_sandbox_unref(origin);
    ASSERT_OK(save(packed, NULL, 1, &error));
    ASSERT_OK(save(raw, NULL, 0, &error));
    ASSERT_OK(save(child, base, 0, &error));
    ASSERT_OK(vmkit_snapshot_fork(template, NULL, &dirty, &error));
    ck_assert_uint_ne(dirty_sum, template_sum);
}

static void
tear_down(void)
{
    static const char *const names[] = {raw, packed, child};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(names[i]);
    ck_assert_int_eq(rmdir(folder), 0);
    vmkit_sandbox_unref(dirty);
    vmkit_snapshot_unref(template);
    vmkit_snapshot_unref(base);
    vmkit_sandbox_config_unref(call_config);
}

/* What is done. Each undoes what it made but for `taken`, `made` and the file `out`. */

static int
take(vmkit_error **ret_error)
{
    return vmkit_sandbox_snapshot(dirty, &taken, ret_error);
}

/* It has other words, and a file open. */
static void
prepare_dirty(void)
{
    static const char path[] = "/tmp/new";
    scatter(dirty, DIRTY_STEP, DIRTY_VALUE);
    CALL("open_file", BUFFER(IN, (void *)(uintptr_t)path, sizeof path), INTEGER(O_CREAT | O_RDWR));
}

static void
prepare_image(void)
{
    prepare_dirty();
    ASSERT_OK(take(&error));
}

static int
fork_new(vmkit_error **ret_error)
{
    return vmkit_snapshot_fork(taken, NULL, &made, ret_error);
}

static int
fork_again(vmkit_error **ret_error)
{
    return vmkit_snapshot_fork(template, NULL, &made, ret_error);
}

static int
reset(vmkit_error **ret_error)
{
    return vmkit_sandbox_reset(dirty, ret_error);
}

static int
save_raw(vmkit_error **ret_error)
{
    return save(out, NULL, 0, ret_error);
}

static int
save_packed(vmkit_error **ret_error)
{
    return save(out, NULL, 1, ret_error);
}

static int
save_increment(vmkit_error **ret_error)
{
    return save(out, base, 0, ret_error);
}

static int
open_and_fork(const char *path, vmkit_snapshot *parent, uint32_t is_lazy, vmkit_error **ret_error)
{
    vmkit_snapshot_options *options = NULL;
    vmkit_snapshot *opened = NULL;
    int r = make_options(parent, 0, is_lazy, &options, ret_error);
    if (r == 0)
        r = vmkit_snapshot_open_path(path, 0, options, &opened, ret_error);
    if (r == 0)
        r = vmkit_snapshot_fork(opened, NULL, &made, ret_error);
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_options_unref(options);
    return r;
}

static int
open_packed(vmkit_error **ret_error)
{
    return open_and_fork(packed, NULL, 0, ret_error);
}

static int
open_lazy(vmkit_error **ret_error)
{
    return open_and_fork(packed, NULL, 1, ret_error);
}

static int
open_chain(vmkit_error **ret_error)
{
    vmkit_snapshot *parent = NULL;
    int r = vmkit_snapshot_open_path(raw, 0, NULL, &parent, ret_error);
    if (r == 0)
        r = open_and_fork(child, parent, 0, ret_error);
    vmkit_snapshot_unref(parent);
    return r;
}

static int
merge(vmkit_error **ret_error)
{
    vmkit_snapshot_file *parent = NULL, *last = NULL;
    int r = vmkit_snapshot_file_open_path(raw, 0, &parent, ret_error);
    if (r == 0)
        r = vmkit_snapshot_file_open_path(child, 0, &last, ret_error);
    if (r == 0)
        r = vmkit_snapshot_file_set_parent(last, parent, ret_error);
    if (r == 0)
        r = vmkit_snapshot_file_merge_path(last, out, NULL, ret_error);
    if (r == 0)
        r = vmkit_snapshot_file_verify(last, NULL, ret_error);
    vmkit_snapshot_file_unref(last);
    vmkit_snapshot_file_unref(parent);
    return r;
}

/* What is taken and not given back has to be released. */
static int
use_pool(vmkit_error **ret_error)
{
    vmkit_pool *pool = NULL;
    vmkit_sandbox *sandbox = NULL;
    int r = vmkit_pool_new(template, NULL, 1, 2, &pool, ret_error);
    if (r == 0)
        r = vmkit_pool_take(pool, 0, &sandbox, ret_error);
    if (r == 0)
        r = vmkit_pool_give_back(pool, sandbox, ret_error);
    if (r == 0)
        r = vmkit_pool_take(pool, 0, &made, ret_error);
    vmkit_pool_unref(pool);
    return r;
}

static const struct operation {
    const char *name;
    void (*prepare)(void);
    int (*act)(vmkit_error **ret_error);
    bool is_dirty; /* what it makes is as the changed fork, not as the template */
    bool is_lazy;  /* what it makes may find later that something failed */
} operations[] = {
    {"taking a snapshot", prepare_dirty, take, true},
    {"the first fork", prepare_image, fork_new, true},
    {"a further fork", NULL, fork_again, false},
    {"a reset", prepare_dirty, reset, false},
    {"saving raw", NULL, save_raw, false},
    {"saving compressed", NULL, save_packed, false},
    {"saving an increment", NULL, save_increment, false},
    {"opening raw", NULL, open_chain, false},
    {"opening compressed", NULL, open_packed, false},
    {"opening lazily", NULL, open_lazy, false, true},
    {"merging", NULL, merge, false},
    {"a pool", NULL, use_pool, false},
};

#define OPERATIONS ((int)(sizeof operations / sizeof operations[0]))

/* How the host fails, and what comes of it where the library cannot do without. */
static const struct kind {
    enum fault_call call;
    int err, expected, other;
} kinds[] = {
    {FAULT_ALLOCATE, ENOMEM, ENOMEM, ENOMEM},
    {FAULT_MAP, ENOMEM, ENOMEM, ENOMEM},
    {FAULT_MEMFD, EMFILE, EMFILE, EMFILE},
    {FAULT_RESIZE, ENOSPC, ENOSPC, ENOMEM},
    {FAULT_RESERVE, ENOSPC, ENOSPC, ENOMEM},
    {FAULT_READ, EIO, EIO, EIO},
    {FAULT_WRITE, ENOSPC, ENOSPC, ENOMEM},
    {FAULT_THREAD, EAGAIN, EAGAIN, EAGAIN},
    {FAULT_EVENTFD, EMFILE, EMFILE, EMFILE},
    {FAULT_OPEN_AT, EMFILE, EMFILE, EMFILE},
    {FAULT_ADVISE, EINVAL, EINVAL, EIO},
    {FAULT_SYSCALL, ENOSYS, ENOTSUP, EIO},
    {FAULT_IOCTL, EIO, EIO, EIO},
    {FAULT_IOCTL, ENOMEM, ENOMEM, EIO},
};

#define KINDS (sizeof kinds / sizeof kinds[0])

static void
assert_gives(vmkit_sandbox *sandbox, uint64_t sum)
{
    ck_assert_uint_eq(gather(sandbox), sum);
}

/* Or it says that its memory cannot be had. */
static void
assert_gives_or_fails(vmkit_sandbox *sandbox, uint64_t sum)
{
    const struct vmkit_call call = {.size = sizeof call, .symbol = "gather"};
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_error *error = NULL;
    int r = vmkit_sandbox_call(sandbox, &call, &outcome, &error);
    ck_assert_msg(r == 0 || r == -EIO, "%d, %s", r, vmkit_error_get_message(error));
    if (r == 0)
        ck_assert_uint_eq(outcome.result, sum);
    vmkit_error_unref(error);
}

/* What was made is right, the template is good for another fork, and the sandbox goes back. */
static void
check_after(const struct operation *operation, int result)
{
    uint64_t sum = operation->is_dirty ? dirty_sum : template_sum;
    vmkit_sandbox *fork = NULL;
    if (taken != NULL && made == NULL)
        ASSERT_OK(vmkit_snapshot_fork(taken, NULL, &made, &error));
    if (made != NULL && operation->is_lazy)
        assert_gives_or_fails(made, sum);
    else if (made != NULL)
        assert_gives(made, sum);
    ASSERT_OK(vmkit_snapshot_fork(template, NULL, &fork, &error));
    assert_gives(fork, template_sum);
    vmkit_sandbox_unref(fork);
    ASSERT_OK(reset(&error));
    assert_gives(dirty, template_sum);
    vmkit_sandbox_unref(made);
    vmkit_snapshot_unref(taken);
    made = NULL;
    taken = NULL;
    ck_assert(result == 0 || access(out, F_OK) != 0);
    unlink(out);
}

struct holdings {
    unsigned long descriptors, files;
    uint64_t mapped;
};

static struct holdings
get_holdings(void)
{
    return (struct holdings){usage_count_descriptors(), usage_count_entries(folder),
                             fault_get_mapped_bytes()};
}

/* Whether the call of that number was made. With number 0, nothing fails. */
static bool
try(const struct operation *operation, const struct kind *kind, unsigned number, bool is_lasting)
{
    vmkit_error *error = NULL;
    if (operation->prepare != NULL)
        operation->prepare();
    if (number == 0)
        fault_begin(0, 0, 0);
    else if (is_lasting)
        fault_begin_lasting(kind->call, number, kind->err);
    else
        fault_begin(kind->call, number, kind->err);
    int result = operation->act(&error);
    bool reached = fault_end() >= number && number != 0;
    ck_assert_msg(result == 0 || (reached && (result == -kind->expected || result == -kind->other)),
                  "%s, call %u of kind %d%s: %d, %s", operation->name, number, kind->call,
                  is_lasting ? " and those after it" : "", result, vmkit_error_get_message(error));
    failures += result < 0;
    vmkit_error_unref(error);
    check_after(operation, result);
    return reached;
}

static void
sweep_kind(const struct operation *operation, const struct kind *kind, bool is_lasting)
{
    unsigned number = 1, step = harness_get_step(8), each = CALLS_EACH / step;
    struct holdings before = get_holdings();
    while (try(operation, kind, number, is_lasting)) {
        struct holdings now = get_holdings();
        ck_assert_msg(now.descriptors == before.descriptors && now.files == before.files &&
                          now.mapped == before.mapped,
                      "%s, call %u of kind %d: %lu descriptors, not %lu; %lu files, not %lu; %llu "
                      "bytes mapped, not %llu",
                      operation->name, number, kind->call, now.descriptors, before.descriptors,
                      now.files, before.files, (unsigned long long)now.mapped,
                      (unsigned long long)before.mapped);
        number += number < each ? 1 : step == 1 ? number / 2 : number;
        ck_assert_uint_lt(number, CALLS_MAX);
    }
}

START_TEST(what_fails_is_said_and_leaves_nothing)
{
    const struct operation *operation = &operations[_i];
    /* What a process makes once. */
    for (int i = 0; i < 2; i++)
        try(operation, &kinds[0], 0, false);
    unsigned step = harness_get_step(8);
    for (size_t i = 0; i < 2 * KINDS; i++) {
        if ((i + (size_t)_i) % step == 0)
            sweep_kind(operation, &kinds[i % KINDS], i >= KINDS);
    }
    /* Of a few kinds, none may be asked for. */
    ck_assert(step > 1 || failures > 0);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_snapshot_faults");
    TCase *tcase = tcase_create("errors_snapshot_faults");

    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, what_fails_is_said_and_leaves_nothing, 0, OPERATIONS);
    suite_add_tcase(suite, tcase);
    return suite;
}
