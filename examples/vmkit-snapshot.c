/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmkit-snapshot: says what snapshot files are, checks them, merges a chain of them, and compares
 * two. It runs nothing that is in them.
 */
#include "output.h"
#include "progress.h"

#include <vmkit/vmkit.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATUS_GOOD = 0, STATUS_BAD = 1, STATUS_TROUBLE = 2, STATUS_SIGNAL = 128 };

#define MAX_FILES 256

static const char help[] =
    "usage: vmkit-snapshot info FILE...\n"
    "       vmkit-snapshot verify FILE...\n"
    "       vmkit-snapshot merge [--level N] [--no-sync] [--threads N] -o FILE FILE...\n"
    "       vmkit-snapshot diff FILE FILE [PARENT...]\n"
    "\n"
    "  info      say what the files are, without reading their memory\n"
    "  verify    check every byte of the files\n"
    "  merge     write a snapshot with all of its parents, given in any order, as one full file\n"
    "  diff      say how many sections and pages of two snapshots differ; those that are the same\n"
    "            as in a parent are known only when the parent is given\n"
    "\n"
    "  -o FILE        file to write, which is replaced only when all is well; - for standard "
    "output\n"
    "  --level N      0: raw, which a restore maps (0); 1 (fast) to 9 (small): compressed\n"
    "  --no-sync      do not wait until the file is on the disk\n"
    "  --threads N    threads to use (one a processor)\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 when all is well, or the two are equal; 1 when a file is damaged or cannot be\n"
    "used, or the two differ; 2 for a wrong command line, and when diff cannot compare; 128+n "
    "after\n"
    "signal n.\n";

struct program {
    vmkit_snapshot_options *options;
    const char *output;
    int count;
    char **paths;
    vmkit_snapshot_file *files[MAX_FILES];
    struct vmkit_snapshot_file_info infos[MAX_FILES];
};

static void
complain(const char *format, ...)
{
    va_list list;

    progress_clear();
    va_start(list, format);
    fputs("vmkit-snapshot: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
}

/* Tells of a library error, if there is one, and releases it. */
static bool
succeeded(int result, vmkit_error **error)
{
    if (result >= 0)
        return true;
    complain("%s", vmkit_error_get_message(*error));
    vmkit_error_unref(*error);
    *error = NULL;
    return false;
}

static const char *
identity_text(const uint8_t *identity, char *buffer)
{
    for (size_t i = 0; i < 16; i++)
        snprintf(buffer + 2 * i, 3, "%02x", identity[i]);
    return buffer;
}

static bool
open_file(struct program *program, int number)
{
    vmkit_error *error = NULL;
    vmkit_snapshot_file **file = &program->files[number];
    int result = vmkit_snapshot_file_open_path(program->paths[number], 0, file, &error);

    program->infos[number].size = sizeof program->infos[number];
    if (result == 0)
        result = vmkit_snapshot_file_get_info(*file, &program->infos[number], &error);
    return succeeded(result, &error);
}

static bool
open_files(struct program *program)
{
    bool good = true;

    for (int i = 0; i < program->count; i++)
        good = open_file(program, i) && good;
    return good;
}

/* The file whose identity it is, or -1. */
static int
find_file(const struct program *program, const uint8_t *identity)
{
    for (int i = 0; i < program->count; i++) {
        if (program->files[i] != NULL && memcmp(program->infos[i].identity, identity, 16) == 0)
            return i;
    }
    return -1;
}

/* Give each incremental file its parent, if that is among the files. */
static bool
link_files(struct program *program)
{
    vmkit_error *error = NULL;
    bool good = true;

    for (int i = 0; i < program->count; i++) {
        int parent = program->files[i] == NULL || program->infos[i].depth == 0
                         ? -1
                         : find_file(program, program->infos[i].parent);
        if (parent >= 0)
            good = succeeded(vmkit_snapshot_file_set_parent(program->files[i],
                                                            program->files[parent], &error),
                             &error) &&
                   good;
    }
    return good;
}

static void
print_sections(const struct program *program, int number)
{
    for (uint32_t i = 0; i < program->infos[number].section_count; i++) {
        struct vmkit_snapshot_file_section section = {.size = sizeof section};
        if (vmkit_snapshot_file_get_section(program->files[number], i, &section, NULL) < 0)
            return;
        printf("  section       %-16s version %" PRIu32 ", %" PRIu64 " bytes%s\n", section.name,
               section.version, section.bytes, section.required != 0 ? ", required" : "");
    }
}

/* What would go on from the file. Compressed memory, which would have to be unpacked for it, and a
 * file that needs others, are left alone. */
static void
print_contents(const struct program *program, int number)
{
    struct vmkit_snapshot_info info = {.size = sizeof info};
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;

    if (program->infos[number].compressed != 0 || program->infos[number].depth > 0)
        return;
    int result = vmkit_snapshot_open_path(program->paths[number], 0, NULL, &snapshot, &error);
    if (result == 0)
        result = vmkit_snapshot_get_info(snapshot, &info, &error);
    if (result < 0)
        printf("  holds         nothing that can be restored here: %s\n",
               vmkit_error_get_message(error));
    else if (info.kind == VMKIT_SNAPSHOT_OF_SANDBOX)
        printf("  holds         a sandbox at 0x%" PRIx64 ": %" PRIu64 " of %" PRIu64
               " bytes of memory in use, %" PRIu64 " bytes of files, signals and the like\n",
               info.instruction_pointer, info.memory_bytes, info.memory_limit_bytes,
               info.process_bytes);
    else
        printf("  holds         a raw VM of %" PRIu32 " vCPUs\n", info.vcpu_count);
    vmkit_error_unref(error);
    vmkit_snapshot_unref(snapshot);
}

static void
print_info(const struct program *program, int number)
{
    const struct vmkit_snapshot_file_info *info = &program->infos[number];
    char text[33];

    printf("%s\n", program->paths[number]);
    printf("  format        version %" PRIu32 ", %" PRIu64 " bytes\n", info->version,
           info->file_size);
    printf("  architecture  %s\n", info->architecture);
    printf("  identity      %s\n", identity_text(info->identity, text));
    if (info->depth > 0)
        printf("  parent        %s, of %" PRIu32 " in a chain\n", identity_text(info->parent, text),
               info->depth);
    printf("  memory        %" PRIu64 " bytes: %" PRIu64 " pages of data, %" PRIu64
           " zero, %" PRIu64 " as in the parent\n",
           info->memory_size, info->data_pages, info->zero_pages, info->parent_pages);
    printf("  stored        %s, %" PRIu64 " bytes\n", info->compressed != 0 ? "compressed" : "raw",
           info->stored_bytes);
    print_contents(program, number);
    print_sections(program, number);
}

static int
run_info(struct program *program)
{
    bool good = open_files(program);

    for (int i = 0; i < program->count; i++) {
        if (program->infos[i].file_size > 0)
            print_info(program, i);
    }
    return good ? STATUS_GOOD : STATUS_BAD;
}

static bool
verify_file(struct program *program, int number)
{
    vmkit_error *error = NULL;
    char text[33];

    int result = vmkit_snapshot_file_verify(program->files[number], program->options, &error);
    if (!succeeded(result, &error))
        return false;
    progress_clear();
    printf("%s: good%s%s\n", program->paths[number],
           program->infos[number].depth > 0 ? ", and needs " : "",
           program->infos[number].depth > 0 ? identity_text(program->infos[number].parent, text)
                                            : "");
    return true;
}

static int
run_verify(struct program *program)
{
    bool good = open_files(program);

    good = link_files(program) && good;
    for (int i = 0; i < program->count && progress_get_signal() == 0; i++) {
        if (program->files[i] != NULL)
            good = verify_file(program, i) && good;
    }
    return good ? STATUS_GOOD : STATUS_BAD;
}

/* The one file that no other one names as its parent. */
static int
find_last(const struct program *program)
{
    int last = -1;

    for (int i = 0; i < program->count; i++) {
        bool is_parent = false;
        for (int j = 0; j < program->count; j++)
            is_parent |= program->infos[j].depth > 0 &&
                         memcmp(program->infos[j].parent, program->infos[i].identity, 16) == 0;
        if (is_parent)
            continue;
        if (last >= 0) {
            complain("%s and %s are not in one chain", program->paths[last], program->paths[i]);
            return -1;
        }
        last = i;
    }
    return last;
}

static int
run_merge(struct program *program)
{
    vmkit_error *error = NULL;
    bool to_stdout = strcmp(program->output, "-") == 0;

    if (to_stdout && isatty(STDOUT_FILENO) == 1) {
        complain("a snapshot is not written to a terminal");
        return STATUS_TROUBLE;
    }
    if (!open_files(program) || !link_files(program))
        return STATUS_BAD;
    int last = find_last(program);
    if (last < 0)
        return STATUS_BAD;
    int result = to_stdout ? vmkit_snapshot_file_merge_fd(program->files[last], STDOUT_FILENO,
                                                          program->options, &error)
                           : vmkit_snapshot_file_merge_path(program->files[last], program->output,
                                                            program->options, &error);
    return succeeded(result, &error) ? STATUS_GOOD : STATUS_BAD;
}

static int
run_diff(struct program *program)
{
    struct vmkit_snapshot_file_difference difference = {.size = sizeof difference};
    vmkit_error *error = NULL;

    if (!open_files(program) || !link_files(program) ||
        !succeeded(
            vmkit_snapshot_file_diff(program->files[0], program->files[1], &difference, &error),
            &error))
        return STATUS_TROUBLE;
    printf("sections: %" PRIu32 " equal, %" PRIu32 " changed, %" PRIu32 " only in %s, %" PRIu32
           " only in %s\n",
           difference.sections_equal, difference.sections_changed,
           difference.sections_only_in_first, program->paths[0], difference.sections_only_in_second,
           program->paths[1]);
    printf("pages: %" PRIu64 " equal, %" PRIu64 " changed, %" PRIu64 " unknown\n",
           difference.pages_equal, difference.pages_changed, difference.pages_unknown);
    bool equal = difference.sections_changed == 0 && difference.sections_only_in_first == 0 &&
                 difference.sections_only_in_second == 0 && difference.pages_changed == 0 &&
                 difference.pages_unknown == 0;
    return equal ? STATUS_GOOD : STATUS_BAD;
}

static const struct command {
    const char *name;
    int (*run)(struct program *program);
    char *doing;
    int least;
    bool writes;
} commands[] = {
    {"info", run_info, "reading", 1, false},
    {"verify", run_verify, "verifying", 1, false},
    {"merge", run_merge, "merging", 1, true},
    {"diff", run_diff, "comparing", 2, false},
};

static const struct command *
find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

/* A number for one of the options' setters, which says what is wrong with it. */
static bool
set_number(struct program *program, const char *option, const char *text,
           int (*set)(vmkit_snapshot_options *, uint32_t, vmkit_error **))
{
    vmkit_error *error = NULL;
    char *end;

    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || number > UINT32_MAX) {
        complain("%s takes a number, not '%s'", option, text);
        return false;
    }
    return succeeded(set(program->options, (uint32_t)number, &error), &error);
}

enum { OPTION_LEVEL = 256, OPTION_NO_SYNC, OPTION_THREADS, OPTION_HELP, OPTION_VERSION };

/* Returns -1 to go on, or the status to exit with. */
static int
take_option(struct program *program, int option)
{
    switch (option) {
    case 'o':
        program->output = optarg;
        return -1;
    case OPTION_LEVEL:
        return set_number(program, "--level", optarg, vmkit_snapshot_options_set_compression)
                   ? -1
                   : STATUS_TROUBLE;
    case OPTION_THREADS:
        return set_number(program, "--threads", optarg, vmkit_snapshot_options_set_threads)
                   ? -1
                   : STATUS_TROUBLE;
    case OPTION_NO_SYNC:
        vmkit_snapshot_options_set_sync(program->options, 0, NULL);
        return -1;
    case OPTION_HELP:
        fputs(help, stdout);
        return STATUS_GOOD;
    case OPTION_VERSION: {
        uint32_t version = vmkit_get_version();
        printf("vmkit-snapshot %u.%u.%u\n", version >> 16, version >> 8 & 0xff, version & 0xff);
        return STATUS_GOOD;
    }
    default:
        /* getopt_long() said what is wrong. */
        complain("'vmkit-snapshot --help' says how");
        return STATUS_TROUBLE;
    }
}

/* Whether the command line fits the command; what does not is said. */
static bool
check_command(const struct program *program, const struct command *command, const char *name)
{
    if (name == NULL)
        complain("which command? info, verify, merge or diff");
    else if (command == NULL)
        complain("there is no command '%s', but info, verify, merge and diff", name);
    else if (program->count < command->least)
        complain("%s takes at least %d file%s, not %d", name, command->least,
                 command->least == 1 ? "" : "s", program->count);
    else if (program->count > MAX_FILES)
        complain("%s takes up to %d files, not %d", name, MAX_FILES, program->count);
    else if (command->writes && program->output == NULL)
        complain("%s takes -o FILE, the file to write", name);
    else if (!command->writes && program->output != NULL)
        complain("%s writes no file, and takes no -o", name);
    else
        return true;
    complain("'vmkit-snapshot --help' says how");
    return false;
}

static int
run(struct program *program, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"level", required_argument, NULL, OPTION_LEVEL},
        {"no-sync", no_argument, NULL, OPTION_NO_SYNC},
        {"threads", required_argument, NULL, OPTION_THREADS},
        {"help", no_argument, NULL, OPTION_HELP},
        {"version", no_argument, NULL, OPTION_VERSION},
        {NULL, 0, NULL, 0},
    };
    int status = -1, option;

    while (status < 0 && (option = getopt_long(argc, argv, "o:", long_options, NULL)) != -1)
        status = take_option(program, option);
    if (status >= 0)
        return status;

    const struct command *command = optind < argc ? find_command(argv[optind]) : NULL;
    if (command != NULL) {
        program->count = argc - optind - 1;
        program->paths = argv + optind + 1;
    }
    if (!check_command(program, command, optind < argc ? argv[optind] : NULL))
        return STATUS_TROUBLE;
    vmkit_snapshot_options_set_progress(program->options, progress_tell, command->doing, NULL);
    progress_begin();
    status = command->run(program);
    progress_clear();
    return progress_get_signal() != 0 ? STATUS_SIGNAL + progress_get_signal() : status;
}

int
main(int argc, char **argv)
{
    static struct program program;
    vmkit_error *error = NULL;

    if (!succeeded(vmkit_snapshot_options_new(&program.options, &error), &error))
        return STATUS_TROUBLE;
    int status = run(&program, argc, argv);
    for (int i = 0; i < MAX_FILES; i++)
        vmkit_snapshot_file_unref(program.files[i]);
    vmkit_snapshot_options_unref(program.options);
    return output_finish("vmkit-snapshot", status, STATUS_TROUBLE);
}
