/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structures that cross the line between the guest and the library, in the kernel's layout for
 * 64-bit programs (include/uapi/linux and include/uapi/asm-generic). The host's libc has other
 * layouts for some of them and is never asked. x86-64 and AArch64 agree on all that are here.
 */
#ifndef VMK_SANDBOX_GUEST_ABI_H
#define VMK_SANDBOX_GUEST_ABI_H

#include <stdint.h>

#define VMK_NS_PER_SECOND UINT64_C(1000000000)

/* What the guest's machine calls itself, in uname(2) and in /proc. */
#define VMK_OS_TYPE "Linux"
#define VMK_OS_RELEASE "6.1.0"
#define VMK_HOST_NAME "sandbox"

struct vmk_guest_timespec {
    int64_t seconds;
    int64_t nanoseconds;
};
_Static_assert(sizeof(struct vmk_guest_timespec) == 16, "struct __kernel_timespec");

struct vmk_guest_timeval {
    int64_t seconds;
    int64_t microseconds;
};
_Static_assert(sizeof(struct vmk_guest_timeval) == 16, "struct timeval");

struct vmk_guest_itimerspec {
    struct vmk_guest_timespec interval;
    struct vmk_guest_timespec value;
};
_Static_assert(sizeof(struct vmk_guest_itimerspec) == 32, "struct __kernel_itimerspec");

struct vmk_guest_itimerval {
    struct vmk_guest_timeval interval;
    struct vmk_guest_timeval value;
};
_Static_assert(sizeof(struct vmk_guest_itimerval) == 32, "struct itimerval");

struct vmk_guest_tms {
    int64_t user;
    int64_t system;
    int64_t children_user;
    int64_t children_system;
};
_Static_assert(sizeof(struct vmk_guest_tms) == 32, "struct tms");

struct vmk_guest_rusage {
    struct vmk_guest_timeval user;
    struct vmk_guest_timeval system;
    int64_t max_rss_kib;
    int64_t shared_text, unshared_data, unshared_stack;
    int64_t minor_faults, major_faults;
    int64_t swaps, blocks_in, blocks_out, messages_sent, messages_received, signals;
    int64_t voluntary_switches, involuntary_switches;
};
_Static_assert(sizeof(struct vmk_guest_rusage) == 144, "struct rusage");

struct vmk_guest_utsname {
    char sysname[65];
    char nodename[65];
    char release[65];
    char version[65];
    char machine[65];
    char domainname[65];
};
_Static_assert(sizeof(struct vmk_guest_utsname) == 390, "struct new_utsname");

struct vmk_guest_sysinfo {
    int64_t uptime_seconds;
    uint64_t loads[3];
    uint64_t total_ram, free_ram, shared_ram, buffer_ram, total_swap, free_swap;
    uint16_t processes;
    uint16_t padding[3];
    uint64_t total_high, free_high;
    uint32_t memory_unit;
    uint32_t tail;
};
_Static_assert(sizeof(struct vmk_guest_sysinfo) == 112, "struct sysinfo");

struct vmk_guest_rlimit {
    uint64_t current;
    uint64_t maximum;
};
_Static_assert(sizeof(struct vmk_guest_rlimit) == 16, "struct rlimit64");

/* The kernel's struct sigaction, not the one of the libc. */
struct vmk_guest_sigaction {
    uint64_t handler;
    uint64_t flags;
    uint64_t restorer;
    uint64_t mask;
};
_Static_assert(sizeof(struct vmk_guest_sigaction) == 32, "struct sigaction");

struct vmk_guest_stack {
    uint64_t sp;
    uint32_t flags;
    uint32_t padding;
    uint64_t size;
};
_Static_assert(sizeof(struct vmk_guest_stack) == 24, "stack_t");

struct vmk_guest_sigevent {
    uint64_t value;
    int32_t signo;
    int32_t notify;
    int32_t thread_id;
    uint32_t padding[11];
};
_Static_assert(sizeof(struct vmk_guest_sigevent) == 64, "struct sigevent");

struct vmk_guest_cap_header {
    uint32_t version;
    int32_t pid;
};
_Static_assert(sizeof(struct vmk_guest_cap_header) == 8, "struct __user_cap_header_struct");

/* Bytes of the kernel's sigset_t, which every call of the family is told. */
#define VMK_GUEST_SIGSET_SIZE 8

#endif
