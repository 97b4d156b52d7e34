/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that something or somebody changed. Damage is found or does no harm; what was forged, with
 * checksums that are right, is refused with a sentence or is what it says.
 */
#include "archive/archive.h"
#include "archive/format.h"
#include "archive/hash.h"
#include "fixture.h"
#include "util/error.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGES 40

/* One file in memory, to be changed. */
struct sample {
    uint8_t *memory;
    uint8_t *bytes;
    size_t size;
    int fd;
};

static const struct vmk_archive_settings ways[] = {{.level = 0, .threads = 1},
                                                   {.level = 9, .threads = 1}};

/* Zeros, data, and zeros; a section of three bytes. */
static struct sample
make_sample(int way, size_t data_pages)
{
    struct sample sample = {.memory = fixture_memory(PAGES), .fd = memfd_create("sample", 0)};
    fixture_fill(sample.memory, 2, data_pages, 1);
    fixture_save(fixture_path("sample"), sample.memory, PAGES, &ways[way], NULL);
    sample.bytes = fixture_read(fixture_path("sample"), &sample.size);
    return sample;
}

static void
clear_sample(struct sample *sample)
{
    close(sample->fd);
    free(sample->bytes);
    free(sample->memory);
}

/* Open what the bytes are now. */
static int
open_sample(const struct sample *sample, size_t size, struct vmk_archive **ret_archive,
            vmkit_error **ret_error)
{
    ck_assert_int_eq(ftruncate(sample->fd, 0), 0);
    if (pwrite(sample->fd, sample->bytes, size, 0) != (ssize_t)size)
        ck_abort();
    return vmk_archive_open_fd(sample->fd, "sample", NULL, 0, ret_archive, ret_error);
}

static uint64_t
get64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

static void
put64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof value);
}

static void
put32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof value);
}

static uint8_t *
footer_of(const struct sample *sample)
{
    return sample->bytes + sample->size - VMK_FORMAT_FOOTER_SIZE;
}

static uint8_t *
entry_of(const struct sample *sample, size_t number)
{
    return sample->bytes + get64(footer_of(sample) + 16) + number * VMK_FORMAT_ENTRY_SIZE;
}

/* Make all checksums right again, where the sections still are in the file. */
static void
forge(struct sample *sample)
{
    uint8_t *footer = footer_of(sample);
    uint64_t table = get64(footer + 16), count = le32toh(*(uint32_t *)(void *)(footer + 24));
    struct vmk_archive_identity identity;
    put64(sample->bytes + 4088, vmk_archive_hash(sample->bytes, 4088, 0));
    if (table >= 4096 && table < sample->size &&
        count <= (sample->size - table) / VMK_FORMAT_ENTRY_SIZE) {
        for (uint64_t i = 0; i < count; i++) {
            uint8_t *entry = sample->bytes + table + i * VMK_FORMAT_ENTRY_SIZE;
            uint64_t offset = get64(entry + 32), size = get64(entry + 40);
            if (offset <= sample->size && size <= sample->size - offset)
                put64(entry + 48, vmk_archive_hash(sample->bytes + offset, size, 0));
        }
        put64(footer + 48,
              vmk_archive_hash(sample->bytes + table, (size_t)count * VMK_FORMAT_ENTRY_SIZE, 0));
        ck_assert_int_eq(vmk_format_identify(sample->bytes, sample->bytes + table, (uint32_t)count,
                                             &identity, NULL),
                         0);
        memcpy(footer + 32, identity.bytes, sizeof identity.bytes);
    }
    put64(footer + 56, vmk_archive_hash(footer, 56, 0));
}

/* Whether a sample that could be opened is, as far as anybody can tell, what it was. */
static bool
is_harmless(const struct vmk_archive *archive, const struct sample *sample)
{
    uint8_t *copy = malloc(PAGES * PAGE);
    void *state = NULL;
    uint64_t size = 0;
    int result = vmk_archive_read_memory(archive, 0, copy, PAGES * PAGE, NULL);
    ck_assert_int_eq(result, 0);
    bool same = memcmp(copy, sample->memory, PAGES * PAGE) == 0;
    ck_assert_int_eq(vmk_archive_read_section(archive, "state", 100, &state, &size, NULL), 0);
    same = same && size == 3 && memcmp(state, "abc", 3) == 0;
    free(state);
    free(copy);
    return same;
}

START_TEST(every_single_bit_matters_or_does_no_harm)
{
    struct sample sample = make_sample(_i, 1);
    struct vmk_archive *archive = NULL;
    size_t refused = 0, harmless = 0, harmful = 0, silent = 0;
    ck_assert_int_eq(open_sample(&sample, sample.size, &archive, NULL), 0);
    vmk_archive_unref(archive);
    for (size_t bit = 0; bit < sample.size * 8; bit++) {
        uint8_t flipped = sample.bytes[bit / 8] ^ (uint8_t)(1 << bit % 8);
        vmkit_error *error = NULL;
        if (pwrite(sample.fd, &flipped, 1, (off_t)(bit / 8)) != 1)
            ck_abort();
        archive = NULL;
        int result = vmk_archive_open_fd(sample.fd, "sample", NULL, 0, &archive, &error);
        if (result == 0)
            result = vmk_archive_verify(archive, &ways[0], &error);
        if (result < 0) {
            refused++;
            silent += strlen(vmk_error_get_message(error)) < 20;
        } else if (is_harmless(archive, &sample)) {
            harmless++;
        } else {
            harmful++;
        }
        vmk_error_unref(error);
        vmk_archive_unref(archive);
        if (pwrite(sample.fd, &sample.bytes[bit / 8], 1, (off_t)(bit / 8)) != 1)
            ck_abort();
    }
    ck_assert_uint_eq(harmful, 0);
    ck_assert_uint_eq(silent, 0);
    /* Only bits that a compressed stream has no use for may be harmless. */
    ck_assert_uint_le(harmless, _i == 0 ? 0 : 16);
    ck_assert_uint_ge(refused, sample.size * 8 - 16);
    clear_sample(&sample);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    struct sample sample = make_sample(_i, 1);
    size_t opened = 0;
    for (size_t size = 0; size < sample.size; size++) {
        struct vmk_archive *archive = NULL;
        opened += open_sample(&sample, size, &archive, NULL) == 0;
    }
    ck_assert_uint_eq(opened, 0);
    clear_sample(&sample);
}
END_TEST

START_TEST(what_follows_the_end_is_refused)
{
    struct sample sample = make_sample(0, 1);
    struct vmk_archive *archive = NULL;
    sample.bytes = realloc(sample.bytes, sample.size + VMK_FORMAT_FOOTER_SIZE);
    sample.bytes[sample.size] = 0;
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "does not end", open_sample, &sample, sample.size + 1,
            &archive);
    /* The footer twice. */
    memcpy(sample.bytes + sample.size, footer_of(&sample), VMK_FORMAT_FOOTER_SIZE);
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "says that it has", open_sample, &sample,
            sample.size + VMK_FORMAT_FOOTER_SIZE, &archive);
    clear_sample(&sample);
}
END_TEST

/* Places of the fields that doc/snapshot-format.md lists. */
enum place { HEADER, FOOTER, ENTRY0, ENTRY1, ENTRY2, ENTRY3, SECTION1, SECTION3 };

static uint8_t *
find_place(const struct sample *sample, enum place place)
{
    switch (place) {
    case HEADER:
        return sample->bytes;
    case FOOTER:
        return footer_of(sample);
    case SECTION1:
        return sample->bytes + get64(entry_of(sample, 1) + 32);
    case SECTION3:
        return sample->bytes + get64(entry_of(sample, 3) + 32);
    default:
        return entry_of(sample, (size_t)place - ENTRY0);
    }
}

static const struct forgery {
    enum place place;
    size_t offset;
    size_t width;
    uint64_t value;
    int err;
    enum vmkit_error_kind kind;
    const char *word;
} forgeries[] = {
    {HEADER, 0, 8, 0, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "no snapshot"},
    {HEADER, 8, 4, 2, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
     "version 2, and this library reads up to 1"},
    {HEADER, 8, 4, 0, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "header is damaged"},
    {HEADER, 12, 4, 8192, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "8192"},
    {HEADER, 16, 4, 65536, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "65536"},
    {HEADER, 20, 4, 2, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "unknown way 2"},
    {HEADER, 20, 4, 0, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "32 pages, not 0"},
    {HEADER, 24, 8, 4095, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "4095 bytes"},
    {HEADER, 24, 8, UINT64_MAX - 4095, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "no possible size"},
    {HEADER, 24, 8, 39 * 4096, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "not in a memory of 39"},
    {HEADER, 24, 8, 41 * 4096, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "40 pages of 41"},
    {HEADER, 24, 8, 0, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "index has 24 bytes"},
    {HEADER, 32, 4, 1 << 20, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "1048576 pages"},
    {HEADER, 36, 4, 65, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "number 65"},
    {HEADER, 36, 4, 1, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "does not name a parent"},
    {HEADER, 40, 8, 1, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "names a parent"},
    {HEADER, 56, 8, 0, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "architecture"},
    {HEADER, 56, 4, 0x0a0a0a0a, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "architecture"},
    {HEADER, 64, 8, 0x61, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "architecture"},
    {FOOTER, 8, 8, 1, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "says that it has 1"},
    {FOOTER, 16, 8, 0, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "said to be at 0"},
    {FOOTER, 16, 8, UINT64_MAX - 7, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "said to be at"},
    {FOOTER, 24, 4, 0, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "table of 0 sections"},
    {FOOTER, 24, 4, 257, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "257 sections"},
    {FOOTER, 24, 4, UINT32_MAX, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "4294967295 sections"},
    {FOOTER, 28, 4, 1, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "last 64 bytes"},
    {ENTRY0, 0, 8, 0, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "no proper name"},
    {ENTRY0, 0, 8, 0x0a, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "no proper name"},
    {ENTRY0, 16, 8, 0x61, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "no proper name"},
    {ENTRY0, 0, 8, 0x612e79726f6d656d, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "wrong place"},
    {ENTRY0, 0, 8, 0x2e61, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "no proper one"},
    {ENTRY0, 24, 4, 0, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "no proper one"},
    {ENTRY0, 28, 4, 3, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "no proper one"},
    {ENTRY0, 28, 4, 4, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "unknown flags"},
    {ENTRY0, 56, 8, 1, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "unknown flags"},
    {ENTRY0, 32, 8, 0, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "begin at 0"},
    {ENTRY0, 32, 8, UINT64_MAX - 7, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "said to be at"},
    {ENTRY0, 40, 8, UINT64_MAX, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "more than 4294967296"},
    {ENTRY0, 40, 8, 1 << 20, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "of 1048576 bytes"},
    {ENTRY0, 40, 8, 11, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "must be at"},
    {ENTRY1, 32, 8, 4096, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "must be at"},
    {ENTRY1, 24, 4, 2, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED, "\"memory.index\" is of version 2"},
    {ENTRY1, 28, 4, 0, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED, "flags 0x0"},
    {ENTRY1, 7, 4, 0x78787878, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "wrong place"},
    {ENTRY2, 40, 8, 0, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "must be at"},
    {SECTION1, 0, 8, 2 << 2 | 3, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "impossible state 3"},
    {SECTION1, 0, 8, 2 << 2 | 2, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "impossible state 2"},
    {SECTION1, 0, 8, 1, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "0 pages from"},
    {SECTION1, 0, 8, UINT64_MAX - 3, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "not in a memory"},
    {SECTION1, 0, 8, 1 << 2 | 0, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "39 pages of 40"},
    {SECTION1, 0, 8, 2 << 2 | 1, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "two pieces"},
    {SECTION3, 0, 4, 0, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "0 bytes cannot be"},
    {SECTION3, 0, 4, UINT32_MAX, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "4294967295 bytes cannot be"},
    {SECTION3, 0, 4, 9, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "its chunks"},
};

/* In a compressed file, which has all the sections. */
START_TEST(forged_fields_are_refused)
{
    const struct forgery *forgery = &forgeries[_i];
    struct sample sample = make_sample(1, 3);
    struct vmk_archive *archive = NULL;
    uint8_t *at = find_place(&sample, forgery->place) + forgery->offset;
    if (forgery->width == 4)
        put32(at, (uint32_t)forgery->value);
    else
        put64(at, forgery->value);
    forge(&sample);
    REFUSES(forgery->err, forgery->kind, forgery->word, open_sample, &sample, sample.size,
            &archive);
    ck_assert_ptr_null(archive);
    clear_sample(&sample);
}
END_TEST

START_TEST(forging_nothing_is_no_forgery)
{
    struct sample sample = make_sample(1, 3);
    struct vmk_archive *archive = NULL;
    forge(&sample);
    ck_assert_int_eq(open_sample(&sample, sample.size, &archive, NULL), 0);
    ck_assert(is_harmless(archive, &sample));
    vmk_archive_unref(archive);
    clear_sample(&sample);
}
END_TEST

/* Anything anywhere, with right checksums: it is refused, or it can be read to its end. */
START_TEST(random_forgeries_do_no_harm)
{
    struct sample sample = make_sample(_i, 3);
    uint8_t *original = malloc(sample.size), *copy = malloc(PAGES * PAGE);
    uint64_t state = 42;
    size_t opened = 0;
    memcpy(original, sample.bytes, sample.size);
    for (int round = 0; round < 4000; round++) {
        struct vmk_archive *archive = NULL;
        memcpy(sample.bytes, original, sample.size);
        for (uint64_t i = 0; i <= (uint64_t)round % 3; i++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            /* Where the fields are: the first 80 bytes, and the last ones. */
            uint64_t at = state >> 33;
            at = (at & 1) != 0 ? (at >> 1) % 80 : sample.size - 1 - (at >> 1) % 420;
            sample.bytes[at] = (uint8_t)(state >> 20);
        }
        forge(&sample);
        if (open_sample(&sample, sample.size, &archive, NULL) < 0)
            continue;
        opened++;
        /* What comes out does not matter, but that it comes or is refused. */
        if (vmk_archive_get_info(archive)->memory_size == PAGES * PAGE)
            vmk_archive_read_memory(archive, 0, copy, PAGES * PAGE, NULL);
        vmk_archive_verify(archive, &ways[0], NULL);
        vmk_archive_unref(archive);
    }
    ck_assert_uint_gt(opened, 10);
    ck_assert_uint_lt(opened, 3000);
    free(original);
    free(copy);
    clear_sample(&sample);
}
END_TEST

/* A stream that goes on behind its pages: what is declared is what is written. */
START_TEST(a_bomb_does_not_go_off)
{
    struct sample sample = make_sample(1, 3);
    struct vmk_archive *archive = NULL;
    uint8_t *guarded =
        mmap(NULL, 2 * PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    /* 3 pages are said to be 2, and the third is a hole. */
    uint8_t *index = find_place(&sample, SECTION1);
    put64(index + 8, 2 << 2 | 1);
    put64(index + 16, 36 << 2 | 0);
    uint8_t *sums = entry_of(&sample, 2);
    ck_assert_uint_eq(get64(sums + 40), 24);
    forge(&sample);
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "24 bytes of checksums for 2 pages", open_sample,
            &sample, sample.size, &archive);

    /* The stored stream of another file that has more pages, in place of the right one. */
    struct sample large = make_sample(1, 20), small = make_sample(1, 19);
    uint64_t size = get64(entry_of(&large, 0) + 32) - 4096;
    uint64_t room = get64(entry_of(&small, 0) + 32) - 4096;
    memset(small.bytes + 4096, 0, room);
    memcpy(small.bytes + 4096, large.bytes + 4096, size < room ? size : room);
    forge(&small);
    ck_assert_int_eq(open_sample(&small, small.size, &archive, NULL), 0);
    ck_assert_int_eq(mprotect(guarded + PAGES * PAGE, PAGES * PAGE, PROT_NONE), 0);
    uint8_t *end = guarded + PAGES * PAGE;
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "damaged", vmk_archive_read_memory, archive, 2 * PAGE,
            end - 19 * PAGE, 19 * PAGE);
    vmk_archive_unref(archive);
    munmap(guarded, 2 * PAGES * PAGE);
    clear_sample(&sample);
    clear_sample(&large);
    clear_sample(&small);
}
END_TEST

/* And no signal. */
START_TEST(a_copy_above_the_limit_of_file_sizes_is_refused)
{
    struct sample sample = make_sample(0, 1);
    struct vmk_archive *archive = NULL;
    const char *path = fixture_path("sample");
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = sample.size - 1;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    REFUSES(E2BIG, VMKIT_ERROR_LIMIT, "RLIMIT_FSIZE", vmk_archive_open_path, path, NULL,
            VMK_ARCHIVE_COPY, &archive);
    ck_assert_int_eq(vmk_archive_open_path(path, NULL, 0, &archive, NULL), 0);
    vmk_archive_unref(archive);
    clear_sample(&sample);
}
END_TEST

START_TEST(the_callers_limits_hold)
{
    struct sample sample = make_sample(0, 1);
    struct vmk_archive *archive = NULL;
    struct vmk_archive_expectation expectation = {
        .architecture = "test", .memory_limit = PAGES * PAGE, .file_limit = sample.size};
    const char *path = fixture_path("sample");
    ck_assert_int_eq(vmk_archive_open_path(path, &expectation, VMK_ARCHIVE_COPY, &archive, NULL),
                     0);
    vmk_archive_unref(archive);
    expectation.file_limit--;
    REFUSES(E2BIG, VMKIT_ERROR_LIMIT, "more than the", vmk_archive_open_path, path, &expectation,
            VMK_ARCHIVE_COPY, &archive);
    expectation.memory_limit--;
    REFUSES(E2BIG, VMKIT_ERROR_LIMIT, "the limit is 163839", vmk_archive_open_path, path,
            &expectation, 0, &archive);
    expectation.architecture = "pdp11";
    REFUSES(ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED, "a machine of test, and this one is of pdp11",
            vmk_archive_open_path, path, &expectation, 0, &archive);
    clear_sample(&sample);
}
END_TEST

START_TEST(sections_that_nobody_knows_are_refused_if_required)
{
    struct sample sample = make_sample(0, 1);
    struct vmk_archive *archive = fixture_open(fixture_path("sample"));
    struct vmk_archive_known known[] = {{"other", 7}, {"state", 1}};
    ck_assert_int_eq(vmk_archive_check_sections(archive, known, 2, NULL), 0);
    REFUSES(ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED, "\"state\" is needed", vmk_archive_check_sections,
            archive, known, 1);
    known[1].version = 0;
    REFUSES(ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED, "of version 1, and this library reads up to 0",
            vmk_archive_check_sections, archive, known, 2);
    vmk_archive_unref(archive);

    /* An optional one of any version may be left out. */
    put32(entry_of(&sample, 0) + 28, 0);
    put32(entry_of(&sample, 0) + 24, 99);
    forge(&sample);
    ck_assert_int_eq(open_sample(&sample, sample.size, &archive, NULL), 0);
    ck_assert_int_eq(vmk_archive_check_sections(archive, known, 1, NULL), 0);
    vmk_archive_unref(archive);
    clear_sample(&sample);
}
END_TEST

/* A chain is one only if each is one number below the other: no loop has that. */
START_TEST(parents_of_another_shape_are_refused)
{
    struct sample sample = make_sample(0, 1);
    struct vmk_archive *parent = fixture_open(fixture_path("sample"));
    const struct vmk_archive_info *info = vmk_archive_get_info(parent);
    const struct vmk_archive_contents shapes[] = {
        {"test", PAGES * PAGE, 1, info->identity},
        {"other", PAGES * PAGE, 0, info->identity},
    };
    for (size_t i = 0; i < 2; i++) {
        struct vmk_archive_writer *writer = NULL;
        ck_assert_int_eq(
            vmk_archive_writer_new_path(&shapes[i], fixture_path("a"), &ways[0], &writer, NULL), 0);
        ck_assert_int_eq(vmk_archive_writer_finish(writer, NULL, NULL), 0);
        vmk_archive_writer_free(writer);
        struct vmk_archive *child = fixture_open(fixture_path("a"));
        REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "and its parent", vmk_archive_set_parent, child,
                parent);
        vmk_archive_unref(child);
    }
    vmk_archive_unref(parent);
    clear_sample(&sample);
}
END_TEST

START_TEST(a_file_that_is_cut_while_it_is_open_is_an_error)
{
    struct sample sample = make_sample(_i, 3);
    struct vmk_archive *archive = NULL, *copy = NULL;
    uint8_t page[VMK_ARCHIVE_PAGE_SIZE];
    ck_assert_int_eq(open_sample(&sample, sample.size, &archive, NULL), 0);
    ck_assert_int_eq(vmk_archive_open_fd(sample.fd, "sample", NULL, VMK_ARCHIVE_COPY, &copy, NULL),
                     0);
    ck_assert_int_eq(ftruncate(sample.fd, 100), 0);
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "was cut", vmk_archive_read_memory, archive, 2 * PAGE,
            page, PAGE);
    ck_assert(is_harmless(copy, &sample));
    vmk_archive_unref(archive);
    vmk_archive_unref(copy);
    clear_sample(&sample);
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
    struct sample sample = make_sample(0, 1);
    struct vmk_archive *archive = NULL;
    int fds[2];
    REFUSES(ENOENT, VMKIT_ERROR_NOT_FOUND, "/none", vmk_archive_open_path, fixture_path("none"),
            NULL, 0, &archive);
    REFUSES(EISDIR, VMKIT_ERROR_BAD_SNAPSHOT, "folder", vmk_archive_open_path, fixture_folder, NULL,
            0, &archive);
    ck_assert_int_eq(mkfifo(fixture_path("fifo"), 0600), 0);
    REFUSES(EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "no regular file", vmk_archive_open_path,
            fixture_path("fifo"), NULL, 0, &archive);
    REFUSES(EINVAL, VMKIT_ERROR_IO, "descriptor", vmk_archive_open_fd, -1, "x", NULL, 0, &archive);
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "no snapshot", vmk_archive_open_path, "/dev/null",
            NULL, VMK_ARCHIVE_COPY, &archive);

    /* A pipe is read to its end, into a copy. */
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_gt(fcntl(fds[1], F_SETPIPE_SZ, (int)sample.size), 0);
    ck_assert_int_eq(write(fds[1], sample.bytes, sample.size), (ssize_t)sample.size);
    close(fds[1]);
    ck_assert_int_eq(vmk_archive_open_fd(fds[0], "pipe", NULL, VMK_ARCHIVE_COPY, &archive, NULL),
                     0);
    close(fds[0]);
    ck_assert(is_harmless(archive, &sample));
    vmk_archive_unref(archive);
    clear_sample(&sample);
}
END_TEST

/* A pipe with the bytes in it, which nobody closes. */
static void
begin_pipe(int fds[2], const void *bytes, size_t size)
{
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_eq(write(fds[1], bytes, size), (ssize_t)size);
}

static void
end_pipe(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

START_TEST(what_has_no_end_is_refused_at_its_beginning)
{
    static const uint8_t zeros[VMK_FORMAT_HEADER_SIZE];
    struct vmk_archive *archive = NULL;
    int fds[2];
    begin_pipe(fds, zeros, sizeof zeros);
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "no snapshot", vmk_archive_open_fd, fds[0], "pipe",
            NULL, VMK_ARCHIVE_COPY, &archive);
    end_pipe(fds);
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "no snapshot", vmk_archive_open_path, "/dev/zero",
            NULL, VMK_ARCHIVE_COPY, &archive);
}
END_TEST

static int32_t
cancel_later(void *user_data, uint64_t done, uint64_t total)
{
    int *left = user_data;
    ck_assert_uint_eq(done, 0);
    ck_assert_uint_gt(total, 0);
    return --*left == 0;
}

START_TEST(what_goes_on_behind_a_header_ends_at_a_limit_or_is_called_off)
{
    struct sample sample = make_sample(0, 1);
    struct vmk_archive *archive = NULL;
    int fds[2], left = 3;
    const struct vmk_archive_settings settings = {.progress = cancel_later, .user_data = &left};
    const struct vmk_archive_expectation limited = {.file_limit = 8000},
                                         asked = {.settings = &settings};
    begin_pipe(fds, sample.bytes, 8192);
    REFUSES(E2BIG, VMKIT_ERROR_LIMIT, "8000", vmk_archive_open_fd, fds[0], "pipe", &limited,
            VMK_ARCHIVE_COPY, &archive);
    end_pipe(fds);
    begin_pipe(fds, sample.bytes, 8192);
    REFUSES(ECANCELED, VMKIT_ERROR_CANCELLED, "cancelled", vmk_archive_open_fd, fds[0], "pipe",
            &asked, VMK_ARCHIVE_COPY, &archive);
    ck_assert_int_eq(left, 0);
    end_pipe(fds);
    clear_sample(&sample);
}
END_TEST

START_TEST(a_file_that_is_longer_than_its_header_allows_is_not_copied)
{
    struct sample sample = make_sample(0, 1);
    struct vmk_archive *archive = NULL;
    const struct vmk_archive_expectation any = {.file_limit = UINT64_MAX}, none = {.file_limit = 0};
    ck_assert_int_eq(pwrite(sample.fd, sample.bytes, sample.size, 0), (ssize_t)sample.size);
    ck_assert_int_eq(ftruncate(sample.fd, INT64_C(1) << 42), 0);
    REFUSES(EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "header allows", vmk_archive_open_fd, sample.fd,
            "sample", &any, VMK_ARCHIVE_COPY, &archive);
    /* The host's memory is a limit, too. */
    ck_assert_int_eq(ftruncate(sample.fd, INT64_C(1) << 50), 0);
    REFUSES(E2BIG, VMKIT_ERROR_LIMIT, "of the limit", vmk_archive_open_fd, sample.fd, "sample",
            &none, VMK_ARCHIVE_COPY, &archive);
    clear_sample(&sample);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("hostile");
    TCase *tcase = fixture_tcase(suite, "hostile");
    tcase_add_loop_test(tcase, every_single_bit_matters_or_does_no_harm, 0, 2);
    tcase_add_loop_test(tcase, every_truncation_is_refused, 0, 2);
    tcase_add_test(tcase, what_follows_the_end_is_refused);
    tcase_add_loop_test(tcase, forged_fields_are_refused, 0,
                        (int)(sizeof forgeries / sizeof forgeries[0]));
    tcase_add_test(tcase, forging_nothing_is_no_forgery);
    tcase_add_loop_test(tcase, random_forgeries_do_no_harm, 0, 2);
    tcase_add_test(tcase, a_bomb_does_not_go_off);
    tcase_add_test(tcase, a_copy_above_the_limit_of_file_sizes_is_refused);
    tcase_add_test(tcase, the_callers_limits_hold);
    tcase_add_test(tcase, sections_that_nobody_knows_are_refused_if_required);
    tcase_add_test(tcase, parents_of_another_shape_are_refused);
    tcase_add_loop_test(tcase, a_file_that_is_cut_while_it_is_open_is_an_error, 0, 2);
    tcase_add_test(tcase, what_is_no_file_is_refused);
    tcase_add_test(tcase, what_has_no_end_is_refused_at_its_beginning);
    tcase_add_test(tcase, what_goes_on_behind_a_header_ends_at_a_limit_or_is_called_off);
    tcase_add_test(tcase, a_file_that_is_longer_than_its_header_allows_is_not_copied);
    return suite;
}
