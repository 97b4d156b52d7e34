/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers are those of the data sheet's table II. What has no meaning without a wire is kept
 * and has no effect: the divisor, the word's length, parity. A byte takes no time to send; so the
 * transmitter is empty as soon as the host's queue has room for it.
 */
#include "dev/serial.h"

#include "dev/ring.h"
#include "util/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { DATA = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

/* Interrupt enable: data received, transmitter empty, line status, modem status. */
#define IER_RECEIVED 0x01
#define IER_EMPTY 0x02
#define IER_ALL 0x0f
#define IIR_NONE 0x01
#define IIR_EMPTY 0x02
#define IIR_RECEIVED 0x04
#define IIR_TIMEOUT 0x0c
#define IIR_FIFOS 0xc0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RECEIVER 0x02
#define LOOP_QUEUE 16
#define LCR_DIVISOR 0x80
#define MCR_LISTENS 0x03 /* DTR, RTS */
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_ALL 0x1f
#define LSR_READY 0x01
#define LSR_EMPTY 0x20
#define LSR_IDLE 0x40
/* Carrier, data set ready, clear to send: somebody is at the other end. */
#define MSR_CONNECTED 0xb0

/* How many bytes wait before an enabled FIFO says that its level is reached (FCR bits 6 and 7). */
static const uint8_t levels[] = {1, 4, 8, 14};

struct vmk_serial {
    atomic_uint references;
    struct vmk_serial_options options;
    pthread_mutex_t lock; /* all below */
    struct vmk_ring input;
    struct vmk_ring output;
    struct vmk_ring loop; /* what the guest sent to itself */
    uint8_t ier;
    uint8_t fcr;
    uint8_t lcr;
    uint8_t mcr;
    uint8_t scratch;
    uint8_t divisor[2];
    bool empty_waits; /* the interrupt of an empty transmitter has not been taken */
    bool level;       /* of the interrupt line */
};

static bool
can_send(const struct vmk_serial *serial)
{
    return vmk_ring_get_room(&serial->output) > 0;
}

/* Where what the guest reads comes from; NULL while it does not listen. */
static struct vmk_ring *
get_receiver(struct vmk_serial *serial)
{
    if ((serial->mcr & MCR_LOOP) != 0)
        return &serial->loop;
    return (serial->mcr & MCR_LISTENS) != 0 ? &serial->input : NULL;
}

static size_t
count_received(struct vmk_serial *serial)
{
    const struct vmk_ring *receiver = get_receiver(serial);
    return receiver == NULL ? 0 : vmk_ring_get_used(receiver);
}

/* The interrupt of the highest priority that waits, as IIR shows it. */
static uint8_t
get_interrupt(struct vmk_serial *serial)
{
    size_t waiting = count_received(serial);
    bool has_fifo = (serial->fcr & FCR_ENABLE) != 0;
    size_t level = has_fifo ? levels[serial->fcr >> 6] : 1;
    /* Bytes below the level time out at once, since none is on its way. */
    if ((serial->ier & IER_RECEIVED) != 0 && waiting > 0)
        return waiting >= level ? IIR_RECEIVED : IIR_TIMEOUT;
    if ((serial->ier & IER_EMPTY) != 0 && serial->empty_waits)
        return IIR_EMPTY;
    return IIR_NONE;
}

/* With the lock held, after every change: the line follows the registers. */
static void
update_line(struct vmk_serial *serial)
{
    bool level = get_interrupt(serial) != IIR_NONE && (serial->mcr & MCR_OUT2) != 0;
    if (level == serial->level)
        return;
    serial->level = level;
    serial->options.board.ops->set_line(serial->options.board.data, serial->options.gsi, level);
}

static uint8_t
read_data(struct vmk_serial *serial)
{
    uint8_t byte = 0;
    struct vmk_ring *receiver = get_receiver(serial);
    if (receiver != NULL)
        vmk_ring_take(receiver, &byte, 1);
    return byte;
}

static uint8_t
read_iir(struct vmk_serial *serial)
{
    uint8_t interrupt = get_interrupt(serial);
    if (interrupt == IIR_EMPTY)
        serial->empty_waits = false;
    return interrupt | ((serial->fcr & FCR_ENABLE) != 0 ? IIR_FIFOS : 0);
}

static uint8_t
read_lsr(struct vmk_serial *serial)
{
    uint8_t status = can_send(serial) ? LSR_EMPTY | LSR_IDLE : 0;
    return status | (count_received(serial) > 0 ? LSR_READY : 0);
}

/* In loopback the modem's outputs are its inputs: RTS is CTS, DTR is DSR, OUT1 RI, OUT2 DCD. */
static uint8_t
read_msr(const struct vmk_serial *serial)
{
    uint8_t mcr = serial->mcr;
    if ((mcr & MCR_LOOP) == 0)
        return MSR_CONNECTED;
    return (uint8_t)((mcr & 0x0c) << 4 | (mcr & 0x02) << 3 | (mcr & 0x01) << 5);
}

static uint8_t
read_register(struct vmk_serial *serial, uint64_t offset)
{
    bool divisor = (serial->lcr & LCR_DIVISOR) != 0;
    switch (offset) {
    case DATA:
        return divisor ? serial->divisor[0] : read_data(serial);
    case IER:
        return divisor ? serial->divisor[1] : serial->ier;
    case IIR:
        return read_iir(serial);
    case LCR:
        return serial->lcr;
    case MCR:
        return serial->mcr;
    case LSR:
        return read_lsr(serial);
    case MSR:
        return read_msr(serial);
    default:
        return serial->scratch;
    }
}

/* A guest that sends while the transmitter is busy loses the byte, as with a wire. */
static void
write_data(struct vmk_serial *serial, uint8_t byte)
{
    if ((serial->mcr & MCR_LOOP) != 0)
        vmk_ring_put(&serial->loop, &byte, 1);
    else
        vmk_ring_put(&serial->output, &byte, 1);
    serial->empty_waits = can_send(serial);
}

static void
write_ier(struct vmk_serial *serial, uint8_t value)
{
    bool asked = (serial->ier & IER_EMPTY) == 0 && (value & IER_EMPTY) != 0;
    serial->ier = value & IER_ALL;
    if (asked && can_send(serial))
        serial->empty_waits = true;
}

/* What is on its way on the line is not in the FIFO, and stays. */
static void
write_fcr(struct vmk_serial *serial, uint8_t value)
{
    serial->fcr = value;
    if ((value & FCR_CLEAR_RECEIVER) != 0)
        serial->loop.read = serial->loop.written;
}

static void
write_register(struct vmk_serial *serial, uint64_t offset, uint8_t value)
{
    bool divisor = (serial->lcr & LCR_DIVISOR) != 0;
    switch (offset) {
    case DATA:
        if (divisor)
            serial->divisor[0] = value;
        else
            write_data(serial, value);
        return;
    case IER:
        if (divisor)
            serial->divisor[1] = value;
        else
            write_ier(serial, value);
        return;
    case FCR:
        write_fcr(serial, value);
        return;
    case LCR:
        serial->lcr = value;
        return;
    case MCR:
        serial->mcr = value & MCR_ALL;
        return;
    case SCR:
        serial->scratch = value;
        return;
    default:
        return;
    }
}

/* What the host should know of. */
static bool
has_changed(const struct vmk_serial *serial, size_t sent, size_t room)
{
    return (sent == 0 && vmk_ring_get_used(&serial->output) > 0) ||
           (room == 0 && vmk_ring_get_room(&serial->input) > 0);
}

static int
access_port(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    struct vmk_serial *serial = user_data;
    (void)vcpu;
    pthread_mutex_lock(&serial->lock);
    size_t sent = vmk_ring_get_used(&serial->output);
    size_t room = vmk_ring_get_room(&serial->input);
    /* The registers have 8 bits each, and nobody accesses two of them at once. */
    if (access->is_write)
        write_register(serial, access->offset, (uint8_t)access->value);
    else
        access->value = read_register(serial, access->offset);
    update_line(serial);
    bool changed = has_changed(serial, sent, room);
    pthread_mutex_unlock(&serial->lock);
    if (changed && serial->options.changed != NULL)
        serial->options.changed(serial->options.user_data);
    return VMKIT_HANDLED;
}

static void
release(void *user_data)
{
    vmk_serial_unref(user_data);
}

static int
make_queues(struct vmk_serial *serial)
{
    int result = vmk_ring_init(&serial->input, VMK_SERIAL_QUEUE);
    if (result == 0)
        result = vmk_ring_init(&serial->output, VMK_SERIAL_QUEUE);
    if (result == 0)
        result = vmk_ring_init(&serial->loop, LOOP_QUEUE);
    return result;
}

int
vmk_serial_new(const struct vmk_serial_options *options, struct vmk_serial **ret_serial,
               vmkit_error **ret_error)
{
    struct vmk_serial *serial = calloc(1, sizeof *serial);
    if (serial == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a serial port");
    serial->options = *options;
    atomic_init(&serial->references, 1);
    pthread_mutex_init(&serial->lock, NULL);
    int result = make_queues(serial);
    if (result < 0) {
        vmk_serial_unref(serial);
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a serial port");
    }
    const struct vmk_bus_handler handler = {access_port, release, vmk_serial_ref(serial)};
    result = options->board.ops->add_handler(options->board.data, VMKIT_SPACE_PIO, options->port,
                                             VMK_SERIAL_PORTS, &handler, ret_error);
    if (result < 0) {
        vmk_serial_unref(serial);
        vmk_serial_unref(serial);
        return result;
    }
    *ret_serial = serial;
    return 0;
}

struct vmk_serial *
vmk_serial_ref(struct vmk_serial *serial)
{
    atomic_fetch_add_explicit(&serial->references, 1, memory_order_relaxed);
    return serial;
}

void
vmk_serial_unref(struct vmk_serial *serial)
{
    if (serial == NULL ||
        atomic_fetch_sub_explicit(&serial->references, 1, memory_order_acq_rel) != 1)
        return;
    vmk_ring_clear(&serial->input);
    vmk_ring_clear(&serial->output);
    vmk_ring_clear(&serial->loop);
    pthread_mutex_destroy(&serial->lock);
    free(serial);
}

size_t
vmk_serial_take_output(struct vmk_serial *serial, void *bytes, size_t size)
{
    pthread_mutex_lock(&serial->lock);
    bool was_busy = !can_send(serial);
    size_t taken = vmk_ring_take(&serial->output, bytes, size);
    if (was_busy && taken > 0)
        serial->empty_waits = true;
    update_line(serial);
    pthread_mutex_unlock(&serial->lock);
    return taken;
}

size_t
vmk_serial_put_input(struct vmk_serial *serial, const void *bytes, size_t size)
{
    pthread_mutex_lock(&serial->lock);
    size_t put = vmk_ring_put(&serial->input, bytes, size);
    update_line(serial);
    pthread_mutex_unlock(&serial->lock);
    return put;
}

size_t
vmk_serial_get_input_room(struct vmk_serial *serial)
{
    pthread_mutex_lock(&serial->lock);
    size_t room = vmk_ring_get_room(&serial->input);
    pthread_mutex_unlock(&serial->lock);
    return room;
}

void
vmk_serial_reset(struct vmk_serial *serial)
{
    pthread_mutex_lock(&serial->lock);
    serial->ier = serial->fcr = serial->lcr = serial->mcr = serial->scratch = 0;
    serial->divisor[0] = serial->divisor[1] = 0;
    serial->empty_waits = false;
    serial->loop.read = serial->loop.written;
    update_line(serial);
    pthread_mutex_unlock(&serial->lock);
}
