/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the guests, which the build names, as they are. */
#include "sandbox_guest.h"

#include "guest_paths.h"

#define IMAGE(name, path)                                                            \
    __asm__(".section .rodata\n.balign 16\n"                                         \
            "image_" #name ": .incbin \"" path "\"\n"                                \
            "image_" #name "_end: .byte 0\n.text\n");                                \
    extern const uint8_t image_##name[] __attribute__((visibility("hidden")));       \
    extern const uint8_t image_##name##_end[] __attribute__((visibility("hidden"))); \
    const struct guest_image guest_##name = {image_##name, image_##name##_end}

IMAGE(probe, GUEST_PROBE);
IMAGE(probe_pie, GUEST_PROBE_PIE);
IMAGE(call, GUEST_CALL);
IMAGE(call_pie, GUEST_CALL_PIE);
IMAGE(pause, GUEST_PAUSE);
IMAGE(request, GUEST_REQUEST);
IMAGE(request_cxx, GUEST_REQUEST_CXX);
IMAGE(words_cxx, GUEST_WORDS_CXX);
IMAGE(snapshot, GUEST_SNAPSHOT);
IMAGE(first_jump, GUEST_FIRST_JUMP);
IMAGE(small, GUEST_SMALL);
IMAGE(stack, GUEST_STACK);
IMAGE(stack_executable, GUEST_STACK_EXECUTABLE);
