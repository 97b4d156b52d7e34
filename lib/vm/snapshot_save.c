/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of an image on its way to a file. A thread of its own, where there may be one, maps
 * the image piece by piece ahead of what is written, and has the kernel bring its pages in: that
 * takes a third of the time that writing them takes.
 */
#include "vm/snapshot_memory.h"

#include "archive/threads.h"
#include "util/thread.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#define SLOT_SIZE (UINT64_C(4) << 20)
#define SLOTS 16
/* How many slots the writer takes before it has to be done with them: waiting for that costs. */
#define GROUP 8
#define PIECES 256

struct piece {
    uint64_t address;
    uint64_t size;
    const uint8_t *bytes; /* NULL: zeros */
};

struct slot {
    struct vmkit_memory *memory; /* a mapping of the image */
    struct piece pieces[PIECES];
    size_t count;
    bool is_last;
    int result; /* 0, or a negative errno with the error */
    vmkit_error *error;
};

struct reading {
    struct vmk_image *image;
    const struct vmk_image *parent;
    uint64_t at; /* the reader's own */
    uint64_t end;
    struct slot slots[SLOTS];

    /* Slots are counted; number n is slots[n % SLOTS]. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t filled;
    uint64_t emptied;
    bool stop;

    bool has_thread;
    pthread_t thread;
};

/* Have the pages there, many of them by each fault. */
static void
touch(const volatile uint8_t *bytes, uint64_t size)
{
    for (uint64_t at = 0; at < size; at += VMK_IMAGE_PAGE)
        bytes[at];
}

/* The next window in which the image has something, or has it otherwise than the parent. */
static void
fill(struct reading *reading, struct slot *slot)
{
    struct vmk_image_run run;
    vmk_memory_unref(slot->memory);
    slot->memory = NULL;
    slot->count = 0;
    slot->is_last =
        !vmk_image_find_changed(reading->image, reading->parent, reading->at, reading->end, &run);
    if (slot->is_last)
        return;
    uint64_t begin = run.address, left = reading->end - begin;
    uint64_t end = begin + (left < SLOT_SIZE ? left : SLOT_SIZE);
    slot->result =
        vmk_memory_new_copy(reading->image, begin, end - begin, &slot->memory, &slot->error);
    reading->at = end;
    while (slot->result == 0 &&
           vmk_image_find_changed(reading->image, reading->parent, begin, end, &run)) {
        struct piece *piece = &slot->pieces[slot->count++];
        *piece = (struct piece){.address = run.address, .size = run.size};
        if (run.store != NULL) {
            piece->bytes = (const uint8_t *)vmk_memory_get_pointer(slot->memory) +
                           (run.address - (end - vmk_memory_get_size(slot->memory)));
            touch(piece->bytes, piece->size);
        }
        begin = run.address + run.size;
        if (slot->count == PIECES) {
            reading->at = begin;
            return;
        }
    }
}

static void *
read_ahead(void *argument)
{
    struct reading *reading = argument;
    bool is_last = false;
    pthread_mutex_lock(&reading->lock);
    while (!is_last) {
        while (!reading->stop && reading->filled - reading->emptied == SLOTS)
            pthread_cond_wait(&reading->changed, &reading->lock);
        if (reading->stop)
            break;
        struct slot *slot = &reading->slots[reading->filled % SLOTS];
        pthread_mutex_unlock(&reading->lock);
        fill(reading, slot);
        is_last = slot->is_last || slot->result < 0;
        pthread_mutex_lock(&reading->lock);
        reading->filled++;
        pthread_cond_signal(&reading->changed);
    }
    pthread_mutex_unlock(&reading->lock);
    return NULL;
}

/* The next slot that is filled. */
static struct slot *
get_slot(struct reading *reading, uint64_t number)
{
    struct slot *slot = &reading->slots[number % SLOTS];
    if (!reading->has_thread) {
        fill(reading, slot);
        return slot;
    }
    pthread_mutex_lock(&reading->lock);
    while (reading->filled <= number)
        pthread_cond_wait(&reading->changed, &reading->lock);
    pthread_mutex_unlock(&reading->lock);
    return slot;
}

/* The writer is done with `count` slots. */
static void
put_slots(struct reading *reading, uint64_t count)
{
    pthread_mutex_lock(&reading->lock);
    reading->emptied += count;
    pthread_cond_signal(&reading->changed);
    pthread_mutex_unlock(&reading->lock);
}

static int
write_slot(struct slot *slot, struct vmk_archive_writer *writer, vmkit_error **ret_error)
{
    int result = 0;
    if (slot->result < 0) {
        vmkit_error *error = slot->error;
        slot->error = NULL;
        return vmk_error_hand_over(error, ret_error);
    }
    for (size_t i = 0; result == 0 && i < slot->count; i++) {
        const struct piece *piece = &slot->pieces[i];
        result = piece->bytes == NULL
                     ? vmk_archive_writer_add_zeros(writer, piece->address, piece->size, ret_error)
                     : vmk_archive_writer_add_memory(writer, piece->address, piece->bytes,
                                                     piece->size, ret_error);
    }
    return result;
}

static int
write_all(struct reading *reading, struct vmk_archive_writer *writer, vmkit_error **ret_error)
{
    bool is_last = false;
    int result = 0;
    for (uint64_t number = 0; result == 0 && !is_last; number++) {
        struct slot *slot = get_slot(reading, number);
        is_last = slot->is_last;
        result = write_slot(slot, writer, ret_error);
        if (result == 0 && (is_last || number % GROUP == GROUP - 1))
            result = vmk_archive_writer_flush(writer, ret_error);
        if (number % GROUP == GROUP - 1)
            put_slots(reading, GROUP);
    }
    return result;
}

/* What fits into one slot needs no thread. */
static void
begin(struct reading *reading, const struct vmk_archive_settings *settings)
{
    bool has_thread =
        vmk_image_get_data_size(reading->image) > SLOT_SIZE && vmk_threads_get_count(settings) > 1;
    reading->has_thread =
        has_thread && vmk_thread_start(&reading->thread, read_ahead, reading) == 0;
}

static void
end(struct reading *reading)
{
    pthread_mutex_lock(&reading->lock);
    reading->stop = true;
    pthread_cond_signal(&reading->changed);
    pthread_mutex_unlock(&reading->lock);
    if (reading->has_thread)
        pthread_join(reading->thread, NULL);
    for (size_t i = 0; i < SLOTS; i++) {
        vmk_memory_unref(reading->slots[i].memory);
        vmk_error_unref(reading->slots[i].error);
    }
    pthread_cond_destroy(&reading->changed);
    pthread_mutex_destroy(&reading->lock);
    free(reading);
}

int
vmk_snapshot_memory_save(struct vmk_image *image, const struct vmk_image *parent, uint64_t size,
                         struct vmk_archive_writer *writer, vmkit_error **ret_error)
{
    struct reading *reading = calloc(1, sizeof *reading);
    if (reading == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory to save a snapshot");
    pthread_mutex_init(&reading->lock, NULL);
    pthread_cond_init(&reading->changed, NULL);
    reading->image = image;
    reading->parent = parent;
    reading->end = size;
    begin(reading, vmk_archive_writer_get_settings(writer));
    int result = write_all(reading, writer, ret_error);
    end(reading);
    /* What was damaged where it was touched was written as zeros. */
    return result < 0 ? result : vmk_image_check(image, ret_error);
}
