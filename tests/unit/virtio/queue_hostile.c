/* SPDX-License-Identifier: Apache-2.0 */
/* Drivers that break the rules: each is told why, and nothing else happens. */
#include "virtio/queue.h"

#include "board.h"
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 8
#define CAPACITY 16
#define TABLE (RAM_GPA + 0x1000)
#define AVAILABLE (RAM_GPA + 0x2000)
#define USED (RAM_GPA + 0x3000)
#define INDIRECT (RAM_GPA + 0x4000)
#define DATA (RAM_GPA + 0x10000)
#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define TO_TABLE VRING_DESC_F_INDIRECT

static struct test_board board;
static struct vmk_queue queue;
static struct vmk_segment segments[CAPACITY];
static struct vmk_chain chain;

static int
place_queue(uint32_t size, uint64_t table, uint64_t available, uint64_t used, vmkit_error **error)
{
    struct vmk_queue_place place = {size, 256, table, available, used};
    return vmk_queue_set_up(&queue, &board.board, &place, false, true, error);
}

static void
set_up(void)
{
    test_board_init(&board);
    memset(&queue, 0, sizeof queue);
    chain = (struct vmk_chain){.segments = segments, .capacity = CAPACITY};
    ck_assert_int_eq(place_queue(SIZE, TABLE, AVAILABLE, USED, NULL), 0);
}

static void
tear_down(void)
{
    test_board_clear(&board);
}

static void
offer(uint16_t slot, uint16_t head, uint16_t index)
{
    struct vring_avail *available = test_board_at(&board, AVAILABLE);
    available->ring[slot] = head;
    available->idx = index;
}

struct malformed {
    const char *sentence;
    struct vring_desc direct[3];
    struct vring_desc indirect[3];
    bool without_indirect;
};

static const struct malformed malformed[] = {
    {"a chain that goes round in a table of 8", {{DATA, 1, NEXT, 1}, {DATA, 1, NEXT, 0}}},
    {"a chain that goes round in a table of 8", {{DATA, 1, NEXT, 0}}},
    {"a next descriptor 8, of 8", {{DATA, 1, NEXT, 8}}},
    {"a next descriptor 65535, of 8", {{DATA, 1, NEXT, 65535}}},
    {"a descriptor of no bytes", {{DATA, 0, 0, 0}}},
    {"a descriptor of no bytes", {{DATA, 1, NEXT, 1}, {DATA, 0, WRITE, 0}}},
    {"bytes [0x0, +0x1) are not in memory", {{0, 1, 0, 0}}},
    {"bytes [0xffffffffffffffff, +0x2) are not in memory", {{UINT64_MAX, 2, 0, 0}}},
    {"bytes [0x1fffff, +0x2) are not in memory", {{RAM_GPA + RAM_SIZE - 1, 2, WRITE, 0}}},
    {"bytes [0x200000, +0x1) are not in memory", {{RAM_GPA + RAM_SIZE, 1, 0, 0}}},
    {"bytes [0x110000, +0xffffffff) are not in memory", {{DATA, UINT32_MAX, WRITE, 0}}},
    {"a descriptor to read behind one to write", {{DATA, 1, WRITE | NEXT, 1}, {DATA, 1, 0, 0}}},
    {"an indirect descriptor with a next one",
     {{INDIRECT, 16, TO_TABLE | NEXT, 1}, {DATA, 1, 0, 0}},
     {{DATA, 1, 0, 0}}},
    {"an indirect descriptor in an indirect table",
     {{INDIRECT, 32, TO_TABLE, 0}},
     {{DATA, 1, NEXT, 1}, {INDIRECT, 16, TO_TABLE, 0}}},
    {"an indirect descriptor in an indirect table",
     {{INDIRECT, 16, TO_TABLE, 0}},
     {{INDIRECT, 16, TO_TABLE, 0}}},
    {"an indirect descriptor without the feature for it",
     {{INDIRECT, 16, TO_TABLE, 0}},
     {{DATA, 1, 0, 0}},
     true},
    {"an indirect table of 0 bytes", {{INDIRECT, 0, TO_TABLE, 0}}},
    {"an indirect table of 17 bytes", {{INDIRECT, 17, TO_TABLE, 0}}, {{DATA, 1, 0, 0}}},
    {"an indirect table of 4294967295 bytes", {{INDIRECT, UINT32_MAX, TO_TABLE, 0}}},
    {"an indirect table at 0x200000 is not in memory", {{RAM_GPA + RAM_SIZE, 16, TO_TABLE, 0}}},
    {"an indirect table at 0xfffffffffffffff0 is not in memory",
     {{UINT64_MAX - 15, 32, TO_TABLE, 0}}},
    {"an indirect table at 0x104000 is not in memory", {{INDIRECT, 0xfffffff0, TO_TABLE, 0}}},
    {"a next descriptor 2, of 2",
     {{INDIRECT, 32, TO_TABLE, 0}},
     {{DATA, 1, NEXT, 1}, {DATA, 1, NEXT, 2}}},
    {"a chain that goes round in a table of 2",
     {{INDIRECT, 32, TO_TABLE, 0}},
     {{DATA, 1, NEXT, 1}, {DATA, 1, NEXT, 0}}},
    {"a chain of more than 16 descriptors",
     {{INDIRECT, 0x8000, TO_TABLE, 0}},
     {{DATA, 1, NEXT, 1}, {DATA, 1, NEXT, 0}}},
};

START_TEST(a_malformed_chain_breaks_the_queue_with_a_sentence)
{
    const struct malformed *entry = &malformed[_i];
    set_up();
    queue.indirect = !entry->without_indirect;
    memcpy(test_board_at(&board, TABLE), entry->direct, sizeof entry->direct);
    memcpy(test_board_at(&board, INDIRECT), entry->indirect, sizeof entry->indirect);
    offer(0, 0, 1);
    ck_assert_int_eq(vmk_queue_pop(&queue, &chain), -EIO);
    ck_assert_str_eq(queue.broken, entry->sentence);

    /* It stays so, whatever the driver mends, and says nothing into the rings. */
    struct vring_desc good = {DATA, 1, 0, 0};
    memcpy(test_board_at(&board, TABLE), &good, sizeof good);
    ck_assert_int_eq(vmk_queue_pop(&queue, &chain), -EIO);
    vmk_queue_push(&queue, &chain, 1);
    ck_assert(!vmk_queue_must_notify(&queue));
    ck_assert(!vmk_queue_has_chains(&queue));
    ck_assert_uint_eq(((struct vring_used *)test_board_at(&board, USED))->idx, 0);

    /* Set up anew it works. */
    ck_assert_int_eq(place_queue(SIZE, TABLE, AVAILABLE, USED, NULL), 0);
    ck_assert_int_eq(vmk_queue_pop(&queue, &chain), 1);
    ck_assert_uint_eq(chain.readable_size, 1);
    tear_down();
}
END_TEST

START_TEST(a_chain_of_more_bytes_than_a_length_holds_is_refused)
{
    set_up();
    /* A board with a large region: no byte of it is touched. */
    queue.recent = (struct vmk_board_memory){RAM_GPA, UINT64_C(1) << 40, board.ram};
    struct vring_desc table[] = {{DATA, 0x80000000, WRITE | NEXT, 1}, {DATA, 0x80000000, WRITE, 0}};
    memcpy(test_board_at(&board, TABLE), table, sizeof table);
    offer(0, 0, 1);
    ck_assert_int_eq(vmk_queue_pop(&queue, &chain), -EIO);
    ck_assert_str_eq(queue.broken, "a chain of more than 4294967295 bytes");
    tear_down();
}
END_TEST

START_TEST(wrong_indices_break_the_queue)
{
    struct vring_desc good = {DATA, 1, 0, 0};
    set_up();
    offer(0, SIZE, 1);
    ck_assert_int_eq(vmk_queue_pop(&queue, &chain), -EIO);
    ck_assert_str_eq(queue.broken, "available descriptor 8, of 8");
    tear_down();

    set_up();
    offer(0, 0, SIZE + 1);
    ck_assert_int_eq(vmk_queue_pop(&queue, &chain), -EIO);
    ck_assert_str_eq(queue.broken, "9 chains available and 0 in use, of 8");
    tear_down();

    /* Backwards is far ahead. */
    set_up();
    offer(0, 0, UINT16_MAX);
    ck_assert_int_eq(vmk_queue_pop(&queue, &chain), -EIO);
    ck_assert_str_eq(queue.broken, "65535 chains available and 0 in use, of 8");
    tear_down();

    /* The same descriptors again and again, none of which came back. */
    set_up();
    memcpy(test_board_at(&board, TABLE), &good, sizeof good);
    for (uint16_t i = 0; i < SIZE; i++) {
        offer(i, 0, (uint16_t)(i + 1));
        ck_assert_int_eq(vmk_queue_pop(&queue, &chain), 1);
    }
    offer(0, 0, SIZE + 1);
    ck_assert_int_eq(vmk_queue_pop(&queue, &chain), -EIO);
    ck_assert_str_eq(queue.broken, "1 chains available and 8 in use, of 8");
    tear_down();
}
END_TEST

START_TEST(an_indirect_table_may_follow_descriptors_and_be_unaligned)
{
    struct vring_desc direct[] = {{DATA, 3, NEXT, 1}, {INDIRECT + 5, 32, TO_TABLE | WRITE, 0}};
    struct vring_desc inside[] = {{DATA + 8, 4, NEXT, 1}, {DATA + 16, 5, WRITE, 0}};
    set_up();
    memcpy(test_board_at(&board, TABLE), direct, sizeof direct);
    memcpy(test_board_at(&board, INDIRECT + 5), inside, sizeof inside);
    offer(0, 0, 1);
    ck_assert_int_eq(vmk_queue_pop(&queue, &chain), 1);
    ck_assert_uint_eq(chain.readable, 2);
    ck_assert_uint_eq(chain.readable_size, 7);
    ck_assert_uint_eq(chain.writable, 1);
    ck_assert_uint_eq(chain.writable_size, 5);
    tear_down();
}
END_TEST

/* Segments over each other and over the rings themselves harm the guest alone. */
START_TEST(segments_that_overlap_the_rings_are_only_bytes)
{
    struct vring_desc table[] = {
        {TABLE, 128, NEXT, 1}, {TABLE, 128, WRITE | NEXT, 2}, {USED, 70, WRITE, 0}};
    uint8_t junk[198];
    set_up();
    memset(junk, 0xff, sizeof junk);
    memcpy(test_board_at(&board, TABLE), table, sizeof table);
    offer(0, 0, 1);
    ck_assert_int_eq(vmk_queue_pop(&queue, &chain), 1);
    ck_assert_uint_eq(vmk_chain_write(&chain, 0, junk, sizeof junk), sizeof junk);
    vmk_queue_push(&queue, &chain, sizeof junk);
    ck_assert_uint_eq(((struct vring_used *)test_board_at(&board, USED))->idx, 1);
    offer(1, 0, 2);
    ck_assert_int_eq(vmk_queue_pop(&queue, &chain), -EIO);
    ck_assert_str_eq(queue.broken, "an indirect descriptor with a next one");
    tear_down();
}
END_TEST

START_TEST(a_chain_of_before_a_reset_is_forgotten)
{
    struct vring_desc good = {DATA, 1, WRITE, 0};
    struct vmk_segment other_segments[CAPACITY];
    struct vmk_chain other = {.segments = other_segments, .capacity = CAPACITY};
    struct vring_used *used;
    set_up();
    used = test_board_at(&board, USED);
    memcpy(test_board_at(&board, TABLE), &good, sizeof good);
    offer(0, 0, 1);
    ck_assert_int_eq(vmk_queue_pop(&queue, &chain), 1);
    vmk_queue_tear_down(&queue);
    ck_assert_int_eq(vmk_queue_pop(&queue, &other), 0);
    vmk_queue_push(&queue, &chain, 1);
    ck_assert_int_eq(place_queue(SIZE, TABLE, AVAILABLE, USED, NULL), 0);
    ck_assert_int_eq(vmk_queue_pop(&queue, &other), 1);
    vmk_queue_push(&queue, &chain, 1);
    ck_assert_uint_eq(used->idx, 0);
    ck_assert_uint_eq(queue.in_flight, 1);
    vmk_queue_push(&queue, &other, 1);
    ck_assert_uint_eq(used->idx, 1);
    /* A second time it is nobody's. */
    vmk_queue_push(&queue, &other, 1);
    ck_assert_uint_eq(used->idx, 1);
    ck_assert_uint_eq(queue.in_flight, 0);
    tear_down();
}
END_TEST

static void
assert_refused(uint32_t size, uint64_t table, uint64_t available, uint64_t used,
               const char *message)
{
    vmkit_error *error = NULL;
    ck_assert_int_eq(place_queue(size, table, available, used, &error), -EINVAL);
    ck_assert_str_eq(vmk_error_get_message(error), message);
    vmk_error_unref(error);
    ck_assert(!queue.ready);
    ck_assert_int_eq(vmk_queue_pop(&queue, &chain), 0);
    ck_assert(!vmk_queue_must_notify(&queue));
}

START_TEST(rings_are_refused_where_they_cannot_be)
{
    set_up();
    assert_refused(0, TABLE, AVAILABLE, USED,
                   "a queue of 0 descriptors is no power of two up to 256");
    assert_refused(3, TABLE, AVAILABLE, USED,
                   "a queue of 3 descriptors is no power of two up to 256");
    assert_refused(512, TABLE, AVAILABLE, USED,
                   "a queue of 512 descriptors is no power of two up to 256");
    assert_refused(UINT32_MAX, TABLE, AVAILABLE, USED,
                   "a queue of 4294967295 descriptors is no power of two up to 256");
    assert_refused(SIZE, TABLE + 8, AVAILABLE, USED,
                   "the descriptor table at 0x101008 is not aligned to 16 bytes");
    assert_refused(SIZE, TABLE, AVAILABLE + 1, USED,
                   "the available ring at 0x102001 is not aligned to 2 bytes");
    assert_refused(SIZE, TABLE, AVAILABLE, USED + 2,
                   "the used ring at 0x103002 is not aligned to 4 bytes");
    assert_refused(SIZE, 0, AVAILABLE, USED,
                   "the descriptor table at 0x0, of 0x80 bytes, is not wholly in memory");
    assert_refused(SIZE, TABLE, RAM_GPA + RAM_SIZE - 20, USED,
                   "the available ring at 0x1fffec, of 0x16 bytes, is not wholly in memory");
    assert_refused(SIZE, TABLE, AVAILABLE, UINT64_MAX - 3,
                   "the used ring at 0xfffffffffffffffc, of 0x46 bytes, is not wholly in memory");
    ck_assert_int_eq(
        place_queue(SIZE, RAM_GPA + RAM_SIZE - 128, HIGH_GPA, HIGH_GPA + HIGH_SIZE - 72, NULL), 0);
    tear_down();
}
END_TEST

/* Whatever bytes the rings and tables hold, a pop ends, and what it gives lies in memory. */
START_TEST(random_bytes_in_rings_and_tables_harm_nothing)
{
    unsigned seed = 4711;
    uint32_t popped = 0, broken = 0;
    set_up();
    for (uint32_t round = 0; round < 100000 / harness_get_step(10); round++) {
        struct vring_desc *table = test_board_at(&board, round & 1 ? TABLE : INDIRECT);
        for (uint32_t i = 0; i < SIZE; i++)
            table[i] = (struct vring_desc){
                .addr = rand_r(&seed) % 8 == 0   ? (uint64_t)rand_r(&seed) << 20
                        : rand_r(&seed) % 3 == 0 ? INDIRECT
                                                 : DATA + (uint64_t)rand_r(&seed) % 0xf0000,
                .len = rand_r(&seed) % 4 == 0 ? (uint32_t)rand_r(&seed) % 17 * 16
                                              : (uint32_t)rand_r(&seed) % 300,
                .flags = (uint16_t)(rand_r(&seed) % 8 & (rand_r(&seed) % 8)),
                .next = (uint16_t)(rand_r(&seed) % (SIZE + 1)),
            };
        ck_assert_int_eq(place_queue(SIZE, TABLE, AVAILABLE, USED, NULL), 0);
        offer(0, (uint16_t)(rand_r(&seed) % SIZE), 1);
        int result = vmk_queue_pop(&queue, &chain);
        ck_assert(result == 1 || (result == -EIO && queue.broken[0] != '\0'));
        popped += result == 1;
        broken += result != 1;
        for (uint32_t i = 0; result == 1 && i < chain.readable + chain.writable; i++) {
            const struct vmk_segment *segment = &chain.segments[i];
            ck_assert(segment->gpa >= RAM_GPA && segment->size > 0 &&
                      segment->gpa + segment->size <= RAM_GPA + RAM_SIZE);
            ck_assert_ptr_eq(segment->data, board.ram + (segment->gpa - RAM_GPA));
        }
    }
    ck_assert_uint_gt(popped, broken / 20);
    ck_assert_uint_gt(broken, popped / 20);
    tear_down();
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("queue_hostile");
    TCase *cases = tcase_create("queue_hostile");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, a_malformed_chain_breaks_the_queue_with_a_sentence, 0,
                        (int)(sizeof malformed / sizeof malformed[0]));
    tcase_add_test(cases, a_chain_of_more_bytes_than_a_length_holds_is_refused);
    tcase_add_test(cases, wrong_indices_break_the_queue);
    tcase_add_test(cases, an_indirect_table_may_follow_descriptors_and_be_unaligned);
    tcase_add_test(cases, segments_that_overlap_the_rings_are_only_bytes);
    tcase_add_test(cases, a_chain_of_before_a_reset_is_forgotten);
    tcase_add_test(cases, rings_are_refused_where_they_cannot_be);
    tcase_add_test(cases, random_bytes_in_rings_and_tables_harm_nothing);
    suite_add_tcase(suite, cases);
    return suite;
}
