/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of an arena of frames, and of its image; for frames*.c alone. */
#ifndef VMK_SANDBOX_FRAMES_PRIVATE_H
#define VMK_SANDBOX_FRAMES_PRIVATE_H

#include "arch/paging.h"
#include "sandbox/frames.h"
#include "sandbox/frames_image.h"

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
    uint64_t *written; /* A bit for each of these frames: the host wrote to it. */
    uint64_t *log;     /* Likewise the guest; read when the copy is restored. */
    uint64_t *cold;    /* Likewise: it was found unchanged. */
    uint64_t restores;
};

/* A part of an image that lies in one file; where none does, it is zeros. */
struct image_run {
    uint64_t gpa;
    uint64_t size;
    int fd;
    uint64_t offset;
};

struct vmk_archive;

/* What a copy begins with: frames as they were at one time. */
struct vmk_frames_image {
    struct image_run *runs; /* In ascending order; each is a mapping of every copy. */
    size_t run_count;
    int data_fd;                 /* Sealed memfds of its own, or -1: what the frames hold, */
    int tables_fd;               /* and what was made for them when they were read from */
    struct vmk_archive *archive; /* this, which the runs lie in. */
    uint64_t size;               /* Of guest memory: whole blocks. */
    uint8_t *memory;             /* The same, to read. */
    struct block *blocks;
    uint64_t block_count;
    uint64_t used;       /* Bytes of frames that are handed out. */
    uint64_t data_bytes; /* Of these, those that are not zeros. */
    uint64_t root;       /* gpa of the top page table. */
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

/* A memfd of `size` bytes, or a negative errno; nobody can change it once it is sealed, for which
 * it must not be mapped to be written. */
int
vmk_frames_image_make_file(uint64_t size);

int
vmk_frames_image_seal(int fd);

/* Free what a copy has besides. */
void
vmk_frames_forget_copy(struct vmk_frames *frames);

#endif
