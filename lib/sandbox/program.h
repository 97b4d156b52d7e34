/* SPDX-License-Identifier: Apache-2.0 */
/* The program that a configuration names, as a file of the guest that can be read. */
#ifndef VMK_SANDBOX_PROGRAM_H
#define VMK_SANDBOX_PROGRAM_H

#include "sandbox/config.h"

struct vmk_file;
struct vmk_files;

/* Open it. 0, or a negative errno with an error: no program, not there, no regular file. */
int
vmk_program_open(struct vmk_files *files, const struct vmk_program_config *config,
                 struct vmk_file **ret_file, vmkit_error **ret_error);

/* What the program was opened from: references for the caller. All empty when `file` is not the
 * program of a configuration. */
void
vmk_program_describe(struct vmk_file *file, struct vmk_program_config *ret_config);

#endif
