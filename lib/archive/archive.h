/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot container: sections by name, and a memory by pages, in one file that a stranger may
 * have written. It knows no device, no processor and no sandbox. doc/snapshot-format.md is the
 * format; a file is written from its first byte to its last, so that a pipe will do.
 *
 * The memory is one space of [0, memory_size) of guest-physical addresses, in pages of 4 KiB, each
 * of which is zero, data, or the same as in the parent. Where nothing is, it is zero: a hole costs
 * nothing. Data is stored page after page, raw or compressed.
 *
 * Writing: writer_new_path() or writer_new_fd(); add_section() and add_memory() in any order, the
 * memory in ascending order; finish(). What was added is lent until then. writer_free() of a writer
 * that was not finished leaves the former file as it was. With a parent in the contents, pages that
 * were not added are the same as the parent's.
 *
 * Reading: archive_open_path() or archive_open_fd() check the header, the table and the index, and
 * nothing of them is used before. set_parent() when info.depth is not 0. read_section() gives the
 * checked bytes of a section. find() says of a page where it is and how many behind it are in the
 * same place: a run of raw pages may be mapped copy-on-write from run.fd at run.offset, unchecked;
 * read_memory() and load() copy, decompress and check, through all parents. An archive does not
 * change once its parent is set, and any thread may read it.
 *
 * Errors: EINVAL with the kind bad-snapshot for a file that is damaged, cut or hostile, ENOTSUP
 * with not-supported for a later version and another architecture, ENOENT for a parent that is
 * missing, E2BIG with limit for what is above the caller's limit.
 */
#ifndef VMK_ARCHIVE_ARCHIVE_H
#define VMK_ARCHIVE_ARCHIVE_H

#include "archive/settings.h"

#include <vmkit/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMK_ARCHIVE_PAGE_SIZE UINT64_C(4096)
#define VMK_ARCHIVE_NAME_SIZE 24                    /* of a section, with at least one NUL */
#define VMK_ARCHIVE_ARCHITECTURE_SIZE 16            /* with at least one NUL */
#define VMK_ARCHIVE_MAX_SECTIONS 256                /* the memory's own ones included */
#define VMK_ARCHIVE_MAX_DEPTH 64                    /* of a chain of parents */
#define VMK_ARCHIVE_MAX_SECTION (UINT64_C(1) << 32) /* bytes of one */
#define VMK_ARCHIVE_MAX_MEMORY (UINT64_C(1) << 52)

/* Section flags. */
enum {
    VMK_ARCHIVE_REQUIRED = 1, /* a reader that does not know the section must refuse the file */
};

/* What an archive is, whichever way its memory is stored: the same contents have the same identity.
 * All zero is none. */
struct vmk_archive_identity {
    uint8_t bytes[16];
};

/* What a new archive is to be. */
struct vmk_archive_contents {
    const char *architecture; /* 1 to 15 of a-z, 0-9 and _ */
    uint64_t memory_size;     /* bytes, a multiple of the page size */
    uint32_t parent_depth;    /* of the parent, when there is one */
    struct vmk_archive_identity parent;
};

struct vmk_archive_writer;

/* Begin an archive that takes the place of `path` when it is finished, and not before. Copies
 * `contents` and `settings`. 0, or a negative errno with an error. */
int
vmk_archive_writer_new_path(const struct vmk_archive_contents *contents, const char *path,
                            const struct vmk_archive_settings *settings,
                            struct vmk_archive_writer **ret_writer, vmkit_error **ret_error);

/* The same to a descriptor, which is lent until finish() or free(): a regular file that stands at
 * its beginning and is cut behind the archive, a pipe or a socket. */
int
vmk_archive_writer_new_fd(const struct vmk_archive_contents *contents, int fd,
                          const struct vmk_archive_settings *settings,
                          struct vmk_archive_writer **ret_writer, vmkit_error **ret_error);

/* Lent. */
const struct vmk_archive_settings *
vmk_archive_writer_get_settings(const struct vmk_archive_writer *writer);

/* Name, flags and version of a section, and its bytes, which are lent. Names are of a-z, 0-9 and
 * '-', and each is there once. */
int
vmk_archive_writer_add_section(struct vmk_archive_writer *writer, const char *name,
                               uint32_t version, uint32_t flags, const void *data, uint64_t size,
                               vmkit_error **ret_error);

/* What a page holds. */
struct vmk_archive_sum {
    uint64_t checksum;
    bool is_zero; /* and no checksum is needed */
};

/* Sum up `size` bytes of whole pages, on any thread. */
void
vmk_archive_sum_pages(const void *pages, size_t size, struct vmk_archive_sum *ret_sums);

/* The memory at [gpa, gpa + size), above all that was added before. Lent until it is written,
 * until settle(), flush() or finish(), or until a call fails. */
int
vmk_archive_writer_add_memory(struct vmk_archive_writer *writer, uint64_t gpa, const void *hva,
                              uint64_t size, vmkit_error **ret_error);

/* The same with the sums of its pages, which are lent for the call. Into an archive that is not
 * compressed, and then all of its memory. */
int
vmk_archive_writer_add_summed(struct vmk_archive_writer *writer, uint64_t gpa, const void *hva,
                              uint64_t size, const struct vmk_archive_sum *sums,
                              vmkit_error **ret_error);

/* Zeros at [gpa, gpa + size): needed only with a parent, which may have something there. */
int
vmk_archive_writer_add_zeros(struct vmk_archive_writer *writer, uint64_t gpa, uint64_t size,
                             vmkit_error **ret_error);

/* Wait until no memory that was added is needed any more. */
int
vmk_archive_writer_flush(struct vmk_archive_writer *writer, vmkit_error **ret_error);

/* Nothing that was lent is needed any more, and no call but free() may follow: what should have
 * been added cannot be read. */
void
vmk_archive_writer_abandon(struct vmk_archive_writer *writer);

/* Pages of data that were added, and how many of them, from the first one on, were written. */
uint64_t
vmk_archive_writer_get_added(const struct vmk_archive_writer *writer);

uint64_t
vmk_archive_writer_get_settled(const struct vmk_archive_writer *writer);

/* Wait until what was lent for the first `count` pages of data is needed no more. */
int
vmk_archive_writer_settle(struct vmk_archive_writer *writer, uint64_t count,
                          vmkit_error **ret_error);

/* Write what is left, sync, and put the file in its place. Only writer_free() may follow, whatever
 * it returns. */
int
vmk_archive_writer_finish(struct vmk_archive_writer *writer,
                          struct vmk_archive_identity *ret_identity, vmkit_error **ret_error);

/* NULL is fine. */
void
vmk_archive_writer_free(struct vmk_archive_writer *writer);

struct vmk_archive;

/* Flags of open. */
enum {
    /* Copy the whole file into memory first, so that whoever may change or shorten the file cannot
     * do so under a mapping. Needed for a pipe. */
    VMK_ARCHIVE_COPY = 1,
};

/* What the caller expects; zeros and NULL for "whatever it is". */
struct vmk_archive_expectation {
    const char *architecture;
    uint64_t memory_limit; /* of memory_size */
    uint64_t file_limit;   /* of the file, for VMK_ARCHIVE_COPY; 0 for the host's memory */
    const struct vmk_archive_settings *settings; /* whose progress may call a copy off */
};

struct vmk_archive_info {
    uint64_t file_size;
    uint64_t memory_size;
    uint64_t data_pages;   /* stored in this file */
    uint64_t zero_pages;   /* known to be zero */
    uint64_t parent_pages; /* as in the parent */
    uint64_t stored_bytes; /* what the data pages take in the file */
    uint32_t version;      /* of the format */
    uint32_t depth;        /* 0 for a full archive */
    uint32_t section_count;
    bool compressed;
    char architecture[VMK_ARCHIVE_ARCHITECTURE_SIZE];
    struct vmk_archive_identity identity;
    struct vmk_archive_identity parent; /* zeros for a full archive */
};

struct vmk_archive_section {
    char name[VMK_ARCHIVE_NAME_SIZE];
    uint32_t version;
    uint32_t flags;
    uint64_t size;
    uint64_t checksum;
};

/* `name` is for messages, such as the path; copied. `expectation` may be NULL. */
int
vmk_archive_open_path(const char *path, const struct vmk_archive_expectation *expectation,
                      uint32_t flags, struct vmk_archive **ret_archive, vmkit_error **ret_error);

int
vmk_archive_open_fd(int fd, const char *name, const struct vmk_archive_expectation *expectation,
                    uint32_t flags, struct vmk_archive **ret_archive, vmkit_error **ret_error);

struct vmk_archive *
vmk_archive_ref(struct vmk_archive *archive);

void
vmk_archive_unref(struct vmk_archive *archive);

const struct vmk_archive_info *
vmk_archive_get_info(const struct vmk_archive *archive);

/* The name for messages. */
const char *
vmk_archive_get_name(const struct vmk_archive *archive);

/* Sections of the embedder come first, in the order in which they were added; those of the memory
 * have names that begin with "memory.". */
const struct vmk_archive_section *
vmk_archive_get_section(const struct vmk_archive *archive, uint32_t number);

/* NULL when there is none. */
const struct vmk_archive_section *
vmk_archive_find_section(const struct vmk_archive *archive, const char *name);

/* A copy of a section's bytes, checked, of at most `limit` bytes: the caller frees it. A section
 * that is not there is -ENOENT. One byte more than its size is there, a NUL. */
int
vmk_archive_read_section(const struct vmk_archive *archive, const char *name, uint64_t limit,
                         void **ret_data, uint64_t *ret_size, vmkit_error **ret_error);

/* What a reader of sections knows: a name, and the last version of it. */
struct vmk_archive_known {
    const char *name;
    uint32_t version;
};

/* Refuse, with -ENOTSUP, a required section that is not among the `count` known ones, and any known
 * one of a later version. */
int
vmk_archive_check_sections(const struct vmk_archive *archive, const struct vmk_archive_known *known,
                           size_t count, vmkit_error **ret_error);

/* Whether an archive that has no parent yet can have the one that `parent` describes, and messages
 * call `name`. -EINVAL when it is full, or names another one. */
int
vmk_archive_check_parent(const struct vmk_archive *archive, const struct vmk_archive_info *parent,
                         const char *name, vmkit_error **ret_error);

/* Give an incremental archive its parent, which has its own already. Refused, with -EINVAL, when it
 * is another one than the file names. */
int
vmk_archive_set_parent(struct vmk_archive *archive, struct vmk_archive *parent,
                       vmkit_error **ret_error);

/* -ENOENT with an error that names the identity, when a parent is missing somewhere in the chain.
 */
int
vmk_archive_check_complete(const struct vmk_archive *archive, vmkit_error **ret_error);

enum vmk_archive_state {
    VMK_ARCHIVE_ZERO = 0,
    VMK_ARCHIVE_DATA = 1,
    VMK_ARCHIVE_PARENT = 2, /* in a complete chain, nobody but this room sees that */
};

/* Pages that are in the same place, one behind the other. */
struct vmk_archive_run {
    uint64_t page;  /* number of the first one */
    uint64_t count; /* at least 1 */
    enum vmk_archive_state state;
    bool compressed;                 /* data that cannot be mapped */
    int fd;                          /* for raw data: lent by the archive; else -1 */
    uint64_t offset;                 /* in it, a multiple of the page size */
    const struct vmk_archive *owner; /* the archive of the chain that has the data */
    uint64_t rank;                   /* of the first page among the owner's data pages */
};

/* The run that begins at a page, with parents followed. */
void
vmk_archive_find(const struct vmk_archive *archive, uint64_t page, struct vmk_archive_run *ret_run);

/* Copy the memory at [gpa, gpa + size), whole pages, checked. */
int
vmk_archive_read_memory(const struct vmk_archive *archive, uint64_t gpa, void *buffer,
                        uint64_t size, vmkit_error **ret_error);

/* Where memory of an archive goes to: whole pages. */
struct vmk_archive_target {
    uint64_t gpa;
    uint64_t size;
    void *hva;
};

/* Flags of load. */
enum {
    /* The targets are zero already: zero pages are not touched. */
    VMK_ARCHIVE_SKIP_ZEROS = 1,
    /* Only what this file stores; other pages are not touched, and its parents are not needed. */
    VMK_ARCHIVE_ONLY_OWN = 2,
};

/* Copy memory to the targets, checked, with as many threads as the settings allow. What was not
 * copied yet when it fails is not said. */
int
vmk_archive_load(const struct vmk_archive *archive, const struct vmk_archive_target *targets,
                 size_t count, uint32_t flags, const struct vmk_archive_settings *settings,
                 vmkit_error **ret_error);

/* Check every byte of this file, but not its parents. */
int
vmk_archive_verify(const struct vmk_archive *archive, const struct vmk_archive_settings *settings,
                   vmkit_error **ret_error);

/* Write the archive with all of its parents as one that needs none, to `path` or, when that is
 * NULL, to `fd`. */
int
vmk_archive_merge(const struct vmk_archive *archive, const char *path, int fd,
                  const struct vmk_archive_settings *settings, vmkit_error **ret_error);

struct vmk_archive_diff {
    uint32_t sections_equal;
    uint32_t sections_changed;
    uint32_t sections_only_in_first;
    uint32_t sections_only_in_second;
    uint64_t pages_equal;
    uint64_t pages_changed; /* with those that only the larger memory has */
    uint64_t pages_unknown; /* the same as in a parent that was not given */
};

/* Compare by checksums: two that are equal were not made to differ by anybody. */
int
vmk_archive_compare(const struct vmk_archive *a, const struct vmk_archive *b,
                    struct vmk_archive_diff *ret_diff, vmkit_error **ret_error);

#endif
