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
#include "util/descriptor.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* More places than these are read into one: each is a mapping of every copy, and a process has only
 * so many (vm.max_map_count). */
#define RUNS_MAX 32

/* Frames for tables come in pieces of this size. */
#define GROW_SIZE (16 * (uint64_t)VMK_PAGE_SIZE)

/* How far apart guest memory may lie, in limits: KVM keeps books on all of it. */
#define SPREAD_MAX 8

struct opening {
    struct vmk_frames_image *image;
    const struct vmk_page_runs *runs;
    uint64_t limit;       /* Of guest memory, */
    uint64_t host_limit;  /* and of what is made or read for it at once. */
    uint64_t data_size;   /* Guest memory up to the end of what the archive has. */
    uint64_t reserved;    /* Address space behind image->memory. */
    uint64_t tables_size; /* Of tables_fd, as far as it is mapped, */
    uint64_t tables_used; /* and handed out, */
    uint64_t next;        /* at this gpa. */
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
    if (!vmk_add_u64(opening->data_size, opening->limit, &size) ||
        !vmk_add_u64(size, HOLE_END - HOLE_START + 2 * (uint64_t)BLOCK_SIZE, &size))
        return -ENOMEM;
    void *memory = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    madvise(memory, size, MADV_DONTDUMP);
    opening->image->memory = memory;
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

static int
add_run(struct vmk_frames_image *image, const struct image_run *run)
{
    struct image_run *last = image->run_count == 0 ? NULL : &image->runs[image->run_count - 1];
    if (last != NULL && last->fd == run->fd && last->gpa + last->size == run->gpa &&
        last->offset + last->size == run->offset) {
        last->size += run->size;
        return 0;
    }
    struct image_run *runs = realloc(image->runs, (image->run_count + 1) * sizeof *runs);
    if (runs == NULL)
        return -ENOMEM;
    runs[image->run_count++] = *run;
    image->runs = runs;
    return 0;
}

/* The archive's data as runs of its files; *ret_mappable is false when they cannot all be mapped.
 */
static int
list_data(struct opening *opening, bool *ret_mappable)
{
    struct vmk_frames_image *image = opening->image;
    uint64_t pages = opening->data_size / VMK_PAGE_SIZE;
    struct vmk_archive_run found;
    *ret_mappable = true;
    for (uint64_t page = 0; page < pages; page += found.count) {
        vmk_archive_find(image->archive, page, &found);
        if (found.state != VMK_ARCHIVE_DATA)
            continue;
        uint64_t count = found.count < pages - page ? found.count : pages - page;
        image->data_bytes += count * VMK_PAGE_SIZE;
        *ret_mappable = *ret_mappable && !found.compressed && image->run_count < RUNS_MAX;
        if (!*ret_mappable)
            continue;
        const struct image_run run = {page * VMK_PAGE_SIZE, count * VMK_PAGE_SIZE, found.fd,
                                      found.offset};
        if (add_run(image, &run) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int
map_run(struct vmk_frames_image *image, const struct image_run *run)
{
    void *at = mmap(image->memory + run->gpa, run->size, PROT_READ, MAP_PRIVATE | MAP_FIXED,
                    run->fd, (off_t)run->offset);
    if (at == MAP_FAILED)
        return errno == ENOMEM ? -ENOMEM : -EIO;
    madvise(at, run->size, MADV_DONTDUMP);
    return 0;
}

/* The pages that are in use, as far as they follow each other. */
static int
list_targets(const struct opening *opening, struct vmk_archive_target **ret_targets,
             size_t *ret_count)
{
    const struct vmk_frames_image *image = opening->image;
    struct vmk_archive_target *targets = malloc(opening->runs->count * sizeof *targets);
    size_t count = 0;
    if (targets == NULL)
        return -ENOMEM;
    for (uint64_t gpa = VMK_PAGE_SIZE; gpa < opening->data_size; gpa += VMK_PAGE_SIZE) {
        const struct block *block = &image->blocks[gpa / BLOCK_SIZE];
        uint64_t frame = gpa % BLOCK_SIZE / VMK_PAGE_SIZE;
        if ((block->taken[frame / 64] >> (frame % 64) & 1) == 0)
            continue;
        if (count > 0 && targets[count - 1].gpa + targets[count - 1].size == gpa)
            targets[count - 1].size += VMK_PAGE_SIZE;
        else
            targets[count++] = (struct vmk_archive_target){gpa, VMK_PAGE_SIZE, image->memory + gpa};
    }
    *ret_targets = targets;
    *ret_count = count;
    return 0;
}

/* What is in use, read and checked, into a memfd. */
static int
read_data(struct opening *opening, const struct vmk_archive_settings *settings,
          vmkit_error **ret_error)
{
    struct vmk_frames_image *image = opening->image;
    struct vmk_archive_target *targets = NULL;
    size_t count = 0;
    if (image->data_bytes > opening->host_limit)
        return too_much(opening, "scattered pages", ret_error);
    image->data_fd = vmk_frames_image_make_file(opening->data_size);
    int r = image->data_fd < 0 ? image->data_fd : list_targets(opening, &targets, &count);
    if (r == 0 && mmap(image->memory, opening->data_size, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_FIXED, image->data_fd, 0) == MAP_FAILED)
        r = -ENOMEM;
    if (r < 0) {
        free(targets);
        return vmk_frames_image_fail(r, opening->data_size, ret_error);
    }
    r = vmk_archive_load(image->archive, targets, count, VMK_ARCHIVE_SKIP_ZEROS, settings,
                         ret_error);
    free(targets);
    if (r < 0)
        return r;
    const struct image_run all = {0, opening->data_size, image->data_fd, 0};
    image->run_count = 0;
    r = add_run(image, &all);
    if (r == 0)
        r = map_run(image, &all);
    if (r == 0)
        r = vmk_frames_image_seal(image->data_fd);
    return r < 0 ? vmk_frames_image_fail(r, opening->data_size, ret_error) : 0;
}

static int
open_data(struct opening *opening, const struct vmk_archive_settings *settings,
          vmkit_error **ret_error)
{
    struct vmk_frames_image *image = opening->image;
    bool mappable = true;
    int r = list_data(opening, &mappable);
    if (r == 0 && !mappable)
        return read_data(opening, settings, ret_error);
    for (size_t i = 0; i < image->run_count && r == 0; i++)
        r = map_run(image, &image->runs[i]);
    return r < 0 ? vmk_frames_image_fail(r, opening->data_size, ret_error) : 0;
}

static bool
allocate(int fd, uint64_t offset, uint64_t size)
{
    int r;
    do
        r = fallocate(fd, 0, (off_t)offset, (off_t)size);
    while (r < 0 && errno == EINTR);
    return r == 0;
}

/* Further frames for tables. What the host has no pages for is an error here, and would be a signal
 * where they are touched. */
static bool
grow(struct opening *opening)
{
    struct vmk_frames_image *image = opening->image;
    if (opening->next == HOLE_START)
        opening->next = HOLE_END;
    uint64_t size = opening->tables_size + GROW_SIZE;
    const struct image_run run = {opening->next, GROW_SIZE, image->tables_fd, opening->tables_size};
    if (!vmk_range_inside(run.gpa, run.size, 0, opening->reserved) ||
        vmk_descriptor_set_size(image->tables_fd, size) < 0 ||
        !allocate(run.fd, run.offset, run.size) ||
        mmap(image->memory + run.gpa, run.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
             run.fd, (off_t)run.offset) == MAP_FAILED)
        return false;
    opening->tables_size = size;
    return add_run(image, &run) == 0;
}

static uint64_t
alloc_table(void *user_data)
{
    struct opening *opening = user_data;
    if (opening->limit - opening->runs->total - opening->tables_used < VMK_PAGE_SIZE ||
        opening->host_limit - opening->tables_used < VMK_PAGE_SIZE)
        return 0;
    if (opening->tables_used == opening->tables_size && !grow(opening))
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
    image->tables_fd = vmk_frames_image_make_file(0);
    if (image->tables_fd < 0)
        return image->tables_fd;
    int r = vmk_paging_init(paging, image->memory, image->size, alloc_table, opening);
    for (size_t i = 0; i < opening->runs->count && r == 0; i++) {
        const struct vmk_page_run *run = &opening->runs->items[i];
        r = vmk_paging_map(paging, run->va, run->gpa, run->size, run->rights, run->large);
    }
    if (r == 0)
        r = lay_out(user_data, paging);
    image->root = paging->root;
    return r == 0 ? vmk_paging_list_tables(paging, &image->tables) : r;
}

/* From here on the tables are as all others of an image: nobody changes them. */
static int
keep_tables(struct opening *opening)
{
    struct vmk_frames_image *image = opening->image;
    int r = 0;
    for (size_t i = 0; i < image->run_count && r == 0; i++) {
        if (image->runs[i].fd == image->tables_fd)
            r = map_run(image, &image->runs[i]);
    }
    if (r == 0)
        r = vmk_frames_image_seal(image->tables_fd);
    uint64_t size = (opening->next + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
    munmap(image->memory + size, opening->reserved - size);
    image->size = size;
    image->block_count = size / BLOCK_SIZE;
    image->used = opening->runs->total + opening->tables_used;
    return r;
}

static int
fill(struct opening *opening, const struct vmk_archive_settings *settings,
     vmk_frames_lay_out_fn *lay_out, void *user_data, vmkit_error **ret_error)
{
    struct vmk_paging paging = {0};
    int r = reserve(opening);
    if (r == 0)
        r = make_blocks(opening);
    if (r < 0)
        return vmk_frames_image_fail(r, opening->runs->total, ret_error);
    r = take_runs(opening, ret_error);
    if (r == 0 && opening->data_size > 0)
        r = open_data(opening, settings, ret_error);
    if (r < 0)
        return r;
    r = make_tables(opening, lay_out, user_data, &paging);
    vmk_paging_free(&paging);
    if (r == -ENOMEM && opening->host_limit - opening->tables_used < VMK_PAGE_SIZE)
        return too_much(opening, "page tables", ret_error);
    if (r == -ENOMEM &&
        opening->limit - opening->runs->total - opening->tables_used < VMK_PAGE_SIZE)
        return too_large(opening, ret_error);
    if (r == 0)
        r = keep_tables(opening);
    return r < 0 ? vmk_frames_image_fail(r, opening->tables_used, ret_error) : 0;
}

int
vmk_frames_image_open(struct vmk_archive *archive, const struct vmk_page_runs *runs,
                      const struct vmk_frames_limits *limits,
                      const struct vmk_archive_settings *settings, vmk_frames_lay_out_fn *lay_out,
                      void *user_data, struct vmk_frames_image **ret_image, vmkit_error **ret_error)
{
    struct opening opening = {
        .runs = runs, .limit = limits->guest, .host_limit = limits->host, .data_size = runs->end};
    uint64_t most;
    if (runs->total > limits->guest || !vmk_mul_u64(limits->guest, SPREAD_MAX, &most) ||
        !vmk_add_u64(most, HOLE_END - HOLE_START, &most) || runs->end > most)
        return too_large(&opening, ret_error);
    if (count_small(runs) / (BLOCK_FRAMES * VMK_PAGE_SIZE) * VMK_PAGE_SIZE > limits->host)
        return too_much(&opening, "page tables", ret_error);
    struct vmk_frames_image *image = calloc(1, sizeof *image);
    if (image == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "out of memory");
    image->data_fd = image->tables_fd = -1;
    image->archive = vmk_archive_ref(archive);
    opening.image = image;
    opening.next =
        runs->end == 0 ? BLOCK_SIZE : (runs->end + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
    int r = fill(&opening, settings, lay_out, user_data, ret_error);
    if (r < 0)
        vmk_frames_image_free(image);
    else
        *ret_image = image;
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

const uint8_t *
vmk_frames_image_get_memory(const struct vmk_frames_image *image)
{
    return image->memory;
}
