/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of an arena of frames, and of its image; for frames*.c alone. */
#ifndef VMK_SANDBOX_FRAMES_PRIVATE_H
#define VMK_SANDBOX_FRAMES_PRIVATE_H

#include "arch/paging.h"
#include "mem/image.h"
#include "mem/rollback.h"
#include "sandbox/frames.h"
#include "sandbox/frames_image.h"

#include <pthread.h>

#define BLOCK_SIZE VMK_LARGE_PAGE_SIZE
#define BLOCK_FRAMES (BLOCK_SIZE / VMK_PAGE_SIZE)
#define FIRST_SLOT_SIZE (2 * (uint64_t)BLOCK_SIZE)

/* What a PC keeps below 4 GiB for its interrupt controllers, and KVM for itself: no memory there.
 */
#define HOLE_START UINT64_C(0xfe000000)
#define HOLE_END UINT64_C(0x100000000)

enum block_use {
    BLOCK_FREE,  /* No frame of it is handed out. */
    BLOCK_SMALL, /* Some of its frames are. */
    BLOCK_HOLE,  /* There is none. */
    BLOCK_LARGE, /* It is handed out as one page, or was and is being given back in parts. */
};

struct block {
    uint64_t taken[BLOCK_FRAMES / 64];
    uint16_t count;
    uint8_t use;
    bool huge;    /* The host was asked for a huge page. */
    bool mapped;  /* Some of its frames show a file's bytes. */
    bool changed; /* Some of its frames were given back. */
};

struct vmk_frames {
    uint8_t *memory;
    uint64_t size;
    struct vmk_memory_account *account;
    vmk_frames_grow_fn *grow;
    void *user_data;

    struct block *blocks; /* Those up to the highest that was ever used. */
    uint64_t block_count;
    uint64_t block_capacity;
    uint64_t small_hint; /* No block below has a frame to give. */
    uint64_t free_hint;  /* No block below is free as a whole. */
    uint64_t known_size; /* What KVM knows of. */
    uint64_t used;       /* What the account was charged. */
    bool host_is_short;  /* Why the last frame was refused. */

    /* Of a copy: the original, whose frames are the blocks below `first_block`. None of them is
     * handed out a second time, so that one which was given back is as it was. */
    const struct vmk_frames_image *image;
    uint64_t first_block;
    uint64_t *written;            /* A bit for each of these frames: the host wrote to it. */
    struct vmk_rollback rollback; /* Its log: likewise the guest; read when the copy is restored. */
};

/* Each is one of every copy, and a process has only so many (vm.max_map_count). */
#define MAPPINGS_MAX 34
/* Of these, those of raw memory in a file. */
#define FILE_MAPPINGS_MAX 32

/* What a copy begins with: frames as they were at one time. */
struct vmk_frames_image {
    struct vmk_image *image;    /* what they hold, page tables too */
    struct vmk_image *contents; /* what the file holds that it was opened from, or NULL */
    struct vmkit_memory *mapping;
    uint8_t *memory; /* The same, to read. */
    uint64_t size;   /* Of guest memory: whole blocks. */
    bool lazy;       /* Some of it is made where it is touched. */
    unsigned age;    /* How many originals it may share memory with, one behind the other. */

    /* What a copy maps. An image that lies in more places is put together in one place, when the
     * first copy needs it. */
    struct vmk_image_run mappings[MAPPINGS_MAX];
    size_t mapping_count;
    pthread_mutex_t lock;
    struct vmk_image *flat;

    struct block *blocks;
    uint64_t block_count;
    uint64_t used; /* Bytes of frames that are handed out. */
    uint64_t root; /* gpa of the top page table. */
    struct vmk_paging_tables tables;
};

/* An arena whose own frames begin at `start`, a whole number of blocks. */
int
vmk_frames_new_above(uint64_t start, uint64_t limit, struct vmk_memory_account *account,
                     vmk_frames_grow_fn *grow, void *user_data, struct vmk_frames **ret_frames,
                     vmkit_error **ret_error);

/* Take `size` bytes from the limit, and give them back. */
bool
vmk_frames_charge(struct vmk_frames *frames, uint64_t size);

void
vmk_frames_uncharge(struct vmk_frames *frames, uint64_t size);

/* Make the host's memory under frames zeros again, without pages; or, where it is a copy, what was
 * copied. */
void
vmk_frames_discard(struct vmk_frames *frames, uint64_t gpa, uint64_t size);

/* The host refused something that an image needs; `bytes` of guest memory. Returns the error. */
int
vmk_frames_image_fail(int r, uint64_t bytes, vmkit_error **ret_error);

/* One that holds nothing yet, or NULL with an error. */
struct vmk_frames_image *
vmk_frames_image_alloc(vmkit_error **ret_error);

/* image->image is there: find out how it is read and mapped. */
int
vmk_frames_image_settle(struct vmk_frames_image *image, vmkit_error **ret_error);

/* What a copy maps, as long as the image lives. */
int
vmk_frames_image_get_mappings(const struct vmk_frames_image *image,
                              const struct vmk_image_run **ret_runs, size_t *ret_count,
                              vmkit_error **ret_error);

/* How far up guest memory may reach, in limits of its size: KVM, and we, keep books on all of it.
 */
#define VMK_FRAMES_REACH 8

/* Whether it may reach up to `end`. */
bool
vmk_frames_may_reach(uint64_t end, uint64_t limit);

/* Free what a copy has besides, before its memory goes. */
void
vmk_frames_forget_copy(struct vmk_frames *frames);

#endif
