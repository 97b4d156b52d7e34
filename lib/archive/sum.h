/* SPDX-License-Identifier: Apache-2.0 */
/* What the pages of an archive hold: whether they are zeros, and their checksums. */
#ifndef VMK_ARCHIVE_SUM_H
#define VMK_ARCHIVE_SUM_H

#include "archive/archive.h"

#include <stdbool.h>
#include <stdint.h>

bool
vmk_sum_is_zero(const uint8_t *page);

#endif
