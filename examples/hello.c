/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hello: a raw virtual machine in about 60 lines. Memory, a vCPU, a few bytes of real-mode code
 * that write a text to port 0xe9, a handler that takes it, and the halt that ends the run.
 */
#include <vmkit/vmkit.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* lodsb until the byte is zero; each goes out of port 0xe9; then halt. */
static const unsigned char code[] = "\xbe\x0d\x10" /* 1000: mov si, 0x100d */
                                    "\xac"         /* 1003: lodsb */
                                    "\x84\xc0"     /* 1004: test al, al */
                                    "\x74\x04"     /* 1006: jz 100c */
                                    "\xe6\xe9"     /* 1008: out 0xe9, al */
                                    "\xeb\xf7"     /* 100a: jmp 1003 */
                                    "\xf4"         /* 100c: hlt */
                                    "Hello from a virtual machine\n";

/* By pointer: the call that is the first argument may run after the second one was read. */
static void
check(int result, vmkit_error **error)
{
    if (result >= 0)
        return;
    fprintf(stderr, "hello: %s\n", vmkit_error_get_message(*error));
    exit(EXIT_FAILURE);
}

/* The device: what the guest writes to its port is printed. */
static int
print(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    if (access->is_write)
        putchar((int)access->value);
    return VMKIT_HANDLED;
}

int
main(int argc, char **argv)
{
    struct vmkit_exit end = {.size = sizeof end};
    vmkit_memory *memory = NULL;
    vmkit_vm *vm = NULL;
    vmkit_vcpu *vcpu = NULL;
    vmkit_error *error = NULL;

    if (argc > 1) {
        bool help = strcmp(argv[1], "--help") == 0;
        fputs("usage: hello [--help]\n\nPrints a line from inside of a virtual machine.\n",
              help ? stdout : stderr);
        return help ? EXIT_SUCCESS : 2;
    }
    check(vmkit_vm_new(NULL, &vm, &error), &error);
    check(vmkit_memory_new_anonymous(0x10000, 0, &memory, &error), &error);
    check(vmkit_vm_add_memory(vm, 0, memory, 0, 0x10000, 0, &error), &error);
    check(vmkit_vm_write(vm, 0x1000, code, sizeof code, &error), &error);
    check(vmkit_vm_add_handler(vm, VMKIT_SPACE_PIO, 0xe9, 1, print, NULL, NULL, &error), &error);

    check(vmkit_vcpu_new(vm, 0, &vcpu, &error), &error);
    check(vmkit_vcpu_set_x86_real_mode(vcpu, 0x1000, 0x8000, &error), &error);
    check(vmkit_vcpu_run(vcpu, &end, &error), &error);
    if (end.reason != VMKIT_EXIT_HALT)
        fprintf(stderr, "hello: ended with reason %u instead of a halt\n", end.reason);

    vmkit_vcpu_unref(vcpu);
    vmkit_vm_unref(vm);
    vmkit_memory_unref(memory);
    if (fflush(stdout) != 0) {
        perror("hello: standard output");
        return EXIT_FAILURE;
    }
    return end.reason == VMKIT_EXIT_HALT ? EXIT_SUCCESS : EXIT_FAILURE;
}
