/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's operations on KVM, one of which fails. */
#ifndef VMK_TEST_SABOTEUR_H
#define VMK_TEST_SABOTEUR_H

#include "kvm/ops.h"

#include <stdbool.h>

struct saboteur {
    int calls;   /* made up to now */
    int fail_at; /* The number of the one that fails, from 0 on; -1: none, */
    int err;     /* and its errno. */
    bool failed; /* It has. */
};

/* Operations for which the saboteur has to outlive whoever has them. */
struct vmk_kvm_ops
saboteur_get_ops(struct saboteur *saboteur);

#endif
