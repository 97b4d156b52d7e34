/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/mmio.h"

#include "util/checked.h"
#include "util/descriptor.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAGIC 0x74726976 /* "virt" */
#define VERSION 2
#define VENDOR 0x544b4d56 /* "VMKT" */

#define STATUS_KNOWN                                                                      \
    (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | \
     VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED)

struct doorbell {
    struct vmk_virtio_mmio *mmio;
    struct vmk_source *source;
    uint32_t queue;
    bool assigned;
};

struct vmk_virtio_mmio {
    const struct vmk_board *board;
    struct vmk_virtio_device *device;
    struct vmk_virtio_mmio_options options;
    int irqfd; /* -1: the line is pulsed */
    bool has_handler;

    /* Under the device's lock. */
    uint64_t features; /* offered */
    uint64_t driver_features;
    uint32_t feature_page;
    uint32_t driver_page;
    uint32_t status;
    uint32_t interrupts;
    uint32_t generation;
    uint32_t selected;
    struct vmk_queue_place places[VMK_VIRTIO_MAX_QUEUES];
    struct vmk_queue queues[VMK_VIRTIO_MAX_QUEUES];
    struct doorbell doorbells[VMK_VIRTIO_MAX_QUEUES];
};

static void
interrupt(struct vmk_virtio_mmio *mmio, uint32_t reason)
{
    static const uint64_t one = 1;
    mmio->interrupts |= reason;
    if (mmio->irqfd >= 0) {
        /* It fails only where the counter is full, and then the line is pulsed. */
        while (write(mmio->irqfd, &one, sizeof one) < 0 && errno == EINTR)
            ;
        return;
    }
    mmio->board->ops->set_line(mmio->board->data, mmio->options.gsi, true);
    mmio->board->ops->set_line(mmio->board->data, mmio->options.gsi, false);
}

/* §2.1.2: a driver that is not ready hears nothing. */
static void
fail(void *host, const char *reason)
{
    struct vmk_virtio_mmio *mmio = host;
    if ((mmio->status & VIRTIO_CONFIG_S_NEEDS_RESET) != 0)
        return;
    mmio->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    mmio->device->active = false;
    if ((mmio->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0)
        interrupt(mmio, VIRTIO_MMIO_INT_CONFIG);
    if (mmio->options.failed != NULL)
        mmio->options.failed(mmio->options.failed_data, reason);
}

static void
notify(void *host, uint32_t queue)
{
    struct vmk_virtio_mmio *mmio = host;
    if (mmio->queues[queue].broken[0] != '\0')
        fail(mmio, mmio->queues[queue].broken);
    else if (vmk_queue_must_notify(&mmio->queues[queue]))
        interrupt(mmio, VIRTIO_MMIO_INT_VRING);
}

static void
change_config(void *host)
{
    struct vmk_virtio_mmio *mmio = host;
    mmio->generation++;
    if ((mmio->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0)
        interrupt(mmio, VIRTIO_MMIO_INT_CONFIG);
}

static const struct vmk_virtio_host_ops host_ops = {
    .notify = notify,
    .change_config = change_config,
    .fail = fail,
};

/* A doorbell, on the loop's thread. */
static void
on_doorbell(void *data, uint32_t events)
{
    struct doorbell *doorbell = data;
    struct vmk_virtio_mmio *mmio = doorbell->mmio;
    struct vmk_virtio_device *device = mmio->device;
    struct vmk_queue *queue = &mmio->queues[doorbell->queue];
    pthread_mutex_lock(&device->lock);
    if (device->active && queue->ready && device->ops->handle_queue(device, doorbell->queue))
        vmk_source_signal(doorbell->source);
    if (device->active && queue->broken[0] != '\0')
        fail(mmio, queue->broken);
    pthread_mutex_unlock(&device->lock);
}

static void
reset(struct vmk_virtio_mmio *mmio)
{
    struct vmk_virtio_device *device = mmio->device;
    device->active = false;
    for (uint32_t i = 0; i < device->queue_count; i++) {
        vmk_queue_tear_down(&mmio->queues[i]);
        mmio->queues[i].broken[0] = '\0';
        mmio->places[i] = (struct vmk_queue_place){.maximum = device->queue_sizes[i]};
    }
    device->ops->reset(device);
    device->driver_features = 0;
    mmio->driver_features = 0;
    mmio->feature_page = mmio->driver_page = mmio->selected = 0;
    mmio->status = 0;
    mmio->interrupts = 0;
}

static bool
accepts_features(const struct vmk_virtio_mmio *mmio)
{
    return (mmio->driver_features & ~mmio->features) == 0 &&
           (mmio->driver_features & VMK_VIRTIO_F(VIRTIO_F_VERSION_1)) != 0;
}

static void
activate(struct vmk_virtio_mmio *mmio)
{
    struct vmk_virtio_device *device = mmio->device;
    device->active = true;
    device->ops->activate(device);
    /* What a driver put into its queues before, it need not tell of (§3.1.1). */
    for (uint32_t i = 0; i < device->queue_count; i++)
        vmk_source_signal(mmio->doorbells[i].source);
}

/* §2.1.1: bits are only ever added, each behind those before it. */
static void
write_status(struct vmk_virtio_mmio *mmio, uint32_t value)
{
    static const uint32_t steps[] = {VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER,
                                     VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER_OK};
    uint32_t old = mmio->status;
    if (value == 0) {
        reset(mmio);
        return;
    }
    value &= STATUS_KNOWN;
    if ((old & STATUS_KNOWN & ~value) != 0)
        return;
    mmio->status |= value & VIRTIO_CONFIG_S_FAILED;
    for (uint32_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if ((value & steps[i]) == 0)
            return;
        if ((old & steps[i]) != 0)
            continue;
        /* Whether the features were taken the driver reads back first. */
        bool features_ok = (old & VIRTIO_CONFIG_S_FEATURES_OK) != 0;
        bool sound = (old & VIRTIO_CONFIG_S_NEEDS_RESET) == 0;
        if (steps[i] == VIRTIO_CONFIG_S_FEATURES_OK && !accepts_features(mmio))
            return;
        if (steps[i] == VIRTIO_CONFIG_S_DRIVER_OK && (!features_ok || !sound))
            return;
        mmio->status |= steps[i];
        if (steps[i] == VIRTIO_CONFIG_S_FEATURES_OK)
            mmio->device->driver_features = mmio->driver_features;
        else if (steps[i] == VIRTIO_CONFIG_S_DRIVER_OK)
            activate(mmio);
    }
}

static void
write_features(struct vmk_virtio_mmio *mmio, uint32_t value)
{
    uint32_t shift = mmio->driver_page * 32;
    bool open = (mmio->status & VIRTIO_CONFIG_S_DRIVER) != 0 &&
                (mmio->status & VIRTIO_CONFIG_S_FEATURES_OK) == 0;
    if (!open || mmio->driver_page > 1)
        return;
    mmio->driver_features &= ~(UINT64_C(0xffffffff) << shift);
    mmio->driver_features |= (uint64_t)value << shift;
}

static void
write_ready(struct vmk_virtio_mmio *mmio, uint32_t value)
{
    struct vmk_virtio_device *device = mmio->device;
    struct vmk_queue *queue = &mmio->queues[mmio->selected];
    vmkit_error *error = NULL;
    if (value == 0) {
        vmk_queue_tear_down(queue);
        return;
    }
    if (vmk_queue_set_up(queue, mmio->board, &mmio->places[mmio->selected],
                         vmk_virtio_device_has(device, VIRTIO_RING_F_EVENT_IDX),
                         vmk_virtio_device_has(device, VIRTIO_RING_F_INDIRECT_DESC), &error) == 0)
        return;
    fail(mmio, vmk_error_get_message(error));
    vmk_error_unref(error);
}

static void
set_half(uint64_t *value, uint32_t half, bool high)
{
    uint32_t shift = high ? 32 : 0;
    *value = (*value & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)half << shift;
}

/* A register of the selected queue, which is taken while the queue is set up. */
static void
write_queue(struct vmk_virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
    if (mmio->selected >= mmio->device->queue_count)
        return;
    struct vmk_queue_place *place = &mmio->places[mmio->selected];
    struct vmk_queue *queue = &mmio->queues[mmio->selected];
    bool open = (mmio->status & VIRTIO_CONFIG_S_FEATURES_OK) != 0 &&
                (mmio->status & VIRTIO_CONFIG_S_DRIVER_OK) == 0 && !queue->ready;
    if (offset == VIRTIO_MMIO_QUEUE_READY && (open || (queue->ready && value == 0)))
        write_ready(mmio, value);
    if (!open)
        return;
    switch (offset) {
    case VIRTIO_MMIO_QUEUE_NUM:
        place->size = value;
        break;
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        set_half(&place->descriptors, value, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH);
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
        set_half(&place->available, value, offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH);
        break;
    case VIRTIO_MMIO_QUEUE_USED_LOW:
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
        set_half(&place->used, value, offset == VIRTIO_MMIO_QUEUE_USED_HIGH);
        break;
    default:
        break;
    }
}

static void
write_register(struct vmk_virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        mmio->feature_page = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        mmio->driver_page = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        write_features(mmio, value);
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        mmio->selected = value;
        break;
    case VIRTIO_MMIO_QUEUE_NOTIFY:
        /* A board without doorbells. */
        if (value < mmio->device->queue_count)
            vmk_source_signal(mmio->doorbells[value].source);
        break;
    case VIRTIO_MMIO_INTERRUPT_ACK:
        mmio->interrupts &= ~value;
        break;
    case VIRTIO_MMIO_STATUS:
        write_status(mmio, value);
        break;
    default:
        write_queue(mmio, offset, value);
        break;
    }
}

static uint32_t
read_register(const struct vmk_virtio_mmio *mmio, uint32_t offset)
{
    bool known = mmio->selected < mmio->device->queue_count;
    switch (offset) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return MAGIC;
    case VIRTIO_MMIO_VERSION:
        return VERSION;
    case VIRTIO_MMIO_DEVICE_ID:
        return mmio->device->id;
    case VIRTIO_MMIO_VENDOR_ID:
        return VENDOR;
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return mmio->feature_page > 1 ? 0 : (uint32_t)(mmio->features >> mmio->feature_page * 32);
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return known ? mmio->device->queue_sizes[mmio->selected] : 0;
    case VIRTIO_MMIO_QUEUE_READY:
        return known && mmio->queues[mmio->selected].ready;
    case VIRTIO_MMIO_INTERRUPT_STATUS:
        return mmio->interrupts;
    case VIRTIO_MMIO_STATUS:
        return mmio->status;
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return mmio->generation;
    case VIRTIO_MMIO_SHM_LEN_LOW:
    case VIRTIO_MMIO_SHM_LEN_HIGH:
    case VIRTIO_MMIO_SHM_BASE_LOW:
    case VIRTIO_MMIO_SHM_BASE_HIGH:
        /* §4.2.2: a region that is not there. */
        return UINT32_MAX;
    default:
        return 0;
    }
}

/* The device's configuration is read and written in any width; beyond its end there is nothing. */
static void
access_config(struct vmk_virtio_mmio *mmio, struct vmkit_access *access)
{
    struct vmk_virtio_device *device = mmio->device;
    uint64_t offset = access->offset - VIRTIO_MMIO_CONFIG;
    bool inside = vmk_range_inside(offset, access->length, 0, device->config_size);
    if (access->is_write == 0)
        access->value = 0;
    if (!inside)
        return;
    /* The value's bytes are the guest's: both are little-endian. */
    if (access->is_write == 0)
        device->ops->read_config(device, (uint32_t)offset, &access->value, access->length);
    else if (device->ops->write_config != NULL)
        device->ops->write_config(device, (uint32_t)offset, &access->value, access->length);
}

static int
on_access(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    struct vmk_virtio_mmio *mmio = user_data;
    bool is_register = access->length == 4 && access->offset % 4 == 0;
    pthread_mutex_lock(&mmio->device->lock);
    if (access->offset >= VIRTIO_MMIO_CONFIG)
        access_config(mmio, access);
    else if (access->is_write == 0)
        access->value = is_register ? read_register(mmio, (uint32_t)access->offset) : 0;
    else if (is_register)
        write_register(mmio, (uint32_t)access->offset, (uint32_t)access->value);
    pthread_mutex_unlock(&mmio->device->lock);
    return VMKIT_HANDLED;
}

static int
add_doorbell(struct vmk_virtio_mmio *mmio, struct vmk_loop *loop, uint32_t queue,
             vmkit_error **ret_error)
{
    const struct vmk_board *board = mmio->board;
    struct doorbell *doorbell = &mmio->doorbells[queue];
    struct vmk_loop_handler handler = {.callback = on_doorbell, .data = doorbell};
    vmkit_error *error = NULL;
    doorbell->mmio = mmio;
    doorbell->queue = queue;
    int result = vmk_loop_add_signal(loop, &handler, &doorbell->source, ret_error);
    if (result < 0)
        return result;
    result = board->ops->set_doorbell(board->data, VMKIT_SPACE_MMIO,
                                      mmio->options.address + VIRTIO_MMIO_QUEUE_NOTIFY, 4, true,
                                      queue, vmk_source_get_fd(doorbell->source), true, &error);
    doorbell->assigned = result == 0;
    if (result < 0 && result != -ENOTSUP)
        return vmk_error_hand_over(error, ret_error);
    vmk_error_unref(error);
    return 0;
}

static int
add_interrupt(struct vmk_virtio_mmio *mmio, vmkit_error **ret_error)
{
    const struct vmk_board *board = mmio->board;
    vmkit_error *error = NULL;
    int fd = vmk_descriptor_keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (fd < 0)
        return vmk_error_set_known(ret_error, errno,
                                   VMK_ERRNO(EMFILE) | VMK_ERRNO(ENFILE) | VMK_ERRNO(ENOMEM),
                                   VMKIT_ERROR_IO, "an eventfd could not be made");
    int result = board->ops->set_irqfd(board->data, fd, mmio->options.gsi, -1, true, &error);
    if (result == 0)
        mmio->irqfd = fd;
    else
        close(fd);
    if (result < 0 && result != -ENOTSUP)
        return vmk_error_hand_over(error, ret_error);
    vmk_error_unref(error);
    return 0;
}

static int
attach(struct vmk_virtio_mmio *mmio, struct vmk_loop *loop, vmkit_error **ret_error)
{
    const struct vmk_board *board = mmio->board;
    struct vmk_bus_handler handler = {.callback = on_access, .user_data = mmio};
    int result = add_interrupt(mmio, ret_error);
    for (uint32_t i = 0; result == 0 && i < mmio->device->queue_count; i++)
        result = add_doorbell(mmio, loop, i, ret_error);
    if (result == 0)
        result = board->ops->add_handler(board->data, VMKIT_SPACE_MMIO, mmio->options.address,
                                         VMK_VIRTIO_MMIO_SIZE, &handler, ret_error);
    mmio->has_handler = result == 0;
    return result;
}

int
vmk_virtio_mmio_new(const struct vmk_board *board, struct vmk_loop *loop,
                    struct vmk_virtio_device *device, const struct vmk_virtio_mmio_options *options,
                    struct vmk_virtio_mmio **ret_mmio, vmkit_error **ret_error)
{
    struct vmk_virtio_mmio *mmio = calloc(1, sizeof *mmio);
    if (mmio == NULL) {
        device->ops->free(device);
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the registers of a virtio device");
    }
    mmio->board = board;
    mmio->device = device;
    mmio->options = *options;
    mmio->irqfd = -1;
    mmio->features = device->features | VMK_VIRTIO_F(VIRTIO_F_VERSION_1) |
                     VMK_VIRTIO_F(VIRTIO_RING_F_EVENT_IDX) |
                     VMK_VIRTIO_F(VIRTIO_RING_F_INDIRECT_DESC);
    device->host = (struct vmk_virtio_host){&host_ops, mmio};
    device->queues = mmio->queues;
    reset(mmio);
    int result = attach(mmio, loop, ret_error);
    if (result < 0) {
        vmk_virtio_mmio_free(mmio);
        return result;
    }
    *ret_mmio = mmio;
    return 0;
}

void
vmk_virtio_mmio_free(struct vmk_virtio_mmio *mmio)
{
    if (mmio == NULL)
        return;
    const struct vmk_board *board = mmio->board;
    uint64_t address = mmio->options.address;
    if (mmio->has_handler)
        board->ops->remove_handler(board->data, VMKIT_SPACE_MMIO, address, NULL);
    for (uint32_t i = 0; i < mmio->device->queue_count; i++) {
        struct doorbell *doorbell = &mmio->doorbells[i];
        if (doorbell->assigned)
            board->ops->set_doorbell(board->data, VMKIT_SPACE_MMIO,
                                     address + VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, i,
                                     vmk_source_get_fd(doorbell->source), false, NULL);
        vmk_source_remove(doorbell->source);
    }
    if (mmio->irqfd >= 0) {
        board->ops->set_irqfd(board->data, mmio->irqfd, mmio->options.gsi, -1, false, NULL);
        close(mmio->irqfd);
    }
    mmio->device->ops->free(mmio->device);
    free(mmio);
}
