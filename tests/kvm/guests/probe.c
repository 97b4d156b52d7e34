/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include <string.h>

int
main(int argc, char **argv)
{
    static const struct probe *const groups[] = {
        probe_memory,  probe_rights, probe_cpu,   probe_hostile, probe_fuzz,  probe_exhaust,
        probe_process, probe_exec,   probe_files, probe_busy,    probe_mapped};
    for (size_t group = 0; argc > 1 && group < sizeof groups / sizeof groups[0]; group++) {
        for (const struct probe *probe = groups[group]; probe->name != NULL; probe++) {
            if (strcmp(probe->name, argv[1]) == 0)
                return probe->run(argc, argv);
        }
    }
    printf("no such probe\n");
    return 97;
}
