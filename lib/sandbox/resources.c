/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/resources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
vmk_resources_init(struct vmk_resources *resources, const vmkit_sandbox_config *config)
{
    *resources = (struct vmk_resources){0};
    if (config->program.path != NULL) {
        resources->program.path = strdup(config->program.path);
        if (resources->program.path == NULL)
            return -ENOMEM;
    }
    if (config->program.fd != NULL)
        resources->program.fd = vmk_host_fd_ref(config->program.fd);
    if (config->program.image != NULL)
        resources->program.image = vmk_blob_ref(config->program.image);
    for (int i = 0; i < 3; i++) {
        resources->streams[i] = config->streams[i];
        if (config->streams[i].fd != NULL)
            vmk_host_fd_ref(config->streams[i].fd);
        if (config->streams[i].input != NULL)
            vmk_blob_ref(config->streams[i].input);
    }
    return 0;
}

void
vmk_resources_clear(struct vmk_resources *resources)
{
    free(resources->program.path);
    vmk_host_fd_unref(resources->program.fd);
    vmk_blob_unref(resources->program.image);
    for (int i = 0; i < 3; i++) {
        vmk_host_fd_unref(resources->streams[i].fd);
        vmk_blob_unref(resources->streams[i].input);
    }
    *resources = (struct vmk_resources){0};
}
