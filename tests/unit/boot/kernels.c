/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels.h"

#include "harness.h"
#include "layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void
put(struct bzimage *image, struct vmk_setup_field field, uint64_t value)
{
    vmk_setup_put(image->bytes, field, value);
}

struct bzimage
bzimage_make(void)
{
    struct bzimage image = {0};
    memset(image.bytes, 0xcc, BZIMAGE_SETUP);
    for (unsigned i = 0; i < BZIMAGE_PAYLOAD; i++)
        image.bytes[BZIMAGE_SETUP + i] = (uint8_t)i;
    put(&image, VMK_SETUP_SECTS, 1);
    put(&image, VMK_SETUP_SYSSIZE, BZIMAGE_PAYLOAD / 16);
    put(&image, VMK_SETUP_BOOT_FLAG, 0xaa55);
    put(&image, VMK_SETUP_JUMP, 0x6a);
    put(&image, VMK_SETUP_MAGIC, 0x53726448);
    put(&image, VMK_SETUP_VERSION, 0x20f);
    put(&image, VMK_SETUP_LOADFLAGS, 1);
    put(&image, VMK_SETUP_INITRD_ADDR_MAX, 0x7fffffff);
    put(&image, VMK_SETUP_KERNEL_ALIGNMENT, 2 * MIB);
    put(&image, VMK_SETUP_RELOCATABLE, 1);
    put(&image, VMK_SETUP_XLOADFLAGS, 3);
    put(&image, VMK_SETUP_CMDLINE_SIZE, BZIMAGE_COMMAND_LINE);
    put(&image, VMK_SETUP_PREF_ADDRESS, BZIMAGE_PREF_ADDRESS);
    put(&image, VMK_SETUP_INIT_SIZE, BZIMAGE_INIT_SIZE);
    return image;
}

static Elf64_Phdr
segment(unsigned flags, uint64_t offset, uint64_t va, uint64_t pa, uint64_t size)
{
    return (Elf64_Phdr){.p_type = PT_LOAD,
                        .p_flags = flags,
                        .p_offset = offset,
                        .p_vaddr = va,
                        .p_paddr = pa,
                        .p_filesz = size,
                        .p_memsz = size,
                        .p_align = 0x1000};
}

struct vmlinux
vmlinux_make(void)
{
    struct vmlinux file = {
        .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                   .e_type = ET_EXEC,
                   .e_machine = EM_X86_64,
                   .e_version = EV_CURRENT,
                   .e_entry = VMLINUX_ENTRY,
                   .e_phoff = sizeof(Elf64_Ehdr),
                   .e_ehsize = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 4},
        .code = segment(PF_R | PF_X, offsetof(struct vmlinux, code_bytes), 0xffffffff80200000,
                        VMLINUX_CODE, sizeof file.code_bytes),
        .data = segment(PF_R | PF_W, offsetof(struct vmlinux, data_bytes), 0xffffffff80300000,
                        VMLINUX_DATA, sizeof file.data_bytes),
        .percpu = segment(PF_R | PF_W, offsetof(struct vmlinux, percpu_bytes), 0, VMLINUX_PERCPU,
                          sizeof file.percpu_bytes),
        .notes = {.p_type = PT_NOTE,
                  .p_offset = offsetof(struct vmlinux, other),
                  .p_filesz =
                      offsetof(struct vmlinux, code_bytes) - offsetof(struct vmlinux, other),
                  .p_align = 4},
        .other = {{4, 4, 18}, "GNU", 0x1234},
        .pvh = {{4, 8, 18}, "Xen", VMLINUX_PVH_ENTRY},
    };
    file.data.p_memsz = 0x2000;
    memset(file.code_bytes, 0x90, sizeof file.code_bytes);
    memset(file.data_bytes, 0x11, sizeof file.data_bytes);
    memset(file.percpu_bytes, 0x22, sizeof file.percpu_bytes);
    return file;
}

static void *
map(void *user_data, uint64_t gpa, uint64_t size)
{
    struct guest *guest = user_data;
    if (size > guest->memory.low_size || gpa > guest->memory.low_size - size)
        return NULL;
    return guest->bytes + gpa;
}

struct guest
guest_make(uint64_t size)
{
    struct guest guest = {.bytes = malloc(size), .memory = {.map = map, .low_size = size}};
    memset(guest.bytes, 0xaa, size);
    return guest;
}

void
guest_free(struct guest *guest)
{
    free(guest->bytes);
}

int
guest_load(struct guest *guest, const void *bytes, size_t size, struct vmk_boot_options *options,
           struct vmk_x86_boot_entry *entry, vmkit_error **error)
{
    struct vmk_boot_file file;
    void *copy = malloc(size + (size == 0));
    memcpy(copy, bytes, size);
    vmk_boot_file_open_memory(copy, size, "sample", &file);
    options->kernel = &file;
    guest->memory.user_data = guest;
    int r = vmk_boot_load(options, &guest->memory, entry, error);
    vmk_boot_file_close(&file);
    free(copy);
    return r;
}

struct vmk_x86_boot_entry
guest_must_load(struct guest *guest, const void *bytes, size_t size,
                struct vmk_boot_options *options)
{
    struct vmk_x86_boot_entry entry = {0};
    vmkit_error *error = NULL;
    if (guest_load(guest, bytes, size, options, &entry, &error) < 0)
        ck_abort_msg("%s", vmkit_error_get_message(error));
    return entry;
}

void
guest_refuse(struct guest *guest, const void *bytes, size_t size, struct vmk_boot_options *options,
             int result, const char *word)
{
    struct vmk_x86_boot_entry entry = {.address = 77};
    vmkit_error *error = NULL;
    ck_assert_int_eq(guest_load(guest, bytes, size, options, &entry, &error), result);
    ck_assert_uint_eq(entry.address, 77);
    const char *message = vmkit_error_get_message(error);
    ck_assert_msg(strstr(message, word) != NULL, "\"%s\" lacks \"%s\"", message, word);
    if (result == -ENOEXEC)
        ck_assert_ptr_nonnull(strstr(message, "sample: "));
    vmkit_error_unref(error);
}

uint64_t
guest_get(const struct guest *guest, uint64_t gpa, unsigned size)
{
    return vmk_setup_get(guest->bytes, VMK_SETUP_FIELD(gpa, size));
}

uint64_t
guest_get_param(const struct guest *guest, struct vmk_setup_field field)
{
    return vmk_setup_get(guest->bytes + VMK_X86_BOOT_PARAMS, field);
}

uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}
