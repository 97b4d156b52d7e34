/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guests that are linked into a test, so that it needs no other file, and what runs one: in a
 * sandbox through the public API, or as a process of the host, to compare.
 */
#ifndef VMK_TEST_SANDBOX_GUEST_H
#define VMK_TEST_SANDBOX_GUEST_H

#include <vmkit/sandbox.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guest_image {
    const uint8_t *data;
    const uint8_t *end;
};

/* guests/probe*.c, and guests/call*.c, static and static-PIE, and the others as their files are
 * called. */
extern const struct guest_image guest_probe;
extern const struct guest_image guest_probe_pie;
extern const struct guest_image guest_call;
extern const struct guest_image guest_call_pie;
extern const struct guest_image guest_pause;
extern const struct guest_image guest_request;
extern const struct guest_image guest_request_cxx;
extern const struct guest_image guest_words_cxx;
extern const struct guest_image guest_snapshot;
extern const struct guest_image guest_first_jump;
extern const struct guest_image guest_small;
extern const struct guest_image guest_stack;
extern const struct guest_image guest_stack_executable;

struct guest_result {
    struct vmkit_sandbox_outcome outcome;
    struct vmkit_sandbox_stats stats;
    char output[1 << 16]; /* of both output streams, with a NUL */
    size_t size;
};

/* A configuration that runs the image with the arguments, which NULL ends, and keeps its output. */
vmkit_sandbox_config *
guest_configure(const struct guest_image *image, const char *const *arguments);

/* Make a sandbox, run it, free it. */
void
guest_run_config(vmkit_sandbox_config *config, struct guest_result *result);

/* The same with a fresh configuration and limits of 10 s. */
void
guest_run(const struct guest_image *image, const char *const *arguments,
          struct guest_result *result);

/* Run it as a process of the host, its outcome told in the same terms. */
void
guest_run_native(const struct guest_image *image, const char *const *arguments,
                 struct guest_result *result);

/* Run the probe both ways: the same output and the same end. */
void
guest_check_same(const char *const *arguments);

/* Run the probe in a sandbox: it exits with `status`. */
void
guest_check_status(const char *const *arguments, int status);

/* Whether the processor is QEMU's software emulation, as in the lab. */
bool
guest_is_emulated_by_qemu(void);

uint64_t
guest_now_ns(void);

/* CPU time of the calling thread. */
uint64_t
guest_cpu_ns(void);

#endif
