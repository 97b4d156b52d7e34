/* SPDX-License-Identifier: Apache-2.0 */
#include "driver.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static uint64_t
round_up(uint64_t value)
{
    return (value + 15) & ~UINT64_C(15);
}

uint64_t
driver_get_room(uint32_t size)
{
    return UINT64_C(16) * size + round_up(6 + 2 * size) + round_up(6 + 8 * size) +
           UINT64_C(16) * DRIVER_SEGMENTS * size;
}

void
driver_init(struct driver *driver, struct test_board *board, uint64_t gpa, uint32_t size,
            bool event_index)
{
    *driver = (struct driver){
        .board = board,
        .size = size,
        .descriptors = gpa,
        .available = gpa + UINT64_C(16) * size,
        .free_count = size,
        .event_index = event_index,
    };
    driver->used = driver->available + round_up(6 + 2 * size);
    driver->tables = driver->used + round_up(6 + 8 * size);
    driver->desc = test_board_at(board, driver->descriptors);
    driver->avail = test_board_at(board, driver->available);
    driver->used_ring = test_board_at(board, driver->used);
    driver->device_event = test_board_at(board, driver->used + 4 + UINT64_C(8) * size);
    memset(driver->desc, 0, driver_get_room(size));
    driver->requests = calloc(size, sizeof *driver->requests);
    driver->free = calloc(size, sizeof *driver->free);
    for (uint32_t i = 0; i < size; i++)
        driver->free[i] = (uint16_t)i;
}

void
driver_clear(struct driver *driver)
{
    free(driver->requests);
    free(driver->free);
}

static struct vring_desc
describe(const struct driver_request *request, uint32_t index, uint16_t next)
{
    const struct driver_segment *segment = &request->segments[index];
    bool last = index + 1 == request->count;
    return (struct vring_desc){
        .addr = segment->gpa,
        .len = segment->size,
        .flags = (uint16_t)((segment->writable ? VRING_DESC_F_WRITE : 0) |
                            (last ? 0 : VRING_DESC_F_NEXT)),
        .next = next,
    };
}

int
driver_add(struct driver *driver, const struct driver_request *request)
{
    uint32_t needed = request->indirect ? 1 : request->count;
    if (driver->free_count < needed)
        return -1;
    const uint16_t *taken = &driver->free[driver->free_count - needed];
    driver->free_count -= needed;
    uint16_t head = taken[0];
    uint64_t table_gpa = driver->tables + UINT64_C(16) * DRIVER_SEGMENTS * head;
    struct vring_desc *table = test_board_at(driver->board, table_gpa);
    for (uint32_t i = 0; i < request->count; i++) {
        if (request->indirect)
            table[i] = describe(request, i, (uint16_t)(i + 1));
        else
            driver->desc[taken[i]] =
                describe(request, i, i + 1 < needed ? taken[i + 1] : (uint16_t)0);
    }
    if (request->indirect)
        driver->desc[head] = (struct vring_desc){
            .addr = table_gpa,
            .len = 16 * request->count,
            .flags = VRING_DESC_F_INDIRECT,
        };
    driver->requests[head] = *request;
    driver->requests[head].in_use = true;
    driver->avail->ring[driver->next_avail % driver->size] = head;
    driver->next_avail++;
    __atomic_store_n(&driver->avail->idx, driver->next_avail, __ATOMIC_RELEASE);
    return head;
}

bool
driver_must_kick(struct driver *driver)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint16_t old = driver->kicked;
    driver->kicked = driver->next_avail;
    if (old == driver->next_avail)
        return false;
    if (!driver->event_index)
        return (__atomic_load_n(&driver->used_ring->flags, __ATOMIC_RELAXED) &
                VRING_USED_F_NO_NOTIFY) == 0;
    uint16_t event = __atomic_load_n(driver->device_event, __ATOMIC_RELAXED);
    return vring_need_event(event, driver->next_avail, old);
}

/* A request's descriptors, in the order of its chain, are free again. */
static void
release(struct driver *driver, uint16_t head)
{
    struct driver_request *request = &driver->requests[head];
    uint32_t count = request->indirect ? 1 : request->count;
    uint16_t index = head;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t next = driver->desc[index].next;
        driver->free[driver->free_count++] = index;
        index = next;
    }
    request->in_use = false;
}

int
driver_take(struct driver *driver, uint32_t *ret_written)
{
    if (__atomic_load_n(&driver->used_ring->idx, __ATOMIC_ACQUIRE) == driver->next_used)
        return -1;
    const struct vring_used_elem *element =
        &driver->used_ring->ring[driver->next_used % driver->size];
    ck_assert_uint_lt(element->id, driver->size);
    ck_assert(driver->requests[element->id].in_use);
    driver->next_used++;
    *ret_written = element->len;
    release(driver, (uint16_t)element->id);
    return (int)element->id;
}

bool
driver_listen(struct driver *driver)
{
    if (driver->event_index)
        __atomic_store_n(&driver->avail->ring[driver->size], driver->next_used, __ATOMIC_RELAXED);
    else
        __atomic_store_n(&driver->avail->flags, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(&driver->used_ring->idx, __ATOMIC_ACQUIRE) != driver->next_used;
}

void
driver_ignore(struct driver *driver)
{
    if (!driver->event_index)
        __atomic_store_n(&driver->avail->flags, VRING_AVAIL_F_NO_INTERRUPT, __ATOMIC_RELAXED);
}
