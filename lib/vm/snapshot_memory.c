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

/* A file that is being opened. */
struct opening {
    struct vmk_archive *archive;
    const struct vmk_archive_settings *settings;
    uint64_t pages;      /* that are looked at */
    uint64_t data_pages; /* of these, those that it stores, */
    size_t runs;         /* and in how many places */
    int fd;              /* of the raw ones */
    bool in_place;       /* what is decompressed lies at its address, else at its rank */
};

/* A mapping of a memfd that has room for all that the file stores. */
struct unpacked {
    int fd;
    uint64_t size;
    uint8_t *at;
};

/* Pages that cannot be had are an error here, and a signal where they are touched. In pieces, so
 * that signals of the embedder's, which end each one early, do not keep it from getting on. */
static int
reserve(int fd, uint64_t offset, uint64_t size)
{
    for (uint64_t done = 0; done < size;) {
        uint64_t piece = size - done < RESERVE_SIZE ? size - done : RESERVE_SIZE;
        if (fallocate(fd, 0, (off_t)(offset + done), (off_t)piece) == 0)
            done += piece;
        else if (errno != EINTR)
            return errno == ENOSPC ? -ENOMEM : -errno;
    }
    return 0;
}

/* The next run from *page on that the file stores itself; *page is behind it then. */
static bool
next_data(const struct opening *opening, uint64_t *page, struct vmk_archive_run *ret_run)
{
    while (*page < opening->pages) {
        vmk_archive_find(opening->archive, *page, ret_run);
        if (ret_run->count > opening->pages - *page)
            ret_run->count = opening->pages - *page;
        *page += ret_run->count;
        if (ret_run->state == VMK_ARCHIVE_DATA)
            return true;
    }
    return false;
}

/* Where in the memory that is decompressed a run lies. */
static uint64_t
find_offset(const struct opening *opening, const struct vmk_archive_run *run)
{
    return (opening->in_place ? run->page : run->rank) * PAGE;
}

/* All that is decompressed. */
static int
reserve_all(const struct opening *opening, const struct unpacked *unpacked)
{
    struct vmk_archive_run run;
    int result = 0;
    if (!opening->in_place)
        return reserve(unpacked->fd, 0, unpacked->size);
    for (uint64_t page = 0; result == 0 && next_data(opening, &page, &run);)
        result = reserve(unpacked->fd, run.page * PAGE, run.count * PAGE);
    return result;
}

static int
make_unpacked(const struct opening *opening, struct unpacked *unpacked, vmkit_error **ret_error)
{
    int result = 0;
    unpacked->fd =
        vmk_descriptor_keep(memfd_create("vmkit-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (unpacked->fd < 0)
        return vmk_error_set_errno(ret_error, errno, VMKIT_ERROR_IO,
                                   "making a memfd for a snapshot");
    result = vmk_descriptor_set_memory_size(unpacked->fd, unpacked->size);
    if (result == 0)
        result = reserve_all(opening, unpacked);
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

/* Each run of the file's own data, where it goes. */
static int
list_targets(const struct opening *opening, const struct unpacked *unpacked,
             struct vmk_archive_target **ret_list, vmkit_error **ret_error)
{
    struct vmk_archive_target *list = malloc(opening->runs * sizeof *list);
    struct vmk_archive_run run;
    size_t count = 0;
    if (list == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "%s: no memory for %zu ranges of its memory",
                             vmk_archive_get_name(opening->archive), opening->runs);
    for (uint64_t page = 0; next_data(opening, &page, &run);)
        list[count++] =
            (struct vmk_archive_target){.gpa = run.page * PAGE,
                                        .size = run.count * PAGE,
                                        .hva = unpacked->at + find_offset(opening, &run)};
    *ret_list = list;
    return 0;
}

static int
fill(const struct opening *opening, const struct unpacked *unpacked, vmkit_error **ret_error)
{
    struct vmk_archive_target *targets = NULL;
    int result = list_targets(opening, unpacked, &targets, ret_error);
    if (result == 0)
        result = vmk_archive_load(opening->archive, targets, opening->runs, VMK_ARCHIVE_ONLY_OWN,
                                  opening->settings, ret_error);
    free(targets);
    return result;
}

static int
make_unpacked_store(const struct opening *opening, struct vmk_image_store **ret_store,
                    vmkit_error **ret_error)
{
    const uint64_t pages = opening->in_place ? opening->pages : opening->data_pages;
    struct unpacked unpacked = {.size = pages * PAGE};
    int result = make_unpacked(opening, &unpacked, ret_error);
    if (result < 0)
        return result;
    result = fill(opening, &unpacked, ret_error);
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
make_lazy_store(const struct opening *opening, struct vmk_image_store **ret_store,
                vmkit_error **ret_error)
{
    const struct vmk_demand_source source = {make_part, unref_archive, opening->archive};
    struct vmk_demand *demand = NULL;
    int result = vmk_demand_new(opening->pages * PAGE, LAZY_PIECE, &source, &demand, ret_error);
    if (result < 0)
        return result;
    vmk_archive_ref(opening->archive);
    result = vmk_image_store_new_demand(demand, ret_store, ret_error);
    if (result < 0)
        vmk_demand_free(demand);
    return result;
}

/* Look through the file. */
static void
count_data(struct opening *opening)
{
    struct vmk_archive_run run;
    for (uint64_t page = 0; next_data(opening, &page, &run);) {
        opening->data_pages += run.count;
        opening->runs++;
        opening->fd = run.fd;
    }
}

static int
check_read_limit(const struct opening *opening, uint64_t limit, vmkit_error **ret_error)
{
    if (opening->data_pages <= limit / PAGE)
        return 0;
    return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                         "%s: its scattered pages have %" PRIu64
                         " bytes, which are read at once, and the limit is %" PRIu64,
                         vmk_archive_get_name(opening->archive), opening->data_pages * PAGE, limit);
}

/* Where the data of the file is; the runs of an image have references of their own. */
static int
make_store(struct opening *opening, const struct vmk_snapshot_memory_use *use,
           struct vmk_image_store **ret_store, bool *ret_unpacked, vmkit_error **ret_error)
{
    bool compressed = vmk_archive_get_info(opening->archive)->compressed;
    *ret_unpacked = compressed || opening->runs > use->raw_mappings;
    opening->in_place = use->in_place;
    if (opening->data_pages == 0)
        return 0;
    if (!*ret_unpacked)
        return make_file_store(opening->archive, opening->fd, ret_store, ret_error);
    if (compressed && opening->settings->lazy) {
        opening->in_place = true;
        return make_lazy_store(opening, ret_store, ret_error);
    }
    int result = compressed ? 0 : check_read_limit(opening, use->read_limit, ret_error);
    return result < 0 ? result : make_unpacked_store(opening, ret_store, ret_error);
}

static int
add_run(struct vmk_image_builder *builder, const struct opening *opening,
        const struct vmk_archive_run *run, struct vmk_image_store *store, bool unpacked,
        vmkit_error **ret_error)
{
    const struct vmk_image_run own = {
        .address = run->page * PAGE,
        .size = run->count * PAGE,
        .store = store,
        .offset = unpacked ? find_offset(opening, run) : run->offset,
    };
    if (run->state == VMK_ARCHIVE_DATA)
        return vmk_image_builder_add_run(builder, &own, ret_error);
    if (run->state == VMK_ARCHIVE_PARENT)
        return vmk_image_builder_add_base(builder, own.address, own.size, ret_error);
    return 0;
}

static int
build(const struct opening *opening, struct vmk_image *parent, struct vmk_image_store *store,
      bool unpacked, struct vmk_image **ret_image, vmkit_error **ret_error)
{
    struct vmk_image_builder *builder = NULL;
    struct vmk_archive_run run;
    int result = vmk_image_builder_new(parent, &builder, ret_error);
    if (result == 0 && unpacked && opening->in_place)
        vmk_image_builder_set_sparse(builder, store);
    for (uint64_t page = 0; result == 0 && page < opening->pages; page += run.count) {
        vmk_archive_find(opening->archive, page, &run);
        if (run.count > opening->pages - page)
            run.count = opening->pages - page;
        result = add_run(builder, opening, &run, store, unpacked, ret_error);
    }
    if (result == 0)
        result = vmk_image_builder_finish(builder, ret_image, ret_error);
    vmk_image_builder_free(builder);
    return result;
}

int
vmk_snapshot_memory_open(struct vmk_archive *archive, struct vmk_image *parent,
                         const struct vmk_snapshot_memory_use *use,
                         const struct vmk_archive_settings *settings, struct vmk_image **ret_image,
                         vmkit_error **ret_error)
{
    const uint64_t pages = vmk_archive_get_info(archive)->memory_size / PAGE;
    struct opening opening = {.archive = archive, .settings = settings, .pages = pages, .fd = -1};
    struct vmk_image_store *store = NULL;
    bool unpacked = false;
    if (use->size / PAGE < pages)
        opening.pages = use->size / PAGE;
    count_data(&opening);
    int result = make_store(&opening, use, &store, &unpacked, ret_error);
    if (result == 0)
        result = build(&opening, parent, store, unpacked, ret_image, ret_error);
    vmk_image_store_unref(store);
    return result;
}
