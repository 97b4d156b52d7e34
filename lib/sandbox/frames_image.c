/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/frames_private.h"

#include "archive/archive.h"
#include "util/descriptor.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

int
vmk_frames_image_fail(int r, uint64_t bytes, vmkit_error **ret_error)
{
    if (r == -ENOMEM || r == -ENOSPC)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a copy of %llu bytes of guest memory",
                             (unsigned long long)bytes);
    return vmk_error_set_errno(ret_error, -r, VMKIT_ERROR_IO, "copying %llu bytes of guest memory",
                               (unsigned long long)bytes);
}

int
vmk_frames_image_make_file(uint64_t size)
{
    int fd = vmk_descriptor_keep(memfd_create("vmkit-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd < 0)
        return -errno;
    int r = vmk_descriptor_set_size(fd, size);
    if (r == 0)
        return fd;
    close(fd);
    return r;
}

int
vmk_frames_image_seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -EIO : 0;
}

static int
write_all(int fd, const uint8_t *data, uint64_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t n = pwrite(fd, data, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        data += n;
        offset += (uint64_t)n;
        size -= (uint64_t)n;
    }
    return 0;
}

static bool
is_taken(const struct block *block, uint64_t frame)
{
    return block->taken[frame / 64] >> (frame % 64) & 1;
}

static void
untake(struct block *block, uint64_t frame)
{
    block->taken[frame / 64] &= ~(UINT64_C(1) << (frame % 64));
    if (--block->count == 0)
        block->use = BLOCK_FREE;
}

/* Write the frames of a block that hold more than zeros; the others stay holes. */
static int
copy_block(struct vmk_frames_image *image, const uint8_t *memory, uint64_t index)
{
    static const uint8_t zeros[VMK_PAGE_SIZE];
    const struct block *block = &image->blocks[index];
    uint64_t first = index * BLOCK_SIZE, run = 0;
    for (uint64_t frame = 0; frame <= BLOCK_FRAMES; frame++) {
        uint64_t gpa = first + frame * VMK_PAGE_SIZE;
        bool taken = frame < BLOCK_FRAMES && is_taken(block, frame);
        if (taken && memcmp(memory + gpa, zeros, sizeof zeros) != 0) {
            run += VMK_PAGE_SIZE;
            continue;
        }
        int r = write_all(image->data_fd, memory + gpa - run, run, gpa - run);
        if (r < 0)
            return r;
        image->data_bytes += run;
        run = 0;
    }
    return 0;
}

/* The blocks up to the last in use, without what belongs to one arena alone. */
static int
copy_blocks(struct vmk_frames_image *image, const struct vmk_frames *frames,
            const struct vmk_paging *paging)
{
    uint64_t count = frames->block_count;
    image->blocks = calloc(count, sizeof *image->blocks);
    if (image->blocks == NULL)
        return -ENOMEM;
    memcpy(image->blocks, frames->blocks, count * sizeof *image->blocks);
    for (uint64_t i = 0; i < count; i++)
        image->blocks[i].huge = image->blocks[i].mapped = image->blocks[i].changed = false;
    for (size_t i = 0; i < paging->extra.count; i++) {
        uint64_t gpa = paging->extra.items[i].gpa;
        if (paging->extra.items[i].idle)
            untake(&image->blocks[gpa / BLOCK_SIZE], gpa % BLOCK_SIZE / VMK_PAGE_SIZE);
    }
    while (count > 0 && image->blocks[count - 1].count == 0)
        count--;
    image->block_count = count;
    image->size = count * BLOCK_SIZE;
    image->used = frames->used;
    return 0;
}

static int
map_image(struct vmk_frames_image *image, int protection, int flags)
{
    void *memory = mmap(NULL, image->size, protection, flags, image->data_fd, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    image->memory = memory;
    madvise(memory, image->size, MADV_DONTDUMP);
    return 0;
}

/* What the tables keep for the sake of one VM goes. */
static int
settle_tables(struct vmk_frames_image *image)
{
    int r = map_image(image, PROT_READ | PROT_WRITE, MAP_SHARED);
    if (r < 0)
        return r;
    vmk_paging_settle(image->memory, &image->tables);
    munmap(image->memory, image->size);
    image->memory = NULL;
    return 0;
}

static int
fill(struct vmk_frames_image *image, const struct vmk_frames *frames,
     const struct vmk_paging *paging)
{
    int r = copy_blocks(image, frames, paging);
    if (r == 0)
        r = vmk_paging_list_tables(paging, &image->tables);
    if (r < 0)
        return r;
    image->root = paging->root;
    image->runs = malloc(sizeof *image->runs);
    if (image->runs == NULL)
        return -ENOMEM;
    image->data_fd = vmk_frames_image_make_file(image->size);
    if (image->data_fd < 0)
        return image->data_fd;
    image->runs[image->run_count++] = (struct image_run){0, image->size, image->data_fd, 0};
    for (uint64_t i = 0; i < image->block_count && r == 0; i++)
        r = image->blocks[i].count == 0 ? 0 : copy_block(image, frames->memory, i);
    if (r == 0)
        r = settle_tables(image);
    if (r == 0)
        r = vmk_frames_image_seal(image->data_fd);
    return r < 0 ? r : map_image(image, PROT_READ, MAP_PRIVATE);
}

int
vmk_frames_image_new(const struct vmk_frames *frames, const struct vmk_paging *paging,
                     struct vmk_frames_image **ret_image, vmkit_error **ret_error)
{
    struct vmk_frames_image *image = calloc(1, sizeof *image);
    if (image == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "out of memory");
    image->data_fd = image->tables_fd = -1;
    int r = fill(image, frames, paging);
    if (r == 0) {
        *ret_image = image;
        return 0;
    }
    r = vmk_frames_image_fail(r, image->used, ret_error);
    vmk_frames_image_free(image);
    return r;
}

void
vmk_frames_image_free(struct vmk_frames_image *image)
{
    if (image == NULL)
        return;
    if (image->memory != NULL)
        munmap(image->memory, image->size);
    if (image->data_fd >= 0)
        close(image->data_fd);
    if (image->tables_fd >= 0)
        close(image->tables_fd);
    vmk_archive_unref(image->archive);
    free(image->runs);
    vmk_paging_tables_clear(&image->tables);
    free(image->blocks);
    free(image);
}

uint64_t
vmk_frames_image_get_size(const struct vmk_frames_image *image)
{
    return image->size;
}

uint64_t
vmk_frames_image_get_used(const struct vmk_frames_image *image)
{
    return image->used;
}

uint64_t
vmk_frames_image_get_data(const struct vmk_frames_image *image)
{
    return image->data_bytes;
}

static uint64_t
alloc_table(void *user_data)
{
    return vmk_frames_alloc(user_data);
}

static bool
revive_table(void *user_data)
{
    return vmk_frames_charge(user_data, VMK_PAGE_SIZE);
}

/* The bitmaps that say what was written to: 0 or -ENOMEM. */
static int
make_written(struct vmk_frames *frames, struct vmk_paging *paging)
{
    const struct vmk_frames_image *image = frames->image;
    uint64_t words = image->size / VMK_PAGE_SIZE / 64;
    frames->written = calloc(words, sizeof *frames->written);
    if (frames->written == NULL)
        return -ENOMEM;
    *paging = (struct vmk_paging){
        .memory = frames->memory,
        .size = frames->size,
        .root = image->root,
        .alloc = alloc_table,
        .revive = revive_table,
        .user_data = frames,
        .written = frames->written,
        .written_frames = words * 64,
    };
    return 0;
}

/* The image's bytes under the first frames. */
static int
map_copy(struct vmk_frames *frames)
{
    const struct vmk_frames_image *image = frames->image;
    for (size_t i = 0; i < image->run_count; i++) {
        const struct image_run *run = &image->runs[i];
        if (mmap(frames->memory + run->gpa, run->size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, run->fd,
                 (off_t)run->offset) == MAP_FAILED)
            return -ENOMEM;
    }
    madvise(frames->memory, image->size, MADV_DONTDUMP);
    return 0;
}

static int
make_blocks(struct vmk_frames *frames)
{
    const struct vmk_frames_image *image = frames->image;
    frames->blocks = malloc((image->block_count + 1) * sizeof *frames->blocks);
    if (frames->blocks == NULL)
        return -ENOMEM;
    memcpy(frames->blocks, image->blocks, image->block_count * sizeof *frames->blocks);
    frames->block_count = frames->small_hint = frames->free_hint = frames->first_block =
        image->block_count;
    frames->block_capacity = image->block_count + 1;
    frames->known_size = image->size;
    return 0;
}

/* KVM learns of the image's frames, but for the hole. */
static int
make_known(struct vmk_frames *frames)
{
    uint64_t size = frames->image->size, low = size < HOLE_START ? size : HOLE_START;
    int r = frames->grow(frames->user_data, 0, low, frames->memory);
    if (r == 0 && size > HOLE_END)
        r = frames->grow(frames->user_data, HOLE_END, size - HOLE_END, frames->memory + HOLE_END);
    return r;
}

int
vmk_frames_new_copy(const struct vmk_frames_image *image, uint64_t limit,
                    struct vmk_memory_account *account, vmk_frames_grow_fn *grow, void *user_data,
                    struct vmk_paging *paging, struct vmk_frames **ret_frames,
                    vmkit_error **ret_error)
{
    struct vmk_frames *frames;
    int r = vmk_frames_new_above(image->size, limit, account, grow, user_data, &frames, ret_error);
    if (r < 0)
        return r;
    frames->image = image;
    if (!vmk_frames_charge(frames, image->used)) {
        vmk_frames_free(frames);
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "the snapshot holds %llu bytes of guest memory, above the memory "
                             "limit of %llu bytes",
                             (unsigned long long)image->used, (unsigned long long)limit);
    }
    r = make_written(frames, paging);
    if (r == 0)
        r = make_blocks(frames);
    if (r == 0)
        r = map_copy(frames);
    int known = r == 0 ? make_known(frames) : 0;
    if (r == 0 && known == -ENOMEM)
        r = known;
    if (r < 0)
        r = vmk_frames_image_fail(r, image->used, ret_error);
    else if (known < 0)
        r = vmk_error_set(ret_error, EIO, VMKIT_ERROR_KVM_FAILED,
                          "KVM does not take the memory of the snapshot");
    if (r < 0)
        vmk_frames_free(frames);
    else
        *ret_frames = frames;
    return r;
}

void
vmk_frames_forget_copy(struct vmk_frames *frames)
{
    free(frames->written);
    free(frames->log);
    free(frames->cold);
}
