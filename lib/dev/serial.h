/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A serial port of the kind that a PC has: National Semiconductor's 16550A with its FIFOs
 * (PC16550D data sheet, 8). It has two queues towards the host: bytes that the guest sent wait
 * until the host takes them, and bytes of the host wait until the guest reads them. When the first
 * is full, the transmitter is busy and the guest waits, so that nothing is lost and the vCPU never
 * waits for the host's reader. The second is the other end of the line: its bytes come as long as
 * the guest says that it listens (DTR or RTS), so that those typed before it does wait for it.
 *
 * The vCPUs' threads come in by the handler, the host's side by the calls below; a lock of the
 * device orders them.
 */
#ifndef VMK_DEV_SERIAL_H
#define VMK_DEV_SERIAL_H

#include "bus/board.h"

#include <stddef.h>
#include <stdint.h>

#define VMK_SERIAL_PORTS 8
/* How much either queue holds. */
#define VMK_SERIAL_QUEUE 65536

struct vmk_serial;

struct vmk_serial_options {
    struct vmk_board board;
    uint16_t port; /* the first of its VMK_SERIAL_PORTS */
    uint32_t gsi;
    /* The queue towards the host is not empty any more, or the one towards the guest has room
     * again. On a vCPU's thread, with no lock held; may be NULL. */
    void (*changed)(void *user_data);
    void *user_data;
};

/* The device is there, at its ports, as long as the board keeps its handler, which has a reference
 * to it; the caller has another. */
int
vmk_serial_new(const struct vmk_serial_options *options, struct vmk_serial **ret_serial,
               vmkit_error **ret_error);

struct vmk_serial *
vmk_serial_ref(struct vmk_serial *serial);

/* Accepts NULL. */
void
vmk_serial_unref(struct vmk_serial *serial);

/* Take up to `size` bytes that the guest sent. Returns how many. */
size_t
vmk_serial_take_output(struct vmk_serial *serial, void *bytes, size_t size);

/* Hand bytes to the guest, as many as there is room for. Returns how many. */
size_t
vmk_serial_put_input(struct vmk_serial *serial, const void *bytes, size_t size);

/* How many bytes there is room for. */
size_t
vmk_serial_get_input_room(struct vmk_serial *serial);

/* As after power-on, but for what the guest sent before. */
void
vmk_serial_reset(struct vmk_serial *serial);

#endif
