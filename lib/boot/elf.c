/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/elf.h"

#include "util/checked.h"
#include "util/error.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_SIZE UINT64_C(4096)
#define MAX_HEADERS 128
#define MAX_ALIGNMENT (UINT64_C(1) << 30)

#define BAD(file, ret_error, format, ...)                                                 \
    vmk_error_set(ret_error, ENOEXEC, VMKIT_ERROR_BAD_IMAGE, "%s: " format, (file)->name, \
                  ##__VA_ARGS__)

static int
read_part(const struct vmk_boot_file *file, void *buffer, size_t size, uint64_t offset,
          const char *what, vmkit_error **ret_error)
{
    int r = vmk_boot_file_read(file, buffer, size, offset);
    if (r == -ENODATA)
        return BAD(file, ret_error, "the file ends inside of its %s", what);
    if (r < 0)
        return vmk_error_set_known(ret_error, -r, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                                   "%s: reading the %s", file->name, what);
    return 0;
}

static int
check_header(const struct vmk_boot_file *file, const Elf64_Ehdr *header, unsigned machine,
             vmkit_error **ret_error)
{
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return BAD(file, ret_error, "not an ELF file");
    if (header->e_ident[EI_CLASS] != ELFCLASS64)
        return BAD(file, ret_error, "a 32-bit ELF file; only 64-bit programs are supported");
    if (header->e_ident[EI_DATA] != ELFDATA2LSB || header->e_ident[EI_VERSION] != EV_CURRENT ||
        header->e_version != EV_CURRENT)
        return BAD(file, ret_error, "an ELF file of another byte order or version");
    if (header->e_machine != machine)
        return BAD(file, ret_error, "built for ELF machine %u, and this VM is machine %u",
                   header->e_machine, machine);
    if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
        return BAD(file, ret_error, "ELF type %u is no executable", header->e_type);
    if (header->e_phentsize != sizeof(Elf64_Phdr))
        return BAD(file, ret_error, "program headers of %u bytes instead of %zu",
                   header->e_phentsize, sizeof(Elf64_Phdr));
    if (header->e_phnum == 0 || header->e_phnum > MAX_HEADERS)
        return BAD(file, ret_error, "%u program headers; 1 to %u are supported", header->e_phnum,
                   MAX_HEADERS);
    return 0;
}

static int
add_segment(const struct vmk_boot_file *file, const Elf64_Phdr *header, uint64_t va_limit,
            struct vmk_elf *elf, vmkit_error **ret_error)
{
    uint64_t file_end, end;
    if (header->p_memsz == 0)
        return 0;
    if (header->p_filesz > header->p_memsz)
        return BAD(file, ret_error, "a segment has %llu bytes in the file and %llu in memory",
                   (unsigned long long)header->p_filesz, (unsigned long long)header->p_memsz);
    if (!vmk_add_u64(header->p_offset, header->p_filesz, &file_end) || file_end > file->size)
        return BAD(file, ret_error,
                   "a segment of %llu bytes at offset %llu is beyond the file's %llu bytes",
                   (unsigned long long)header->p_filesz, (unsigned long long)header->p_offset,
                   (unsigned long long)file->size);
    if (!vmk_add_u64(header->p_vaddr, header->p_memsz, &end) || end > va_limit)
        return BAD(file, ret_error,
                   "a segment of 0x%llx bytes at 0x%llx is beyond the address limit 0x%llx",
                   (unsigned long long)header->p_memsz, (unsigned long long)header->p_vaddr,
                   (unsigned long long)va_limit);
    if (header->p_align > 1 && (header->p_align & (header->p_align - 1)) != 0)
        return BAD(file, ret_error, "a segment's alignment of 0x%llx is no power of two",
                   (unsigned long long)header->p_align);
    if (header->p_align > MAX_ALIGNMENT)
        return BAD(file, ret_error, "a segment's alignment of 0x%llx is above 0x%llx",
                   (unsigned long long)header->p_align, (unsigned long long)MAX_ALIGNMENT);
    if (elf->segment_count == VMK_ELF_MAX_SEGMENTS)
        return BAD(file, ret_error, "more than %u segments", VMK_ELF_MAX_SEGMENTS);

    if (header->p_align > elf->alignment)
        elf->alignment = header->p_align;
    elf->segments[elf->segment_count++] = (struct vmk_elf_segment){
        .va = header->p_vaddr,
        .memory_size = header->p_memsz,
        .offset = header->p_offset,
        .file_size = header->p_filesz,
        .rights = header->p_flags & (PF_R | PF_W | PF_X),
    };
    return 0;
}

static int
compare_segments(const void *a, const void *b)
{
    const struct vmk_elf_segment *x = a, *y = b;
    return (x->va > y->va) - (x->va < y->va);
}

/* A program is mapped from its file, page by page; a kernel is copied. */
static int
check_pages(const struct vmk_boot_file *file, const Elf64_Phdr *header, vmkit_error **ret_error)
{
    if (header->p_memsz != 0 && (header->p_vaddr - header->p_offset) % PAGE_SIZE != 0)
        return BAD(file, ret_error,
                   "a segment at 0x%llx is at offset 0x%llx, which differs within a page",
                   (unsigned long long)header->p_vaddr, (unsigned long long)header->p_offset);
    return 0;
}

static void
add_notes(const Elf64_Phdr *header, struct vmk_elf *elf)
{
    if (elf->notes_count++ < VMK_ELF_MAX_NOTES)
        elf->notes[elf->notes_count - 1] = (struct vmk_elf_notes){
            .offset = header->p_offset,
            .size = header->p_filesz,
            .alignment = header->p_align,
        };
}

static bool
is_code(const struct vmk_elf *elf, uint64_t address)
{
    for (unsigned i = 0; i < elf->segment_count; i++) {
        if (address - elf->segments[i].va < elf->segments[i].memory_size &&
            (elf->segments[i].rights & VMK_ELF_EXECUTE))
            return true;
    }
    return false;
}

static int
check_layout(const struct vmk_boot_file *file, const Elf64_Ehdr *header, struct vmk_elf *elf,
             vmkit_error **ret_error)
{
    if (elf->segment_count == 0)
        return BAD(file, ret_error, "no segment to load");

    qsort(elf->segments, elf->segment_count, sizeof elf->segments[0], compare_segments);
    for (unsigned i = 0; i < elf->segment_count; i++) {
        const struct vmk_elf_segment *segment = &elf->segments[i];
        if (i > 0 && segment[-1].va + segment[-1].memory_size > segment->va)
            return BAD(file, ret_error, "segments [0x%llx, 0x%llx) and [0x%llx, 0x%llx) overlap",
                       (unsigned long long)segment[-1].va,
                       (unsigned long long)(segment[-1].va + segment[-1].memory_size),
                       (unsigned long long)segment->va,
                       (unsigned long long)(segment->va + segment->memory_size));

        uint64_t headers_size = (uint64_t)header->e_phnum * sizeof(Elf64_Phdr);
        if (elf->headers_va == 0 &&
            vmk_range_inside(header->e_phoff, headers_size, segment->offset, segment->file_size))
            elf->headers_va = segment->va + (header->e_phoff - segment->offset);
    }
    const struct vmk_elf_segment *last = &elf->segments[elf->segment_count - 1];
    elf->low = elf->segments[0].va & ~(PAGE_SIZE - 1);
    elf->high = (last->va + last->memory_size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    return 0;
}

static int
read_headers(const struct vmk_boot_file *file, unsigned machine, Elf64_Ehdr *header,
             Elf64_Phdr headers[MAX_HEADERS], vmkit_error **ret_error)
{
    if (file->size < sizeof *header)
        return BAD(file, ret_error, "not an ELF file: only %llu bytes long",
                   (unsigned long long)file->size);
    int r = read_part(file, header, sizeof *header, 0, "ELF header", ret_error);
    if (r < 0)
        return r;
    r = check_header(file, header, machine, ret_error);
    if (r < 0)
        return r;
    uint64_t end;
    if (!vmk_add_u64(header->e_phoff, header->e_phnum * sizeof headers[0], &end) ||
        end > file->size)
        return BAD(file, ret_error, "the file ends inside of its program headers");
    return read_part(file, headers, header->e_phnum * sizeof headers[0], header->e_phoff,
                     "program headers", ret_error);
}

static int
add_header(const struct vmk_boot_file *file, const Elf64_Phdr *header, uint64_t va_limit,
           struct vmk_elf *elf, vmkit_error **ret_error)
{
    switch (header->p_type) {
    case PT_INTERP:
        elf->wants_interpreter = true;
        return 0;
    case PT_GNU_STACK:
        elf->executable_stack = (header->p_flags & PF_X) != 0;
        return 0;
    case PT_NOTE:
        add_notes(header, elf);
        return 0;
    case PT_LOAD:
        return add_segment(file, header, va_limit, elf, ret_error);
    default:
        return 0;
    }
}

static struct vmk_elf
begin(const Elf64_Ehdr *header)
{
    return (struct vmk_elf){
        .relocatable = header->e_type == ET_DYN,
        .entry = header->e_entry,
        .alignment = PAGE_SIZE,
        .header_count = header->e_phnum,
        .header_size = header->e_phentsize,
    };
}

int
vmk_elf_read(const struct vmk_boot_file *file, unsigned machine, uint64_t va_limit,
             struct vmk_elf *ret_elf, vmkit_error **ret_error)
{
    Elf64_Ehdr header;
    Elf64_Phdr headers[MAX_HEADERS];
    int r = read_headers(file, machine, &header, headers, ret_error);
    if (r < 0)
        return r;

    struct vmk_elf elf = begin(&header);
    for (unsigned i = 0; i < header.e_phnum; i++) {
        r = add_header(file, &headers[i], va_limit, &elf, ret_error);
        if (r == 0 && headers[i].p_type == PT_LOAD)
            r = check_pages(file, &headers[i], ret_error);
        if (r < 0)
            return r;
    }
    r = check_layout(file, &header, &elf, ret_error);
    if (r < 0)
        return r;
    if (!is_code(&elf, elf.entry))
        return BAD(file, ret_error, "the entry point 0x%llx is in no executable segment",
                   (unsigned long long)elf.entry);
    *ret_elf = elf;
    return 0;
}

/* Linux's entry point is a physical address; that of others is where the linker saw it. */
int
vmk_elf_read_kernel(const struct vmk_boot_file *file, unsigned machine, uint64_t pa_limit,
                    struct vmk_elf *ret_elf, vmkit_error **ret_error)
{
    Elf64_Ehdr header;
    Elf64_Phdr headers[MAX_HEADERS];
    int r = read_headers(file, machine, &header, headers, ret_error);
    if (r < 0)
        return r;

    struct vmk_elf elf = begin(&header);
    uint64_t moved_entry = 0;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr physical = headers[i];
        if (physical.p_type == PT_LOAD && header.e_entry - physical.p_vaddr < physical.p_memsz)
            moved_entry = header.e_entry - physical.p_vaddr + physical.p_paddr;
        physical.p_vaddr = physical.p_paddr;
        r = add_header(file, &physical, pa_limit, &elf, ret_error);
        if (r < 0)
            return r;
    }
    r = check_layout(file, &header, &elf, ret_error);
    if (r < 0)
        return r;
    if (!is_code(&elf, elf.entry))
        elf.entry = is_code(&elf, moved_entry) ? moved_entry : 0;
    *ret_elf = elf;
    return 0;
}

bool
vmk_elf_holds(const struct vmk_elf *elf, uint64_t address, uint64_t size)
{
    for (unsigned i = 0; i < elf->segment_count; i++) {
        if (vmk_range_inside(address, size, elf->segments[i].va, elf->segments[i].memory_size))
            return true;
    }
    return false;
}

bool
vmk_elf_ends_within(const struct vmk_elf *elf, uint64_t size)
{
    for (unsigned i = 0; i < elf->segment_count; i++) {
        if (!vmk_range_inside(elf->segments[i].offset, elf->segments[i].file_size, 0, size))
            return false;
    }
    return true;
}
