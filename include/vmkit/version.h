/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file version.h
 * @brief The version of the headers and of the library in use.
 */
#ifndef VMKIT_VERSION_H
#define VMKIT_VERSION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Version of these headers: major, minor and patch. */
#define VMKIT_VERSION_MAJOR 0
#define VMKIT_VERSION_MINOR 1
#define VMKIT_VERSION_PATCH 0

/** Packs a version the way vmkit_get_version() returns it. */
#define VMKIT_VERSION_ENCODE(major, minor, patch) \
    (((uint32_t)(major) << 16) | ((uint32_t)(minor) << 8) | (uint32_t)(patch))

/** Version of these headers as one number that can be compared. */
#define VMKIT_VERSION \
    VMKIT_VERSION_ENCODE(VMKIT_VERSION_MAJOR, VMKIT_VERSION_MINOR, VMKIT_VERSION_PATCH)

/**
 * @brief Get the version of the library that the program runs with.
 * @return The version, packed by VMKIT_VERSION_ENCODE().
 *
 * Any thread. Never fails.
 * @since 0.1
 */
uint32_t
vmkit_get_version(void);

#ifdef __cplusplus
}
#endif
#endif
