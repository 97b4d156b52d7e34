/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/snapshot_memory.h"

#include "mem/demand.h"
#include "util/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE VMK_ARCHIVE_PAGE_SIZE
/* How much of a lazy image is decompressed at a time. */
#define LAZY_PIECE (UINT64_C(256) << 10)
#define RESERVE_SIZE (UINT64_C(4) << 20)
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static void
unref_archive(void *user_data)
{
    vmk_archive_unref(user_data);
}

/* Raw pages, where they are. */
static int
make_file_store(struct vmk_archive *archive, int fd, struct vmk_image_store **ret_store,
                vmkit_error **ret_error)
{
    int result = vmk_image_store_new(fd, unref_archive, archive, ret_store, ret_error);
    if (result == 0)
        vmk_archive_ref(archive);
    return result;
}

/* A mapping of a memfd that has room for all that the file stores, page after page. */
struct unpacked {
    int fd;
    uint64_t size;
    uint8_t *at;
};

/* Pages that cannot be had are an error here, and a signal where they are touched. In pieces, so
 * that signals of the embedder's, which end each one early, do not keep it from getting on. */
static int
reserve(int fd, uint64_t size)
{
    for (uint64_t done = 0; done < size;) {
        uint64_t piece = size - done < RESERVE_SIZE ? size - done : RESERVE_SIZE;
        if (fallocate(fd, 0, (off_t)done, (off_t)piece) == 0)
            done += piece;
        else if (errno != EINTR)
            return errno == ENOSPC ? -ENOMEM : -errno;
    }
    return 0;
}

static int
make_unpacked(struct unpacked *unpacked, vmkit_error **ret_error)
{
    int result = 0;
    unpacked->fd =
        vmk_descriptor_keep(memfd_create("vmkit-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (unpacked->fd < 0)
        return vmk_error_set_errno(ret_error, errno, VMKIT_ERROR_IO,
                                   "making a memfd for a snapshot");
    result = vmk_descriptor_set_size(unpacked->fd, unpacked->size);
    if (result == 0)
        result = reserve(unpacked->fd, unpacked->size);
    void *at = result < 0 ? MAP_FAILED
                          : mmap(NULL, unpacked->size, PROT_READ | PROT_WRITE, MAP_SHARED,
                                 unpacked->fd, 0);
    if (at != MAP_FAILED) {
        unpacked->at = at;
        return 0;
    }
    result = vmk_error_set_errno(ret_error, result < 0 ? -result : errno, VMKIT_ERROR_OUT_OF_MEMORY,
                                 "a memfd of %" PRIu64 " bytes for a snapshot", unpacked->size);
    close(unpacked->fd);
    unpacked->fd = -1;
    return result;
}

/* Each run of the file's own data behind the one before it. */
static int
list_targets(const struct vmk_archive *archive, uint8_t *at, struct vmk_archive_target **ret_list,
             size_t *ret_count, vmkit_error **ret_error)
{
    uint64_t pages = vmk_archive_get_info(archive)->memory_size / PAGE;
    struct vmk_archive_target *list = NULL;
    size_t count = 0, capacity = 0;
    struct vmk_archive_run run;
    for (uint64_t page = 0; page < pages; page += run.count) {
        vmk_archive_find(archive, page, &run);
        if (run.state != VMK_ARCHIVE_DATA)
            continue;
        if (count == capacity) {
            capacity = capacity * 2 + 16;
            struct vmk_archive_target *grown = realloc(list, capacity * sizeof *list);
            if (grown == NULL) {
                free(list);
                return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                                     "%s: no memory for %zu ranges of its memory",
                                     vmk_archive_get_name(archive), capacity);
            }
            list = grown;
        }
        list[count++] = (struct vmk_archive_target){
            .gpa = page * PAGE, .size = run.count * PAGE, .hva = at + run.rank * PAGE};
    }
    *ret_list = list;
    *ret_count = count;
    return 0;
}

static int
fill(const struct vmk_archive *archive, const struct unpacked *unpacked,
     const struct vmk_archive_settings *settings, vmkit_error **ret_error)
{
    struct vmk_archive_target *targets = NULL;
    size_t count = 0;
    int result = list_targets(archive, unpacked->at, &targets, &count, ret_error);
    if (result == 0)
        result =
            vmk_archive_load(archive, targets, count, VMK_ARCHIVE_ONLY_OWN, settings, ret_error);
    free(targets);
    return result;
}

/* Compressed pages, each at its rank. */
static int
make_unpacked_store(const struct vmk_archive *archive, const struct vmk_archive_settings *settings,
                    struct vmk_image_store **ret_store, vmkit_error **ret_error)
{
    struct unpacked unpacked = {.size = vmk_archive_get_info(archive)->data_pages * PAGE};
    int result = make_unpacked(&unpacked, ret_error);
    if (result < 0)
        return result;
    result = fill(archive, &unpacked, settings, ret_error);
    munmap(unpacked.at, unpacked.size);
    if (result == 0 && fcntl(unpacked.fd, F_ADD_SEALS, SEALS) != 0)
        result =
            vmk_error_set_known(ret_error, errno, 0, VMKIT_ERROR_IO, "sealing a snapshot's memory");
    if (result == 0)
        result = vmk_image_store_new(unpacked.fd, NULL, NULL, ret_store, ret_error);
    if (result < 0)
        close(unpacked.fd);
    return result;
}

/* What this file has of a part; the parents have stores of their own. */
static int
make_part(void *user_data, uint64_t offset, uint8_t *to, size_t size, vmkit_error **ret_error)
{
    static const struct vmk_archive_settings here = {.threads = 1};
    const struct vmk_archive_target target = {.gpa = offset, .size = size, .hva = to};
    memset(to, 0, size);
    return vmk_archive_load(user_data, &target, 1, VMK_ARCHIVE_ONLY_OWN, &here, ret_error);
}

/* Compressed pages, each at its address, when somebody touches it. */
static int
make_lazy_store(struct vmk_archive *archive, struct vmk_image_store **ret_store,
                vmkit_error **ret_error)
{
    const struct vmk_demand_source source = {make_part, unref_archive, archive};
    struct vmk_demand *demand = NULL;
    int result = vmk_demand_new(vmk_archive_get_info(archive)->memory_size, LAZY_PIECE, &source,
                                &demand, ret_error);
    if (result < 0)
        return result;
    vmk_archive_ref(archive);
    result = vmk_image_store_new_demand(demand, ret_store, ret_error);
    if (result < 0)
        vmk_demand_free(demand);
    return result;
}

/* Where the data of the file is; the runs of an image have references of their own. */
static int
make_store(struct vmk_archive *archive, const struct vmk_archive_settings *settings,
           struct vmk_image_store **ret_store, vmkit_error **ret_error)
{
    const struct vmk_archive_info *info = vmk_archive_get_info(archive);
    struct vmk_archive_run run = {.state = VMK_ARCHIVE_ZERO};
    for (uint64_t page = 0; info->data_pages > 0 && run.state != VMK_ARCHIVE_DATA;
         page += run.count)
        vmk_archive_find(archive, page, &run);
    if (info->data_pages == 0)
        return 0;
    if (!info->compressed)
        return make_file_store(archive, run.fd, ret_store, ret_error);
    return settings->lazy ? make_lazy_store(archive, ret_store, ret_error)
                          : make_unpacked_store(archive, settings, ret_store, ret_error);
}

static int
add_run(struct vmk_image_builder *builder, const struct vmk_archive_run *run,
        struct vmk_image_store *store, bool lazy, vmkit_error **ret_error)
{
    uint64_t unpacked = lazy ? run->page * PAGE : run->rank * PAGE;
    const struct vmk_image_run own = {
        .address = run->page * PAGE,
        .size = run->count * PAGE,
        .store = store,
        .offset = run->compressed ? unpacked : run->offset,
    };
    if (run->state == VMK_ARCHIVE_DATA)
        return vmk_image_builder_add_run(builder, &own, ret_error);
    if (run->state == VMK_ARCHIVE_PARENT)
        return vmk_image_builder_add_base(builder, own.address, own.size, ret_error);
    return 0;
}

static int
build(const struct vmk_archive *archive, struct vmk_image *parent, struct vmk_image_store *store,
      bool lazy, struct vmk_image **ret_image, vmkit_error **ret_error)
{
    uint64_t pages = vmk_archive_get_info(archive)->memory_size / PAGE;
    struct vmk_image_builder *builder = NULL;
    struct vmk_archive_run run;
    int result = vmk_image_builder_new(parent, &builder, ret_error);
    for (uint64_t page = 0; result == 0 && page < pages; page += run.count) {
        vmk_archive_find(archive, page, &run);
        result = add_run(builder, &run, store, lazy, ret_error);
    }
    if (result == 0)
        result = vmk_image_builder_finish(builder, ret_image, ret_error);
    vmk_image_builder_free(builder);
    return result;
}

int
vmk_snapshot_memory_open(struct vmk_archive *archive, struct vmk_image *parent,
                         const struct vmk_archive_settings *settings, struct vmk_image **ret_image,
                         vmkit_error **ret_error)
{
    struct vmk_image_store *store = NULL;
    int result = make_store(archive, settings, &store, ret_error);
    if (result == 0)
        result = build(archive, parent, store, settings->lazy, ret_image, ret_error);
    vmk_image_store_unref(store);
    return result;
}
