/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cases of a test run in children of its process, and some of them in a state in which they can
 * open no file: so what they see goes into shared memory, and to the file when the process ends.
 */
#include "observe.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAIR_LIMIT 2048

/* One pair of function and errno: taken once, then filled in. */
struct pair {
    atomic_ulong key;
    int err;
    char function[60];
    char place[100];
};

static struct pair *pairs;
static pid_t owner;

static void __attribute__((constructor)) begin(void)
{
    owner = getpid();
    pairs = mmap(NULL, PAIR_LIMIT * sizeof *pairs, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pairs == MAP_FAILED)
        abort();
}

/* By the name that the documents use: it has two on Linux. */
static const char *
name_of(int err)
{
    return err == ENOTSUP ? "ENOTSUP" : strerrorname_np(err);
}

static void __attribute__((destructor)) end(void)
{
    const char *path = getenv("VMKIT_TEST_OBSERVED");
    if (path == NULL || getpid() != owner)
        return;
    FILE *file = fopen(path, "a");
    if (file == NULL)
        abort();
    for (size_t i = 0; i < PAIR_LIMIT; i++) {
        if (atomic_load(&pairs[i].key) != 0)
            fprintf(file, "%s %s %s:%s\n", pairs[i].function, name_of(pairs[i].err),
                    program_invocation_short_name, pairs[i].place);
    }
    if (fclose(file) != 0)
        abort();
}

static unsigned long
hash(const char *function, int err)
{
    unsigned long value = 5381 + (unsigned long)err;
    for (; *function != '\0'; function++)
        value = value * 33 + (unsigned char)*function;
    return value | 1;
}

static void
note(const char *function, const char *place, int err)
{
    unsigned long key = hash(function, err);
    for (size_t i = key % PAIR_LIMIT;; i = (i + 1) % PAIR_LIMIT) {
        unsigned long there = 0;
        if (atomic_compare_exchange_strong(&pairs[i].key, &there, key)) {
            pairs[i].err = err;
            strncpy(pairs[i].function, function, sizeof pairs[i].function - 1);
            strncpy(pairs[i].place, place, sizeof pairs[i].place - 1);
            return;
        }
        if (there == key)
            return;
    }
}

static void __attribute__((format(printf, 3, 4), noreturn))
give_up(const char *function, const char *place, const char *format, ...)
{
    va_list list;
    fprintf(stderr, "%s, called by %s: ", function, place);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    abort();
}

static bool
is_one_line(const char *message)
{
    size_t length = strlen(message);
    return length > 0 && strchr(message, '\n') == NULL && message[length - 1] != '.';
}

void
observe(const char *function, const char *place, int result, const vmkit_error *before,
        vmkit_error **ret_error)
{
    if (result >= 0) {
        if (ret_error != NULL && *ret_error != before)
            give_up(function, place, "it returned %d and changed *ret_error", result);
        return;
    }
    note(function, place, -result);
    if (ret_error == NULL)
        return;
    if (*ret_error == NULL)
        give_up(function, place, "it returned %d without an error", result);
    if (vmkit_error_get_errno(*ret_error) != result)
        give_up(function, place, "it returned %d, and its error holds %d", result,
                vmkit_error_get_errno(*ret_error));
    const char *kind = vmkit_error_kind_get_name(vmkit_error_get_kind(*ret_error));
    if (strcmp(kind, "unknown") == 0)
        give_up(function, place, "its error has no kind");
    if (!is_one_line(vmkit_error_get_message(*ret_error)))
        give_up(function, place, "its message is not one line without a full stop: \"%s\"",
                vmkit_error_get_message(*ret_error));
}
