/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A static program in user mode of a vCPU, with bare ioctls: the least that runs it.
 *
 * The program (linked below 6 MiB, not relocatable), its heap, its stack and three supervisor pages
 * share the 2 MiB at WINDOW, so that four page tables do. The guest has memory for just that:
 * WINDOW lies at gpa 0, the tables behind it. A program that asks for a table of its own at
 * BENCH_TABLE has that at gpa FLOOR_TABLE, and further page tables behind it. There are two ways
 * out: SYSCALL through LSTAR and page faults through the IDT, each an OUT of its own. Results of
 * system calls are what a program needs to go on, made up; nothing is checked.
 */
#include "bench.h"
#include "floor_guest.h"
#include "guest.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_SIZE (UINT64_C(16) * PAGE)
#define STUBS (WINDOW + WINDOW_SIZE - 3 * PAGE)
#define TABLES (STUBS + PAGE)
#define KERNEL_STACK_TOP (TABLES + 2 * PAGE)

#define PML4 WINDOW_SIZE
#define PDPT (PML4 + PAGE)
#define PD (PDPT + PAGE)
#define PT (PD + PAGE)
#define MEMORY_SIZE (PT + PAGE)
_Static_assert(MEMORY_SIZE <= FLOOR_TABLE, "the table begins behind the tables");

#define STUB_FAULT 0
#define STUB_SYSCALL 16
#define TSS_OFFSET 1024
#define TSS_BITMAP 104

uint8_t *
floor_guest_at(const struct floor_guest *guest, uint64_t va)
{
    return guest->memory + (va - WINDOW);
}

uint64_t *
floor_guest_entry(const struct floor_guest *guest, uint64_t va)
{
    return (uint64_t *)(void *)(guest->memory + PT) + (va - WINDOW) / PAGE;
}

static void
map(const struct floor_guest *guest, uint64_t start, uint64_t end, uint64_t flags)
{
    for (uint64_t va = start & ~(uint64_t)(PAGE - 1); va < end; va += PAGE)
        *floor_guest_entry(guest, va) = (va - WINDOW) | flags | PTE_AD;
}

static void
map_table(const struct floor_guest *guest, uint64_t size)
{
    uint64_t *directory = (uint64_t *)(void *)(guest->memory + PD);
    uint64_t tables = FLOOR_TABLE + size;
    uint64_t *entries = (uint64_t *)(void *)(guest->memory + tables);
    for (uint64_t at = 0; at < size; at += WINDOW_SIZE)
        directory[(BENCH_TABLE + at) / WINDOW_SIZE] =
            (tables + at / WINDOW_SIZE * PAGE) | PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_AD;
    for (uint64_t page = 0; page < size / PAGE; page++)
        entries[page] =
            (FLOOR_TABLE + page * PAGE) | PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_NX | PTE_AD;
}

static void
write_supervisor_pages(const struct floor_guest *guest)
{
    /* out %al, $PORT_FAULT; iretq */
    memcpy(floor_guest_at(guest, STUBS + STUB_FAULT),
           (const uint8_t[]){0xe6, PORT_FAULT, 0x48, 0xcf}, 4);
    /* out %al, $PORT_SYSCALL; sysretq */
    memcpy(floor_guest_at(guest, STUBS + STUB_SYSCALL),
           (const uint8_t[]){0xe6, PORT_SYSCALL, 0x48, 0x0f, 0x07}, 5);

    static const uint64_t gdt[] = {
        [2] = UINT64_C(0x00af9b000000ffff), [3] = UINT64_C(0x00cf93000000ffff),
        [4] = UINT64_C(0x00cffb000000ffff), [5] = UINT64_C(0x00cff3000000ffff),
        [6] = UINT64_C(0x00affb000000ffff), [10] = 0,
    };
    uint8_t *page = floor_guest_at(guest, TABLES);
    memcpy(page, gdt, sizeof gdt);
    const uint64_t handler = STUBS + STUB_FAULT;
    const uint64_t gate[2] = {(handler & 0xffff) | 0x10 << 16 | UINT64_C(0x8e) << 40 |
                                  (handler >> 16 & 0xffff) << 48,
                              handler >> 32};
    memcpy(page + 256 + 14 * sizeof gate, gate, sizeof gate);

    uint8_t *tss = page + TSS_OFFSET;
    const uint64_t stack = KERNEL_STACK_TOP;
    const uint16_t bitmap = TSS_BITMAP;
    memcpy(tss + 4, &stack, sizeof stack);
    memcpy(tss + 102, &bitmap, sizeof bitmap);
    memset(tss + TSS_BITMAP, 0xff, PORT_SYSCALL / 8 + 2);
    tss[TSS_BITMAP + PORT_SYSCALL / 8] &= (uint8_t) ~(1u << PORT_SYSCALL % 8);
}

static void
write_tables(const struct floor_guest *guest)
{
    const uint64_t table = PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_AD;
    memcpy(guest->memory + PML4, (const uint64_t[]){PDPT | table}, 8);
    memcpy(guest->memory + PDPT, (const uint64_t[]){PD | table}, 8);
    memcpy(guest->memory + PD + WINDOW / WINDOW_SIZE * 8, (const uint64_t[]){PT | table}, 8);
    map(guest, STUBS, STUBS + PAGE, PTE_PRESENT | PTE_USER);
    map(guest, TABLES, TABLES + PAGE, PTE_PRESENT | PTE_NX);
    map(guest, TABLES + PAGE, KERNEL_STACK_TOP, PTE_PRESENT | PTE_WRITE | PTE_NX);
}

/* The file's own pages, copied when they are written to: that is less work than reading it. */
static void
map_file(const struct floor_guest *guest, const Elf64_Phdr *segment)
{
    const uint64_t mask = PAGE - 1;
    uint64_t start = segment->p_vaddr & ~mask, file_end = segment->p_vaddr + segment->p_filesz;
    size_t size = (file_end - start + mask) & ~mask;
    if (mmap(floor_guest_at(guest, start), size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
             guest->file, (off_t)(segment->p_offset & ~mask)) == MAP_FAILED)
        bench_die("mapping a program: %s", strerror(errno));
    if (segment->p_memsz > segment->p_filesz)
        memset(floor_guest_at(guest, file_end), 0, start + size - file_end);
}

/* What the file has of one page. */
void
floor_guest_read_page(const struct floor_guest *guest, uint64_t page)
{
    for (unsigned i = 0; i < guest->segment_count; i++) {
        const Elf64_Phdr *segment = &guest->segments[i];
        uint64_t start = page > segment->p_vaddr ? page : segment->p_vaddr;
        uint64_t end = segment->p_vaddr + segment->p_filesz;
        end = end < page + PAGE ? end : page + PAGE;
        if (start < end && pread(guest->file, floor_guest_at(guest, start), end - start,
                                 (off_t)(segment->p_offset + (start - segment->p_vaddr))) < 0)
            bench_die("reading a program: %s", strerror(errno));
    }
}

static void
load_segment(struct floor_guest *guest, const Elf64_Phdr *segment, bool at_once)
{
    uint64_t end = segment->p_vaddr + segment->p_memsz;
    if (segment->p_vaddr < WINDOW || end > STACK_TOP - STACK_SIZE - 64 * PAGE ||
        guest->segment_count == sizeof guest->segments / sizeof guest->segments[0])
        bench_die("the program does not fit the floor's window");
    guest->segments[guest->segment_count++] = *segment;
    if (at_once)
        map_file(guest, segment);
    map(guest, segment->p_vaddr, end,
        PTE_PRESENT | PTE_USER | (segment->p_flags & PF_W ? PTE_WRITE : 0) |
            (segment->p_flags & PF_X ? 0 : PTE_NX));
    guest->brk = (end + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static void
load_program(struct floor_guest *guest, const char *program, Elf64_Ehdr *header, bool at_once)
{
    uint8_t first[PAGE];
    guest->file = open(program, O_RDONLY | O_CLOEXEC);
    if (guest->file < 0 || read(guest->file, first, sizeof first) != (ssize_t)sizeof first)
        bench_die("%s: %s", program, strerror(errno));
    memcpy(header, first, sizeof *header);
    guest->entry = header->e_entry;

    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        memcpy(&segment, first + header->e_phoff + i * sizeof segment, sizeof segment);
        if (segment.p_type == PT_LOAD)
            load_segment(guest, &segment, at_once);
    }
    if (at_once) {
        close(guest->file);
        guest->file = -1;
    }
    map(guest, guest->brk, STACK_TOP, PTE_PRESENT | PTE_USER | PTE_WRITE | PTE_NX);
}

static void
write_stack(struct floor_guest *guest, const Elf64_Ehdr *header)
{
    const uint64_t name = STACK_TOP - 16, random = STACK_TOP - 32;
    memcpy(floor_guest_at(guest, name), "program", 8);
    const uint64_t vectors[] = {
        1,         name,
        0,         0,
        AT_PAGESZ, PAGE,
        AT_PHDR,   WINDOW + header->e_phoff,
        AT_PHENT,  header->e_phentsize,
        AT_PHNUM,  header->e_phnum,
        AT_ENTRY,  header->e_entry,
        AT_SECURE, 0,
        AT_RANDOM, random,
        AT_NULL,   0,
    };
    guest->stack_pointer = (random - sizeof vectors) & ~UINT64_C(15);
    memcpy(floor_guest_at(guest, guest->stack_pointer), vectors, sizeof vectors);
}

void
floor_guest_set_msrs(const struct floor_guest *guest, const struct kvm_msr_entry *entries,
                     uint32_t count)
{
    union {
        struct kvm_msrs msrs;
        uint8_t room[sizeof(struct kvm_msrs) + 4 * sizeof(struct kvm_msr_entry)];
    } argument = {.msrs.nmsrs = count};
    memcpy(argument.msrs.entries, entries, count * sizeof *entries);
    BENCH_CHECK(ioctl(guest->vcpu, KVM_SET_MSRS, &argument));
}

void
floor_guest_fill_sregs(struct kvm_sregs *sregs)
{
    const struct floor_system *system = floor_system_get();
    sregs->cr0 = 0x80050033;
    sregs->cr3 = PML4;
    sregs->cr4 = 1u << 5 | 1u << 9 | 1u << 10 | 1u << 16 | (system->xcr0 != 0 ? 1u << 18 : 0);
    sregs->efer = 0xd01;
    sregs->cs = (struct kvm_segment){.limit = UINT32_MAX,
                                     .selector = 0x33,
                                     .type = 0xb,
                                     .present = 1,
                                     .dpl = 3,
                                     .s = 1,
                                     .l = 1,
                                     .g = 1};
    sregs->ss = (struct kvm_segment){.limit = UINT32_MAX,
                                     .selector = 0x2b,
                                     .type = 3,
                                     .present = 1,
                                     .dpl = 3,
                                     .s = 1,
                                     .db = 1,
                                     .g = 1};
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss;
    sregs->tr = (struct kvm_segment){.base = TABLES + TSS_OFFSET,
                                     .limit = TSS_BITMAP + PORT_SYSCALL / 8 + 1,
                                     .selector = 0x40,
                                     .type = 0xb,
                                     .present = 1};
    sregs->gdt.base = TABLES;
    sregs->gdt.limit = 11 * 8 - 1;
    sregs->idt.base = TABLES + 256;
    sregs->idt.limit = 15 * 16 - 1;
}

void
floor_guest_set_up_vcpu(const struct floor_guest *guest, const struct kvm_sregs *sregs)
{
    const struct floor_system *system = floor_system_get();
    BENCH_CHECK(ioctl(guest->vcpu, KVM_SET_CPUID2, system->cpuid));
    BENCH_CHECK(ioctl(guest->vcpu, KVM_SET_SREGS, sregs));
    if (system->xcr0 != 0) {
        struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.value = system->xcr0}}};
        BENCH_CHECK(ioctl(guest->vcpu, KVM_SET_XCRS, &xcrs));
    }
    const struct kvm_msr_entry msrs[] = {
        {.index = 0xc0000081, .data = UINT64_C(0x10) << 32 | UINT64_C(0x23) << 48},
        {.index = 0xc0000082, .data = STUBS + STUB_SYSCALL},
        {.index = 0xc0000084, .data = 0x257fd5},
    };
    floor_guest_set_msrs(guest, msrs, sizeof msrs / sizeof msrs[0]);
    guest->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
    guest->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
}

void
floor_guest_make_vm(struct floor_guest *guest, int fd, uint32_t slot_flags)
{
    const struct floor_system *system = floor_system_get();
    guest->vm = BENCH_CHECK(ioctl(system->fd, KVM_CREATE_VM, 0));
    guest->memory = mmap(NULL, guest->size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0) | MAP_NORESERVE, fd, 0);
    if (guest->memory == MAP_FAILED)
        bench_die("no memory for a guest");
    /* A vCPU without a local APIC in the kernel makes KVM patch its own code when the first one on
     * the machine comes and when the last one goes, which costs more than the APIC does. */
    struct kvm_enable_cap apic = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
    BENCH_CHECK(ioctl(guest->vm, KVM_ENABLE_CAP, &apic));
    if (slot_flags & KVM_MEM_LOG_DIRTY_PAGES) {
        struct kvm_enable_cap log = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
                                     .args = {KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE}};
        BENCH_CHECK(ioctl(guest->vm, KVM_ENABLE_CAP, &log));
    }
    guest->vcpu = BENCH_CHECK(ioctl(guest->vm, KVM_CREATE_VCPU, 0));
    guest->run = mmap(NULL, system->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, guest->vcpu, 0);
    if (guest->run == MAP_FAILED)
        bench_die("mapping a vCPU");
    struct kvm_userspace_memory_region region = {.flags = slot_flags,
                                                 .memory_size = guest->size,
                                                 .userspace_addr = (uintptr_t)guest->memory};
    BENCH_CHECK(ioctl(guest->vm, KVM_SET_USER_MEMORY_REGION, &region));
}

void
floor_guest_new(struct floor_guest *guest, const char *program, const struct floor_plan *plan)
{
    Elf64_Ehdr header;
    struct kvm_sregs sregs;
    *guest = (struct floor_guest){.size = MEMORY_SIZE, .input = plan->input};
    if (plan->table_size != 0)
        guest->size = FLOOR_TABLE + plan->table_size + plan->table_size / WINDOW_SIZE * PAGE;
    floor_guest_make_vm(guest, -1, 0);

    load_program(guest, program, &header, !plan->learn);
    write_stack(guest, &header);
    write_supervisor_pages(guest);
    write_tables(guest);
    map_table(guest, plan->table_size);
    if (plan->learn) {
        for (uint64_t va = WINDOW; va < STACK_TOP; va += PAGE)
            *floor_guest_entry(guest, va) &= ~PTE_PRESENT;
    }
    for (size_t i = 0; i < plan->count; i++)
        *floor_guest_entry(guest, plan->pages[i]) &= ~PTE_PRESENT;
    BENCH_CHECK(ioctl(guest->vcpu, KVM_GET_SREGS, &sregs));
    floor_guest_fill_sregs(&sregs);
    guest->run->s.regs.regs =
        (struct kvm_regs){.rip = guest->entry, .rsp = guest->stack_pointer, .rflags = 0x202};
    floor_guest_set_up_vcpu(guest, &sregs);
}

void
floor_guest_free(struct floor_guest *guest)
{
    munmap(guest->run, floor_system_get()->run_size);
    close(guest->vcpu);
    close(guest->vm);
    munmap(guest->memory, guest->size);
    if (guest->file >= 0)
        close(guest->file);
}
