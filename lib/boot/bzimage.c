/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux's bzImage, entered at its 64-bit entry point, which decompresses the kernel (Linux,
 * Documentation/arch/x86/boot.rst). The file is sectors of real-mode code with the setup header in
 * the first one, which are not used, and behind them what is put into memory.
 */
#include "boot/kernel.h"

#include "boot/setup_header.h"
#include "layout.h"
#include "util/checked.h"
#include "util/error.h"

#include <errno.h>
#include <string.h>

#define BOOT_FLAG 0xaa55
#define MAGIC 0x53726448 /* "HdrS" */
#define VERSION_MIN 0x20c
#define LOADED_HIGH 1
#define XLF_KERNEL_64 1
#define XLF_CAN_BE_LOADED_ABOVE_4G 2
#define SECTOR 512
#define ENTRY_64 0x200
/* The header of protocol 2.12 ends behind init_size and handover_offset. */
#define HEADER_END_MIN 0x268
#define ALIGNMENT_MIN UINT64_C(4096)
#define ALIGNMENT_MAX (UINT64_C(1) << 30)

#define BAD(file, ret_error, format, ...)                                                 \
    vmk_error_set(ret_error, ENOEXEC, VMKIT_ERROR_BAD_IMAGE, "%s: " format, (file)->name, \
                  ##__VA_ARGS__)

/* The first sector and a half of the file, and where the rest is. */
struct bzimage {
    uint8_t head[VMK_SETUP_HEADER_END];
    size_t header_end;
    uint64_t payload_offset;
    uint64_t payload_size;
};

static uint64_t
get(const struct bzimage *image, struct vmk_setup_field field)
{
    return vmk_setup_get(image->head, field);
}

static int
read_head(const struct vmk_boot_file *file, struct bzimage *image, vmkit_error **ret_error)
{
    size_t size = sizeof image->head < file->size ? sizeof image->head : (size_t)file->size;
    if (size < HEADER_END_MIN)
        return BAD(file, ret_error, "no bzImage: only %zu bytes long, and the header ends at %d",
                   size, HEADER_END_MIN);
    int r = vmk_boot_file_read(file, image->head, size, 0);
    if (r == -ENODATA)
        return BAD(file, ret_error, "the file ends inside of its header");
    if (r < 0)
        return vmk_error_set_known(ret_error, -r, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                                   "%s: reading the header", file->name);
    return 0;
}

static int
check_head(const struct vmk_boot_file *file, struct bzimage *image, vmkit_error **ret_error)
{
    if (get(image, VMK_SETUP_BOOT_FLAG) != BOOT_FLAG || get(image, VMK_SETUP_MAGIC) != MAGIC)
        return BAD(file, ret_error, "no bzImage: the setup header is not there");
    unsigned version = (unsigned)get(image, VMK_SETUP_VERSION);
    if (version < VERSION_MIN)
        return BAD(file, ret_error, "boot protocol %u.%02u; the first with a 64-bit entry is 2.12",
                   version >> 8, version & 0xff);
    image->header_end = VMK_SETUP_MAGIC.offset + (size_t)get(image, VMK_SETUP_JUMP);
    if (image->header_end < HEADER_END_MIN || image->header_end > VMK_SETUP_HEADER_END)
        return BAD(file, ret_error, "the setup header ends at 0x%zx; 0x%x to 0x%x are possible",
                   image->header_end, HEADER_END_MIN, VMK_SETUP_HEADER_END);
    if (image->header_end > file->size)
        return BAD(file, ret_error, "the file ends inside of its header");
    if ((get(image, VMK_SETUP_LOADFLAGS) & LOADED_HIGH) == 0)
        return BAD(file, ret_error, "a zImage, which is loaded below 1 MiB, and no bzImage");
    if ((get(image, VMK_SETUP_XLOADFLAGS) & XLF_KERNEL_64) == 0)
        return BAD(file, ret_error, "a 32-bit kernel: it has no 64-bit entry point");
    return 0;
}

/* What a signature appended to the file is loaded along with it. */
static int
check_payload(const struct vmk_boot_file *file, struct bzimage *image, vmkit_error **ret_error)
{
    uint64_t sectors = get(image, VMK_SETUP_SECTS);
    image->payload_offset = ((sectors == 0 ? 4 : sectors) + 1) * SECTOR;
    uint64_t size = get(image, VMK_SETUP_SYSSIZE) * 16;
    if (image->payload_offset >= file->size || size > file->size - image->payload_offset)
        return BAD(file, ret_error,
                   "the file has %llu bytes, and by its header there are %llu at offset %llu",
                   (unsigned long long)file->size, (unsigned long long)size,
                   (unsigned long long)image->payload_offset);
    image->payload_size = file->size - image->payload_offset;
    if (image->payload_size <= ENTRY_64)
        return BAD(file, ret_error, "%llu bytes of kernel end before the 64-bit entry point at %d",
                   (unsigned long long)image->payload_size, ENTRY_64);
    uint64_t alignment = get(image, VMK_SETUP_KERNEL_ALIGNMENT);
    if (alignment < ALIGNMENT_MIN || alignment > ALIGNMENT_MAX ||
        (alignment & (alignment - 1)) != 0)
        return BAD(file, ret_error,
                   "a kernel alignment of 0x%llx is no power of two from 0x%llx to 0x%llx",
                   (unsigned long long)alignment, (unsigned long long)ALIGNMENT_MIN,
                   (unsigned long long)ALIGNMENT_MAX);
    return 0;
}

/* At the address that it prefers, where it does not have to move itself; one that is relocatable
 * goes as low as it may where that is beyond the memory. */
static int
choose_place(const struct vmk_boot_file *file, const struct vmk_boot_memory *memory,
             const struct bzimage *image, uint64_t *ret_start, uint64_t *ret_size,
             vmkit_error **ret_error)
{
    uint64_t alignment = get(image, VMK_SETUP_KERNEL_ALIGNMENT);
    uint64_t size = get(image, VMK_SETUP_INIT_SIZE);
    uint64_t start = get(image, VMK_SETUP_PREF_ADDRESS);
    bool is_relocatable = get(image, VMK_SETUP_RELOCATABLE) != 0;
    if (size < image->payload_size)
        size = image->payload_size;
    if (is_relocatable && (start % alignment != 0 || !vmk_boot_memory_is_free(memory, start, size)))
        start = (VMK_X86_HIGH_START + alignment - 1) & ~(alignment - 1);
    if (!vmk_boot_memory_is_free(memory, start, size))
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_OUT_OF_RANGE,
                             "%s: a kernel that needs %llu bytes at 0x%llx is not within the "
                             "memory for kernels, [0x%llx, 0x%llx)",
                             file->name, (unsigned long long)size, (unsigned long long)start,
                             (unsigned long long)VMK_X86_HIGH_START,
                             (unsigned long long)memory->low_size);
    *ret_start = start;
    *ret_size = size;
    return 0;
}

/* initrd_addr_max is of the 32-bit entry's; a kernel that may lie above 4 GiB takes its initrd from
 * anywhere. */
static uint64_t
get_initrd_end(const struct bzimage *image, const struct vmk_boot_memory *memory)
{
    uint64_t end = get(image, VMK_SETUP_INITRD_ADDR_MAX) + 1;
    bool is_anywhere = (get(image, VMK_SETUP_XLOADFLAGS) & XLF_CAN_BE_LOADED_ABOVE_4G) != 0;
    return is_anywhere || end > memory->low_size ? memory->low_size : end;
}

int
vmk_boot_load_bzimage(const struct vmk_boot_file *file, const struct vmk_boot_memory *memory,
                      struct vmk_boot_kernel *ret_kernel, vmkit_error **ret_error)
{
    struct bzimage image = {0};
    uint64_t start = 0, size = 0;
    int r = read_head(file, &image, ret_error);
    if (r == 0)
        r = check_head(file, &image, ret_error);
    if (r == 0)
        r = check_payload(file, &image, ret_error);
    if (r == 0)
        r = choose_place(file, memory, &image, &start, &size, ret_error);
    if (r == 0)
        r = vmk_boot_memory_load(memory, start, file, image.payload_offset, image.payload_size,
                                 ret_error);
    if (r < 0)
        return r;
    *ret_kernel = (struct vmk_boot_kernel){
        .mode = VMK_X86_BOOT_64,
        .entry = start + ENTRY_64,
        .start = start,
        .end = start + size,
        .initrd_end = get_initrd_end(&image, memory),
        .command_line_max = (uint32_t)get(&image, VMK_SETUP_CMDLINE_SIZE),
    };
    memcpy(ret_kernel->setup_header, image.head + VMK_SETUP_HEADER,
           image.header_end - VMK_SETUP_HEADER);
    return 0;
}
