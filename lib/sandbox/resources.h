/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process that came from a snapshot was given of the host's: its streams and its program. It
 * is kept as long as the process, so that a reset can connect again what the guest has closed,
 * whatever became of the configuration.
 */
#ifndef VMK_SANDBOX_RESOURCES_H
#define VMK_SANDBOX_RESOURCES_H

#include "sandbox/config.h"

struct vmk_resources {
    struct vmk_stream_config streams[3];
    struct vmk_program_config program;
};

/* Take references to what a configuration has. 0 or -ENOMEM. */
int
vmk_resources_init(struct vmk_resources *resources, const vmkit_sandbox_config *config);

/* Accepts one that is all zeros. */
void
vmk_resources_clear(struct vmk_resources *resources);

#endif
