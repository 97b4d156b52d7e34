/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of raw VMs that nobody runs, through files: what is written, what is refused, and that
 * a chain of files holds what the snapshots held. */
#include "../archive/fixture.h"
#include "allocator.h"
#include "harness.h"

#include "abi.h"
#include "archive/options.h"
#include "vm/snapshot_archive.h"
#include "vm/vm_snapshot.h"
#include "usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 600
#define SIZE (PAGES * PAGE)
#define START (16 * PAGE) /* of the memory in the guest's addresses */

static const struct vmk_snapshot_kind other_kind = {.name = "something else"};
static const struct vmk_snapshot_kind *const kinds[] = {&other_kind, &vmk_snapshot_of_vm};

static struct vmkit_memory *memory;
static uint8_t *bytes;
static vmkit_snapshot_options *options;

static void
set_up(void)
{
    ck_assert_int_eq(vmk_memory_new_anonymous(SIZE, 0, &memory, NULL), 0);
    ck_assert_int_eq(vmk_snapshot_options_new(&options, NULL), 0);
    bytes = vmk_memory_get_pointer(memory);
}

static void
tear_down(void)
{
    vmk_memory_unref(memory);
    vmk_snapshot_options_unref(options);
}

static struct vmk_bytes
make_state(uint64_t size)
{
    struct vmk_vm_state_region regions[] = {
        {.gpa = START, .size = size, .image = START},
        {.gpa = START + size, .size = PAGE, .image = START + PAGE},
    };
    const struct vmk_vm_state state = {
        .regions = regions, .region_count = 2, .bytes = (const uint8_t *)"controllers", .size = 11};
    struct vmk_bytes encoded = {0};
    ck_assert_int_eq(vmk_vm_state_encode(&state, &encoded, NULL), 0);
    return encoded;
}

/* A snapshot of the first `size` bytes of the memory, on top of another one. */
static struct vmkit_snapshot *
take_part(struct vmkit_snapshot *base, uint64_t size)
{
    struct vmk_image_builder *builder = NULL;
    struct vmk_image *image = NULL;
    struct vmkit_snapshot *snapshot = NULL;
    struct vmk_bytes state = make_state(size);
    struct vmk_image *under = base == NULL ? NULL : vmk_vm_snapshot_get_image(base);
    ck_assert_int_eq(vmk_image_builder_new(under, &builder, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_add(builder, START, memory, 0, size, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_finish(builder, &image, NULL), 0);
    vmk_image_builder_free(builder);
    ck_assert_int_eq(vmk_vm_snapshot_new(image, &state, &snapshot, NULL), 0);
    return snapshot;
}

static struct vmkit_snapshot *
take(struct vmkit_snapshot *base)
{
    return take_part(base, SIZE);
}

static void
set_parent(struct vmkit_snapshot *parent)
{
    vmk_snapshot_options_set_parent(options, vmk_snapshot_ref(parent), vmk_snapshot_unref);
}

static int
save(struct vmkit_snapshot *snapshot, const char *name, vmkit_error **ret_error)
{
    const struct vmk_snapshot_place place = {.path = fixture_path(name), .fd = -1};
    return vmk_snapshot_save(snapshot, &place, options, ret_error);
}

static int
open_with(const char *name, bool copy, struct vmkit_snapshot **ret_snapshot,
          vmkit_error **ret_error)
{
    const struct vmk_snapshot_place place = {.path = fixture_path(name), .fd = -1};
    return vmk_snapshot_open(&place, copy, options, kinds, 2, ret_snapshot, ret_error);
}

static void
save_ok(struct vmkit_snapshot *snapshot, struct vmkit_snapshot *parent, uint32_t level,
        const char *name)
{
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmk_snapshot_options_set_compression(options, level, NULL), 0);
    set_parent(parent);
    ck_assert_msg(save(snapshot, name, &error) == 0, "%s", vmk_error_get_message(error));
}

static struct vmkit_snapshot *
open_ok(const char *name, bool copy, struct vmkit_snapshot *parent)
{
    vmkit_error *error = NULL;
    struct vmkit_snapshot *snapshot = NULL;
    set_parent(parent);
    ck_assert_msg(open_with(name, copy, &snapshot, &error) == 0, "%s",
                  vmk_error_get_message(error));
    return snapshot;
}

/* The two hold the same. */
static void
assert_same(const struct vmkit_snapshot *one, const struct vmkit_snapshot *other)
{
    const struct vmk_bytes *a = vmk_vm_snapshot_get_bytes(one);
    const struct vmk_bytes *b = vmk_vm_snapshot_get_bytes(other);
    uint8_t *mine = malloc(2 * SIZE);
    ck_assert_uint_eq(a->size, b->size);
    ck_assert_mem_eq(a->data, b->data, a->size);
    ck_assert_int_eq(vmk_image_read(vmk_vm_snapshot_get_image(one), START, mine, SIZE), 0);
    ck_assert_int_eq(vmk_image_read(vmk_vm_snapshot_get_image(other), START, mine + SIZE, SIZE), 0);
    ck_assert_mem_eq(mine, mine + SIZE, SIZE);
    free(mine);
}

static struct vmk_archive_info
get_file_info(const char *name)
{
    struct vmk_archive *archive = fixture_open(fixture_path(name));
    struct vmk_archive_info info = *vmk_archive_get_info(archive);
    vmk_archive_unref(archive);
    return info;
}

/* Data in several places, of which some lie near to each other. */
static void
fill_memory(void)
{
    fixture_fill(bytes, 3, 40, 1);
    fixture_fill(bytes, 50, 1, 2);
    fixture_fill(bytes, 300, 200, 3);
    fixture_fill(bytes, PAGES - 1, 1, 4);
}

START_TEST(a_file_holds_what_the_snapshot_holds)
{
    static const uint32_t levels[] = {0, 0, 1, 9};
    fill_memory();
    struct vmkit_snapshot *snapshot = take(NULL);
    for (size_t i = 0; i < 4; i++) {
        save_ok(snapshot, NULL, levels[i], "file");
        struct vmkit_snapshot *opened = open_ok("file", i == 1, NULL);
        assert_same(opened, snapshot);
        struct vmkit_snapshot_info mine = {0}, its = {0};
        snapshot->kind->get_info(snapshot, &mine);
        opened->kind->get_info(opened, &its);
        ck_assert_uint_eq(its.kind, VMKIT_SNAPSHOT_OF_VM);
        ck_assert_uint_eq(its.memory_bytes, mine.memory_bytes);
        /* One page lies alone, ten behind others: the gap is stored. */
        ck_assert_uint_eq(its.data_bytes, (40 + 7 + 1 + 200 + 1) * PAGE);
        vmk_snapshot_unref(opened);
    }
    ck_assert_int_eq(fixture_count_files(), 1);
    vmk_snapshot_unref(snapshot);
}
END_TEST

START_TEST(what_was_opened_is_saved_again_as_it_was)
{
    fill_memory();
    struct vmkit_snapshot *snapshot = take(NULL);
    save_ok(snapshot, NULL, 0, "raw");
    save_ok(snapshot, NULL, 6, "packed");
    struct vmkit_snapshot *from_raw = open_ok("raw", false, NULL);
    struct vmkit_snapshot *from_packed = open_ok("packed", true, NULL);
    save_ok(from_raw, NULL, 6, "packed again");
    save_ok(from_packed, NULL, 0, "raw again");
    fixture_same_files(fixture_path("raw"), fixture_path("raw again"));
    fixture_same_files(fixture_path("packed"), fixture_path("packed again"));
    vmk_snapshot_unref(from_raw);
    vmk_snapshot_unref(from_packed);
    vmk_snapshot_unref(snapshot);
}
END_TEST

static struct vmkit_snapshot *
open_lazy(const char *name, struct vmkit_snapshot *parent)
{
    ck_assert_int_eq(vmk_snapshot_options_set_lazy(options, 1, NULL), 0);
    struct vmkit_snapshot *snapshot = open_ok(name, false, parent);
    ck_assert_int_eq(vmk_snapshot_options_set_lazy(options, 0, NULL), 0);
    return snapshot;
}

static struct vmkit_snapshot *
open_eagerly(const char *name, struct vmkit_snapshot *parent)
{
    return open_ok(name, false, parent);
}

static struct vmkit_memory *
copy_of(const struct vmkit_snapshot *snapshot)
{
    struct vmkit_memory *copy = NULL;
    vmkit_error *error = NULL;
    ck_assert_msg(
        vmk_memory_new_copy(vmk_vm_snapshot_get_image(snapshot), START, SIZE, &copy, &error) == 0,
        "%s", vmk_error_get_message(error));
    return copy;
}

START_TEST(a_lazy_file_holds_what_the_snapshot_holds)
{
    fill_memory();
    struct vmkit_snapshot *snapshot = take(NULL);
    save_ok(snapshot, NULL, 6, "packed");
    struct vmkit_snapshot *opened = open_lazy("packed", NULL);
    ck_assert(vmk_image_is_lazy(vmk_vm_snapshot_get_image(opened)));
    struct vmkit_memory *one = copy_of(opened), *other = copy_of(opened);
    uint8_t *hva = vmk_memory_get_pointer(one);
    hva[4 * PAGE] ^= 0xff;
    ck_assert_uint_eq(hva[4 * PAGE], bytes[4 * PAGE] ^ 0xff);
    hva[4 * PAGE] ^= 0xff;
    ck_assert_mem_eq(hva, bytes, SIZE);
    /* The copies keep what they need. */
    vmk_snapshot_unref(opened);
    vmk_memory_unref(one);
    ck_assert_mem_eq(vmk_memory_get_pointer(other), bytes, SIZE);
    vmk_memory_unref(other);

    opened = open_lazy("packed", NULL);
    assert_same(opened, snapshot);
    vmk_snapshot_unref(opened);
    opened = open_lazy("packed", NULL);
    save_ok(opened, NULL, 6, "packed again");
    fixture_same_files(fixture_path("packed"), fixture_path("packed again"));
    vmk_snapshot_unref(opened);
    vmk_snapshot_unref(snapshot);
}
END_TEST

START_TEST(raw_memory_is_never_lazier_than_its_file)
{
    fill_memory();
    struct vmkit_snapshot *snapshot = take(NULL);
    save_ok(snapshot, NULL, 0, "raw");
    struct vmkit_snapshot *opened = open_lazy("raw", NULL);
    ck_assert(!vmk_image_is_lazy(vmk_vm_snapshot_get_image(opened)));
    assert_same(opened, snapshot);
    vmk_snapshot_unref(opened);
    vmk_snapshot_unref(snapshot);
}
END_TEST

START_TEST(a_lazy_file_that_is_damaged_says_so_when_it_is_touched)
{
    fill_memory();
    size_t size;
    vmkit_error *error = NULL;
    struct vmkit_snapshot *snapshot = take(NULL);
    save_ok(snapshot, NULL, 6, "packed");
    uint8_t *file = fixture_read(fixture_path("packed"), &size);
    file[PAGE + 100] ^= 1; /* in the first compressed pages */
    fixture_write(fixture_path("packed"), file, size);
    free(file);

    struct vmkit_snapshot *opened = open_lazy("packed", NULL);
    struct vmk_image *image = vmk_vm_snapshot_get_image(opened);
    struct vmkit_memory *copy = copy_of(opened);
    const uint8_t *hva = vmk_memory_get_pointer(copy);
    ck_assert_mem_eq(hva + 450 * PAGE, bytes + 450 * PAGE, PAGE);
    ck_assert_int_eq(vmk_image_check(image, NULL), 0);
    ck_assert_int_eq(hva[3 * PAGE], 0);
    ck_assert_int_eq(vmk_image_check(image, &error), -EIO);
    ck_assert_int_eq(vmk_error_get_kind(error), VMKIT_ERROR_BAD_SNAPSHOT);
    ck_assert_ptr_nonnull(strstr(vmk_error_get_message(error), "damaged"));
    vmk_error_unref(error);
    /* What was not there cannot be saved as if it were zeros. */
    ck_assert_int_eq(save(opened, "saved", NULL), -EIO);
    vmk_memory_unref(copy);
    vmk_snapshot_unref(opened);
    vmk_snapshot_unref(snapshot);
}
END_TEST

START_TEST(a_file_may_take_the_place_of_the_one_that_is_open)
{
    fill_memory();
    struct vmkit_snapshot *snapshot = take(NULL);
    save_ok(snapshot, NULL, 0, "file");
    struct vmkit_snapshot *opened = open_ok("file", false, NULL);
    fixture_fill(bytes, 100, 5, 9);
    struct vmkit_snapshot *next = take(snapshot);
    save_ok(next, NULL, 0, "file");
    assert_same(opened, snapshot);
    vmk_snapshot_unref(opened);
    opened = open_ok("file", false, NULL);
    assert_same(opened, next);
    vmk_snapshot_unref(opened);
    vmk_snapshot_unref(next);
    vmk_snapshot_unref(snapshot);
}
END_TEST

START_TEST(descriptors_do_as_well)
{
    fill_memory();
    struct vmkit_snapshot *snapshot = take(NULL), *opened = NULL;
    int file = memfd_create("test", MFD_CLOEXEC), ends[2];
    const struct vmk_snapshot_place place = {.fd = file};
    ck_assert_int_eq(vmk_snapshot_save(snapshot, &place, NULL, NULL), 0);
    ck_assert_int_eq(vmk_snapshot_open(&place, false, NULL, kinds, 2, &opened, NULL), 0);
    assert_same(opened, snapshot);
    vmk_snapshot_unref(opened);
    close(file);

    /* A pipe that holds less than the file needs a reader that copies. */
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        const struct vmk_snapshot_place to = {.fd = ends[1]};
        close(ends[0]);
        _exit(vmk_snapshot_save(snapshot, &to, NULL, NULL) == 0 ? 0 : 1);
    }
    close(ends[1]);
    const struct vmk_snapshot_place from = {.fd = ends[0]};
    ck_assert_int_eq(vmk_snapshot_open(&from, true, NULL, kinds, 2, &opened, NULL), 0);
    close(ends[0]);
    assert_same(opened, snapshot);
    vmk_snapshot_unref(opened);
    vmk_snapshot_unref(snapshot);
}
END_TEST

#define LINKS 5

/* A chain of snapshots, each with changes of several kinds, and its files. */
static void
make_chain(struct vmkit_snapshot *chain[LINKS], const uint32_t levels[LINKS])
{
    char name[] = "link 0", full[] = "full 0";
    fill_memory();
    for (size_t i = 0; i < LINKS; i++) {
        if (i > 0) {
            fixture_fill(bytes, 10 * i, 3, (uint32_t)(100 + i));
            memset(bytes + (size_t)(400 + 20 * i) * PAGE, 0, 8 * PAGE);
            bytes[(520 + i) * PAGE] = (uint8_t)i;
        }
        chain[i] = take(i == 0 ? NULL : chain[i - 1]);
        name[5] = full[5] = (char)('0' + i);
        save_ok(chain[i], NULL, 0, full);
        save_ok(chain[i], i == 0 ? NULL : chain[i - 1], levels[i], name);
    }
}

static void
free_chain(struct vmkit_snapshot *chain[LINKS])
{
    for (size_t i = 0; i < LINKS; i++)
        vmk_snapshot_unref(chain[i]);
}

START_TEST(a_chain_of_files_holds_what_the_snapshots_hold)
{
    static const uint32_t levels[LINKS] = {0, 0, 6, 0, 1};
    struct vmkit_snapshot *chain[LINKS], *opened[LINKS];
    char name[] = "link 0";
    make_chain(chain, levels);
    for (size_t i = 0; i < LINKS; i++) {
        name[5] = (char)('0' + i);
        opened[i] = (_i == 0 ? open_eagerly : open_lazy)(name, i == 0 ? NULL : opened[i - 1]);
        struct vmk_archive_info info = get_file_info(name);
        ck_assert_uint_eq(info.depth, i);
        /* Three pages, and one; zeros take none, nor does what did not change. */
        if (i > 0)
            ck_assert_uint_eq(info.data_pages, 4);
    }
    /* The parents are needed no more by who has them open. */
    for (size_t i = 0; i + 1 < LINKS; i++)
        assert_same(opened[i], chain[i]);
    for (size_t i = 0; i + 1 < LINKS; i++)
        vmk_snapshot_unref(opened[i]);
    set_parent(NULL);
    assert_same(opened[LINKS - 1], chain[LINKS - 1]);
    vmk_snapshot_unref(opened[LINKS - 1]);
    free_chain(chain);
}
END_TEST

START_TEST(a_merged_chain_is_a_full_save)
{
    static const uint32_t levels[LINKS] = {6, 0, 0, 1, 0};
    static const struct vmk_archive_settings raw = {.level = 0};
    struct vmkit_snapshot *chain[LINKS];
    struct vmk_archive *parent = NULL;
    char name[] = "link 0", full[] = "full 0";
    make_chain(chain, levels);
    for (size_t i = 0; i < LINKS; i++) {
        name[5] = full[5] = (char)('0' + i);
        struct vmk_archive *archive = fixture_open(fixture_path(name));
        if (i > 0)
            ck_assert_int_eq(vmk_archive_set_parent(archive, parent, NULL), 0);
        vmk_archive_unref(parent);
        ck_assert_int_eq(vmk_archive_merge(archive, fixture_path("merged"), -1, &raw, NULL), 0);
        fixture_same_files(fixture_path("merged"), fixture_path(full));
        parent = archive;
    }
    vmk_archive_unref(parent);
    free_chain(chain);
}
END_TEST

START_TEST(an_increment_of_nothing_new_stores_nothing)
{
    fill_memory();
    struct vmkit_snapshot *snapshot = take(NULL);
    save_ok(snapshot, NULL, 0, "base");
    struct vmkit_snapshot *next = take(snapshot);
    save_ok(next, snapshot, 0, "next");
    ck_assert_uint_eq(get_file_info("next").data_pages, 0);
    struct vmkit_snapshot *base = open_ok("base", false, NULL);
    struct vmkit_snapshot *opened = open_ok("next", false, base);
    assert_same(opened, snapshot);
    vmk_snapshot_unref(opened);
    vmk_snapshot_unref(base);
    vmk_snapshot_unref(next);
    vmk_snapshot_unref(snapshot);
}
END_TEST

START_TEST(a_snapshot_of_another_machine_may_be_the_parent)
{
    fill_memory();
    struct vmkit_snapshot *base = take(NULL);
    memset(bytes, 0, SIZE);
    fixture_fill(bytes, 45, 300, 7);
    struct vmkit_snapshot *other = take(NULL);
    save_ok(base, NULL, 0, "base");
    save_ok(other, base, 0, "other");
    struct vmkit_snapshot *opened = open_ok("other", false, base);
    assert_same(opened, other);
    vmk_snapshot_unref(opened);
    vmk_snapshot_unref(other);
    vmk_snapshot_unref(base);
}
END_TEST

START_TEST(a_parent_is_the_one_that_is_named)
{
    fill_memory();
    struct vmkit_snapshot *base = take(NULL), *opened = NULL;
    fixture_fill(bytes, 0, 1, 1);
    struct vmkit_snapshot *next = take(base);
    set_parent(base);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "the parent has no file", save, next, "next");
    save_ok(base, NULL, 0, "base");
    save_ok(next, base, 0, "next");

    set_parent(NULL);
    REFUSES(ENOENT, VMKIT_ERROR_NOT_FOUND, "it needs its parent, the snapshot ", open_with, "next",
            false, &opened);
    set_parent(next);
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "its parent is ", open_with, "next", false, &opened);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "it does not need a parent", open_with, "base",
            false, &opened);
    /* The last file is the one that counts. */
    fixture_fill(bytes, 9, 1, 1);
    struct vmkit_snapshot *changed = take(base);
    save_ok(changed, NULL, 0, "base");
    set_parent(changed);
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "its parent is ", open_with, "next", false, &opened);
    vmk_snapshot_unref(changed);
    ck_assert_ptr_null(opened);
    ck_assert_int_eq(fixture_count_files(), 2);
    vmk_snapshot_unref(next);
    vmk_snapshot_unref(base);
}
END_TEST

START_TEST(a_parent_may_have_more_memory_or_less)
{
    fill_memory();
    struct vmkit_snapshot *part = take_part(NULL, SIZE - 300 * PAGE);
    fixture_fill(bytes, 9, 1, 1);
    struct vmkit_snapshot *whole = take(part);
    save_ok(part, NULL, 0, "part");
    save_ok(whole, part, 0, "whole");
    struct vmkit_snapshot *opened = open_ok("whole", false, part);
    assert_same(opened, whole);
    save_ok(part, whole, 0, "again");
    struct vmkit_snapshot *again = open_ok("again", false, opened);
    assert_same(again, part);
    vmk_snapshot_unref(again);
    vmk_snapshot_unref(opened);
    vmk_snapshot_unref(whole);
    vmk_snapshot_unref(part);
}
END_TEST

/* A file with sections that the test chooses, and a page of memory. */
static void
write_file(const char *name, const char *architecture, const struct vmk_archive_known *sections,
           size_t count, const void *data, uint64_t size)
{
    static const struct vmk_archive_settings settings;
    const struct vmk_archive_contents contents = {.architecture = architecture,
                                                  .memory_size = START + SIZE};
    struct vmk_archive_writer *writer = NULL;
    ck_assert_int_eq(
        vmk_archive_writer_new_path(&contents, fixture_path(name), &settings, &writer, NULL), 0);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(vmk_archive_writer_add_section(writer, sections[i].name,
                                                        sections[i].version, VMK_ARCHIVE_REQUIRED,
                                                        data, size, NULL),
                         0);
    ck_assert_int_eq(vmk_archive_writer_add_memory(writer, START, bytes, PAGE, NULL), 0);
    ck_assert_int_eq(vmk_archive_writer_finish(writer, NULL, NULL), 0);
    vmk_archive_writer_free(writer);
}

START_TEST(a_file_of_something_else_is_refused)
{
    static const struct vmk_archive_known vm = {"vm", 1}, newer = {"vm", 2}, toaster = {"toast", 1};
    static const struct vmk_archive_known with_more[] = {{"vm", 1}, {"devices", 1}};
    static const struct vmk_archive_known two[] = {{"vm", 1}, {"toast", 1}};
    static const struct vmk_snapshot_kind toast = {
        .name = "a toaster", .sections = &toaster, .section_count = 1};
    static const struct vmk_snapshot_kind *const both[] = {&vmk_snapshot_of_vm, &toast};
    struct vmkit_snapshot *opened = NULL;
    struct vmk_bytes state = make_state(SIZE);

    write_file("file", VMK_ABI_MACHINE, &toaster, 1, state.data, state.size);
    REFUSES(ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED, "snapshot of nothing that", open_with, "file",
            false, &opened);
    write_file("file", VMK_ABI_MACHINE, &newer, 1, state.data, state.size);
    REFUSES(ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED, "\"vm\" is of version 2", open_with, "file", false,
            &opened);
    write_file("file", VMK_ABI_MACHINE, with_more, 2, state.data, state.size);
    REFUSES(ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED, "\"devices\"", open_with, "file", false, &opened);
    write_file("file", "pdp11", &vm, 1, state.data, state.size);
    REFUSES(ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED, "of pdp11", open_with, "file", false, &opened);
    write_file("file", VMK_ABI_MACHINE, &vm, 1, state.data, state.size - 1);
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "malformed in its", open_with, "file", false,
            &opened);
    write_file("file", VMK_ABI_MACHINE, two, 2, state.data, state.size);
    const struct vmk_snapshot_place place = {.path = fixture_path("file"), .fd = -1};
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "of a raw VM and of a toaster", vmk_snapshot_open,
            &place, false, options, both, 2, &opened);
    ck_assert_ptr_null(opened);
    vmk_bytes_clear(&state);
}
END_TEST

/* A file with one page of memory, that is in the folder and here. */
static uint8_t *
make_small_file(size_t *ret_size)
{
    fixture_fill(bytes, 0, 1, 1);
    struct vmkit_snapshot *snapshot = take_part(NULL, 2 * PAGE);
    save_ok(snapshot, NULL, 0, "small");
    vmk_snapshot_unref(snapshot);
    return fixture_read(fixture_path("small"), ret_size);
}

static int
open_bytes(int fd, struct vmkit_snapshot **ret_snapshot)
{
    const struct vmk_snapshot_place place = {.fd = fd};
    vmkit_error *error = NULL;
    int result = vmk_snapshot_open(&place, false, NULL, kinds, 2, ret_snapshot, &error);
    ck_assert(result == 0 || result == -EINVAL || result == -ENOTSUP);
    ck_assert_int_eq(result < 0, error != NULL);
    vmk_error_unref(error);
    return result;
}

START_TEST(every_truncation_is_refused)
{
    size_t size;
    struct vmkit_snapshot *opened = NULL;
    free(make_small_file(&size));
    int fd = open(fixture_path("small"), O_RDWR | O_CLOEXEC);
    while (size-- > 0) {
        ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
        ck_assert_int_eq(open_bytes(fd, &opened), -EINVAL);
    }
    close(fd);
}
END_TEST

/* One bit of each byte. */
START_TEST(every_bit_that_flips_is_refused_or_harmless)
{
    size_t size, accepted = 0;
    uint8_t page[VMK_IMAGE_PAGE], *file = make_small_file(&size);
    int fd = open(fixture_path("small"), O_RDWR | O_CLOEXEC);
    for (size_t bit = (size_t)_i; bit < size * 8; bit += 8) {
        struct vmkit_snapshot *opened = NULL;
        uint8_t byte = file[bit / 8] ^ (uint8_t)(1 << bit % 8);
        ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
        if (open_bytes(fd, &opened) == 0) {
            struct vmk_image *image = vmk_vm_snapshot_get_image(opened);
            ck_assert_int_eq(vmk_image_read(image, START, page, sizeof page), 0);
            /* The mapped page is what the file has; all else is as it was. */
            ck_assert_int_eq(memcmp(page, bytes, sizeof page) == 0, bit / 8 / PAGE != 1);
            vmk_snapshot_unref(opened);
            accepted++;
        }
        ck_assert_int_eq(pwrite(fd, &file[bit / 8], 1, (off_t)(bit / 8)), 1);
    }
    /* That page, and a few bytes between parts. */
    ck_assert_uint_ge(accepted, PAGE);
    ck_assert_uint_le(accepted, PAGE + 64);
    close(fd);
    free(file);
}
END_TEST

START_TEST(kinds_do_not_mix)
{
    struct vmkit_snapshot other, *snapshot = take(NULL);
    vmk_snapshot_init(&other, &other_kind);
    REFUSES(ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED, "a snapshot of something else cannot be saved",
            save, &other, "file");
    save_ok(snapshot, NULL, 0, "file");
    vmk_snapshot_options_set_parent(options, &other, vmk_snapshot_unref);
    vmk_snapshot_ref(&other);
    REFUSES(ENOTSUP, VMKIT_ERROR_WRONG_STATE, "is one of something else", save, snapshot, "next");
    struct vmkit_snapshot *opened = NULL;
    REFUSES(ENOTSUP, VMKIT_ERROR_WRONG_STATE, "is one of something else", open_with, "file", false,
            &opened);
    set_parent(NULL);
    vmk_snapshot_unref(snapshot);
}
END_TEST

START_TEST(memory_above_the_limit_is_refused)
{
    struct vmkit_snapshot *opened = NULL;
    memset(bytes, 0x55, SIZE);
    struct vmkit_snapshot *snapshot = take(NULL);
    save_ok(snapshot, NULL, 0, "raw");
    save_ok(snapshot, NULL, 9, "bomb");
    ck_assert_uint_lt(get_file_info("bomb").file_size, SIZE / 30);
    vmk_snapshot_options_set_memory_limit(options, SIZE - 1);
    REFUSES(E2BIG, VMKIT_ERROR_LIMIT, "when it is decompressed", open_with, "bomb", false, &opened);
    REFUSES(E2BIG, VMKIT_ERROR_LIMIT, "the limit", open_with, "raw", true, &opened);
    ck_assert_ptr_null(opened);
    /* What is mapped takes none. */
    vmk_snapshot_unref(open_ok("raw", false, NULL));
    vmk_snapshot_options_set_memory_limit(options, SIZE);
    vmk_snapshot_unref(open_ok("bomb", false, NULL));
    vmk_snapshot_unref(snapshot);
}
END_TEST

static int32_t
cancel_later(void *user_data, uint64_t done, uint64_t total)
{
    int *left = user_data;
    ck_assert_uint_le(done, total);
    return --*left < 0;
}

START_TEST(a_cancelled_call_leaves_nothing)
{
    fixture_fill(bytes, 0, PAGES, 1);
    struct vmkit_snapshot *snapshot = take(NULL), *opened = NULL;
    /* The calling thread, which is the one that is told, has all of the work. */
    ck_assert_int_eq(vmk_snapshot_options_set_threads(options, 1, NULL), 0);
    save_ok(snapshot, NULL, 6, "file");
    fixture_fill(bytes, 0, PAGES, 2);
    struct vmkit_snapshot *next = take(NULL);
    for (int calls = 0;; calls++) {
        int left = calls;
        vmk_snapshot_options_set_progress(options, cancel_later, &left);
        int result = save(next, "file", NULL);
        if (result == 0) {
            ck_assert_int_gt(calls, 0);
            break;
        }
        ck_assert_int_eq(result, -ECANCELED);
        left = calls;
        REFUSES(ECANCELED, VMKIT_ERROR_CANCELLED, "cancelled", open_with, "file", false, &opened);
        ck_assert_ptr_null(opened);
        vmk_snapshot_options_set_progress(options, NULL, NULL);
        opened = open_ok("file", false, NULL);
        assert_same(opened, snapshot);
        vmk_snapshot_unref(opened);
        opened = NULL;
        ck_assert_int_eq(fixture_count_files(), 1);
    }
    vmk_snapshot_unref(next);
    vmk_snapshot_unref(snapshot);
}
END_TEST

#define LARGE_PAGES (20 * 1024) /* more than is read ahead at a time */
#define LARGE_SIZE (LARGE_PAGES * PAGE)

/* A number in each page, but for a part in the middle, and every other page at the end. */
static struct vmkit_snapshot *
take_large(void)
{
    vmk_memory_unref(memory);
    ck_assert_int_eq(vmk_memory_new_anonymous(LARGE_SIZE, 0, &memory, NULL), 0);
    bytes = vmk_memory_get_pointer(memory);
    for (size_t i = 0; i < LARGE_PAGES; i++) {
        bool is_zero = (i > 7000 && i < 8200) || (i > LARGE_PAGES - 1000 && i % 32 != 0);
        uint64_t number = is_zero ? 0 : i + 1;
        if (!is_zero)
            memcpy(bytes + i * PAGE + i % 500 * 8, &number, sizeof number);
    }
    return take_part(NULL, LARGE_SIZE);
}

START_TEST(a_large_memory_is_read_ahead)
{
    struct vmkit_snapshot *snapshot = take_large();
    uint8_t *held = malloc(LARGE_SIZE);
    for (uint32_t level = 0; level <= 1; level++) {
        ck_assert_int_eq(vmk_snapshot_options_set_threads(options, 0, NULL), 0);
        save_ok(snapshot, NULL, level, "many");
        ck_assert_int_eq(vmk_snapshot_options_set_threads(options, 1, NULL), 0);
        save_ok(snapshot, NULL, level, "one");
        fixture_same_files(fixture_path("many"), fixture_path("one"));
        ck_assert_int_eq(vmk_snapshot_options_set_threads(options, 0, NULL), 0);
        struct vmkit_snapshot *opened = open_ok("many", false, NULL);
        struct vmk_image *image = vmk_vm_snapshot_get_image(opened);
        ck_assert_int_eq(vmk_image_read(image, START, held, LARGE_SIZE), 0);
        ck_assert_mem_eq(held, bytes, LARGE_SIZE);
        vmk_snapshot_unref(opened);
    }
    free(held);
    vmk_snapshot_unref(snapshot);
}
END_TEST

/* More pieces than are looked at ahead of what is written, and less than a chunk to write. */
START_TEST(an_increment_of_many_zeros_is_saved)
{
    struct vmkit_snapshot *base = take_large();
    for (size_t i = 0; i < LARGE_PAGES; i += 2)
        memset(bytes + i * PAGE, 0, PAGE);
    bytes[PAGE] = 0xee;
    struct vmkit_snapshot *next = take_part(base, LARGE_SIZE);
    uint8_t *held = malloc(LARGE_SIZE);
    save_ok(base, NULL, 0, "base");
    for (uint32_t level = 0; level <= 1; level++) {
        for (uint32_t threads = 1; threads <= 2; threads++) {
            ck_assert_int_eq(vmk_snapshot_options_set_threads(options, threads, NULL), 0);
            save_ok(next, base, level, "next");
            struct vmkit_snapshot *parent = open_ok("base", false, NULL);
            struct vmkit_snapshot *opened = open_ok("next", false, parent);
            struct vmk_image *image = vmk_vm_snapshot_get_image(opened);
            ck_assert_int_eq(vmk_image_read(image, START, held, LARGE_SIZE), 0);
            ck_assert_mem_eq(held, bytes, LARGE_SIZE);
            vmk_snapshot_unref(opened);
            vmk_snapshot_unref(parent);
        }
    }
    free(held);
    vmk_snapshot_unref(next);
    vmk_snapshot_unref(base);
}
END_TEST

START_TEST(a_cancelled_save_stops_reading_ahead)
{
    struct vmkit_snapshot *snapshot = take_large();
    ck_assert_int_eq(vmk_snapshot_options_set_threads(options, 4, NULL), 0);
    for (int calls = 0; calls < 60; calls += 13) {
        int left = calls;
        vmk_snapshot_options_set_progress(options, cancel_later, &left);
        REFUSES(ECANCELED, VMKIT_ERROR_CANCELLED, "cancelled", save, snapshot, "file");
        ck_assert_int_eq(fixture_count_files(), 0);
    }
    vmk_snapshot_unref(snapshot);
}
END_TEST

/* Each allocation of a call fails once; nothing is left behind. */
START_TEST(each_failed_allocation_is_an_error)
{
    fill_memory();
    struct vmkit_snapshot *base = take(NULL);
    fixture_fill(bytes, 20, 9, 7);
    struct vmkit_snapshot *next = take(base), *opened = NULL;
    ck_assert_int_eq(vmk_snapshot_options_set_threads(options, 1, NULL), 0);
    save_ok(base, NULL, 0, "base");
    save_ok(next, base, _i == 0 ? 0 : 6, "next");
    unsigned long descriptors = usage_count_descriptors();
    for (int part = 0; part < 2; part++) {
        unsigned number = 0;
        int result = -1;
        while (result != 0) {
            vmkit_error *error = NULL;
            allocator_fail(++number);
            result =
                part == 0 ? save(next, "next", &error) : open_with("next", false, &opened, &error);
            allocator_fail(0);
            ck_assert(result == 0 || result == -ENOMEM);
            ck_assert_int_eq(result < 0, error != NULL);
            vmk_error_unref(error);
            if (result == 0 && part == 1) {
                assert_same(opened, next);
                vmk_snapshot_unref(opened);
            }
            ck_assert_uint_eq(usage_count_descriptors(), descriptors);
            ck_assert_int_eq(fixture_count_files(), 2);
        }
        ck_assert_uint_gt(number, 6);
    }
    vmk_snapshot_unref(next);
    vmk_snapshot_unref(base);
}
END_TEST

START_TEST(a_vm_without_memory_has_a_file)
{
    const struct vmk_vm_state none = {.bytes = (const uint8_t *)"none", .size = 4};
    struct vmk_bytes state = {0};
    struct vmk_image_builder *builder = NULL;
    struct vmk_image *image = NULL;
    struct vmkit_snapshot *snapshot = NULL;
    ck_assert_int_eq(vmk_vm_state_encode(&none, &state, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_new(NULL, &builder, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_finish(builder, &image, NULL), 0);
    vmk_image_builder_free(builder);
    ck_assert_int_eq(vmk_vm_snapshot_new(image, &state, &snapshot, NULL), 0);
    save_ok(snapshot, NULL, 0, "file");
    struct vmkit_snapshot *opened = open_ok("file", false, NULL);
    ck_assert_uint_eq(vmk_vm_snapshot_get_state(opened)->region_count, 0);
    vmk_snapshot_unref(opened);
    vmk_snapshot_unref(snapshot);
}
END_TEST

START_TEST(a_file_that_becomes_shorter_is_an_error_of_its_reader)
{
    fixture_fill(bytes, 0, PAGES, 1);
    struct vmkit_snapshot *snapshot = take(NULL);
    uint8_t page[VMK_IMAGE_PAGE];
    save_ok(snapshot, NULL, 0, "file");
    struct vmkit_snapshot *opened = open_ok("file", false, NULL);
    struct vmkit_snapshot *copied = open_ok("file", true, NULL);
    ck_assert_int_eq(truncate(fixture_path("file"), 8192), 0);
    ck_assert_int_eq(
        vmk_image_read(vmk_vm_snapshot_get_image(opened), START + 9 * PAGE, page, sizeof page),
        -EFAULT);
    for (uint32_t threads = 0; threads < 2; threads++) {
        ck_assert_int_eq(vmk_snapshot_options_set_threads(options, threads, NULL), 0);
        REFUSES(EIO, VMKIT_ERROR_IO, "shortened", save, opened, "again");
    }
    ck_assert_int_eq(fixture_count_files(), 1);
    assert_same(copied, snapshot);
    vmk_snapshot_unref(copied);
    vmk_snapshot_unref(opened);
    vmk_snapshot_unref(snapshot);
}
END_TEST

/* While what was read before is still being compressed, by as many threads as there are. */
START_TEST(memory_that_cannot_be_read_is_an_error_of_the_save)
{
    const uint64_t there = UINT64_C(24) << 20, told = there + (UINT64_C(4) << 20);
    struct vmk_image_store *store = NULL;
    struct vmk_image_builder *builder = NULL;
    struct vmk_image *image = NULL;
    struct vmkit_snapshot *snapshot = NULL;
    struct vmk_bytes state = make_state(told);
    uint64_t *words = malloc(there), random = 1;
    int fd = memfd_create("store", MFD_CLOEXEC);
    ck_assert_ptr_nonnull(words);
    for (uint64_t i = 0; i < there / sizeof *words; i++)
        words[i] = random = random * UINT64_C(6364136223846793005) + 1;
    ck_assert_int_eq(write(fd, words, there), (ssize_t)there);
    ck_assert_int_eq(vmk_image_store_new(fd, NULL, NULL, &store, NULL), 0);
    const struct vmk_image_run run = {.address = START, .size = told, .store = store, .offset = 0};
    ck_assert_int_eq(vmk_image_builder_new(NULL, &builder, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_add_run(builder, &run, NULL), 0);
    ck_assert_int_eq(vmk_image_builder_finish(builder, &image, NULL), 0);
    vmk_image_builder_free(builder);
    vmk_image_store_unref(store);
    ck_assert_int_eq(vmk_vm_snapshot_new(image, &state, &snapshot, NULL), 0);
    for (uint32_t level = 0; level <= 9; level += 9) {
        ck_assert_int_eq(vmk_snapshot_options_set_compression(options, level, NULL), 0);
        REFUSES(EIO, VMKIT_ERROR_IO, "shortened", save, snapshot, "file");
        ck_assert_int_eq(fixture_count_files(), 0);
    }
    vmk_snapshot_unref(snapshot);
    free(words);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("snapshot_file");
    TCase *tcase = fixture_tcase(suite, "snapshot_file");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_file_holds_what_the_snapshot_holds);
    tcase_add_test(tcase, what_was_opened_is_saved_again_as_it_was);
    tcase_add_test(tcase, a_lazy_file_holds_what_the_snapshot_holds);
    tcase_add_test(tcase, raw_memory_is_never_lazier_than_its_file);
    tcase_add_test(tcase, a_lazy_file_that_is_damaged_says_so_when_it_is_touched);
    tcase_add_test(tcase, a_file_may_take_the_place_of_the_one_that_is_open);
    tcase_add_test(tcase, descriptors_do_as_well);
    tcase_add_loop_test(tcase, a_chain_of_files_holds_what_the_snapshots_hold, 0, 2);
    tcase_add_test(tcase, a_merged_chain_is_a_full_save);
    tcase_add_test(tcase, an_increment_of_nothing_new_stores_nothing);
    tcase_add_test(tcase, a_snapshot_of_another_machine_may_be_the_parent);
    tcase_add_test(tcase, a_parent_is_the_one_that_is_named);
    tcase_add_test(tcase, a_parent_may_have_more_memory_or_less);
    tcase_add_test(tcase, a_file_of_something_else_is_refused);
    tcase_add_test(tcase, every_truncation_is_refused);
    tcase_add_loop_test(tcase, every_bit_that_flips_is_refused_or_harmless, 0, 8);
    tcase_add_test(tcase, kinds_do_not_mix);
    tcase_add_test(tcase, memory_above_the_limit_is_refused);
    tcase_add_test(tcase, a_cancelled_call_leaves_nothing);
    tcase_add_test(tcase, a_large_memory_is_read_ahead);
    tcase_add_test(tcase, an_increment_of_many_zeros_is_saved);
    tcase_add_test(tcase, a_cancelled_save_stops_reading_ahead);
    tcase_add_test(tcase, memory_that_cannot_be_read_is_an_error_of_the_save);
    tcase_add_loop_test(tcase, each_failed_allocation_is_an_error, 0, 2);
    tcase_add_test(tcase, a_vm_without_memory_has_a_file);
    tcase_add_test(tcase, a_file_that_becomes_shorter_is_an_error_of_its_reader);
    return suite;
}
