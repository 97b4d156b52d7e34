/* SPDX-License-Identifier: Apache-2.0 */
/* The device's side of a queue against a model of a driver that chooses at random, with fixed
 * seeds. */
#include "virtio/queue.h"

#include "driver.h"
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CHAINS 256
#define SEGMENTS 64

struct device {
    struct vmk_queue queue;
    struct vmk_segment segments[CHAINS][SEGMENTS];
    struct vmk_chain chains[CHAINS];
    uint32_t out[CHAINS]; /* chains that were popped and not pushed */
    uint32_t out_count;
    uint32_t idle[CHAINS];
    uint32_t idle_count;
};

static struct test_board board;
static struct driver driver;
static struct device device;

static uint32_t
choose(uint64_t *state, uint32_t limit)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33) % limit;
}

static void
set_up(uint32_t size, bool event_index, uint16_t start)
{
    test_board_init(&board);
    driver_init(&driver, &board, RAM_GPA, size, event_index);
    memset(&device, 0, sizeof device);
    struct vmk_queue_place place = {size, size, driver.descriptors, driver.available, driver.used};
    ck_assert_int_eq(vmk_queue_set_up(&device.queue, &board.board, &place, event_index, true, NULL),
                     0);
    /* As if so many had gone through. */
    driver.next_avail = driver.next_used = driver.kicked = start;
    driver.avail->idx = driver.used_ring->idx = start;
    device.queue.next_available = device.queue.next_used = device.queue.signalled = start;
    if (event_index)
        *driver.device_event = start;
    for (uint32_t i = 0; i < CHAINS; i++) {
        device.chains[i].segments = device.segments[i];
        device.chains[i].capacity = SEGMENTS;
        device.idle[device.idle_count++] = i;
    }
}

static void
tear_down(void)
{
    driver_clear(&driver);
    test_board_clear(&board);
}

static struct driver_request
make_request(uint64_t *state)
{
    struct driver_request request = {.count = 1 + choose(state, DRIVER_SEGMENTS),
                                     .indirect = choose(state, 3) == 0};
    uint32_t readable = choose(state, request.count + 1);
    for (uint32_t i = 0; i < request.count; i++)
        request.segments[i] = (struct driver_segment){
            .gpa = choose(state, 4) == 0 ? HIGH_GPA + choose(state, 0x8000)
                                         : RAM_GPA + 0x80000 + choose(state, 0x70000),
            .size = 1 + choose(state, 0x4000),
            .writable = i >= readable,
        };
    return request;
}

/* What was popped is what the driver handed in under that head. */
static void
check_chain(const struct vmk_chain *chain)
{
    const struct driver_request *request = &driver.requests[chain->head];
    uint32_t sizes[2] = {0, 0};
    ck_assert(request->in_use);
    ck_assert_uint_eq(chain->readable + chain->writable, request->count);
    for (uint32_t i = 0; i < request->count; i++) {
        const struct driver_segment *segment = &request->segments[i];
        ck_assert_uint_eq(chain->segments[i].gpa, segment->gpa);
        ck_assert_uint_eq(chain->segments[i].size, segment->size);
        ck_assert_ptr_eq(chain->segments[i].data, test_board_at(&board, segment->gpa));
        ck_assert(segment->writable == (i >= chain->readable));
        sizes[segment->writable] += segment->size;
    }
    ck_assert_uint_eq(chain->readable_size, sizes[0]);
    ck_assert_uint_eq(chain->writable_size, sizes[1]);
}

static bool
device_pops(void)
{
    if (device.idle_count == 0)
        return false;
    uint32_t index = device.idle[device.idle_count - 1];
    bool waited = vmk_queue_has_chains(&device.queue);
    int result = vmk_queue_pop(&device.queue, &device.chains[index]);
    ck_assert_msg(result >= 0, "%s", device.queue.broken);
    ck_assert_int_eq(result, waited);
    if (result == 0)
        return false;
    check_chain(&device.chains[index]);
    device.idle_count--;
    device.out[device.out_count++] = index;
    return true;
}

static void
device_pushes(uint64_t *state)
{
    uint32_t at = choose(state, device.out_count);
    uint32_t index = device.out[at];
    device.out[at] = device.out[--device.out_count];
    device.idle[device.idle_count++] = index;
    struct vmk_chain *chain = &device.chains[index];
    /* The driver learns the head and how much was written: the head tells it what to expect. */
    vmk_queue_push(&device.queue, chain, chain->head * 3u);
}

/* Both sides do what they like, and in between the model says what each has to be told. */
static void
run_random(uint64_t seed, uint32_t size, bool event_index, uint16_t start, uint32_t steps)
{
    uint64_t state = seed;
    bool device_awake = false, driver_awake = false;
    uint64_t added = 0, taken = 0, kicks = 0;
    uint32_t written;
    set_up(size, event_index, start);
    /* Nobody has asked for anything yet: the first pop does. */
    ck_assert(!device_pops());
    driver_listen(&driver);
    for (uint32_t step = 0; step < steps; step++) {
        if (choose(&state, 2) == 0) {
            struct driver_request request = make_request(&state);
            added += driver_add(&driver, &request) >= 0;
        }
        if (choose(&state, 3) == 0 && driver_must_kick(&driver)) {
            device_awake = true;
            kicks++;
        }
        /* A device that is awake goes on until it finds nothing. */
        if (device_awake && choose(&state, 2) == 0)
            device_awake = device_pops();
        if (device.out_count > 0 && choose(&state, 2) == 0)
            device_pushes(&state);
        if (choose(&state, 3) == 0 && vmk_queue_must_notify(&device.queue))
            driver_awake = true;
        if (!driver_awake)
            continue;
        driver_ignore(&driver);
        int head = driver_take(&driver, &written);
        taken += head >= 0;
        if (head >= 0)
            ck_assert_uint_eq(written, (uint32_t)head * 3u);
        else
            driver_awake = driver_listen(&driver);
    }
    /* Now each side sleeps until it is told. Nothing may stay behind. */
    for (bool moved = true; moved;) {
        moved = false;
        device_awake = driver_must_kick(&driver) || device_awake;
        while (device_awake && device.idle_count > 0 && (device_awake = device_pops()))
            moved = true;
        while (device.out_count > 0) {
            device_pushes(&state);
            moved = true;
        }
        if (!vmk_queue_must_notify(&device.queue) && !driver_awake)
            continue;
        for (driver_awake = true; driver_awake; driver_awake = driver_listen(&driver))
            while (driver_take(&driver, &written) >= 0) {
                taken++;
                moved = true;
            }
    }
    ck_assert_uint_eq(taken, added);
    ck_assert_uint_eq(driver.free_count, size);
    ck_assert_uint_eq(device.queue.in_flight, 0);
    ck_assert_uint_gt(added, steps / 20);
    ck_assert_uint_lt(kicks, added);
    tear_down();
}

START_TEST(random_requests_come_and_go_as_the_model_says)
{
    static const uint32_t sizes[] = {1, 2, 8, 16, 64, 256};
    uint32_t steps = 10000 / harness_get_step(4);
    bool event_index = (_i & 1) != 0;
    uint32_t size = sizes[(uint32_t)_i / 2 % 6];
    run_random((uint64_t)_i * 7919 + 1, size, event_index, 0, size < 8 ? steps * 4 : steps);
}
END_TEST

/* Indices go round at 65536 with everything in motion. */
START_TEST(indices_go_round_in_the_middle_of_it)
{
    for (uint16_t start = 65500; start != 5; start = (uint16_t)(start + 1))
        run_random(start, 16, (start & 1) != 0, start, 2000 / harness_get_step(4));
}
END_TEST

/* With the event index: whether a notification is due, for each distance between what was last
 * told of, the event, and where the index is now. */
START_TEST(an_event_is_due_exactly_when_the_index_passed_it)
{
    static const uint16_t starts[] = {0, 1, 0x7fff, 0x8000, 0xfff8, 0xffff};
    struct driver_request request = {.count = 1, .indirect = false};
    request.segments[0] = (struct driver_segment){RAM_GPA + 0x80000, 16, true};
    for (uint32_t s = 0; s < 6; s++)
        for (uint32_t pushed = 1; pushed <= 8; pushed++)
            for (int ahead = -3; ahead <= 10; ahead++) {
                uint32_t written;
                set_up(8, true, starts[s]);
                for (uint32_t i = 0; i < pushed; i++) {
                    ck_assert_int_ge(driver_add(&driver, &request), 0);
                    ck_assert(device_pops());
                }
                while (device.out_count > 0)
                    vmk_queue_push(&device.queue, &device.chains[device.out[--device.out_count]],
                                   1);
                driver.avail->ring[8] = (uint16_t)(starts[s] + ahead);
                ck_assert_msg(vmk_queue_must_notify(&device.queue) ==
                                  (ahead >= 0 && (uint32_t)ahead < pushed),
                              "from %u, %u pushed, event %d ahead", starts[s], pushed, ahead);
                ck_assert(!vmk_queue_must_notify(&device.queue));
                while (driver_take(&driver, &written) >= 0)
                    ck_assert_uint_eq(written, 1);
                tear_down();
            }
}
END_TEST

/* The same towards the device: the event that it leaves is where it stopped. */
START_TEST(the_device_listens_for_the_next_one_when_it_found_nothing)
{
    struct driver_request request = {.count = 1};
    request.segments[0] = (struct driver_segment){RAM_GPA + 0x80000, 16, false};
    set_up(8, true, 0xfffe);
    for (int i = 0; i < 4; i += 2) {
        ck_assert(!device_pops());
        ck_assert_uint_eq(*driver.device_event, (uint16_t)(0xfffe + i));
        driver_add(&driver, &request);
        ck_assert(driver_must_kick(&driver));
        driver_add(&driver, &request);
        ck_assert(!driver_must_kick(&driver));
        ck_assert(device_pops());
        ck_assert(device_pops());
    }
    tear_down();
    set_up(8, false, 0);
    ck_assert(!device_pops());
    ck_assert_uint_eq(driver.used_ring->flags, 0);
    driver_add(&driver, &request);
    ck_assert(driver_must_kick(&driver));
    ck_assert(device_pops());
    ck_assert_uint_eq(driver.used_ring->flags, VRING_USED_F_NO_NOTIFY);
    ck_assert(!device_pops());
    ck_assert_uint_eq(driver.used_ring->flags, 0);
    tear_down();
}
END_TEST

START_TEST(bytes_are_copied_across_segments)
{
    struct driver_request request = {.count = 5};
    uint8_t data[64], back[64];
    set_up(8, false, 0);
    for (uint32_t i = 0; i < 5; i++)
        request.segments[i] = (struct driver_segment){RAM_GPA + 0x80000 + 0x100 * i, 7 + i, i >= 2};
    for (uint32_t i = 0; i < 64; i++)
        data[i] = (uint8_t)(i * 5 + 1);
    memcpy(test_board_at(&board, RAM_GPA + 0x80000), data, 7);
    memcpy(test_board_at(&board, RAM_GPA + 0x80100), data + 7, 8);
    driver_add(&driver, &request);
    ck_assert(device_pops());
    struct vmk_chain *chain = &device.chains[device.out[0]];
    ck_assert_uint_eq(vmk_chain_read(chain, 0, back, sizeof back), 15);
    ck_assert_mem_eq(back, data, 15);
    ck_assert_uint_eq(vmk_chain_read(chain, 6, back, 3), 3);
    ck_assert_mem_eq(back, data + 6, 3);
    ck_assert_uint_eq(vmk_chain_read(chain, 15, back, 1), 0);
    ck_assert_uint_eq(vmk_chain_read(chain, UINT64_MAX, back, 1), 0);
    ck_assert_uint_eq(vmk_chain_write(chain, 8, data, 4), 4);
    ck_assert_mem_eq(test_board_at(&board, RAM_GPA + 0x80208), data, 1);
    ck_assert_mem_eq(test_board_at(&board, RAM_GPA + 0x80300), data + 1, 3);
    ck_assert_uint_eq(vmk_chain_write(chain, 0, data, sizeof data), 30);
    ck_assert_mem_eq(test_board_at(&board, RAM_GPA + 0x80400), data + 19, 11);
    uint64_t noted = atomic_load(&board.noted);
    vmk_queue_push(&device.queue, chain, 30);
    /* What was written, the element and the index. */
    ck_assert_uint_eq(atomic_load(&board.noted) - noted, 30 + 8 + 4);
    tear_down();
}
END_TEST

/* Driver and device each on a thread, and an eventfd each way: none may be lost. */
struct race {
    uint32_t total;
    int kick;
    int call;
};

static void
wait_for(int fd)
{
    uint64_t count;
    ck_assert_int_eq(read(fd, &count, sizeof count), sizeof count);
}

static void
signal_to(int fd)
{
    static const uint64_t one = 1;
    ck_assert_int_eq(write(fd, &one, sizeof one), sizeof one);
}

static void *
run_device(void *data)
{
    struct race *race = data;
    struct vmk_chain *chain = &device.chains[0];
    for (uint32_t done = 0; done < race->total;) {
        int result = vmk_queue_pop(&device.queue, chain);
        if (result == 0) {
            if (vmk_queue_must_notify(&device.queue))
                signal_to(race->call);
            wait_for(race->kick);
            continue;
        }
        uint32_t value = 0;
        ck_assert_uint_eq(vmk_chain_read(chain, 0, &value, 4), 4);
        value = ~value;
        ck_assert_uint_eq(vmk_chain_write(chain, 0, &value, 4), 4);
        vmk_queue_push(&device.queue, chain, 4);
        done++;
    }
    if (vmk_queue_must_notify(&device.queue))
        signal_to(race->call);
    return NULL;
}

static void
collect(uint32_t *done)
{
    uint32_t written, values[2];
    for (int head; (head = driver_take(&driver, &written)) >= 0; ++*done) {
        ck_assert_uint_eq(written, 4);
        memcpy(values, test_board_at(&board, driver.requests[head].segments[0].gpa), sizeof values);
        ck_assert_uint_eq(values[1], ~values[0]);
    }
}

START_TEST(no_notification_is_lost_between_two_threads)
{
    bool event_index = (_i & 1) != 0;
    struct race race = {30000 / harness_get_step(10), eventfd(0, EFD_CLOEXEC),
                        eventfd(0, EFD_CLOEXEC)};
    pthread_t thread;
    uint32_t added = 0, done = 0;
    set_up(32, event_index, 65000);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_device, &race), 0);
    while (done < race.total) {
        for (; added < race.total; added++) {
            uint64_t gpa = RAM_GPA + 0x80000 + 8 * (added % 64);
            struct driver_request request = {.count = 2, .indirect = (_i & 2) != 0};
            request.segments[0] = (struct driver_segment){gpa, 4, false};
            request.segments[1] = (struct driver_segment){gpa + 4, 4, true};
            if (driver.free_count < 2)
                break;
            memcpy(test_board_at(&board, gpa), &added, 4);
            ck_assert_int_ge(driver_add(&driver, &request), 0);
        }
        if (driver_must_kick(&driver))
            signal_to(race.kick);
        collect(&done);
        if (!driver_listen(&driver) && done < race.total &&
            (added == race.total || driver.free_count < 2))
            wait_for(race.call);
        driver_ignore(&driver);
    }
    pthread_join(thread, NULL);
    close(race.kick);
    close(race.call);
    tear_down();
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("queue");
    TCase *cases = tcase_create("queue");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, random_requests_come_and_go_as_the_model_says, 0, 24);
    tcase_add_test(cases, indices_go_round_in_the_middle_of_it);
    tcase_add_test(cases, an_event_is_due_exactly_when_the_index_passed_it);
    tcase_add_test(cases, the_device_listens_for_the_next_one_when_it_found_nothing);
    tcase_add_test(cases, bytes_are_copied_across_segments);
    tcase_add_loop_test(cases, no_notification_is_lost_between_two_threads, 0, 4);
    suite_add_tcase(suite, cases);
    return suite;
}
