/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that serves requests. A request is the name of what it does; its first argument says by
 * which calls it receives and replies.
 */
#include <vmkit/guest.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#define ROOM 65536

static char request[ROOM];
static int by_two_calls;
static volatile int alarms;

/* Where the next request goes, once. */
static void *buffer = request;
static uint64_t room = ROOM;

/* By name, from outside. */
__attribute__((used, noinline)) static int64_t
call_inside(int64_t which)
{
    switch (which) {
    case 0:
        return vmkit_guest_receive(request, ROOM);
    case 1:
        return vmkit_guest_reply(request, 1);
    case 2:
        return vmkit_guest_reply_receive(request, 1, request, ROOM);
    case 4:
        for (;;)
            continue;
    default:
        return alarms;
    }
}

static void
count_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static int
is(int64_t size, const char *name)
{
    return (uint64_t)size == strlen(name) && memcmp(request, name, (uint64_t)size) == 0;
}

static int64_t
receive(void)
{
    void *at = buffer;
    uint64_t size = room;
    buffer = request;
    room = ROOM;
    return vmkit_guest_receive(at, size);
}

static int64_t
answer(const void *reply, uint64_t size)
{
    void *at = buffer;
    uint64_t next = room;
    if (by_two_calls) {
        int64_t result = vmkit_guest_reply(reply, size);
        return result < 0 ? result : receive();
    }
    buffer = request;
    room = ROOM;
    return vmkit_guest_reply_receive(reply, size, at, next);
}

static int64_t
answer_number(int64_t number)
{
    return answer(&number, sizeof number);
}

static int64_t
start_alarm(void)
{
    struct sigaction action = {.sa_handler = count_alarm};
    const struct itimerval timer = {.it_value = {.tv_usec = 1000}};
    sigaction(SIGALRM, &action, NULL);
    return answer_number(setitimer(ITIMER_REAL, &timer, NULL));
}

/* A reply and another one to the same request: what the second one gives. */
static int64_t
reply_twice(void)
{
    char byte = 1;
    int64_t first = vmkit_guest_reply(&byte, 1);
    int64_t second = first == 0 ? vmkit_guest_reply(&byte, 1) : 0;
    int64_t size = receive();
    if (size < 0)
        return size;
    return answer_number(second);
}

/* A reply that is refused, and then one that says with what. */
static int64_t
reply_badly(const void *reply, uint64_t size)
{
    int64_t result = vmkit_guest_reply_receive(reply, size, request, ROOM);
    return answer_number(result);
}

static void
receive_next_at(void *at, uint64_t size)
{
    buffer = at;
    room = size;
}

static int64_t
serve(int64_t size)
{
    static int64_t count;
    static uint64_t before;
    if (is(size, "count"))
        return answer_number(++count);
    if (is(size, "alarms"))
        return answer_number(alarms);
    if (is(size, "exit"))
        exit(42);
    if (is(size, "crash"))
        *(volatile int *)0x1234 = 1;
    while (is(size, "spin"))
        continue;
    if (is(size, "sleep"))
        pause();
    if (is(size, "silent"))
        return receive();
    if (is(size, "twice"))
        return reply_twice();
    if (is(size, "ready"))
        return answer_number(vmkit_guest_ready());
    if (is(size, "alarm"))
        return start_alarm();
    if (is(size, "wild"))
        return reply_badly((const void *)8, 8);
    if (is(size, "huge"))
        return reply_badly((const void *)8, UINT64_MAX);
    if (is(size, "long"))
        return reply_badly(request, ROOM);
    if (is(size, "generation")) {
        uint64_t numbers[2] = {before, vmkit_guest_generation()};
        before = *vmkit_guest_get_generation_address();
        return answer(numbers, sizeof numbers);
    }
    if (is(size, "small"))
        receive_next_at(request, 8);
    if (is(size, "nowhere"))
        receive_next_at((void *)8, ROOM);
    if (is(size, "read-only"))
        receive_next_at(mmap(NULL, ROOM, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ROOM);
    if (is(size, "large"))
        receive_next_at(mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
                        32 << 20);
    return answer(request, (uint64_t)size);
}

int
main(int argc, char **argv)
{
    by_two_calls = argc > 1 && strcmp(argv[1], "two-calls") == 0;
    if (argc > 1 && strcmp(argv[1], "reply-first") == 0)
        return (int)-vmkit_guest_reply(request, 1);
    if (argc > 1 && strcmp(argv[1], "ready-first") == 0)
        vmkit_guest_ready();
    int64_t size = receive();
    while (size >= 0)
        size = serve(size);
    return (int)-size;
}
