/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/image_private.h"
#include "util/descriptor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

int
vmk_image_store_new(int fd, void (*release)(void *user_data), void *user_data,
                    struct vmk_image_store **ret_store, vmkit_error **ret_error)
{
    struct vmk_image_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a handle of a snapshot's memory");
    atomic_init(&store->references, 1);
    store->fd = fd;
    store->release = release;
    store->user_data = user_data;
    *ret_store = store;
    return 0;
}

static void
free_demand(void *user_data)
{
    vmk_demand_free(user_data);
}

int
vmk_image_store_new_demand(struct vmk_demand *demand, struct vmk_image_store **ret_store,
                           vmkit_error **ret_error)
{
    int result =
        vmk_image_store_new(vmk_demand_get_fd(demand), free_demand, demand, ret_store, ret_error);
    if (result == 0)
        (*ret_store)->demand = demand;
    return result;
}

int
vmk_image_check(const struct vmk_image *image, vmkit_error **ret_error)
{
    int result = 0;
    for (size_t i = 0; image != NULL && i < image->count && result == 0; i++) {
        if (image->runs[i].store->demand != NULL)
            result = vmk_demand_check(image->runs[i].store->demand, ret_error);
    }
    return result;
}

bool
vmk_image_is_here(const struct vmk_image *image)
{
    bool here = true;
    for (size_t i = 0; image != NULL && i < image->count && here; i++)
        here = image->runs[i].store->demand == NULL ||
               vmk_demand_is_here(image->runs[i].store->demand);
    return here;
}

bool
vmk_image_is_lazy(const struct vmk_image *image)
{
    bool lazy = false;
    for (size_t i = 0; image != NULL && i < image->count && !lazy; i++)
        lazy = image->runs[i].store->demand != NULL;
    return lazy;
}

/* What somebody else keeps open is a file, or a part of one. */
bool
vmk_image_is_steady(const struct vmk_image *image)
{
    for (size_t i = 0; i < image->count; i++) {
        if (image->runs[i].store->release != NULL)
            return false;
    }
    return true;
}

struct vmk_image_store *
vmk_image_store_ref(struct vmk_image_store *store)
{
    atomic_fetch_add_explicit(&store->references, 1, memory_order_relaxed);
    return store;
}

void
vmk_image_store_unref(struct vmk_image_store *store)
{
    if (store == NULL ||
        atomic_fetch_sub_explicit(&store->references, 1, memory_order_acq_rel) != 1)
        return;
    if (store->release != NULL)
        store->release(store->user_data);
    else
        close(store->fd);
    free(store);
}

int
vmk_image_store_get_fd(const struct vmk_image_store *store)
{
    return store->fd;
}

struct vmk_image *
vmk_image_ref(struct vmk_image *image)
{
    if (image != NULL)
        atomic_fetch_add_explicit(&image->references, 1, memory_order_relaxed);
    return image;
}

void
vmk_image_unref(struct vmk_image *image)
{
    if (image == NULL ||
        atomic_fetch_sub_explicit(&image->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < image->count; i++)
        vmk_image_store_unref(image->runs[i].store);
    free(image->runs);
    free(image);
}

/* How many runs begin at or before `address`. */
static size_t
upper_bound(const struct vmk_image *image, uint64_t address)
{
    size_t low = 0;
    size_t high = image->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (image->runs[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void
vmk_image_find(const struct vmk_image *image, uint64_t address, struct vmk_image_run *ret_run)
{
    *ret_run = (struct vmk_image_run){.address = address, .size = VMK_IMAGE_LIMIT - address};
    if (image == NULL)
        return;
    size_t next = upper_bound(image, address);
    const struct vmk_image_run *run = next == 0 ? NULL : &image->runs[next - 1];
    if (run != NULL && address - run->address < run->size) {
        uint64_t inside = address - run->address;
        ret_run->size = run->size - inside;
        ret_run->store = run->store;
        ret_run->offset = run->offset + inside;
    } else if (next < image->count) {
        ret_run->size = image->runs[next].address - address;
    }
}

static bool
is_same_place(const struct vmk_image_run *one, const struct vmk_image_run *other)
{
    return one->store == other->store && (one->store == NULL || one->offset == other->offset);
}

bool
vmk_image_find_changed(const struct vmk_image *image, const struct vmk_image *other,
                       uint64_t address, uint64_t end, struct vmk_image_run *ret_run)
{
    while (address < end) {
        struct vmk_image_run here, there;
        vmk_image_find(image, address, &here);
        vmk_image_find(other, address, &there);
        uint64_t size = here.size < there.size ? here.size : there.size;
        if (size > end - address)
            size = end - address;
        if (!is_same_place(&here, &there)) {
            *ret_run = here;
            ret_run->size = size;
            return true;
        }
        address += size;
    }
    return false;
}

bool
vmk_image_lies_in(const struct vmk_image *image, int fd)
{
    const struct vmk_image_store *before = NULL;
    bool found = false;
    for (size_t i = 0; i < image->count && !found; i++) {
        const struct vmk_image_store *store = image->runs[i].store;
        found = store != before && vmk_descriptor_is_same_file(store->fd, fd);
        before = store;
    }
    return found;
}

uint64_t
vmk_image_get_data_size(const struct vmk_image *image)
{
    uint64_t size = 0;
    for (size_t i = 0; i < image->count; i++)
        size += image->runs[i].size;
    return size;
}

/* -EFAULT when the file ends before. */
static int
read_store(const struct vmk_image_store *store, uint64_t offset, uint8_t *buffer, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(store->fd, buffer + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -vmk_error_filter(errno) : -EFAULT;
        done += (size_t)n;
    }
    return 0;
}

int
vmk_image_read(const struct vmk_image *image, uint64_t address, void *buffer, size_t size)
{
    uint8_t *to = buffer;
    for (size_t done = 0; done < size;) {
        struct vmk_image_run run;
        vmk_image_find(image, address + done, &run);
        size_t now = run.size < size - done ? (size_t)run.size : size - done;
        int result = 0;
        if (run.store == NULL)
            memset(to + done, 0, now);
        else if (run.store->demand != NULL)
            result = vmk_demand_make(run.store->demand, run.offset, now, NULL);
        if (result == 0 && run.store != NULL)
            result = read_store(run.store, run.offset, to + done, now);
        if (result < 0)
            return result;
        done += now;
    }
    return 0;
}
