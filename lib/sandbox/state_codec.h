/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the state's codec (state.h) share: the writer and the reader, and how a kind of
 * file takes part. Every part stands in a section of its own, and every kind of file has its two
 * functions where the kind is.
 *
 * Open files have numbers from 1 on, in the order in which they are found: descriptors first, then
 * the program, then the mappings. Each is written once, whatever refers to it.
 */
#ifndef VMK_SANDBOX_STATE_CODEC_H
#define VMK_SANDBOX_STATE_CODEC_H

#include "util/bytes.h"

#include <vmkit/sandbox.h>

#include <stdbool.h>
#include <stdint.h>

struct vmk_file;
struct vmk_files;
struct vmk_limits;
struct vmk_process;
struct vmk_stream_config;

/* Numbers of kinds are part of the format: a kind that goes leaves a hole. */
enum vmk_state_file_number {
    VMK_STATE_STREAM = 1,
    VMK_STATE_PROGRAM = 2,
};

struct vmk_state_writer {
    struct vmk_bytes *bytes;
    struct vmk_process *process;
    struct vmk_file **found; /* The files by their numbers, less 1. */
    uint32_t count;
    uint32_t capacity;
    vmkit_error **ret_error;
};

struct vmk_state_reader {
    struct vmk_byte_cursor in;
    struct vmk_process *process;
    struct vmk_files *files;
    const vmkit_sandbox_config *config;
    struct vmk_file **made; /* The files by their numbers, less 1; a reference to each. */
    uint32_t count;
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

/* How a kind of file takes part. Each function returns 0, or a negative errno with an error. */
struct vmk_state_kind {
    enum vmk_state_file_number number;

    /* Append what is behind struct vmk_file. NULL: nothing is. */
    int (*save)(struct vmk_state_writer *writer, struct vmk_file *file);

    /* Make the file from that. What every file has is set by the caller afterwards, but for the
     * direction that it is open for. */
    int (*load)(struct vmk_state_reader *reader, const struct vmk_state_file *common,
                struct vmk_file **ret_file);
};

extern const struct vmk_state_kind vmk_state_stream;
extern const struct vmk_state_kind vmk_state_program;

/* Give every file of the process its number, and take the numbers back. 0 or a negative errno with
 * an error. */
int
vmk_state_find_files(struct vmk_state_writer *writer);

void
vmk_state_forget_files(struct vmk_state_writer *writer);

/* The file of a number that was read, lent; NULL and an error when there is none. */
struct vmk_file *
vmk_state_get_file(struct vmk_state_reader *reader, uint32_t number);

void
vmk_state_release_files(struct vmk_state_reader *reader);

/* Refuse the bytes: `format` says what is wrong with them. */
int
vmk_state_bad(const struct vmk_state_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

int
vmk_state_no_memory(vmkit_error **ret_error);

/* 0 or 1; anything else is refused. */
int
vmk_state_get_bool(struct vmk_state_reader *reader, bool *ret_value);

/* A string of at most `limit` bytes without a NUL among them, as a copy that the caller frees. */
void
vmk_state_put_string(struct vmk_state_writer *writer, const char *string);

int
vmk_state_get_string(struct vmk_state_reader *reader, const char *what, size_t limit,
                     char **ret_string);

/* The parts: each appends to the writer's bytes, or reads all that is left of the reader's. */
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
vmk_state_save_files(struct vmk_state_writer *writer);

int
vmk_state_load_files(struct vmk_state_reader *reader);

int
vmk_state_save_space(struct vmk_state_writer *writer);

int
vmk_state_load_space(struct vmk_state_reader *reader);

#endif
