/* SPDX-License-Identifier: Apache-2.0 */
/* vmk_elf_read(): what it takes from a good file, and that no other file gets through. */
#include "boot/elf.h"
#include "harness.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT UINT64_C(0x7ffffffff000)
#define FILE_SIZE 0x1400

/* Two segments: code with the headers at 0x400000, data with a rest of zeros at 0x402100. */
struct file {
    Elf64_Ehdr header;
    Elf64_Phdr segments[4];
    uint8_t rest[FILE_SIZE - sizeof(Elf64_Ehdr) - 4 * sizeof(Elf64_Phdr)];
};

static struct file
make_file(void)
{
    struct file file = {
        .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                   .e_type = ET_EXEC,
                   .e_machine = EM_X86_64,
                   .e_version = EV_CURRENT,
                   .e_entry = 0x400200,
                   .e_phoff = sizeof(Elf64_Ehdr),
                   .e_ehsize = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 4},
        .segments = {{.p_type = PT_LOAD,
                      .p_flags = PF_R | PF_W,
                      .p_offset = 0x1100,
                      .p_vaddr = 0x402100,
                      .p_filesz = 0x300,
                      .p_memsz = 0x5000,
                      .p_align = 0x1000},
                     {.p_type = PT_LOAD,
                      .p_flags = PF_R | PF_X,
                      .p_offset = 0,
                      .p_vaddr = 0x400000,
                      .p_filesz = 0x1000,
                      .p_memsz = 0x1000,
                      .p_align = 0x200000},
                     {.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W},
                     {.p_type = PT_NOTE, .p_offset = UINT64_MAX}},
    };
    return file;
}

struct source {
    const uint8_t *data;
    size_t size;
    int error;
};

static ssize_t
read_source(void *user_data, void *buffer, size_t size, uint64_t offset)
{
    const struct source *source = user_data;
    if (source->error != 0)
        return -source->error;
    if (offset >= source->size)
        return 0;
    size = size < source->size - offset ? size : source->size - (size_t)offset;
    memcpy(buffer, source->data + offset, size);
    return (ssize_t)size;
}

static int
read_elf(const void *data, size_t size, struct vmk_elf *elf, vmkit_error **error)
{
    struct source source = {.data = data, .size = size};
    struct vmk_boot_file input = {
        .read = read_source, .user_data = &source, .size = size, .name = "sample"};
    return vmk_elf_read(&input, EM_X86_64, LIMIT, elf, error);
}

static void
refuse(const struct file *file, const char *word)
{
    struct vmk_elf elf = {.entry = 77};
    vmkit_error *error = NULL;
    ck_assert_int_eq(read_elf(file, sizeof *file, &elf, &error), -ENOEXEC);
    ck_assert_uint_eq(elf.entry, 77);
    ck_assert_int_eq(vmkit_error_get_kind(error), VMKIT_ERROR_BAD_IMAGE);
    ck_assert_msg(strstr(vmkit_error_get_message(error), word) != NULL, "\"%s\" lacks \"%s\"",
                  vmkit_error_get_message(error), word);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "sample"));
    vmkit_error_unref(error);
}

/* As Linux does for x86-64: only where it is asked for, and the last header has the say. */
START_TEST(an_executable_stack_is_asked_for)
{
    struct file file = make_file();
    struct vmk_elf elf;
    ck_assert_int_eq(read_elf(&file, sizeof file, &elf, NULL), 0);
    ck_assert(!elf.executable_stack);
    file.segments[2].p_flags = PF_R | PF_W | PF_X;
    ck_assert_int_eq(read_elf(&file, sizeof file, &elf, NULL), 0);
    ck_assert(elf.executable_stack);
    file.segments[2].p_flags = PF_X;
    ck_assert_int_eq(read_elf(&file, sizeof file, &elf, NULL), 0);
    ck_assert(elf.executable_stack);
    file.segments[3] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W};
    ck_assert_int_eq(read_elf(&file, sizeof file, &elf, NULL), 0);
    ck_assert(!elf.executable_stack);
    file.segments[2].p_type = file.segments[3].p_type = PT_NULL;
    ck_assert_int_eq(read_elf(&file, sizeof file, &elf, NULL), 0);
    ck_assert(!elf.executable_stack);
}
END_TEST

START_TEST(a_good_file_is_read)
{
    struct file file = make_file();
    struct vmk_elf elf;
    ck_assert_int_eq(read_elf(&file, sizeof file, &elf, NULL), 0);
    ck_assert(!elf.relocatable);
    ck_assert(!elf.wants_interpreter);
    ck_assert_uint_eq(elf.entry, 0x400200);
    ck_assert_uint_eq(elf.alignment, 0x200000);
    ck_assert_uint_eq(elf.low, 0x400000);
    ck_assert_uint_eq(elf.high, 0x408000);
    ck_assert_uint_eq(elf.headers_va, 0x400040);
    ck_assert_uint_eq(elf.header_count, 4);
    ck_assert_uint_eq(elf.header_size, 56);
    ck_assert_uint_eq(elf.segment_count, 2);
    ck_assert_uint_eq(elf.segments[0].va, 0x400000);
    ck_assert_uint_eq(elf.segments[0].rights, VMK_ELF_READ | VMK_ELF_EXECUTE);
    ck_assert_uint_eq(elf.segments[1].va, 0x402100);
    ck_assert_uint_eq(elf.segments[1].offset, 0x1100);
    ck_assert_uint_eq(elf.segments[1].file_size, 0x300);
    ck_assert_uint_eq(elf.segments[1].memory_size, 0x5000);
    file.header.e_type = ET_DYN;
    file.segments[3] = (Elf64_Phdr){.p_type = PT_INTERP};
    ck_assert_int_eq(read_elf(&file, sizeof file, &elf, NULL), 0);
    ck_assert(elf.relocatable);
    ck_assert(elf.wants_interpreter);
}
END_TEST

START_TEST(a_file_cut_anywhere_is_refused)
{
    struct file file = make_file();
    struct vmk_elf elf;
    for (size_t size = 0; size < sizeof file; size++) {
        vmkit_error *error = NULL;
        /* A copy of that size, so that a read beyond it is noticed. */
        uint8_t *copy = malloc(size + (size == 0));
        memcpy(copy, &file, size);
        ck_assert_int_eq(read_elf(copy, size, &elf, &error), -ENOEXEC);
        ck_assert_ptr_nonnull(error);
        vmkit_error_unref(error);
        free(copy);
    }
}
END_TEST

START_TEST(a_file_that_cannot_be_read_says_so)
{
    struct source source = {.size = sizeof(struct file), .error = EIO};
    struct vmk_boot_file input = {
        .read = read_source, .user_data = &source, .size = source.size, .name = "sample"};
    struct vmk_elf elf;
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmk_elf_read(&input, EM_X86_64, LIMIT, &elf, &error), -EIO);
    ck_assert_int_eq(vmkit_error_get_kind(error), VMKIT_ERROR_IO);
    vmkit_error_unref(error);
    /* One that is shorter than it said. */
    struct file file = make_file();
    source = (struct source){.data = (const uint8_t *)&file, .size = 100};
    ck_assert_int_eq(vmk_elf_read(&input, EM_X86_64, LIMIT, &elf, NULL), -ENOEXEC);
}
END_TEST

#define REFUSE(change, word)            \
    do {                                \
        struct file file = make_file(); \
        change;                         \
        refuse(&file, word);            \
    } while (0)

START_TEST(each_header_field_is_checked)
{
    REFUSE(file.header.e_ident[0] = 0, "not an ELF");
    REFUSE(file.header.e_ident[3] = 'f', "not an ELF");
    REFUSE(file.header.e_ident[EI_CLASS] = ELFCLASS32, "32-bit");
    REFUSE(file.header.e_ident[EI_DATA] = ELFDATA2MSB, "byte order");
    REFUSE(file.header.e_ident[EI_VERSION] = 0, "version");
    REFUSE(file.header.e_version = 2, "version");
    REFUSE(file.header.e_machine = EM_AARCH64, "machine 183");
    REFUSE(file.header.e_type = ET_REL, "type 1");
    REFUSE(file.header.e_type = ET_CORE, "type 4");
    REFUSE(file.header.e_phentsize = 32, "32 bytes");
    REFUSE(file.header.e_phnum = 0, "0 program headers");
    REFUSE(file.header.e_phnum = 0xffff, "65535");
    REFUSE(file.header.e_phnum = 100, "ends inside");
    REFUSE(file.header.e_phoff = UINT64_MAX, "ends inside");
    REFUSE(file.header.e_phoff = UINT64_MAX - 100, "ends inside");
    REFUSE(file.header.e_phoff = sizeof file - 10, "ends inside");
    REFUSE(file.header.e_entry = 0, "entry point 0x0");
    REFUSE(file.header.e_entry = 0x401000, "entry point");
    REFUSE(file.header.e_entry = 0x402200, "entry point");
    REFUSE(file.header.e_entry = UINT64_MAX, "entry point");
}
END_TEST

START_TEST(each_segment_field_is_checked)
{
    REFUSE(file.segments[0].p_type = file.segments[1].p_type = PT_NULL, "no segment");
    REFUSE(file.segments[0].p_memsz = file.segments[1].p_memsz = 0, "no segment");
    REFUSE(file.segments[0].p_filesz = 0x5001, "20481");
    REFUSE(file.segments[0].p_filesz = 0x301, "beyond the file");
    REFUSE(file.segments[0].p_offset = UINT64_MAX & ~0xeffull, "beyond the file");
    REFUSE(file.segments[0].p_offset = 0x100000100, "beyond the file");
    REFUSE(file.segments[0].p_memsz = UINT64_MAX, "address limit");
    REFUSE(file.segments[0].p_memsz = LIMIT, "address limit");
    REFUSE(file.segments[0].p_vaddr = UINT64_MAX & ~0xeffull, "address limit");
    REFUSE(file.segments[0].p_vaddr = 0xffff800000000100, "address limit");
    REFUSE(file.segments[0].p_vaddr = 0x402101, "within a page");
    REFUSE(file.segments[0].p_align = 0x1001, "power of two");
    REFUSE(file.segments[0].p_align = UINT64_C(1) << 63, "above");
    REFUSE(file.segments[0].p_align = UINT64_C(1) << 40, "above");
    REFUSE(file.segments[0].p_vaddr = 0x400100, "overlap");
    REFUSE(file.segments[1].p_memsz = 0x3000, "overlap");
    REFUSE(file.segments[1].p_flags = PF_R, "entry point");
    REFUSE((file.segments[2] = file.segments[0]), "overlap");
}
END_TEST

START_TEST(more_segments_than_there_is_room_for_are_refused)
{
    struct file file = make_file();
    file.header.e_phnum = 80;
    Elf64_Phdr *segments = (Elf64_Phdr *)(void *)((uint8_t *)&file + file.header.e_phoff);
    for (int i = 0; i < 80; i++)
        segments[i] = (Elf64_Phdr){.p_type = PT_LOAD,
                                   .p_flags = PF_R | PF_X,
                                   .p_vaddr = 0x400000 + (uint64_t)i * 0x1000,
                                   .p_memsz = 0x1000};
    refuse(&file, "64 segments");
}
END_TEST

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* What a program may rely on, whatever the file was. */
static void
check_consistent(const struct vmk_elf *elf, size_t size)
{
    bool entry_found = false;
    ck_assert_uint_ge(elf->segment_count, 1);
    ck_assert_uint_le(elf->segment_count, VMK_ELF_MAX_SEGMENTS);
    ck_assert_uint_eq(elf->low & 4095, 0);
    ck_assert_uint_eq(elf->high & 4095, 0);
    ck_assert_uint_le(elf->high, LIMIT);
    ck_assert_uint_ge(elf->alignment, 4096);
    ck_assert_uint_eq(elf->alignment & (elf->alignment - 1), 0);
    for (unsigned i = 0; i < elf->segment_count; i++) {
        const struct vmk_elf_segment *s = &elf->segments[i];
        ck_assert_uint_le(s->file_size, s->memory_size);
        ck_assert_uint_le(s->offset, size);
        ck_assert_uint_le(s->file_size, size - s->offset);
        ck_assert_uint_ge(s->va, elf->low);
        ck_assert_uint_le(s->memory_size, elf->high - s->va);
        ck_assert_uint_eq((s->va - s->offset) & 4095, 0);
        if (i > 0)
            ck_assert_uint_le(s[-1].va + s[-1].memory_size, s->va);
        entry_found = entry_found || elf->entry - s->va < s->memory_size;
    }
    ck_assert(entry_found);
}

START_TEST(no_mutation_gets_through_unchecked)
{
    static const uint64_t values[] = {0,          1,          0xff,           0x1000,
                                      0x7fffffff, 0x80000000, UINT32_MAX,     INT64_MAX,
                                      UINT64_MAX, 1ull << 63, LIMIT - 0x1000, UINT64_MAX - 0xfff};
    uint64_t state = 20240607;
    unsigned good = 0, bad = 0;
    for (int i = 0; i < 100000; i++) {
        struct file file = make_file();
        uint8_t *bytes = (uint8_t *)&file;
        struct vmk_elf elf;
        vmkit_error *error = NULL;
        for (uint64_t n = 1 + next_random(&state) % 4; n > 0; n--) {
            uint64_t at = next_random(&state) % (sizeof file.header + sizeof file.segments);
            uint64_t value = values[next_random(&state) % (sizeof values / sizeof values[0])];
            if (next_random(&state) & 1)
                bytes[at] = (uint8_t)next_random(&state);
            else
                memcpy(bytes + (at & ~UINT64_C(7)), &value, sizeof value);
        }
        int r = read_elf(bytes, sizeof file, &elf, &error);
        if (r == 0) {
            check_consistent(&elf, sizeof file);
            good++;
        } else {
            ck_assert_int_eq(r, -ENOEXEC);
            ck_assert_uint_gt(strlen(vmkit_error_get_message(error)), 10);
            vmkit_error_unref(error);
            bad++;
        }
    }
    ck_assert_uint_gt(good, 1000);
    ck_assert_uint_gt(bad, 10000);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("elf");
    TCase *tcase = tcase_create("elf");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_good_file_is_read);
    tcase_add_test(tcase, an_executable_stack_is_asked_for);
    tcase_add_test(tcase, a_file_cut_anywhere_is_refused);
    tcase_add_test(tcase, a_file_that_cannot_be_read_says_so);
    tcase_add_test(tcase, each_header_field_is_checked);
    tcase_add_test(tcase, each_segment_field_is_checked);
    tcase_add_test(tcase, more_segments_than_there_is_room_for_are_refused);
    tcase_add_test(tcase, no_mutation_gets_through_unchecked);
    suite_add_tcase(suite, tcase);
    return suite;
}
