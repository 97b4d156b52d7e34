/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/sum.h"

#include "archive/format.h"
#include "archive/hash.h"

#include <string.h>

#define PAGE ((size_t)VMK_ARCHIVE_PAGE_SIZE)

bool
vmk_sum_is_zero(const uint8_t *page)
{
    for (size_t i = 0; i < PAGE; i += 64) {
        uint64_t words[8];
        memcpy(words, page + i, sizeof words);
        if ((words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] |
             words[7]) != 0)
            return false;
    }
    return true;
}

void
vmk_archive_sum_pages(const void *pages, size_t size, struct vmk_archive_sum *ret_sums)
{
    const uint8_t *at = pages;
    for (size_t i = 0; i < size / PAGE; i++, at += PAGE) {
        bool is_zero = vmk_sum_is_zero(at);
        ret_sums[i] = (struct vmk_archive_sum){
            .checksum = is_zero ? 0 : vmk_archive_hash(at, PAGE, 0), .is_zero = is_zero};
    }
}
