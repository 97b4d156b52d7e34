/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals and timers in their saved form. A timer's expiry is kept as the time that is left, so
 * that it goes off as long after the load as it would have after the save; one that is due already
 * has a negative rest, which its overrun is made of. What follows from the rest of the state is
 * worked out anew.
 */
#include "sandbox/clock.h"
#include "sandbox/process.h"
#include "sandbox/signal_state.h"
#include "sandbox/state_codec.h"

#include <signal.h>

#define NO_EXPIRY INT64_MAX

/* The time that is left until the timer's expiry, NO_EXPIRY if it is not armed. */
static int64_t
get_left(const struct vmk_timer *timer, uint64_t now)
{
    if (timer->expiry_ns == VMK_TIMER_UNARMED)
        return NO_EXPIRY;
    if (timer->expiry_ns > now && timer->expiry_ns - now >= (uint64_t)NO_EXPIRY)
        return NO_EXPIRY - 1;
    return (int64_t)(timer->expiry_ns - now);
}

static void
save_timer(struct vmk_state_writer *writer, const struct vmk_timer *timer)
{
    struct vmk_bytes *bytes = writer->bytes;
    bool armed = timer->expiry_ns != VMK_TIMER_UNARMED;
    uint64_t now = armed || timer->earliest_ns != 0 ? vmk_timers_now(writer->process, timer) : 0;
    uint64_t wait = timer->earliest_ns > now ? timer->earliest_ns - now : 0;
    vmk_bytes_put_u8(bytes, timer->queued);
    vmk_bytes_put_u32(bytes, (uint32_t)timer->overrun);
    vmk_bytes_put_u64(bytes, (uint64_t)get_left(timer, now));
    vmk_bytes_put_u64(bytes, timer->interval_ns);
    vmk_bytes_put_u64(bytes, wait);
}

/* The time of the timer's clock that lies `left` from now; the past has no end below 0. */
static uint64_t
from_now(uint64_t now, int64_t left)
{
    if (left >= 0)
        return vmk_clock_add(now, (uint64_t)left);
    uint64_t behind = 0 - (uint64_t)left;
    return behind < now ? now - behind : 0;
}

static int
load_timer(struct vmk_state_reader *reader, struct vmk_timer *timer)
{
    struct vmk_byte_cursor *in = &reader->in;
    int r = vmk_state_get_bool(reader, &timer->queued);
    if (r < 0)
        return r;
    timer->overrun = (int32_t)vmk_cursor_get_u32(in);
    int64_t left = (int64_t)vmk_cursor_get_u64(in);
    timer->interval_ns = vmk_cursor_get_u64(in);
    uint64_t wait = vmk_cursor_get_u64(in);
    uint64_t now = vmk_timers_now(reader->process, timer);
    timer->expiry_ns = left == NO_EXPIRY ? VMK_TIMER_UNARMED : from_now(now, left);
    timer->earliest_ns = wait == 0 ? 0 : vmk_clock_add(now, wait);
    if (timer->overrun < 0)
        return vmk_state_bad(reader, "a timer with an overrun of %d", timer->overrun);
    if (wait > VMK_TIMERS_GAP_NS)
        return vmk_state_bad(reader, "a timer that is held back for %llu ns",
                             (unsigned long long)wait);
    return 0;
}

static void
save_timers(struct vmk_state_writer *writer, const struct vmk_timers *timers)
{
    struct vmk_bytes *bytes = writer->bytes;
    for (int i = 0; i < VMK_INTERVAL_COUNT; i++)
        save_timer(writer, &timers->interval[i]);
    for (uint8_t i = 0; i < VMK_TIMERS_LIMIT; i++) {
        const struct vmk_timer *timer = &timers->posix[i];
        if (!timer->used)
            continue;
        vmk_bytes_put_u8(bytes, i);
        vmk_bytes_put_u8(bytes, timer->silent);
        vmk_bytes_put_u32(bytes, (uint32_t)timer->signal);
        vmk_bytes_put_u32(bytes, (uint32_t)timer->clock);
        vmk_bytes_put_u64(bytes, timer->value);
        save_timer(writer, timer);
    }
    vmk_bytes_put_u8(bytes, VMK_TIMERS_LIMIT);
}

static int
load_posix(struct vmk_state_reader *reader, struct vmk_timer *timer)
{
    struct vmk_byte_cursor *in = &reader->in;
    *timer = (struct vmk_timer){.used = true};
    int r = vmk_state_get_bool(reader, &timer->silent);
    if (r < 0)
        return r;
    timer->signal = (int32_t)vmk_cursor_get_u32(in);
    timer->clock = (int32_t)vmk_cursor_get_u32(in);
    timer->value = vmk_cursor_get_u64(in);
    timer->cpu = vmk_clock_is_cpu(timer->clock);
    if (timer->signal < 1 || timer->signal > VMK_SIGNAL_LAST)
        return vmk_state_bad(reader, "a timer of signal %d", timer->signal);
    if (vmk_clock_check_timer(reader->process, timer->clock) < 0)
        return vmk_state_bad(reader, "a timer of clock %d", timer->clock);
    return load_timer(reader, timer);
}

static int
load_timers(struct vmk_state_reader *reader, struct vmk_timers *timers)
{
    int r = 0;
    for (int i = 0; i < VMK_INTERVAL_COUNT && r == 0; i++)
        r = load_timer(reader, &timers->interval[i]);
    for (int next = 0; r == 0;) {
        int index = vmk_cursor_get_u8(&reader->in);
        if (reader->in.failed || index == VMK_TIMERS_LIMIT)
            break;
        if (index < next || index > VMK_TIMERS_LIMIT)
            return vmk_state_bad(reader, "timer %d behind timer %d", index, next - 1);
        r = load_posix(reader, &timers->posix[index]);
        next = index + 1;
    }
    return r;
}

static void
save_queue(struct vmk_bytes *bytes, const struct vmk_signals *signals)
{
    vmk_bytes_put_u32(bytes, signals->queued);
    for (uint32_t i = 0; i < signals->queued; i++) {
        const struct vmk_signal_entry *entry = &signals->queue[i];
        vmk_bytes_put_u32(bytes, (uint32_t)entry->info.signo);
        vmk_bytes_put_u32(bytes, (uint32_t)entry->info.err);
        vmk_bytes_put_u32(bytes, (uint32_t)entry->info.code);
        vmk_bytes_put_u32(bytes, entry->info.padding);
        vmk_bytes_put(bytes, entry->info.bytes, sizeof entry->info.bytes);
        vmk_bytes_put_u32(bytes, (uint32_t)(int32_t)entry->timer);
    }
}

/* An entry of a POSIX timer, of which each has at most one, and which the timer knows of. */
static int
check_timer_entry(const struct vmk_state_reader *reader, const struct vmk_signals *signals,
                  const struct vmk_signal_entry *entry, uint64_t *seen)
{
    const struct vmk_timer *timer = &signals->timers.posix[entry->timer];
    uint64_t bit = UINT64_C(1) << entry->timer;
    if (!timer->used || !timer->queued || timer->signal != entry->info.signo || (*seen & bit) != 0)
        return vmk_state_bad(reader, "signal %d waits for timer %d, which did not send it",
                             entry->info.signo, entry->timer);
    *seen |= bit;
    return 0;
}

static int
load_entry(struct vmk_state_reader *reader, struct vmk_signals *signals, uint64_t *seen)
{
    struct vmk_byte_cursor *in = &reader->in;
    struct vmk_signal_entry *entry = &signals->queue[signals->queued];
    *entry = (struct vmk_signal_entry){.timer = -1};
    entry->info.signo = (int32_t)vmk_cursor_get_u32(in);
    entry->info.err = (int32_t)vmk_cursor_get_u32(in);
    entry->info.code = (int32_t)vmk_cursor_get_u32(in);
    entry->info.padding = vmk_cursor_get_u32(in);
    const uint8_t *bytes = vmk_cursor_get(in, sizeof entry->info.bytes);
    int32_t timer = (int32_t)vmk_cursor_get_u32(in);
    if (bytes == NULL || entry->info.signo < 1 || entry->info.signo > VMK_SIGNAL_LAST)
        return vmk_state_bad(reader, "signal %d waits", entry->info.signo);
    if (timer < -1 || timer >= VMK_TIMERS_LIMIT)
        return vmk_state_bad(reader, "a signal of timer %d", timer);
    memcpy(entry->info.bytes, bytes, sizeof entry->info.bytes);
    entry->timer = (int16_t)timer;
    signals->pending |= vmk_signal_bit(entry->info.signo);
    signals->queued++;
    if (timer >= 0)
        return check_timer_entry(reader, signals, entry, seen);
    signals->queued_realtime += entry->info.signo >= VMK_SIGNAL_REALTIME;
    return 0;
}

static int
load_queue(struct vmk_state_reader *reader, struct vmk_signals *signals)
{
    uint32_t count = vmk_cursor_get_u32(&reader->in);
    uint64_t seen = 0;
    if (count > VMK_SIGNALS_QUEUE_ROOM)
        return vmk_state_bad(reader, "%u signals wait, above the limit of %d", count,
                             VMK_SIGNALS_QUEUE_ROOM);
    for (uint32_t i = 0; i < count; i++) {
        int r = load_entry(reader, signals, &seen);
        if (r < 0)
            return r;
    }
    if (signals->queued_realtime > VMK_SIGNALS_QUEUE_LIMIT)
        return vmk_state_bad(reader, "%u real-time signals wait, above the limit of %d",
                             signals->queued_realtime, VMK_SIGNALS_QUEUE_LIMIT);
    for (int i = 0; i < VMK_TIMERS_LIMIT; i++) {
        if (signals->timers.posix[i].queued && (seen >> i & 1) == 0)
            return vmk_state_bad(reader, "the signal of timer %d does not wait", i);
    }
    return 0;
}

/* Only what differs from the default. */
static void
save_actions(struct vmk_bytes *bytes, const struct vmk_signals *signals)
{
    static const struct vmk_guest_sigaction none = {0};
    for (uint8_t i = 1; i <= VMK_SIGNAL_LAST; i++) {
        const struct vmk_guest_sigaction *action = &signals->actions[i];
        if (memcmp(action, &none, sizeof none) == 0)
            continue;
        vmk_bytes_put_u8(bytes, i);
        vmk_bytes_put_u64(bytes, action->handler);
        vmk_bytes_put_u64(bytes, action->flags);
        vmk_bytes_put_u64(bytes, action->restorer);
        vmk_bytes_put_u64(bytes, action->mask);
    }
    vmk_bytes_put_u8(bytes, 0);
}

static int
load_actions(struct vmk_state_reader *reader, struct vmk_signals *signals)
{
    struct vmk_byte_cursor *in = &reader->in;
    for (int last = 0;;) {
        int signal = vmk_cursor_get_u8(in);
        if (in->failed || signal == 0)
            return 0;
        if (signal <= last || signal > VMK_SIGNAL_LAST || signal == SIGKILL || signal == SIGSTOP)
            return vmk_state_bad(reader, "an action for signal %d", signal);
        struct vmk_guest_sigaction *action = &signals->actions[signal];
        action->handler = vmk_cursor_get_u64(in);
        action->flags = vmk_cursor_get_u64(in);
        action->restorer = vmk_cursor_get_u64(in);
        action->mask = vmk_cursor_get_u64(in) & ~VMK_SIGNALS_UNBLOCKABLE;
        vmk_signals_note_ignored(signals, signal);
        last = signal;
    }
}

int
vmk_state_save_signals(struct vmk_state_writer *writer)
{
    const struct vmk_signals *signals = writer->process->signals;
    struct vmk_bytes *bytes = writer->bytes;
    save_actions(bytes, signals);
    save_timers(writer, &signals->timers);
    vmk_bytes_put_u64(bytes, signals->blocked);
    vmk_bytes_put_u64(bytes, signals->pending);
    vmk_bytes_put_u8(bytes, signals->mask_is_saved);
    vmk_bytes_put_u64(bytes, signals->mask_is_saved ? signals->saved_mask : 0);
    save_queue(bytes, signals);
    vmk_bytes_put_u64(bytes, signals->altstack_sp);
    vmk_bytes_put_u64(bytes, signals->altstack_size);
    vmk_bytes_put_u32(bytes, signals->altstack_flags);
    vmk_bytes_put_u64(bytes, signals->trap);
    vmk_bytes_put_u64(bytes, signals->error);
    vmk_bytes_put_u64(bytes, signals->fault_address);
    return 0;
}

static int
load_masks(struct vmk_state_reader *reader, struct vmk_signals *signals)
{
    signals->blocked = vmk_cursor_get_u64(&reader->in) & ~VMK_SIGNALS_UNBLOCKABLE;
    signals->pending = vmk_cursor_get_u64(&reader->in);
    int r = vmk_state_get_bool(reader, &signals->mask_is_saved);
    signals->saved_mask = vmk_cursor_get_u64(&reader->in) & ~VMK_SIGNALS_UNBLOCKABLE;
    return r;
}

int
vmk_state_load_signals(struct vmk_state_reader *reader)
{
    struct vmk_process *process = reader->process;
    struct vmk_byte_cursor *in = &reader->in;
    if (process->signals == NULL)
        process->signals = vmk_signals_new();
    else
        vmk_signals_init(process->signals);
    struct vmk_signals *signals = process->signals;
    if (signals == NULL)
        return vmk_state_no_memory(reader->ret_error);
    int r = load_actions(reader, signals);
    if (r == 0)
        r = load_timers(reader, &signals->timers);
    if (r == 0)
        r = load_masks(reader, signals);
    if (r == 0)
        r = load_queue(reader, signals);
    if (r < 0)
        return r;
    signals->altstack_sp = vmk_cursor_get_u64(in);
    signals->altstack_size = vmk_cursor_get_u64(in);
    signals->altstack_flags = vmk_cursor_get_u32(in);
    signals->trap = vmk_cursor_get_u64(in);
    signals->error = vmk_cursor_get_u64(in);
    signals->fault_address = vmk_cursor_get_u64(in);
    vmk_timers_update(process);
    return 0;
}
