/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/self/maps (proc(5)): the guest's mappings as text. */
#ifndef VMK_SANDBOX_MAPS_H
#define VMK_SANDBOX_MAPS_H

struct vmk_process;
struct vmk_text;

/* Appends to `text`. */
void
vmk_maps_format(struct vmk_process *process, struct vmk_text *text);

#endif
