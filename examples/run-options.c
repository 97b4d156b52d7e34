/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of vmkit-run: each option becomes one call on a vmkit_sandbox_config, and what
 * the library says of a value is what the user reads.
 */
#include "run-options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECONDS_MAX 1000000000

enum {
    OPTION_MEMORY = 256,
    OPTION_CPU_TIME,
    OPTION_TIMEOUT,
    OPTION_ENV,
    OPTION_RO,
    OPTION_RW,
    OPTION_CWD,
    OPTION_OPEN_FILES,
    OPTION_OUTPUT_LIMIT,
    OPTION_USER,
    OPTION_SAVE,
    OPTION_RESTORE,
    OPTION_PARENT,
    OPTION_STATS,
    OPTION_QUIET,
    OPTION_HELP,
    OPTION_VERSION,
};

static const struct option long_options[] = {
    {"memory", required_argument, NULL, OPTION_MEMORY},
    {"cpu-time", required_argument, NULL, OPTION_CPU_TIME},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"env", required_argument, NULL, OPTION_ENV},
    {"ro", required_argument, NULL, OPTION_RO},
    {"rw", required_argument, NULL, OPTION_RW},
    {"cwd", required_argument, NULL, OPTION_CWD},
    {"open-files", required_argument, NULL, OPTION_OPEN_FILES},
    {"output-limit", required_argument, NULL, OPTION_OUTPUT_LIMIT},
    {"user", required_argument, NULL, OPTION_USER},
    {"save-at-ready", required_argument, NULL, OPTION_SAVE},
    {"restore", required_argument, NULL, OPTION_RESTORE},
    {"parent", required_argument, NULL, OPTION_PARENT},
    {"stats", optional_argument, NULL, OPTION_STATS},
    {"quiet", no_argument, NULL, OPTION_QUIET},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "usage: vmkit-run [options] [--] PROGRAM [ARG...]\n"
    "       vmkit-run [options] --restore FILE\n"
    "\n"
    "Runs a static Linux program in a virtual machine of its own, without a guest kernel. It sees\n"
    "three streams, a private /tmp, and what the options show it; it has no network.\n"
    "PROGRAM is a path on the host, or a name that is looked for in PATH.\n"
    "\n"
    "  --memory SIZE          memory of the program, such as 64M or 1G (256M)\n"
    "  --cpu-time SECONDS     CPU time, such as 1.5 (no limit)\n"
    "  --timeout SECONDS      wall time (no limit)\n"
    "  --env NAME=VALUE       set a variable; without it the environment is empty\n"
    "  --ro HOST[:GUEST]      show a folder or file of the host, to be read only\n"
    "  --rw HOST[:GUEST]      the same, and it may be written; GUEST is HOST's own path if left "
    "out\n"
    "  --cwd DIR              folder to start in, inside (/)\n"
    "  --open-files N         how many files may be open (64)\n"
    "  --output-limit SIZE    what may be written to the two output streams (no limit)\n"
    "  --user UID[:GID]       who the program takes itself for (1000:1000); gives no rights\n"
    "  --save-at-ready FILE   run until the program says that it is ready, and write it to FILE as "
    "it\n"
    "                         stands there\n"
    "  --restore FILE         go on from such a file: with the limits, folders and streams that "
    "are\n"
    "                         given here. What --memory says is also the most that is decompressed "
    "of\n"
    "                         it; without it the program keeps its limit, and both are at most 1G\n"
    "  --parent FILE          a snapshot that the others build upon; as often as needed, in any "
    "order.\n"
    "                         What --save-at-ready writes is then what differs from the last of "
    "them,\n"
    "                         and what --restore goes on from is put together with those that it "
    "needs\n"
    "  --stats[=json]         say on standard error what was used, for a person or a script\n"
    "  --quiet                do not say on standard error what ended the program\n"
    "  --help, --version\n"
    "\n"
    "Exit status: the program's; 128+n when signal n ended it; 124 on a time limit; 137 on the "
    "limit\n"
    "of memory and 153 on that of output, as if SIGKILL and SIGXFSZ had ended it; 125 when "
    "vmkit-run\n"
    "itself failed; 126 when PROGRAM cannot be executed; 127 when it is not found.\n";

void
run_complain(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    fputs("vmkit-run: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
}

/* Tells of a library error, if there is one, and releases it. Returns whether all is well. The
 * error comes by pointer, since the call that is `result` may run after the other arguments were
 * read. */
static bool
succeeded(const char *what, int result, vmkit_error **error)
{
    if (result >= 0)
        return true;
    run_complain("%s%s%s", what, *what == '\0' ? "" : ": ", vmkit_error_get_message(*error));
    vmkit_error_unref(*error);
    *error = NULL;
    return false;
}

/* A whole number of bytes, with K, M, G or T for powers of 1,024. */
static bool
parse_size(const char *option, const char *text, uint64_t *ret_size)
{
    static const char units[] = "KMGT";
    char *end;
    unsigned shift = 0;

    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    const char *unit = *end == '\0' ? NULL : strchr(units, *end);
    if (unit != NULL) {
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
    }
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 ||
        number > (UINT64_MAX >> shift)) {
        run_complain("%s takes a size such as 64M or 1G, not '%s'", option, text);
        return false;
    }
    *ret_size = number << shift;
    return true;
}

/* Seconds with a fraction, as nanoseconds. */
static bool
parse_seconds(const char *option, const char *text, uint64_t *ret_nanoseconds)
{
    size_t length = strspn(text, "0123456789.");
    char *end;
    double seconds = strtod(text, &end);

    if (seconds > SECONDS_MAX) {
        run_complain("%s takes up to %d seconds, not '%s'", option, SECONDS_MAX, text);
        return false;
    }
    if (length == 0 || text[length] != '\0' || *end != '\0') {
        run_complain("%s takes seconds such as 2 or 0.5, not '%s'", option, text);
        return false;
    }
    *ret_nanoseconds = (uint64_t)(seconds * 1e9);
    return true;
}

static bool
parse_number(const char *option, const char *text, const char *stops, uint64_t *ret_number,
             const char **ret_end)
{
    char *end;

    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || errno != 0 || (*end != '\0' && strchr(stops, *end) == NULL)) {
        run_complain("%s takes a number, not '%s'", option, text);
        return false;
    }
    if (ret_end != NULL)
        *ret_end = end;
    return true;
}

static bool
parse_count(const char *option, const char *text, uint64_t *ret_count)
{
    return parse_number(option, text, "", ret_count, NULL);
}

/* Append the pieces of `path` to `end`, without empty ones and ".". */
static void
append_pieces(char *start, const char *path)
{
    char *end = start + strlen(start);
    while (*path != '\0') {
        size_t length = strcspn(path, "/");
        if (length > 0 && !(length == 1 && path[0] == '.'))
            end += sprintf(end, "/%.*s", (int)length, path);
        path += length + (path[length] == '/');
    }
    if (end == start)
        strcpy(start, "/");
}

/* The absolute form of a path as it was given: "/bin" stays "/bin", although it may be a symbolic
 * link, since programs will ask for it by that name. One with ".." is resolved by the host. NULL
 * with errno. */
static char *
absolute_path(const char *path)
{
    char *resolved = realpath(path, NULL);
    if (resolved == NULL || strstr(path, "..") != NULL)
        return resolved;
    free(resolved);

    char *folder = path[0] == '/' ? strdup("") : getcwd(NULL, 0);
    char *absolute = folder == NULL ? NULL : malloc(strlen(folder) + strlen(path) + 2);
    if (absolute != NULL) {
        strcpy(absolute, folder);
        append_pieces(absolute, path);
    }
    free(folder);
    return absolute;
}

static bool
add_folder(vmkit_sandbox_config *config, const char *option, const char *text, uint64_t flags)
{
    vmkit_error *error = NULL;
    char *host = strdup(text);
    char *own = NULL;
    const char *guest = NULL;
    bool good = false;

    /* The host's path may hold colons: the guest's begins after the last ":/". */
    for (char *at = host; at != NULL && (at = strstr(at, ":/")) != NULL; at++)
        guest = at + 1;
    if (guest != NULL)
        host[guest - host - 1] = '\0';
    else if (host != NULL)
        guest = own = absolute_path(host);

    if (guest == NULL)
        run_complain("%s %s: %s%s", option, text, strerror(errno),
                     strchr(text, ':') == NULL ? ""
                                               : "; it takes HOST[:GUEST], and GUEST begins with "
                                                 "'/'");
    else
        good = succeeded(
            option, vmkit_sandbox_config_add_folder(config, host, guest, flags, &error), &error);
    free(own);
    free(host);
    return good;
}

static bool
set_user(vmkit_sandbox_config *config, const char *text)
{
    vmkit_error *error = NULL;
    const char *end;
    uint64_t uid, gid;

    if (!parse_number("--user", text, ":", &uid, &end))
        return false;
    gid = uid;
    if (*end == ':' && !parse_number("--user", end + 1, "", &gid, NULL))
        return false;
    if (uid > UINT32_MAX || gid > UINT32_MAX) {
        run_complain("--user takes numbers below 4294967295, not '%s'", text);
        return false;
    }
    return succeeded("--user",
                     vmkit_sandbox_config_set_user(config, (uint32_t)uid, (uint32_t)gid, &error),
                     &error);
}

typedef int (*limit_setter)(vmkit_sandbox_config *, uint64_t, vmkit_error **);

/* The options that are one number for one call. */
static bool
set_limit(struct run_options *options, int option, const char *text)
{
    static const struct {
        int option;
        const char *name;
        bool (*parse)(const char *, const char *, uint64_t *);
        limit_setter set;
    } limits[] = {
        {OPTION_MEMORY, "--memory", parse_size, vmkit_sandbox_config_set_memory_limit},
        {OPTION_CPU_TIME, "--cpu-time", parse_seconds, vmkit_sandbox_config_set_cpu_time_limit},
        {OPTION_TIMEOUT, "--timeout", parse_seconds, vmkit_sandbox_config_set_wall_time_limit},
        {OPTION_OPEN_FILES, "--open-files", parse_count, vmkit_sandbox_config_set_open_files_limit},
        {OPTION_OUTPUT_LIMIT, "--output-limit", parse_size, vmkit_sandbox_config_set_output_limit},
    };
    vmkit_error *error = NULL;
    uint64_t value;

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (limits[i].option != option)
            continue;
        if (!limits[i].parse(limits[i].name, text, &value))
            return false;
        if (option == OPTION_MEMORY)
            options->memory = value;
        return succeeded(limits[i].name, limits[i].set(options->config, value, &error), &error);
    }
    return false;
}

static bool
set_stats(struct run_options *options, const char *format)
{
    if (format == NULL)
        options->stats = RUN_STATS_TEXT;
    else if (strcmp(format, "json") == 0)
        options->stats = RUN_STATS_JSON;
    else {
        run_complain("--stats takes nothing or 'json', not '%s'", format);
        return false;
    }
    return true;
}

/* Finds the program the way a shell does. Returns -1, or the status to exit with. */
static int
find_program(struct run_options *options)
{
    const char *name = options->program;
    const char *search = strchr(name, '/') != NULL ? NULL : getenv("PATH");
    bool seen = false;
    struct stat info;

    if (search == NULL)
        search = strchr(name, '/') != NULL ? "" : "/usr/bin:/bin";
    for (const char *part = search; part != NULL && *name != '\0'; part = strchr(part, ':')) {
        part += *part == ':';
        char path[PATH_MAX];
        size_t length = strcspn(part, ":");
        bool is_short = snprintf(path, sizeof path, "%.*s%s%s", (int)length, part,
                                 length == 0 ? "" : "/", name) < (int)sizeof path;
        if (!is_short || stat(path, &info) != 0)
            continue;
        seen = true;
        if (S_ISREG(info.st_mode) && access(path, X_OK) == 0) {
            options->path = strdup(path);
            return options->path != NULL ? -1 : RUN_FAILED;
        }
    }
    if (seen) {
        run_complain("%s: %s", name, S_ISDIR(info.st_mode) ? "is a folder" : "is not executable");
        return RUN_NOT_EXECUTABLE;
    }
    run_complain("%s: %s", name, strchr(name, '/') ? "there is no such file" : "not found in PATH");
    return RUN_NOT_FOUND;
}

/* The program's streams are ours. A closed one stays what the library makes of it: no input, and
 * output that nobody reads. */
static bool
connect_streams(vmkit_sandbox_config *config)
{
    vmkit_error *error = NULL;

    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 &&
            !succeeded("", vmkit_sandbox_config_set_stream_fd(config, (uint32_t)fd, fd, &error),
                       &error))
            return false;
    }
    return true;
}

static bool
apply_option(struct run_options *options, int option, const char **environment, size_t *count)
{
    switch (option) {
    case OPTION_ENV:
        environment[(*count)++] = optarg;
        return true;
    case OPTION_RO:
        return add_folder(options->config, "--ro", optarg, 0);
    case OPTION_RW:
        return add_folder(options->config, "--rw", optarg, VMKIT_FOLDER_WRITABLE);
    case OPTION_CWD: {
        vmkit_error *error = NULL;
        return succeeded(
            "--cwd", vmkit_sandbox_config_set_working_directory(options->config, optarg, &error),
            &error);
    }
    case OPTION_USER:
        return set_user(options->config, optarg);
    case OPTION_SAVE:
        options->save = optarg;
        if (strcmp(optarg, "-") != 0)
            return true;
        run_complain("--save-at-ready takes a file: standard output is the program's own; ./- is a "
                     "file of that name");
        return false;
    case OPTION_RESTORE:
        options->restore = optarg;
        return true;
    case OPTION_PARENT:
        options->parents[options->parent_count++] = optarg;
        return true;
    case OPTION_STATS:
        return set_stats(options, optarg);
    case OPTION_QUIET:
        options->quiet = true;
        return true;
    default:
        return set_limit(options, option, optarg);
    }
}

/* What a program begins with is in the snapshot. Returns whether nothing of it was given again. */
static bool
check_restore(const struct run_options *options, int option)
{
    static const struct {
        int option;
        const char *name;
    } starts[] = {{OPTION_ENV, "--env"}, {OPTION_CWD, "--cwd"}, {OPTION_USER, "--user"}};

    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        if (options->restore != NULL && starts[i].option == option) {
            run_complain("%s is for a program that starts, and --restore goes on with one",
                         starts[i].name);
            return false;
        }
    }
    return true;
}

static void
print_version(void)
{
    uint32_t version = vmkit_get_version();

    printf("vmkit-run %u.%u.%u\n", version >> 16, (version >> 8) & 0xff, version & 0xff);
}

/* Reads the options. Returns -1, or the status to exit with. */
static int
read_options(struct run_options *options, int argc, char **argv, const char **environment)
{
    size_t variables = 0;
    int option, start = 0;

    /* The plus: what comes after the program's name is the program's. */
    while ((option = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
        if (option == OPTION_HELP) {
            fputs(help, stdout);
            return EXIT_SUCCESS;
        }
        if (option == OPTION_VERSION) {
            print_version();
            return EXIT_SUCCESS;
        }
        if (option == '?') {
            run_complain("'vmkit-run --help' lists the options");
            return RUN_FAILED;
        }
        if (!apply_option(options, option, environment, &variables))
            return RUN_FAILED;
        if (option == OPTION_ENV || option == OPTION_CWD || option == OPTION_USER)
            start = option;
    }
    if (!check_restore(options, start))
        return RUN_FAILED;
    if (options->parent_count > 0 && options->restore == NULL && options->save == NULL) {
        run_complain("--parent goes with --save-at-ready or --restore");
        return RUN_FAILED;
    }
    if (options->restore != NULL && optind < argc) {
        run_complain("--restore takes no PROGRAM: it is in the snapshot, and '%s' is too much",
                     argv[optind]);
        return RUN_FAILED;
    }
    if (optind == argc && options->restore == NULL) {
        run_complain("which program? 'vmkit-run --help' says how");
        return RUN_FAILED;
    }
    return -1;
}

/* The program with its arguments and environment. Returns -1, or the status to exit with. */
static int
set_program(struct run_options *options, char **arguments, const char **environment)
{
    vmkit_sandbox_config *config = options->config;
    vmkit_error *error = NULL;

    options->program = arguments[0];
    int status = find_program(options);
    if (status == -1 &&
        (!succeeded("--env", vmkit_sandbox_config_set_environment(config, environment, &error),
                    &error) ||
         !succeeded(
             "", vmkit_sandbox_config_set_arguments(config, (const char *const *)arguments, &error),
             &error) ||
         !succeeded("", vmkit_sandbox_config_set_program_path(config, options->path, &error),
                    &error)))
        status = RUN_FAILED;
    return status;
}

int
run_options_parse(struct run_options *options, int argc, char **argv)
{
    vmkit_error *error = NULL;
    static char own_name[] = "vmkit-run";
    const char **environment = calloc((size_t)argc + 1, sizeof *environment);
    options->parents = calloc((size_t)argc + 1, sizeof *options->parents);
    vmkit_sandbox_config **config = &options->config;
    int status = RUN_FAILED;

    /* getopt_long() begins its messages with it. */
    argv[0] = own_name;
    if (environment != NULL && options->parents != NULL &&
        succeeded("", vmkit_sandbox_config_new(config, &error), &error) &&
        succeeded("", vmkit_sandbox_config_set_output_limit(*config, UINT64_MAX, &error), &error)) {
        status = read_options(options, argc, argv, environment);
    }
    if (status == -1 && options->restore != NULL)
        options->program = options->restore;
    else if (status == -1)
        status = set_program(options, argv + optind, environment);
    if (status == -1 && !connect_streams(*config))
        status = RUN_FAILED;
    free(environment);
    return status;
}

void
run_options_clear(struct run_options *options)
{
    vmkit_sandbox_config_unref(options->config);
    free(options->path);
    free(options->parents);
}
