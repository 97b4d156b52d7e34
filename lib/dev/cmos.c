/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/cmos.h"

#include "util/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    SECONDS = 0,
    MINUTES = 2,
    HOURS = 4,
    WEEKDAY = 6,
    DAY = 7,
    MONTH = 8,
    YEAR = 9,
    STATUS_A = 10,
    STATUS_B = 11,
    STATUS_C = 12,
    STATUS_D = 13,
    CENTURY = 0x32,
    SIZE = 128,
};

#define INDEX 0x7f /* bit 7 of the index port disables NMIs elsewhere */
#define A_DIVIDER 0x26
#define A_UPDATING 0x80 /* never: the time is read at once */
#define B_SET 0x80
#define B_BINARY 0x04
#define B_24_HOURS 0x02
#define D_VALID 0x80
#define PM 0x80

struct cmos {
    struct vmk_cmos_options options;
    pthread_mutex_t lock; /* all below */
    uint8_t index;
    uint8_t bytes[SIZE];
    time_t ahead; /* how far the guest has set it before the host's clock */
};

static time_t
get_time(const struct cmos *cmos)
{
    if (cmos->options.now != NULL)
        return cmos->options.now(cmos->options.user_data);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

static uint8_t
encode(const struct cmos *cmos, int value)
{
    if ((cmos->bytes[STATUS_B] & B_BINARY) != 0)
        return (uint8_t)value;
    return (uint8_t)(value / 10 << 4 | value % 10);
}

static int
decode(const struct cmos *cmos, uint8_t value)
{
    if ((cmos->bytes[STATUS_B] & B_BINARY) != 0)
        return value;
    return (value >> 4) * 10 + (value & 15);
}

static uint8_t
encode_hours(const struct cmos *cmos, int hours)
{
    if ((cmos->bytes[STATUS_B] & B_24_HOURS) != 0)
        return encode(cmos, hours);
    int half = hours % 12 == 0 ? 12 : hours % 12;
    return (uint8_t)(encode(cmos, half) | (hours >= 12 ? PM : 0));
}

static int
decode_hours(const struct cmos *cmos, uint8_t value)
{
    if ((cmos->bytes[STATUS_B] & B_24_HOURS) != 0)
        return decode(cmos, value);
    return decode(cmos, value & (uint8_t)~PM) % 12 + ((value & PM) != 0 ? 12 : 0);
}

/* Have the registers show the time, unless the guest is about to set it. */
static void
show_time(struct cmos *cmos)
{
    struct tm tm;
    time_t time = get_time(cmos) + cmos->ahead;
    if ((cmos->bytes[STATUS_B] & B_SET) != 0 || gmtime_r(&time, &tm) == NULL)
        return;
    int year = tm.tm_year + 1900;
    cmos->bytes[SECONDS] = encode(cmos, tm.tm_sec);
    cmos->bytes[MINUTES] = encode(cmos, tm.tm_min);
    cmos->bytes[HOURS] = encode_hours(cmos, tm.tm_hour);
    cmos->bytes[WEEKDAY] = encode(cmos, tm.tm_wday + 1);
    cmos->bytes[DAY] = encode(cmos, tm.tm_mday);
    cmos->bytes[MONTH] = encode(cmos, tm.tm_mon + 1);
    cmos->bytes[YEAR] = encode(cmos, year % 100);
    cmos->bytes[CENTURY] = encode(cmos, year / 100 % 100);
}

/* Take over what the guest has set. */
static void
take_time(struct cmos *cmos)
{
    struct tm tm = {
        .tm_sec = decode(cmos, cmos->bytes[SECONDS]),
        .tm_min = decode(cmos, cmos->bytes[MINUTES]),
        .tm_hour = decode_hours(cmos, cmos->bytes[HOURS]),
        .tm_mday = decode(cmos, cmos->bytes[DAY]),
        .tm_mon = decode(cmos, cmos->bytes[MONTH]) - 1,
        .tm_year =
            decode(cmos, cmos->bytes[CENTURY]) * 100 + decode(cmos, cmos->bytes[YEAR]) - 1900,
    };
    time_t time = timegm(&tm);
    if (time != (time_t)-1)
        cmos->ahead = time - get_time(cmos);
}

static bool
is_time(uint8_t index)
{
    return index <= YEAR || index == CENTURY;
}

static void
write_byte(struct cmos *cmos, uint8_t value)
{
    uint8_t index = cmos->index;
    if (index == STATUS_C || index == STATUS_D)
        return;
    bool was_setting = (cmos->bytes[STATUS_B] & B_SET) != 0;
    if (is_time(index))
        show_time(cmos);
    if (index == STATUS_B)
        show_time(cmos);
    cmos->bytes[index] = index == STATUS_A ? value & (uint8_t)~A_UPDATING : value;
    bool is_setting = (cmos->bytes[STATUS_B] & B_SET) != 0;
    if ((was_setting && !is_setting) || (is_time(index) && !is_setting))
        take_time(cmos);
}

static uint8_t
read_byte(struct cmos *cmos)
{
    if (is_time(cmos->index))
        show_time(cmos);
    return cmos->bytes[cmos->index];
}

static int
access_port(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    struct cmos *cmos = user_data;
    (void)vcpu;
    pthread_mutex_lock(&cmos->lock);
    if (!access->is_write)
        access->value = access->offset == 0 ? 0xff : read_byte(cmos);
    else if (access->offset == 0)
        cmos->index = (uint8_t)access->value & INDEX;
    else
        write_byte(cmos, (uint8_t)access->value);
    pthread_mutex_unlock(&cmos->lock);
    return VMKIT_HANDLED;
}

/* Memory from 1 MiB on in KiB, from 16 MiB on and from 4 GiB on in units of 64 KiB, each as far as
 * it fits into its bytes. */
static void
note_memory(struct cmos *cmos)
{
    const uint64_t mib = UINT64_C(1) << 20;
    uint64_t low = cmos->options.low_memory;
    uint64_t extended = low <= mib ? 0 : (low - mib) / 1024;
    uint64_t above = low <= 16 * mib ? 0 : (low - 16 * mib) / 65536;
    uint64_t high = cmos->options.high_memory / 65536;
    extended = extended > 0xffff ? 0xffff : extended;
    above = above > 0xffff ? 0xffff : above;
    high = high > 0xffffff ? 0xffffff : high;
    cmos->bytes[0x15] = 640 & 0xff;
    cmos->bytes[0x16] = 640 >> 8;
    for (unsigned i = 0; i < 2; i++) {
        cmos->bytes[0x17 + i] = cmos->bytes[0x30 + i] = (uint8_t)(extended >> 8 * i);
        cmos->bytes[0x34 + i] = (uint8_t)(above >> 8 * i);
    }
    for (unsigned i = 0; i < 3; i++)
        cmos->bytes[0x5b + i] = (uint8_t)(high >> 8 * i);
}

static void
release(void *user_data)
{
    struct cmos *cmos = user_data;
    pthread_mutex_destroy(&cmos->lock);
    free(cmos);
}

int
vmk_cmos_add(const struct vmk_cmos_options *options, vmkit_error **ret_error)
{
    struct cmos *cmos = calloc(1, sizeof *cmos);
    if (cmos == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a machine's clock");
    cmos->options = *options;
    cmos->bytes[STATUS_A] = A_DIVIDER;
    cmos->bytes[STATUS_B] = B_24_HOURS;
    cmos->bytes[STATUS_D] = D_VALID;
    note_memory(cmos);
    pthread_mutex_init(&cmos->lock, NULL);
    const struct vmk_bus_handler handler = {access_port, release, cmos};
    int result = options->board.ops->add_handler(options->board.data, VMKIT_SPACE_PIO,
                                                 VMK_CMOS_PORT, 2, &handler, ret_error);
    if (result < 0)
        release(cmos);
    return result;
}
