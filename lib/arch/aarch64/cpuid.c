/* SPDX-License-Identifier: Apache-2.0 */
/* What the host's processor says of itself: MIDR_EL1 (Arm ARM D19.2.122), which Linux shows. */
#include "arch/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIDR_PATH "/sys/devices/system/cpu/cpu0/regs/identification/midr_el1"

void
vmk_arch_get_cpu(struct vmk_arch_cpu *ret_cpu)
{
    char text[32] = {0};
    memset(ret_cpu, 0, sizeof *ret_cpu);
    FILE *file = fopen(MIDR_PATH, "re");
    if (file == NULL)
        return;
    unsigned long midr = fgets(text, sizeof text, file) == NULL ? 0 : strtoul(text, NULL, 16);
    fclose(file);
    snprintf(ret_cpu->vendor, sizeof ret_cpu->vendor, "implementer 0x%02lx", midr >> 24 & 0xff);
    snprintf(ret_cpu->model, sizeof ret_cpu->model, "part 0x%03lx revision %lu", midr >> 4 & 0xfff,
             midr & 0xf);
}
