/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WIDTH 40
#define MIB (UINT64_C(1) << 20)

static volatile sig_atomic_t came;
static bool is_shown;

static void
note_signal(int number)
{
    came = number;
}

void
progress_begin(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART}, before;

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        /* What nohup, or a shell's background job, ignores stays ignored. */
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
}

int
progress_get_signal(void)
{
    return came;
}

static bool
is_time(bool is_end)
{
    static struct timespec last;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t passed =
        (int64_t)(now.tv_sec - last.tv_sec) * 1000 + (now.tv_nsec - last.tv_nsec) / 1000000;
    if (passed < 100 && !(is_end && is_shown))
        return false;
    last = now;
    return true;
}

int32_t
progress_tell(void *user_data, uint64_t done, uint64_t total)
{
    char bar[WIDTH + 1];

    if (came != 0)
        return 1;
    if (isatty(STDERR_FILENO) != 1 || total == 0 || !is_time(done == total))
        return 0;
    memset(bar, '.', WIDTH);
    bar[WIDTH] = '\0';
    memset(bar, '#', (size_t)((double)done / (double)total * WIDTH));
    fprintf(stderr, "\r%s [%s] %3d %% of %" PRIu64 " MiB", (const char *)user_data, bar,
            (int)((double)done / (double)total * 100), (total + MIB - 1) / MIB);
    fflush(stderr);
    is_shown = true;
    return 0;
}

void
progress_clear(void)
{
    /* To the begin of the line, and erase to its end. */
    if (is_shown)
        fputs("\r\033[K", stderr);
    is_shown = false;
}
