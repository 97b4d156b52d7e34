/* SPDX-License-Identifier: Apache-2.0 */
#include "api/export.h"
#include "api/uncancelled.h"
#include "sandbox/config.h"
#include "util/error.h"

#include <errno.h>

static int
no_config(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "the configuration is NULL");
}

VMKIT_EXPORT int
vmkit_sandbox_config_new(vmkit_sandbox_config **ret_config, vmkit_error **ret_error)
{
    if (ret_config == NULL)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "there is no place for the configuration");
    return vmk_config_new(ret_config, ret_error);
}

VMKIT_EXPORT vmkit_sandbox_config *
vmkit_sandbox_config_ref(vmkit_sandbox_config *config)
{
    return vmk_config_ref(config);
}

VMKIT_EXPORT void
vmkit_sandbox_config_unref(vmkit_sandbox_config *config)
{
    VMK_API_UNCANCELLED;
    vmk_config_unref(config);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_program_path(vmkit_sandbox_config *config, const char *path,
                                      vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    return config == NULL ? no_config(ret_error)
                          : vmk_config_set_program_path(config, path, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_program_fd(vmkit_sandbox_config *config, int fd, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    return config == NULL ? no_config(ret_error) : vmk_config_set_program_fd(config, fd, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_program_memory(vmkit_sandbox_config *config, const void *data,
                                        uint64_t size, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    return config == NULL ? no_config(ret_error)
                          : vmk_config_set_program_memory(config, data, size, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_arguments(vmkit_sandbox_config *config, const char *const *arguments,
                                   vmkit_error **ret_error)
{
    return config == NULL ? no_config(ret_error)
                          : vmk_config_set_arguments(config, arguments, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_environment(vmkit_sandbox_config *config, const char *const *environment,
                                     vmkit_error **ret_error)
{
    return config == NULL ? no_config(ret_error)
                          : vmk_config_set_environment(config, environment, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_working_directory(vmkit_sandbox_config *config, const char *guest_path,
                                           vmkit_error **ret_error)
{
    return config == NULL ? no_config(ret_error)
                          : vmk_config_set_working_directory(config, guest_path, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_user(vmkit_sandbox_config *config, uint32_t uid, uint32_t gid,
                              vmkit_error **ret_error)
{
    return config == NULL ? no_config(ret_error) : vmk_config_set_user(config, uid, gid, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_add_folder(vmkit_sandbox_config *config, const char *host_path,
                                const char *guest_path, uint64_t flags, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    return config == NULL ? no_config(ret_error)
                          : vmk_config_add_folder(config, host_path, guest_path, flags, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_add_folder_fd(vmkit_sandbox_config *config, int fd, const char *guest_path,
                                   uint64_t flags, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    return config == NULL ? no_config(ret_error)
                          : vmk_config_add_folder_fd(config, fd, guest_path, flags, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_stream_fd(vmkit_sandbox_config *config, uint32_t stream, int fd,
                                   vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    return config == NULL ? no_config(ret_error)
                          : vmk_config_set_stream_fd(config, stream, fd, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_input(vmkit_sandbox_config *config, const void *data, uint64_t size,
                               vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    return config == NULL ? no_config(ret_error)
                          : vmk_config_set_input(config, data, size, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_input_callback(vmkit_sandbox_config *config, vmkit_input_callback callback,
                                        void *user_data, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    return config == NULL ? no_config(ret_error)
                          : vmk_config_set_input_callback(config, callback, user_data, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_output_buffer(vmkit_sandbox_config *config, uint32_t stream,
                                       uint64_t limit, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    return config == NULL ? no_config(ret_error)
                          : vmk_config_set_output_buffer(config, stream, limit, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_output_callback(vmkit_sandbox_config *config, uint32_t stream,
                                         vmkit_output_callback callback, void *user_data,
                                         vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    return config == NULL
               ? no_config(ret_error)
               : vmk_config_set_output_callback(config, stream, callback, user_data, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_memory_limit(vmkit_sandbox_config *config, uint64_t bytes,
                                      vmkit_error **ret_error)
{
    return config == NULL ? no_config(ret_error)
                          : vmk_config_set_memory_limit(config, bytes, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_cpu_time_limit(vmkit_sandbox_config *config, uint64_t nanoseconds,
                                        vmkit_error **ret_error)
{
    return config == NULL ? no_config(ret_error)
                          : vmk_config_set_cpu_time_limit(config, nanoseconds, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_wall_time_limit(vmkit_sandbox_config *config, uint64_t nanoseconds,
                                         vmkit_error **ret_error)
{
    return config == NULL ? no_config(ret_error)
                          : vmk_config_set_wall_time_limit(config, nanoseconds, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_open_files_limit(vmkit_sandbox_config *config, uint64_t count,
                                          vmkit_error **ret_error)
{
    return config == NULL ? no_config(ret_error)
                          : vmk_config_set_open_files_limit(config, count, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_config_set_output_limit(vmkit_sandbox_config *config, uint64_t bytes,
                                      vmkit_error **ret_error)
{
    return config == NULL ? no_config(ret_error)
                          : vmk_config_set_output_limit(config, bytes, ret_error);
}
