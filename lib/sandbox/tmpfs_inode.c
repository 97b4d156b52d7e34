/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/tmpfs.h"
#include "sandbox/tmpfs_internal.h"

#include "sandbox/files.h"
#include "sandbox/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What an inode and an entry cost beside their contents: the structure and its part of tables. */
#define INODE_CHARGE 512
#define ENTRY_CHARGE 128
/* Pages that are freed between two looks at the limits of time. */
#define PAGES_AT_ONCE 512

void
vmk_tmp_touch(struct tmp_inode *inode, bool modified)
{
    inode->fs->generation++;
    clock_gettime(CLOCK_REALTIME_COARSE, &inode->changed);
    if (modified)
        inode->modified = inode->changed;
}

int
vmk_tmp_inode_new(struct vmk_files *files, struct tmpfs *fs, uint32_t type, uint32_t mode,
                  struct tmp_inode **ret_inode)
{
    if (fs->count >= VMK_TMPFS_INODES_MAX ||
        !vmk_memory_account_try_charge(fs->account, INODE_CHARGE))
        return -ENOSPC;
    struct tmp_inode *inode = calloc(1, sizeof *inode);
    if (inode == NULL) {
        vmk_memory_account_uncharge(fs->account, INODE_CHARGE);
        return -ENOMEM;
    }
    inode->fs = fs;
    inode->references = 1;
    inode->type = type;
    inode->mode = mode & 07777;
    inode->uid = files->process->uid;
    inode->gid = files->process->gid;
    inode->number = ++fs->next_number;
    inode->next_cookie = 2;
    inode->pages.account = fs->account;
    vmk_tmp_touch(inode, true);
    inode->accessed = inode->modified;
    inode->born = inode->modified;
    inode->all_next = fs->all;
    if (fs->all != NULL)
        fs->all->all_previous = inode;
    fs->all = inode;
    fs->count++;
    *ret_inode = inode;
    return 0;
}

static uint64_t
entry_charge(const char *name)
{
    return ENTRY_CHARGE + strlen(name);
}

static void
free_entries(struct tmp_inode *folder)
{
    while (folder->first != NULL) {
        struct tmp_entry *entry = folder->first;
        folder->first = entry->next;
        vmk_memory_account_uncharge(folder->fs->account, entry_charge(entry->name));
        free(entry);
    }
    free(folder->names);
}

static void
inode_free(struct tmp_inode *inode)
{
    struct tmpfs *fs = inode->fs;
    free_entries(inode);
    vmk_pages_drop(&inode->pages, 0, UINT64_MAX);
    if (inode->target != NULL)
        vmk_memory_account_uncharge(fs->account, inode->size);
    free(inode->target);

    if (inode->all_previous != NULL)
        inode->all_previous->all_next = inode->all_next;
    else
        fs->all = inode->all_next;
    if (inode->all_next != NULL)
        inode->all_next->all_previous = inode->all_previous;
    fs->count--;
    fs->generation++;
    vmk_memory_account_uncharge(fs->account, INODE_CHARGE);
    free(inode);
}

void
vmk_tmp_drop_pages(struct tmp_inode *inode, uint64_t first, uint64_t last)
{
    struct vmk_process *process = inode->fs->process;
    while (vmk_pages_drop_some(&inode->pages, first, last, PAGES_AT_ONCE)) {
        if (process->running && vmk_process_must_stop(process))
            return;
    }
}

void
vmk_tmp_inode_unref(struct tmp_inode *inode)
{
    if (--inode->references != 0)
        return;
    vmk_tmp_drop_pages(inode, 0, UINT64_MAX);
    /* A folder is empty when its last name goes, so that this frees one inode at a time. One that a
     * process which must stop had no time for goes with the file system. */
    if (inode->pages.count == 0)
        inode_free(inode);
}

void
vmk_tmp_free_all(struct tmpfs *fs)
{
    while (fs->all != NULL)
        inode_free(fs->all);
}

void
vmk_tmp_empty(struct tmpfs *fs, struct tmp_inode *root)
{
    free_entries(root);
    root->first = root->last = NULL;
    root->names = NULL;
    root->name_mask = 0;
    root->name_count = 0;
    root->links = 0;
    root->next_cookie = 2;
    for (struct tmp_inode *inode = fs->all, *next; inode != NULL; inode = next) {
        next = inode->all_next;
        if (inode != root)
            inode_free(inode);
    }
    fs->next_number = root->number;
    fs->generation++;
}

/* FNV-1a. */
static uint32_t
hash_name(const char *name)
{
    uint32_t hash = 2166136261u;
    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash;
}

struct tmp_entry *
vmk_tmp_find(const struct tmp_inode *folder, const char *name)
{
    if (folder->names == NULL)
        return NULL;
    uint32_t hash = hash_name(name);
    struct tmp_entry *entry = folder->names[hash & folder->name_mask];
    while (entry != NULL && (entry->hash != hash || strcmp(entry->name, name) != 0))
        entry = entry->chain;
    return entry;
}

static void
table_insert(struct tmp_inode *folder, struct tmp_entry *entry)
{
    struct tmp_entry **slot = &folder->names[entry->hash & folder->name_mask];
    entry->chain = *slot;
    *slot = entry;
}

static void
table_remove(struct tmp_inode *folder, const struct tmp_entry *entry)
{
    struct tmp_entry **slot = &folder->names[entry->hash & folder->name_mask];
    while (*slot != entry)
        slot = &(*slot)->chain;
    *slot = entry->chain;
    folder->name_count--;
}

/* Make room for one name more. Without memory a table that is there stays, with longer chains. */
static int
table_reserve(struct tmp_inode *folder)
{
    uint32_t size = folder->names == NULL ? 0 : folder->name_mask + 1;
    if (folder->name_count < size)
        return 0;
    uint32_t larger = size == 0 ? 8 : size * 2;
    struct tmp_entry **names = calloc(larger, sizeof *names);
    if (names == NULL)
        return size == 0 ? -ENOMEM : 0;
    free(folder->names);
    folder->names = names;
    folder->name_mask = larger - 1;
    for (struct tmp_entry *entry = folder->first; entry != NULL; entry = entry->next)
        table_insert(folder, entry);
    return 0;
}

/* What a name in `folder` means to the inode that it leads to. */
static void
attach(struct tmp_inode *folder, struct tmp_entry *entry)
{
    struct tmp_inode *inode = entry->inode;
    inode->references++;
    inode->links++;
    if (inode->type == S_IFDIR) {
        inode->parent = folder;
        inode->name = entry;
        inode->removed = false;
        folder->links++;
    }
}

/* `entry` is not its name any more, and the inode goes with it if that was the last of it. A folder
 * that is renamed has its new name already. */
static void
detach(struct tmp_inode *folder, struct tmp_inode *inode, const struct tmp_entry *entry)
{
    inode->links--;
    if (inode->type == S_IFDIR) {
        folder->links--;
        if (inode->name == entry) {
            inode->parent = NULL;
            inode->name = NULL;
            inode->removed = true;
        }
    }
    vmk_tmp_touch(inode, false);
    vmk_tmp_inode_unref(inode);
}

int
vmk_tmp_add(struct tmp_inode *folder, const char *name, struct tmp_inode *inode)
{
    struct vmk_memory_account *account = folder->fs->account;
    if (!vmk_memory_account_try_charge(account, entry_charge(name)))
        return -ENOSPC;
    struct tmp_entry *entry = malloc(sizeof *entry + strlen(name) + 1);
    if (entry == NULL || table_reserve(folder) < 0) {
        free(entry);
        vmk_memory_account_uncharge(account, entry_charge(name));
        return -ENOMEM;
    }

    strcpy(entry->name, name);
    entry->inode = inode;
    entry->cookie = ++folder->next_cookie;
    entry->next = NULL;
    entry->previous = folder->last;
    if (folder->last != NULL)
        folder->last->next = entry;
    else
        folder->first = entry;
    folder->last = entry;
    entry->hash = hash_name(name);
    table_insert(folder, entry);
    folder->name_count++;
    attach(folder, entry);
    vmk_tmp_touch(folder, true);
    return 0;
}

void
vmk_tmp_remove(struct tmp_inode *folder, struct tmp_entry *entry)
{
    struct tmp_inode *inode = entry->inode;
    table_remove(folder, entry);
    if (entry->previous != NULL)
        entry->previous->next = entry->next;
    else
        folder->first = entry->next;
    if (entry->next != NULL)
        entry->next->previous = entry->previous;
    else
        folder->last = entry->previous;
    vmk_memory_account_uncharge(folder->fs->account, entry_charge(entry->name));

    vmk_tmp_touch(folder, true);
    detach(folder, inode, entry);
    free(entry);
}

void
vmk_tmp_move_over(struct tmp_inode *from, struct tmp_entry *entry, struct tmp_inode *to,
                  struct tmp_entry *target)
{
    struct tmp_inode *inode = entry->inode;
    struct tmp_inode *replaced = target->inode;
    inode->references++;
    vmk_tmp_remove(from, entry);
    target->inode = inode;
    attach(to, target);
    vmk_tmp_inode_unref(inode);
    vmk_tmp_touch(to, true);
    detach(to, replaced, target);
}

int
vmk_tmp_permitted(struct vmk_files *files, const struct tmp_inode *inode, int mode)
{
    return vmk_node_permitted(files, inode->mode, inode->uid, inode->gid, mode);
}
