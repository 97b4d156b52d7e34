/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/queue.h"

#include "util/checked.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The rings are shared with a driver that runs meanwhile. */
static uint16_t
load(const __virtio16 *at)
{
    return le16toh(__atomic_load_n(at, __ATOMIC_ACQUIRE));
}

static void
store(__virtio16 *at, uint16_t value)
{
    __atomic_store_n(at, htole16(value), __ATOMIC_RELEASE);
}

/* §2.7.10: what the driver says behind its ring, and the device behind its own. */
static __virtio16 *
used_event(const struct vmk_queue *queue)
{
    return &queue->available->ring[queue->size];
}

static __virtio16 *
available_event(const struct vmk_queue *queue)
{
    return (__virtio16 *)&queue->used->ring[queue->size];
}

void
vmk_queue_break(struct vmk_queue *queue, const char *format, ...)
{
    if (queue->broken[0] != '\0')
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(queue->broken, sizeof queue->broken, format, arguments);
    va_end(arguments);
}

/* Where [gpa, gpa + size) is, or NULL when it is not inside of one region of RAM. */
static void *
find(struct vmk_queue *queue, uint64_t gpa, uint64_t size)
{
    struct vmk_board_memory *recent = &queue->recent;
    if (!vmk_range_inside(gpa, size, recent->gpa, recent->size)) {
        struct vmk_board_memory found;
        if (queue->board->ops->find_memory(queue->board->data, gpa, &found) < 0 ||
            !vmk_range_inside(gpa, size, found.gpa, found.size))
            return NULL;
        *recent = found;
    }
    return recent->hva + (gpa - recent->gpa);
}

static int
find_ring(struct vmk_queue *queue, const char *name, uint64_t gpa, uint64_t size,
          uint32_t alignment, void **ret_ring, vmkit_error **ret_error)
{
    if (gpa % alignment != 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the %s at 0x%" PRIx64 " is not aligned to %" PRIu32 " bytes", name,
                             gpa, alignment);
    *ret_ring = find(queue, gpa, size);
    if (*ret_ring != NULL)
        return 0;
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_OUT_OF_RANGE,
                         "the %s at 0x%" PRIx64 ", of 0x%" PRIx64 " bytes, is not wholly in memory",
                         name, gpa, size);
}

int
vmk_queue_set_up(struct vmk_queue *queue, const struct vmk_board *board,
                 const struct vmk_queue_place *place, bool event_index, bool indirect,
                 vmkit_error **ret_error)
{
    uint32_t size = place->size;
    void *descriptors, *available, *used;
    vmk_queue_tear_down(queue);
    if (size == 0 || (size & (size - 1)) != 0 || size > place->maximum || size > VMK_QUEUE_MAX)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "a queue of %" PRIu32 " descriptors is no power of two up to %" PRIu32,
                             size, place->maximum);
    *queue = (struct vmk_queue){
        .board = board,
        .used_gpa = place->used,
        .size = size,
        .generation = queue->generation,
        .event_index = event_index,
        .indirect = indirect,
    };
    /* Both events belong to their rings, whether they are used or not. */
    int result = find_ring(queue, "descriptor table", place->descriptors, UINT64_C(16) * size, 16,
                           &descriptors, ret_error);
    if (result == 0)
        result = find_ring(queue, "available ring", place->available, 6 + UINT64_C(2) * size, 2,
                           &available, ret_error);
    if (result == 0)
        result =
            find_ring(queue, "used ring", place->used, 6 + UINT64_C(8) * size, 4, &used, ret_error);
    if (result < 0)
        return result;
    queue->descriptors = descriptors;
    queue->available = available;
    queue->used = used;
    queue->ready = true;
    return 0;
}

void
vmk_queue_tear_down(struct vmk_queue *queue)
{
    queue->ready = false;
    queue->in_flight = 0;
    queue->generation++;
}

/* Ask the driver to notify, or not to (§2.7.7, §2.7.10). With the event index, an event that is
 * left behind asks for nothing. */
static void
listen(struct vmk_queue *queue, bool wanted)
{
    uint64_t at = queue->used_gpa;
    uint64_t size = sizeof(uint16_t);
    queue->listening = wanted;
    if (!queue->event_index) {
        store(&queue->used->flags, wanted ? 0 : VRING_USED_F_NO_NOTIFY);
    } else if (wanted) {
        store(available_event(queue), queue->next_available);
        at += 4 + UINT64_C(8) * queue->size;
    } else {
        return;
    }
    queue->board->ops->note_write(queue->board->data, at, size);
}

/* How many chains wait. */
static uint16_t
count_available(const struct vmk_queue *queue)
{
    return (uint16_t)(load(&queue->available->idx) - queue->next_available);
}

bool
vmk_queue_has_chains(const struct vmk_queue *queue)
{
    return queue->ready && queue->broken[0] == '\0' && count_available(queue) != 0;
}

/* A descriptor of `table`, which may lie anywhere in memory and change at any time: what is checked
 * is the copy. */
static struct vring_desc
copy_descriptor(const uint8_t *table, uint32_t index)
{
    struct vring_desc copy;
    memcpy(&copy, table + (size_t)index * sizeof copy, sizeof copy);
    __asm__ volatile("" : "+m"(copy));
    copy.addr = le64toh(copy.addr);
    copy.len = le32toh(copy.len);
    copy.flags = le16toh(copy.flags);
    copy.next = le16toh(copy.next);
    return copy;
}

static bool
add_segment(struct vmk_queue *queue, struct vmk_chain *chain, const struct vring_desc *from)
{
    bool writable = (from->flags & VRING_DESC_F_WRITE) != 0;
    uint32_t *size = writable ? &chain->writable_size : &chain->readable_size;
    uint32_t count = chain->readable + chain->writable;
    void *data = from->len == 0 ? NULL : find(queue, from->addr, from->len);
    if (from->len == 0)
        vmk_queue_break(queue, "a descriptor of no bytes");
    else if (count == chain->capacity)
        vmk_queue_break(queue, "a chain of more than %" PRIu32 " descriptors", chain->capacity);
    else if (!writable && chain->writable != 0)
        vmk_queue_break(queue, "a descriptor to read behind one to write");
    else if (data == NULL)
        vmk_queue_break(queue, "bytes [0x%" PRIx64 ", +0x%" PRIx32 ") are not in memory",
                        (uint64_t)from->addr, (uint32_t)from->len);
    else if (__builtin_add_overflow(*size, from->len, size))
        vmk_queue_break(queue, "a chain of more than %" PRIu32 " bytes", UINT32_MAX);
    if (queue->broken[0] != '\0')
        return false;
    chain->segments[count] = (struct vmk_segment){data, from->addr, from->len};
    *(writable ? &chain->writable : &chain->readable) += 1;
    return true;
}

/* Follow a chain through a table. A loop is found by its length, and no chain is longer than its
 * table (§2.7.5). */
static bool
walk(struct vmk_queue *queue, struct vmk_chain *chain, const uint8_t *table, uint32_t size,
     uint32_t index, bool inside)
{
    for (uint32_t step = 0; step < size; step++) {
        struct vring_desc copy = copy_descriptor(table, index);
        if ((copy.flags & VRING_DESC_F_INDIRECT) != 0) {
            uint32_t count = copy.len / (uint32_t)sizeof copy;
            const uint8_t *other = NULL;
            if (inside || !queue->indirect || (copy.flags & VRING_DESC_F_NEXT) != 0)
                vmk_queue_break(queue, "an indirect descriptor %s",
                                inside             ? "in an indirect table"
                                : !queue->indirect ? "without the feature for it"
                                                   : "with a next one");
            else if (copy.len == 0 || copy.len % sizeof copy != 0)
                vmk_queue_break(queue, "an indirect table of %" PRIu32 " bytes",
                                (uint32_t)copy.len);
            else if ((other = find(queue, copy.addr, copy.len)) == NULL)
                vmk_queue_break(queue, "an indirect table at 0x%" PRIx64 " is not in memory",
                                (uint64_t)copy.addr);
            return other != NULL && walk(queue, chain, other, count, 0, true);
        }
        if (!add_segment(queue, chain, &copy))
            return false;
        if ((copy.flags & VRING_DESC_F_NEXT) == 0)
            return true;
        if (copy.next >= size) {
            vmk_queue_break(queue, "a next descriptor %u, of %" PRIu32, copy.next, size);
            return false;
        }
        index = copy.next;
    }
    vmk_queue_break(queue, "a chain that goes round in a table of %" PRIu32, size);
    return false;
}

/* Whether there is a chain to take; breaks a queue that has more of them than it can have. */
static bool
look(struct vmk_queue *queue)
{
    uint16_t count = count_available(queue);
    if (count == 0) {
        if (!queue->listening)
            listen(queue, true);
        /* The driver writes its index, then looks whether to notify: one of the two sees. */
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        count = count_available(queue);
    }
    if (count + queue->in_flight > queue->size)
        vmk_queue_break(queue, "%u chains available and %" PRIu32 " in use, of %" PRIu32, count,
                        queue->in_flight, queue->size);
    return count != 0 && queue->broken[0] == '\0';
}

int
vmk_queue_pop(struct vmk_queue *queue, struct vmk_chain *chain)
{
    if (!queue->ready)
        return 0;
    if (queue->broken[0] != '\0' || !look(queue))
        return queue->broken[0] != '\0' ? -EIO : 0;
    if (queue->listening)
        listen(queue, false);

    uint16_t head = load(&queue->available->ring[queue->next_available & (queue->size - 1)]);
    chain->readable = chain->writable = 0;
    chain->readable_size = chain->writable_size = 0;
    chain->generation = queue->generation;
    chain->head = head;
    if (head >= queue->size)
        vmk_queue_break(queue, "available descriptor %u, of %" PRIu32, head, queue->size);
    else
        walk(queue, chain, (const uint8_t *)queue->descriptors, queue->size, head, false);
    if (queue->broken[0] != '\0')
        return -EIO;
    queue->next_available++;
    queue->in_flight++;
    return 1;
}

void
vmk_queue_push(struct vmk_queue *queue, struct vmk_chain *chain, uint32_t written)
{
    if (!queue->ready || queue->broken[0] != '\0' || chain->generation != queue->generation)
        return;
    /* All of what may be written: a read that failed half-way has written more than it says. */
    for (uint32_t i = chain->readable; i < chain->readable + chain->writable; i++)
        queue->board->ops->note_write(queue->board->data, chain->segments[i].gpa,
                                      chain->segments[i].size);

    uint32_t slot = queue->next_used & (queue->size - 1);
    struct vring_used_elem *element = &queue->used->ring[slot];
    __atomic_store_n(&element->id, htole32(chain->head), __ATOMIC_RELAXED);
    __atomic_store_n(&element->len, htole32(written), __ATOMIC_RELAXED);
    queue->next_used++;
    store(&queue->used->idx, queue->next_used);
    queue->in_flight--;
    /* Given out once: a second push of the same chain would count it twice. */
    chain->generation = queue->generation - 1;
    queue->board->ops->note_write(queue->board->data, queue->used_gpa + 4 + UINT64_C(8) * slot, 8);
    queue->board->ops->note_write(queue->board->data, queue->used_gpa, 4);
}

bool
vmk_queue_must_notify(struct vmk_queue *queue)
{
    if (!queue->ready || queue->broken[0] != '\0' || queue->signalled == queue->next_used)
        return false;
    /* The index is out before the driver's wish is read. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint16_t old = queue->signalled;
    queue->signalled = queue->next_used;
    if (!queue->event_index)
        return (load(&queue->available->flags) & VRING_AVAIL_F_NO_INTERRUPT) == 0;
    uint16_t event = load(used_event(queue));
    return vring_need_event(event, queue->next_used, old);
}

/* What both copies have in common: the next stretch from *offset on in segments [*index, end). */
static size_t
next_stretch(const struct vmk_chain *chain, uint32_t end, uint32_t *index, uint64_t *offset,
             size_t left, uint8_t **ret_data)
{
    while (*index < end && *offset >= chain->segments[*index].size)
        *offset -= chain->segments[(*index)++].size;
    if (*index == end)
        return 0;
    size_t size = chain->segments[*index].size - (size_t)*offset;
    *ret_data = chain->segments[*index].data + *offset;
    size = size < left ? size : left;
    *offset += size;
    return size;
}

size_t
vmk_chain_read(const struct vmk_chain *chain, uint64_t offset, void *destination, size_t size)
{
    size_t done = 0;
    uint32_t index = 0;
    uint8_t *data;
    for (size_t now; done < size; done += now) {
        now = next_stretch(chain, chain->readable, &index, &offset, size - done, &data);
        if (now == 0)
            break;
        memcpy((uint8_t *)destination + done, data, now);
    }
    return done;
}

size_t
vmk_chain_write(struct vmk_chain *chain, uint64_t offset, const void *source, size_t size)
{
    size_t done = 0;
    uint32_t index = chain->readable;
    uint32_t end = chain->readable + chain->writable;
    uint8_t *data;
    for (size_t now; done < size; done += now) {
        now = next_stretch(chain, end, &index, &offset, size - done, &data);
        if (now == 0)
            break;
        memcpy(data, (const uint8_t *)source + done, now);
    }
    return done;
}
