/* SPDX-License-Identifier: Apache-2.0 */
/* vmk_symbols_read(): which names a program has, and that no file, however made, does harm. */
#include "boot/symbols.h"
#include "harness.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYMBOLS 12
#define SECTIONS 5
#define CODE 0x401000
#define DATA 0x402000

/* A file whose segments are code at CODE and data at DATA, 0x1000 bytes each. */
struct file {
    Elf64_Ehdr header;
    Elf64_Shdr sections[SECTIONS];
    Elf64_Sym symbols[SYMBOLS];
    char names[128];
};

static const struct vmk_elf elf = {
    .segment_count = 2,
    .segments = {{.va = CODE, .memory_size = 0x1000, .rights = VMK_ELF_READ | VMK_ELF_EXECUTE},
                 {.va = DATA, .memory_size = 0x1000, .rights = VMK_ELF_READ | VMK_ELF_WRITE}},
};

enum { MAIN = 1, HELPER, HELPER_AGAIN, TABLE, CHOSEN, LOCAL, LABEL, OUTSIDE, MISSING, FIXED, WEAK };

static Elf64_Sym
symbol(unsigned name, unsigned binding, unsigned type, uint64_t value)
{
    return (Elf64_Sym){.st_name = name,
                       .st_info = (unsigned char)ELF64_ST_INFO(binding, type),
                       .st_shndx = 1,
                       .st_value = value,
                       .st_size = 16};
}

static struct file
make_file(void)
{
    static const char names[] =
        "\0main\0helper\0table\0chosen\0local\0label\0outside\0missing\0fixed";
    struct file file = {
        .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                   .e_shoff = offsetof(struct file, sections),
                   .e_shentsize = sizeof(Elf64_Shdr),
                   .e_shnum = SECTIONS},
        .sections = {[1] = {.sh_type = SHT_PROGBITS},
                     [2] = {.sh_type = SHT_SYMTAB,
                            .sh_offset = offsetof(struct file, symbols),
                            .sh_size = sizeof file.symbols,
                            .sh_link = 4,
                            .sh_entsize = sizeof(Elf64_Sym)},
                     [3] = {.sh_type = SHT_DYNSYM, .sh_offset = UINT64_MAX},
                     [4] = {.sh_type = SHT_STRTAB,
                            .sh_offset = offsetof(struct file, names),
                            .sh_size = sizeof file.names}},
        .symbols = {[MAIN] = symbol(1, STB_GLOBAL, STT_FUNC, CODE),
                    [HELPER] = symbol(6, STB_LOCAL, STT_FUNC, CODE + 16),
                    [HELPER_AGAIN] = symbol(6, STB_LOCAL, STT_FUNC, CODE + 32),
                    [TABLE] = symbol(13, STB_GLOBAL, STT_OBJECT, DATA + 64),
                    [CHOSEN] = symbol(19, STB_GLOBAL, STT_GNU_IFUNC, CODE + 48),
                    [LOCAL] = symbol(26, STB_LOCAL, STT_TLS, 8),
                    [LABEL] = symbol(32, STB_LOCAL, STT_NOTYPE, CODE + 64),
                    [OUTSIDE] = symbol(38, STB_GLOBAL, STT_FUNC, DATA),
                    [MISSING] = symbol(46, STB_GLOBAL, STT_FUNC, CODE + 80),
                    [FIXED] = symbol(54, STB_GLOBAL, STT_OBJECT, DATA),
                    [WEAK] = symbol(1, STB_WEAK, STT_FUNC, CODE + 96)},
    };
    file.symbols[MISSING].st_shndx = SHN_UNDEF;
    file.symbols[FIXED].st_shndx = SHN_ABS;
    memcpy(file.names, names, sizeof names);
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
read_symbols(const void *data, size_t size, struct vmk_symbols **symbols, vmkit_error **error)
{
    struct source source = {.data = data, .size = size};
    struct vmk_boot_file input = {
        .read = read_source, .user_data = &source, .size = size, .name = "sample"};
    return vmk_symbols_read(&input, &elf, symbols, error);
}

static struct vmk_symbols *
must_read(const struct file *file)
{
    struct vmk_symbols *symbols = NULL;
    vmkit_error *error = NULL;
    if (read_symbols(file, sizeof *file, &symbols, &error) < 0)
        ck_abort_msg("%s", vmkit_error_get_message(error));
    return symbols;
}

static void
refuse(const struct file *file, const char *word)
{
    struct vmk_symbols *symbols = (struct vmk_symbols *)1;
    vmkit_error *error = NULL;
    ck_assert_int_eq(read_symbols(file, sizeof *file, &symbols, &error), -ENOEXEC);
    ck_assert_ptr_eq(symbols, (struct vmk_symbols *)1);
    ck_assert_int_eq(vmkit_error_get_kind(error), VMKIT_ERROR_BAD_IMAGE);
    ck_assert_msg(strstr(vmkit_error_get_message(error), word) != NULL, "\"%s\" lacks \"%s\"",
                  vmkit_error_get_message(error), word);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "sample: "));
    vmkit_error_unref(error);
}

static void
check_symbol(const struct vmk_symbols *symbols, const char *name, enum vmk_symbol_kind kind,
             uint64_t va, bool is_ambiguous)
{
    const struct vmk_symbol *found = vmk_symbols_find(symbols, name);
    ck_assert_msg(found != NULL, "%s is missing", name);
    ck_assert_int_eq(found->kind, kind);
    ck_assert_uint_eq(found->va, va);
    ck_assert_uint_eq(found->size, 16);
    ck_assert_int_eq(found->is_ambiguous, is_ambiguous);
}

START_TEST(a_good_file_gives_what_can_be_used)
{
    struct file file = make_file();
    struct vmk_symbols *symbols = must_read(&file);
    ck_assert_uint_eq(vmk_symbols_get_count(symbols), 6);
    check_symbol(symbols, "main", VMK_SYMBOL_FUNCTION, CODE, false);
    check_symbol(symbols, "helper", VMK_SYMBOL_FUNCTION, CODE + 16, true);
    check_symbol(symbols, "table", VMK_SYMBOL_OBJECT, DATA + 64, false);
    check_symbol(symbols, "chosen", VMK_SYMBOL_INDIRECT, CODE + 48, false);
    check_symbol(symbols, "local", VMK_SYMBOL_THREAD_LOCAL, 8, false);
    check_symbol(symbols, "label", VMK_SYMBOL_FUNCTION, CODE + 64, false);
    ck_assert_ptr_null(vmk_symbols_find(symbols, "outside"));
    ck_assert_ptr_null(vmk_symbols_find(symbols, "missing"));
    ck_assert_ptr_null(vmk_symbols_find(symbols, "fixed"));
    ck_assert_ptr_null(vmk_symbols_find(symbols, "mai"));
    ck_assert_ptr_null(vmk_symbols_find(symbols, ""));
    ck_assert_ptr_eq(vmk_symbols_ref(symbols), symbols);
    vmk_symbols_unref(symbols);
    check_symbol(symbols, "main", VMK_SYMBOL_FUNCTION, CODE, false);
    vmk_symbols_unref(symbols);
    vmk_symbols_unref(NULL);
}
END_TEST

START_TEST(a_global_name_hides_a_weak_one_and_that_a_local_one)
{
    struct file file = make_file();
    file.symbols[HELPER_AGAIN].st_info = ELF64_ST_INFO(STB_WEAK, STT_FUNC);
    struct vmk_symbols *symbols = must_read(&file);
    check_symbol(symbols, "helper", VMK_SYMBOL_FUNCTION, CODE + 32, false);
    vmk_symbols_unref(symbols);
    file.symbols[HELPER].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
    symbols = must_read(&file);
    check_symbol(symbols, "helper", VMK_SYMBOL_FUNCTION, CODE + 16, false);
    vmk_symbols_unref(symbols);
    /* Two names of one place are no matter. */
    file.symbols[HELPER_AGAIN] = file.symbols[HELPER];
    symbols = must_read(&file);
    check_symbol(symbols, "helper", VMK_SYMBOL_FUNCTION, CODE + 16, false);
    vmk_symbols_unref(symbols);
}
END_TEST

START_TEST(the_dynamic_symbols_do_where_there_are_no_others)
{
    struct file file = make_file();
    file.sections[3] = file.sections[2];
    file.sections[3].sh_type = SHT_DYNSYM;
    file.sections[2].sh_type = SHT_PROGBITS;
    struct vmk_symbols *symbols = must_read(&file);
    check_symbol(symbols, "main", VMK_SYMBOL_FUNCTION, CODE, false);
    vmk_symbols_unref(symbols);
}
END_TEST

START_TEST(a_stripped_file_has_none)
{
    struct file file = make_file();
    file.header.e_shoff = 0;
    struct vmk_symbols *symbols = must_read(&file);
    ck_assert_uint_eq(vmk_symbols_get_count(symbols), 0);
    ck_assert_ptr_null(vmk_symbols_find(symbols, "main"));
    ck_assert_ptr_null(vmk_symbols_suggest(symbols, "main"));
    vmk_symbols_unref(symbols);
    file = make_file();
    file.sections[2].sh_type = file.sections[3].sh_type = SHT_NOTE;
    symbols = must_read(&file);
    ck_assert_uint_eq(vmk_symbols_get_count(symbols), 0);
    vmk_symbols_unref(symbols);
    file = make_file();
    file.sections[2].sh_size = 0;
    symbols = must_read(&file);
    ck_assert_uint_eq(vmk_symbols_get_count(symbols), 0);
    ck_assert_ptr_null(vmk_symbols_find(symbols, "main"));
    vmk_symbols_unref(symbols);
}
END_TEST

START_TEST(a_name_that_resembles_is_suggested)
{
    struct file file = make_file();
    strcpy(file.names + 64, "_Z4mainv");
    strcpy(file.names + 80, "_Z4mainvx");
    strcpy(file.names + 96, "bad\nmai");
    file.symbols[MISSING] = symbol(64, STB_GLOBAL, STT_FUNC, CODE + 80);
    file.symbols[FIXED] = symbol(80, STB_GLOBAL, STT_FUNC, CODE + 80);
    file.symbols[OUTSIDE] = symbol(96, STB_GLOBAL, STT_FUNC, CODE + 80);
    struct vmk_symbols *symbols = must_read(&file);
    ck_assert_str_eq(vmk_symbols_suggest(symbols, "4main"), "_Z4mainv");
    ck_assert_str_eq(vmk_symbols_suggest(symbols, "MAIN"), "main");
    ck_assert_str_eq(vmk_symbols_suggest(symbols, "mai"), "main");
    ck_assert_ptr_null(vmk_symbols_suggest(symbols, "bad"));
    ck_assert_ptr_null(vmk_symbols_suggest(symbols, "tabl"));
    ck_assert_ptr_null(vmk_symbols_suggest(symbols, "mainx"));
    ck_assert_ptr_null(vmk_symbols_suggest(symbols, ""));
    vmk_symbols_unref(symbols);
}
END_TEST

#define REFUSE(change, word)            \
    do {                                \
        struct file file = make_file(); \
        change;                         \
        refuse(&file, word);            \
    } while (0)

START_TEST(each_field_is_checked)
{
    REFUSE(file.header.e_shentsize = 40, "40 bytes");
    REFUSE(file.header.e_shoff = UINT64_MAX, "section headers");
    REFUSE(file.header.e_shoff = UINT64_MAX - 63, "section headers");
    REFUSE(file.header.e_shoff = sizeof file - 10, "section headers");
    REFUSE(file.header.e_shnum = 0xffff, "section headers");
    REFUSE((file.header.e_shnum = 0, file.sections[0].sh_size = UINT64_MAX), "sections, more");
    REFUSE(file.sections[2].sh_offset = UINT64_MAX, "beyond the file");
    REFUSE(file.sections[2].sh_offset = sizeof file, "beyond the file");
    REFUSE(file.sections[2].sh_size = UINT64_MAX, "beyond the file");
    REFUSE(file.sections[2].sh_entsize = 0, "symbols of 0 bytes");
    REFUSE(file.sections[2].sh_entsize = 16, "symbols of 16 bytes");
    REFUSE(file.sections[2].sh_link = 5, "section 5 of 5");
    REFUSE(file.sections[2].sh_link = UINT32_MAX, "section 4294967295 of 5");
    REFUSE(file.sections[2].sh_link = 1, "section of type 1");
    REFUSE(file.sections[4].sh_offset = UINT64_MAX - 3, "a string table of 128 bytes at offset");
    REFUSE(file.sections[4].sh_size = sizeof file, "beyond the file");
    REFUSE(file.symbols[MAIN].st_name = 128, "128 of 128 bytes");
    REFUSE(file.symbols[LABEL].st_name = UINT32_MAX, "of names");
    REFUSE(file.sections[4].sh_size = 0, "0 of 0 bytes");
    /* More sections than the field can say. */
    struct file file = make_file();
    file.header.e_shnum = 0;
    file.sections[0].sh_size = SECTIONS;
    vmk_symbols_unref(must_read(&file));
}
END_TEST

START_TEST(names_without_an_end_stop_at_the_tables)
{
    struct file file = make_file();
    memset(file.names, 'x', sizeof file.names);
    for (unsigned i = 0; i < SYMBOLS; i++)
        file.symbols[i].st_name = 100 + i;
    struct vmk_symbols *symbols = must_read(&file);
    ck_assert_ptr_nonnull(vmk_symbols_find(symbols, "xxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    vmk_symbols_unref(symbols);
}
END_TEST

/* A file with many symbols, and their names, in which each may stand for any other's. */
static uint8_t *
make_large(size_t count, size_t names_size, size_t *ret_size)
{
    struct file small = make_file();
    size_t symbols_size = count * sizeof(Elf64_Sym);
    *ret_size = sizeof small + symbols_size + names_size;
    uint8_t *data = calloc(1, *ret_size);
    small.sections[2].sh_offset = sizeof small;
    small.sections[2].sh_size = symbols_size;
    small.sections[4].sh_offset = sizeof small + symbols_size;
    small.sections[4].sh_size = names_size;
    memcpy(data, &small, sizeof small);
    for (size_t i = 0; i < count; i++) {
        Elf64_Sym one = symbol((unsigned)i, STB_GLOBAL, STT_FUNC, CODE + i % 0x1000);
        memcpy(data + sizeof small + i * sizeof one, &one, sizeof one);
    }
    return data;
}

START_TEST(names_that_overlap_cost_nothing)
{
    size_t size, count = 200000;
    uint8_t *data = make_large(count, count, &size);
    struct vmk_symbols *symbols = NULL;
    vmkit_error *error = NULL;
    memset(data + size - count, 'a', count);
    ck_assert_int_eq(read_symbols(data, size, &symbols, &error), -ENOEXEC);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "overlap"));
    vmkit_error_unref(error);
    free(data);
}
END_TEST

START_TEST(many_names_are_found)
{
    size_t size, count = 20000;
    uint8_t *data = make_large(count, count * 8, &size);
    struct vmk_symbols *symbols = NULL;
    char *names = (char *)data + size - count * 8;
    for (size_t i = 0; i < count; i++) {
        Elf64_Sym *one = (Elf64_Sym *)(void *)(data + sizeof(struct file)) + i;
        one->st_name = (uint32_t)(i * 8);
        snprintf(names + i * 8, 8, "f%zu", i);
    }
    ck_assert_int_eq(read_symbols(data, size, &symbols, NULL), 0);
    ck_assert_uint_eq(vmk_symbols_get_count(symbols), count);
    for (size_t i = 0; i < count; i++)
        check_symbol(symbols, names + i * 8, VMK_SYMBOL_FUNCTION, CODE + i % 0x1000, false);
    ck_assert_ptr_null(vmk_symbols_find(symbols, "f20000"));
    vmk_symbols_unref(symbols);
    free(data);
}
END_TEST

START_TEST(a_file_cut_anywhere_is_refused_or_has_none)
{
    struct file file = make_file();
    for (size_t size = 0; size < sizeof file; size++) {
        struct vmk_symbols *symbols = NULL;
        vmkit_error *error = NULL;
        /* A copy of that size, so that a read beyond it is noticed. */
        uint8_t *copy = malloc(size + (size == 0));
        memcpy(copy, &file, size);
        ck_assert_int_eq(read_symbols(copy, size, &symbols, &error), -ENOEXEC);
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
    struct vmk_symbols *symbols = NULL;
    vmkit_error *error = NULL;
    ck_assert_int_eq(vmk_symbols_read(&input, &elf, &symbols, &error), -EIO);
    ck_assert_int_eq(vmkit_error_get_kind(error), VMKIT_ERROR_IO);
    vmkit_error_unref(error);
}
END_TEST

/* xorshift64: the same sequence everywhere. */
static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

START_TEST(no_change_of_a_few_bytes_does_harm)
{
    const struct file good = make_file();
    uint64_t state = 88172645463325252;
    for (int round = 0; round < 20000; round++) {
        struct file *file = malloc(sizeof *file);
        struct vmk_symbols *symbols = NULL;
        memcpy(file, &good, sizeof good);
        for (uint64_t changes = 1 + next_random(&state) % 4; changes > 0; changes--)
            ((uint8_t *)file)[next_random(&state) % sizeof *file] = (uint8_t)next_random(&state);
        if (read_symbols(file, sizeof *file, &symbols, NULL) == 0) {
            const struct vmk_symbol *found = vmk_symbols_find(symbols, "main");
            if (found != NULL && found->kind == VMK_SYMBOL_FUNCTION)
                ck_assert_uint_lt(found->va - CODE, 0x1000);
            vmk_symbols_suggest(symbols, "help");
        }
        vmk_symbols_unref(symbols);
        free(file);
    }
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("boot_symbols");
    TCase *tests = tcase_create("symbols");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_good_file_gives_what_can_be_used);
    tcase_add_test(tests, a_global_name_hides_a_weak_one_and_that_a_local_one);
    tcase_add_test(tests, the_dynamic_symbols_do_where_there_are_no_others);
    tcase_add_test(tests, a_stripped_file_has_none);
    tcase_add_test(tests, a_name_that_resembles_is_suggested);
    tcase_add_test(tests, each_field_is_checked);
    tcase_add_test(tests, names_without_an_end_stop_at_the_tables);
    tcase_add_test(tests, names_that_overlap_cost_nothing);
    tcase_add_test(tests, many_names_are_found);
    tcase_add_test(tests, a_file_cut_anywhere_is_refused_or_has_none);
    tcase_add_test(tests, a_file_that_cannot_be_read_says_so);
    tcase_add_test(tests, no_change_of_a_few_bytes_does_harm);
    suite_add_tcase(suite, tests);
    return suite;
}
