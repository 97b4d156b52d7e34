/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image of an arena that lies in an archive (archive/archive.h). The file says what the
 * program's own pages hold, and which of them it saw where (page_runs.h). Which frames are in use
 * follows from that; the page tables, and what else the image needs for a vCPU, are made here, in
 * frames above the others. So nothing that a file says reaches a page table unchecked, and of what
 * is mapped from it unread, all is the program's.
 */
#include "sandbox/frames_private.h"

#include "archive/archive.h"
#include "sandbox/page_runs.h"
#include "util/checked.h"
#include "util/error.h"
#include "vm/snapshot_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

struct opening {
    struct vmk_frames_image *image;
    const struct vmk_page_runs *runs;
    uint64_t limit;       /* Of guest memory, */
    uint64_t host_limit;  /* and of what is made or read for it at once. */
    uint64_t reserved;    /* Address space */
    uint8_t *tables;      /* for guest memory of which only tables are there, */
    uint64_t first;       /* from this gpa on, */
    uint64_t next;        /* to this one; */
    uint64_t tables_used; /* so many bytes. */
};

static int
bad_overlap(uint64_t gpa, vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                         "the snapshot's list of pages is damaged: two of them lie at 0x%llx",
                         (unsigned long long)gpa);
}

static int
too_large(const struct opening *opening, vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                         "the snapshot's memory does not fit under its limit of %llu bytes",
                         (unsigned long long)opening->limit);
}

/* What a file takes that is a small one itself. */
static int
too_much(const struct opening *opening, const char *what, vmkit_error **ret_error)
{
    return vmk_error_set(
        ret_error, E2BIG, VMKIT_ERROR_LIMIT,
        "the snapshot's %s take more memory than the %llu bytes that opening it may", what,
        (unsigned long long)opening->host_limit);
}

static uint64_t
count_small(const struct vmk_page_runs *runs)
{
    uint64_t size = 0;
    for (size_t i = 0; i < runs->count; i++)
        size += runs->items[i].large ? 0 : runs->items[i].size;
    return size;
}

/* Address space for all that there can be. */
static int
reserve(struct opening *opening)
{
    uint64_t size = 0;
    if (!vmk_add_u64(opening->first, opening->limit, &size) ||
        !vmk_add_u64(size, HOLE_END - HOLE_START + 2 * (uint64_t)BLOCK_SIZE, &size))
        return -ENOMEM;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    madvise(memory, size, MADV_DONTDUMP);
    opening->tables = memory;
    opening->image->size = opening->reserved = size;
    return 0;
}

static int
make_blocks(struct opening *opening)
{
    struct vmk_frames_image *image = opening->image;
    uint64_t count = image->size / BLOCK_SIZE;
    image->blocks = calloc(count, sizeof *image->blocks);
    if (image->blocks == NULL)
        return -ENOMEM;
    for (uint64_t i = HOLE_START / BLOCK_SIZE; i < HOLE_END / BLOCK_SIZE && i < count; i++)
        image->blocks[i].use = BLOCK_HOLE;
    /* gpa 0 means "none" to everyone. */
    image->blocks[0].taken[0] = 1;
    image->blocks[0].count = 1;
    image->blocks[0].use = BLOCK_SMALL;
    return 0;
}

/* False when somebody has it, or nobody can. */
static bool
take(struct vmk_frames_image *image, uint64_t gpa)
{
    struct block *block = &image->blocks[gpa / BLOCK_SIZE];
    uint64_t frame = gpa % BLOCK_SIZE / VMK_PAGE_SIZE, bit = UINT64_C(1) << (frame % 64);
    if (block->use == BLOCK_HOLE || (block->taken[frame / 64] & bit) != 0)
        return false;
    block->taken[frame / 64] |= bit;
    block->count++;
    block->use = BLOCK_SMALL;
    return true;
}

static int
take_runs(struct opening *opening, vmkit_error **ret_error)
{
    for (size_t i = 0; i < opening->runs->count; i++) {
        const struct vmk_page_run *run = &opening->runs->items[i];
        for (uint64_t at = 0; at < run->size; at += VMK_PAGE_SIZE) {
            if (!take(opening->image, run->gpa + at))
                return bad_overlap(run->gpa + at, ret_error);
        }
    }
    return 0;
}

/* What the file holds below the end of its pages. */
static int
open_data(struct opening *opening, struct vmk_archive *archive,
          const struct vmk_frames_image *parent, const struct vmk_archive_settings *settings,
          vmkit_error **ret_error)
{
    const struct vmk_snapshot_memory_use use = {.size = opening->runs->end,
                                                .in_place = true,
                                                .raw_mappings = FILE_MAPPINGS_MAX,
                                                .read_limit = opening->host_limit};
    struct vmk_image *base = NULL;
    int r = parent == NULL ? 0 : vmk_frames_image_get_contents(parent, &base, ret_error);
    if (r == 0)
        r = vmk_snapshot_memory_open(archive, base, &use, settings, &opening->image->contents,
                                     ret_error);
    vmk_image_unref(base);
    return r;
}

static uint64_t
alloc_table(void *user_data)
{
    struct opening *opening = user_data;
    if (opening->next == HOLE_START)
        opening->next = HOLE_END;
    if (opening->limit - opening->runs->total - opening->tables_used < VMK_PAGE_SIZE ||
        opening->host_limit - opening->tables_used < VMK_PAGE_SIZE ||
        opening->next >= opening->reserved)
        return 0;
    uint64_t gpa = opening->next;
    take(opening->image, gpa);
    opening->next += VMK_PAGE_SIZE;
    opening->tables_used += VMK_PAGE_SIZE;
    return gpa;
}

static int
make_tables(struct opening *opening, vmk_frames_lay_out_fn *lay_out, void *user_data,
            struct vmk_paging *paging)
{
    struct vmk_frames_image *image = opening->image;
    int r = vmk_paging_init(paging, opening->tables, opening->reserved, alloc_table, opening);
    for (size_t i = 0; i < opening->runs->count && r == 0; i++) {
        const struct vmk_page_run *run = &opening->runs->items[i];
        r = vmk_paging_map(paging, run->va, run->gpa, run->size, run->rights, run->large);
    }
    if (r == 0)
        r = lay_out(user_data, paging);
    image->root = paging->root;
    return r == 0 ? vmk_paging_list_tables(paging, &image->tables) : r;
}

/* From here on the image is as all others. */
static void
set_size(struct opening *opening)
{
    struct vmk_frames_image *image = opening->image;
    image->size = (opening->next + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
    image->block_count = image->size / BLOCK_SIZE;
    image->used = opening->runs->total + opening->tables_used;
}

static int
add_tables(const struct opening *opening, struct vmk_image_builder *builder, uint64_t start,
           uint64_t end, vmkit_error **ret_error)
{
    return start >= end ? 0
                        : vmk_image_builder_add_bytes(builder, start, opening->tables + start,
                                                      end - start, ret_error);
}

/* The data where it is, and the tables in a memfd. */
static int
build(struct opening *opening, vmkit_error **ret_error)
{
    struct vmk_frames_image *image = opening->image;
    const uint64_t low = opening->next < HOLE_START ? opening->next : HOLE_START;
    const uint64_t high = opening->first > HOLE_END ? opening->first : HOLE_END;
    struct vmk_image_builder *builder = NULL;
    int r = vmk_image_builder_new(image->contents, &builder, ret_error);
    if (r == 0) {
        vmk_image_builder_set_sparse(builder, NULL);
        r = vmk_image_builder_add_base(builder, 0, opening->runs->end, ret_error);
    }
    if (r == 0)
        r = add_tables(opening, builder, opening->first, low, ret_error);
    if (r == 0)
        r = add_tables(opening, builder, high, opening->next, ret_error);
    if (r == 0)
        r = vmk_image_builder_finish(builder, &image->image, ret_error);
    vmk_image_builder_free(builder);
    return r < 0 ? r : vmk_frames_image_settle(image, ret_error);
}

static int
fill(struct opening *opening, vmk_frames_lay_out_fn *lay_out, void *user_data,
     vmkit_error **ret_error)
{
    struct vmk_paging paging = {0};
    int r = make_tables(opening, lay_out, user_data, &paging);
    vmk_paging_free(&paging);
    if (r == -ENOMEM && opening->host_limit - opening->tables_used < VMK_PAGE_SIZE)
        return too_much(opening, "page tables", ret_error);
    if (r == -ENOMEM &&
        opening->limit - opening->runs->total - opening->tables_used < VMK_PAGE_SIZE)
        return too_large(opening, ret_error);
    if (r < 0)
        return vmk_frames_image_fail(r, opening->tables_used, ret_error);
    set_size(opening);
    return build(opening, ret_error);
}

static int
begin(struct opening *opening, vmkit_error **ret_error)
{
    int r = reserve(opening);
    if (r == 0)
        r = make_blocks(opening);
    if (r < 0)
        return vmk_frames_image_fail(r, opening->runs->total, ret_error);
    return take_runs(opening, ret_error);
}

int
vmk_frames_image_open(struct vmk_archive *archive, const struct vmk_frames_image *parent,
                      const struct vmk_page_runs *runs, const struct vmk_frames_limits *limits,
                      const struct vmk_archive_settings *settings, vmk_frames_lay_out_fn *lay_out,
                      void *user_data, struct vmk_frames_image **ret_image, vmkit_error **ret_error)
{
    struct opening opening = {.runs = runs, .limit = limits->guest, .host_limit = limits->host};
    if (runs->total > limits->guest || !vmk_frames_may_reach(runs->end, limits->guest))
        return too_large(&opening, ret_error);
    if (runs->end / BLOCK_SIZE >= limits->host / sizeof(struct block))
        return too_much(&opening, "scattered pages", ret_error);
    if (count_small(runs) / (BLOCK_FRAMES * VMK_PAGE_SIZE) * VMK_PAGE_SIZE > limits->host)
        return too_much(&opening, "page tables", ret_error);
    opening.image = vmk_frames_image_alloc(ret_error);
    if (opening.image == NULL)
        return -ENOMEM;
    opening.first = opening.next =
        runs->end == 0 ? BLOCK_SIZE : (runs->end + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
    int r = begin(&opening, ret_error);
    if (r == 0)
        r = open_data(&opening, archive, parent, settings, ret_error);
    if (r == 0)
        r = fill(&opening, lay_out, user_data, ret_error);
    if (opening.tables != NULL)
        munmap(opening.tables, opening.reserved);
    if (r < 0)
        vmk_frames_image_free(opening.image);
    else
        *ret_image = opening.image;
    return r;
}

int
vmk_frames_image_list(const struct vmk_frames_image *image, struct vmk_page_runs *ret_runs)
{
    const struct vmk_paging paging = {
        .memory = image->memory, .size = image->size, .root = image->root};
    return vmk_page_runs_list(&paging, ret_runs);
}

uint64_t
vmk_frames_image_get_end(const struct vmk_frames_image *image)
{
    const struct vmk_paging paging = {
        .memory = image->memory, .size = image->size, .root = image->root};
    return vmk_page_runs_find_end(&paging);
}

static int
compare_gpa(const void *a, const void *b)
{
    uint64_t one = ((const struct vmk_page_run *)a)->gpa;
    uint64_t other = ((const struct vmk_page_run *)b)->gpa;
    return (one > other) - (one < other);
}

/* What the image has of the runs. */
static int
build_contents(struct vmk_image *image, struct vmk_page_runs *runs, struct vmk_image **ret_contents,
               vmkit_error **ret_error)
{
    struct vmk_image_builder *builder = NULL;
    int r = vmk_image_builder_new(image, &builder, ret_error);
    if (runs->count > 0)
        qsort(runs->items, runs->count, sizeof *runs->items, compare_gpa);
    for (size_t i = 0; r == 0 && i < runs->count; i++)
        r = vmk_image_builder_add_base(builder, runs->items[i].gpa, runs->items[i].size, ret_error);
    if (r == 0)
        r = vmk_image_builder_finish(builder, ret_contents, ret_error);
    vmk_image_builder_free(builder);
    return r;
}

int
vmk_frames_image_get_contents(const struct vmk_frames_image *image, struct vmk_image **ret_contents,
                              vmkit_error **ret_error)
{
    struct vmk_page_runs runs;
    if (image->contents != NULL) {
        *ret_contents = vmk_image_ref(image->contents);
        return 0;
    }
    if (vmk_frames_image_list(image, &runs) < 0)
        return vmk_frames_image_fail(-ENOMEM, image->used, ret_error);
    int r = build_contents(image->image, &runs, ret_contents, ret_error);
    vmk_page_runs_clear(&runs);
    return r;
}
