/* SPDX-License-Identifier: Apache-2.0 */
/* The three streams of a configuration. Setting one replaces what it was connected to. */
#include "sandbox/config.h"

#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>

static int
no_memory(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for a stream of a sandbox");
}

static int
no_such_stream(vmkit_error **ret_error, uint32_t stream)
{
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "stream %" PRIu32 " is none of the program's %s", stream,
                         stream == VMKIT_STREAM_STDIN ? "output streams, 1 and 2"
                                                      : "streams, 0 to 2");
}

static bool
is_output(uint32_t stream)
{
    return stream == VMKIT_STREAM_STDOUT || stream == VMKIT_STREAM_STDERR;
}

static void
stream_replace(vmkit_sandbox_config *config, uint32_t stream, struct vmk_stream_config with)
{
    struct vmk_stream_config *slot = &config->streams[stream];
    vmk_host_fd_unref(slot->fd);
    vmk_blob_unref(slot->input);
    *slot = with;
}

int
vmk_config_set_stream_fd(vmkit_sandbox_config *config, uint32_t stream, int fd,
                         vmkit_error **ret_error)
{
    if (stream > VMKIT_STREAM_STDERR)
        return no_such_stream(ret_error, stream);

    static const char *const names[] = {"stream 0", "stream 1", "stream 2"};
    int copy = vmk_config_duplicate(fd, names[stream], ret_error);
    if (copy < 0)
        return copy;
    struct vmk_host_fd *host_fd = vmk_host_fd_new(copy);
    if (host_fd == NULL)
        return no_memory(ret_error);
    stream_replace(config, stream,
                   (struct vmk_stream_config){.kind = VMK_STREAM_FD, .fd = host_fd});
    return 0;
}

int
vmk_config_set_input(vmkit_sandbox_config *config, const void *data, uint64_t size,
                     vmkit_error **ret_error)
{
    if (data == NULL && size != 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "input of %" PRIu64 " bytes at NULL", size);
    if (size > VMK_CONFIG_BYTES_MAX)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "input of %" PRIu64 " bytes is above the limit of %" PRIu64, size,
                             VMK_CONFIG_BYTES_MAX);
    struct vmk_blob *input = vmk_blob_new(data, (size_t)size);
    if (input == NULL)
        return no_memory(ret_error);
    stream_replace(config, VMKIT_STREAM_STDIN,
                   (struct vmk_stream_config){.kind = VMK_STREAM_INPUT, .input = input});
    return 0;
}

int
vmk_config_set_input_callback(vmkit_sandbox_config *config, vmkit_input_callback callback,
                              void *user_data, vmkit_error **ret_error)
{
    if (callback == NULL)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the input callback is NULL");
    stream_replace(config, VMKIT_STREAM_STDIN,
                   (struct vmk_stream_config){.kind = VMK_STREAM_CALLBACK,
                                              .read_callback = callback,
                                              .user_data = user_data});
    return 0;
}

int
vmk_config_set_output_buffer(vmkit_sandbox_config *config, uint32_t stream, uint64_t limit,
                             vmkit_error **ret_error)
{
    if (!is_output(stream))
        return no_such_stream(ret_error, stream);
    if (limit == 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the limit of the buffer of stream %" PRIu32 " is zero", stream);
    if (limit > VMK_CONFIG_BYTES_MAX)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "an output buffer of %" PRIu64 " bytes is above the limit of %" PRIu64,
                             limit, VMK_CONFIG_BYTES_MAX);
    stream_replace(config, stream,
                   (struct vmk_stream_config){.kind = VMK_STREAM_BUFFER, .limit = limit});
    return 0;
}

int
vmk_config_set_output_callback(vmkit_sandbox_config *config, uint32_t stream,
                               vmkit_output_callback callback, void *user_data,
                               vmkit_error **ret_error)
{
    if (!is_output(stream))
        return no_such_stream(ret_error, stream);
    if (callback == NULL)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the output callback of stream %" PRIu32 " is NULL", stream);
    stream_replace(config, stream,
                   (struct vmk_stream_config){.kind = VMK_STREAM_CALLBACK,
                                              .write_callback = callback,
                                              .user_data = user_data});
    return 0;
}
