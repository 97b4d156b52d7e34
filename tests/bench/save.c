/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot of a raw VM to a file, without sync. Raw, against write(2) of the same memory to a
 * file of the same folder. Compressed, against zlib alone over the same memory in the same pieces,
 * on as many threads as there are processors, which writes nothing.
 */
#include "library.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#define MIB ((size_t)1 << 20)
#define RAW_SIZE (128 * MIB)
#define ZLIB_SIZE (32 * MIB)
#define ROUNDS 30
#define LEVEL 6
#define PIECE ((size_t)128 << 10) /* as doc/snapshot-format.md has them */
#define THREADS_MAX 64

struct saved {
    uint8_t *data; /* of the VM */
    size_t size;
    vmkit_vm *vm;
    vmkit_snapshot *snapshot;
    vmkit_snapshot_options *options;
    char path[64];
    char floor_path[64];
};

/* No page is zero. The values are few, so that they compress by about a half. */
static void
fill(uint8_t *data, size_t size)
{
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        data[i] = (uint8_t)((state >> 28) + 1);
    }
}

static void
saved_new(struct saved *saved, size_t size, uint32_t level)
{
    vmkit_memory *memory;
    saved->size = size;
    bench_vmkit(vmkit_vm_new(NULL, &saved->vm, &bench_error));
    bench_vmkit(vmkit_memory_new_anonymous(size, 0, &memory, &bench_error));
    saved->data = vmkit_memory_get_pointer(memory);
    fill(saved->data, size);
    bench_vmkit(vmkit_vm_add_memory(saved->vm, 0, memory, 0, size, 0, &bench_error));
    vmkit_memory_unref(memory);
    bench_vmkit(vmkit_vm_snapshot(saved->vm, NULL, 0, &saved->snapshot, &bench_error));
    bench_vmkit(vmkit_snapshot_options_new(&saved->options, &bench_error));
    bench_vmkit(vmkit_snapshot_options_set_sync(saved->options, 0, &bench_error));
    bench_vmkit(vmkit_snapshot_options_set_compression(saved->options, level, &bench_error));
    const char *folder = getenv("TMPDIR");
    snprintf(saved->path, sizeof saved->path, "%.40s/vmkit-bench.%d",
             folder == NULL ? "/tmp" : folder, (int)getpid());
    snprintf(saved->floor_path, sizeof saved->floor_path, "%.56s.floor", saved->path);
}

static void
saved_free(struct saved *saved)
{
    vmkit_snapshot_options_unref(saved->options);
    vmkit_snapshot_unref(saved->snapshot);
    vmkit_vm_unref(saved->vm);
}

static double
time_library(struct saved *saved)
{
    double start = bench_now();
    bench_vmkit(
        vmkit_snapshot_save_path(saved->snapshot, saved->path, saved->options, &bench_error));
    double end = bench_now();
    BENCH_CHECK(unlink(saved->path));
    return (end - start) / 1000;
}

static double
time_write(struct saved *saved)
{
    double start = bench_now();
    int fd = BENCH_CHECK(open(saved->floor_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    for (size_t done = 0; done < saved->size;) {
        ssize_t n = write(fd, saved->data + done, saved->size - done);
        if (n <= 0)
            bench_die("write: %zd", n);
        done += (size_t)n;
    }
    close(fd);
    double end = bench_now();
    BENCH_CHECK(unlink(saved->floor_path));
    return (end - start) / 1000;
}

/* A thread's part of the pieces: every `step`th. */
struct part {
    const struct saved *saved;
    size_t first, step;
    pthread_t thread;
};

static void *
compress_part(void *argument)
{
    struct part *part = argument;
    static _Thread_local uint8_t packed[PIECE + 1024];
    z_stream stream = {0};
    if (deflateInit(&stream, LEVEL) != Z_OK)
        bench_die("deflateInit failed");
    for (size_t at = part->first * PIECE; at < part->saved->size; at += part->step * PIECE) {
        stream.next_in = part->saved->data + at;
        stream.avail_in = PIECE;
        stream.next_out = packed;
        stream.avail_out = sizeof packed;
        if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
            bench_die("deflate failed");
        deflateReset(&stream);
    }
    deflateEnd(&stream);
    return NULL;
}

static double
time_zlib(const struct saved *saved, size_t threads)
{
    struct part parts[THREADS_MAX];
    double start = bench_now();
    for (size_t i = 0; i < threads; i++) {
        parts[i] = (struct part){.saved = saved, .first = i, .step = threads};
        if (pthread_create(&parts[i].thread, NULL, compress_part, &parts[i]) != 0)
            bench_die("no thread");
    }
    for (size_t i = 0; i < threads; i++)
        pthread_join(parts[i].thread, NULL);
    return (bench_now() - start) / 1000;
}

void
bench_save_raw(const struct bench_options *options, struct bench_result *result)
{
    struct saved saved;
    result->unit = "ms";
    result->more_is_better = true;
    result->goal_kind = BENCH_RATIO_AT_LEAST;
    result->goal = 0.7;
    saved_new(&saved, RAW_SIZE, 0);
    time_library(&saved);
    time_write(&saved);
    size_t rounds = bench_rounds(options, ROUNDS);
    for (size_t i = 0; i < rounds; i++) {
        if (i % 2 == 0)
            bench_add(&result->library, time_library(&saved));
        bench_add(&result->floor, time_write(&saved));
        if (i % 2 != 0)
            bench_add(&result->library, time_library(&saved));
    }
    bench_extra(result, "mib", (double)(saved.size / MIB));
    saved_free(&saved);
}

void
bench_save_zlib(const struct bench_options *options, struct bench_result *result)
{
    struct saved saved;
    struct bench_samples one = {0};
    size_t threads = (size_t)sysconf(_SC_NPROCESSORS_ONLN);
    threads = threads < THREADS_MAX ? threads : THREADS_MAX;
    result->unit = "ms";
    result->more_is_better = true;
    result->goal_kind = BENCH_RATIO_AT_LEAST;
    result->goal = 0.85;
    saved_new(&saved, ZLIB_SIZE, LEVEL);
    time_library(&saved);
    time_zlib(&saved, threads);
    size_t rounds = bench_rounds(options, ROUNDS);
    for (size_t i = 0; i < rounds; i++) {
        if (i % 2 == 0)
            bench_add(&result->library, time_library(&saved));
        bench_add(&result->floor, time_zlib(&saved, threads));
        if (i % 2 != 0)
            bench_add(&result->library, time_library(&saved));
        if (i % 5 == 0)
            bench_add(&one, time_zlib(&saved, 1));
    }
    bench_extra(result, "mib", (double)(saved.size / MIB));
    bench_extra(result, "threads", (double)threads);
    bench_extra_median(result, "floor_one_thread", &one);
    saved_free(&saved);
}
