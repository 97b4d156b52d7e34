/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vmkit.h
 * @brief All of libvmkit.
 */
#ifndef VMKIT_H
#define VMKIT_H

#include <vmkit/call.h>
#include <vmkit/error.h>
#include <vmkit/host.h>
#include <vmkit/memory.h>
#include <vmkit/pool.h>
#include <vmkit/sandbox.h>
#include <vmkit/snapshot.h>
#include <vmkit/snapshot_file.h>
#include <vmkit/vcpu.h>
#include <vmkit/version.h>
#include <vmkit/vm.h>
#include <vmkit/x86_64.h>

#endif
