/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that lies in a snapshot file, and is read from there once somebody asks for it: to look
 * a symbol up, to read /proc/self/exe or to execute it again. Counted, and used from any thread.
 */
#ifndef VMK_SANDBOX_PROGRAM_SOURCE_H
#define VMK_SANDBOX_PROGRAM_SOURCE_H

#include "sandbox/shared.h"

#include <vmkit/error.h>

#define VMK_PROGRAM_SECTION "sandbox-program"

/* A larger one is not put into a snapshot file. */
#define VMK_PROGRAM_SECTION_MAX (UINT64_C(256) << 20)

struct vmk_archive;
struct vmk_program_source;

/* Of the archive's section of that name. NULL without memory. */
struct vmk_program_source *
vmk_program_source_new(struct vmk_archive *archive, uint64_t size);

struct vmk_program_source *
vmk_program_source_ref(struct vmk_program_source *source);

/* Accepts NULL. */
void
vmk_program_source_unref(struct vmk_program_source *source);

uint64_t
vmk_program_source_get_size(const struct vmk_program_source *source);

/* A reference to its bytes, checked. 0; -EIO when the file is damaged there; -ENOMEM. */
int
vmk_program_source_read(struct vmk_program_source *source, struct vmk_blob **ret_blob,
                        vmkit_error **ret_error);

#endif
