/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the state's codec (state.h) share: the writer and the reader, and how a kind of
 * file, or of a place in the tree of names, takes part. Every part stands in a section of its own,
 * and every kind has its functions where the kind is.
 *
 * Open files have numbers from 1 on, in the order in which they are found: descriptors first, then
 * the program, then the mappings. Each is written once, whatever refers to it. Inodes in memory
 * have their numbers anyway.
 */
#ifndef VMK_SANDBOX_STATE_CODEC_H
#define VMK_SANDBOX_STATE_CODEC_H

#include "util/bytes.h"

#include <vmkit/sandbox.h>

#include <stdbool.h>
#include <stdint.h>

struct tmp_inode;
struct vmk_file;
struct vmk_files;
struct vmk_limits;
struct vmk_node;
struct vmk_process;

#define VMK_STATE_FOUND_FIRST 32

struct vmk_state_writer {
    struct vmk_bytes *bytes;
    struct vmk_process *process;
    /* Only to be compared with another such: the contents of files in memory are left out but for
     * their generation, and nothing of the host is asked. */
    bool comparing;
    struct vmk_file **found; /* The files by their numbers, less 1. */
    uint32_t count;
    uint32_t capacity;
    uint32_t with_descriptor; /* Files up to this number have one; only mappings hold the others. */
    struct vmk_file *first[VMK_STATE_FOUND_FIRST];
    vmkit_error **ret_error;
};

struct vmk_state_reader {
    struct vmk_byte_cursor in;
    struct vmk_process *process;
    struct vmk_files *files;
    struct vmk_file **made; /* The files by their numbers, less 1; a reference to each. */
    uint32_t count;
    struct tmp_inode **inodes; /* In memory, by ascending numbers; a reference to each. */
    uint32_t inode_count;
    vmkit_error **ret_error;
};

/* What every file has. */
struct vmk_state_file {
    uint32_t number; /* of its kind */
    uint32_t flags;
    uint64_t offset;
    uint32_t inode;
    uint32_t mount_index;
    bool counts; /* among the open files */
};

/* Numbers of kinds are part of the format: a kind that goes leaves a hole. */
enum vmk_state_kind_number {
    VMK_STATE_STREAM = 1,
    VMK_STATE_PROGRAM = 2,
    VMK_STATE_PIPE = 3,
    VMK_STATE_EVENT = 4,
    VMK_STATE_EPOLL = 5,
    VMK_STATE_PATH = 6,
    VMK_STATE_BARE_FOLDER = 7,
    VMK_STATE_PSEUDO = 8,
    VMK_STATE_TMP = 9,
    VMK_STATE_HOST = 10,
};

/* How a kind of file takes part. Each function returns 0, or a negative errno with an error. */
struct vmk_state_kind {
    enum vmk_state_kind_number number;

    /* What is mapped of it has to become memory: its contents are not carried. */
    bool outside;

    /* Append what is behind struct vmk_file. */
    int (*save)(struct vmk_state_writer *writer, struct vmk_file *file);

    /* Make the file from that. What every file has is set by the caller afterwards, but for the
     * direction that it is open for. */
    int (*load)(struct vmk_state_reader *reader, const struct vmk_state_file *common,
                struct vmk_file **ret_file);

    /* The same for what leads to other files, after all of them. NULL: nothing does. */
    int (*save_links)(struct vmk_state_writer *writer, struct vmk_file *file);
    int (*load_links)(struct vmk_state_reader *reader, struct vmk_file *file);
};

extern const struct vmk_state_kind vmk_state_bare_folder;
extern const struct vmk_state_kind vmk_state_epoll;
extern const struct vmk_state_kind vmk_state_event;
extern const struct vmk_state_kind vmk_state_host;
extern const struct vmk_state_kind vmk_state_path;
extern const struct vmk_state_kind vmk_state_pipe;
extern const struct vmk_state_kind vmk_state_program;
extern const struct vmk_state_kind vmk_state_pseudo;
extern const struct vmk_state_kind vmk_state_stream;
extern const struct vmk_state_kind vmk_state_tmp;

/* Numbers of places are part of the format too. */
enum vmk_state_place_number {
    VMK_STATE_PLACE_BARE = 1,
    VMK_STATE_PLACE_HOST = 2,
    VMK_STATE_PLACE_TMP = 3,
    VMK_STATE_PLACE_PSEUDO = 4,
};

/* How a kind of node takes part. */
struct vmk_state_place {
    enum vmk_state_place_number number;

    /* What a sentence calls it. */
    const char *name;

    /* The path that leads there, which may be another one than that of the node; the caller frees
     * it. NULL: that of the node. */
    int (*find_path)(struct vmk_state_writer *writer, struct vmk_node *node, char **ret_path);

    /* Append what is behind struct vmk_node and its path. NULL: nothing is. */
    int (*save)(struct vmk_state_writer *writer, struct vmk_node *node);

    /* Make the node, or find it in the tree of names. */
    int (*load)(struct vmk_state_reader *reader, const char *path, struct vmk_node **ret_node);
};

extern const struct vmk_state_place vmk_state_place_bare;
extern const struct vmk_state_place vmk_state_place_host;
extern const struct vmk_state_place vmk_state_place_pseudo;
extern const struct vmk_state_place vmk_state_place_tmp;

/* What opening a file of a host folder again may fail with, see vmkit_snapshot_fork(). */
#define VMK_STATE_OPEN_ERRNOS                                                        \
    (VMK_ERRNO(EACCES) | VMK_ERRNO(ELOOP) | VMK_ERRNO(EMFILE) | VMK_ERRNO(ENFILE) |  \
     VMK_ERRNO(ENOENT) | VMK_ERRNO(ENOMEM) | VMK_ERRNO(ENOTDIR) | VMK_ERRNO(ENXIO) | \
     VMK_ERRNO(EROFS) | VMK_ERRNO(EISDIR))

int
vmk_state_save_node(struct vmk_state_writer *writer, struct vmk_node *node);

int
vmk_state_load_node(struct vmk_state_reader *reader, struct vmk_node **ret_node);

/* Walk to a node of that place, for its load(). */
int
vmk_state_walk(struct vmk_state_reader *reader, const struct vmk_state_place *place,
               const char *path, struct vmk_node **ret_node);

/* Give every file of the process its number, and take the numbers back. */
int
vmk_state_find_files(struct vmk_state_writer *writer);

void
vmk_state_forget_files(struct vmk_state_writer *writer);

/* The file of a number that was read, lent; NULL and an error when there is none. */
struct vmk_file *
vmk_state_get_file(struct vmk_state_reader *reader, uint32_t number);

/* Give back what the reader holds of files, and after that of inodes; `complete` says that they are
 * as the snapshot has them. */
void
vmk_state_release_files(struct vmk_state_reader *reader);

void
vmk_state_release_inodes(struct vmk_state_reader *reader, bool complete);

/* Refuse the bytes: `format` says what is wrong with them. */
int
vmk_state_bad(const struct vmk_state_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

int
vmk_state_no_memory(vmkit_error **ret_error);

/* The memory limit is reached at `what`. */
int
vmk_state_no_room(const struct vmk_state_reader *reader, const char *what);

/* 0 or 1; anything else is refused. */
int
vmk_state_get_bool(struct vmk_state_reader *reader, bool *ret_value);

void
vmk_state_put_string(struct vmk_state_writer *writer, const char *string);

/* A string of at most `limit` bytes without a NUL among them, as a copy that the caller frees. */
int
vmk_state_get_string(struct vmk_state_reader *reader, const char *what, size_t limit,
                     char **ret_string);

/* A path as the walker of paths makes them: absolute, of names alone. The caller frees it. */
int
vmk_state_get_path(struct vmk_state_reader *reader, char **ret_path);

/* What of a file's status stays when the file cannot be asked any more. */
struct statx;

void
vmk_state_put_status(struct vmk_state_writer *writer, const struct statx *status);

int
vmk_state_get_status(struct vmk_state_reader *reader, struct statx *ret_status);

/* The parts: each appends to the writer's bytes, or reads all that is left of the reader's. A
 * process that is reset has its files already, which lost everything but the mounts. */
int
vmk_state_save_limits(struct vmk_state_writer *writer);

int
vmk_state_read_limits(struct vmk_state_reader *reader, struct vmk_limits *ret_limits);

int
vmk_state_load_limits(struct vmk_state_reader *reader);

int
vmk_state_save_process(struct vmk_state_writer *writer);

int
vmk_state_load_process(struct vmk_state_reader *reader);

int
vmk_state_save_signals(struct vmk_state_writer *writer);

int
vmk_state_load_signals(struct vmk_state_reader *reader);

int
vmk_state_save_mounts(struct vmk_state_writer *writer);

int
vmk_state_load_mounts(struct vmk_state_reader *reader);

int
vmk_state_save_tmp(struct vmk_state_writer *writer);

int
vmk_state_load_tmp(struct vmk_state_reader *reader);

/* Before a process is reset: hold the files in memory, if they are as they were loaded. */
int
vmk_state_keep_tmp(struct vmk_state_reader *reader);

int
vmk_state_save_files(struct vmk_state_writer *writer);

int
vmk_state_load_files(struct vmk_state_reader *reader);

int
vmk_state_save_space(struct vmk_state_writer *writer);

int
vmk_state_load_space(struct vmk_state_reader *reader);

#endif
