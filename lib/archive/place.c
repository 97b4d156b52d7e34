/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/place.h"

#include "util/descriptor.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As many as the kernel follows (path_resolution(7)). */
#define MAX_LINKS 40

static int
fail(int err, const char *what, const char *label, vmkit_error **ret_error)
{
    return vmk_error_set_errno(ret_error, err, VMKIT_ERROR_IO, "%s %s", what, label);
}

static const char *
get_type_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFCHR:
    case S_IFBLK:
        return "a device";
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    case S_IFLNK:
        return "a symbolic link by now";
    default:
        return "something else";
    }
}

static int
check_type(mode_t mode, const char *label, vmkit_error **ret_error)
{
    if (S_ISDIR(mode))
        return fail(EISDIR, "cannot write", label, ret_error);
    if (!S_ISREG(mode))
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "cannot write %s: it is %s, and a snapshot takes the place of a "
                             "regular file only",
                             label, get_type_name(mode));
    return 0;
}

int
vmk_place_check(int folder, const char *name, const char *label, vmkit_error **ret_error)
{
    struct stat status;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return check_type(status.st_mode, label, ret_error);
    return errno == ENOENT ? 0 : fail(errno, "cannot write", label, ret_error);
}

/* A path on its way through links. */
struct place {
    const char *label;
    int folder; /* or AT_FDCWD */
    char *name;
};

static void
clear(struct place *place)
{
    if (place->folder >= 0)
        close(place->folder);
    free(place->name);
}

/* Split a path, which begins in the place's folder, into its folder, which is opened, and the name
 * in it. */
static int
enter(struct place *place, const char *path, vmkit_error **ret_error)
{
    const char *slash = strrchr(path, '/');
    char *name = strdup(slash == NULL ? path : slash + 1);
    char *folder = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
    free(place->name);
    place->name = name;
    if (folder == NULL || name == NULL) {
        free(folder);
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory to write a snapshot");
    }
    int next =
        vmk_descriptor_keep(openat(place->folder, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int err = next < 0 ? errno : 0;
    free(folder);
    if (err != 0)
        return fail(err, "cannot open the folder of", place->label, ret_error);
    if (place->folder >= 0)
        close(place->folder);
    place->folder = next;
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return fail(EISDIR, "cannot write", place->label, ret_error);
    return 0;
}

/* Whether the kernel lets this process follow the link, and what it then finds: `ret_status` has a
 * mode of 0 for nothing. */
static int
ask_kernel(const struct place *place, struct stat *ret_status, vmkit_error **ret_error)
{
    *ret_status = (struct stat){.st_mode = 0};
    if (fstatat(place->folder, place->name, ret_status, 0) == 0)
        return check_type(ret_status->st_mode, place->label, ret_error);
    return errno == ENOENT ? 0 : fail(errno, "cannot follow", place->label, ret_error);
}

/* The links of /proc lead to files that may have no path: what they say is not where they lead. */
static int
check_same(const struct place *place, const struct stat *found, vmkit_error **ret_error)
{
    struct stat status;
    if (found->st_mode == 0 ||
        (fstatat(place->folder, place->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         status.st_dev == found->st_dev && status.st_ino == found->st_ino))
        return 0;
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "cannot write %s: it is a link to a file without a path", place->label);
}

static int
follow(struct place *place, vmkit_error **ret_error)
{
    char target[PATH_MAX];
    struct stat found = {.st_mode = 0};
    for (int links = 0; links <= MAX_LINKS; links++) {
        /* EINVAL: no link. */
        ssize_t size = readlinkat(place->folder, place->name, target, sizeof target);
        if (size < 0 && errno != EINVAL && errno != ENOENT)
            return fail(errno, "cannot write", place->label, ret_error);
        if (size < 0)
            return check_same(place, &found, ret_error);
        if ((size_t)size == sizeof target)
            return fail(ENAMETOOLONG, "cannot follow", place->label, ret_error);
        target[size] = '\0';
        int result = links == 0 ? ask_kernel(place, &found, ret_error) : 0;
        if (result == 0)
            result = enter(place, target, ret_error);
        if (result < 0)
            return result;
    }
    return fail(ELOOP, "cannot follow", place->label, ret_error);
}

int
vmk_place_find(const char *path, int *ret_folder, char **ret_name, vmkit_error **ret_error)
{
    struct place place = {.label = path, .folder = AT_FDCWD};
    int result = enter(&place, path, ret_error);
    if (result == 0)
        result = follow(&place, ret_error);
    if (result == 0)
        result = vmk_place_check(place.folder, place.name, path, ret_error);
    if (result < 0) {
        clear(&place);
        return result;
    }
    *ret_folder = place.folder;
    *ret_name = place.name;
    return 0;
}
