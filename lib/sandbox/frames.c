/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/frames_private.h"

#include "util/checked.h"
#include "util/error.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Reserve address space on a boundary of a huge page. */
static uint8_t *
reserve(uint64_t size)
{
    uint8_t *memory = mmap(NULL, size + BLOCK_SIZE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    uint64_t lead = -(uintptr_t)memory & (BLOCK_SIZE - 1);
    if (lead != 0)
        munmap(memory, lead);
    if (lead != BLOCK_SIZE)
        munmap(memory + lead + size, BLOCK_SIZE - lead);
    return memory + lead;
}

int
vmk_frames_new_above(uint64_t start, uint64_t limit, struct vmk_memory_account *account,
                     vmk_frames_grow_fn *grow, void *user_data, struct vmk_frames **ret_frames,
                     vmkit_error **ret_error)
{
    /* Twice the limit, so that blocks which are only partly in use never make a frame unavailable
     * that the limit would allow. */
    uint64_t size;
    if (!vmk_mul_u64(limit, 2, &size) || !vmk_add_u64(size, HOLE_END - HOLE_START, &size) ||
        !vmk_add_u64(size, start, &size) || !vmk_round_up_u64(size, FIRST_SLOT_SIZE, &size))
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_INVALID_ARGUMENT,
                             "memory limit of %llu bytes is too large", (unsigned long long)limit);

    struct vmk_frames *frames = calloc(1, sizeof *frames);
    if (frames == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the tables of a guest's memory");
    frames->memory = reserve(size);
    if (frames->memory == NULL) {
        int err = errno;
        free(frames);
        return vmk_error_set_known(ret_error, err, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                                   "reserving %llu bytes of address space for guest memory",
                                   (unsigned long long)size);
    }
    frames->size = size;
    frames->account = account;
    frames->grow = grow;
    frames->user_data = user_data;

    /* Small frames are touched singly: a huge page under them would only be waste. A core dump of
     * the host process is not the place for what the guest holds. */
    madvise(frames->memory, size, MADV_NOHUGEPAGE);
    madvise(frames->memory, size, MADV_DONTDUMP);
    *ret_frames = frames;
    return 0;
}

int
vmk_frames_new(uint64_t limit, struct vmk_memory_account *account, vmk_frames_grow_fn *grow,
               void *user_data, struct vmk_frames **ret_frames, vmkit_error **ret_error)
{
    return vmk_frames_new_above(0, limit, account, grow, user_data, ret_frames, ret_error);
}

void
vmk_frames_free(struct vmk_frames *frames)
{
    if (frames == NULL)
        return;
    vmk_memory_account_uncharge(frames->account, frames->used);
    vmk_frames_forget_copy(frames);
    if (frames->image == NULL || vmk_image_is_here(frames->image->image))
        munmap(frames->memory, frames->size);
    free(frames->blocks);
    free(frames);
}

uint8_t *
vmk_frames_get_memory(const struct vmk_frames *frames)
{
    return frames->memory;
}

uint64_t
vmk_frames_get_size(const struct vmk_frames *frames)
{
    return frames->size;
}

bool
vmk_frames_is_host_short(const struct vmk_frames *frames)
{
    return frames->host_is_short;
}

bool
vmk_frames_charge(struct vmk_frames *frames, uint64_t size)
{
    frames->host_is_short = false;
    if (!vmk_memory_account_try_charge(frames->account, size))
        return false;
    frames->used += size;
    return true;
}

void
vmk_frames_uncharge(struct vmk_frames *frames, uint64_t size)
{
    vmk_memory_account_uncharge(frames->account, size);
    frames->used -= size;
}

/* Make memory known to KVM up to `end`, in pieces that double and leave the hole out. */
static bool
make_known(struct vmk_frames *frames, uint64_t end)
{
    while (end > frames->known_size) {
        uint64_t start = frames->known_size, grown = start - frames->first_block * BLOCK_SIZE;
        uint64_t size = grown == 0 ? FIRST_SLOT_SIZE : grown;
        if (start == HOLE_START) {
            frames->known_size = HOLE_END;
            continue;
        }
        if (start < HOLE_START && size > HOLE_START - start)
            size = HOLE_START - start;
        if (size > frames->size - start)
            size = frames->size - start;
        if (frames->grow(frames->user_data, start, size, frames->memory + start) < 0)
            return false;
        frames->known_size += size;
    }
    return true;
}

static bool
append_block(struct vmk_frames *frames, enum block_use use)
{
    if (frames->block_count == frames->block_capacity) {
        uint64_t capacity = frames->block_capacity == 0 ? 2 : frames->block_capacity * 2;
        struct block *blocks = realloc(frames->blocks, capacity * sizeof *blocks);
        if (blocks == NULL)
            return false;
        frames->blocks = blocks;
        frames->block_capacity = capacity;
    }
    frames->blocks[frames->block_count++] = (struct block){.use = (uint8_t)use};
    return true;
}

/* Add a block at the end, making memory known to KVM as needed. */
static bool
add_block(struct vmk_frames *frames)
{
    uint64_t start = frames->block_count * BLOCK_SIZE;
    for (; start >= HOLE_START && start < HOLE_END; start += BLOCK_SIZE) {
        if (!append_block(frames, BLOCK_HOLE))
            return false;
    }
    return start + BLOCK_SIZE <= frames->size && make_known(frames, start + BLOCK_SIZE) &&
           append_block(frames, BLOCK_FREE);
}

/* The first block from `start` on of which `use` says that it will do; a new one where none does.
 */
static struct block *
find_block(struct vmk_frames *frames, uint64_t *start, bool small)
{
    for (uint64_t i = *start; i < frames->block_count; i++) {
        struct block *block = &frames->blocks[i];
        if (block->use == BLOCK_FREE ||
            (small && block->use == BLOCK_SMALL && block->count < BLOCK_FRAMES)) {
            *start = i;
            return block;
        }
    }
    if (!add_block(frames)) {
        frames->host_is_short = true;
        return NULL;
    }
    *start = frames->block_count - 1;
    return &frames->blocks[*start];
}

static void
set_huge(struct vmk_frames *frames, struct block *block, bool huge)
{
    if (block->huge == huge)
        return;
    uint64_t index = (uint64_t)(block - frames->blocks);
    madvise(frames->memory + index * BLOCK_SIZE, BLOCK_SIZE,
            huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    block->huge = huge;
}

uint64_t
vmk_frames_alloc(struct vmk_frames *frames)
{
    if (!vmk_frames_charge(frames, VMK_PAGE_SIZE))
        return 0;

    struct block *block = find_block(frames, &frames->small_hint, true);
    if (block == NULL) {
        vmk_frames_uncharge(frames, VMK_PAGE_SIZE);
        return 0;
    }
    set_huge(frames, block, false);
    block->use = BLOCK_SMALL;

    uint64_t index = (uint64_t)(block - frames->blocks);
    if (index == 0 && block->count == 0) {
        /* gpa 0 means "none" to everyone. */
        block->taken[0] = 1;
        block->count = 1;
    }
    unsigned word = 0;
    while (block->taken[word] == UINT64_MAX)
        word++;
    unsigned bit = (unsigned)__builtin_ctzll(~block->taken[word]);
    block->taken[word] |= UINT64_C(1) << bit;
    block->count++;
    return index * BLOCK_SIZE + (word * 64 + bit) * (uint64_t)VMK_PAGE_SIZE;
}

uint64_t
vmk_frames_alloc_large(struct vmk_frames *frames)
{
    /* The first block holds gpa 0. */
    if (frames->free_hint == 0)
        frames->free_hint = 1;
    if (frames->block_count == 0 || !vmk_frames_charge(frames, BLOCK_SIZE))
        return 0;

    struct block *block = find_block(frames, &frames->free_hint, false);
    if (block == NULL) {
        vmk_frames_uncharge(frames, BLOCK_SIZE);
        return 0;
    }
    set_huge(frames, block, true);
    block->use = BLOCK_LARGE;
    block->count = BLOCK_FRAMES;
    memset(block->taken, 0xff, sizeof block->taken);
    return (uint64_t)(block - frames->blocks) * BLOCK_SIZE;
}

bool
vmk_frames_has_plenty(const struct vmk_frames *frames, uint64_t size)
{
    uint64_t limit = frames->account->limit, used = frames->account->used;
    return used < limit && limit - used >= size + limit / 4;
}

/* Memory that the embedder has locked (mlockall) is taken away only by a call that says so, which
 * Linux has had since 5.18. */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

static bool
take_away(void *at, uint64_t size)
{
    return madvise(at, size, MADV_DONTNEED) == 0 || madvise(at, size, MADV_DONTNEED_LOCKED) == 0;
}

/* The same by hand: what the guest has of the pages goes, and then what is in them. */
static void
overwrite(struct vmk_frames *frames, uint64_t gpa, uint64_t size)
{
    const struct vmk_frames_image *image = frames->image;
    uint64_t copied = image == NULL || gpa >= image->size ? 0 : image->size - gpa;
    copied = copied < size ? copied : size;
    mprotect(frames->memory + gpa, size, PROT_READ);
    while (mprotect(frames->memory + gpa, size, PROT_READ | PROT_WRITE) < 0)
        sched_yield();
    if (copied != 0)
        memcpy(frames->memory + gpa, image->memory + gpa, copied);
    memset(frames->memory + gpa + copied, 0, size - copied);
}

/* Make the host's memory under frames zeros again, without pages; or, where it is a copy, what was
 * copied. */
void
vmk_frames_discard(struct vmk_frames *frames, uint64_t gpa, uint64_t size)
{
    bool mapped = false;
    for (uint64_t i = gpa / BLOCK_SIZE; i <= (gpa + size - 1) / BLOCK_SIZE; i++)
        mapped |= frames->blocks[i].mapped;
    /* What lies over a file would show the file again. */
    if (mapped &&
        mmap(frames->memory + gpa, size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED) {
        madvise(frames->memory + gpa, size, MADV_NOHUGEPAGE);
        madvise(frames->memory + gpa, size, MADV_DONTDUMP);
        return;
    }
    if (!take_away(frames->memory + gpa, size))
        overwrite(frames, gpa, size);
    else if (mapped)
        memset(frames->memory + gpa, 0, size);
}

void
vmk_frames_release(struct vmk_frames *frames, uint64_t gpa, uint64_t size)
{
    /* Never handed out: nothing but a damaged page table leads here. */
    if (!vmk_range_inside(gpa, size, 0, frames->block_count * BLOCK_SIZE))
        return;
    vmk_frames_discard(frames, gpa, size);
    vmk_frames_uncharge(frames, size);

    for (uint64_t at = gpa; at < gpa + size; at += VMK_PAGE_SIZE) {
        uint64_t index = at / BLOCK_SIZE;
        uint64_t frame = at % BLOCK_SIZE / VMK_PAGE_SIZE;
        struct block *block = &frames->blocks[index];
        block->changed = true;
        block->taken[frame / 64] &= ~(UINT64_C(1) << (frame % 64));
        block->count--;
        if (block->use == BLOCK_LARGE)
            block->use = BLOCK_SMALL;
        if (index < frames->first_block)
            continue;
        if (block->count == 0) {
            block->use = BLOCK_FREE;
            block->mapped = false;
            if (index < frames->free_hint)
                frames->free_hint = index;
        }
        if (index < frames->small_hint)
            frames->small_hint = index;
    }
}

int
vmk_frames_drop_translations(struct vmk_frames *frames, uint64_t gpa, uint64_t size)
{
    /* Where writable memory has a limit, the way back could be closed. */
    struct rlimit data;
    if (getrlimit(RLIMIT_DATA, &data) < 0 || data.rlim_cur != RLIM_INFINITY)
        return -ENOMEM;
    /* KVM follows a change of the host's protection by dropping what it derived from it. The first
     * call may fail for want of a mapping to split off, and then also has changed what lies before;
     * the second one only undoes it. */
    int r = mprotect(frames->memory + gpa, size, PROT_READ);
    if (r < 0 && errno != ENOMEM)
        return -ENOMEM;
    while (mprotect(frames->memory + gpa, size, PROT_READ | PROT_WRITE) < 0)
        sched_yield();
    return r < 0 ? -ENOMEM : 0;
}

int
vmk_frames_map_file(struct vmk_frames *frames, uint64_t gpa, uint64_t size, int fd, uint64_t offset)
{
    for (uint64_t i = gpa / BLOCK_SIZE; i <= (gpa + size - 1) / BLOCK_SIZE; i++)
        frames->blocks[i].mapped = true;
    if (mmap(frames->memory + gpa, size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, (off_t)offset) == MAP_FAILED) {
        frames->host_is_short = true;
        return -ENOMEM;
    }
    madvise(frames->memory + gpa, size, MADV_DONTDUMP);
    return 0;
}

void
vmk_frames_populate(struct vmk_frames *frames, uint64_t gpa, uint64_t size)
{
    madvise(frames->memory + gpa, size, MADV_POPULATE_WRITE);
}
