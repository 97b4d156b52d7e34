/* SPDX-License-Identifier: Apache-2.0 */
/* execve(2) and execveat(2): what they refuse, and what a script's first line makes of its call. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_FD 40
#define FILE_PATH "/proc/self/fd/40"

extern char **environ;

static char *const no_strings[] = {NULL};

/* A file that nobody has open for writing, as descriptor FILE_FD. */
static void
make_file(const void *text, size_t size, unsigned mode)
{
    int fd = memfd_create("file", 0);
    CHECK(fd >= 0 && write(fd, text, size) == (ssize_t)size && fchmod(fd, mode) == 0);
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_RDONLY);
    CHECK(again >= 0 && close(fd) == 0 && dup2(again, FILE_FD) == FILE_FD);
    if (again != FILE_FD)
        close(again);
}

static void
tell(const char *what, long result)
{
    printf("%s: %ld %d\n", what, result, errno);
    fflush(stdout);
    errno = 0;
}

static void
refuse_file(const char *what, const char *text, size_t size, unsigned mode)
{
    make_file(text, size, mode);
    tell(what, execve(FILE_PATH, no_strings, no_strings));
}

/* `exec-errors` */
static int
exec_errors(int argc, char **argv)
{
    static char long_path[5000], line[400];
    /* Not in the program itself, of whose size other tests know. */
    const size_t large_size = 2 << 20;
    char *large =
        mmap(NULL, large_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *const wild[] = {(char *)8, NULL}, *const long_strings[] = {large, NULL};
    memset(long_path, 'a', sizeof long_path - 1);
    tell("nowhere", execve("/nowhere/at/all", no_strings, no_strings));
    tell("empty", execve("", no_strings, no_strings));
    tell("long", execve(long_path, no_strings, no_strings));
    tell("folder", execve("/tmp", no_strings, no_strings));
    tell("below a file", execve("/dev/null/file", no_strings, no_strings));
    tell("device", execve("/dev/null", no_strings, no_strings));
    tell("wild path", syscall(SYS_execve, 8, no_strings, no_strings));
    tell("wild arguments", syscall(SYS_execve, "/proc/self/exe", 8, no_strings));
    tell("wild argument", execve("/proc/self/exe", wild, no_strings));
    tell("wild environment", execve("/proc/self/exe", no_strings, wild));
    CHECK(large != MAP_FAILED);
    memset(large, 'x', large_size - 1);
    tell("large argument", execve("/proc/self/exe", long_strings, no_strings));
    tell("large environment", execve("/proc/self/exe", no_strings, long_strings));
    tell("flags", syscall(SYS_execveat, AT_FDCWD, "/proc/self/exe", no_strings, no_strings, 1));
    tell("no descriptor", syscall(SYS_execveat, 99, "", no_strings, no_strings, AT_EMPTY_PATH));
    tell("empty without a flag", syscall(SYS_execveat, 1, "", no_strings, no_strings, 0));
    tell("link", syscall(SYS_execveat, AT_FDCWD, "/proc/self/exe", no_strings, no_strings,
                         AT_SYMLINK_NOFOLLOW));

    refuse_file("not executable", "#!/bin/sh\n", 10, 0600);
    refuse_file("no program", "hello\n", 6, 0755);
    refuse_file("nothing", "", 0, 0755);
    refuse_file("no interpreter", "#!\n", 3, 0755);
    refuse_file("blank interpreter", "#! \t \n", 7, 0755);
    refuse_file("interpreter that is not there", "#!/nowhere/sh\n", 14, 0755);
    refuse_file("interpreter that is a folder", "#!/tmp\n", 7, 0755);
    /* The line ends in the middle of a name, or behind it. */
    memset(line, 'x', sizeof line);
    memcpy(line, "#!/", 3);
    refuse_file("interpreter that is cut off", line, sizeof line, 0755);
    line[100] = ' ';
    refuse_file("argument that is cut off", line, sizeof line, 0755);
    memset(line + 2, ' ', sizeof line - 2);
    refuse_file("line of blanks", line, sizeof line, 0755);

    make_file("#!/proc/self/exe\n", 17, 0755);
    fcntl(FILE_FD, F_SETFD, FD_CLOEXEC);
    tell("script that closes",
         syscall(SYS_execveat, FILE_FD, "", no_strings, no_strings, AT_EMPTY_PATH));
    return 0;
}

/* `told`: all that execve tells a program. */
static int
told(int argc, char **argv)
{
    char name[16];
    const char *path = (const char *)getauxval(AT_EXECFN);
    CHECK(prctl(PR_GET_NAME, name) == 0);
    /* What a program that was named by a descriptor is called depends on the kernel's version. */
    printf("path [%s] name [%s]\n", path, strncmp(path, "/dev/fd/", 8) == 0 ? "" : name);
    for (int i = 0; i < argc; i++)
        printf("arg %d [%s]\n", i, argv[i]);
    for (char **entry = environ; *entry != NULL; entry++)
        printf("env [%s]\n", *entry);
    return 0;
}

/* `exec-script HOW`: go on as this program's `told`, by a script. */
static int
exec_script(int argc, char **argv)
{
    static const char plain[] = "#!/proc/self/exe told\nthe rest\n";
    static const char blanks[] = "#! \t /proc/self/exe \t told \t \nthe rest\n";
    static const char unended[] = "#!/proc/self/exe told";
    static char padded[600];
    char *const arguments[] = {"first", "second", "third", NULL};
    char *const environment[] = {"A=1", "B=", NULL};
    const char *how = argv[2];
    printf("%s\n", how);
    fflush(stdout);
    if (strcmp(how, "blanks") == 0) {
        make_file(blanks, sizeof blanks - 1, 0755);
    } else if (strcmp(how, "unended") == 0) {
        make_file(unended, sizeof unended - 1, 0755);
    } else if (strcmp(how, "padded") == 0) {
        /* What no longer fits into the line are blanks. */
        memset(padded, ' ', sizeof padded);
        memcpy(padded, plain, strlen("#!/proc/self/exe told"));
        make_file(padded, sizeof padded, 0755);
    } else {
        make_file(plain, sizeof plain - 1, 0755);
    }
    if (strcmp(how, "none") == 0)
        syscall(SYS_execve, FILE_PATH, NULL, NULL);
    else if (strcmp(how, "descriptor") == 0)
        syscall(SYS_execveat, FILE_FD, "", arguments, environment, AT_EMPTY_PATH);
    else
        execve(FILE_PATH, arguments, environment);
    printf("%d\n", errno);
    return 1;
}

/* `exec-self HOW` */
static int
exec_self(int argc, char **argv)
{
    static char large[20000];
    char *const arguments[] = {"probe", "told", large, "", "end", NULL};
    int fd = open("/proc/self/exe", O_RDONLY);
    CHECK(fd >= 0 && dup2(fd, FILE_FD) == FILE_FD);
    memset(large, 'x', sizeof large - 1);
    if (strcmp(argv[2], "descriptor") == 0)
        syscall(SYS_execveat, FILE_FD, "", arguments, no_strings, AT_EMPTY_PATH);
    else if (strcmp(argv[2], "none") == 0)
        syscall(SYS_execve, "/proc/self/exe", NULL, NULL);
    else
        execve("/proc/self/exe", arguments, no_strings);
    printf("%d\n", errno);
    return 1;
}

const struct probe probe_exec[] = {
    {"told", told},
    {"exec-errors", exec_errors},
    {"exec-script", exec_script},
    {"exec-self", exec_self},
    {NULL, NULL},
};
