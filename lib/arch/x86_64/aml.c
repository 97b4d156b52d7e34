/* SPDX-License-Identifier: Apache-2.0 */
#include "aml.h"

#include <string.h>

#define ZERO_OP 0x00
#define ONE_OP 0x01
#define NAME_OP 0x08
#define BYTE_PREFIX 0x0a
#define WORD_PREFIX 0x0b
#define DWORD_PREFIX 0x0c
#define STRING_PREFIX 0x0d
#define QWORD_PREFIX 0x0e
#define SCOPE_OP 0x10
#define BUFFER_OP 0x11
#define PACKAGE_OP 0x12
#define METHOD_OP 0x14
#define EXTENDED_PREFIX 0x5b
#define ARG0_OP 0x68
#define DEVICE_OP 0x82
#define NOTIFY_OP 0x86
#define EQUAL_OP 0x93
#define IF_OP 0xa0

#define METHOD_SERIALIZED 8
#define NAME_SIZE 4

#define MEMORY32_FIXED 0x86
#define EXTENDED_INTERRUPT 0x89
#define IO_PORTS 0x47
#define END_TAG 0x79

#define MEMORY_WRITABLE 1
#define INTERRUPT_CONSUMER 1
#define INTERRUPT_EDGE 2
#define DECODE_16 1

static void
put_u16(struct vmk_bytes *aml, uint16_t value)
{
    value = htole16(value);
    vmk_bytes_put(aml, &value, sizeof value);
}

static void
put_name(struct vmk_bytes *aml, const char *name)
{
    vmk_bytes_put(aml, name, NAME_SIZE);
}

static void
put_value(struct vmk_bytes *aml, uint64_t value)
{
    if (value <= 1) {
        vmk_bytes_put_u8(aml, value == 0 ? ZERO_OP : ONE_OP);
    } else if (value <= UINT8_MAX) {
        vmk_bytes_put_u8(aml, BYTE_PREFIX);
        vmk_bytes_put_u8(aml, (uint8_t)value);
    } else if (value <= UINT16_MAX) {
        vmk_bytes_put_u8(aml, WORD_PREFIX);
        put_u16(aml, (uint16_t)value);
    } else if (value <= UINT32_MAX) {
        vmk_bytes_put_u8(aml, DWORD_PREFIX);
        vmk_bytes_put_u32(aml, (uint32_t)value);
    } else {
        vmk_bytes_put_u8(aml, QWORD_PREFIX);
        vmk_bytes_put_u64(aml, value);
    }
}

static void
insert(struct vmk_bytes *aml, size_t at, const uint8_t *bytes, size_t size)
{
    size_t behind = aml->size - at;
    if (vmk_bytes_append(aml, size) == NULL)
        return;
    memmove(aml->data + at + size, aml->data + at, behind);
    memcpy(aml->data + at, bytes, size);
}

/* PkgLength (20.2.4) counts itself: six bits in one byte, or four bits there and eight in each of
 * up to three that follow. */
void
vmk_aml_end(struct vmk_bytes *aml, size_t at)
{
    uint8_t bytes[4] = {0};
    if (aml->failed)
        return;
    uint64_t content = aml->size - at;
    size_t following = content + 1 < 0x40       ? 0
                       : content + 2 < 0x1000   ? 1
                       : content + 3 < 0x100000 ? 2
                                                : 3;
    uint64_t length = content + 1 + following;
    bytes[0] = (uint8_t)(following == 0 ? length : following << 6 | (length & 0xf));
    for (size_t i = 0; i < following; i++)
        bytes[1 + i] = (uint8_t)(length >> (4 + 8 * i));
    insert(aml, at, bytes, 1 + following);
}

size_t
vmk_aml_begin_scope(struct vmk_bytes *aml, const char *name)
{
    vmk_bytes_put_u8(aml, SCOPE_OP);
    size_t at = aml->size;
    put_name(aml, name);
    return at;
}

size_t
vmk_aml_begin_device(struct vmk_bytes *aml, const char *name)
{
    vmk_bytes_put_u8(aml, EXTENDED_PREFIX);
    vmk_bytes_put_u8(aml, DEVICE_OP);
    size_t at = aml->size;
    put_name(aml, name);
    return at;
}

size_t
vmk_aml_begin_method(struct vmk_bytes *aml, const char *name, unsigned arguments)
{
    vmk_bytes_put_u8(aml, METHOD_OP);
    size_t at = aml->size;
    put_name(aml, name);
    vmk_bytes_put_u8(aml, (uint8_t)(arguments | METHOD_SERIALIZED));
    return at;
}

size_t
vmk_aml_begin_if_argument(struct vmk_bytes *aml, uint64_t value)
{
    vmk_bytes_put_u8(aml, IF_OP);
    size_t at = aml->size;
    vmk_bytes_put_u8(aml, EQUAL_OP);
    vmk_bytes_put_u8(aml, ARG0_OP);
    put_value(aml, value);
    return at;
}

void
vmk_aml_put_integer(struct vmk_bytes *aml, const char *name, uint64_t value)
{
    vmk_bytes_put_u8(aml, NAME_OP);
    put_name(aml, name);
    put_value(aml, value);
}

void
vmk_aml_put_string(struct vmk_bytes *aml, const char *name, const char *value)
{
    vmk_bytes_put_u8(aml, NAME_OP);
    put_name(aml, name);
    vmk_bytes_put_u8(aml, STRING_PREFIX);
    vmk_bytes_put(aml, value, strlen(value) + 1);
}

static unsigned
digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
}

static unsigned
letter(char c)
{
    return (unsigned)(c - '@');
}

/* Three letters of five bits and four digits, the highest byte first. */
void
vmk_aml_put_eisa_id(struct vmk_bytes *aml, const char *name, const char *id)
{
    unsigned letters = letter(id[0]) << 10 | letter(id[1]) << 5 | letter(id[2]);
    const uint8_t bytes[] = {
        (uint8_t)(letters >> 8),
        (uint8_t)letters,
        (uint8_t)(digit(id[3]) << 4 | digit(id[4])),
        (uint8_t)(digit(id[5]) << 4 | digit(id[6])),
    };
    vmk_bytes_put_u8(aml, NAME_OP);
    put_name(aml, name);
    vmk_bytes_put_u8(aml, DWORD_PREFIX);
    vmk_bytes_put(aml, bytes, sizeof bytes);
}

void
vmk_aml_put_package(struct vmk_bytes *aml, const char *name, const uint8_t *values, uint8_t count)
{
    vmk_bytes_put_u8(aml, NAME_OP);
    put_name(aml, name);
    vmk_bytes_put_u8(aml, PACKAGE_OP);
    size_t at = aml->size;
    vmk_bytes_put_u8(aml, count);
    for (uint8_t i = 0; i < count; i++)
        put_value(aml, values[i]);
    vmk_aml_end(aml, at);
}

void
vmk_aml_put_notify(struct vmk_bytes *aml, const char *name, uint64_t value)
{
    vmk_bytes_put_u8(aml, NOTIFY_OP);
    put_name(aml, name);
    put_value(aml, value);
}

size_t
vmk_aml_begin_resources(struct vmk_bytes *aml)
{
    vmk_bytes_put_u8(aml, NAME_OP);
    put_name(aml, "_CRS");
    vmk_bytes_put_u8(aml, BUFFER_OP);
    return aml->size;
}

/* The size of the buffer stands between its PkgLength and its bytes. A checksum of 0 is none. */
void
vmk_aml_end_resources(struct vmk_bytes *aml, size_t at)
{
    vmk_bytes_put_u8(aml, END_TAG);
    vmk_bytes_put_u8(aml, 0);
    struct vmk_bytes size = {0};
    put_value(&size, aml->size - at);
    if (size.failed)
        aml->failed = true;
    else
        insert(aml, at, size.data, size.size);
    vmk_bytes_clear(&size);
    vmk_aml_end(aml, at);
}

void
vmk_aml_put_memory(struct vmk_bytes *aml, uint32_t address, uint32_t size)
{
    vmk_bytes_put_u8(aml, MEMORY32_FIXED);
    put_u16(aml, 9);
    vmk_bytes_put_u8(aml, MEMORY_WRITABLE);
    vmk_bytes_put_u32(aml, address);
    vmk_bytes_put_u32(aml, size);
}

void
vmk_aml_put_ports(struct vmk_bytes *aml, uint16_t first, uint8_t count)
{
    vmk_bytes_put_u8(aml, IO_PORTS);
    vmk_bytes_put_u8(aml, DECODE_16);
    put_u16(aml, first);
    put_u16(aml, first);
    vmk_bytes_put_u8(aml, 1);
    vmk_bytes_put_u8(aml, count);
}

void
vmk_aml_put_interrupt(struct vmk_bytes *aml, uint32_t gsi)
{
    vmk_bytes_put_u8(aml, EXTENDED_INTERRUPT);
    put_u16(aml, 6);
    vmk_bytes_put_u8(aml, INTERRUPT_CONSUMER | INTERRUPT_EDGE);
    vmk_bytes_put_u8(aml, 1);
    vmk_bytes_put_u32(aml, gsi);
}
