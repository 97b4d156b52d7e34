/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A computation in which every register has a part, for guests in 64-bit mode: a change of one bit
 * in any of them changes the result. RBX is where its data are: the number of rounds, which kinds of
 * register it may use, an address without memory, and 512 bytes to begin with. It leaves all that it
 * holds in memory and writes to that address at the end.
 */

#define ROUNDS 0x00
#define KINDS 0x08
#define END_DOORBELL 0x10
#define SEEDS 0x100
#define TABLE 0x1000  /* 512 words */
#define RESULT 0x2000 /* 4 KiB */

#define X87 1
#define SSE 2
#define AVX 4
#define AVX512 8

        .section .note.GNU-stack, "", @progbits
        .section .rodata
        .globl compute_start, compute_end
        .balign 16
compute_start:
        .code64
        mov     KINDS(%rbx), %r14
        xor     %r15d, %r15d
        mov     $0x0123456789abcdef, %rax
        mov     $0xfedcba9876543210, %rcx
        mov     $0x5851f42d4c957f2d, %rdx
        mov     $0x14057b7ef767814f, %rsi
        mov     $0x9e3779b97f4a7c15, %rdi
        mov     $0xbf58476d1ce4e5b9, %rbp
        mov     $0x94d049bb133111eb, %r8
        mov     $0x2545f4914f6cdd1d, %r9
        mov     $0xd6e8feb86659fd93, %r10
        mov     $0xa0761d6478bd642f, %r11
        mov     $0xe7037ed1a0b428db, %r12
        mov     $0x8ebc6af09c88c6e3, %r13

        test    $X87, %r14b
        jz      1f
        fninit
        fldpi
        fldl2t
        fldl2e
        fldlg2
        fldln2
        fld1
1:      test    $SSE, %r14b
        jz      1f
        movdqu  SEEDS+0x00(%rbx), %xmm0
        movdqu  SEEDS+0x10(%rbx), %xmm1
        movdqu  SEEDS+0x20(%rbx), %xmm2
        movdqu  SEEDS+0x30(%rbx), %xmm3
1:      test    $AVX, %r14b
        jz      1f
        vmovdqu SEEDS+0x40(%rbx), %ymm8
        vmovdqu SEEDS+0x60(%rbx), %ymm9
        vmovdqu SEEDS+0x80(%rbx), %ymm10
1:      test    $AVX512, %r14b
        jz      1f
        vmovdqu64 SEEDS+0xc0(%rbx), %zmm16
        vmovdqu64 SEEDS+0x100(%rbx), %zmm17
        vmovdqu64 SEEDS+0x140(%rbx), %zmm31
        vmovdqu64 SEEDS+0x40(%rbx), %zmm5
        kxnorw  %k2, %k2, %k2
1:

round:
        /* Each general register takes from the one before it; flags are kept over a push and pop. */
        imul    %rdx, %rax
        add     %r13, %rax
        rol     $13, %rcx
        adc     %rax, %rcx
        xor     %rcx, %rsi
        sub     %rsi, %rdi
        sbb     %rdi, %rbp
        pushfq
        ror     $7, %rbp
        xor     %rbp, %r8
        add     %r8, %r9
        lea     (%r9,%r10,2), %r10
        popfq
        adc     %r10, %r11
        bswap   %r11
        xor     %r11, %r12
        push    %r12
        add     %r15, %r13
        xor     %r13, (%rsp)
        pop     %r12
        mov     %r12, %r13
        rol     $29, %r13
        /* And one word of the table. */
        push    %rax
        and     $0x1ff, %eax
        xor     %rcx, TABLE(%rbx,%rax,8)
        add     TABLE(%rbx,%rax,8), %rdx
        pop     %rax
        or      $1, %rdx

        test    $X87, %r14b
        jz      1f
        fadd    %st(1), %st
        fsqrt
        fxch    %st(2)
        fadd    %st(3), %st
        fsqrt
        fxch    %st(4)
        fadd    %st(5), %st
        fsqrt
        fxch    %st(5)
1:      test    $SSE, %r14b
        jz      1f
        paddq   %xmm1, %xmm0
        pshufd  $0x39, %xmm0, %xmm4
        pxor    %xmm4, %xmm2
        paddq   %xmm2, %xmm3
        pshufd  $0x93, %xmm3, %xmm1
        movq    %rax, %xmm6
        pxor    %xmm6, %xmm0
1:      test    $AVX, %r14b
        jz      1f
        vpaddq  %ymm8, %ymm9, %ymm9
        vpxor   %ymm9, %ymm10, %ymm10
        vpermq  $0x39, %ymm10, %ymm11
        vpaddq  %ymm11, %ymm8, %ymm8
1:      test    $AVX512, %r14b
        jz      1f
        vpaddq  %zmm16, %zmm17, %zmm17
        vprolq  $17, %zmm17, %zmm31
        vpxorq  %zmm31, %zmm16, %zmm16
        vpcmpuq $1, %zmm17, %zmm16, %k1
        kxorw   %k1, %k2, %k2
        vpaddq  %zmm5, %zmm31, %zmm5{%k2}
        valignq $3, %zmm5, %zmm5, %zmm5
1:      inc     %r15
        cmp     ROUNDS(%rbx), %r15
        jb      round

        mov     %rax, RESULT+0x00(%rbx)
        mov     %rcx, RESULT+0x08(%rbx)
        mov     %rdx, RESULT+0x10(%rbx)
        mov     %rsi, RESULT+0x18(%rbx)
        mov     %rdi, RESULT+0x20(%rbx)
        mov     %rbp, RESULT+0x28(%rbx)
        mov     %r8, RESULT+0x30(%rbx)
        mov     %r9, RESULT+0x38(%rbx)
        mov     %r10, RESULT+0x40(%rbx)
        mov     %r11, RESULT+0x48(%rbx)
        mov     %r12, RESULT+0x50(%rbx)
        mov     %r13, RESULT+0x58(%rbx)
        mov     %r15, RESULT+0x60(%rbx)
        test    $X87, %r14b
        jz      1f
        fstpt   RESULT+0x100(%rbx)
        fstpt   RESULT+0x110(%rbx)
        fstpt   RESULT+0x120(%rbx)
        fstpt   RESULT+0x130(%rbx)
        fstpt   RESULT+0x140(%rbx)
        fstpt   RESULT+0x150(%rbx)
        fnstcw  RESULT+0x160(%rbx)
1:      test    $SSE, %r14b
        jz      1f
        movdqu  %xmm0, RESULT+0x200(%rbx)
        movdqu  %xmm1, RESULT+0x210(%rbx)
        movdqu  %xmm2, RESULT+0x220(%rbx)
        movdqu  %xmm3, RESULT+0x230(%rbx)
        stmxcsr RESULT+0x240(%rbx)
1:      test    $AVX, %r14b
        jz      1f
        vmovdqu %ymm8, RESULT+0x300(%rbx)
        vmovdqu %ymm9, RESULT+0x320(%rbx)
        vmovdqu %ymm10, RESULT+0x340(%rbx)
1:      test    $AVX512, %r14b
        jz      1f
        vmovdqu64 %zmm16, RESULT+0x400(%rbx)
        vmovdqu64 %zmm17, RESULT+0x440(%rbx)
        vmovdqu64 %zmm31, RESULT+0x480(%rbx)
        vmovdqu64 %zmm5, RESULT+0x4c0(%rbx)
        kmovw   %k1, %eax
        mov     %eax, RESULT+0x500(%rbx)
        kmovw   %k2, %eax
        mov     %eax, RESULT+0x504(%rbx)
1:      mov     END_DOORBELL(%rbx), %r12
        movl    $1, (%r12)
        jmp     1b
compute_end:
