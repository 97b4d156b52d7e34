/* SPDX-License-Identifier: Apache-2.0 */
/* What the host's processor says of itself (Intel SDM 2A, CPUID leaves 0, 1 and 0x80000001 to 4).
 */
#include "arch/machine.h"

#include <cpuid.h>
#include <string.h>

static void
get_model(char model[64])
{
    uint32_t words[12] = {0};
    if ((unsigned int)__get_cpuid_max(0x80000000, NULL) < 0x80000004)
        return;
    for (unsigned int i = 0; i < 3; i++)
        __get_cpuid(0x80000002 + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                    &words[4 * i + 3]);
    /* Some processors put spaces before the name. */
    char text[sizeof words + 1] = {0};
    memcpy(text, words, sizeof words);
    const char *start = text + strspn(text, " ");
    size_t length = strlen(start);
    while (length > 0 && start[length - 1] == ' ')
        length--;
    memcpy(model, start, length);
}

void
vmk_arch_get_cpu(struct vmk_arch_cpu *ret_cpu)
{
    unsigned int eax, ebx, ecx, edx;
    memset(ret_cpu, 0, sizeof *ret_cpu);
    if (__get_cpuid(0, &eax, &ebx, &ecx, &edx)) {
        memcpy(ret_cpu->vendor, &ebx, 4);
        memcpy(ret_cpu->vendor + 4, &edx, 4);
        memcpy(ret_cpu->vendor + 8, &ecx, 4);
    }
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
        ret_cpu->has_virtualization = (ecx >> 5 & 1) != 0; /* VMX */
        ret_cpu->is_virtual = ecx >> 31 != 0;
    }
    if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (ecx >> 2 & 1) != 0)
        ret_cpu->has_virtualization = true; /* SVM */
    get_model(ret_cpu->model);
}
