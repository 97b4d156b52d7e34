/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before its first system call, the program jumps to where SYSCALL would have led, as if it had
 * made one. Then it makes a real one, and says in its exit status what it could do after that: 0
 * when it is still in user mode, 42 when it is not.
 */
__asm__(".globl _start\n"
        "_start:\n"
        "    movq $0xffffffffc0000200, %rdx\n"
        "    leaq 1f(%rip), %rcx\n"
        "    movl $0x202, %r11d\n"
        "    movl $39, %eax\n"
        "    jmp *%rdx\n"
        "1:  movl $8, %ebx\n"
        "2:  movl $39, %eax\n"
        "    syscall\n"
        "    movl %cs, %edi\n"
        "    andl $3, %edi\n"
        "    cmpl $3, %edi\n"
        "    jne 3f\n"
        "    decl %ebx\n"
        "    jnz 2b\n"
        "    xorl %edi, %edi\n"
        "    jmp 4f\n"
        "3:  movl $42, %edi\n"
        "4:  movl $231, %eax\n"
        "    syscall\n"
        "    hlt\n");
