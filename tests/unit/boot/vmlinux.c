/* SPDX-License-Identifier: Apache-2.0 */
/* ELF kernels by PVH and by the 64-bit entry, raw binaries, and that no broken file gets through.
 */
#include "boot/elf.h"
#include "harness.h"
#include "kernels.h"
#include "layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INFO VMK_X86_START_INFO

static struct guest guest;

static void
setup(void)
{
    guest = guest_make(8 * MIB);
}

static void
teardown(void)
{
    guest_free(&guest);
}

static void
check_segments(const struct vmlinux *file)
{
    ck_assert_mem_eq(guest.bytes + VMLINUX_CODE, file->code_bytes, sizeof file->code_bytes);
    ck_assert_mem_eq(guest.bytes + VMLINUX_DATA, file->data_bytes, sizeof file->data_bytes);
    ck_assert_mem_eq(guest.bytes + VMLINUX_PERCPU, file->percpu_bytes, sizeof file->percpu_bytes);
    for (unsigned i = sizeof file->data_bytes; i < 0x2000; i++)
        ck_assert_uint_eq(guest.bytes[VMLINUX_DATA + i], 0);
    ck_assert_uint_eq(guest.bytes[VMLINUX_CODE - 1], 0xaa);
    ck_assert_uint_eq(guest.bytes[VMLINUX_CODE + sizeof file->code_bytes], 0xaa);
    ck_assert_uint_eq(guest.bytes[VMLINUX_DATA + 0x2000], 0xaa);
}

START_TEST(pvh_is_taken_where_there_is_a_note)
{
    struct vmlinux file = vmlinux_make();
    struct vmk_boot_options options = {0};
    struct vmk_x86_boot_entry entry = guest_must_load(&guest, &file, sizeof file, &options);
    ck_assert_int_eq(entry.mode, VMK_X86_BOOT_PVH);
    ck_assert_uint_eq(entry.address, VMLINUX_PVH_ENTRY);
    ck_assert_uint_eq(entry.info, INFO);
    check_segments(&file);
    /* Of four bytes, as 32-bit kernels have it, and behind padding to eight. */
    file.pvh.header.n_descsz = 4;
    ck_assert_uint_eq(guest_must_load(&guest, &file, sizeof file, &options).address,
                      VMLINUX_PVH_ENTRY);
    file = vmlinux_make();
    file.notes.p_align = 8;
    static const struct {
        Elf64_Nhdr other;
        char owner[4], text[8];
        Elf64_Nhdr header;
        char pvh[4];
        uint32_t entry;
    } padded = {{1, 5, 18}, "X", "12345", {4, 4, 18}, "Xen", VMLINUX_PVH_ENTRY + 1};
    memcpy(&file.other, &padded, sizeof padded);
    ck_assert_uint_eq(guest_must_load(&guest, &file, sizeof file, &options).address,
                      VMLINUX_PVH_ENTRY + 1);
}
END_TEST

START_TEST(the_start_info_tells_of_all)
{
    struct vmlinux file = vmlinux_make();
    struct vmk_boot_file initrd;
    vmk_boot_file_open_memory("initrd", 6, "initrd", &initrd);
    struct vmk_boot_options options = {
        .format = VMK_BOOT_PVH,
        .initrds = &initrd,
        .initrd_count = 1,
        .command_line = "quiet",
        .acpi = "RSD PTR ",
        .acpi_size = 8,
    };
    guest.memory.high_size = MIB;
    guest_must_load(&guest, &file, sizeof file, &options);
    ck_assert_uint_eq(guest_get(&guest, INFO, 4), 0x336ec578);
    ck_assert_uint_eq(guest_get(&guest, INFO + 4, 4), 1);
    ck_assert_uint_eq(guest_get(&guest, INFO + 8, 4), 0);
    ck_assert_uint_eq(guest_get(&guest, INFO + 12, 4), 1);
    uint64_t modules = guest_get(&guest, INFO + 16, 8);
    ck_assert_uint_eq(guest_get(&guest, INFO + 24, 8), VMK_X86_COMMAND_LINE);
    ck_assert_str_eq((char *)guest.bytes + VMK_X86_COMMAND_LINE, "quiet");
    ck_assert_uint_eq(guest_get(&guest, INFO + 32, 8), VMK_X86_ACPI);
    uint64_t map = guest_get(&guest, INFO + 40, 8);
    ck_assert_uint_eq(guest_get(&guest, INFO + 48, 4), 5);
    ck_assert_uint_eq(guest_get(&guest, INFO + 52, 4), 0);

    ck_assert_uint_eq(guest_get(&guest, modules, 8), 8 * MIB - 4096);
    ck_assert_uint_eq(guest_get(&guest, modules + 8, 8), 8);
    ck_assert_uint_eq(guest_get(&guest, modules + 16, 8), 0);
    ck_assert_mem_eq(guest.bytes + 8 * MIB - 4096, "initrd\0\0\xaa", 9);

    static const uint64_t expected[][3] = {
        {0, 0x9fc00, 1},         {0x9fc00, 0x60400, 2}, {0x100000, 7 * MIB, 1},
        {0xfffbc000, 0x4000, 2}, {0x100000000, MIB, 1},
    };
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_uint_eq(guest_get(&guest, map + 24 * i, 8), expected[i][0]);
        ck_assert_uint_eq(guest_get(&guest, map + 24 * i + 8, 8), expected[i][1]);
        ck_assert_uint_eq(guest_get(&guest, map + 24 * i + 16, 4), expected[i][2]);
        ck_assert_uint_eq(guest_get(&guest, map + 24 * i + 20, 4), 0);
    }
}
END_TEST

START_TEST(without_a_note_the_64_bit_entry_is_taken)
{
    struct vmlinux file = vmlinux_make();
    struct vmk_boot_options options = {.format = VMK_BOOT_ELF_64};
    struct vmk_x86_boot_entry entry = guest_must_load(&guest, &file, sizeof file, &options);
    ck_assert_int_eq(entry.mode, VMK_X86_BOOT_64);
    ck_assert_uint_eq(entry.address, VMLINUX_ENTRY);
    ck_assert_uint_eq(entry.info, VMK_X86_BOOT_PARAMS);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_MAGIC), 0x53726448);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_BOOT_FLAG), 0xaa55);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_LOADER), 0xff);
    ck_assert_uint_eq(guest_get_param(&guest, VMK_SETUP_CMD_LINE), VMK_X86_COMMAND_LINE);
    check_segments(&file);
    options.format = VMK_BOOT_ANY;
    file.pvh.header.n_type = 17;
    ck_assert_int_eq(guest_must_load(&guest, &file, sizeof file, &options).mode, VMK_X86_BOOT_64);
    file.header.e_phnum = 3;
    ck_assert_int_eq(guest_must_load(&guest, &file, sizeof file, &options).mode, VMK_X86_BOOT_64);
    options.format = VMK_BOOT_PVH;
    guest_refuse(&guest, &file, sizeof file, &options, -ENOEXEC, "no note of a PVH entry");
}
END_TEST

START_TEST(an_entry_point_may_be_virtual)
{
    struct vmlinux file = vmlinux_make();
    struct vmk_boot_options options = {.format = VMK_BOOT_ELF_64};
    file.header.e_entry = file.code.p_vaddr + 0x40;
    ck_assert_uint_eq(guest_must_load(&guest, &file, sizeof file, &options).address, VMLINUX_ENTRY);
    file.header.e_entry = file.data.p_vaddr;
    guest_refuse(&guest, &file, sizeof file, &options, -ENOEXEC, "in no executable segment");
    /* PVH has an entry point of its own. */
    options.format = VMK_BOOT_PVH;
    guest_must_load(&guest, &file, sizeof file, &options);
}
END_TEST

#define REFUSE(change, result, word)                                      \
    do {                                                                  \
        struct vmlinux file = vmlinux_make();                             \
        struct vmk_boot_options options = {0};                            \
        change;                                                           \
        guest_refuse(&guest, &file, sizeof file, &options, result, word); \
    } while (0)

START_TEST(each_field_is_checked)
{
    REFUSE(file.header.e_machine = EM_AARCH64, -ENOEXEC, "machine 183");
    REFUSE(file.header.e_ident[EI_CLASS] = ELFCLASS32, -ENOEXEC, "32-bit");
    REFUSE((file.code.p_paddr = file.pvh.entry = 0x7000), -E2BIG, "[0x7000, 0x7100) is not within");
    REFUSE((file.code.p_paddr = file.pvh.entry = MIB - 1), -E2BIG,
           "[0xfffff, 0x1000ff) is not within");
    REFUSE(file.data.p_paddr = 8 * MIB, -E2BIG, "[0x100000, 0x800000)");
    REFUSE(file.data.p_memsz = 6 * MIB, -ENOEXEC, "overlap");
    REFUSE((file.percpu.p_memsz = 6 * MIB), -E2BIG, "[0x308000, 0x908000)");
    REFUSE(file.percpu.p_memsz = UINT64_C(1) << 60, -ENOEXEC, "address limit");
    REFUSE(file.percpu.p_paddr = UINT64_MAX - 7, -ENOEXEC, "address limit");
    REFUSE(file.percpu.p_paddr = VMLINUX_CODE + 8, -ENOEXEC, "overlap");
    REFUSE(file.percpu.p_filesz = 65, -ENOEXEC, "65 bytes in the file");
    REFUSE(file.percpu.p_offset = sizeof file - 63, -ENOEXEC, "beyond the file");
    REFUSE(file.pvh.entry = VMLINUX_CODE - 1, -ENOEXEC, "0x1fffff is in no segment");
    REFUSE(file.pvh.entry = 0, -ENOEXEC, "0x0 is in no segment");
    REFUSE(file.pvh.entry = UINT64_MAX, -ENOEXEC, "in no segment");
    REFUSE(file.pvh.header.n_descsz = 5, -ENOEXEC, "has 5 bytes");
    REFUSE(file.pvh.header.n_descsz = 0, -ENOEXEC, "has 0 bytes");
    REFUSE(file.pvh.header.n_descsz = UINT32_MAX, -ENOEXEC, "beyond the 44 bytes of notes");
    REFUSE(file.other.header.n_namesz = UINT32_MAX, -ENOEXEC, "beyond the 44 bytes of notes");
    REFUSE(file.notes.p_filesz = UINT64_MAX, -ENOEXEC, "are beyond the file");
    REFUSE(file.notes.p_offset = UINT64_MAX, -ENOEXEC, "are beyond the file");
    REFUSE((file.code.p_type = file.data.p_type = file.percpu.p_type = PT_NULL), -ENOEXEC,
           "no segment to load");
}
END_TEST

START_TEST(more_notes_than_there_are_are_refused)
{
    static struct {
        Elf64_Ehdr header;
        Elf64_Phdr segments[18];
    } file;
    struct vmlinux good = vmlinux_make();
    struct vmk_boot_options options = {0};
    file.header = good.header;
    file.header.e_phnum = 18;
    file.segments[0] = good.code;
    file.segments[0].p_offset = 0;
    for (unsigned i = 1; i < 18; i++)
        file.segments[i] = (Elf64_Phdr){.p_type = PT_NOTE};
    guest_refuse(&guest, &file, sizeof file, &options, -ENOEXEC, "17 segments of notes");
    file.segments[17].p_type = PT_NULL;
    ck_assert_int_eq(guest_must_load(&guest, &file, sizeof file, &options).mode, VMK_X86_BOOT_64);
    /* And not read at all where there are too many bytes. */
    static uint8_t large[2 * MIB];
    memcpy(large, &file, sizeof file);
    file.segments[1].p_filesz = MIB + 1;
    memcpy(large, &file, sizeof file);
    guest_refuse(&guest, large, sizeof large, &options, -ENOEXEC, "more than 1048576");
}
END_TEST

START_TEST(a_file_cut_anywhere_is_refused)
{
    struct vmlinux file = vmlinux_make();
    const size_t end = offsetof(struct vmlinux, percpu_bytes) + sizeof file.percpu_bytes;
    for (size_t size = 0; size < end; size += harness_get_step(7)) {
        struct vmk_boot_options options = {.format = VMK_BOOT_PVH};
        guest_refuse(&guest, &file, size, &options, -ENOEXEC, "");
    }
}
END_TEST

START_TEST(no_change_of_a_few_bytes_does_harm)
{
    const struct vmlinux good = vmlinux_make();
    uint64_t state = 88172645463325252;
    unsigned loaded = 0;
    for (int round = 0; round < 20000; round += (int)harness_get_step(4)) {
        struct vmlinux file = good;
        struct vmk_boot_options options = {.format =
                                               round % 2 == 0 ? VMK_BOOT_ANY : VMK_BOOT_ELF_64};
        struct vmk_x86_boot_entry entry;
        for (uint64_t changes = 1 + next_random(&state) % 4; changes > 0; changes--)
            ((uint8_t *)&file)[next_random(&state) % offsetof(struct vmlinux, code_bytes)] =
                (uint8_t)next_random(&state);
        if (guest_load(&guest, &file, sizeof file, &options, &entry, NULL) < 0)
            continue;
        loaded++;
        ck_assert_uint_ge(entry.address, MIB);
        ck_assert_uint_lt(entry.address, 8 * MIB);
    }
    ck_assert_uint_gt(loaded, 500);
}
END_TEST

START_TEST(a_raw_binary_starts_where_it_is_put)
{
    static const char bytes[] = "raw";
    struct vmk_boot_options options = {.format = VMK_BOOT_RAW, .raw_address = MIB};
    struct vmk_x86_boot_entry entry = guest_must_load(&guest, bytes, sizeof bytes, &options);
    ck_assert_int_eq(entry.mode, VMK_X86_BOOT_64);
    ck_assert_uint_eq(entry.address, MIB);
    ck_assert_uint_eq(entry.info, VMK_X86_BOOT_PARAMS);
    ck_assert_mem_eq(guest.bytes + MIB, bytes, sizeof bytes);
    guest_refuse(&guest, bytes, 0, &options, -ENOEXEC, "empty");
    options.raw_address = MIB - 1;
    guest_refuse(&guest, bytes, sizeof bytes, &options, -E2BIG, "[0xfffff, 0x100003)");
    options.raw_address = 8 * MIB - sizeof bytes + 1;
    guest_refuse(&guest, bytes, sizeof bytes, &options, -E2BIG, "not within");
    options.raw_address = UINT64_MAX;
    guest_refuse(&guest, bytes, sizeof bytes, &options, -E2BIG, "not within");
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("boot_vmlinux");
    TCase *tests = tcase_create("vmlinux");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, pvh_is_taken_where_there_is_a_note);
    tcase_add_test(tests, the_start_info_tells_of_all);
    tcase_add_test(tests, without_a_note_the_64_bit_entry_is_taken);
    tcase_add_test(tests, an_entry_point_may_be_virtual);
    tcase_add_test(tests, each_field_is_checked);
    tcase_add_test(tests, more_notes_than_there_are_are_refused);
    tcase_add_test(tests, a_file_cut_anywhere_is_refused);
    tcase_add_test(tests, no_change_of_a_few_bytes_does_harm);
    tcase_add_test(tests, a_raw_binary_starts_where_it_is_put);
    suite_add_tcase(suite, tests);
    return suite;
}
