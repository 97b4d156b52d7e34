/* SPDX-License-Identifier: Apache-2.0 */
/* The notes of an ELF file (System V ABI, chapter 5, "Note Section"): numbered words of an owner,
 * each with a name and a description of its own length. */
#include "boot/elf.h"

#include "util/checked.h"
#include "util/error.h"

#include <elf.h>
#include <errno.h>
#include <glib.h>
#include <string.h>

#define MAX_NOTES_SIZE (UINT64_C(1) << 20)

#define BAD(file, ret_error, format, ...)                                                 \
    vmk_error_set(ret_error, ENOEXEC, VMKIT_ERROR_BAD_IMAGE, "%s: " format, (file)->name, \
                  ##__VA_ARGS__)

struct search {
    const struct vmk_boot_file *file;
    const char *owner;
    uint32_t type;
    const uint8_t *found; /* what it says, */
    size_t found_size;    /* and how much of it there is */
};

/* `size` bytes of notes. 1 when it is among them, 0 when not, or -ENOEXEC. */
static int
search_notes(struct search *search, const uint8_t *notes, uint64_t size, uint64_t unit,
             vmkit_error **ret_error)
{
    size_t owner_size = strlen(search->owner) + 1;
    Elf64_Nhdr note;
    for (uint64_t at = 0; size - at >= sizeof note;) {
        memcpy(&note, notes + at, sizeof note);
        /* None of these wraps: each is a 32-bit number, or ends within 1 MiB. */
        uint64_t name = at + sizeof note;
        uint64_t text = (name + note.n_namesz + unit - 1) & ~(unit - 1);
        uint64_t end = text + note.n_descsz;
        if (end > size)
            return BAD(search->file, ret_error,
                       "a note of %llu bytes at %llu is beyond the %llu bytes of notes",
                       (unsigned long long)(end - at), (unsigned long long)at,
                       (unsigned long long)size);
        if (note.n_type == search->type && note.n_namesz == owner_size &&
            memcmp(notes + name, search->owner, owner_size) == 0) {
            search->found = notes + text;
            search->found_size = note.n_descsz;
            return 1;
        }
        at = (end + unit - 1) & ~(unit - 1);
        if (at > size)
            break;
    }
    return 0;
}

static int
read_notes(const struct vmk_boot_file *file, const struct vmk_elf_notes *notes, uint8_t **ret_bytes,
           vmkit_error **ret_error)
{
    if (!vmk_range_inside(notes->offset, notes->size, 0, file->size))
        return BAD(file, ret_error, "%llu bytes of notes at offset %llu are beyond the file",
                   (unsigned long long)notes->size, (unsigned long long)notes->offset);
    if (notes->size > MAX_NOTES_SIZE)
        return BAD(file, ret_error, "%llu bytes of notes, more than %llu",
                   (unsigned long long)notes->size, (unsigned long long)MAX_NOTES_SIZE);
    g_autofree uint8_t *bytes = g_try_malloc((size_t)notes->size + 1);
    if (bytes == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for %llu bytes of notes", (unsigned long long)notes->size);
    int r = vmk_boot_file_read(file, bytes, (size_t)notes->size, notes->offset);
    if (r == -ENODATA)
        return BAD(file, ret_error, "the file ends inside of its notes");
    if (r < 0)
        return vmk_error_set_known(ret_error, -r, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                                   "%s: reading the notes", file->name);
    *ret_bytes = g_steal_pointer(&bytes);
    return 0;
}

int
vmk_elf_find_note(const struct vmk_boot_file *file, const struct vmk_elf *elf, const char *owner,
                  uint32_t type, void *buffer, size_t capacity, size_t *ret_size,
                  vmkit_error **ret_error)
{
    if (elf->notes_count > VMK_ELF_MAX_NOTES)
        return BAD(file, ret_error, "%u segments of notes, more than %u", elf->notes_count,
                   VMK_ELF_MAX_NOTES);
    for (unsigned i = 0; i < elf->notes_count; i++) {
        struct search search = {.file = file, .owner = owner, .type = type};
        g_autofree uint8_t *bytes = NULL;
        int r = read_notes(file, &elf->notes[i], &bytes, ret_error);
        if (r < 0)
            return r;
        /* Padding is to four bytes, but where a linker aligned the segment to eight. */
        r = search_notes(&search, bytes, elf->notes[i].size, elf->notes[i].alignment == 8 ? 8 : 4,
                         ret_error);
        if (r < 0)
            return r;
        if (r > 0) {
            memcpy(buffer, search.found,
                   search.found_size < capacity ? search.found_size : capacity);
            *ret_size = search.found_size;
            return 1;
        }
    }
    return 0;
}
