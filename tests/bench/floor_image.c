/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that stands still as a file and registers, and guests that go on from there. */
#include "bench.h"
#include "floor_guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static void
write_memory(struct floor_image *image, const struct floor_guest *guest)
{
    image->size = guest->size;
    image->fd = BENCH_CHECK(memfd_create("floor", MFD_CLOEXEC));
    BENCH_CHECK(ftruncate(image->fd, (off_t)image->size));
    for (size_t done = 0; done < image->size;) {
        ssize_t n = write(image->fd, guest->memory + done, image->size - done);
        if (n <= 0)
            bench_die("writing an image: %s", strerror(errno));
        done += (size_t)n;
    }
    image->memory = mmap(NULL, image->size, PROT_READ, MAP_PRIVATE, image->fd, 0);
    if (image->memory == MAP_FAILED)
        bench_die("mapping an image");
}

void
floor_image_take(struct floor_image *image, const struct floor_guest *guest)
{
    int size = ioctl(floor_system_get()->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
    struct kvm_sregs sregs;
    *image = (struct floor_image){.syscall_at_user = guest->syscall_at_user};
    write_memory(image, guest);
    image->xsave = calloc(1, size > 4096 ? (size_t)size : 4096);
    image->log = calloc(1, image->size / PAGE / 8 + 8);
    if (image->xsave == NULL || image->log == NULL)
        bench_die("no memory for an image");
    BENCH_CHECK(ioctl(guest->vcpu, size > 4096 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, image->xsave));
    BENCH_CHECK(ioctl(guest->vcpu, KVM_GET_SREGS, &sregs));
    image->sregs = sregs;
    floor_guest_fill_sregs(&image->sregs);
    image->sregs.fs.base = sregs.fs.base;
    image->regs = guest->run->s.regs.regs;
    image->regs.rip = image->regs.rcx;
    image->regs.rflags = image->regs.r11;
}

void
floor_image_free(struct floor_image *image)
{
    munmap(image->memory, image->size);
    close(image->fd);
    free(image->xsave);
    free(image->log);
}

void
floor_guest_fork(struct floor_guest *guest, struct floor_image *image)
{
    *guest = (struct floor_guest){.size = image->size,
                                  .file = -1,
                                  .level_known = true,
                                  .syscall_at_user = image->syscall_at_user};
    floor_guest_make_vm(guest, image->fd, KVM_MEM_LOG_DIRTY_PAGES);
    guest->run->s.regs.regs = image->regs;
    floor_guest_set_up_vcpu(guest, &image->sregs);
    BENCH_CHECK(ioctl(guest->vcpu, KVM_SET_XSAVE, image->xsave));
}

void
floor_guest_rewind(struct floor_guest *guest, struct floor_image *image)
{
    struct kvm_dirty_log log = {.dirty_bitmap = image->log};
    BENCH_CHECK(ioctl(guest->vm, KVM_GET_DIRTY_LOG, &log));
    BENCH_CHECK(ioctl(guest->vcpu, KVM_SET_XSAVE, image->xsave));
    guest->run->s.regs.regs = image->regs;
    guest->run->s.regs.sregs = image->sregs;
    guest->run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
}
