/* SPDX-License-Identifier: Apache-2.0 */
/* What the two files of the guest share. */
#ifndef VMK_TEST_CALL_H
#define VMK_TEST_CALL_H

#include <setjmp.h>

extern jmp_buf call_back_to_main;

_Noreturn void
spin(void);

/* Be ready on a stack of 128 KiB in static memory, with its lowest page read-only. */
int
call_on_other_stack(void);

#endif
