/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/store.h"

#include "archive/archive.h"
#include "archive/hash.h"
#include "util/error.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_PAGES 64
#define PAGE ((size_t)VMK_ARCHIVE_PAGE_SIZE)

struct vmk_archive_store {
    struct vmk_archive_output *output;
    struct iovec pieces[BATCH_PAGES];
    int piece_count;
    size_t page_count; /* in the pieces */
    uint64_t *sums;    /* little-endian */
    size_t sum_count;
    size_t sum_capacity;
};

static const uint8_t zeros[VMK_ARCHIVE_PAGE_SIZE];

int
vmk_store_new(struct vmk_archive_output *output, const struct vmk_archive_settings *settings,
              struct vmk_archive_store **ret_store, vmkit_error **ret_error)
{
    struct vmk_archive_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory to write a snapshot");
    store->output = output;
    *ret_store = store;
    return 0;
}

void
vmk_store_free(struct vmk_archive_store *store)
{
    if (store == NULL)
        return;
    free(store->sums);
    free(store);
}

static int
reserve_sums(struct vmk_archive_store *store, size_t count, vmkit_error **ret_error)
{
    if (store->sum_capacity - store->sum_count >= count)
        return 0;
    size_t capacity = store->sum_capacity == 0 ? 1024 : store->sum_capacity * 2;
    uint64_t *sums = realloc(store->sums, capacity * sizeof *sums);
    if (sums == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the checksums of %zu pages", capacity);
    store->sums = sums;
    store->sum_capacity = capacity;
    return 0;
}

static int
write_batch(struct vmk_archive_store *store, vmkit_error **ret_error)
{
    int result = reserve_sums(store, store->page_count, ret_error);
    if (result < 0)
        return result;
    for (int i = 0; i < store->piece_count; i++) {
        const uint8_t *at = store->pieces[i].iov_base;
        for (size_t offset = 0; offset < store->pieces[i].iov_len; offset += PAGE)
            store->sums[store->sum_count++] = htole64(vmk_archive_hash(at + offset, PAGE, 0));
    }
    int count = store->piece_count;
    store->piece_count = 0;
    store->page_count = 0;
    return vmk_output_writev(store->output, store->pieces, count, ret_error);
}

int
vmk_store_add(struct vmk_archive_store *store, const void *pages, uint64_t count,
              vmkit_error **ret_error)
{
    const uint8_t *at = pages;
    while (count > 0) {
        uint64_t room = BATCH_PAGES - store->page_count;
        size_t part = (size_t)(count < room ? count : room);
        if (at == NULL)
            part = 1;
        /* writev() only reads it. */
        store->pieces[store->piece_count++] = (struct iovec){
            .iov_base = (void *)(uintptr_t)(at == NULL ? zeros : at), .iov_len = part * PAGE};
        store->page_count += part;
        count -= part;
        at = at == NULL ? NULL : at + part * PAGE;
        int result = store->page_count == BATCH_PAGES ? write_batch(store, ret_error) : 0;
        if (result < 0)
            return result;
    }
    return 0;
}

int
vmk_store_flush(struct vmk_archive_store *store, vmkit_error **ret_error)
{
    return write_batch(store, ret_error);
}

int
vmk_store_finish(struct vmk_archive_store *store, vmkit_error **ret_error)
{
    return write_batch(store, ret_error);
}

const void *
vmk_store_get_sums(const struct vmk_archive_store *store, uint64_t *ret_size)
{
    *ret_size = store->sum_count * sizeof *store->sums;
    return store->sums;
}

const void *
vmk_store_get_chunks(const struct vmk_archive_store *store, uint64_t *ret_size)
{
    *ret_size = 0;
    return NULL;
}
