/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot_guest.h"

#include "arch/usermode.h"
#include "kvm/x86_64.h"
#include "sandbox/frames_private.h"
#include "sandbox/state.h"
#include "sandbox/uaccess.h"
#include "sandbox_guest.h"
#include "vm/vcpu.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define SECOND UINT64_C(1000000000)

vmkit_sandbox_config *
snapshot_guest_configure(void)
{
    vmkit_sandbox_config *config =
        guest_configure(&guest_snapshot, (const char *const[]){"snapshot", NULL});
    vmkit_sandbox_config_set_memory_limit(config, 64 * MIB, NULL);
    vmkit_sandbox_config_set_wall_time_limit(config, 60 * SECOND, NULL);
    return config;
}

static void
run(vmkit_sandbox *sandbox, enum vmkit_outcome_kind kind)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_error *error = NULL;
    EXPECT(vmkit_sandbox_run(sandbox, &outcome, &error));
    ck_assert_msg(outcome.kind == (uint32_t)kind,
                  "outcome %u: status %d, signal %d at 0x%llx, limit %u, instruction 0x%llx",
                  outcome.kind, outcome.exit_status, outcome.signal,
                  (unsigned long long)outcome.fault_address, outcome.limit,
                  (unsigned long long)outcome.instruction_pointer);
}

vmkit_sandbox *
snapshot_guest_new(const vmkit_sandbox_config *config)
{
    vmkit_sandbox_config *own = config == NULL ? snapshot_guest_configure() : NULL;
    vmkit_sandbox *sandbox = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_sandbox_new(config == NULL ? own : config, &sandbox, &error));
    run(sandbox, VMKIT_OUTCOME_READY);
    vmkit_sandbox_config_unref(own);
    return sandbox;
}

vmkit_snapshot *
snapshot_guest_take(const vmkit_sandbox_config *config)
{
    vmkit_sandbox *sandbox = snapshot_guest_new(config);
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_sandbox_snapshot(sandbox, &snapshot, &error));
    vmkit_sandbox_unref(sandbox);
#ifdef SNAPSHOT_FROM_FILE
    int fd = snapshot_guest_save(snapshot, 0);
    vmkit_snapshot_unref(snapshot);
    snapshot = snapshot_guest_open(fd, 0);
    close(fd);
#endif
    return snapshot;
}

int
snapshot_guest_save(vmkit_snapshot *snapshot, uint32_t level)
{
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    vmkit_snapshot_options *options = NULL;
    vmkit_error *error = NULL;
    ck_assert_int_ge(fd, 0);
    EXPECT(vmkit_snapshot_options_new(&options, &error));
    EXPECT(vmkit_snapshot_options_set_compression(options, level, &error));
    EXPECT(vmkit_snapshot_save_fd(snapshot, fd, options, &error));
    vmkit_snapshot_options_unref(options);
    return fd;
}

vmkit_snapshot *
snapshot_guest_open(int fd, uint64_t flags)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_snapshot_open_fd(fd, flags, NULL, &snapshot, &error));
    return snapshot;
}

vmkit_snapshot *
snapshot_guest_snapshot(vmkit_sandbox *sandbox)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_sandbox_snapshot(sandbox, &snapshot, &error));
    return snapshot;
}

void
snapshot_guest_compare_files(int one, int other)
{
    struct stat a, b;
    ck_assert_int_eq(fstat(one, &a), 0);
    ck_assert_int_eq(fstat(other, &b), 0);
    ck_assert_int_eq(a.st_size, b.st_size);
    void *mine = mmap(NULL, (size_t)a.st_size, PROT_READ, MAP_PRIVATE, one, 0);
    void *its = mmap(NULL, (size_t)b.st_size, PROT_READ, MAP_PRIVATE, other, 0);
    ck_assert(mine != MAP_FAILED && its != MAP_FAILED);
    ck_assert_int_eq(memcmp(mine, its, (size_t)a.st_size), 0);
    munmap(mine, (size_t)a.st_size);
    munmap(its, (size_t)b.st_size);
}

vmkit_sandbox *
snapshot_guest_fork(vmkit_snapshot *snapshot, const vmkit_sandbox_config *config)
{
    vmkit_sandbox *sandbox = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_snapshot_fork(snapshot, config, &sandbox, &error));
    return sandbox;
}

void
snapshot_guest_tell(vmkit_sandbox *sandbox, const char *command, uint64_t argument)
{
    struct guest_shared shared;
    uint64_t va = sandbox->process.regs->rdi;
    if (vmk_uaccess_read(&sandbox->space, va, &shared, sizeof shared) < 0)
        return;
    memset(shared.command, 0, sizeof shared.command);
    strncpy(shared.command, command, sizeof shared.command - 1);
    shared.argument = argument;
    vmk_uaccess_write(&sandbox->space, va, &shared, sizeof shared);
}

void
snapshot_guest_do(vmkit_sandbox *sandbox, const char *command, uint64_t argument,
                  enum vmkit_outcome_kind kind)
{
    snapshot_guest_tell(sandbox, command, argument);
    run(sandbox, kind);
}

void
snapshot_guest_poke(vmkit_sandbox *sandbox, uint64_t va, uint64_t word)
{
    ck_assert_int_eq(vmk_uaccess_write(&sandbox->space, va, &word, sizeof word), 0);
}

struct guest_shared
snapshot_guest_get_shared(vmkit_sandbox *sandbox)
{
    struct guest_shared shared;
    uint64_t va = sandbox->process.regs->rdi;
    if (vmk_uaccess_read(&sandbox->space, va, &shared, sizeof shared) < 0)
        memset(&shared, 0xff, sizeof shared);
    return shared;
}

uint64_t
snapshot_guest_result(vmkit_sandbox *sandbox)
{
    return snapshot_guest_get_shared(sandbox).result;
}

uint64_t
snapshot_guest_ask(vmkit_sandbox *sandbox, const char *command, uint64_t argument)
{
    snapshot_guest_do(sandbox, command, argument, VMKIT_OUTCOME_READY);
    return snapshot_guest_result(sandbox);
}

void
snapshot_guest_reset(vmkit_sandbox *sandbox)
{
    vmkit_error *error = NULL;
    EXPECT(vmkit_sandbox_reset(sandbox, &error));
}

const char *
snapshot_guest_output(vmkit_sandbox *sandbox)
{
    static char text[1 << 16];
    const void *data;
    uint64_t size;
    vmkit_error *error = NULL;
    EXPECT(vmkit_sandbox_get_output(sandbox, VMKIT_STREAM_STDOUT, &data, &size, &error));
    ck_assert_uint_lt(size, sizeof text);
    memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

/* The process as bytes. */
static void
compare_processes(vmkit_sandbox *sandbox, vmkit_sandbox *other)
{
    struct vmk_bytes state = {0}, expected = {0};
    vmkit_error *error = NULL;
    EXPECT(vmk_state_save(&sandbox->process, &state, &error));
    EXPECT(vmk_state_save(&other->process, &expected, &error));
    ck_assert_uint_eq(state.size, expected.size);
    ck_assert_int_eq(memcmp(state.data, expected.data, state.size), 0);
    vmk_bytes_clear(&state);
    vmk_bytes_clear(&expected);
}

#define STUBS UINT64_C(0xffffffffc0000000)
#define GENERATION 0xff8

/* Take the random bytes, which lie in one page, and the generation, out of a copy of it. */
static void
copy_page(vmkit_sandbox *sandbox, uint64_t va, const struct vmk_leaf *leaf, uint8_t *page)
{
    const uint8_t *memory = vmk_frames_get_memory(sandbox->frames);
    uint64_t random = sandbox->process.random_va;
    memcpy(page, memory + leaf->gpa, VMK_PAGE_SIZE);
    if (random - va < VMK_PAGE_SIZE)
        memset(page + (random - va), 0, 16);
    if (va == STUBS)
        memset(page + GENERATION, 0, sizeof(uint64_t));
}

static void
compare_pages(vmkit_sandbox *sandbox, vmkit_sandbox *other, uint64_t start, uint64_t end)
{
    struct vmk_leaf leaf, expected;
    for (uint64_t va = start; va < end; va += VMK_PAGE_SIZE) {
        uint8_t page[2][VMK_PAGE_SIZE];
        leaf = vmk_paging_find(&sandbox->space.paging, va);
        expected = vmk_paging_find(&other->space.paging, va);
        ck_assert_msg(leaf.used == expected.used && leaf.rights == expected.rights &&
                          leaf.gpa == expected.gpa,
                      "the page at 0x%llx", (unsigned long long)va);
        if (!leaf.used)
            continue;
        leaf.gpa += va & (leaf.size - 1);
        copy_page(sandbox, va, &leaf, page[0]);
        copy_page(other, va, &leaf, page[1]);
        ck_assert_msg(memcmp(page[0], page[1], VMK_PAGE_SIZE) == 0, "the bytes at 0x%llx",
                      (unsigned long long)va);
    }
}

/* No page is shown that the other one does not have: every table down to its entries. */
static void
compare_tables(const struct vmk_paging *paging, const struct vmk_paging *other)
{
    struct vmk_paging_tables tables, expected;
    ck_assert_int_eq(vmk_paging_list_tables(paging, &tables), 0);
    ck_assert_int_eq(vmk_paging_list_tables(other, &expected), 0);
    ck_assert_uint_eq(tables.count, expected.count);
    for (size_t i = 0; i < tables.count; i++) {
        uint64_t gpa = tables.items[i].gpa;
        ck_assert_uint_eq(gpa, expected.items[i].gpa);
        if (tables.items[i].level == 0)
            ck_assert_int_eq(memcmp(paging->memory + gpa, other->memory + gpa, VMK_PAGE_SIZE), 0);
    }
    vmk_paging_tables_clear(&tables);
    vmk_paging_tables_clear(&expected);
}

static void
compare_vcpus(vmkit_sandbox *sandbox, vmkit_sandbox *other, bool same_tables)
{
    vmkit_sandbox *both[] = {sandbox, other};
    static uint8_t xsave[2][1 << 16];
    struct vmkit_x86_sregs sregs[2] = {0};
    struct vmkit_x86_msr msrs[2][2] = {{{.index = 0xc0000100}, {.index = 0xc0000101}},
                                       {{.index = 0xc0000100}, {.index = 0xc0000101}}};
    for (int i = 0; i < 2; i++) {
        struct vmk_kvm_vcpu *kvm = vmk_vcpu_get_kvm(both[i]->vcpu);
        ck_assert_int_eq(vmk_kvm_vcpu_flush_sregs(kvm, NULL), 0);
        ck_assert_int_eq(vmk_kvm_x86_get_sregs(kvm, &sregs[i], NULL), 0);
        ck_assert_int_eq(vmk_kvm_x86_get_msrs(kvm, msrs[i], 2, NULL), 0);
        ck_assert_int_eq(vmk_kvm_x86_get_xsave(kvm, xsave[i], NULL), 0);
    }
    if (!same_tables)
        sregs[0].cr3 = sregs[1].cr3;
    ck_assert_int_eq(memcmp(&sregs[0], &sregs[1], sizeof sregs[0]), 0);
    ck_assert_int_eq(memcmp(msrs[0], msrs[1], sizeof msrs[0]), 0);
    ck_assert_int_eq(memcmp(xsave[0], xsave[1], sizeof xsave[0]), 0);
    ck_assert_int_eq(
        memcmp(sandbox->process.regs, other->process.regs, sizeof *sandbox->process.regs), 0);
}

static void
compare_programs(vmkit_sandbox *sandbox, vmkit_sandbox *other)
{
    const struct vmk_vmas *vmas = &other->space.vmas;
    ck_assert_int_eq(sandbox->state, other->state);
    compare_processes(sandbox, other);
    for (size_t i = 0; i < vmas->count; i++)
        compare_pages(sandbox, other, vmas->items[i].start, vmas->items[i].end);
}

void
snapshot_guest_compare(vmkit_sandbox *sandbox, vmkit_sandbox *other)
{
    compare_programs(sandbox, other);
    ck_assert_uint_eq(sandbox->account.used, other->account.used);
    compare_pages(sandbox, other, STUBS, STUBS + VMK_PAGE_SIZE);
    compare_tables(&sandbox->space.paging, &other->space.paging);
    compare_vcpus(sandbox, other, true);
}

void
snapshot_guest_compare_restored(vmkit_sandbox *sandbox, vmkit_sandbox *other)
{
    compare_programs(sandbox, other);
    compare_vcpus(sandbox, other, false);
}

uint64_t
snapshot_guest_count_canaries(vmkit_sandbox *sandbox)
{
    const struct vmk_frames *frames = sandbox->frames;
    const uint64_t *words = (const uint64_t *)(const void *)frames->memory;
    uint64_t count = 0, size = frames->block_count * BLOCK_SIZE;
    for (uint64_t i = 0; i < size / sizeof *words; i++)
        count += words[i] == GUEST_CANARY;
    return count;
}
