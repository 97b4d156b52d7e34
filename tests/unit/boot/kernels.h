/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels made for tests, and a guest's memory to put them into. */
#ifndef VMK_TEST_KERNELS_H
#define VMK_TEST_KERNELS_H

#include "boot/load.h"
#include "boot/setup_header.h"

#include <elf.h>

#define MIB (UINT64_C(1) << 20)

/* A bzImage: two sectors of setup code and 3 of kernel, each byte of it its number. */
#define BZIMAGE_SETUP 1024
#define BZIMAGE_PAYLOAD 1536
#define BZIMAGE_PREF_ADDRESS (4 * MIB)
#define BZIMAGE_INIT_SIZE (2 * MIB)
#define BZIMAGE_COMMAND_LINE 100

struct bzimage {
    uint8_t bytes[BZIMAGE_SETUP + BZIMAGE_PAYLOAD];
};

struct bzimage
bzimage_make(void);

/* A vmlinux with code, at the addresses that Linux has it, data with a rest of zeros, a segment of
 * which the virtual address is 0, and notes. */
#define VMLINUX_CODE (2 * MIB)
#define VMLINUX_DATA (3 * MIB)
#define VMLINUX_PERCPU (3 * MIB + 0x8000)
#define VMLINUX_ENTRY (VMLINUX_CODE + 0x40)
#define VMLINUX_PVH_ENTRY (VMLINUX_CODE + 0x80)

struct vmlinux {
    Elf64_Ehdr header;
    Elf64_Phdr code, data, percpu, notes;
    struct {
        Elf64_Nhdr header;
        char owner[4];
        uint32_t text;
    } other;
    struct __attribute__((packed)) {
        Elf64_Nhdr header;
        char owner[4];
        uint64_t entry;
    } pvh;
    uint8_t code_bytes[256];
    uint8_t data_bytes[512];
    uint8_t percpu_bytes[64];
};

struct vmlinux
vmlinux_make(void);

/* Memory from 0 on, all bytes of which are 0xaa at first. */
struct guest {
    uint8_t *bytes;
    struct vmk_boot_memory memory;
};

struct guest
guest_make(uint64_t size);

void
guest_free(struct guest *guest);

/* Load `size` bytes, of which the loader has a copy of that size. */
int
guest_load(struct guest *guest, const void *bytes, size_t size, struct vmk_boot_options *options,
           struct vmk_x86_boot_entry *entry, vmkit_error **error);

/* The same, and it has to work. */
struct vmk_x86_boot_entry
guest_must_load(struct guest *guest, const void *bytes, size_t size,
                struct vmk_boot_options *options);

/* The same, and it has to fail with this errno and this word in the message, which names "sample".
 */
void
guest_refuse(struct guest *guest, const void *bytes, size_t size, struct vmk_boot_options *options,
             int result, const char *word);

/* A field of the guest's boot_params. */
uint64_t
guest_get_param(const struct guest *guest, struct vmk_setup_field field);

uint64_t
guest_get(const struct guest *guest, uint64_t gpa, unsigned size);

/* xorshift64: the same sequence everywhere. */
uint64_t
next_random(uint64_t *state);

#endif
