/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmkit-doctor: what this host's KVM offers, for a person or (--json) for a script, and what to do
 * when it cannot be used.
 */
#include "output.h"

#include <vmkit/vmkit.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: vmkit-doctor [--json] [--device PATH]\n"
    "\n"
    "Says whether this host's KVM can be used, what it offers, and what to do "
    "if it cannot.\n"
    "\n"
    "  --json          one JSON object instead of text\n"
    "  --device PATH   look at this device (/dev/kvm)\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 when virtual machines can run here, 1 when not, 2 when "
    "the command line is wrong.\n";

static void
print_json_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", (unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void
print_json_field(const char *name, const char *text)
{
    printf("\"%s\":", name);
    print_json_string(text);
    putchar(',');
}

static void
print_json(const vmkit_host *host)
{
    uint32_t status = vmkit_host_get_status(host);
    uint32_t mode = vmkit_host_get_supervisor_mode(host);
    const char *name;

    printf("{\"usable\":%s,", status == VMKIT_HOST_USABLE ? "true" : "false");
    print_json_field("status", vmkit_host_status_get_name(status));
    print_json_field("reason", vmkit_host_get_reason(host));
    print_json_field("advice", vmkit_host_get_advice(host));
    print_json_field("cpu_vendor", vmkit_host_get_cpu_vendor(host));
    print_json_field("cpu_model", vmkit_host_get_cpu_model(host));
    printf("\"api_version\":%" PRIu32 ",", vmkit_host_get_api_version(host));
    printf("\"max_vcpus\":%" PRIu32 ",", vmkit_host_get_max_vcpus(host));
    printf("\"max_memory_regions\":%" PRIu32 ",", vmkit_host_get_max_regions(host));
    print_json_field("supervisor_mode", vmkit_supervisor_mode_get_name(mode));
    printf("\"supervisor_instruction_ps\":%" PRIu64 ",",
           vmkit_host_get_supervisor_instruction_ps(host));
    printf("\"capabilities\":{");
    for (uint32_t i = 1; (name = vmkit_capability_get_name(i)) != NULL; i++) {
        printf("%s", i == 1 ? "" : ",");
        print_json_string(name);
        printf(":%s", vmkit_host_has_capability(host, i) ? "true" : "false");
    }
    printf("}}\n");
}

static void
print_capabilities(const vmkit_host *host, bool there)
{
    const char *name;
    int column = 0;

    printf("%s", there ? "  offers:  " : "  lacks:   ");
    for (uint32_t i = 1; (name = vmkit_capability_get_name(i)) != NULL; i++) {
        if ((vmkit_host_has_capability(host, i) != 0) != there)
            continue;
        if (column > 60)
            printf("\n           ");
        column = (column > 60 ? 0 : column) + printf("%s ", name);
    }
    printf("%s\n", column == 0 ? "nothing" : "");
}

static void
print_text(const vmkit_host *host)
{
    uint32_t status = vmkit_host_get_status(host);
    uint32_t mode = vmkit_host_get_supervisor_mode(host);

    printf("Virtual machines %s run here.\n", status == VMKIT_HOST_USABLE ? "can" : "cannot");
    if (*vmkit_host_get_reason(host) != '\0')
        printf("  why:     %s\n", vmkit_host_get_reason(host));
    printf("  advice:  %s\n", vmkit_host_get_advice(host));
    printf("  CPU:     %s, %s\n", vmkit_host_get_cpu_model(host), vmkit_host_get_cpu_vendor(host));
    if (status != VMKIT_HOST_USABLE)
        return;
    printf("  KVM:     API %" PRIu32 ", up to %" PRIu32 " vCPUs and %" PRIu32
           " memory regions in a VM\n",
           vmkit_host_get_api_version(host), vmkit_host_get_max_vcpus(host),
           vmkit_host_get_max_regions(host));
    printf("  kernels: supervisor mode is %s, %.3f ns an instruction\n",
           vmkit_supervisor_mode_get_name(mode),
           (double)vmkit_host_get_supervisor_instruction_ps(host) / 1000);
    print_capabilities(host, true);
    print_capabilities(host, false);
}

static int
complain(const char *what, const char *argument)
{
    fprintf(stderr, "vmkit-doctor: %s%s ('vmkit-doctor --help' lists the options)\n", what,
            argument);
    return 2;
}

static int
run(int argc, char **argv)
{
    const char *device = "/dev/kvm";
    vmkit_host *host = NULL;
    vmkit_error *error = NULL;
    bool json = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            uint32_t version = vmkit_get_version();
            printf("vmkit-doctor %u.%u.%u\n", version >> 16, (version >> 8) & 0xff, version & 0xff);
            return 0;
        }
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (strcmp(argv[i], "--device") != 0)
            return complain("there is no option ", argv[i]);
        else if (i + 1 == argc || *argv[i + 1] == '\0')
            return complain("a path has to follow ", argv[i]);
        else
            device = argv[++i];
    }
    if (vmkit_host_probe_path(device, VMKIT_HOST_PROBE_MEASURE, &host, &error) < 0) {
        fprintf(stderr, "vmkit-doctor: %s\n", vmkit_error_get_message(error));
        vmkit_error_unref(error);
        return 1;
    }
    if (json)
        print_json(host);
    else
        print_text(host);
    bool usable = vmkit_host_get_status(host) == VMKIT_HOST_USABLE;
    vmkit_host_unref(host);
    return usable ? 0 : 1;
}

int
main(int argc, char **argv)
{
    return output_finish("vmkit-doctor", run(argc, argv), 1);
}
