/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file guest.h
 * @brief What a program inside of a sandbox says to the library. Included by guests, not by
 * embedders.
 *
 * Each function is one system call with a number that Linux does not have. Outside of a sandbox the
 * kernel answers -ENOSYS (-38), so that the same program runs there too. Nothing is linked. All
 * return a negative errno when they fail; errno itself is left alone.
 *
 * A program whose functions are called says when that may begin:
 *
 *     load_tables();
 *     vmkit_guest_ready();
 *     return 0;
 *
 * One that prefers a loop receives requests and replies to them:
 *
 *     load_tables();
 *     int64_t size = vmkit_guest_receive(request, sizeof request);
 *     while (size >= 0) {
 *         uint64_t reply_size = serve(request, size, reply);
 *         size = vmkit_guest_reply_receive(reply, reply_size, request, sizeof request);
 *     }
 *     return 0;
 *
 * From another language, make the system call itself: the numbers are below, the arguments go where
 * Linux has those of a system call. What that call may change besides, see vmkit_guest_ready().
 */
#ifndef VMKIT_GUEST_H
#define VMKIT_GUEST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Numbers of the system calls, the same on every architecture. */
#define VMKIT_GUEST_NR_READY 0x766d6b0
#define VMKIT_GUEST_NR_GENERATION 0x766d6b1
#define VMKIT_GUEST_NR_RECEIVE 0x766d6b2
#define VMKIT_GUEST_NR_REPLY 0x766d6b3
#define VMKIT_GUEST_NR_REPLY_RECEIVE 0x766d6b4

#if defined(__x86_64__) && defined(__SSE__)
/* Registers that a function may change, and a system call of Linux does not. */
#define VMKIT_GUEST_VECTORS                                                                    \
    , "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "mm0", "mm1", "mm2", "mm3", "mm4", "mm5", \
        "mm6", "mm7", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)"
#if defined(__AVX512F__)
#define VMKIT_GUEST_WIDE                                                                          \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",   \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", \
        "k7"
#endif
#elif defined(__aarch64__) && defined(__ARM_FP)
#define VMKIT_GUEST_VECTORS                                                                        \
    , "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",      \
        "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", \
        "v27", "v28", "v29", "v30", "v31"
#endif
#ifndef VMKIT_GUEST_VECTORS
#define VMKIT_GUEST_VECTORS
#endif
#ifndef VMKIT_GUEST_WIDE
#define VMKIT_GUEST_WIDE
#endif

/* One system call of four arguments; what does not take as many leaves the rest alone. */
static inline int64_t
vmkit_guest_call(uint64_t number, const void *first, uint64_t second, const void *third,
                 uint64_t fourth)
{
#if defined(__x86_64__)
    uint64_t result = number;
    __asm__ __volatile__(
        "mov %4, %%r10\n\tsyscall"
        : "+a"(result)
        : "D"((uint64_t)(uintptr_t)first), "S"(second), "d"((uint64_t)(uintptr_t)third), "r"(fourth)
        : "rcx", "r10", "r11", "cc", "memory" VMKIT_GUEST_VECTORS VMKIT_GUEST_WIDE);
    return (int64_t)result;
#elif defined(__aarch64__)
    uint64_t result;
    __asm__ __volatile__("mov x8, %1\n\tmov x0, %2\n\tmov x1, %3\n\tmov x2, %4\n\tmov x3, %5\n\t"
                         "svc #0\n\tmov %0, x0"
                         : "=r"(result)
                         : "r"(number), "r"((uint64_t)(uintptr_t)first), "r"(second),
                           "r"((uint64_t)(uintptr_t)third), "r"(fourth)
                         : "x0", "x1", "x2", "x3", "x8", "cc", "memory" VMKIT_GUEST_VECTORS);
    return (int64_t)result;
#else
    (void)number, (void)first, (void)second, (void)third, (void)fourth;
    return -38;
#endif
}

/**
 * @brief Say that the program has initialised itself: from here on it can be called.
 * @return 0 when the embedder lets the program go on; -EBUSY (-16) inside of a call; -ENOSYS (-38)
 *         outside of a sandbox.
 *
 * The embedder's vmkit_sandbox_run() returns with VMKIT_OUTCOME_READY. While the program stands
 * here, the embedder calls functions of it, on the stack below. When the program goes on, the
 * registers that a function may change (System V ABI) are undefined, as if it had called one: a
 * program that makes the system call by itself must tell its compiler so, vector registers
 * included (`clobber_abi("sysv64")` in Rust).
 * @since 0.1
 */
static inline int64_t
vmkit_guest_ready(void)
{
    return vmkit_guest_call(VMKIT_GUEST_NR_READY, 0, 0, 0, 0);
}

/**
 * @brief Wait for a request: the program is ready, as after vmkit_guest_ready(), and stands here
 * until the embedder's next vmkit_sandbox_request().
 * @param buffer Receives the request.
 * @param size Bytes that it has room for. The embedder gets an error for a longer request, and the
 *        program goes on standing here.
 * @return The request's size in bytes; -ESHUTDOWN (-108) when the embedder runs the program on
 *         without a request, so that it can end; -EBUSY (-16) inside of a call; -ENOSYS (-38)
 *         outside of a sandbox.
 *
 * A request before that was not replied to is given up. What vmkit_guest_ready() says of registers
 * holds here.
 * @since 0.1
 */
static inline int64_t
vmkit_guest_receive(void *buffer, uint64_t size)
{
    return vmkit_guest_call(VMKIT_GUEST_NR_RECEIVE, buffer, size, 0, 0);
}

/**
 * @brief Reply to the request that was received last. The embedder has its reply, and the program
 * goes on from here with the next request.
 * @param reply The reply.
 * @param size Its size in bytes.
 * @return 0; -EMSGSIZE (-90) when it is longer than the embedder's buffer: another reply may
 * follow; -EFAULT (-14) when it cannot be read: likewise; -EPROTO (-71) without a request; -EBUSY
 * (-16) inside of a call; -ENOSYS (-38) outside of a sandbox.
 * @since 0.1
 */
static inline int64_t
vmkit_guest_reply(const void *reply, uint64_t size)
{
    return vmkit_guest_call(VMKIT_GUEST_NR_REPLY, reply, size, 0, 0);
}

/**
 * @brief Reply, and wait for the next request: both with one system call.
 * @param reply The reply.
 * @param reply_size Its size in bytes.
 * @param buffer Receives the next request.
 * @param size Bytes that it has room for.
 * @return As vmkit_guest_receive(); a failure of vmkit_guest_reply(), after which nothing was
 *         received.
 * @since 0.1
 */
static inline int64_t
vmkit_guest_reply_receive(const void *reply, uint64_t reply_size, void *buffer, uint64_t size)
{
    return vmkit_guest_call(VMKIT_GUEST_NR_REPLY_RECEIVE, reply, reply_size, buffer, size);
}

/**
 * @brief Where the sandbox's generation is: a number that is another one after every fork and every
 * reset, and 0 in a sandbox that was not forked.
 * @return An address that stays valid, and the same in all forks, as long as the program runs; NULL
 *         outside of a sandbox. Only to be read; not an address for system calls.
 *
 * What must not be the same in two forks (keys, nonces, names, connections) is made anew when the
 * number at the address is not the one that it was made under. Reading it costs no system call.
 * @since 0.1
 */
static inline const volatile uint64_t *
vmkit_guest_get_generation_address(void)
{
    uint64_t address = (uint64_t)vmkit_guest_call(VMKIT_GUEST_NR_GENERATION, 0, 0, 0, 0);
    /* The last page is none: there are the errors. */
    if (address > (uint64_t)-4096)
        address = 0;
    return (const volatile uint64_t *)(uintptr_t)address;
}

/**
 * @brief The sandbox's generation.
 * @return The number at vmkit_guest_get_generation_address(); 0 outside of a sandbox too.
 * @since 0.1
 */
static inline uint64_t
vmkit_guest_generation(void)
{
    const volatile uint64_t *address = vmkit_guest_get_generation_address();
    return address != 0 ? *address : 0;
}

#ifdef __cplusplus
}
#endif
#endif
