/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an image is put together. What is added by copy goes into a memfd, each range one behind the
 * other and as long as it is, so that pages of zeros are holes in it. Holes between two pages that
 * are near to each other belong to one run with them: what maps the image makes a mapping a run.
 */
#include "mem/image_private.h"
#include "util/checked.h"
#include "util/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#define CHUNK (UINT64_C(256) << 10)
#define GAP_LIMIT (UINT64_C(64) << 10) /* of zeros inside of a run */

struct vmk_image_builder {
    struct vmk_image *base;
    struct vmk_image *image;
    struct vmk_image_store *store; /* NULL as long as nothing was copied */
    uint64_t used;                 /* of the store */
    uint64_t end;                  /* of what was added */
    bool in_place;
    uint8_t *bytes;      /* of the memory, one chunk */
    uint8_t *base_bytes; /* what the base has there */
};

static int
fail_memory(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for a snapshot of memory");
}

int
vmk_image_builder_new(struct vmk_image *base, struct vmk_image_builder **ret_builder,
                      vmkit_error **ret_error)
{
    struct vmk_image_builder *builder = calloc(1, sizeof *builder);
    if (builder == NULL)
        return fail_memory(ret_error);
    builder->base = vmk_image_ref(base);
    builder->image = calloc(1, sizeof *builder->image);
    /* Its first reference is the builder's, which may go at once. */
    if (builder->image != NULL)
        atomic_init(&builder->image->references, 1);
    builder->bytes = malloc(CHUNK);
    builder->base_bytes = malloc(CHUNK);
    if (builder->image == NULL || builder->bytes == NULL || builder->base_bytes == NULL) {
        vmk_image_builder_free(builder);
        return fail_memory(ret_error);
    }
    *ret_builder = builder;
    return 0;
}

void
vmk_image_builder_free(struct vmk_image_builder *builder)
{
    if (builder == NULL)
        return;
    vmk_image_unref(builder->base);
    vmk_image_unref(builder->image);
    vmk_image_store_unref(builder->store);
    free(builder->bytes);
    free(builder->base_bytes);
    free(builder);
}

/* A range of whole pages above what was added. */
static int
check_range(struct vmk_image_builder *builder, uint64_t address, uint64_t size,
            vmkit_error **ret_error)
{
    uint64_t end;
    if (address % VMK_IMAGE_PAGE == 0 && size % VMK_IMAGE_PAGE == 0 && address >= builder->end &&
        vmk_add_u64(address, size, &end) && end <= VMK_IMAGE_LIMIT) {
        builder->end = end;
        return 0;
    }
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "a snapshot's memory range [0x%" PRIx64 ", +0x%" PRIx64
                         ") is not of whole pages above 0x%" PRIx64,
                         address, size, builder->end);
}

/* Whether the run goes on where the last one ends, or after a few holes of the same store. */
static bool
extends(const struct vmk_image_builder *builder, const struct vmk_image_run *last,
        const struct vmk_image_run *run)
{
    uint64_t apart = run->address - (last->address + last->size);
    return last->store == run->store && run->offset >= last->offset &&
           run->offset - last->offset == run->address - last->address &&
           (apart == 0 ||
            (run->store == builder->store && !builder->in_place && apart < GAP_LIMIT));
}

static int
push(struct vmk_image_builder *builder, const struct vmk_image_run *run, vmkit_error **ret_error)
{
    struct vmk_image *image = builder->image;
    struct vmk_image_run *last = image->count == 0 ? NULL : &image->runs[image->count - 1];
    if (run->store == NULL || run->size == 0)
        return 0;
    if (last != NULL && extends(builder, last, run)) {
        last->size = run->address + run->size - last->address;
        return 0;
    }
    if (image->count == image->capacity) {
        size_t capacity = image->capacity == 0 ? 16 : image->capacity * 2;
        struct vmk_image_run *runs = realloc(image->runs, capacity * sizeof *runs);
        if (runs == NULL)
            return fail_memory(ret_error);
        image->runs = runs;
        image->capacity = capacity;
    }
    image->runs[image->count] = *run;
    vmk_image_store_ref(run->store);
    image->count++;
    return 0;
}

int
vmk_image_builder_add_run(struct vmk_image_builder *builder, const struct vmk_image_run *run,
                          vmkit_error **ret_error)
{
    int result = check_range(builder, run->address, run->size, ret_error);
    return result < 0 ? result : push(builder, run, ret_error);
}

static int
push_base(struct vmk_image_builder *builder, uint64_t address, uint64_t size,
          vmkit_error **ret_error)
{
    for (uint64_t done = 0; done < size;) {
        struct vmk_image_run run;
        vmk_image_find(builder->base, address + done, &run);
        if (run.size > size - done)
            run.size = size - done;
        int result = push(builder, &run, ret_error);
        if (result < 0)
            return result;
        done += run.size;
    }
    return 0;
}

int
vmk_image_builder_add_base(struct vmk_image_builder *builder, uint64_t address, uint64_t size,
                           vmkit_error **ret_error)
{
    int result = check_range(builder, address, size, ret_error);
    return result < 0 ? result : push_base(builder, address, size, ret_error);
}

static int
make_store(struct vmk_image_builder *builder, vmkit_error **ret_error)
{
    int fd = vmk_descriptor_keep(memfd_create("vmkit-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd < 0)
        return vmk_error_set_errno(ret_error, errno, VMKIT_ERROR_IO,
                                   "making a memfd for a snapshot");
    int result = vmk_image_store_new(fd, NULL, NULL, &builder->store, ret_error);
    if (result < 0)
        close(fd);
    return result;
}

/* Room for a range in the store. */
static int
reserve(struct vmk_image_builder *builder, uint64_t address, uint64_t size, uint64_t *ret_offset,
        vmkit_error **ret_error)
{
    uint64_t end;
    int result = builder->store == NULL ? make_store(builder, ret_error) : 0;
    if (result < 0)
        return result;
    if (builder->in_place && vmk_range_inside(address, size, 0, builder->used)) {
        *ret_offset = address;
        return 0;
    }
    if (builder->in_place || !vmk_add_u64(builder->used, size, &end))
        return fail_memory(ret_error);
    result = vmk_descriptor_set_memory_size(builder->store->fd, end);
    if (result < 0)
        return vmk_error_set_errno(ret_error, -result, VMKIT_ERROR_IO,
                                   "a memfd of %" PRIu64 " bytes for a snapshot", end);
    *ret_offset = builder->used;
    builder->used = end;
    return 0;
}

static int
write_store(const struct vmk_image_builder *builder, uint64_t offset, const uint8_t *bytes,
            size_t size, vmkit_error **ret_error)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(builder->store->fd, bytes + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        /* What a memfd has no room for is memory. */
        int err = n == 0 ? EIO : n < 0 && errno == ENOSPC ? ENOMEM : errno;
        if (n <= 0)
            return vmk_error_set_errno(ret_error, err, VMKIT_ERROR_IO,
                                       "writing %zu bytes of a snapshot's memory", size);
        done += (size_t)n;
    }
    return 0;
}

static bool
is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, VMK_IMAGE_PAGE - 1) == 0;
}

enum place { PLACE_ZERO, PLACE_BASE, PLACE_STORE };

/* What becomes of one page of a chunk. */
static enum place
judge(const struct vmk_image_builder *builder, const uint8_t *bytes, size_t at)
{
    const uint8_t *page = bytes + at;
    if (builder->base != NULL && memcmp(page, builder->base_bytes + at, VMK_IMAGE_PAGE) == 0)
        return PLACE_BASE;
    return is_zero(page) ? PLACE_ZERO : PLACE_STORE;
}

/* What is at `run` if it is not the base's: bytes that go there, or NULL when they are there. */
static int
put(struct vmk_image_builder *builder, enum place place, const struct vmk_image_run *run,
    const uint8_t *bytes, vmkit_error **ret_error)
{
    if (place == PLACE_ZERO)
        return 0;
    if (place == PLACE_BASE)
        return push_base(builder, run->address, run->size, ret_error);
    int result =
        bytes == NULL ? 0 : write_store(builder, run->offset, bytes, (size_t)run->size, ret_error);
    return result < 0 ? result : push(builder, run, ret_error);
}

/* A chunk whose pages are `bytes`, for `to` unless they are there. */
static int
put_chunk(struct vmk_image_builder *builder, const uint8_t *bytes, const struct vmk_image_run *to,
          bool is_there, vmkit_error **ret_error)
{
    for (size_t at = 0; at < to->size;) {
        enum place place = judge(builder, bytes, at);
        size_t end = at + VMK_IMAGE_PAGE;
        while (end < to->size && judge(builder, bytes, end) == place)
            end += VMK_IMAGE_PAGE;
        const struct vmk_image_run part = {to->address + at, end - at, to->store, to->offset + at};
        int result = put(builder, place, &part, is_there ? NULL : bytes + at, ret_error);
        if (result < 0)
            return result;
        at = end;
    }
    return 0;
}

static int
fail_read(int result, uint64_t address, size_t size, vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, -result, VMKIT_ERROR_IO,
                         "the memory behind guest addresses [0x%" PRIx64
                         ", +0x%zx) is not accessible",
                         address, size);
}

/* What the base has where a chunk is. */
static int
read_base(struct vmk_image_builder *builder, uint64_t address, size_t size, vmkit_error **ret_error)
{
    int result = builder->base == NULL
                     ? 0
                     : vmk_image_read(builder->base, address, builder->base_bytes, size);
    return result < 0 ? fail_read(result, address, size, ret_error) : 0;
}

/* Bytes, or where there are none, the memory from `offset` on. */
static int
add(struct vmk_image_builder *builder, uint64_t address, const uint8_t *bytes,
    const struct vmkit_memory *memory, uint64_t offset, uint64_t size, vmkit_error **ret_error)
{
    uint64_t place = 0;
    int result = check_range(builder, address, size, ret_error);
    if (result == 0)
        result = reserve(builder, address, size, &place, ret_error);
    for (uint64_t done = 0; result == 0 && done < size;) {
        size_t now = (size_t)(size - done < CHUNK ? size - done : CHUNK);
        const struct vmk_image_run to = {address + done, now, builder->store, place + done};
        const uint8_t *from = bytes == NULL ? builder->bytes : bytes + done;
        if (bytes == NULL)
            result = vmk_memory_read(memory, offset + done, builder->bytes, now);
        if (result < 0)
            return fail_read(result, to.address, now, ret_error);
        result = read_base(builder, to.address, now, ret_error);
        if (result == 0)
            result = put_chunk(builder, from, &to, false, ret_error);
        done += now;
    }
    return result;
}

int
vmk_image_builder_add(struct vmk_image_builder *builder, uint64_t address,
                      const struct vmkit_memory *memory, uint64_t offset, uint64_t size,
                      vmkit_error **ret_error)
{
    return add(builder, address, NULL, memory, offset, size, ret_error);
}

int
vmk_image_builder_add_bytes(struct vmk_image_builder *builder, uint64_t address,
                            const uint8_t *bytes, uint64_t size, vmkit_error **ret_error)
{
    return add(builder, address, bytes, NULL, 0, size, ret_error);
}

int
vmk_image_builder_set_in_place(struct vmk_image_builder *builder, uint64_t size,
                               vmkit_error **ret_error)
{
    uint64_t offset;
    int result = reserve(builder, 0, size, &offset, ret_error);
    if (result < 0)
        return result;
    builder->in_place = true;
    builder->image->sparse = builder->store;
    return 0;
}

void
vmk_image_builder_set_sparse(struct vmk_image_builder *builder, const struct vmk_image_store *store)
{
    const struct vmk_image *base = builder->base;
    builder->image->sparse = store == NULL && base != NULL ? base->sparse : store;
}

/* Where what is read is the image's own, and what cannot be read was not made by the caller. */
static int
compare_chunk(struct vmk_image_builder *builder, const struct vmk_image *image,
              const struct vmk_image_run *run, vmkit_error **ret_error)
{
    int result = vmk_image_read(image, run->address, builder->bytes, (size_t)run->size);
    if (result == 0)
        result =
            vmk_image_read(builder->base, run->address, builder->base_bytes, (size_t)run->size);
    if (result < 0 && vmk_image_check(image, ret_error) == 0 &&
        vmk_image_check(builder->base, ret_error) == 0)
        fail_read(result == -ENOMEM ? result : -EIO, run->address, (size_t)run->size, ret_error);
    if (result < 0)
        return result == -ENOMEM ? result : -EIO;
    return put_chunk(builder, builder->bytes, run, true, ret_error);
}

int
vmk_image_builder_add_image(struct vmk_image_builder *builder, const struct vmk_image *image,
                            uint64_t size, vmkit_error **ret_error)
{
    struct vmk_image_run run;
    uint64_t at = 0;
    int result = check_range(builder, 0, size, ret_error);
    while (result == 0 && vmk_image_find_changed(image, builder->base, at, size, &run)) {
        result = push_base(builder, at, run.address - at, ret_error);
        run.size = run.size < CHUNK ? run.size : CHUNK;
        if (result == 0 && run.store != NULL)
            result = builder->base == NULL ? push(builder, &run, ret_error)
                                           : compare_chunk(builder, image, &run, ret_error);
        at = run.address + run.size;
    }
    return result < 0 || at == size ? result : push_base(builder, at, size - at, ret_error);
}

int
vmk_image_builder_finish(struct vmk_image_builder *builder, struct vmk_image **ret_image,
                         vmkit_error **ret_error)
{
    if (builder->store != NULL &&
        fcntl(builder->store->fd, F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
        return vmk_error_set_known(ret_error, errno, 0, VMKIT_ERROR_IO,
                                   "sealing a snapshot's memory");
    *ret_image = builder->image;
    builder->image = NULL;
    return 0;
}
