/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

#include <check.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void
on_failure(void *data, const char *reason)
{
    struct guest *guest = data;
    snprintf(guest->reason, sizeof guest->reason, "%s", reason);
    atomic_fetch_add(&guest->failures, 1);
}

void
guest_init(struct guest *guest)
{
    memset(guest, 0, sizeof *guest);
    test_board_init(&guest->board);
    ck_assert_int_eq(vmk_loop_new(&guest->loop, NULL), 0);
    ck_assert_int_eq(vmk_loop_start(guest->loop, "vmkit-loop", NULL), 0);
    guest->free_gpa = RAM_GPA;
}

void
guest_attach(struct guest *guest, struct vmk_virtio_device *device)
{
    struct vmk_virtio_mmio_options options = {GUEST_ADDRESS, GUEST_GSI, on_failure, guest};
    ck_assert_int_eq(
        vmk_virtio_mmio_new(&guest->board.board, guest->loop, device, &options, &guest->mmio, NULL),
        0);
}

void
guest_clear(struct guest *guest)
{
    vmk_loop_stop(guest->loop);
    vmk_loop_join(guest->loop);
    vmk_virtio_mmio_free(guest->mmio);
    vmk_loop_free(guest->loop);
    for (uint32_t i = 0; i < GUEST_QUEUES; i++)
        driver_clear(&guest->drivers[i]);
    ck_assert_uint_eq(guest->board.doorbell_count, 0);
    for (int i = 0; i < LINES; i++)
        ck_assert_int_eq(guest->board.irqfds[i], -1);
    test_board_clear(&guest->board);
}

uint32_t
guest_read(struct guest *guest, uint32_t offset)
{
    return (uint32_t)test_board_read(&guest->board, GUEST_ADDRESS + offset, 4);
}

void
guest_write(struct guest *guest, uint32_t offset, uint32_t value)
{
    test_board_write(&guest->board, GUEST_ADDRESS + offset, 4, value);
}

void
guest_set_up_queue(struct guest *guest, uint32_t queue, uint32_t size, bool event_index)
{
    struct driver *driver = &guest->drivers[queue];
    driver_clear(driver);
    driver_init(driver, &guest->board, guest->free_gpa, size, event_index);
    guest->free_gpa += (driver_get_room(size) + 0xfff) & ~UINT64_C(0xfff);
    guest_write(guest, VIRTIO_MMIO_QUEUE_SEL, queue);
    guest_write(guest, VIRTIO_MMIO_QUEUE_NUM, size);
    guest_write(guest, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)driver->descriptors);
    guest_write(guest, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(driver->descriptors >> 32));
    guest_write(guest, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)driver->available);
    guest_write(guest, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(driver->available >> 32));
    guest_write(guest, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)driver->used);
    guest_write(guest, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(driver->used >> 32));
    guest_write(guest, VIRTIO_MMIO_QUEUE_READY, 1);
}

uint64_t
guest_bring_up(struct guest *guest, uint64_t wanted, uint32_t count, uint32_t size)
{
    uint64_t offered = 0;
    uint32_t status = 0;
    guest_write(guest, VIRTIO_MMIO_STATUS, 0);
    ck_assert_uint_eq(guest_read(guest, VIRTIO_MMIO_STATUS), 0);
    guest->free_gpa = RAM_GPA;
    guest_write(guest, VIRTIO_MMIO_STATUS, status |= VIRTIO_CONFIG_S_ACKNOWLEDGE);
    guest_write(guest, VIRTIO_MMIO_STATUS, status |= VIRTIO_CONFIG_S_DRIVER);
    for (uint32_t page = 0; page < 2; page++) {
        guest_write(guest, VIRTIO_MMIO_DEVICE_FEATURES_SEL, page);
        offered |= (uint64_t)guest_read(guest, VIRTIO_MMIO_DEVICE_FEATURES) << 32 * page;
    }
    wanted = (wanted | VMK_VIRTIO_F(VIRTIO_F_VERSION_1)) & offered;
    for (uint32_t page = 0; page < 2; page++) {
        guest_write(guest, VIRTIO_MMIO_DRIVER_FEATURES_SEL, page);
        guest_write(guest, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(wanted >> 32 * page));
    }
    guest_write(guest, VIRTIO_MMIO_STATUS, status |= VIRTIO_CONFIG_S_FEATURES_OK);
    ck_assert_uint_eq(guest_read(guest, VIRTIO_MMIO_STATUS), status);
    for (uint32_t i = 0; i < count; i++)
        guest_set_up_queue(guest, i, size, (wanted & VMK_VIRTIO_F(VIRTIO_RING_F_EVENT_IDX)) != 0);
    guest_write(guest, VIRTIO_MMIO_STATUS, status |= VIRTIO_CONFIG_S_DRIVER_OK);
    ck_assert_uint_eq(guest_read(guest, VIRTIO_MMIO_STATUS), status);
    return wanted;
}

int
guest_give(struct guest *guest, uint32_t queue, uint64_t gpa, uint32_t size, bool writable)
{
    struct driver_request request = {.count = 1};
    request.segments[0] = (struct driver_segment){gpa, size, writable};
    int head = driver_add(&guest->drivers[queue], &request);
    if (driver_must_kick(&guest->drivers[queue]))
        guest_write(guest, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
    return head;
}

int
guest_await(struct guest *guest, uint32_t queue, uint32_t *ret_written)
{
    for (int i = 0; i < 300000; i++) {
        int head = driver_take(&guest->drivers[queue], ret_written);
        if (head >= 0)
            return head;
        usleep(100);
    }
    ck_abort_msg("queue %u gave nothing back", queue);
    return -1;
}

static void
post(void *data, uint32_t events)
{
    sem_post(data);
}

void
guest_settle(struct guest *guest)
{
    sem_t passed;
    struct vmk_source *source;
    struct vmk_loop_handler handler = {.callback = post, .data = &passed};
    sem_init(&passed, 0, 0);
    ck_assert_int_eq(vmk_loop_add_signal(guest->loop, &handler, &source, NULL), 0);
    /* What was due before is in the batch of the first round, or in the one before. */
    for (int i = 0; i < 2; i++) {
        vmk_source_signal(source);
        while (sem_wait(&passed) < 0)
            ;
    }
    vmk_source_remove(source);
}
