/* SPDX-License-Identifier: Apache-2.0 */
/* The capabilities by name and number; private to this room but for the name. */
#ifndef VMK_KVM_CAPABILITY_H
#define VMK_KVM_CAPABILITY_H

#include "kvm/private.h"

/* Ask for all of them and fill `facts->capabilities`. -ENOTSUP without one that is needed. */
int
vmk_kvm_capability_probe(const struct vmk_kvm_system *system, struct vmk_kvm_facts *facts,
                         vmkit_error **ret_error);

#endif
