/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer of AML (ACPI 6.5, 20.2) and of the resource descriptors in it (6.4). What has a length
 * is begun and ended; the length is put in at the end, in its shortest form.
 */
#ifndef VMK_ARCH_X86_64_AML_H
#define VMK_ARCH_X86_64_AML_H

#include "util/bytes.h"

#include <stddef.h>
#include <stdint.h>

/* A name is four characters, and looked for in the scope that it is used in, then in those around
 * it:
 * "_SB_", "_HID". */

/* Each begins something, and returns where, for vmk_aml_end(). */
size_t
vmk_aml_begin_scope(struct vmk_bytes *aml, const char *name);

size_t
vmk_aml_begin_device(struct vmk_bytes *aml, const char *name);

size_t
vmk_aml_begin_method(struct vmk_bytes *aml, const char *name, unsigned arguments);

/* The condition is that the method's first argument is `value`. */
size_t
vmk_aml_begin_if_argument(struct vmk_bytes *aml, uint64_t value);

void
vmk_aml_end(struct vmk_bytes *aml, size_t at);

/* Name (name, value). */
void
vmk_aml_put_integer(struct vmk_bytes *aml, const char *name, uint64_t value);

void
vmk_aml_put_string(struct vmk_bytes *aml, const char *name, const char *value);

/* An EISA identifier such as "PNP0501", in its form of 32 bits. */
void
vmk_aml_put_eisa_id(struct vmk_bytes *aml, const char *name, const char *id);

/* Name (name, Package () { ... }). */
void
vmk_aml_put_package(struct vmk_bytes *aml, const char *name, const uint8_t *values, uint8_t count);

void
vmk_aml_put_notify(struct vmk_bytes *aml, const char *name, uint64_t value);

/* Name (_CRS, ResourceTemplate () { ... }). */
size_t
vmk_aml_begin_resources(struct vmk_bytes *aml);

void
vmk_aml_end_resources(struct vmk_bytes *aml, size_t at);

void
vmk_aml_put_memory(struct vmk_bytes *aml, uint32_t address, uint32_t size);

void
vmk_aml_put_ports(struct vmk_bytes *aml, uint16_t first, uint8_t count);

/* An edge-triggered line that is active high and nobody shares. */
void
vmk_aml_put_interrupt(struct vmk_bytes *aml, uint32_t gsi);

#endif
