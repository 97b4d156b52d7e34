/* SPDX-License-Identifier: Apache-2.0 */
/* Debian's cloud kernel: its bzImage and the vmlinux inside, which `debian-kernel` beside this file
 * hands in by BZIMAGE and VMLINUX, and an initrd by INITRD. */
#include "boot/elf.h"
#include "harness.h"
#include "kernels.h"
#include "layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MEMORY (512 * MIB)

static struct vmk_boot_file bzimage, vmlinux, initrd;
static struct guest guest;

static void
open_file(const char *variable, struct vmk_boot_file *file)
{
    const char *path = getenv(variable);
    ck_assert_msg(path != NULL, "%s is not set: start debian-kernel", variable);
    ck_assert_int_eq(vmk_boot_file_open(path, file, NULL), 0);
}

static void *
map(void *user_data, uint64_t gpa, uint64_t size)
{
    return size <= MEMORY && gpa <= MEMORY - size ? guest.bytes + gpa : NULL;
}

static void
setup(void)
{
    open_file("BZIMAGE", &bzimage);
    open_file("VMLINUX", &vmlinux);
    open_file("INITRD", &initrd);
    guest.bytes = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(guest.bytes, MAP_FAILED);
    guest.memory = (struct vmk_boot_memory){.map = map, .low_size = MEMORY};
}

static void
teardown(void)
{
    munmap(guest.bytes, MEMORY);
    vmk_boot_file_close(&bzimage);
    vmk_boot_file_close(&vmlinux);
    vmk_boot_file_close(&initrd);
}

static struct vmk_x86_boot_entry
load(const struct vmk_boot_file *kernel, enum vmk_boot_format format)
{
    struct vmk_x86_boot_entry entry = {0};
    vmkit_error *error = NULL;
    const struct vmk_boot_options options = {
        .format = format,
        .kernel = kernel,
        .initrds = &initrd,
        .initrd_count = 1,
        .command_line = "console=ttyS0",
    };
    if (vmk_boot_load(&options, &guest.memory, &entry, &error) < 0)
        ck_abort_msg("%s", vmkit_error_get_message(error));
    return entry;
}

/* Whether [gpa, gpa + size) is that part of the file. */
static void
check_bytes(const struct vmk_boot_file *file, uint64_t offset, uint64_t size, uint64_t gpa)
{
    uint8_t *bytes = malloc(size);
    ck_assert_int_eq(vmk_boot_file_read(file, bytes, size, offset), 0);
    ck_assert_msg(memcmp(bytes, guest.bytes + gpa, size) == 0,
                  "what is at 0x%llx is not what the file has", (unsigned long long)gpa);
    free(bytes);
}

START_TEST(the_bzimage_goes_where_it_prefers)
{
    uint8_t head[1024];
    ck_assert_int_eq(vmk_boot_file_read(&bzimage, head, sizeof head, 0), 0);
    uint64_t start = vmk_setup_get(head, VMK_SETUP_PREF_ADDRESS);
    uint64_t setup_size = (vmk_setup_get(head, VMK_SETUP_SECTS) + 1) * 512;
    struct vmk_x86_boot_entry entry = load(&bzimage, VMK_BOOT_ANY);
    ck_assert_int_eq(entry.mode, VMK_X86_BOOT_64);
    ck_assert_uint_eq(start, 16 * MIB);
    ck_assert_uint_eq(entry.address, start + 0x200);
    check_bytes(&bzimage, setup_size, bzimage.size - setup_size, start);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_INIT_SIZE),
                      vmk_setup_get(head, VMK_SETUP_INIT_SIZE));
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_CMDLINE_SIZE), 2047);

    uint64_t initrd_gpa = guest_get_param(&guest, VMK_SETUP_RAMDISK_IMAGE);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_RAMDISK_SIZE), initrd.size);
    ck_assert_uint_eq(initrd_gpa, (MEMORY - initrd.size) & ~UINT64_C(4095));
    check_bytes(&initrd, 0, initrd.size, initrd_gpa);
}
END_TEST

static void
check_segments(void)
{
    struct vmk_elf elf;
    ck_assert_int_eq(vmk_elf_read_kernel(&vmlinux, EM_X86_64, UINT64_MAX / 2, &elf, NULL), 0);
    ck_assert_uint_ge(elf.segment_count, 3);
    ck_assert_uint_eq(elf.low, 16 * MIB);
    ck_assert_uint_eq(elf.entry, 16 * MIB);
    for (unsigned i = 0; i < elf.segment_count; i++)
        check_bytes(&vmlinux, elf.segments[i].offset, elf.segments[i].file_size,
                    elf.segments[i].va);
}

START_TEST(the_vmlinux_has_both_entries)
{
    struct vmk_x86_boot_entry entry = load(&vmlinux, VMK_BOOT_ANY);
    ck_assert_int_eq(entry.mode, VMK_X86_BOOT_PVH);
    ck_assert_uint_gt(entry.address, 16 * MIB);
    ck_assert_uint_eq(guest_get(&guest, VMK_X86_START_INFO, 4), 0x336ec578);
    check_segments();
    entry = load(&vmlinux, VMK_BOOT_ELF_64);
    ck_assert_int_eq(entry.mode, VMK_X86_BOOT_64);
    ck_assert_uint_eq(entry.address, 16 * MIB);
    check_segments();
}
END_TEST

/* What lies behind the end is a signature, or section headers, which nobody needs. */
static void
cut(struct vmk_boot_file *file, uint64_t end)
{
    uint64_t step = end / 50 * harness_get_step(5);
    for (uint64_t size = 0; size < end; size += step) {
        struct vmk_boot_file part = *file;
        struct vmk_boot_options options = {.kernel = &part, .format = VMK_BOOT_BZIMAGE};
        struct vmk_x86_boot_entry entry;
        if (file == &vmlinux)
            options.format = VMK_BOOT_PVH;
        part.size = size;
        ck_assert_int_eq(vmk_boot_load(&options, &guest.memory, &entry, NULL), -ENOEXEC);
    }
}

START_TEST(neither_is_taken_when_it_is_cut)
{
    uint8_t head[1024];
    struct vmk_elf elf;
    uint64_t end = 0;
    ck_assert_int_eq(vmk_boot_file_read(&bzimage, head, sizeof head, 0), 0);
    cut(&bzimage, vmk_setup_get(head, VMK_SETUP_SYSSIZE) * 16);
    ck_assert_int_eq(vmk_elf_read_kernel(&vmlinux, EM_X86_64, UINT64_MAX / 2, &elf, NULL), 0);
    for (unsigned i = 0; i < elf.segment_count; i++) {
        if (elf.segments[i].offset + elf.segments[i].file_size > end)
            end = elf.segments[i].offset + elf.segments[i].file_size;
    }
    cut(&vmlinux, end);
}
END_TEST

START_TEST(memory_that_is_too_small_is_said_to_be)
{
    struct vmk_boot_options options = {.kernel = &bzimage};
    struct vmk_x86_boot_entry entry;
    guest.memory.low_size = 32 * MIB;
    ck_assert_int_eq(vmk_boot_load(&options, &guest.memory, &entry, NULL), -E2BIG);
    options.kernel = &vmlinux;
    ck_assert_int_eq(vmk_boot_load(&options, &guest.memory, &entry, NULL), -E2BIG);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("boot_debian");
    TCase *tests = tcase_create("debian");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, the_bzimage_goes_where_it_prefers);
    tcase_add_test(tests, the_vmlinux_has_both_entries);
    tcase_add_test(tests, neither_is_taken_when_it_is_cut);
    tcase_add_test(tests, memory_that_is_too_small_is_said_to_be);
    suite_add_tcase(suite, tests);
    return suite;
}
