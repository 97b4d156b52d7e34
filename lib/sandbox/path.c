/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/path.h"

#include "sandbox/files.h"
#include "sandbox/mount.h"
#include "sandbox/node.h"
#include "sandbox/process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Components that a walk takes between two looks at the limits of time. */
#define STEPS_BETWEEN_CHECKS 32u

/* A walk under way: where it is, and what of the path is left. A symbolic link's text goes in front
 * of the rest, so that two paths must fit. */
struct walk {
    struct vmk_files *files;
    unsigned steps;
    struct vmk_node *at;
    unsigned flags;
    unsigned links;
    const char *rest;
    char text[2 * VMK_PATH_MAX];
};

static void
move_to(struct walk *walk, struct vmk_node *node)
{
    vmk_node_unref(walk->at);
    walk->at = node;
}

/* Whether the node's path with a further name stays below PATH_MAX. */
static bool
path_fits(const struct vmk_node *folder, size_t length)
{
    return strlen(folder->path) + 1 + length < VMK_PATH_MAX;
}

/* Whether the walk leaves off. Each ".." is a walk of its own, and each link a further path, so
 * that one call can ask for millions of steps. */
static bool
leaves_off(struct walk *walk)
{
    return ++walk->steps % STEPS_BETWEEN_CHECKS == 0 && vmk_process_must_stop(walk->files->process);
}

/* Walk a path without symbolic links from the root: what ".." needs, since no file system is asked
 * for what lies above. */
static int
walk_plain(struct walk *walk, const char *path, size_t length, struct vmk_node **ret_node)
{
    struct vmk_files *files = walk->files;
    struct vmk_node *at = vmk_node_ref(vmk_mounts_get_root(&files->mounts));
    const char *end = path + length;
    while (path < end) {
        char name[VMK_NAME_MAX + 1];
        const char *slash = memchr(path, '/', (size_t)(end - path));
        size_t size = (size_t)((slash == NULL ? end : slash) - path);
        if (size != 0) {
            memcpy(name, path, size);
            name[size] = '\0';
            struct vmk_node *next = NULL;
            int result = leaves_off(walk)      ? -EINTR
                         : at->type != S_IFDIR ? -ENOTDIR
                                               : vmk_mounts_lookup(files, at, name, &next);
            vmk_node_unref(at);
            if (result < 0)
                return result;
            at = next;
        }
        path += size + 1;
    }
    *ret_node = at;
    return 0;
}

static int
move_up(struct walk *walk)
{
    char path[VMK_PATH_MAX];
    struct vmk_node *parent;
    int result = vmk_node_find_path(walk->files, walk->at, path);
    if (result >= 0)
        result = walk_plain(walk, path, (size_t)(strrchr(path, '/') - path), &parent);
    if (result == 0)
        move_to(walk, parent);
    return result;
}

/* Go down several folders at once where the file system can and nothing special is on the way: all
 * components but the last, none of them ".", ".." or empty. 1 when it did. */
static int
move_fast(struct walk *walk)
{
    struct vmk_node *at = walk->at;
    const char *last = strrchr(walk->rest, '/');
    if (last == NULL || last[1] == '\0' || at->ops->lookup_many == NULL ||
        (at->point != NULL && at->point->children != NULL))
        return 0;

    char names[VMK_PATH_MAX];
    size_t length = (size_t)(last - walk->rest);
    if (length >= sizeof names || !path_fits(at, length))
        return 0;
    for (const char *name = walk->rest; name < last; name = strchr(name, '/') + 1) {
        size_t size = strcspn(name, "/");
        if (size == 0 || size > VMK_NAME_MAX || name[0] == '.')
            return 0;
    }
    memcpy(names, walk->rest, length);
    names[length] = '\0';
    struct vmk_node *node;
    int result = at->ops->lookup_many(walk->files, at, names, &node);
    if (result == -EAGAIN)
        return 0;
    if (result < 0)
        return result;
    if (node->type == S_IFLNK) {
        vmk_node_unref(node);
        return 0;
    }
    move_to(walk, node);
    walk->rest = last + 1;
    return 1;
}

/* Put a link's text in front of the rest. */
static int
push_link(struct walk *walk, struct vmk_node *link)
{
    char target[VMK_PATH_MAX];
    ssize_t length = link->ops->readlink(walk->files, link, target, sizeof target);
    if (length < 0)
        return (int)length;
    if (length == 0)
        return -ENOENT;
    if ((size_t)length >= sizeof target)
        return -ENAMETOOLONG;

    size_t rest = strlen(walk->rest);
    if ((size_t)length + 1 + rest + 1 > sizeof walk->text)
        return -ENAMETOOLONG;
    size_t start = sizeof walk->text - rest - 1;
    memmove(walk->text + start, walk->rest, rest + 1);
    if (rest != 0)
        walk->text[--start] = '/';
    start -= (size_t)length;
    memcpy(walk->text + start, target, (size_t)length);
    walk->rest = walk->text + start;
    if (target[0] == '/')
        move_to(walk, vmk_node_ref(vmk_mounts_get_root(&walk->files->mounts)));
    return 0;
}

/* Take the next component off the rest; its length, 0 at the end, or -ENAMETOOLONG. */
static int
take_name(struct walk *walk, char *name, bool *ret_last, bool *ret_slash)
{
    walk->rest += strspn(walk->rest, "/");
    size_t length = strcspn(walk->rest, "/");
    if (length > VMK_NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(name, walk->rest, length);
    name[length] = '\0';
    walk->rest += length;
    *ret_slash = *walk->rest == '/';
    /* A trailing slash stays in the rest, so that a link's target inherits it. */
    *ret_last = walk->rest[strspn(walk->rest, "/")] == '\0';
    return (int)length;
}

/* The walk is over at walk->at, which becomes the result's. */
static int
finish_at(struct walk *walk, enum vmk_lookup_last last, struct vmk_lookup *lookup)
{
    lookup->last = last;
    lookup->node = walk->at;
    walk->at = NULL;
    return 1;
}

static int
finish_name(struct walk *walk, const char *name, struct vmk_node *node, bool slash,
            struct vmk_lookup *lookup)
{
    if (slash && node != NULL && node->type != S_IFDIR && (walk->flags & VMK_LOOKUP_KEEP) == 0) {
        vmk_node_unref(node);
        return -ENOTDIR;
    }
    lookup->last = VMK_LAST_NAME;
    lookup->folder = walk->at;
    walk->at = NULL;
    lookup->node = node;
    lookup->trailing_slash = slash;
    strcpy(lookup->name, name);
    return 1;
}

/* A symbolic link is in the way. 0: the walk goes on; 1: it is over. */
static int
follow_link(struct walk *walk, struct vmk_node *link, bool last, struct vmk_lookup *lookup)
{
    if (++walk->links > VMK_LINKS_MAX)
        return -ELOOP;
    if (link->ops->follow == NULL)
        return push_link(walk, link);

    struct vmk_node *node = NULL;
    struct vmk_file *file = NULL;
    int result = link->ops->follow(walk->files, link, &node, &file);
    if (result == -EAGAIN)
        return push_link(walk, link);
    if (result < 0)
        return result;
    if (file != NULL && !last) {
        vmk_file_unref(file);
        return -ENOTDIR;
    }
    if (file != NULL) {
        lookup->last = VMK_LAST_ROOT;
        lookup->file = file;
        return 1;
    }
    move_to(walk, node);
    if (last && walk->rest[0] == '/' && node->type != S_IFDIR)
        return -ENOTDIR;
    return last ? finish_at(walk, VMK_LAST_ROOT, lookup) : 0;
}

static bool
follows_last(const struct walk *walk, bool slash)
{
    return (walk->flags & VMK_LOOKUP_FOLLOW) != 0 ||
           (slash && (walk->flags & VMK_LOOKUP_KEEP) == 0);
}

/* One component. 0: go on; 1: the walk is over; or a negative errno. */
static int
step(struct walk *walk, struct vmk_lookup *lookup)
{
    char name[VMK_NAME_MAX + 1];
    bool last;
    bool slash;

    if (leaves_off(walk))
        return -EINTR;
    if (walk->at->type != S_IFDIR)
        return -ENOTDIR;
    walk->rest += strspn(walk->rest, "/");
    int result = move_fast(walk);
    if (result < 0)
        return result;
    int length = take_name(walk, name, &last, &slash);
    if (length < 0)
        return length;
    if (length == 0)
        return finish_at(walk, VMK_LAST_ROOT, lookup);
    if (strcmp(name, ".") == 0)
        return last ? finish_at(walk, VMK_LAST_DOT, lookup) : 0;
    if (strcmp(name, "..") == 0) {
        result = move_up(walk);
        return result < 0 || !last ? result : finish_at(walk, VMK_LAST_DOTDOT, lookup);
    }
    if (!path_fits(walk->at, (size_t)length))
        return -ENAMETOOLONG;

    struct vmk_node *node = NULL;
    result = vmk_mounts_lookup(walk->files, walk->at, name, &node);
    if (result == -ENOENT && last && (walk->flags & VMK_LOOKUP_MISSING) != 0)
        return finish_name(walk, name, NULL, slash, lookup);
    if (result < 0)
        return result;
    if (node->type == S_IFLNK && (!last || follows_last(walk, slash))) {
        result = follow_link(walk, node, last, lookup);
        vmk_node_unref(node);
        return result;
    }
    if (last)
        return finish_name(walk, name, node, slash, lookup);
    move_to(walk, node);
    return 0;
}

/* Where a relative path begins; a reference. */
static int
find_start(struct vmk_files *files, int dirfd, struct vmk_node **ret_node)
{
    if (dirfd == AT_FDCWD) {
        *ret_node = vmk_node_ref(files->cwd);
        return 0;
    }
    struct vmk_file *file = vmk_fdtable_get(&files->table, (uint64_t)dirfd);
    if (file == NULL)
        return -EBADF;
    if (file->node == NULL)
        return -ENOTDIR;
    *ret_node = vmk_node_ref(file->node);
    return 0;
}

int
vmk_path_lookup(struct vmk_files *files, int dirfd, const char *path, unsigned flags,
                struct vmk_lookup *ret_lookup)
{
    struct walk walk; /* The text is filled by links alone. */
    struct vmk_lookup lookup = {.last = VMK_LAST_ROOT};
    int result = 0;

    if (path[0] == '\0')
        return -ENOENT;
    walk.files = files;
    walk.steps = 0;
    walk.at = NULL;
    walk.flags = flags;
    walk.links = 0;
    walk.rest = path;
    if (path[0] == '/')
        walk.at = vmk_node_ref(vmk_mounts_get_root(&files->mounts));
    else
        result = find_start(files, dirfd, &walk.at);
    while (result == 0)
        result = step(&walk, &lookup);
    vmk_node_unref(walk.at);
    if (result < 0)
        return result;
    *ret_lookup = lookup;
    return 0;
}

void
vmk_lookup_clear(struct vmk_lookup *lookup)
{
    vmk_node_unref(lookup->folder);
    vmk_node_unref(lookup->node);
    vmk_file_unref(lookup->file);
    lookup->folder = NULL;
    lookup->node = NULL;
    lookup->file = NULL;
}

int
vmk_path_find(struct vmk_files *files, int dirfd, const char *path, unsigned flags,
              struct vmk_node **ret_node)
{
    struct vmk_lookup lookup;
    int result = vmk_path_lookup(files, dirfd, path, flags, &lookup);
    if (result < 0)
        return result;
    if (lookup.node != NULL)
        *ret_node = vmk_node_ref(lookup.node);
    else
        result = -ELOOP;
    vmk_lookup_clear(&lookup);
    return result;
}
