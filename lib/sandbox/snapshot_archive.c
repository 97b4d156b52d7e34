/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/snapshot_archive.h"

#include "arch/usermode.h"
#include "sandbox/config.h"
#include "sandbox/page_runs.h"
#include "sandbox/snapshot.h"
#include "sandbox/state.h"
#include "util/error.h"
#include "vm/snapshot_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION 1

#define SECTION_HEAD "sandbox"
#define SECTION_VCPU "sandbox-vcpu"
#define SECTION_PAGES "sandbox-pages"
#define SECTION_PROCESS "sandbox-process"
#define SECTION_CLOCKS "sandbox-clocks"

/* Of each, more than a sandbox can have. */
#define HEAD_MAX UINT64_C(64)
#define CLOCKS_MAX UINT64_C(64)
#define VCPU_MAX (UINT64_C(1) << 20)
#define PROCESS_MAX VMK_ARCHIVE_MAX_SECTION

const struct vmk_archive_known vmk_process_sections[VMK_PROCESS_SECTIONS] = {
    {SECTION_HEAD, VERSION},    {SECTION_VCPU, VERSION},        {SECTION_PAGES, VERSION},
    {SECTION_PROCESS, VERSION}, {VMK_PROGRAM_SECTION, VERSION}, {SECTION_CLOCKS, VERSION},
};

static int
no_memory(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for the parts of a snapshot");
}

static void
encode_head(const struct vmk_process_snapshot *snapshot, struct vmk_bytes *bytes)
{
    vmk_bytes_put_u32(bytes, snapshot->state == VMK_SANDBOX_READY);
    vmk_bytes_put_u32(bytes, snapshot->pause);
    vmk_bytes_put_u32(bytes, snapshot->has_timers);
}

static int
decode_head(const void *data, uint64_t size, struct vmk_process_snapshot *snapshot,
            vmkit_error **ret_error)
{
    struct vmk_byte_cursor in = {.data = data, .left = (size_t)size};
    uint32_t ready = vmk_cursor_get_u32(&in);
    uint32_t pause = vmk_cursor_get_u32(&in);
    uint32_t timers = vmk_cursor_get_u32(&in);
    if (in.failed || in.left != 0 || ready > 1 || timers > 1 || pause > VMK_PAUSE_IN_SYSCALL ||
        (ready == 0 && pause != VMK_PAUSE_NONE))
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                             "the snapshot's section \"%s\" is damaged", SECTION_HEAD);
    snapshot->state = ready == 1 ? VMK_SANDBOX_READY : VMK_SANDBOX_NEW;
    snapshot->pause = (enum vmk_pause)pause;
    snapshot->has_timers = timers == 1;
    return 0;
}

static void
encode_clocks(const struct vmk_process_snapshot *snapshot, struct vmk_bytes *bytes)
{
    for (int i = 0; i < VMK_CLOCK_KEPT && snapshot->has_clocks; i++)
        vmk_bytes_put_u64(bytes, snapshot->clocks[i]);
}

static int
decode_clocks(const void *data, uint64_t size, struct vmk_process_snapshot *snapshot,
              vmkit_error **ret_error)
{
    struct vmk_byte_cursor in = {.data = data, .left = (size_t)size};
    bool is_good = true;
    for (int i = 0; i < VMK_CLOCK_KEPT; i++) {
        snapshot->clocks[i] = vmk_cursor_get_u64(&in);
        /* More would wrap around before the guest ends, and go back. */
        is_good = is_good && snapshot->clocks[i] <= INT64_MAX;
    }
    snapshot->has_clocks = true;
    if (in.failed || in.left != 0 || !is_good)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                             "the snapshot's section \"%s\" is damaged", SECTION_CLOCKS);
    return 0;
}

/* Append the whole file, as far as it is there. */
static void
put_file(int fd, struct vmk_bytes *bytes)
{
    struct stat status;
    if (fstat(fd, &status) < 0 || status.st_size <= 0 ||
        (uint64_t)status.st_size > VMK_PROGRAM_SECTION_MAX)
        return;
    size_t size = (size_t)status.st_size, done = 0;
    uint8_t *at = vmk_bytes_append(bytes, size);
    while (at != NULL && done < size) {
        ssize_t n = pread(fd, at + done, size - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    bytes->size -= at == NULL ? 0 : size - done;
}

/* The program, as far as it can be had: without it the sandbox goes on just the same. */
static int
put_program(const struct vmk_program_config *program, struct vmk_bytes *bytes,
            vmkit_error **ret_error)
{
    struct vmk_blob *blob = NULL;
    if (program->source != NULL) {
        int r = vmk_program_source_read(program->source, &blob, ret_error);
        if (r < 0)
            return r;
    } else if (program->image != NULL) {
        blob = vmk_blob_ref(program->image);
    } else if (program->fd != NULL) {
        put_file(program->fd->fd, bytes);
    }
    if (blob != NULL)
        vmk_bytes_put(bytes, blob->data, blob->size);
    vmk_blob_unref(blob);
    return 0;
}

uint64_t
vmk_process_get_memory_size(const struct vmkit_snapshot *base)
{
    return vmk_frames_image_get_end(((const struct vmk_process_snapshot *)base)->image);
}

bool
vmk_process_lies_in(const struct vmkit_snapshot *base, int fd)
{
    return vmk_frames_image_lies_in(((const struct vmk_process_snapshot *)base)->image, fd);
}

/* A section of the file, which lies in `bytes` or somewhere else. */
struct part {
    const char *name;
    uint32_t flags;
    const uint8_t *data;
    size_t size;
};

/* Write into `bytes` what goes into the sections that are not there as they are. */
static int
make_parts(const struct vmk_process_snapshot *snapshot, const struct vmk_page_runs *runs,
           struct vmk_bytes *bytes, struct part parts[VMK_PROCESS_SECTIONS],
           vmkit_error **ret_error)
{
    size_t ends[VMK_PROCESS_SECTIONS - 1] = {0};
    encode_head(snapshot, bytes);
    ends[0] = bytes->size;
    int r = vmk_usermode_state_encode(snapshot->usermode, bytes, ret_error);
    ends[1] = bytes->size;
    vmk_page_runs_encode(runs, bytes);
    ends[2] = bytes->size;
    if (r == 0)
        r = put_program(&snapshot->config->program, bytes, ret_error);
    ends[3] = bytes->size;
    encode_clocks(snapshot, bytes);
    ends[4] = bytes->size;
    if (r == 0 && bytes->failed)
        r = no_memory(ret_error);
    if (r < 0)
        return r;
    const uint8_t *data = bytes->data;
    parts[0] = (struct part){SECTION_HEAD, VMK_ARCHIVE_REQUIRED, data, ends[0]};
    parts[1] = (struct part){SECTION_VCPU, VMK_ARCHIVE_REQUIRED, data + ends[0], ends[1] - ends[0]};
    parts[2] =
        (struct part){SECTION_PAGES, VMK_ARCHIVE_REQUIRED, data + ends[1], ends[2] - ends[1]};
    parts[3] = (struct part){SECTION_PROCESS, VMK_ARCHIVE_REQUIRED, snapshot->process.data,
                             snapshot->process.size};
    parts[4] = (struct part){VMK_PROGRAM_SECTION, 0, data + ends[2], ends[3] - ends[2]};
    parts[5] = (struct part){SECTION_CLOCKS, 0, data + ends[3], ends[4] - ends[3]};
    return 0;
}

static int
save_parts(const struct vmk_process_snapshot *snapshot, const struct vmk_page_runs *runs,
           struct vmk_archive_writer *writer, struct vmk_bytes *bytes, vmkit_error **ret_error)
{
    struct part parts[VMK_PROCESS_SECTIONS];
    int r = make_parts(snapshot, runs, bytes, parts, ret_error);
    for (size_t i = 0; i < VMK_PROCESS_SECTIONS && r == 0; i++) {
        if (parts[i].size != 0)
            r = vmk_archive_writer_add_section(writer, parts[i].name, VERSION, parts[i].flags,
                                               parts[i].data, parts[i].size, ret_error);
    }
    return r;
}

/* What differs from the parent, which is compared by contents where the two do not lie in the same
 * place; *ret_image has the parent's places for all that does not differ. */
static int
compare_memory(struct vmk_image *contents, struct vmk_image *parent, uint64_t size,
               struct vmk_image **ret_image, vmkit_error **ret_error)
{
    struct vmk_image_builder *builder = NULL;
    if (parent == NULL) {
        *ret_image = vmk_image_ref(contents);
        return 0;
    }
    int r = vmk_image_builder_new(parent, &builder, ret_error);
    if (r == 0)
        r = vmk_image_builder_add_image(builder, contents, size, ret_error);
    if (r == 0)
        r = vmk_image_builder_finish(builder, ret_image, ret_error);
    vmk_image_builder_free(builder);
    return r;
}

/* The program's own pages; page tables and the like are made anew. */
static int
save_memory(const struct vmk_process_snapshot *snapshot, const struct vmkit_snapshot *parent,
            uint64_t size, struct vmk_archive_writer *writer, vmkit_error **ret_error)
{
    struct vmk_image *contents = NULL, *base = NULL, *compared = NULL;
    int r = vmk_frames_image_get_contents(snapshot->image, &contents, ret_error);
    if (r == 0 && parent != NULL)
        r = vmk_frames_image_get_contents(((const struct vmk_process_snapshot *)parent)->image,
                                          &base, ret_error);
    if (r == 0)
        r = compare_memory(contents, base, size, &compared, ret_error);
    if (r == 0)
        r = vmk_snapshot_memory_save(compared, base, size, writer, ret_error);
    vmk_image_unref(compared);
    vmk_image_unref(base);
    vmk_image_unref(contents);
    return r;
}

int
vmk_process_save(const struct vmkit_snapshot *base, const struct vmkit_snapshot *parent,
                 struct vmk_archive_writer *writer, struct vmk_bytes *bytes,
                 vmkit_error **ret_error)
{
    const struct vmk_process_snapshot *snapshot = (const struct vmk_process_snapshot *)base;
    struct vmk_page_runs runs;
    if (vmk_frames_image_list(snapshot->image, &runs) < 0)
        return no_memory(ret_error);
    int r = save_parts(snapshot, &runs, writer, bytes, ret_error);
    if (r == 0)
        r = save_memory(snapshot, parent, runs.end, writer, ret_error);
    vmk_page_runs_clear(&runs);
    return r;
}

/* A section as bytes, which the caller clears. */
static int
read_section(const struct vmk_archive *archive, const char *name, uint64_t limit,
             struct vmk_bytes *ret_bytes, vmkit_error **ret_error)
{
    void *data = NULL;
    uint64_t size = 0;
    if (vmk_archive_find_section(archive, name) == NULL)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                             "%s: the snapshot of a sandbox lacks the section \"%s\"",
                             vmk_archive_get_name(archive), name);
    int r = vmk_archive_read_section(archive, name, limit, &data, &size, ret_error);
    if (r == 0)
        *ret_bytes = (struct vmk_bytes){.data = data, .size = (size_t)size};
    return r;
}

static int
open_head(const struct vmk_archive *archive, struct vmk_process_snapshot *snapshot,
          vmkit_error **ret_error)
{
    struct vmk_bytes bytes = {0};
    int r = read_section(archive, SECTION_HEAD, HEAD_MAX, &bytes, ret_error);
    if (r == 0)
        r = decode_head(bytes.data, bytes.size, snapshot, ret_error);
    vmk_bytes_clear(&bytes);
    return r;
}

static int
open_clocks(const struct vmk_archive *archive, struct vmk_process_snapshot *snapshot,
            vmkit_error **ret_error)
{
    struct vmk_bytes bytes = {0};
    if (vmk_archive_find_section(archive, SECTION_CLOCKS) == NULL)
        return 0;
    int r = read_section(archive, SECTION_CLOCKS, CLOCKS_MAX, &bytes, ret_error);
    if (r == 0)
        r = decode_clocks(bytes.data, bytes.size, snapshot, ret_error);
    vmk_bytes_clear(&bytes);
    return r;
}

static int
open_process(const struct vmk_archive *archive, struct vmk_process_snapshot *snapshot,
             vmkit_error **ret_error)
{
    int r = read_section(archive, SECTION_PROCESS, PROCESS_MAX, &snapshot->process, ret_error);
    if (r == 0)
        r = vmk_state_get_limits(snapshot->process.data, snapshot->process.size, &snapshot->limits,
                                 ret_error);
    return r;
}

static int
open_vcpu(const struct vmk_archive *archive, struct vmk_process_snapshot *snapshot,
          vmkit_error **ret_error)
{
    struct vmk_bytes bytes = {0};
    int r = read_section(archive, SECTION_VCPU, VCPU_MAX, &bytes, ret_error);
    if (r == 0)
        r = vmk_usermode_state_decode(bytes.data, bytes.size, &snapshot->usermode, ret_error);
    if (r == 0)
        snapshot->instruction_pointer = vmk_usermode_state_get_pc(snapshot->usermode);
    vmk_bytes_clear(&bytes);
    return r;
}

static int
lay_out(void *user_data, struct vmk_paging *paging)
{
    return vmk_usermode_state_lay_out(user_data, paging);
}

static int
open_memory(struct vmk_archive *archive, const struct vmk_process_snapshot *parent,
            uint64_t memory_limit, const struct vmk_archive_settings *settings,
            struct vmk_process_snapshot *snapshot, vmkit_error **ret_error)
{
    struct vmk_bytes bytes = {0};
    struct vmk_page_runs runs = {0};
    uint64_t limit = snapshot->limits.memory_bytes;
    const struct vmk_frames_limits limits = {.guest = limit, .host = memory_limit};
    int r = read_section(archive, SECTION_PAGES, vmk_page_runs_get_room(limit), &bytes, ret_error);
    if (r == 0)
        r = vmk_page_runs_decode(bytes.data, bytes.size, vmk_archive_get_info(archive)->memory_size,
                                 limit, &runs, ret_error);
    if (r == 0)
        r = vmk_frames_image_open(archive, parent == NULL ? NULL : parent->image, &runs, &limits,
                                  settings, lay_out, snapshot->usermode, &snapshot->image,
                                  ret_error);
    vmk_bytes_clear(&bytes);
    vmk_page_runs_clear(&runs);
    return r;
}

static int
open_program(struct vmk_archive *archive, struct vmk_process_snapshot *snapshot,
             vmkit_error **ret_error)
{
    const struct vmk_archive_section *section =
        vmk_archive_find_section(archive, VMK_PROGRAM_SECTION);
    int r = vmk_config_new(&snapshot->config, ret_error);
    if (r < 0 || section == NULL)
        return r;
    if (section->size > VMK_PROGRAM_SECTION_MAX)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "%s: the snapshot's program of %llu bytes is above the limit of %llu",
                             vmk_archive_get_name(archive), (unsigned long long)section->size,
                             (unsigned long long)VMK_PROGRAM_SECTION_MAX);
    snapshot->config->program.source = vmk_program_source_new(archive, section->size);
    return snapshot->config->program.source == NULL ? no_memory(ret_error) : 0;
}

static int
open_parts(struct vmk_archive *archive, const struct vmk_process_snapshot *parent,
           uint64_t memory_limit, const struct vmk_archive_settings *settings,
           struct vmk_process_snapshot *snapshot, vmkit_error **ret_error)
{
    int r = open_head(archive, snapshot, ret_error);
    if (r == 0)
        r = open_clocks(archive, snapshot, ret_error);
    if (r == 0)
        r = open_process(archive, snapshot, ret_error);
    if (r == 0)
        r = open_vcpu(archive, snapshot, ret_error);
    if (r == 0)
        r = open_memory(archive, parent, memory_limit, settings, snapshot, ret_error);
    return r < 0 ? r : open_program(archive, snapshot, ret_error);
}

int
vmk_process_open(struct vmk_archive *archive, struct vmkit_snapshot *parent, uint64_t memory_limit,
                 const struct vmk_archive_settings *settings, struct vmkit_snapshot **ret_snapshot,
                 vmkit_error **ret_error)
{
    struct vmk_process_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL)
        return no_memory(ret_error);
    vmk_snapshot_init(&snapshot->base, &vmk_snapshot_of_sandbox);
    int r = open_parts(archive, (const struct vmk_process_snapshot *)parent, memory_limit, settings,
                       snapshot, ret_error);
    if (r < 0)
        vmk_snapshot_unref(&snapshot->base);
    else
        *ret_snapshot = &snapshot->base;
    return r;
}
