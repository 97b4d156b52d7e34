/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a process in their saved form: what the output streams kept, what runs, the open
 * files, each in the form of its kind, and the descriptors that lead to them.
 */
#include "sandbox/files.h"

#include "sandbox/config.h"
#include "sandbox/load.h"
#include "sandbox/node.h"
#include "sandbox/path.h"
#include "sandbox/process.h"
#include "sandbox/space.h"
#include "sandbox/state_codec.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdlib.h>

/* Files that are no open files of the guest's: the program, and those that only mappings hold. */
#define UNCOUNTED_MAX 8

/* Further than what open(2) and fcntl(2) can set, nothing is ever in the flags of a file. */
#define KNOWN_FLAGS                                                                         \
    ((uint32_t)(O_ACCMODE | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC | O_ASYNC | O_DIRECT | \
                O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_PATH | VMK_FILE_LARGE))
/* What is decided when the file is made. */
#define OWN_FLAGS ((uint32_t)(O_ACCMODE | O_PATH))

static const struct vmk_state_kind *const kinds[] = {
    &vmk_state_stream, &vmk_state_program, &vmk_state_pipe,        &vmk_state_event,
    &vmk_state_epoll,  &vmk_state_path,    &vmk_state_bare_folder, &vmk_state_pseudo,
    &vmk_state_tmp,    &vmk_state_host,
};

static const struct vmk_state_kind *
find_kind(uint32_t number)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i]->number == number)
            return kinds[i];
    }
    return NULL;
}

static int
find_file(struct vmk_state_writer *writer, struct vmk_file *file)
{
    if (file == NULL || file->state_number != 0)
        return 0;
    if (writer->count == writer->capacity) {
        bool first = writer->found == writer->first;
        struct vmk_file **found =
            realloc(first ? NULL : writer->found, 2 * writer->capacity * sizeof(void *));
        if (found == NULL)
            return vmk_state_no_memory(writer->ret_error);
        if (first)
            memcpy(found, writer->first, sizeof writer->first);
        writer->found = found;
        writer->capacity *= 2;
    }
    writer->found[writer->count++] = file;
    file->state_number = writer->count;
    return 0;
}

int
vmk_state_find_files(struct vmk_state_writer *writer)
{
    const struct vmk_files *files = writer->process->files;
    const struct vmk_vmas *vmas = &writer->process->space->vmas;
    int r = 0;
    writer->found = writer->first;
    writer->capacity = VMK_STATE_FOUND_FIRST;
    for (uint32_t fd = 0; fd < files->table.size && r == 0; fd++)
        r = find_file(writer, files->table.entries[fd].file);
    writer->with_descriptor = writer->count;
    if (r == 0)
        r = find_file(writer, files->program);
    for (size_t i = 0; i < vmas->count && r == 0; i++)
        r = find_file(writer, vmas->items[i].file);
    return r;
}

void
vmk_state_forget_files(struct vmk_state_writer *writer)
{
    for (uint32_t i = 0; i < writer->count; i++)
        writer->found[i]->state_number = 0;
    if (writer->found != writer->first)
        free(writer->found);
}

struct vmk_file *
vmk_state_get_file(struct vmk_state_reader *reader, uint32_t number)
{
    if (number >= 1 && number <= reader->count)
        return reader->made[number - 1];
    vmk_state_bad(reader, "file %u is not there", number);
    return NULL;
}

void
vmk_state_release_files(struct vmk_state_reader *reader)
{
    for (uint32_t i = 0; i < reader->count; i++)
        vmk_file_unref(reader->made[i]);
    free(reader->made);
    reader->made = NULL;
    reader->count = 0;
}

/* What the guest calls the file, for a sentence. */
static const char *
describe(const struct vmk_file *file)
{
    if (file->node != NULL)
        return file->node->path;
    return file->ops->kind != NULL ? file->ops->kind : "file without a name";
}

static int
save_file(struct vmk_state_writer *writer, struct vmk_file *file)
{
    const struct vmk_state_kind *kind = file->ops->state;
    struct vmk_bytes *bytes = writer->bytes;
    if (kind == NULL)
        return vmk_error_set(writer->ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                             "the guest has \"%.200s\" open, which a snapshot cannot carry",
                             describe(file));
    vmk_bytes_put_u32(bytes, kind->number);
    vmk_bytes_put_u32(bytes, file->flags);
    vmk_bytes_put_u64(bytes, file->ops->positioned ? file->offset : 0);
    vmk_bytes_put_u32(bytes, file->number);
    vmk_bytes_put_u32(bytes, file->mount_index);
    vmk_bytes_put_u8(bytes, file->open_count != NULL);
    return kind->save(writer, file);
}

static int
save_open_files(struct vmk_state_writer *writer)
{
    vmk_bytes_put_u32(writer->bytes, writer->count);
    int r = 0;
    for (uint32_t i = 0; i < writer->count && r == 0; i++)
        r = save_file(writer, writer->found[i]);
    for (uint32_t i = 0; i < writer->count && r == 0; i++) {
        const struct vmk_state_kind *kind = writer->found[i]->ops->state;
        if (kind->save_links != NULL)
            r = kind->save_links(writer, writer->found[i]);
    }
    return r;
}

static int
load_common(struct vmk_state_reader *reader, struct vmk_state_file *common)
{
    struct vmk_byte_cursor *in = &reader->in;
    common->number = vmk_cursor_get_u32(in);
    common->flags = vmk_cursor_get_u32(in);
    common->offset = vmk_cursor_get_u64(in);
    common->inode = vmk_cursor_get_u32(in);
    common->mount_index = vmk_cursor_get_u32(in);
    int r = vmk_state_get_bool(reader, &common->counts);
    if (r < 0)
        return r;
    if ((common->flags & ~KNOWN_FLAGS) != 0 || (common->flags & O_ACCMODE) == O_ACCMODE)
        return vmk_state_bad(reader, "a file with flags 0%o", common->flags);
    if (common->offset > INT64_MAX)
        return vmk_state_bad(reader, "a file at position 0x%llx",
                             (unsigned long long)common->offset);
    return 0;
}

void
vmk_state_put_status(struct vmk_state_writer *writer, const struct statx *status)
{
    struct vmk_bytes *bytes = writer->bytes;
    vmk_bytes_put_u32(bytes, status->stx_mode & 07777);
    vmk_bytes_put_u32(bytes, status->stx_uid);
    vmk_bytes_put_u32(bytes, status->stx_gid);
    vmk_bytes_put_u64(bytes, status->stx_ino);
    vmk_bytes_put_u64(bytes, status->stx_size);
    vmk_bytes_put_u32(bytes, status->stx_dev_major);
    vmk_bytes_put_u32(bytes, status->stx_dev_minor);
    vmk_bytes_put_u64(bytes, (uint64_t)status->stx_mtime.tv_sec);
}

int
vmk_state_get_status(struct vmk_state_reader *reader, struct statx *ret_status)
{
    struct vmk_byte_cursor *in = &reader->in;
    uint32_t mode = vmk_cursor_get_u32(in);
    uint32_t uid = vmk_cursor_get_u32(in);
    uint32_t gid = vmk_cursor_get_u32(in);
    vmk_statx_init(ret_status, S_IFREG | (mode & 07777), vmk_cursor_get_u64(in), uid, gid);
    ret_status->stx_size = vmk_cursor_get_u64(in);
    ret_status->stx_dev_major = vmk_cursor_get_u32(in);
    ret_status->stx_dev_minor = vmk_cursor_get_u32(in);
    ret_status->stx_mtime.tv_sec = (int64_t)vmk_cursor_get_u64(in);
    ret_status->stx_ctime = ret_status->stx_atime = ret_status->stx_mtime;
    if (ret_status->stx_size > INT64_MAX)
        return vmk_state_bad(reader, "a file of 0x%llx bytes",
                             (unsigned long long)ret_status->stx_size);
    ret_status->stx_blocks = (ret_status->stx_size + 511) / 512;
    return 0;
}

static int
count_in(struct vmk_state_reader *reader, struct vmk_file *file)
{
    struct vmk_files *files = reader->files;
    if (files->open_count >= files->table.limit)
        return vmk_error_set(reader->ret_error, EMFILE, VMKIT_ERROR_LIMIT,
                             "the snapshot's process has more files open than the limit of %u",
                             files->table.limit);
    file->open_count = &files->open_count;
    files->open_count++;
    return 0;
}

static int
load_file(struct vmk_state_reader *reader, uint32_t *uncounted)
{
    struct vmk_state_file common;
    struct vmk_file *file = NULL;
    int r = load_common(reader, &common);
    if (r < 0)
        return r;
    const struct vmk_state_kind *kind = find_kind(common.number);
    if (kind == NULL)
        return vmk_state_bad(reader, "a file of kind %u, which there is none of", common.number);
    r = kind->load(reader, &common, &file);
    if (r < 0)
        return r;
    reader->made[reader->count++] = file;
    file->flags = (file->flags & OWN_FLAGS) | (common.flags & ~OWN_FLAGS);
    file->offset = common.offset;
    file->number = common.inode;
    file->mount_index = common.mount_index;
    if (common.counts)
        return count_in(reader, file);
    if (++*uncounted > UNCOUNTED_MAX)
        return vmk_state_bad(reader, "more than %d files without a descriptor", UNCOUNTED_MAX);
    return 0;
}

static int
load_open_files(struct vmk_state_reader *reader)
{
    uint32_t count = vmk_cursor_get_u32(&reader->in);
    uint32_t uncounted = 0;
    if (count > VMK_CONFIG_OPEN_FILES_MAX + UNCOUNTED_MAX)
        return vmk_state_bad(reader, "%u files", count);
    reader->made = calloc((size_t)count + 1, sizeof(void *));
    if (reader->made == NULL)
        return vmk_state_no_memory(reader->ret_error);
    int r = 0;
    for (uint32_t i = 0; i < count && r == 0; i++)
        r = load_file(reader, &uncounted);
    for (uint32_t i = 0; i < count && r == 0; i++) {
        const struct vmk_state_kind *kind = reader->made[i]->ops->state;
        if (kind->load_links != NULL)
            r = kind->load_links(reader, reader->made[i]);
    }
    return r;
}

static void
save_descriptors(struct vmk_state_writer *writer)
{
    const struct vmk_fdtable *table = &writer->process->files->table;
    for (uint32_t fd = 0; fd < table->size; fd++) {
        if (table->entries[fd].file == NULL)
            continue;
        vmk_bytes_put_u32(writer->bytes, fd);
        vmk_bytes_put_u32(writer->bytes, table->entries[fd].file->state_number);
        vmk_bytes_put_u8(writer->bytes, table->entries[fd].close_on_exec);
    }
    vmk_bytes_put_u32(writer->bytes, UINT32_MAX);
}

static int
load_descriptor(struct vmk_state_reader *reader, uint32_t fd)
{
    struct vmk_fdtable *table = &reader->files->table;
    bool close_on_exec = false;
    struct vmk_file *file = vmk_state_get_file(reader, vmk_cursor_get_u32(&reader->in));
    int r = file == NULL ? -EINVAL : vmk_state_get_bool(reader, &close_on_exec);
    if (r < 0)
        return r;
    if (fd >= table->limit)
        return vmk_error_set(reader->ret_error, EMFILE, VMKIT_ERROR_LIMIT,
                             "the snapshot's process has descriptor %u open, above the limit of "
                             "%u open files",
                             fd, table->limit);
    if (vmk_fdtable_put(table, file, fd, close_on_exec) < 0)
        return vmk_state_no_memory(reader->ret_error);
    vmk_file_ref(file);
    return 0;
}

static int
load_descriptors(struct vmk_state_reader *reader)
{
    for (uint32_t next = 0;;) {
        uint32_t fd = vmk_cursor_get_u32(&reader->in);
        if (reader->in.failed || fd == UINT32_MAX)
            return 0;
        if (fd < next)
            return vmk_state_bad(reader, "descriptor %u behind descriptor %u", fd, next - 1);
        int r = load_descriptor(reader, fd);
        if (r < 0)
            return r;
        next = fd + 1;
    }
}

/* Where they are compared, they are left out: all that a guest does is to append. */
static void
save_outputs(struct vmk_state_writer *writer)
{
    for (int stream = VMKIT_STREAM_STDOUT; stream <= VMKIT_STREAM_STDERR; stream++) {
        const struct vmk_output *output = &writer->process->files->outputs[stream];
        size_t size = writer->comparing ? 0 : output->size;
        vmk_bytes_put_u64(writer->bytes, size);
        vmk_bytes_put(writer->bytes, output->data, size);
    }
}

static int
load_output(struct vmk_state_reader *reader, uint32_t stream)
{
    const struct vmk_stream_config *given = &reader->files->given->streams[stream];
    struct vmk_output *output = &reader->files->outputs[stream];
    uint64_t size = vmk_cursor_get_u64(&reader->in);
    const uint8_t *data = vmk_cursor_get(&reader->in, size);
    if (data == NULL)
        return vmk_state_bad(reader, "the output of stream %u ends early", stream);
    /* Also where the guest has closed it: what it wrote before can still be asked for. */
    output->kept = given->kind == VMK_STREAM_BUFFER;
    if (!output->kept || size == 0)
        return 0;
    if (size > given->limit)
        return vmk_error_set(reader->ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "the snapshot holds %llu bytes of output of stream %u, above the "
                             "limit of its buffer of %llu bytes",
                             (unsigned long long)size, stream, (unsigned long long)given->limit);
    output->data = malloc((size_t)size);
    if (output->data == NULL)
        return vmk_state_no_memory(reader->ret_error);
    memcpy(output->data, data, (size_t)size);
    output->size = output->capacity = output->loaded = (size_t)size;
    return 0;
}

static void
save_strings(struct vmk_state_writer *writer, const struct vmk_blob *strings)
{
    vmk_bytes_put_u32(writer->bytes, (uint32_t)strings->size);
    vmk_bytes_put(writer->bytes, strings->data, strings->size);
}

static int
load_strings(struct vmk_state_reader *reader, struct vmk_blob **ret_strings)
{
    uint32_t size = vmk_cursor_get_u32(&reader->in);
    if (size > VMK_LOAD_STRINGS_MAX)
        return vmk_state_bad(reader, "%u bytes of arguments", size);
    const uint8_t *data = vmk_cursor_get(&reader->in, size);
    if (data == NULL || (size != 0 && data[size - 1] != '\0'))
        return vmk_state_bad(reader, "the last argument has no end");
    *ret_strings = vmk_blob_new(data, size);
    return *ret_strings == NULL ? vmk_state_no_memory(reader->ret_error) : 0;
}

static int
load_folder(struct vmk_state_reader *reader)
{
    struct vmk_files *files = reader->files;
    int r = vmk_state_load_node(reader, &files->cwd);
    if (r < 0 || files->cwd->type == S_IFDIR)
        return r;
    if (files->cwd->ops->state == &vmk_state_place_host)
        return vmk_error_set(reader->ret_error, ENOTDIR, VMKIT_ERROR_IO,
                             "the guest's working directory \"%.200s\" is no folder any more",
                             files->cwd->path);
    return vmk_state_bad(reader, "the working directory \"%.80s\" is none", files->cwd->path);
}

int
vmk_state_save_files(struct vmk_state_writer *writer)
{
    const struct vmk_files *files = writer->process->files;
    struct vmk_bytes *bytes = writer->bytes;
    vmk_bytes_put_u32(bytes, files->next_number);
    vmk_state_put_string(writer, files->program_path);
    save_strings(writer, files->arguments);
    save_strings(writer, files->environment);
    save_outputs(writer);
    int r = vmk_state_save_node(writer, files->cwd);
    if (r == 0)
        r = save_open_files(writer);
    if (r < 0)
        return r;
    vmk_bytes_put_u32(bytes, files->program->state_number);
    save_descriptors(writer);
    return 0;
}

static int
load_program(struct vmk_state_reader *reader)
{
    struct vmk_files *files = reader->files;
    files->program = vmk_state_get_file(reader, vmk_cursor_get_u32(&reader->in));
    if (files->program == NULL)
        return -EINVAL;
    vmk_file_ref(files->program);
    return 0;
}

int
vmk_state_load_files(struct vmk_state_reader *reader)
{
    struct vmk_files *files = reader->files;
    uint32_t next_number = vmk_cursor_get_u32(&reader->in);
    int r = vmk_state_get_string(reader, "the program's path", VMK_PATH_MAX, &files->program_path);
    if (r == 0)
        r = load_strings(reader, &files->arguments);
    if (r == 0)
        r = load_strings(reader, &files->environment);
    for (uint32_t stream = VMKIT_STREAM_STDOUT; stream <= VMKIT_STREAM_STDERR && r == 0; stream++)
        r = load_output(reader, stream);
    if (r == 0)
        r = load_folder(reader);
    if (r == 0)
        r = load_open_files(reader);
    if (r == 0)
        r = load_program(reader);
    if (r == 0)
        r = load_descriptors(reader);
    /* The files took numbers as they were made, and then got their own. */
    files->next_number = next_number;
    return r;
}
