/* SPDX-License-Identifier: Apache-2.0 */
/* The device's side of the queue on a thread of its own, against Linux's driver on another. Prints
 * TAP: a case for each choice of features and size. `device BUFFERS`. */
#include "link.h"
#include "virtio/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define HELD 16
#define SEGMENTS 64

static const char *device_error;

/* All of the process is the guest's memory. */
static int
find_memory(void *data, uint64_t gpa, struct vmk_board_memory *ret_memory)
{
    *ret_memory = (struct vmk_board_memory){4096, UINT64_C(1) << 47, (uint8_t *)4096};
    return gpa < 4096 ? -EFAULT : 0;
}

static void
note_write(void *data, uint64_t gpa, uint64_t size)
{
}

static const struct vmk_board_ops board_ops = {
    .find_memory = find_memory,
    .note_write = note_write,
};
static const struct vmk_board board = {.ops = &board_ops};

struct held {
    struct vmk_chain chain;
    struct vmk_segment segments[SEGMENTS];
};

/* Answer what the driver expects: each word to write is the first one that is read, plus its place,
 * inverted. */
static void
answer(struct vmk_queue *queue, struct vmk_chain *chain)
{
    uint32_t first = 0;
    vmk_chain_read(chain, 0, &first, sizeof first);
    for (uint32_t i = 0; i < chain->writable; i++) {
        uint32_t word = ~(first + i);
        vmk_chain_write(chain, (uint64_t)i * sizeof word, &word, sizeof word);
    }
    vmk_queue_push(queue, chain, chain->writable_size);
}

static void
tell(struct vmk_queue *queue, const struct link *link)
{
    static const uint64_t one = 1;
    if (vmk_queue_must_notify(queue) && write(link->call, &one, sizeof one) != sizeof one)
        device_error = "no eventfd";
}

/* Chains come back in another order than they went, now and then. */
static void *
run_device(void *data)
{
    struct link *link = data;
    static struct held held[HELD];
    struct vmk_queue queue = {.size = 0};
    struct vmk_queue_place place = {link->size, link->size, (uintptr_t)link->descriptors,
                                    (uintptr_t)link->available, (uintptr_t)link->used};
    uint32_t count = 0;
    unsigned seed = 2;
    for (uint32_t i = 0; i < HELD; i++) {
        held[i].chain.segments = held[i].segments;
        held[i].chain.capacity = SEGMENTS;
    }
    if (vmk_queue_set_up(&queue, &board, &place, link->event_index, link->indirect, NULL) < 0)
        device_error = "the rings were refused";
    for (uint64_t done = 0; done < link->total && device_error == NULL;) {
        bool looks = count < HELD;
        int result = looks ? vmk_queue_pop(&queue, &held[count].chain) : 0;
        uint64_t kicks;
        count += result > 0;
        if (result < 0)
            device_error = queue.broken;
        if (result > 0 && rand_r(&seed) % 4 != 0)
            continue;
        /* From the last one on. */
        for (done += count; count > 0; count--)
            answer(&queue, &held[count - 1].chain);
        tell(&queue, link);
        if (looks && result == 0 && done < link->total &&
            read(link->kick, &kicks, sizeof kicks) != sizeof kicks)
            device_error = "no eventfd";
    }
    return NULL;
}

static bool
run(struct link *link)
{
    pthread_t thread;
    link->kick = eventfd(0, EFD_CLOEXEC);
    link->call = eventfd(0, EFD_CLOEXEC);
    link->kicks = link->calls = 0;
    device_error = NULL;
    linux_driver_init(link);
    if (pthread_create(&thread, NULL, run_device, link) != 0)
        return false;
    const char *wrong = linux_driver_run(link);
    /* A driver that gave up leaves the device waiting. */
    if (wrong == NULL)
        pthread_join(thread, NULL);
    if (wrong == NULL)
        wrong = device_error;
    if (wrong != NULL)
        printf("# %s\n", wrong);
    printf("# %llu buffers, %llu kicks, %llu calls\n", (unsigned long long)link->total,
           (unsigned long long)link->kicks, (unsigned long long)link->calls);
    close(link->kick);
    close(link->call);
    return wrong == NULL;
}

int
main(int argc, char **argv)
{
    static const uint32_t sizes[] = {256, 16};
    uint64_t total = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    int number = 0, failed = 0;
    printf("1..8\n");
    for (uint32_t i = 0; i < 8; i++) {
        struct link link = {.size = sizes[i / 4],
                            .event_index = (i & 1) != 0,
                            .indirect = (i & 2) != 0,
                            .total = total};
        bool good = total > 0 && run(&link);
        failed += !good;
        printf("%sok %d - a queue of %u, %s event index, %s indirect descriptors\n",
               good ? "" : "not ", ++number, link.size, link.event_index ? "with" : "without",
               link.indirect ? "with" : "without");
        fflush(stdout);
    }
    return failed == 0 ? 0 : 1;
}
