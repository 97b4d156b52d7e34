/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers, doorbells, interrupts and threads of a raw VM, through the public API. */
#include "guest.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* What a callback saw, and what it shall do. */
struct device {
    struct vmkit_access last;
    int calls;
    atomic_int released;
    int result;
    uint64_t answer;
    void (*act)(struct device *device, vmkit_vcpu *vcpu);
    vmkit_vm *vm;
    vmkit_error *error;
    int act_result;
    atomic_bool inside;
    atomic_bool leave;
};

static int
serve(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    struct device *device = user_data;
    device->calls++;
    if (!access->is_write)
        access->value = device->answer;
    device->last = *access;
    if (device->act != NULL)
        device->act(device, vcpu);
    return device->result;
}

static void
released(void *user_data)
{
    struct device *device = user_data;
    atomic_fetch_add(&device->released, 1);
}

static void
add_device(struct guest *guest, uint32_t space, uint64_t address, uint64_t size,
           struct device *device)
{
    device->vm = guest->vm;
    ASSERT_OK(
        vmkit_vm_add_handler(guest->vm, space, address, size, serve, released, device, &error));
}

/* mov $0x5a,%al; out %al,$0x13; in $0x14,%al; hlt */
static const uint8_t out_and_in[] = {0xb0, 0x5a, 0xe6, 0x13, 0xe4, 0x14, 0xf4};

START_TEST(a_handler_serves_ports_inside_of_the_run)
{
    struct guest guest;
    struct device device = {.answer = 0xffffff77};
    guest_new_real(&guest, out_and_in, sizeof out_and_in);
    add_device(&guest, VMKIT_SPACE_PIO, 0x10, 4, &device);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, 0x14);
    ck_assert_int_eq(device.calls, 1);
    ck_assert_uint_eq(device.last.size, sizeof(struct vmkit_access));
    ck_assert_uint_eq(device.last.space, VMKIT_SPACE_PIO);
    ck_assert_uint_eq(device.last.address, 0x13);
    ck_assert_uint_eq(device.last.offset, 3);
    ck_assert_uint_eq(device.last.length, 1);
    ck_assert_uint_eq(device.last.is_write, 1);
    ck_assert_uint_eq(device.last.value, 0x5a);

    struct device other = {.answer = 0xffffff77};
    add_device(&guest, VMKIT_SPACE_PIO, 0x14, 1, &other);
    ASSERT_OK(vmkit_vcpu_set_x86_real_mode(guest.vcpu, GUEST_CODE, GUEST_STACK, &error));
    ck_assert_uint_eq(guest_halt(&guest).rax & 0xff, 0x77);
    ck_assert_int_eq(other.calls, 1);
    ck_assert_uint_eq(other.last.is_write, 0);
    guest_free(&guest);
    ck_assert_int_eq(atomic_load(&device.released), 1);
    ck_assert_int_eq(atomic_load(&other.released), 1);
}
END_TEST

START_TEST(a_handler_serves_a_string_element_by_element)
{
    static const uint8_t code[] = {0xbe, 0x00, 0x20, 0xb9, 0x40, 0x00, 0xba,
                                   0x30, 0x00, 0xfc, 0xf3, 0x6e, 0xf4};
    struct guest guest;
    struct device device = {0};
    guest_new_real(&guest, code, sizeof code);
    add_device(&guest, VMKIT_SPACE_PIO, 0x30, 1, &device);
    guest_halt(&guest);
    ck_assert_int_eq(device.calls, 0x40);
    guest_free(&guest);
}
END_TEST

/* mov $0x4000,%ax; mov %ax,%ds; mov (0x123),%bl; hlt, where 0x40000 holds no memory */
static const uint8_t read_mmio[] = {0xb8, 0x00, 0x40, 0x8e, 0xd8, 0x8a, 0x1e, 0x23, 0x01, 0xf4};

START_TEST(a_handler_serves_memory_without_memory)
{
    struct guest guest;
    struct device device = {.answer = 0x99};
    vmkit_memory *low = NULL;
    guest_new_real(&guest, read_mmio, sizeof read_mmio);
    ASSERT_OK(vmkit_vm_remove_memory(guest.vm, 0, &error));
    ASSERT_OK(vmkit_memory_new_anonymous(0x10000, 0, &low, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, 0, low, 0, 0x10000, 0, &error));
    vmkit_memory_unref(low);
    ASSERT_OK(vmkit_vm_write(guest.vm, GUEST_CODE, read_mmio, sizeof read_mmio, &error));
    add_device(&guest, VMKIT_SPACE_MMIO, 0x40000, 0x1000, &device);
    ck_assert_uint_eq(guest_halt(&guest).rbx & 0xff, 0x99);
    ck_assert_uint_eq(device.last.address, 0x40123);
    ck_assert_uint_eq(device.last.offset, 0x123);
    ck_assert_uint_eq(device.last.space, VMKIT_SPACE_MMIO);
    guest_free(&guest);
}
END_TEST

START_TEST(a_handler_can_stop_the_run_and_the_access_is_done)
{
    struct guest guest;
    struct device device = {.answer = 0x42, .result = VMKIT_HANDLED_STOP};
    guest_new_real(&guest, out_and_in, sizeof out_and_in);
    add_device(&guest, VMKIT_SPACE_PIO, 0, 0x100, &device);
    guest_run(&guest, VMKIT_EXIT_STOPPED);
    guest_run(&guest, VMKIT_EXIT_STOPPED);
    ck_assert_uint_eq(guest_halt(&guest).rax & 0xff, 0x42);
    ck_assert_int_eq(device.calls, 2);
    guest_free(&guest);
}
END_TEST

START_TEST(a_handlers_error_ends_the_run_with_it)
{
    struct guest guest;
    struct device device = {.result = -ENOSPC};
    guest_new_real(&guest, out_and_in, sizeof out_and_in);
    add_device(&guest, VMKIT_SPACE_PIO, 0x13, 1, &device);
    ASSERT_FAILS(vmkit_vcpu_run(guest.vcpu, &guest.exit, &error), ENOSPC, VMKIT_ERROR_CANCELLED,
                 "the handler of port 0x13 returned the error 28");
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, 0x14);
    guest_free(&guest);
}
END_TEST

START_TEST(what_a_handler_may_not_return_is_an_error)
{
    struct guest guest;
    struct device device = {.result = _i == 0 ? INT_MIN : 2};
    guest_new_real(&guest, out_and_in, sizeof out_and_in);
    add_device(&guest, VMKIT_SPACE_PIO, 0x13, 1, &device);
    ASSERT_FAILS(vmkit_vcpu_run(guest.vcpu, &guest.exit, &error), EIO, VMKIT_ERROR_CANCELLED,
                 _i == 0 ? "port 0x13 returned -2147483648" : "port 0x13 returned 2");
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, 0x14);
    guest_free(&guest);
}
END_TEST

static void
jump_to_1200(struct device *device, vmkit_vcpu *vcpu)
{
    struct vmkit_x86_regs regs = {.size = sizeof regs};
    device->act_result = vmkit_vcpu_get_x86_regs(vcpu, &regs, NULL);
    regs.rip = 0x1200;
    if (device->act_result == 0)
        device->act_result = vmkit_vcpu_set_x86_regs(vcpu, &regs, &device->error);
}

START_TEST(a_callback_of_a_write_sets_registers)
{
    struct guest guest;
    struct device device = {.act = jump_to_1200};
    guest_new_real(&guest, out_and_in, sizeof out_and_in);
    ASSERT_OK(vmkit_vm_write(guest.vm, 0x1200, "\xf4", 1, &error));
    add_device(&guest, VMKIT_SPACE_PIO, 0x13, 1, &device);
    ck_assert_uint_eq(guest_halt(&guest).rip, 0x1201);
    ck_assert_int_eq(device.act_result, 0);
    guest_free(&guest);
}
END_TEST

START_TEST(a_callback_of_a_read_does_not_set_registers)
{
    struct guest guest;
    struct device device = {.act = jump_to_1200, .answer = 3};
    guest_new_real(&guest, out_and_in, sizeof out_and_in);
    add_device(&guest, VMKIT_SPACE_PIO, 0x14, 1, &device);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest_halt(&guest).rax & 0xff, 3);
    ck_assert_int_eq(device.act_result, -EBUSY);
    ck_assert_str_eq(vmkit_error_get_message(device.error),
                     "vCPU 0 waits for the value of a read: return it first");
    vmkit_error_unref(device.error);
    guest_free(&guest);
}
END_TEST

static void
run_again(struct device *device, vmkit_vcpu *vcpu)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    device->act_result = vmkit_vcpu_run(vcpu, &exit, &device->error);
}

START_TEST(a_callback_does_not_run_its_own_vcpu)
{
    struct guest guest;
    struct device device = {.act = run_again};
    guest_new_real(&guest, out_and_in, sizeof out_and_in);
    add_device(&guest, VMKIT_SPACE_PIO, 0x13, 1, &device);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_int_eq(device.act_result, -EBUSY);
    ck_assert_str_eq(vmkit_error_get_message(device.error),
                     "vCPU 0 is running on this thread: it cannot run inside of a callback of its "
                     "own run");
    vmkit_error_unref(device.error);
    guest_free(&guest);
}
END_TEST

static void
kick_itself(struct device *device, vmkit_vcpu *vcpu)
{
    vmkit_vcpu_kick(vcpu);
}

START_TEST(a_kick_inside_of_a_callback_ends_the_run_behind_the_access)
{
    struct guest guest;
    struct device device = {.act = kick_itself};
    guest_new_real(&guest, out_and_in, sizeof out_and_in);
    add_device(&guest, VMKIT_SPACE_PIO, 0x13, 1, &device);
    guest_run(&guest, VMKIT_EXIT_KICKED);
    ck_assert_uint_eq(guest_get_regs(&guest).rip, GUEST_CODE + 4);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, 0x14);
    guest_free(&guest);
}
END_TEST

static void
remove_itself(struct device *device, vmkit_vcpu *vcpu)
{
    device->act_result = vmkit_vm_remove_handler(device->vm, VMKIT_SPACE_PIO, 0x10, &device->error);
    /* Not while it is inside. */
    ck_assert_int_eq(atomic_load(&device->released), 0);
}

START_TEST(a_handler_removes_itself_from_inside)
{
    struct guest guest;
    struct device device = {.act = remove_itself};
    guest_new_real(&guest, out_and_in, sizeof out_and_in);
    add_device(&guest, VMKIT_SPACE_PIO, 0x10, 8, &device);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, 0x14);
    ck_assert_int_eq(device.act_result, 0);
    ck_assert_int_eq(device.calls, 1);
    ck_assert_int_eq(atomic_load(&device.released), 1);
    ASSERT_FAILS(vmkit_vm_remove_handler(guest.vm, VMKIT_SPACE_PIO, 0x10, &error), ENOENT,
                 VMKIT_ERROR_NOT_FOUND, "no handler of ports begins at 0x10");
    guest_free(&guest);
}
END_TEST

static void
wait_inside(struct device *device, vmkit_vcpu *vcpu)
{
    atomic_store(&device->inside, true);
    while (!atomic_load(&device->leave))
        ;
}

static void *
run_to_halt(void *data)
{
    struct guest *guest = data;
    guest_run(guest, VMKIT_EXIT_HALT);
    return NULL;
}

START_TEST(a_handler_that_another_vcpu_is_in_is_released_when_it_is_out)
{
    static const uint8_t code[] = {0xe6, 0x13, 0xf4}; /* out %al,$0x13; hlt */
    struct guest guest;
    struct device device = {.act = wait_inside};
    pthread_t thread;
    guest_new_real(&guest, code, sizeof code);
    add_device(&guest, VMKIT_SPACE_PIO, 0x13, 1, &device);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_to_halt, &guest), 0);
    while (!atomic_load(&device.inside))
        ;
    struct vmkit_x86_regs regs = {.size = sizeof regs};
    ASSERT_FAILS(vmkit_vcpu_get_x86_regs(guest.vcpu, &regs, &error), EBUSY, VMKIT_ERROR_BUSY,
                 "vCPU 0 is running on another thread: kick it first");
    ASSERT_OK(vmkit_vm_remove_handler(guest.vm, VMKIT_SPACE_PIO, 0x13, &error));
    ck_assert_int_eq(atomic_load(&device.released), 0);
    atomic_store(&device.leave, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(atomic_load(&device.released), 1);
    guest_free(&guest);
}
END_TEST

static void *
run_until_kicked(void *data)
{
    struct guest *guest = data;
    guest_run(guest, VMKIT_EXIT_KICKED);
    return NULL;
}

START_TEST(a_removed_handler_is_released_under_a_guest_that_spins)
{
    static const uint8_t code[] = {0xe6, 0x13, 0xeb, 0xfe}; /* out %al,$0x13; jmp . */
    struct guest guest;
    struct device device = {0};
    pthread_t thread;
    struct timespec delay = {.tv_nsec = 10000000};
    guest_new_real(&guest, code, sizeof code);
    add_device(&guest, VMKIT_SPACE_PIO, 0x13, 1, &device);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_until_kicked, &guest), 0);
    nanosleep(&delay, NULL);
    ASSERT_OK(vmkit_vm_remove_handler(guest.vm, VMKIT_SPACE_PIO, 0x13, &error));
    for (int i = 0; i < 500 && atomic_load(&device.released) == 0; i++)
        nanosleep(&delay, NULL);
    ck_assert_int_eq(atomic_load(&device.released), 1);
    vmkit_vcpu_kick(guest.vcpu);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    guest_free(&guest);
}
END_TEST

#define WORKERS 3
#define WORKER_OUTS 200

struct worker {
    struct guest *guest;
    vmkit_vcpu *vcpu;
    uint32_t reason;
};

static int
count_atomically(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    atomic_int *counts = user_data;
    atomic_fetch_add(&counts[vmkit_vcpu_get_id(vcpu)], 1);
    return VMKIT_HANDLED;
}

static void *
work(void *data)
{
    struct worker *worker = data;
    struct vmkit_exit exit = {.size = sizeof exit};
    ASSERT_OK(vmkit_vcpu_run(worker->vcpu, &exit, &error));
    worker->reason = exit.reason;
    return NULL;
}

START_TEST(several_vcpus_run_each_on_its_thread)
{
    /* mov $200,%cx; 1: out %al,$0x13; dec %cx; jnz 1b; hlt */
    static const uint8_t code[] = {0xb9, WORKER_OUTS, 0x00, 0xe6, 0x13, 0x49, 0x75, 0xfb, 0xf4};
    struct guest guest;
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    atomic_int counts[WORKERS] = {0};
    guest_new(&guest, VMKIT_INTERRUPT_CONTROLLER_NONE, code, sizeof code);
    ASSERT_OK(vmkit_vm_add_handler(guest.vm, VMKIT_SPACE_PIO, 0x13, 1, count_atomically, NULL,
                                   counts, &error));
    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.guest = &guest};
        ASSERT_OK(vmkit_vcpu_new(guest.vm, i, &workers[i].vcpu, &error));
        ASSERT_OK(vmkit_vcpu_set_x86_real_mode(workers[i].vcpu, GUEST_CODE, GUEST_STACK, &error));
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    /* The tables change under them. */
    for (int i = 0; i < 20; i++) {
        struct device device = {0};
        add_device(&guest, VMKIT_SPACE_PIO, 0x100, 1, &device);
        ASSERT_OK(vmkit_vm_remove_handler(guest.vm, VMKIT_SPACE_PIO, 0x100, &error));
        while (atomic_load(&device.released) == 0)
            ;
    }
    for (int i = 0; i < WORKERS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_uint_eq(workers[i].reason, VMKIT_EXIT_HALT);
        ck_assert_int_eq(atomic_load(&counts[i]), WORKER_OUTS);
        vmkit_vcpu_unref(workers[i].vcpu);
    }
    guest_free(&guest);
}
END_TEST

START_TEST(an_ioeventfd_is_signalled_without_an_exit)
{
    /* out %al,$0x13 twice; mov $7,%ax; out %ax,$0x20; hlt */
    static const uint8_t code[] = {0xe6, 0x13, 0xe6, 0x13, 0xb8, 0x07, 0x00, 0xe7, 0x20, 0xf4};
    struct guest guest;
    uint64_t count;
    int bell = eventfd(0, EFD_NONBLOCK);
    int match = eventfd(0, EFD_NONBLOCK);
    guest_new_real(&guest, code, sizeof code);
    ASSERT_OK(vmkit_vm_add_ioeventfd(guest.vm, VMKIT_SPACE_PIO, 0x13, 1, 0, 0, bell, &error));
    ASSERT_OK(vmkit_vm_add_ioeventfd(guest.vm, VMKIT_SPACE_PIO, 0x20, 2, VMKIT_IOEVENTFD_MATCH, 7,
                                     match, &error));
    ASSERT_FAILS(vmkit_vm_add_ioeventfd(guest.vm, VMKIT_SPACE_PIO, 0x10000, 1, 0, 0, match, &error),
                 EINVAL, VMKIT_ERROR_OUT_OF_RANGE, "beyond the last port");
    ASSERT_FAILS(vmkit_vm_add_ioeventfd(guest.vm, VMKIT_SPACE_PIO, 0xffff, 2, 0, 0, match, &error),
                 EINVAL, VMKIT_ERROR_OUT_OF_RANGE, "port 0xffff");
    ASSERT_OK(vmkit_vm_add_ioeventfd(guest.vm, VMKIT_SPACE_PIO, 0xffff, 1, 0, 0, match, &error));
    ASSERT_OK(vmkit_vm_remove_ioeventfd(guest.vm, VMKIT_SPACE_PIO, 0xffff, 1, 0, 0, match, &error));
    ASSERT_FAILS(vmkit_vm_add_ioeventfd(guest.vm, VMKIT_SPACE_PIO, 0x13, 1, 0, 0, match, &error),
                 EEXIST, VMKIT_ERROR_EXISTS, "at port 0x13, 1 bytes: ");
    guest_halt(&guest);
    ck_assert_int_eq(read(bell, &count, sizeof count), sizeof count);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(read(match, &count, sizeof count), sizeof count);
    ck_assert_uint_eq(count, 1);

    ASSERT_OK(vmkit_vm_remove_ioeventfd(guest.vm, VMKIT_SPACE_PIO, 0x13, 1, 0, 0, bell, &error));
    ASSERT_FAILS(vmkit_vm_remove_ioeventfd(guest.vm, VMKIT_SPACE_PIO, 0x13, 1, 0, 0, bell, &error),
                 ENOENT, VMKIT_ERROR_NOT_FOUND, "at port 0x13, 1 bytes: ");
    ASSERT_OK(vmkit_vcpu_set_x86_real_mode(guest.vcpu, GUEST_CODE, GUEST_STACK, &error));
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, 0x13);
    guest_free(&guest);
    close(bell);
    close(match);
}
END_TEST

/* Real mode, with vector 0x20 (at 0x80) and the NMI's (at 8) leading to
 * `mov %cx,%dx; inc %bx; iret`. */
static void
write_vectors(struct guest *guest)
{
    static const uint16_t entry[2] = {0x1300, 0};
    static const uint8_t handler[] = {0x89, 0xca, 0x43, 0xcf};
    ASSERT_OK(vmkit_vm_write(guest->vm, 0x20 * 4, entry, sizeof entry, &error));
    ASSERT_OK(vmkit_vm_write(guest->vm, 2 * 4, entry, sizeof entry, &error));
    ASSERT_OK(vmkit_vm_write(guest->vm, 0x1300, handler, sizeof handler, &error));
}

START_TEST(an_interrupt_waits_until_the_guest_takes_it)
{
    /* cli; out %al,$0x13; inc %cx; sti; 1: test %bx,%bx; jz 1b; out %al,$0x14; cli; hlt */
    static const uint8_t code[] = {0xfa, 0xe6, 0x13, 0x41, 0xfb, 0x85, 0xdb,
                                   0x74, 0xfc, 0xe6, 0x14, 0xfa, 0xf4};
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    write_vectors(&guest);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ASSERT_OK(vmkit_vcpu_interrupt(guest.vcpu, 0x20, &error));
    ck_assert_uint_eq(guest_get_regs(&guest).rbx, 0);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, 0x14);
    ck_assert_uint_eq(guest_get_regs(&guest).rbx, 1);
    /* Not before the guest had counted to one. */
    ck_assert_uint_eq(guest_get_regs(&guest).rdx, 1);
    ck_assert_uint_eq(guest_halt(&guest).rbx, 1);
    ASSERT_FAILS(vmkit_vcpu_interrupt(guest.vcpu, 256, &error), ERANGE,
                 VMKIT_ERROR_INVALID_ARGUMENT, "vector 256");
    guest_free(&guest);
}
END_TEST

START_TEST(a_halted_guest_wakes_for_an_interrupt_that_waits)
{
    /* sti; hlt; cli; hlt */
    static const uint8_t code[] = {0xfb, 0xf4, 0xfa, 0xf4};
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    write_vectors(&guest);
    ck_assert_uint_eq(guest_halt(&guest).rbx, 0);
    ASSERT_OK(vmkit_vcpu_interrupt(guest.vcpu, 0x20, &error));
    struct vmkit_x86_regs regs = guest_halt(&guest);
    ck_assert_uint_eq(regs.rbx, 1);
    ck_assert_uint_eq(regs.rip, GUEST_CODE + 4);
    guest_free(&guest);
}
END_TEST

START_TEST(a_non_maskable_interrupt_comes_with_interrupts_off)
{
    static const uint8_t code[] = {0xfa, 0xe6, 0x13, 0x90, 0xf4}; /* cli; out; nop; hlt */
    struct guest guest;
    guest_new_real(&guest, code, sizeof code);
    write_vectors(&guest);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ASSERT_OK(vmkit_vcpu_nmi(guest.vcpu, &error));
    ck_assert_uint_eq(guest_halt(&guest).rbx, 1);
    guest_free(&guest);
}
END_TEST

static void *
interrupt_after_20_ms(void *data)
{
    struct timespec delay = {.tv_nsec = 20000000};
    nanosleep(&delay, NULL);
    ck_assert_int_eq(vmkit_vcpu_interrupt(data, 0x20, NULL), 0);
    return NULL;
}

START_TEST(an_interrupt_from_another_thread_reaches_a_guest_that_spins)
{
    /* sti; 1: test %bx,%bx; jz 1b; cli; hlt */
    static const uint8_t code[] = {0xfb, 0x85, 0xdb, 0x74, 0xfc, 0xfa, 0xf4};
    struct guest guest;
    pthread_t thread;
    guest_new_real(&guest, code, sizeof code);
    write_vectors(&guest);
    ck_assert_int_eq(pthread_create(&thread, NULL, interrupt_after_20_ms, guest.vcpu), 0);
    ck_assert_uint_eq(guest_halt(&guest).rbx, 1);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    guest_free(&guest);
}
END_TEST

START_TEST(an_irqfd_interrupts_through_the_controller_in_the_kernel)
{
    /* The first 8259 at vector 0x20, all lines open, then wait in real mode:
     * mov $0x11,%al; out %al,$0x20; mov $0x20,%al; out %al,$0x21; mov $4,%al; out %al,$0x21;
     * mov $1,%al; out %al,$0x21; mov $0,%al; out %al,$0x21; sti; out %al,$0x80;
     * 1: test %bx,%bx; jz 1b; out %al,$0x81 */
    static const uint8_t code[] = {0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21, 0xb0, 0x04,
                                   0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21, 0xb0, 0x00, 0xe6, 0x21,
                                   0xfb, 0xe6, 0x80, 0x85, 0xdb, 0x74, 0xfc, 0xe6, 0x81};
    struct guest guest;
    uint64_t one = 1;
    int fd = eventfd(0, 0);
    guest_new(&guest, VMKIT_INTERRUPT_CONTROLLER_KERNEL, code, sizeof code);
    ASSERT_OK(vmkit_vcpu_new(guest.vm, 0, &guest.vcpu, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_real_mode(guest.vcpu, GUEST_CODE, GUEST_STACK, &error));
    write_vectors(&guest);
    ASSERT_OK(vmkit_vm_add_irqfd(guest.vm, fd, 0, -1, &error));
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, 0x80);
    ck_assert_uint_eq(guest_get_regs(&guest).rbx, 0);
    ck_assert_int_eq(write(fd, &one, sizeof one), sizeof one);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.address, 0x81);
    ck_assert_uint_eq(guest_get_regs(&guest).rbx, 1);
    ASSERT_OK(vmkit_vm_remove_irqfd(guest.vm, fd, 0, &error));
    ASSERT_FAILS(vmkit_vcpu_interrupt(guest.vcpu, 0x20, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                 "interrupt controller in the kernel");
    guest_free(&guest);
    close(fd);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vcpu_handlers");
    TCase *tcase = tcase_create("vcpu_handlers");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_handler_serves_ports_inside_of_the_run);
    tcase_add_test(tcase, a_handler_serves_a_string_element_by_element);
    tcase_add_test(tcase, a_handler_serves_memory_without_memory);
    tcase_add_test(tcase, a_handler_can_stop_the_run_and_the_access_is_done);
    tcase_add_test(tcase, a_handlers_error_ends_the_run_with_it);
    tcase_add_loop_test(tcase, what_a_handler_may_not_return_is_an_error, 0, 2);
    tcase_add_test(tcase, a_callback_of_a_write_sets_registers);
    tcase_add_test(tcase, a_callback_of_a_read_does_not_set_registers);
    tcase_add_test(tcase, a_callback_does_not_run_its_own_vcpu);
    tcase_add_test(tcase, a_kick_inside_of_a_callback_ends_the_run_behind_the_access);
    tcase_add_test(tcase, a_handler_removes_itself_from_inside);
    tcase_add_test(tcase, a_handler_that_another_vcpu_is_in_is_released_when_it_is_out);
    tcase_add_test(tcase, a_removed_handler_is_released_under_a_guest_that_spins);
    tcase_add_test(tcase, several_vcpus_run_each_on_its_thread);
    tcase_add_test(tcase, an_ioeventfd_is_signalled_without_an_exit);
    tcase_add_test(tcase, an_interrupt_waits_until_the_guest_takes_it);
    tcase_add_test(tcase, a_halted_guest_wakes_for_an_interrupt_that_waits);
    tcase_add_test(tcase, a_non_maskable_interrupt_comes_with_interrupts_off);
    tcase_add_test(tcase, an_interrupt_from_another_thread_reaches_a_guest_that_spins);
    tcase_add_test(tcase, an_irqfd_interrupts_through_the_controller_in_the_kernel);
    suite_add_tcase(suite, tcase);
    return suite;
}
