/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_fixture.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct memory_fixture memory;

static int
grow(void *user_data, uint64_t gpa, uint64_t size, void *hva)
{
    memory.grow_calls++;
    if (memory.grow_result < 0)
        return memory.grow_result;
    ck_assert_uint_eq(gpa, memory.grown);
    ck_assert_ptr_eq(hva, vmk_frames_get_memory(memory.frames) + gpa);
    memory.grown += size;
    return 0;
}

void
memory_free(void)
{
    vmk_space_clear(&memory.space);
    vmk_frames_free(memory.frames);
    memset(&memory, 0, sizeof memory);
}

void
memory_reset(uint64_t limit)
{
    if (memory.frames != NULL)
        memory_free();
    memory.process.wall_deadline_ns = UINT64_MAX;
    memory.process.cpu_deadline_ns = UINT64_MAX;
    vmk_memory_account_init(&memory.account, limit);
    ck_assert_int_eq(vmk_frames_new(limit, &memory.account, grow, NULL, &memory.frames, NULL), 0);
    ck_assert_int_eq(vmk_space_init(&memory.space, &memory.process, memory.frames, limit), 0);
}

int
memory_map(uint64_t start, uint64_t size, unsigned rights)
{
    struct vmk_vma vma = {.start = start, .end = start + size, .rights = rights};
    return vmk_space_map(&memory.space, &vma);
}

struct numbered {
    struct vmk_file file;
    uint64_t size;
    bool *destroyed;
};

static ssize_t
numbered_read(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov,
              int count, uint64_t *offset)
{
    const struct numbered *numbered = (const struct numbered *)file;
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        uint8_t *to = iov[i].iov_base;
        for (size_t k = 0; k < iov[i].iov_len && *offset < numbered->size; k++, total++)
            to[k] = (uint8_t)((*offset)++ / PAGE + 1);
    }
    return total;
}

static int64_t
numbered_seek(struct vmk_file *file, int64_t offset, int whence)
{
    return -EINVAL;
}

static void
numbered_destroy(struct vmk_file *file)
{
    *((struct numbered *)file)->destroyed = true;
}

static const struct vmk_file_ops numbered_ops = {.kind = "numbered",
                                                 .positioned = true,
                                                 .mappable = true,
                                                 .read = numbered_read,
                                                 .seek = numbered_seek,
                                                 .destroy = numbered_destroy};

struct vmk_file *
memory_file(uint64_t size, bool *destroyed)
{
    struct numbered *numbered = calloc(1, sizeof *numbered);
    ck_assert_ptr_nonnull(numbered);
    vmk_file_init(&numbered->file, &numbered_ops, O_RDONLY, NULL);
    numbered->size = size;
    numbered->destroyed = destroyed;
    *destroyed = false;
    return &numbered->file;
}
