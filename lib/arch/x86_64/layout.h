/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where things are in the guest-physical memory of a machine, and which lines they have. RAM is
 * [0, low) and [4 GiB, 4 GiB + high): what does not fit below the hole goes above it. What a boot
 * leaves in the first 640 KiB is the guest's to use once it has read it; firmware's tables are in a
 * range that e820 reserves.
 */
#ifndef VMK_ARCH_X86_64_LAYOUT_H
#define VMK_ARCH_X86_64_LAYOUT_H

#include <stdint.h>

#define VMK_X86_GDT UINT64_C(0x500)
#define VMK_X86_START_INFO UINT64_C(0x6000)
#define VMK_X86_BOOT_PARAMS UINT64_C(0x7000)
/* A page of stack for a kernel that pushes before it has one of its own. */
#define VMK_X86_BOOT_STACK_TOP UINT64_C(0x9000)
#define VMK_X86_PAGE_TABLES UINT64_C(0x9000)
/* What the page tables of a 64-bit entry map to itself. */
#define VMK_X86_IDENTITY_LIMIT (UINT64_C(4) << 30)
#define VMK_X86_COMMAND_LINE UINT64_C(0x20000)
#define VMK_X86_COMMAND_LINE_ROOM UINT64_C(0x10000)

/* Where PCs have the data of their BIOS, then video memory and ROMs, up to the first MiB. */
#define VMK_X86_LOW_END UINT64_C(0x9fc00)
#define VMK_X86_ACPI UINT64_C(0xe0000)
#define VMK_X86_ACPI_ROOM UINT64_C(0x20000)
#define VMK_X86_HIGH_START UINT64_C(0x100000)

#define VMK_X86_LOW_RAM_LIMIT (UINT64_C(3) << 30)
#define VMK_X86_HIGH_RAM (UINT64_C(4) << 30)

/* Registers of virtio devices over MMIO, a page each, and their lines, one after another. */
#define VMK_X86_VIRTIO UINT64_C(0xd0000000)
#define VMK_X86_VIRTIO_STRIDE UINT64_C(0x1000)
#define VMK_X86_VIRTIO_GSI 5
#define VMK_X86_VIRTIO_LIMIT 18
/* Somebody may press it before the kernel has set up its controllers. A line that the 8259 have too
 * would then come as one of the processor's exceptions: nobody has given them their vectors. */
#define VMK_X86_POWER_BUTTON_GSI 23
#define VMK_X86_SERIAL_GSI 4
#define VMK_X86_SERIAL_PORT 0x3f8
#define VMK_X86_GSI_COUNT 24

#define VMK_X86_IOAPIC UINT64_C(0xfec00000)
#define VMK_X86_LOCAL_APIC UINT64_C(0xfee00000)
/* Four pages that KVM takes for itself where the processor has no real mode for guests: page tables
 * where it puts them by default, and the TSS where machine.c does. */
#define VMK_X86_KVM_PAGES UINT64_C(0xfffbc000)
#define VMK_X86_KVM_PAGES_SIZE UINT64_C(0x4000)

/* Local APIC identifiers of eight bits, the last of which means all. */
#define VMK_X86_VCPU_LIMIT 254

/* How memory of `size` bytes is divided by the hole below 4 GiB. */
static inline uint64_t
vmk_x86_low_ram(uint64_t size)
{
    return size < VMK_X86_LOW_RAM_LIMIT ? size : VMK_X86_LOW_RAM_LIMIT;
}

static inline uint64_t
vmk_x86_high_ram(uint64_t size)
{
    return size - vmk_x86_low_ram(size);
}

#endif
