/* SPDX-License-Identifier: Apache-2.0 */
/*
 * int64_t hold_KIND(uint64_t *values, const uint64_t *signals): load every vector register of the
 * kind, and for AVX-512 the mask registers behind them, from memory; let signals in, which a handler
 * takes; wait; write the registers back. The system call's result is returned. It is made here
 * since nothing that is written in C keeps these registers.
 */

#define SYS_rt_sigprocmask 14
#define SIG_UNBLOCK 1
#define SET_SIZE 8
#define LOOPS 100000
#define MASKS 2048

        .section .note.GNU-stack, "", @progbits
        .text

        .macro let_in
        mov     %rdi, %r8
        mov     $SYS_rt_sigprocmask, %eax
        mov     $SIG_UNBLOCK, %edi
        xor     %edx, %edx
        mov     $SET_SIZE, %r10d
        syscall
        mov     $LOOPS, %ecx
1:      dec     %ecx
        jnz     1b
        .endm

        .globl  hold_sse, hold_avx, hold_avx512
hold_sse:
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movdqu  \n*16(%rdi), %xmm\n
        .endr
        let_in
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movdqu  %xmm\n, \n*16(%r8)
        .endr
        ret

hold_avx:
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovdqu \n*32(%rdi), %ymm\n
        .endr
        let_in
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovdqu %ymm\n, \n*32(%r8)
        .endr
        vzeroupper
        ret

hold_avx512:
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, \
                22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        vmovdqu64 \n*64(%rdi), %zmm\n
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
        kmovq   MASKS+\n*8(%rdi), %k\n
        .endr
        let_in
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, \
                22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        vmovdqu64 %zmm\n, \n*64(%r8)
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
        kmovq   %k\n, MASKS+\n*8(%r8)
        .endr
        vzeroupper
        ret
