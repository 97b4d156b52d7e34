/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host whose memory runs out: the linker leads the allocator's calls of a test, and of the static
 * libraries in it, here (--wrap), and one of them fails. What shared libraries allocate is theirs.
 */
#ifndef VMK_TEST_ALLOCATOR_H
#define VMK_TEST_ALLOCATOR_H

/* From now on the allocation of this number fails, from 1 on; 0: none does. */
void
allocator_fail(unsigned number);

/* The allocations since then. */
unsigned
allocator_count(void);

#endif
