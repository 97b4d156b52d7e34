/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signal frame of x86-64: struct rt_sigframe of the kernel's arch/x86/include/asm/sigframe.h,
 * with struct ucontext and struct sigcontext_64 of include/uapi/asm, and the extended state above
 * it in the standard form of XSAVE (Intel SDM 1, 13.4), its software bytes filled in.
 *
 *     program's stack pointer (or the top of the alternate stack)
 *     128 bytes that the x86-64 ABI lets a leaf function use (not on the alternate stack)
 *     extended state, aligned to 64, followed by a magic word
 *     siginfo, ucontext, return address: the handler's stack pointer, 8 below a multiple of 16
 */
#include "arch/sigframe.h"

#include <errno.h>
#include <string.h>

#define RED_ZONE 128
#define XSTATE_ALIGNMENT 64
#define MAGIC_SIZE 4

/* Offsets in the frame. */
#define AT_RETURN_ADDRESS 0
#define AT_UC_FLAGS 8
#define AT_STACK_SP 24
#define AT_STACK_FLAGS 32
#define AT_STACK_SIZE 40
#define AT_MCONTEXT 48
#define AT_MASK 304
#define AT_INFO 312
#define FRAME_SIZE 440

/* Offsets in struct sigcontext_64, which is uc_mcontext. */
#define AT_RFLAGS (AT_MCONTEXT + 136)
#define AT_CS (AT_MCONTEXT + 144)
#define AT_SS (AT_MCONTEXT + 150)
#define AT_ERROR (AT_MCONTEXT + 152)
#define AT_TRAP (AT_MCONTEXT + 160)
#define AT_OLD_MASK (AT_MCONTEXT + 168)
#define AT_CR2 (AT_MCONTEXT + 176)
#define AT_XSTATE (AT_MCONTEXT + 184)

/* UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS */
#define UC_FLAGS UINT64_C(7)

#define USER_CS 0x33
#define USER_SS 0x2b

/* What a program may choose of its flags: CF PF AF ZF SF TF DF OF RF AC. IF stays set, and bit 1
 * always is. */
#define FLAGS_OF_PROGRAM UINT64_C(0x00050dd5)
#define FLAGS_ALWAYS UINT64_C(0x202)
/* TF, DF and RF are clear in a handler. */
#define FLAGS_NOT_IN_HANDLER UINT64_C(0x00010500)

/* The XSAVE area: 512 bytes of FXSAVE, in which software owns the last 48, then the header. */
#define LEGACY_SIZE 512
#define HEADER_SIZE 64
#define AT_MXCSR 24
#define AT_SOFTWARE 464
#define AT_XSTATE_BV 512
#define AT_XCOMP_BV 520
#define FCW_INITIAL 0x037f
#define MXCSR_INITIAL 0x1f80
#define MXCSR_VALID UINT32_C(0xffff)
#define COMPONENTS_LEGACY UINT64_C(3) /* x87 and SSE */

/* struct _fpx_sw_bytes */
#define MAGIC_START UINT32_C(0x46505853)
#define MAGIC_END UINT32_C(0x46505845)
struct software_bytes {
    uint32_t magic;
    uint32_t extended_size;
    uint64_t components;
    uint32_t xstate_size;
    uint32_t padding[7];
};
_Static_assert(sizeof(struct software_bytes) == 48, "struct _fpx_sw_bytes");

/* Where sigcontext_64 keeps which register. */
static const struct {
    uint16_t frame;
    uint16_t regs;
} registers[] = {
#define AT(name, offset)                                             \
    {                                                                \
        AT_MCONTEXT + (offset), offsetof(struct vmk_user_regs, name) \
    }
    AT(r8, 0),   AT(r9, 8),    AT(r10, 16),  AT(r11, 24),  AT(r12, 32),  AT(r13, 40),
    AT(r14, 48), AT(r15, 56),  AT(rdi, 64),  AT(rsi, 72),  AT(rbp, 80),  AT(rbx, 88),
    AT(rdx, 96), AT(rax, 104), AT(rcx, 112), AT(rsp, 120), AT(rip, 128),
#undef AT
};
#define REGISTER_COUNT (sizeof registers / sizeof registers[0])

static void
put(uint8_t *buffer, size_t offset, const void *value, size_t size)
{
    memcpy(buffer + offset, value, size);
}

static void
put64(uint8_t *buffer, size_t offset, uint64_t value)
{
    put(buffer, offset, &value, sizeof value);
}

static void
put32(uint8_t *buffer, size_t offset, uint32_t value)
{
    put(buffer, offset, &value, sizeof value);
}

static void
put16(uint8_t *buffer, size_t offset, uint16_t value)
{
    put(buffer, offset, &value, sizeof value);
}

static uint64_t
get64(const uint8_t *buffer, size_t offset)
{
    uint64_t value;
    memcpy(&value, buffer + offset, sizeof value);
    return value;
}

static uint32_t
get32(const uint8_t *buffer, size_t offset)
{
    uint32_t value;
    memcpy(&value, buffer + offset, sizeof value);
    return value;
}

size_t
vmk_sigframe_get_capacity(size_t xstate_size)
{
    /* The two alignments can put at most this much between the frame and the extended state. */
    return FRAME_SIZE + XSTATE_ALIGNMENT + 16 + xstate_size + MAGIC_SIZE;
}

/* The extended state as a program finds it on the stack. The software bytes and the magic word
 * behind it say how much there is; the legacy components are always there. */
static void
finish_xstate(uint8_t *xstate, size_t size)
{
    uint64_t components = get64(xstate, AT_XSTATE_BV) | COMPONENTS_LEGACY;
    const struct software_bytes software = {
        .magic = MAGIC_START,
        .extended_size = (uint32_t)(size + MAGIC_SIZE),
        .components = components,
        .xstate_size = (uint32_t)size,
    };
    put64(xstate, AT_XSTATE_BV, components);
    put(xstate, AT_SOFTWARE, &software, sizeof software);
}

static void
pack_context(const struct vmk_sigframe *frame, const struct vmk_user_regs *regs, uint64_t xstate_va,
             uint8_t *buffer)
{
    put64(buffer, AT_RETURN_ADDRESS, frame->restorer);
    put64(buffer, AT_UC_FLAGS, UC_FLAGS);
    put64(buffer, AT_STACK_SP, frame->altstack_sp);
    put32(buffer, AT_STACK_FLAGS, frame->altstack_flags);
    put64(buffer, AT_STACK_SIZE, frame->altstack_size);
    for (size_t i = 0; i < REGISTER_COUNT; i++)
        put(buffer, registers[i].frame, (const uint8_t *)regs + registers[i].regs, 8);
    put64(buffer, AT_RFLAGS, regs->rflags);
    put16(buffer, AT_CS, USER_CS);
    put16(buffer, AT_SS, USER_SS);
    put64(buffer, AT_ERROR, frame->error);
    put64(buffer, AT_TRAP, frame->trap);
    put64(buffer, AT_OLD_MASK, frame->mask);
    put64(buffer, AT_CR2, frame->fault_address);
    put64(buffer, AT_XSTATE, xstate_va);
    put64(buffer, AT_MASK, frame->mask);
    put(buffer, AT_INFO, &frame->info, sizeof frame->info);
}

int
vmk_sigframe_pack(const struct vmk_sigframe *frame, const struct vmk_user_regs *regs, void *xstate,
                  size_t xstate_size, uint8_t *buffer, uint64_t *ret_va, size_t *ret_size)
{
    uint64_t top = frame->stack_top != 0 ? frame->stack_top : regs->rsp;
    size_t red_zone = frame->stack_top != 0 ? 0 : RED_ZONE;
    size_t room = xstate_size + MAGIC_SIZE;
    if (frame->restorer == 0 || xstate_size < LEGACY_SIZE + HEADER_SIZE)
        return -EFAULT;
    if (top < red_zone + vmk_sigframe_get_capacity(xstate_size))
        return -EFAULT;
    uint64_t xstate_va = (top - red_zone - room) & ~(uint64_t)(XSTATE_ALIGNMENT - 1);
    uint64_t va = ((xstate_va - FRAME_SIZE) & ~UINT64_C(15)) - 8;
    size_t gap = (size_t)(xstate_va - va);
    memset(buffer, 0, gap);
    pack_context(frame, regs, xstate_va, buffer);
    finish_xstate(xstate, xstate_size);
    put(buffer, gap, xstate, xstate_size);
    put32(buffer, gap + xstate_size, MAGIC_END);
    *ret_va = va;
    *ret_size = gap + room;
    return 0;
}

void
vmk_sigframe_enter(const struct vmk_sigframe *frame, uint64_t va, struct vmk_user_regs *regs)
{
    regs->rdi = (uint64_t)frame->info.signo;
    regs->rsi = va + AT_INFO;
    regs->rdx = va + AT_UC_FLAGS;
    regs->rax = 0;
    regs->rsp = va;
    regs->rip = frame->handler;
    regs->rflags &= ~FLAGS_NOT_IN_HANDLER;
}

void
vmk_sigframe_init_xstate(void *xstate, size_t xstate_size)
{
    memset(xstate, 0, xstate_size);
    put16(xstate, 0, FCW_INITIAL);
    put32(xstate, AT_MXCSR, MXCSR_INITIAL);
    /* Legacy components from the bytes here, all others in their initial state. */
    put64(xstate, AT_XSTATE_BV, COMPONENTS_LEGACY);
}

/* How much of the extended state to read: what the software bytes claim if they hold together, and
 * the legacy part alone otherwise. */
static int
measure_xstate(const uint8_t *legacy, uint64_t va, vmk_sigframe_read_fn *read, void *user_data,
               size_t xstate_size, size_t *ret_size)
{
    struct software_bytes software;
    uint32_t magic = 0;
    memcpy(&software, legacy + AT_SOFTWARE, sizeof software);
    *ret_size = LEGACY_SIZE;
    if (software.magic != MAGIC_START || software.xstate_size < LEGACY_SIZE + HEADER_SIZE ||
        software.xstate_size > xstate_size || software.xstate_size > software.extended_size)
        return 0;
    int r = read(user_data, va + software.xstate_size, &magic, sizeof magic);
    if (r < 0)
        return r;
    if (magic == MAGIC_END)
        *ret_size = software.xstate_size;
    return 0;
}

/* What XRSTOR would refuse with a general protection fault. Unknown components are for
 * vmk_usermode_set_xstate() to refuse, which knows them. */
static int
check_xstate(const uint8_t *xstate)
{
    static const uint8_t zeros[HEADER_SIZE - 8];
    if (memcmp(xstate + AT_XCOMP_BV, zeros, sizeof zeros) != 0)
        return -EINVAL;
    return (get32(xstate, AT_MXCSR) & ~MXCSR_VALID) == 0 ? 0 : -EINVAL;
}

int
vmk_sigframe_unpack_xstate(const struct vmk_sigframe *frame, vmk_sigframe_read_fn *read,
                           void *user_data, void *xstate, size_t xstate_size)
{
    const uint64_t va = frame->xstate_va;
    uint8_t *state = xstate;
    size_t size;
    if (xstate_size < LEGACY_SIZE + HEADER_SIZE)
        return -EINVAL;
    vmk_sigframe_init_xstate(state, xstate_size);
    if (va == 0)
        return 0;
    int r = read(user_data, va, state, LEGACY_SIZE);
    if (r < 0)
        return r;
    r = measure_xstate(state, va, read, user_data, xstate_size, &size);
    if (r < 0)
        return r;
    if (size > LEGACY_SIZE) {
        r = read(user_data, va + LEGACY_SIZE, state + LEGACY_SIZE, size - LEGACY_SIZE);
        if (r < 0)
            return r;
    }
    memset(state + AT_SOFTWARE, 0, sizeof(struct software_bytes));
    return check_xstate(state);
}

int
vmk_sigframe_unpack(struct vmk_user_regs *regs, vmk_sigframe_read_fn *read, void *user_data,
                    struct vmk_sigframe *ret_frame)
{
    uint8_t buffer[AT_INFO];
    /* The handler's return took the return address. */
    int r = read(user_data, regs->rsp - 8, buffer, sizeof buffer);
    if (r < 0)
        return r;
    for (size_t i = 0; i < REGISTER_COUNT; i++)
        memcpy((uint8_t *)regs + registers[i].regs, buffer + registers[i].frame, 8);
    regs->rflags = (regs->rflags & ~FLAGS_OF_PROGRAM) |
                   (get64(buffer, AT_RFLAGS) & FLAGS_OF_PROGRAM) | FLAGS_ALWAYS;
    *ret_frame = (struct vmk_sigframe){
        .mask = get64(buffer, AT_MASK),
        .altstack_sp = get64(buffer, AT_STACK_SP),
        .altstack_size = get64(buffer, AT_STACK_SIZE),
        .altstack_flags = get32(buffer, AT_STACK_FLAGS),
        .xstate_va = get64(buffer, AT_XSTATE),
    };
    return 0;
}

uint64_t
vmk_sigframe_get_stack_pointer(const struct vmk_user_regs *regs)
{
    return regs->rsp;
}

void
vmk_sigframe_set_result(struct vmk_user_regs *regs, int64_t result)
{
    regs->rax = (uint64_t)result;
}

/* SYSCALL is two bytes long, and RAX still holds the call's number. */
void
vmk_sigframe_rewind(struct vmk_user_regs *regs)
{
    regs->rip -= 2;
}
