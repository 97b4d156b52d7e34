/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of an image on its way to a file. A thread of its own, where there may be one, reads
 * it piece by piece ahead of what is written, and sums the pages up; the writer's thread does the
 * same where it would wait. They read into few buffers, again and again, so that what is written
 * comes from the processor's caches, and no mapping comes and goes. What is compressed is summed up
 * by the threads that compress it.
 */
#include "vm/snapshot_memory.h"

#include "archive/threads.h"
#include "util/thread.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SLOT_SIZE ((size_t)2 << 20)
#define STEP ((size_t)128 << 10) /* is read, and then summed up */
#define RAW_SLOTS 6
#define SLOTS 16
#define PIECES 256

struct piece {
    uint64_t address;
    uint64_t size;
    const uint8_t *bytes; /* NULL: zeros */
};

struct slot {
    uint8_t *buffer;
    struct piece pieces[PIECES];
    struct vmk_archive_sum sums[SLOT_SIZE / VMK_IMAGE_PAGE]; /* of the buffer's pages */
    size_t count;
    uint64_t mark; /* the writer's own: what it has settled when this is needed no more */
    bool is_last;
    bool is_full; /* under the lock */
    int result;   /* 0, or a negative errno with the error */
    vmkit_error *error;
};

struct reading {
    struct vmk_image *image;
    const struct vmk_image *parent;
    uint64_t end;
    bool sums; /* up the pages */
    uint8_t *buffer;
    uint64_t slot_count;
    struct slot slots[SLOTS];

    /* Slots are counted; number n is slots[n % slot_count]. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t at;
    uint64_t taken; /* by a thread that fills it */
    uint64_t emptied;
    bool stop; /* nothing is left to take, or to be taken */

    bool has_thread;
    pthread_t thread;
};

static int
fail_read(const struct reading *reading, int result, uint64_t address, vmkit_error **ret_error)
{
    if (result == -ENOMEM)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory to save a snapshot");
    if (vmk_image_check(reading->image, ret_error) < 0)
        return -EIO;
    return vmk_error_set(ret_error, EIO, VMKIT_ERROR_IO,
                         "the snapshot's memory at 0x%" PRIx64 " cannot be read%s", address,
                         result == -EFAULT ? ": its file was shortened" : "");
}

/* A piece into the buffer. */
static int
read_piece(const struct reading *reading, const struct piece *piece, struct slot *slot)
{
    for (size_t done = 0; done < piece->size; done += STEP) {
        size_t size = piece->size - done < STEP ? (size_t)piece->size - done : STEP;
        size_t at = (size_t)(piece->bytes - slot->buffer) + done;
        int result = vmk_image_read(reading->image, piece->address + done, slot->buffer + at, size);
        if (result < 0)
            return fail_read(reading, result, piece->address + done, &slot->error);
        if (reading->sums)
            vmk_archive_sum_pages(slot->buffer + at, size, &slot->sums[at / VMK_IMAGE_PAGE]);
    }
    return 0;
}

/* Without the lock. */
static void
fill(const struct reading *reading, struct slot *slot)
{
    for (size_t i = 0; i < slot->count && slot->result == 0; i++) {
        if (slot->pieces[i].bytes != NULL)
            slot->result = read_piece(reading, &slot->pieces[i], slot);
    }
}

/* Say what goes into a slot: what comes next that the image has, or has otherwise than the parent.
 * Under the lock. */
static void
plan(struct reading *reading, struct slot *slot)
{
    struct vmk_image_run run;
    size_t used = 0;
    for (slot->count = 0; used < SLOT_SIZE && slot->count < PIECES; slot->count++) {
        slot->is_last = !vmk_image_find_changed(reading->image, reading->parent, reading->at,
                                                reading->end, &run);
        if (slot->is_last)
            return;
        struct piece *piece = &slot->pieces[slot->count];
        *piece = (struct piece){.address = run.address, .size = run.size};
        if (run.store != NULL) {
            if (piece->size > SLOT_SIZE - used)
                piece->size = SLOT_SIZE - used;
            piece->bytes = slot->buffer + used;
            used += (size_t)piece->size;
        }
        reading->at = piece->address + piece->size;
    }
}

/* Fill the next slot, if there is one to fill. Under the lock, which it gives up meanwhile. */
static bool
fill_next(struct reading *reading)
{
    if (reading->stop || reading->taken - reading->emptied == reading->slot_count)
        return false;
    struct slot *slot = &reading->slots[reading->taken++ % reading->slot_count];
    slot->is_full = false;
    plan(reading, slot);
    if (slot->is_last)
        reading->stop = true;
    pthread_mutex_unlock(&reading->lock);
    fill(reading, slot);
    pthread_mutex_lock(&reading->lock);
    slot->is_full = true;
    pthread_cond_signal(&reading->changed);
    return true;
}

static void *
read_ahead(void *argument)
{
    struct reading *reading = argument;
    pthread_mutex_lock(&reading->lock);
    while (!reading->stop) {
        if (!fill_next(reading))
            pthread_cond_wait(&reading->changed, &reading->lock);
    }
    pthread_mutex_unlock(&reading->lock);
    return NULL;
}

/* A slot that is full; the ones before it were written. */
static struct slot *
get_slot(struct reading *reading, uint64_t number)
{
    struct slot *slot = &reading->slots[number % reading->slot_count];
    pthread_mutex_lock(&reading->lock);
    while (reading->taken <= number || !slot->is_full) {
        if (!fill_next(reading))
            pthread_cond_wait(&reading->changed, &reading->lock);
    }
    pthread_mutex_unlock(&reading->lock);
    return slot;
}

/* Of the slots below `end`, give those back that the writer needs no more, and one at the least
 * when there is no other. */
static int
put_slots(struct reading *reading, uint64_t end, struct vmk_archive_writer *writer,
          vmkit_error **ret_error)
{
    const struct slot *slots = reading->slots;
    uint64_t emptied = reading->emptied; /* which this thread alone changes */
    int result = 0;
    if (end - emptied == reading->slot_count) {
        uint64_t mark = slots[emptied++ % reading->slot_count].mark;
        result = vmk_archive_writer_settle(writer, mark, ret_error);
    }
    uint64_t settled = vmk_archive_writer_get_settled(writer);
    while (emptied < end && slots[emptied % reading->slot_count].mark <= settled)
        emptied++;
    if (result < 0 || emptied == reading->emptied)
        return result;
    pthread_mutex_lock(&reading->lock);
    reading->emptied = emptied;
    pthread_cond_signal(&reading->changed);
    pthread_mutex_unlock(&reading->lock);
    return 0;
}

static int
write_piece(const struct reading *reading, const struct slot *slot, const struct piece *piece,
            struct vmk_archive_writer *writer, vmkit_error **ret_error)
{
    if (piece->bytes == NULL)
        return vmk_archive_writer_add_zeros(writer, piece->address, piece->size, ret_error);
    if (!reading->sums)
        return vmk_archive_writer_add_memory(writer, piece->address, piece->bytes, piece->size,
                                             ret_error);
    size_t first = (size_t)(piece->bytes - slot->buffer) / VMK_IMAGE_PAGE;
    return vmk_archive_writer_add_summed(writer, piece->address, piece->bytes, piece->size,
                                         &slot->sums[first], ret_error);
}

static int
write_slot(const struct reading *reading, struct slot *slot, struct vmk_archive_writer *writer,
           vmkit_error **ret_error)
{
    int result = 0;
    if (slot->result < 0) {
        vmkit_error *error = slot->error;
        slot->error = NULL;
        return vmk_error_hand_over(error, ret_error);
    }
    for (size_t i = 0; result == 0 && i < slot->count; i++)
        result = write_piece(reading, slot, &slot->pieces[i], writer, ret_error);
    slot->mark = vmk_archive_writer_get_added(writer);
    return result < 0 || !reading->sums ? result : vmk_archive_writer_flush(writer, ret_error);
}

static int
write_all(struct reading *reading, struct vmk_archive_writer *writer, vmkit_error **ret_error)
{
    bool is_last = false;
    int result = 0;
    for (uint64_t number = 0; result == 0 && !is_last; number++) {
        struct slot *slot = get_slot(reading, number);
        is_last = slot->is_last;
        result = write_slot(reading, slot, writer, ret_error);
        if (result == 0)
            result = put_slots(reading, number + 1, writer, ret_error);
    }
    return result < 0 ? result : vmk_archive_writer_flush(writer, ret_error);
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
    for (size_t i = 0; i < SLOTS; i++)
        vmk_error_unref(reading->slots[i].error);
    pthread_cond_destroy(&reading->changed);
    pthread_mutex_destroy(&reading->lock);
    free(reading->buffer);
    free(reading);
}

static struct reading *
reading_new(struct vmk_image *image, const struct vmk_archive_settings *settings)
{
    struct reading *reading = calloc(1, sizeof *reading);
    if (reading == NULL)
        return NULL;
    reading->image = image;
    reading->sums = settings->level == 0;
    reading->slot_count = reading->sums ? RAW_SLOTS : SLOTS;
    reading->buffer = aligned_alloc(SLOT_SIZE, (size_t)reading->slot_count * SLOT_SIZE);
    if (reading->buffer == NULL) {
        free(reading);
        return NULL;
    }
    /* Fewer faults, where there are such pages. */
    madvise(reading->buffer, (size_t)reading->slot_count * SLOT_SIZE, MADV_HUGEPAGE);
    for (size_t i = 0; i < reading->slot_count; i++)
        reading->slots[i].buffer = reading->buffer + i * SLOT_SIZE;
    pthread_mutex_init(&reading->lock, NULL);
    pthread_cond_init(&reading->changed, NULL);
    return reading;
}

int
vmk_snapshot_memory_save(struct vmk_image *image, const struct vmk_image *parent, uint64_t size,
                         struct vmk_archive_writer *writer, vmkit_error **ret_error)
{
    const struct vmk_archive_settings *settings = vmk_archive_writer_get_settings(writer);
    struct reading *reading = reading_new(image, settings);
    if (reading == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory to save a snapshot");
    reading->parent = parent;
    reading->end = size;
    begin(reading, settings);
    int result = write_all(reading, writer, ret_error);
    /* The writer's threads may be at what was read. */
    if (result < 0)
        vmk_archive_writer_abandon(writer);
    end(reading);
    return result;
}
