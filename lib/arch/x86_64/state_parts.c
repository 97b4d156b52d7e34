/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The form of a saved state (doc/processor-state.md): a version and an
 * architecture, then parts to the end, each with a tag, flags and its length. A part comes once, in
 * any order. A reader skips one that it does not know when a flag says that it may, and refuses it
 * otherwise.
 */
#include "vcpu_state_private.h"

#include <errno.h>
#include <inttypes.h>

#define FORM_VERSION 1
#define FORM_X86_64 1
#define PART_OPTIONAL 1

static void
encode_part(const struct vmk_x86_part *part, const void *state, struct vmk_bytes *bytes)
{
    size_t start = bytes->size;
    vmk_bytes_put_u32(bytes, part->tag);
    vmk_bytes_put_u32(bytes, 0);
    size_t at = vmk_bytes_begin(bytes);
    size_t inside = bytes->size;
    part->encode(state, bytes);
    if (bytes->size == inside && !part->required)
        bytes->size = start;
    else
        vmk_bytes_end(bytes, at);
}

int
vmk_x86_parts_encode(const struct vmk_x86_part *parts, uint32_t count, const char *what,
                     const void *state, struct vmk_bytes *bytes, vmkit_error **ret_error)
{
    vmk_bytes_put_u32(bytes, FORM_VERSION);
    vmk_bytes_put_u32(bytes, FORM_X86_64);
    for (uint32_t i = 0; i < count; i++)
        encode_part(&parts[i], state, bytes);
    if (!bytes->failed)
        return 0;
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for the saved state of a %s", what);
}

static int
decode_head(struct vmk_byte_cursor *cursor, const char *what, vmkit_error **ret_error)
{
    uint32_t version = vmk_cursor_get_u32(cursor);
    uint32_t architecture = vmk_cursor_get_u32(cursor);
    if (cursor->failed || version == 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                             "the saved state of a %s has no head", what);
    if (version > FORM_VERSION)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                             "the saved state of a %s has the form %u of a later release, this one "
                             "knows %u",
                             what, version, FORM_VERSION);
    if (architecture != FORM_X86_64)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                             "the saved state of a %s is of the architecture %u, this host is "
                             "x86-64",
                             what, architecture);
    return 0;
}

static int
fail_part(const char *what, const struct vmk_x86_part *part, const char *problem,
          vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                         "the saved state of a %s %s its %s", what, problem, part->name);
}

static const struct vmk_x86_part *
find_part(const struct vmk_x86_part *parts, uint32_t count, uint32_t tag)
{
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i].tag == tag)
            return &parts[i];
    }
    return NULL;
}

static int
decode_part(const struct vmk_x86_part *part, const char *what, void *state,
            struct vmk_byte_cursor *cursor, vmkit_error **ret_error)
{
    if (part->decode(state, cursor) && !cursor->failed && cursor->left == 0)
        return 0;
    return fail_part(what, part, "is malformed in", ret_error);
}

int
vmk_x86_parts_decode(const struct vmk_x86_part *parts, uint32_t count, const char *what,
                     void *state, const void *bytes, size_t size, vmkit_error **ret_error)
{
    struct vmk_byte_cursor cursor = {.data = bytes, .left = size};
    uint64_t seen = 0;
    int result = decode_head(&cursor, what, ret_error);
    while (result == 0 && cursor.left > 0) {
        uint32_t tag = vmk_cursor_get_u32(&cursor);
        uint32_t flags = vmk_cursor_get_u32(&cursor);
        uint64_t length = vmk_cursor_get_u64(&cursor);
        struct vmk_byte_cursor inside = {.data = vmk_cursor_get(&cursor, length),
                                         .left = (size_t)length};
        if (cursor.failed)
            return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                                 "the saved state of a %s ends inside of a part", what);
        const struct vmk_x86_part *part = find_part(parts, count, tag);
        if (part == NULL && (flags & PART_OPTIONAL) == 0)
            return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                                 "the saved state of a %s has a part %u that this release does not "
                                 "know",
                                 what, tag);
        if (part == NULL)
            continue;
        if ((seen >> (part - parts) & 1) != 0)
            return fail_part(what, part, "repeats", ret_error);
        seen |= UINT64_C(1) << (part - parts);
        result = decode_part(part, what, state, &inside, ret_error);
    }
    for (uint32_t i = 0; result == 0 && i < count; i++) {
        if (parts[i].required && (seen >> i & 1) == 0)
            return fail_part(what, &parts[i], "lacks", ret_error);
    }
    return result;
}
