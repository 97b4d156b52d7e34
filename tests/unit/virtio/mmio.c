/* SPDX-License-Identifier: Apache-2.0 */
/* The transport's registers, with a device that notes what happens to it. */
#include "virtio/mmio.h"

#include "guest.h"
#include "harness.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA (RAM_GPA + 0x80000)
#define FEATURE 7
#define ACKNOWLEDGED (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)
#define NEGOTIATED (ACKNOWLEDGED | VIRTIO_CONFIG_S_FEATURES_OK)
#define RUNNING (NEGOTIATED | VIRTIO_CONFIG_S_DRIVER_OK)

/* Two queues, of 8 and 4; hands everything back unread. With `hold`, it keeps one chain. */
struct note {
    struct vmk_virtio_device device;
    struct vmk_segment segments[16];
    struct vmk_chain chain;
    uint8_t config[12];
    atomic_uint activations;
    atomic_uint resets;
    atomic_uint handled;
    atomic_bool hold;
    bool *freed;
};

static struct guest guest;
static struct note *note;
static bool freed;

static void
note_activate(struct vmk_virtio_device *device)
{
    atomic_fetch_add(&((struct note *)device)->activations, 1);
}

static bool
note_handle(struct vmk_virtio_device *device, uint32_t index)
{
    struct note *self = (struct note *)device;
    atomic_fetch_add(&self->handled, 1);
    while (vmk_queue_pop(&device->queues[index], &self->chain) > 0) {
        if (atomic_load(&self->hold))
            return false;
        vmk_queue_push(&device->queues[index], &self->chain, 0);
    }
    device->host.ops->notify(device->host.data, index);
    return false;
}

static void
note_reset(struct vmk_virtio_device *device)
{
    atomic_fetch_add(&((struct note *)device)->resets, 1);
}

static void
note_read(struct vmk_virtio_device *device, uint32_t offset, void *destination, uint32_t size)
{
    memcpy(destination, ((struct note *)device)->config + offset, size);
}

static void
note_write(struct vmk_virtio_device *device, uint32_t offset, const void *source, uint32_t size)
{
    memcpy(((struct note *)device)->config + offset, source, size);
}

static void
note_free(struct vmk_virtio_device *device)
{
    *((struct note *)device)->freed = true;
    free(device);
}

static const struct vmk_virtio_device_ops ops = {note_activate, note_handle, note_reset,
                                                 note_read,     note_write,  note_free};

static struct vmk_virtio_device *
make_device(void)
{
    note = calloc(1, sizeof *note);
    note->device.ops = &ops;
    note->device.id = 42;
    note->device.features = VMK_VIRTIO_F(FEATURE);
    note->device.config_size = sizeof note->config;
    note->device.queue_count = 2;
    note->device.queue_sizes[0] = 8;
    note->device.queue_sizes[1] = 4;
    note->chain.segments = note->segments;
    note->chain.capacity = 16;
    note->freed = &freed;
    for (uint8_t i = 0; i < 12; i++)
        note->config[i] = (uint8_t)(i + 1);
    pthread_mutex_init(&note->device.lock, NULL);
    freed = false;
    return &note->device;
}

static void
set_up(void)
{
    guest_init(&guest);
    guest_attach(&guest, make_device());
}

static void
tear_down(void)
{
    guest_clear(&guest);
    ck_assert(freed);
}

static uint32_t
get_status(void)
{
    return guest_read(&guest, VIRTIO_MMIO_STATUS);
}

static void
set_status(uint32_t value)
{
    guest_write(&guest, VIRTIO_MMIO_STATUS, value);
}

static void
take_features(uint64_t features)
{
    for (uint32_t page = 0; page < 2; page++) {
        guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES_SEL, page);
        guest_write(&guest, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32 * page));
    }
}

START_TEST(the_registers_say_what_the_device_is)
{
    static const uint32_t expected[][2] = {
        {VIRTIO_MMIO_MAGIC_VALUE, 0x74726976},
        {VIRTIO_MMIO_VERSION, 2},
        {VIRTIO_MMIO_DEVICE_ID, 42},
        {VIRTIO_MMIO_DEVICE_FEATURES, 1u << FEATURE | 1u << 28 | 1u << 29},
        {VIRTIO_MMIO_QUEUE_NUM_MAX, 8},
        {VIRTIO_MMIO_QUEUE_READY, 0},
        {VIRTIO_MMIO_INTERRUPT_STATUS, 0},
        {VIRTIO_MMIO_STATUS, 0},
        {VIRTIO_MMIO_SHM_LEN_LOW, UINT32_MAX},
        {VIRTIO_MMIO_SHM_LEN_HIGH, UINT32_MAX},
        {VIRTIO_MMIO_QUEUE_NOTIFY, 0},
    };
    set_up();
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        ck_assert_uint_eq(guest_read(&guest, expected[i][0]), expected[i][1]);
    guest_write(&guest, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_DEVICE_FEATURES), 1);
    guest_write(&guest, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_DEVICE_FEATURES), 0);
    guest_write(&guest, VIRTIO_MMIO_QUEUE_SEL, 1);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_QUEUE_NUM_MAX), 4);
    guest_write(&guest, VIRTIO_MMIO_QUEUE_SEL, 2);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
    tear_down();
}
END_TEST

START_TEST(the_configuration_is_read_and_written_in_any_width)
{
    set_up();
    uint64_t at = GUEST_ADDRESS + VIRTIO_MMIO_CONFIG;
    ck_assert_uint_eq(test_board_read(&guest.board, at, 1), 0x01);
    ck_assert_uint_eq(test_board_read(&guest.board, at + 1, 2), 0x0302);
    ck_assert_uint_eq(test_board_read(&guest.board, at + 4, 4), 0x08070605);
    ck_assert_uint_eq(test_board_read(&guest.board, at + 4, 8), UINT64_C(0x0c0b0a0908070605));
    ck_assert_uint_eq(test_board_read(&guest.board, at + 8, 8), 0);
    ck_assert_uint_eq(test_board_read(&guest.board, at + 12, 1), 0);
    ck_assert_uint_eq(test_board_read(&guest.board, at + 0xeff, 1), 0);
    test_board_write(&guest.board, at + 2, 2, 0xbbaa);
    test_board_write(&guest.board, at + 11, 2, 0xffff);
    ck_assert_uint_eq(test_board_read(&guest.board, at, 4), 0xbbaa0201);
    ck_assert_uint_eq(test_board_read(&guest.board, at + 11, 1), 12);
    /* Registers have one width. */
    ck_assert_uint_eq(test_board_read(&guest.board, GUEST_ADDRESS, 1), 0);
    ck_assert_uint_eq(test_board_read(&guest.board, GUEST_ADDRESS, 8), 0);
    ck_assert_uint_eq(test_board_read(&guest.board, GUEST_ADDRESS + 2, 4), 0);
    tear_down();
}
END_TEST

START_TEST(the_status_goes_forward_step_by_step)
{
    set_up();
    uint64_t good = VMK_VIRTIO_F(VIRTIO_F_VERSION_1) | VMK_VIRTIO_F(FEATURE);
    set_status(VIRTIO_CONFIG_S_DRIVER);
    ck_assert_uint_eq(get_status(), 0);
    set_status(RUNNING);
    ck_assert_uint_eq(get_status(), ACKNOWLEDGED);
    set_status(0);
    set_status(VIRTIO_CONFIG_S_ACKNOWLEDGE);
    set_status(ACKNOWLEDGED);
    /* Features that were not offered, or without the one that has to be. */
    take_features(good | VMK_VIRTIO_F(9));
    set_status(NEGOTIATED);
    ck_assert_uint_eq(get_status(), ACKNOWLEDGED);
    take_features(VMK_VIRTIO_F(FEATURE));
    set_status(NEGOTIATED);
    ck_assert_uint_eq(get_status(), ACKNOWLEDGED);
    take_features(good);
    /* Both at once: the driver has to look first. */
    set_status(RUNNING);
    ck_assert_uint_eq(get_status(), NEGOTIATED);
    ck_assert_uint_eq(note->device.driver_features, good);
    take_features(VMK_VIRTIO_F(VIRTIO_F_VERSION_1));
    ck_assert_uint_eq(note->device.driver_features, good);
    /* Nothing is taken back. */
    set_status(ACKNOWLEDGED);
    ck_assert_uint_eq(get_status(), NEGOTIATED);
    ck_assert_uint_eq(atomic_load(&note->activations), 0);
    set_status(RUNNING);
    ck_assert_uint_eq(get_status(), RUNNING);
    ck_assert_uint_eq(atomic_load(&note->activations), 1);
    set_status(RUNNING | VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET | 0x300);
    ck_assert_uint_eq(get_status(), RUNNING | VIRTIO_CONFIG_S_FAILED);
    ck_assert_uint_eq(atomic_load(&note->activations), 1);
    uint32_t resets = atomic_load(&note->resets);
    set_status(0);
    ck_assert_uint_eq(get_status(), 0);
    ck_assert_uint_eq(atomic_load(&note->resets), resets + 1);
    tear_down();
}
END_TEST

START_TEST(buffers_go_round_with_and_without_eventfds)
{
    uint32_t written;
    guest_init(&guest);
    guest.board.without_eventfds = _i != 0;
    guest_attach(&guest, make_device());
    ck_assert_uint_eq(guest.board.doorbell_count, _i != 0 ? 0 : 2);
    guest_bring_up(&guest, 0, 2, 4);
    guest_settle(&guest);
    for (uint32_t i = 0; i < 200; i++) {
        int head = guest_give(&guest, i % 2, DATA + i, 10, i % 3 == 0);
        ck_assert_int_eq(guest_await(&guest, i % 2, &written), head);
        guest_settle(&guest);
        ck_assert_uint_eq(test_board_take_pulses(&guest.board, GUEST_GSI), 1);
        ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
        guest_write(&guest, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
        ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    }
    tear_down();
}
END_TEST

/* What was handed in before DRIVER_OK, without a word, is found. */
START_TEST(buffers_from_before_the_driver_was_ready_are_found)
{
    struct driver_request request = {.count = 1};
    uint32_t written;
    request.segments[0] = (struct driver_segment){DATA, 1, true};
    set_up();
    set_status(VIRTIO_CONFIG_S_ACKNOWLEDGE);
    set_status(ACKNOWLEDGED);
    take_features(VMK_VIRTIO_F(VIRTIO_F_VERSION_1));
    set_status(NEGOTIATED);
    guest_set_up_queue(&guest, 0, 8, false);
    driver_add(&guest.drivers[0], &request);
    guest_write(&guest, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    guest_settle(&guest);
    ck_assert_uint_eq(atomic_load(&note->handled), 0);
    set_status(RUNNING);
    guest_await(&guest, 0, &written);
    tear_down();
}
END_TEST

START_TEST(a_change_of_the_configuration_has_a_generation_and_an_interrupt)
{
    set_up();
    guest_bring_up(&guest, 0, 2, 4);
    uint32_t generation = guest_read(&guest, VIRTIO_MMIO_CONFIG_GENERATION);
    pthread_mutex_lock(&note->device.lock);
    note->device.host.ops->change_config(note->device.host.data);
    pthread_mutex_unlock(&note->device.lock);
    ck_assert_uint_ne(guest_read(&guest, VIRTIO_MMIO_CONFIG_GENERATION), generation);
    ck_assert_uint_eq(test_board_take_pulses(&guest.board, GUEST_GSI), 1);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
    tear_down();
}
END_TEST

START_TEST(a_live_queue_keeps_its_size_and_place)
{
    uint32_t written;
    set_up();
    guest_bring_up(&guest, 0, 1, 4);
    guest_write(&guest, VIRTIO_MMIO_QUEUE_SEL, 0);
    guest_write(&guest, VIRTIO_MMIO_QUEUE_NUM, 8);
    guest_write(&guest, VIRTIO_MMIO_QUEUE_DESC_LOW, 0);
    guest_write(&guest, VIRTIO_MMIO_QUEUE_USED_HIGH, 77);
    guest_write(&guest, VIRTIO_MMIO_QUEUE_READY, 1);
    guest_give(&guest, 0, DATA, 1, true);
    guest_await(&guest, 0, &written);
    ck_assert_uint_eq(note->device.queues[0].size, 4);

    /* Taken out of use, it is quiet, and comes back with a reset alone. */
    guest_write(&guest, VIRTIO_MMIO_QUEUE_READY, 0);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_QUEUE_READY), 0);
    guest_settle(&guest);
    uint32_t handled = atomic_load(&note->handled);
    guest_give(&guest, 0, DATA, 1, true);
    guest_settle(&guest);
    ck_assert_uint_eq(atomic_load(&note->handled), handled);
    guest_write(&guest, VIRTIO_MMIO_QUEUE_READY, 1);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_QUEUE_READY), 0);
    guest_bring_up(&guest, 0, 1, 8);
    guest_give(&guest, 0, DATA, 1, true);
    guest_await(&guest, 0, &written);
    ck_assert_uint_eq(atomic_load(&guest.failures), 0);
    tear_down();
}
END_TEST

START_TEST(a_queue_in_no_memory_needs_a_reset)
{
    set_up();
    set_status(VIRTIO_CONFIG_S_ACKNOWLEDGE);
    set_status(ACKNOWLEDGED);
    take_features(VMK_VIRTIO_F(VIRTIO_F_VERSION_1));
    set_status(NEGOTIATED);
    guest_write(&guest, VIRTIO_MMIO_QUEUE_NUM, 8);
    guest_write(&guest, VIRTIO_MMIO_QUEUE_DESC_HIGH, 5);
    guest_write(&guest, VIRTIO_MMIO_QUEUE_READY, 1);
    ck_assert_uint_eq(guest_read(&guest, VIRTIO_MMIO_QUEUE_READY), 0);
    ck_assert_uint_eq(get_status(), NEGOTIATED | VIRTIO_CONFIG_S_NEEDS_RESET);
    ck_assert_str_eq(guest.reason, "the descriptor table at 0x500000000, of 0x80 bytes, is not "
                                   "wholly in memory");
    set_status(RUNNING);
    ck_assert_uint_eq(get_status(), NEGOTIATED | VIRTIO_CONFIG_S_NEEDS_RESET);
    ck_assert_uint_eq(atomic_load(&note->activations), 0);
    ck_assert_uint_eq(test_board_take_pulses(&guest.board, GUEST_GSI), 0);
    guest_bring_up(&guest, 0, 2, 4);
    ck_assert_uint_eq(atomic_load(&guest.failures), 1);
    tear_down();
}
END_TEST

START_TEST(a_reset_in_the_middle_of_a_request_forgets_it)
{
    uint32_t written;
    set_up();
    atomic_store(&note->hold, true);
    guest_bring_up(&guest, 0, 1, 8);
    guest_settle(&guest);
    guest_give(&guest, 0, DATA, 1, true);
    guest_settle(&guest);
    struct vmk_chain held = note->chain;
    ck_assert_uint_eq(held.writable, 1);
    guest_bring_up(&guest, 0, 1, 8);
    pthread_mutex_lock(&note->device.lock);
    vmk_queue_push(&note->device.queues[0], &held, 1);
    note->device.host.ops->notify(note->device.host.data, 0);
    pthread_mutex_unlock(&note->device.lock);
    ck_assert_int_eq(driver_take(&guest.drivers[0], &written), -1);
    atomic_store(&note->hold, false);
    guest_give(&guest, 0, DATA, 1, true);
    guest_await(&guest, 0, &written);
    tear_down();
}
END_TEST

/* Any register in any order, while the loop works on what comes of it. */
START_TEST(any_register_in_any_order_harms_nothing)
{
    unsigned seed = 99 + (unsigned)_i;
    uint32_t written;
    set_up();
    for (uint32_t i = 0; i < 40000 / harness_get_step(10); i++) {
        uint32_t offset = (uint32_t)rand_r(&seed) % 0x110;
        uint32_t length = 1u << rand_r(&seed) % 4;
        uint64_t value = rand_r(&seed) % 3 == 0   ? (uint32_t)rand_r(&seed) % 16
                         : rand_r(&seed) % 2 == 0 ? RAM_GPA + (uint64_t)rand_r(&seed) % RAM_SIZE
                                                  : (uint64_t)rand_r(&seed) * 3;
        if (rand_r(&seed) % 2 == 0) {
            offset = offset / 4 * 4;
            length = 4;
        }
        if (rand_r(&seed) % 4 == 0)
            test_board_read(&guest.board, GUEST_ADDRESS + offset, length);
        else
            test_board_write(&guest.board, GUEST_ADDRESS + offset, length, value);
        /* From where there is more to break. */
        if (i % 500 == 499) {
            guest_bring_up(&guest, UINT64_MAX, 2, 4);
            guest_give(&guest, 0, DATA, 1, true);
        }
    }
    guest_bring_up(&guest, 0, 2, 4);
    guest_give(&guest, 1, DATA, 1, true);
    guest_await(&guest, 1, &written);
    tear_down();
}
END_TEST

START_TEST(what_the_board_refuses_is_an_error_and_leaves_nothing)
{
    vmkit_error *error = NULL;
    struct vmk_virtio_mmio *mmio;
    struct vmk_virtio_mmio_options options = {.address = GUEST_ADDRESS, .gsi = LINES};
    set_up();
    ck_assert_int_eq(
        vmk_virtio_mmio_new(&guest.board.board, guest.loop, make_device(), &options, &mmio, &error),
        -EINVAL);
    ck_assert_str_eq(vmk_error_get_message(error), "no line 32");
    ck_assert(freed);
    vmk_error_unref(error);
    options.gsi = 6;
    /* The same address again. */
    ck_assert_int_eq(
        vmk_virtio_mmio_new(&guest.board.board, guest.loop, make_device(), &options, &mmio, NULL),
        -EEXIST);
    ck_assert(freed);
    ck_assert_int_eq(guest.board.irqfds[6], -1);
    ck_assert_uint_eq(guest.board.doorbell_count, 2);
    freed = false;
    tear_down();
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("mmio");
    TCase *cases = tcase_create("mmio");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, the_registers_say_what_the_device_is);
    tcase_add_test(cases, the_configuration_is_read_and_written_in_any_width);
    tcase_add_test(cases, the_status_goes_forward_step_by_step);
    tcase_add_loop_test(cases, buffers_go_round_with_and_without_eventfds, 0, 2);
    tcase_add_test(cases, buffers_from_before_the_driver_was_ready_are_found);
    tcase_add_test(cases, a_change_of_the_configuration_has_a_generation_and_an_interrupt);
    tcase_add_test(cases, a_live_queue_keeps_its_size_and_place);
    tcase_add_test(cases, a_queue_in_no_memory_needs_a_reset);
    tcase_add_test(cases, a_reset_in_the_middle_of_a_request_forgets_it);
    tcase_add_loop_test(cases, any_register_in_any_order_harms_nothing, 0, 4);
    tcase_add_test(cases, what_the_board_refuses_is_an_error_and_leaves_nothing);
    suite_add_tcase(suite, cases);
    return suite;
}
