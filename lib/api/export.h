/* SPDX-License-Identifier: Apache-2.0 */
/* Marks what the shared library exports; the version map lists the same names. */
#ifndef VMK_API_EXPORT_H
#define VMK_API_EXPORT_H

#define VMKIT_EXPORT __attribute__((visibility("default")))

#endif
