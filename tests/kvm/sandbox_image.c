/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program's file that changes between the check of its headers and the copy of its bytes. The
 * linker leads the library's call in between here (--wrap).
 */
#include "harness.h"
#include "sandbox/program_image.h"

#include <vmkit/vmkit.h>

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct vmk_program_image *
__wrap_vmk_program_cache_get(struct vmk_program_cache *cache, struct vmk_process *process,
                             struct vmk_file *file);
struct vmk_program_image *
__real_vmk_program_cache_get(struct vmk_program_cache *cache, struct vmk_process *process,
                             struct vmk_file *file);

#define BASE 0x400000
#define KIB ((int64_t)1024)
#define LAST_PAGE(size) ((size)-4096)

static char path[32];
static int64_t cut_to; /* at the next start; -1: it stays */

struct vmk_program_image *
__wrap_vmk_program_cache_get(struct vmk_program_cache *cache, struct vmk_process *process,
                             struct vmk_file *file)
{
    if (cut_to >= 0)
        ck_assert_int_eq(truncate(path, cut_to), 0);
    return __real_vmk_program_cache_get(cache, process, file);
}

/* A program of one segment, read-only and as large as its file. It writes the first byte of its
 * last page to its output, and exits with 255, or with the errno. */
static void
write_program(int64_t size)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segment;
        uint8_t code[36];
    } start = {
        .header = {.e_type = ET_EXEC,
                   .e_machine = EM_X86_64,
                   .e_version = EV_CURRENT,
                   .e_entry = BASE + offsetof(typeof(start), code),
                   .e_phoff = offsetof(typeof(start), segment),
                   .e_ehsize = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 1},
        .segment = {.p_type = PT_LOAD,
                    .p_flags = PF_R | PF_X,
                    .p_vaddr = BASE,
                    .p_filesz = (uint64_t)size,
                    .p_memsz = (uint64_t)size,
                    .p_align = 4096},
        .code = {0xb8, 1,    0,    0,    0,             /* mov $SYS_write, %eax */
                 0xbf, 1,    0,    0,    0,             /* mov $1, %edi */
                 0xbe, 0,    0,    0,    0,             /* mov $BASE + LAST_PAGE, %esi */
                 0xba, 1,    0,    0,    0,             /* mov $1, %edx */
                 0x0f, 0x05, 0x89, 0xc7,                /* syscall; mov %eax, %edi */
                 0xf7, 0xdf,                            /* neg %edi */
                 0xb8, 0xe7, 0,    0,    0, 0x0f, 0x05, /* mov $SYS_exit_group, %eax; syscall */
                 0xf4},
    };
    uint32_t last_page = (uint32_t)(BASE + LAST_PAGE(size));
    memcpy(start.code + 11, &last_page, sizeof last_page);
    memcpy(start.header.e_ident, ELFMAG, SELFMAG);
    start.header.e_ident[EI_CLASS] = ELFCLASS64;
    start.header.e_ident[EI_DATA] = ELFDATA2LSB;
    start.header.e_ident[EI_VERSION] = EV_CURRENT;

    strcpy(path, "/tmp/vmkit-image-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, size), 0);
    ck_assert_int_eq(pwrite(fd, &start, sizeof start, 0), sizeof start);
    ck_assert_int_eq(pwrite(fd, "!", 1, LAST_PAGE(size)), 1);
    close(fd);
}

/* Make a sandbox of the program, whose file is cut meanwhile, and run it: the exit status, or a
 * negative signal, or the negative errno of vmkit_sandbox_new(). */
static int
start_and_cut(int64_t size, int64_t cut)
{
    vmkit_sandbox_config *config = NULL;
    vmkit_sandbox *sandbox = NULL;
    vmkit_error *error = NULL;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    write_program(size);
    ck_assert_int_eq(vmkit_sandbox_config_new(&config, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_config_set_program_path(config, path, NULL), 0);
    cut_to = cut;
    int r = vmkit_sandbox_new(config, &sandbox, &error);
    if (r == 0) {
        ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
        r = outcome.kind == VMKIT_OUTCOME_EXITED ? outcome.exit_status : -outcome.signal;
    } else {
        ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), path));
    }
    unlink(path);
    vmkit_error_unref(error);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
    return r;
}

/* The image is too short, so that the file is read instead: what is gone is missing to the program
 * alone, and without its first page there is no program. */
START_TEST(a_program_that_is_cut_misses_its_end)
{
    /* Read at the start, and page by page. */
    int64_t size = _i == 0 ? 64 * KIB : 5120 * KIB;
    ck_assert_int_eq(start_and_cut(size, -1), 255);
    ck_assert_int_eq(start_and_cut(size, size), 255);
    /* The rest of a page is zeros, as Linux maps it. */
    ck_assert_int_eq(start_and_cut(size, LAST_PAGE(size) + 1), 255);
    ck_assert_int_eq(start_and_cut(size, LAST_PAGE(size)), EFAULT);
    ck_assert_int_eq(start_and_cut(size, 4096), EFAULT);
}
END_TEST

START_TEST(a_program_that_is_emptied_is_refused_or_faults)
{
    ck_assert_int_eq(start_and_cut(64 * KIB, 0), -EIO);
    ck_assert_int_eq(start_and_cut(5120 * KIB, 0), -SIGBUS);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_image");
    TCase *tcase = tcase_create("sandbox_image");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_program_that_is_cut_misses_its_end, 0, 2);
    tcase_add_test(tcase, a_program_that_is_emptied_is_refused_or_faults);
    suite_add_tcase(suite, tcase);
    return suite;
}
