/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshot files of strangers: cut anywhere, with a bit flipped anywhere, and with sections that
 * are whole and say what cannot be. Each is refused with a sentence and leaves nothing behind, or
 * makes a sandbox that runs like any other, within its limits. guests/small.c is what is in the
 * files.
 */
#include "archive/archive.h"
#include "harness.h"
#include "other_processor.h"
#include "sandbox/page_runs.h"
#include "sandbox/snapshot_archive.h"
#include "sandbox_guest.h"
#include "snapshot_guest.h"
#include "usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define MILLISECOND UINT64_C(1000000)
#define ROUNDS 400
/* Every so many bits are flipped of what is not read before it is needed. */
#define LAZY_STRIDE 1021
/* Where that takes long, every so many of the others, which come by each bit of a byte. */
#define SLOW_STEP 23

static vmkit_sandbox_config *config; /* what a careful embedder gives */
static int file;                     /* a file that is good, */
static uint8_t *bytes;               /* its bytes, to be changed, */
static size_t size;

/* A file whose sandbox had a memory limit of `limit`; whoever forks from it gives less. */
static void
set_up_limit(uint32_t level, uint64_t limit)
{
    vmkit_error *error = NULL;
    vmkit_sandbox *sandbox = NULL;
    vmkit_snapshot *snapshot = NULL;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    struct stat status;
    config = guest_configure(&guest_small, (const char *const[]){"small", NULL});
    vmkit_sandbox_config_set_memory_limit(config, limit, NULL);
    vmkit_sandbox_config_set_wall_time_limit(config, 60000 * MILLISECOND, NULL);
    EXPECT(vmkit_sandbox_new(config, &sandbox, &error));
    EXPECT(vmkit_sandbox_run(sandbox, &outcome, &error));
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_READY);
    EXPECT(vmkit_sandbox_snapshot(sandbox, &snapshot, &error));
    file = snapshot_guest_save(snapshot, level);
    vmkit_sandbox_config_set_memory_limit(config, 4 * MIB, NULL);
    vmkit_sandbox_config_set_wall_time_limit(config, 200 * MILLISECOND, NULL);
    vmkit_snapshot_unref(snapshot);
    vmkit_sandbox_unref(sandbox);
    ck_assert_int_eq(fstat(file, &status), 0);
    size = (size_t)status.st_size;
    bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ck_assert_ptr_ne(bytes, MAP_FAILED);
}

static void
set_up_level(uint32_t level)
{
    set_up_limit(level, 4 * MIB);
}

static void
set_up(void)
{
    set_up_level(0);
}

static void
tear_down(void)
{
    munmap(bytes, size);
    close(file);
    vmkit_sandbox_config_unref(config);
}

static bool
is_refusal(int r)
{
    return r == -EINVAL || r == -ENOTSUP || r == -E2BIG || r == -EMFILE || r == -ENOENT ||
           r == -EIO;
}

/* Whether it ran to an end of its own, with the status that says that all was there. */
static bool
run_restored(vmkit_snapshot *snapshot)
{
    vmkit_sandbox *sandbox = NULL;
    vmkit_error *error = NULL;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    int r = vmkit_snapshot_fork(snapshot, config, &sandbox, &error);
    if (r < 0) {
        ck_assert_msg(is_refusal(r), "%d: %s", r, vmkit_error_get_message(error));
        ck_assert_ptr_null(sandbox);
        vmkit_error_unref(error);
        return false;
    }
    r = vmkit_sandbox_run(sandbox, &outcome, &error);
    ck_assert_msg(r == 0 || is_refusal(r), "%d: %s", r, vmkit_error_get_message(error));
    vmkit_error_unref(error);
    vmkit_sandbox_reset(sandbox, NULL);
    vmkit_sandbox_unref(sandbox);
    return r == 0 && outcome.kind == VMKIT_OUTCOME_EXITED && outcome.exit_status == 7;
}

/* Open what is in the descriptor; run it if it can be opened and `run` says so. What opening said.
 */
static int
try(int fd, bool run)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    int r = vmkit_snapshot_open_fd(fd, 0, NULL, &snapshot, &error);
    ck_assert_msg(r == 0 || is_refusal(r), "%d: %s", r, vmkit_error_get_message(error));
    ck_assert_int_eq(r == 0, snapshot != NULL);
    if (r == 0 && run)
        run_restored(snapshot);
    ck_assert(r == 0 || strlen(vmkit_error_get_message(error)) > 20);
    vmkit_error_unref(error);
    vmkit_snapshot_unref(snapshot);
    return r;
}

START_TEST(a_file_that_is_cut_is_refused)
{
    set_up_level((uint32_t)_i);
    ck_assert_int_eq(try(file, true), 0);
    unsigned long descriptors = usage_count_descriptors();
    for (size_t length = size; length-- > 0;) {
        if (length % harness_get_step(SLOW_STEP) != 0)
            continue;
        ck_assert_int_eq(ftruncate(file, (off_t)length), 0);
        ck_assert_int_eq(try(file, false), -EINVAL);
    }
    ck_assert_uint_eq(usage_count_descriptors(), descriptors);
    munmap(bytes, size);
    bytes = NULL;
    size = 0;
    close(file);
    vmkit_sandbox_config_unref(config);
}
END_TEST

/* Where the guest's own pages are, of which the file promises nothing: they are mapped unread. */
static bool
is_memory(const struct vmk_archive *archive, size_t at)
{
    struct vmk_archive_run run;
    uint64_t pages = vmk_archive_get_info(archive)->memory_size / VMK_ARCHIVE_PAGE_SIZE;
    for (uint64_t page = 0; page < pages; page += run.count) {
        vmk_archive_find(archive, page, &run);
        if (run.state == VMK_ARCHIVE_DATA && at >= run.offset &&
            at - run.offset < run.count * VMK_ARCHIVE_PAGE_SIZE)
            return true;
    }
    return false;
}

/* Whether it says the same as the good file all the same: in a run of zeros, say, where zlib copies
 * from matters to nobody. */
static bool
says_the_same(vmkit_snapshot_file *changed, int good)
{
    struct vmkit_snapshot_file_difference difference = {.size = sizeof difference};
    vmkit_snapshot_file *opened = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_snapshot_file_open_fd(good, 0, &opened, &error));
    EXPECT(vmkit_snapshot_file_diff(opened, changed, &difference, &error));
    vmkit_snapshot_file_unref(opened);
    return difference.sections_equal == VMK_PROCESS_SECTIONS && difference.sections_changed == 0 &&
           difference.sections_only_in_first + difference.sections_only_in_second == 0 &&
           difference.pages_changed + difference.pages_unknown == 0;
}

/* What opening does not read, a check of the whole file finds, or it does not matter. */
static bool
is_found_by_verify(int good)
{
    vmkit_snapshot_file *opened = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_snapshot_file_open_fd(file, 0, &opened, &error));
    int r = vmkit_snapshot_file_verify(opened, NULL, &error);
    vmkit_error_unref(error);
    ck_assert(r == -EINVAL || (r == 0 && says_the_same(opened, good)));
    vmkit_snapshot_file_unref(opened);
    return r != 0;
}

/* Every bit, but for what is read when it is needed, of which some: the memory, unless it is
 * compressed, and the program. */
START_TEST(a_bit_that_is_flipped_is_found_or_the_guests_own)
{
    struct vmk_archive *archive = NULL;
    size_t refused = 0, accepted = 0, own = 0, unused = 0, step = harness_get_step(SLOW_STEP);
    set_up_level((uint32_t)_i);
    int good = memfd_create("good", MFD_CLOEXEC);
    ck_assert_int_eq(write(good, bytes, size), (ssize_t)size);
    ck_assert_int_eq(vmk_archive_open_fd(file, "file", NULL, VMK_ARCHIVE_COPY, &archive, NULL), 0);
    for (size_t bit = 0; bit < size * 8;) {
        bool memory = _i == 0 && is_memory(archive, bit / 8);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int r = try(file, memory);
        bool found = r != 0 || is_found_by_verify(good);
        unused += !found;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_msg(!memory || r == 0, "memory at %zu: %d", bit / 8, r);
        own += memory;
        accepted += !memory && r == 0;
        refused += r != 0;
        bit += r == 0 && found ? LAZY_STRIDE : step;
    }
    ck_assert(_i == 1 || own > 50);
    ck_assert(_i == 1 || unused == 0);
    close(good);
    ck_assert_uint_gt(accepted, 50);
    ck_assert_uint_gt(refused, 8 * 5000 / step);
    ck_assert_int_eq(try(file, true), 0);
    vmk_archive_unref(archive);
    tear_down();
}
END_TEST

/* A section with other bytes or another version. */
struct change {
    const char *name;
    uint32_t version; /* 0: as it was */
    const void *data; /* NULL: as it was */
    size_t data_size;
    bool missing;
    uint64_t more_memory; /* zeros above the memory that the file has */
};

/* Write the file anew, whole, with a change. */
static int
rewrite(const struct change *change, const char *architecture)
{
    const struct vmk_archive_settings settings = {.threads = 1};
    struct vmk_archive *archive = NULL;
    struct vmk_archive_writer *writer = NULL;
    void *data[16] = {0};
    ck_assert_int_eq(vmk_archive_open_fd(file, "file", NULL, 0, &archive, NULL), 0);
    const struct vmk_archive_info *info = vmk_archive_get_info(archive);
    const struct vmk_archive_contents contents = {
        .architecture = architecture, .memory_size = info->memory_size + change->more_memory};
    int fd = memfd_create("changed", MFD_CLOEXEC);
    ck_assert_int_eq(vmk_archive_writer_new_fd(&contents, fd, &settings, &writer, NULL), 0);
    for (uint32_t i = 0; i < info->section_count; i++) {
        struct vmk_archive_section section = *vmk_archive_get_section(archive, i);
        const void *content;
        uint64_t length;
        if (strncmp(section.name, "memory.", 7) == 0)
            continue;
        ck_assert_int_eq(
            vmk_archive_read_section(archive, section.name, MIB, &data[i], &length, NULL), 0);
        content = data[i];
        if (strcmp(section.name, change->name) == 0) {
            if (change->missing)
                continue;
            section.version = change->version != 0 ? change->version : section.version;
            content = change->data != NULL ? change->data : content;
            length = change->data != NULL ? change->data_size : length;
        }
        ck_assert_int_eq(vmk_archive_writer_add_section(writer, section.name, section.version,
                                                        section.flags, content, length, NULL),
                         0);
    }
    uint8_t *memory = malloc(info->memory_size);
    ck_assert_int_eq(vmk_archive_read_memory(archive, 0, memory, info->memory_size, NULL), 0);
    ck_assert_int_eq(vmk_archive_writer_add_memory(writer, 0, memory, info->memory_size, NULL), 0);
    ck_assert_int_eq(vmk_archive_writer_finish(writer, NULL, NULL), 0);
    vmk_archive_writer_free(writer);
    free(memory);
    for (size_t i = 0; i < 16; i++)
        free(data[i]);
    vmk_archive_unref(archive);
    return fd;
}

static uint8_t *
read_section(const char *name, size_t *ret_size)
{
    struct vmk_archive *archive = NULL;
    void *data = NULL;
    uint64_t length = 0;
    ck_assert_int_eq(vmk_archive_open_fd(file, "file", NULL, 0, &archive, NULL), 0);
    ck_assert_int_eq(vmk_archive_read_section(archive, name, MIB, &data, &length, NULL), 0);
    vmk_archive_unref(archive);
    *ret_size = (size_t)length;
    return data;
}

static const char *const sections[] = {"sandbox", "sandbox-vcpu", "sandbox-pages",
                                       "sandbox-process"};

/* Opening what is in the descriptor, or else the fork, is refused with `errno_`, and says `word`.
 */
static void
refuse_file(int fd, int errno_, const char *word)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_sandbox *sandbox = NULL;
    vmkit_error *error = NULL;
    int r = vmkit_snapshot_open_fd(fd, 0, NULL, &snapshot, &error);
    if (r == 0)
        r = vmkit_snapshot_fork(snapshot, config, &sandbox, &error);
    ck_assert_int_eq(r, -errno_);
    ck_assert_ptr_null(sandbox);
    ck_assert_msg(strstr(vmkit_error_get_message(error), word) != NULL, "%s: no \"%s\"",
                  vmkit_error_get_message(error), word);
    vmkit_error_unref(error);
    vmkit_snapshot_unref(snapshot);
    close(fd);
}

static void
refuse(const struct change *change, const char *architecture, int errno_, const char *word)
{
    refuse_file(rewrite(change, architecture), errno_, word);
}

START_TEST(a_section_that_is_missing_is_named)
{
    set_up();
    for (size_t i = 1; i < 4; i++)
        refuse(&(struct change){.name = sections[i], .missing = true}, "x86_64", EINVAL,
               sections[i]);
    refuse(&(struct change){.name = sections[0], .missing = true}, "x86_64", ENOTSUP, "nothing");
    tear_down();
}
END_TEST

START_TEST(a_later_version_is_refused)
{
    set_up();
    for (size_t i = 0; i < 4; i++)
        refuse(&(struct change){.name = sections[i], .version = 2}, "x86_64", ENOTSUP, sections[i]);
    tear_down();
}
END_TEST

START_TEST(another_architecture_is_refused)
{
    set_up();
    refuse(&(struct change){.name = ""}, "aarch64", ENOTSUP, "aarch64");
    tear_down();
}
END_TEST

/* The rights of a mapping are those of its pages, whatever the file says of these. */
START_TEST(pages_have_the_rights_of_their_mappings)
{
    struct vmk_page_runs runs = {0};
    struct vmk_bytes changed = {0};
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    size_t length;
    set_up();
    uint8_t *data = read_section("sandbox-pages", &length);
    ck_assert_int_eq(vmk_page_runs_decode(data, length, 1024 * MIB, 1024 * MIB, &runs, NULL), 0);
    ck_assert_uint_gt(runs.count, 2);
    for (size_t i = 0; i < runs.count; i++)
        runs.items[i].rights = _i == 0 ? 0 : runs.items[i].rights & VMK_PAGE_READ;
    vmk_page_runs_encode(&runs, &changed);
    int fd = rewrite(
        &(struct change){.name = "sandbox-pages", .data = changed.data, .data_size = changed.size},
        "x86_64");
    vmkit_sandbox_config_set_wall_time_limit(config, 60000 * MILLISECOND, NULL);
    EXPECT(vmkit_snapshot_open_fd(fd, 0, NULL, &snapshot, &error));
    ck_assert(run_restored(snapshot));
    vmkit_snapshot_unref(snapshot);
    vmk_page_runs_clear(&runs);
    vmk_bytes_clear(&changed);
    free(data);
    close(fd);
    tear_down();
}
END_TEST

/* KVM keeps books on guest memory as far as it reaches, whatever is in it. */
START_TEST(memory_far_above_the_forks_own_limit_is_refused)
{
    struct vmk_page_runs runs = {0};
    struct vmk_bytes changed = {0};
    size_t length;
    set_up_limit(0, 256 * MIB);
    uint8_t *data = read_section("sandbox-pages", &length);
    ck_assert_int_eq(vmk_page_runs_decode(data, length, 1024 * MIB, 1024 * MIB, &runs, NULL), 0);
    struct vmk_page_run *last = &runs.items[runs.count - 1];
    uint64_t gpa = _i == 0 ? 48 * MIB : 72 * MIB, more = gpa + last->size - runs.end;
    ck_assert_uint_lt(runs.end, gpa);
    last->gpa = gpa;
    vmk_page_runs_encode(&runs, &changed);
    int fd = rewrite(&(struct change){.name = "sandbox-pages",
                                      .data = changed.data,
                                      .data_size = changed.size,
                                      .more_memory = more},
                     "x86_64");
    if (_i == 0) {
        vmkit_snapshot *snapshot = NULL;
        vmkit_sandbox *sandbox = NULL;
        vmkit_error *error = NULL;
        EXPECT(vmkit_snapshot_open_fd(fd, 0, NULL, &snapshot, &error));
        EXPECT(vmkit_snapshot_fork(snapshot, config, &sandbox, &error));
        vmkit_sandbox_unref(sandbox);
        vmkit_snapshot_unref(snapshot);
        close(fd);
    } else {
        refuse_file(fd, E2BIG, "more than 8 times the memory limit of 4194304 bytes");
    }
    vmk_page_runs_clear(&runs);
    vmk_bytes_clear(&changed);
    free(data);
    tear_down();
}
END_TEST

/* Without the program all goes on, but for what needs it. */
START_TEST(without_its_program_it_goes_on)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    set_up();
    int fd = rewrite(&(struct change){.name = "sandbox-program", .missing = true}, "x86_64");
    vmkit_sandbox_config_set_wall_time_limit(config, 60000 * MILLISECOND, NULL);
    EXPECT(vmkit_snapshot_open_fd(fd, 0, NULL, &snapshot, &error));
    ck_assert(run_restored(snapshot));
    vmkit_snapshot_unref(snapshot);
    close(fd);
    tear_down();
}
END_TEST

/* The file with the state of the vCPU as `change_parts` changes it. */
static int
rewrite_vcpu(void (*change_parts)(struct vmk_x86_vcpu_state *))
{
    struct vmk_x86_vcpu_state *parts = calloc(1, sizeof *parts);
    struct vmk_bytes changed = {0};
    size_t length;
    uint8_t *data = read_section("sandbox-vcpu", &length);
    ck_assert_ptr_nonnull(parts);
    ck_assert_int_eq(vmk_x86_user_state_decode(parts, data, length, NULL), 0);
    change_parts(parts);
    ck_assert_int_eq(vmk_x86_user_state_encode(parts, &changed, NULL), 0);
    int fd = rewrite(
        &(struct change){.name = "sandbox-vcpu", .data = changed.data, .data_size = changed.size},
        "x86_64");
    vmk_bytes_clear(&changed);
    free(parts);
    free(data);
    return fd;
}

static void
refuse_vcpu(void (*change_parts)(struct vmk_x86_vcpu_state *), int errno_, const char *word)
{
    refuse_file(rewrite_vcpu(change_parts), errno_, word);
}

/* No processor that runs this is an Itanium, nor has its KVM bits that KVM keeps to itself. */
static void
add_supervisor_features(struct vmk_x86_vcpu_state *parts)
{
    other_processor_add_feature(parts, 1, 3, 30);
    other_processor_add_feature(parts, 6, 0, 31);
    other_processor_add_feature(parts, 0x8000000a, 3, 31);
    other_processor_add_feature(parts, 0x40000001, 0, 31);
}

static void
use_unknown_component(struct vmk_x86_vcpu_state *parts)
{
    parts->xcrs[0].value |= UINT64_C(1) << 40;
}

static void
use_tiles(struct vmk_x86_vcpu_state *parts)
{
    parts->xcrs[0].value |= UINT64_C(3) << 17;
}

static void
move_component(struct vmk_x86_vcpu_state *parts)
{
    for (uint32_t i = 0; i < parts->leaf_count; i++) {
        if (parts->leaves[i].leaf == 0xd && parts->leaves[i].subleaf == 2)
            parts->leaves[i].ebx += 64;
    }
}

static void
drop_xcr0(struct vmk_x86_vcpu_state *parts)
{
    parts->xcr_count = 0;
}

static void
bend_fs(struct vmk_x86_vcpu_state *parts)
{
    parts->sregs.fs.base = UINT64_C(1) << 60;
}

static void
bend_gs(struct vmk_x86_vcpu_state *parts)
{
    parts->sregs.gs.base = UINT64_C(0xffff000000000000);
}

START_TEST(another_processor_is_refused_by_what_it_lacks)
{
    set_up();
    refuse_vcpu(other_processor_change_vendor, ENOTSUP, "AnotherMaker");
    refuse_vcpu(other_processor_add_instructions, ENOTSUP, "avx512er");
    refuse_vcpu(use_unknown_component, ENOTSUP, "part 40");
    tear_down();
}
END_TEST

/* Its program has never been in a mode in which it could use them. */
START_TEST(another_processor_may_lack_what_is_for_a_kernel_alone)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    set_up();
    int fd = rewrite_vcpu(add_supervisor_features);
    EXPECT(vmkit_snapshot_open_fd(fd, 0, NULL, &snapshot, &error));
    ck_assert(run_restored(snapshot));
    vmkit_snapshot_unref(snapshot);
    close(fd);
    tear_down();
}
END_TEST

START_TEST(registers_that_cannot_be_are_refused)
{
    set_up();
    refuse_vcpu(use_tiles, EINVAL, "XCR0");
    refuse_vcpu(drop_xcr0, EINVAL, "XCR0");
    refuse_vcpu(bend_fs, EINVAL, "FS base");
    refuse_vcpu(bend_gs, EINVAL, "GS base");
    if (__builtin_cpu_supports("avx"))
        refuse_vcpu(move_component, ENOTSUP, "AVX");
    tear_down();
}
END_TEST

/* What is no refusal but a guest's affair: it may begin anywhere, with anything. */
static void
change_registers(struct vmk_x86_vcpu_state *parts, int way)
{
    static const uint64_t places[] = {0,
                                      0x1000,
                                      UINT64_C(0x7ffffffff000),
                                      UINT64_C(0xffffffffc0000000),
                                      UINT64_C(0xffffffffc0000200),
                                      UINT64_C(0xffffffffc0001000),
                                      UINT64_C(0x0100000000000000),
                                      UINT64_MAX};
    if (way < 8)
        parts->regs.rip = places[way];
    if (way == 8)
        parts->regs.rflags = UINT64_MAX;
    if (way == 9)
        parts->regs.rsp = UINT64_MAX;
    if (way == 10)
        memset((uint8_t *)(uintptr_t)parts->xsave, 0xff, parts->xsave_size);
    if (way == 11)
        parts->sregs.ds.selector = parts->sregs.es.selector = 0xffff;
    if (way == 12)
        parts->sregs.fs.selector = parts->sregs.gs.selector = 0x10;
    if (way == 13)
        parts->sregs.gs.base = UINT64_C(0xffffffffc0001000);
}

START_TEST(a_vcpu_that_begins_anywhere_does_no_harm)
{
    struct vmk_x86_vcpu_state *parts = calloc(1, sizeof *parts);
    struct vmk_bytes changed = {0};
    size_t length;
    set_up();
    uint8_t *data = read_section("sandbox-vcpu", &length);
    ck_assert_int_eq(vmk_x86_user_state_decode(parts, data, length, NULL), 0);
    uint8_t *xsave = malloc(parts->xsave_size);
    memcpy(xsave, parts->xsave, parts->xsave_size);
    parts->xsave = xsave;
    change_registers(parts, _i);
    ck_assert_int_eq(vmk_x86_user_state_encode(parts, &changed, NULL), 0);
    int fd = rewrite(
        &(struct change){.name = "sandbox-vcpu", .data = changed.data, .data_size = changed.size},
        "x86_64");
    ck_assert_int_eq(try(fd, true), 0);
    close(fd);
    vmk_bytes_clear(&changed);
    free(xsave);
    free(parts);
    free(data);
    tear_down();
}
END_TEST

/* Sections that are mangled at random, with checksums that are right. */
START_TEST(a_section_that_is_mangled_is_refused_or_harmless)
{
    unsigned opened = 0;
    set_up();
    unsigned long descriptors = usage_count_descriptors();
    srand(7);
    for (int round = 0; round < ROUNDS; round++) {
        const char *name = sections[rand() % 4];
        size_t length;
        uint8_t *data = read_section(name, &length);
        for (int i = rand() % 4; i >= 0; i--)
            data[(size_t)rand() % length] ^= (uint8_t)(1u << rand() % 8);
        if (rand() % 8 == 0)
            length = (size_t)rand() % length;
        int fd =
            rewrite(&(struct change){.name = name, .data = data, .data_size = length}, "x86_64");
        opened += try(fd, true) == 0;
        close(fd);
        free(data);
    }
    ck_assert_uint_gt(opened, 10);
    ck_assert_uint_lt(opened, ROUNDS);
    ck_assert_uint_eq(usage_count_descriptors(), descriptors);
    tear_down();
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("snapshot_hostile");
    TCase *tcase = tcase_create("snapshot_hostile");

    tcase_set_timeout(tcase, 280);
    tcase_add_loop_test(tcase, a_file_that_is_cut_is_refused, 0, 2);
    tcase_add_loop_test(tcase, a_bit_that_is_flipped_is_found_or_the_guests_own, 0, 2);
    tcase_add_test(tcase, a_section_that_is_missing_is_named);
    tcase_add_test(tcase, a_later_version_is_refused);
    tcase_add_test(tcase, another_architecture_is_refused);
    tcase_add_test(tcase, without_its_program_it_goes_on);
    tcase_add_loop_test(tcase, pages_have_the_rights_of_their_mappings, 0, 2);
    tcase_add_loop_test(tcase, memory_far_above_the_forks_own_limit_is_refused, 0, 2);
    tcase_add_test(tcase, another_processor_is_refused_by_what_it_lacks);
    tcase_add_test(tcase, another_processor_may_lack_what_is_for_a_kernel_alone);
    tcase_add_test(tcase, registers_that_cannot_be_are_refused);
    tcase_add_loop_test(tcase, a_vcpu_that_begins_anywhere_does_no_harm, 0, 14);
    tcase_add_test(tcase, a_section_that_is_mangled_is_refused_or_harmless);
    suite_add_tcase(suite, tcase);
    return suite;
}
