/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file call.h
 * @brief Calling functions of a program that has declared itself ready, and requests to it.
 *
 * The program initialises itself and calls vmkit_guest_ready() (vmkit/guest.h), whereupon
 * vmkit_sandbox_run() returns with VMKIT_OUTCOME_READY. From then on its functions can be called,
 * as the System V ABI of its architecture has it, any number of times and on any thread:
 *
 *     struct vmkit_argument arguments[] = {
 *         {.kind = VMKIT_ARGUMENT_IN, .data = text, .size = length},
 *         {.kind = VMKIT_ARGUMENT_INTEGER, .integer = length},
 *     };
 *     struct vmkit_call call = {
 *         .size = sizeof call, .symbol = "checksum", .arguments = arguments, .argument_count = 2};
 *     struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
 *     vmkit_sandbox_call(sandbox, &call, &outcome, &error);
 */
#ifndef VMKIT_CALL_H
#define VMKIT_CALL_H

#include <vmkit/error.h>
#include <vmkit/sandbox.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Arguments that a call can have. */
#define VMKIT_CALL_MAX_ARGUMENTS 64

/** What an argument of a call is. */
enum vmkit_argument_kind {
    /** An integer of up to 64 bits, or an address in the guest: `integer`. A negative one is
     * sign-extended to 64 bits. */
    VMKIT_ARGUMENT_INTEGER = 1,
    /** A double: `real`. */
    VMKIT_ARGUMENT_DOUBLE = 2,
    /** A float: `real`, rounded to one. */
    VMKIT_ARGUMENT_FLOAT = 3,
    /** A pointer to a copy of the `size` bytes at `data`. */
    VMKIT_ARGUMENT_IN = 4,
    /** A pointer to `size` bytes, whose contents are undefined; when the function has returned they
     * are copied to `data`. */
    VMKIT_ARGUMENT_OUT = 5,
    /** Both of these. */
    VMKIT_ARGUMENT_IN_OUT = 6
};

/** One argument of a call. An element of an array: it never grows. */
struct vmkit_argument {
    /** enum vmkit_argument_kind. */
    uint32_t kind;
    /** Reserved, 0. */
    uint32_t reserved;
    /** The value of an integer or an address. */
    uint64_t integer;
    /** The value of a double or a float. */
    double real;
    /** The buffer; not written to for VMKIT_ARGUMENT_IN. May be NULL when `size` is 0. It belongs
     * to the caller. */
    void *data;
    /** Bytes at `data`. */
    uint64_t size;
};

/** What a function returns. */
enum vmkit_result_kind {
    /** Nothing, an integer or an address: `result` of the outcome, and `result_high` for a second
     * register. */
    VMKIT_RESULT_INTEGER = 0,
    /** A double: `real` of the outcome, and `real_high` for a second register. The integers are
     * there as well. */
    VMKIT_RESULT_DOUBLE = 1,
    /** A float: the same. */
    VMKIT_RESULT_FLOAT = 2
};

/** A call. Set `size`; what is zero is a default. Fields are only ever appended. */
struct vmkit_call {
    /** sizeof(struct vmkit_call) of the caller. */
    uint32_t size;
    /** How many arguments, up to VMKIT_CALL_MAX_ARGUMENTS. */
    uint32_t argument_count;
    /** The arguments, or NULL without any. */
    const struct vmkit_argument *arguments;
    /** The function's name in the program's symbol table, or NULL to call `address`. */
    const char *symbol;
    /** The function's address in the guest, when there is no `symbol`. */
    uint64_t address;
    /** enum vmkit_result_kind. */
    uint32_t result_kind;
    /** Reserved, 0. */
    uint32_t reserved;
    /** Limit of this call's CPU time in nanoseconds, besides that of the configuration; 0: none. */
    uint64_t cpu_time_limit_ns;
    /** Limit of this call's wall time in nanoseconds, besides that of the configuration; 0: none.
     */
    uint64_t wall_time_limit_ns;
};

/**
 * @brief Call a function of the program, on the calling thread.
 * @param sandbox A sandbox whose last outcome was VMKIT_OUTCOME_READY, VMKIT_OUTCOME_RETURNED or
 *        VMKIT_OUTCOME_REPLIED.
 * @param call The function, its arguments and the limits; `size` must be set. Not NULL.
 * @param outcome Receives how the call came back; `size` must be set. Not NULL.
 * @param ret_error Receives the error, or NULL.
 * @return 0 when the function returned (VMKIT_OUTCOME_RETURNED) or the program ended in whichever
 *         other way; -EINVAL for a NULL, an unknown kind, or a symbol or an address that is no
 *         function, or when a call is paused that was made with something else; -ENOENT when the
 * program has no such symbol, or no symbols at all; -E2BIG for too many arguments, and for buffers
 * that do not fit on the program's stack or under its memory limit; -EFAULT when the program's
 * stack cannot be used, or a buffer is gone when the function returns; -EBUSY when a thread, this
 * one included, runs the sandbox; -ENOTSUP when the program is not ready, is paused elsewhere, or
 * has ended; -ENOEXEC or -EIO when its symbols cannot be read; -EAGAIN and -EIO as
 * vmkit_sandbox_run(); -ENOMEM.
 *
 * Buffers are copied to the program's stack, aligned to 64 bytes, and are gone after the call. On
 * the stack that it was started with they have all that is left but 64 KiB. On any other one, which
 * it has made itself and of which nobody else knows where it ends, they have 4,096 bytes together,
 * each rounded up to 64: what is larger goes to memory of the program's own, by
 * vmkit_sandbox_write_memory() and its address. The program leaves that much free below its stack
 * pointer, besides what the function needs.
 *
 * The function runs until it returns, with the program's signals, timers and descriptors in force,
 * and may make any system call but those of vmkit/guest.h, which answer -EBUSY. After
 * VMKIT_OUTCOME_RETURNED the program stands where it stood, and can be called again or run on; what
 * a function leaves in MXCSR, the x87 state and vector registers stays there until a reset, and one
 * that breaks the calling convention in these harms later calls.
 * After VMKIT_OUTCOME_PAUSED the call goes on by this function with the same function, result_kind
 * and arguments, the bytes that go in included; `data` may have moved, and the limits may be
 * others. See vmkit_sandbox_pause(). After any other outcome the program has ended.
 *
 * A function that executes another program (execve(2)) never returns, and its call comes back as a
 * run of that program would, with buffers left as they were: VMKIT_OUTCOME_READY when it declares
 * itself ready, VMKIT_OUTCOME_PAUSED when it is paused, and then it goes on by vmkit_sandbox_run(),
 * or its end. Names are those of the new program from then on, until vmkit_sandbox_reset().
 *
 * The limits of time of the configuration count from the start of each call. vmkit_sandbox_kill()
 * ends a call as it ends a run. What vmkit_sandbox_run() says of the thread holds here.
 * @since 0.1
 */
int
vmkit_sandbox_call(vmkit_sandbox *sandbox, const struct vmkit_call *call,
                   struct vmkit_sandbox_outcome *outcome, vmkit_error **ret_error);

/** A request to a program that receives requests. Set `size`; what is zero is a default. Fields are
 * only ever appended. */
struct vmkit_request {
    /** sizeof(struct vmkit_request) of the caller. */
    uint32_t size;
    /** Reserved, 0. */
    uint32_t reserved;
    /** The request; may be NULL when `data_size` is 0. */
    const void *data;
    /** Bytes at `data`. */
    uint64_t data_size;
    /** Receives the reply; may be NULL when `reply_capacity` is 0. */
    void *reply;
    /** Bytes that `reply` has room for. */
    uint64_t reply_capacity;
    /** Limit of this request's CPU time in nanoseconds, besides that of the configuration; 0: none.
     */
    uint64_t cpu_time_limit_ns;
    /** Limit of this request's wall time in nanoseconds, besides that of the configuration; 0:
     * none. */
    uint64_t wall_time_limit_ns;
};

/**
 * @brief Hand the program a request and get its reply, on the calling thread.
 * @param sandbox A sandbox that can be called (see vmkit_sandbox_call()), or whose last outcome was
 *        VMKIT_OUTCOME_REPLIED.
 * @param request The request, room for the reply, and the limits; `size` must be set. Not NULL.
 * @param ret_reply_size Receives the reply's size in bytes; 0 without a reply. Not NULL.
 * @param outcome Receives how the request came back; `size` must be set. Not NULL.
 * @param ret_error Receives the error, or NULL.
 * @return 0 when the program replied (VMKIT_OUTCOME_REPLIED), stands still without a reply
 *         (VMKIT_OUTCOME_READY: it received the request and waits for the next one), was paused,
 *         or ended in whichever way; -EINVAL for a NULL, or when a request is paused that has other
 * data; -E2BIG when the request is longer than the buffer that the program receives it in; -EFAULT
 * when that buffer cannot be written; -EBUSY when a thread, this one included, runs the sandbox;
 * -ENOTSUP when the program is not ready, or has ended; -EAGAIN and -EIO as vmkit_sandbox_run();
 * -ENOMEM.
 *
 * A request that was paused goes on by this function with the same data, which may have moved, see
 * vmkit_sandbox_pause(); the room for the reply may be another.
 *
 * The program goes on from where it stands, takes the request with its vmkit_guest_receive() and
 * runs until its vmkit_guest_reply(). After VMKIT_OUTCOME_REPLIED and VMKIT_OUTCOME_READY, and
 * after -E2BIG and -EFAULT, it stands still: it can be given a further request, run on, called, or
 * a snapshot taken of it. A reply that does not fit into `reply` is refused to the program
 * (-EMSGSIZE), which may then make another one.
 *
 * The limits of time of the configuration count from the start of each request.
 * vmkit_sandbox_kill() ends a request as it ends a run. What vmkit_sandbox_run() says of the thread
 * holds here.
 * @since 0.1
 */
int
vmkit_sandbox_request(vmkit_sandbox *sandbox, const struct vmkit_request *request,
                      uint64_t *ret_reply_size, struct vmkit_sandbox_outcome *outcome,
                      vmkit_error **ret_error);

/**
 * @brief Find a function or a variable of the program by its name.
 * @param sandbox The sandbox, which must not be running.
 * @param name Its name in the program's symbol table, as the linker has it: that of C++ is mangled.
 * @param ret_address Receives its address in the guest. Not NULL.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, or a name that has no address of its own; -ENOENT when the program
 *         has no such symbol, or no symbols at all; -EBUSY while it runs; -ENOEXEC or -EIO when its
 *         symbols cannot be read; -ENOMEM.
 *
 * All sandboxes of a program have the same addresses.
 * @since 0.1
 */
int
vmkit_sandbox_find_symbol(vmkit_sandbox *sandbox, const char *name, uint64_t *ret_address,
                          vmkit_error **ret_error);

/**
 * @brief Read the guest's memory.
 * @param sandbox The sandbox, which must not be running.
 * @param address An address in the guest.
 * @param buffer Receives the bytes. NULL only with a size of 0.
 * @param size How many bytes.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL; -EFAULT where the program may not read, or where its memory limit
 *         leaves no room for a page that it has not touched yet, and then a part may have been
 *         copied; -EBUSY while it runs; -EIO when memory of a lazy snapshot
 *         (vmkit_snapshot_options_set_lazy()) cannot be decompressed, or is another process's.
 *
 * The memory of a program that has ended can be read as well.
 * @since 0.1
 */
int
vmkit_sandbox_read_memory(vmkit_sandbox *sandbox, uint64_t address, void *buffer, uint64_t size,
                          vmkit_error **ret_error);

/**
 * @brief Write to the guest's memory.
 * @param sandbox The sandbox, which must not be running.
 * @param address An address in the guest.
 * @param buffer The bytes. NULL only with a size of 0.
 * @param size How many bytes.
 * @param ret_error Receives the error, or NULL.
 * @return As vmkit_sandbox_read_memory(), where the program may not write.
 * @since 0.1
 */
int
vmkit_sandbox_write_memory(vmkit_sandbox *sandbox, uint64_t address, const void *buffer,
                           uint64_t size, vmkit_error **ret_error);

#ifdef __cplusplus
}
#endif
#endif
