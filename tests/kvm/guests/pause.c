/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A computation that has something in every kind of register, and signals that are blocked,
 * pending and due, while it is paused. Its result is the same whatever happens to it meanwhile. It
 * is ready before and after.
 */
#include "pause.h"

#include <vmkit/guest.h>

#include <errno.h>
#include <fenv.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define STEPS 20
#define SLEEP_EVERY 5
#define LOOPS 600
#define HOLD_WORDS (32 * 8 + 8) /* 32 registers ZMM and 8 masks */

typedef uint64_t v4 __attribute__((vector_size(32)));
typedef uint64_t v8 __attribute__((vector_size(64)));

/* By name, from outside. */
__attribute__((used)) static volatile uint64_t steps = STEPS;
__attribute__((used)) static volatile uint64_t result, holds, uses;
static _Thread_local uint64_t own = 0x1234567;
static volatile sig_atomic_t alarms, users;
static uint64_t delivered;

/* guests/hold.S */
int64_t
hold_sse(uint64_t *values, const sigset_t *signals);

int64_t
hold_avx(uint64_t *values, const sigset_t *signals);

int64_t
hold_avx512(uint64_t *values, const sigset_t *signals);

static uint64_t
mix_in_the_way(uint64_t seed);

/* The handler of both signals. What it does to registers, the frame below it takes back. */
static void
count(int signal)
{
    volatile double in_the_way = alarms + 0.5;
    if (signal == SIGALRM) {
        alarms += in_the_way > 0;
        return;
    }
    holds = (holds & ~(uint64_t)PAUSE_HOLDS_PENDING) | PAUSE_HOLDS_HANDLER;
    users++;
    delivered = mix_in_the_way(delivered + 1);
    holds &= ~(uint64_t)PAUSE_HOLDS_HANDLER;
}

/* All the general registers and the carry. */
__attribute__((noinline)) static uint64_t
mix_general(uint64_t seed)
{
    uint64_t loops = LOOPS;
    __asm__ volatile("push %%rbp\n\tmov %0, %%rbp\n\tlea 1(%0), %%rbx\n\tlea 2(%0), %%rdx\n\t"
                     "lea 3(%0), %%rsi\n\tlea 4(%0), %%rdi\n\tlea 5(%0), %%r8\n\t"
                     "lea 6(%0), %%r9\n\tlea 7(%0), %%r10\n\tlea 8(%0), %%r11\n\t"
                     "lea 9(%0), %%r12\n\tlea 10(%0), %%r13\n\tlea 11(%0), %%r14\n\t"
                     "lea 12(%0), %%r15\n\t"
                     "1:\n\tadd %%rbx, %%rax\n\tadc %%rdx, %%rbx\n\trol $7, %%rbx\n\t"
                     "adc %%rsi, %%rdx\n\tror $3, %%rdx\n\tadc %%rdi, %%rsi\n\tadc %%rbp, %%rdi\n\t"
                     "adc %%r8, %%rbp\n\trol $11, %%rbp\n\tadc %%r9, %%r8\n\tadc %%r10, %%r9\n\t"
                     "adc %%r11, %%r10\n\tadc %%r12, %%r11\n\tadc %%r13, %%r12\n\t"
                     "adc %%r14, %%r13\n\tadc %%r15, %%r14\n\tadc %%rax, %%r15\n\t"
                     "dec %%rcx\n\tjnz 1b\n\t"
                     "xor %%rbx, %%rax\n\txor %%rdx, %%rax\n\txor %%rsi, %%rax\n\t"
                     "xor %%rdi, %%rax\n\txor %%rbp, %%rax\n\txor %%r8, %%rax\n\t"
                     "xor %%r9, %%rax\n\txor %%r10, %%rax\n\txor %%r11, %%rax\n\t"
                     "xor %%r12, %%rax\n\txor %%r13, %%rax\n\txor %%r14, %%rax\n\t"
                     "xor %%r15, %%rax\n\tpop %%rbp"
                     : "+a"(seed), "+c"(loops)
                     :
                     : "rbx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                       "r15", "cc", "memory");
    return seed;
}

/* SSE under a rounding of its own, which MXCSR holds. */
__attribute__((noinline)) static uint64_t
mix_doubles(uint64_t seed)
{
    double a = (double)(seed & 0xffff) + 1, b = 1.5, c = 2.5, d = 3.5;
    uint64_t bits[4];
    for (int i = 0; i < LOOPS; i++) {
        a = a / 3 + b;
        b = b / 7 + c;
        c = c / 11 + d;
        d = d / 13 + 1 / a;
    }
    memcpy(&bits[0], &a, 8);
    memcpy(&bits[1], &b, 8);
    memcpy(&bits[2], &c, 8);
    memcpy(&bits[3], &d, 8);
    return bits[0] ^ bits[1] << 1 ^ bits[2] << 2 ^ bits[3] << 3;
}

/* The x87 stack, and its control word. */
__attribute__((noinline)) static uint64_t
mix_x87(uint64_t seed)
{
    long double a = (long double)(seed & 0xffff) + 1, b = 1.25L, c = 2.75L;
    uint64_t bits[2] = {0};
    for (int i = 0; i < LOOPS; i++) {
        a = a / 3 + b;
        b = b / 7 + c;
        c = c / 11 + 1 / a;
    }
    a += b + c;
    memcpy(bits, &a, 10);
    return bits[0] ^ bits[1];
}

__attribute__((noinline, target("avx2"))) static uint64_t
mix_avx2(uint64_t seed)
{
    v4 a = {seed, seed + 1, seed + 2, seed + 3}, b = a ^ 0x55, c = a + 77, d = b - 99;
    for (int i = 0; i < LOOPS; i++) {
        a += b << 3;
        b ^= c >> 5;
        c -= d;
        d = (d << 1) ^ a;
    }
    a ^= b ^ c ^ d;
    return a[0] ^ a[1] << 1 ^ a[2] << 2 ^ a[3] << 3;
}

/* The comparison is in a mask register. */
__attribute__((noinline, target("avx512f"))) static uint64_t
mix_avx512(uint64_t seed)
{
    v8 a = {seed, seed + 1, seed + 2, seed + 3, seed + 4, seed + 5, seed + 6, seed + 7};
    v8 b = a ^ 0x55, c = a + 77, d = b - 99, e = a + b, f = c ^ d;
    for (int i = 0; i < LOOPS; i++) {
        a += b << 3;
        b ^= c >> 5;
        v8 which = (v8)(a > d);
        c -= (e & which) | (f & ~which);
        d = (d << 1) ^ a;
        which = (v8)(d > c);
        e += (f & which) | (a & ~which);
        f ^= e >> 9;
    }
    a ^= b ^ c ^ d ^ e ^ f;
    for (int i = 1; i < 8; i++)
        a[0] ^= a[i] << i;
    return a[0];
}

/* What a handler does meanwhile. */
static uint64_t
mix_in_the_way(uint64_t seed)
{
    for (int i = 0; i < 8; i++) {
        seed = mix_general(seed);
        if (uses == PAUSE_HOLDS_AVX512)
            seed ^= mix_avx512(seed);
        else if (uses == PAUSE_HOLDS_AVX)
            seed ^= mix_avx2(seed);
        else
            seed ^= mix_doubles(seed);
    }
    return seed;
}

/*
 * The signal that was raised while it was blocked comes when it no longer is, and not before. All
 * vector registers have values of their own while it does, and for some time after; they have the
 * same ones then.
 */
static uint64_t
hold_registers(uint64_t value, const sigset_t *user)
{
    static uint64_t values[HOLD_WORDS], same[HOLD_WORDS];
    int before = users;
    sigset_t pending;
    sigpending(&pending);
    if (!sigismember(&pending, SIGUSR1) || users != before)
        return value + 1;
    for (int i = 0; i < HOLD_WORDS; i++)
        values[i] = same[i] = value * (uint64_t)(2 * i + 1);
    holds |= uses;
    int64_t answer = uses == PAUSE_HOLDS_AVX512 ? hold_avx512(values, user)
                     : uses == PAUSE_HOLDS_AVX  ? hold_avx(values, user)
                                                : hold_sse(values, user);
    holds &= ~uses;
    sigprocmask(SIG_BLOCK, user, NULL);
    if (answer != 0 || memcmp(values, same, sizeof values) != 0)
        return value + 2;
    return users == before + 1 ? value ^ delivered : value + 8;
}

/* Calls that wait: for a while, for nothing, for a signal. */
static uint64_t
sleep_somehow(uint64_t value, uint64_t step)
{
    struct timespec time = {.tv_nsec = 150000}, left = {.tv_nsec = 77};
    const struct itimerval alarm = {.it_value = {.tv_usec = 120}};
    sigset_t none, all;
    switch (step % 4) {
    case 0:
        return nanosleep(&time, &left) != 0 || left.tv_nsec != 77 ? value + 3 : value;
    case 1:
        return poll(NULL, 0, 1) != 0 ? value + 4 : value;
    case 2:
        sigfillset(&all);
        sigdelset(&all, SIGALRM);
        return ppoll(NULL, 0, &time, &all) != 0 ? value + 5 : value;
    default:
        sigemptyset(&none);
        sigemptyset(&all);
        sigaddset(&all, SIGALRM);
        sigaddset(&none, SIGUSR1);
        sigprocmask(SIG_BLOCK, &all, NULL);
        int before = alarms;
        setitimer(ITIMER_REAL, &alarm, NULL);
        while (alarms == before) {
            if (sigsuspend(&none) != -1 || errno != EINTR)
                value += 6;
        }
        sigprocmask(SIG_UNBLOCK, &all, NULL);
        return alarms == before + 1 ? value : value + 7;
    }
}

static uint64_t
compute(void)
{
    uint64_t value = 0x9e3779b97f4a7c15, count_to = steps;
    int avx2 = __builtin_cpu_supports("avx2");
    int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
    sigset_t user;
    uses = avx512 ? PAUSE_HOLDS_AVX512 : avx2 ? PAUSE_HOLDS_AVX : PAUSE_HOLDS_SSE;
    delivered = 0;
    sigemptyset(&user);
    sigaddset(&user, SIGUSR1);
    sigprocmask(SIG_BLOCK, &user, NULL);
    fesetround(FE_UPWARD);
    for (uint64_t i = 0; i < count_to; i++) {
        raise(SIGUSR1);
        holds |= PAUSE_HOLDS_PENDING;
        value = mix_general(value);
        value ^= mix_doubles(value);
        value ^= mix_x87(value);
        if (avx2)
            value ^= mix_avx2(value);
        if (avx512)
            value ^= mix_avx512(value);
        own += value;
        value = hold_registers(value, &user);
        if (i % SLEEP_EVERY == SLEEP_EVERY - 1)
            value = sleep_somehow(value, i / SLEEP_EVERY);
    }
    fesetround(FE_TONEAREST);
    return value ^ own;
}

__attribute__((used, noinline)) static uint64_t
call_compute(uint64_t *out)
{
    uint64_t value = compute();
    *out = value ^ 1;
    return value;
}

__attribute__((used, noinline)) static double
call_sleep(double seconds)
{
    struct timespec time = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
    return seconds * 2;
}

static void
serve(void)
{
    static uint8_t buffer[64];
    int64_t size = vmkit_guest_receive(buffer, sizeof buffer);
    while (size >= 0) {
        uint64_t value = compute();
        size = vmkit_guest_reply_receive(&value, sizeof value, buffer, sizeof buffer);
    }
}

int
main(int argc, char **argv)
{
    const struct sigaction action = {.sa_handler = count};
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    if (argc > 1 && strcmp(argv[1], "read") == 0) {
        char bytes[16];
        ssize_t n = read(0, bytes, sizeof bytes);
        return n == 5 && memcmp(bytes, "words", 5) == 0 ? 0 : 1;
    }
    if (argc > 1 && strcmp(argv[1], "alarm") == 0) {
        alarm(1);
        return pause() == -1 && errno == EINTR && alarms == 1 ? 0 : 1;
    }
    if (argc > 1 && strcmp(argv[1], "sleep") == 0) {
        sleep(1);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        serve();
    vmkit_guest_ready();
    result = compute();
    vmkit_guest_ready();
    return 0;
}
