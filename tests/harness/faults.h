/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that fails when it is told to. The program defines functions of the C library itself, and
 * the shared library, which is as it is installed, finds these first. What the calling thread asks
 * for between fault_begin() and fault_end() fails, and what threads do that it makes meanwhile; all
 * else is handed on.
 */
#ifndef VMK_TEST_FAULTS_H
#define VMK_TEST_FAULTS_H

#include <stdint.h>

enum fault_call {
    FAULT_ALLOCATE = 1, /* malloc, calloc, realloc, strdup */
    FAULT_OPEN,
    FAULT_OPEN_AT, /* openat */
    FAULT_SYSCALL, /* what the C library has no function for */
    FAULT_IOCTL,
    FAULT_MAP,
    FAULT_DUPLICATE, /* fcntl with F_DUPFD_CLOEXEC */
    FAULT_MEMFD,
    FAULT_EVENTFD,
    FAULT_ADVISE,
    FAULT_RESIZE,
    FAULT_SEAL, /* fcntl with F_ADD_SEALS */
    FAULT_STATUS,
    FAULT_READ,  /* preadv, pread, read */
    FAULT_WRITE, /* pwrite, writev, write */
    FAULT_SYNC,
    FAULT_RENAME,  /* renameat */
    FAULT_RESERVE, /* fallocate */
    FAULT_THREAD,
    FAULT_RANDOM,
};

/* The call of this number, from 1 on, fails with `err`; 0: each one does. */
void
fault_begin(enum fault_call call, unsigned number, int err);

/* The call of this number does, and each one after it. */
void
fault_begin_lasting(enum fault_call call, unsigned number, int err);

/* The ioctls with this request fail with `err`. */
void
fault_begin_ioctl(unsigned long request, int err);

/* The ioctls with this request and argument give `value`. */
void
fault_answer_ioctl(unsigned long request, unsigned long argument, int value);

/* What fstat gives is a file of this type, such as S_IFBLK. */
void
fault_answer_type(unsigned type);

/* How many calls were of the kind that was to fail. */
unsigned
fault_end(void);

/* What the process has mapped, but for the C library's own. */
uint64_t
fault_get_mapped_bytes(void);

/* For the cases of Check: the value of `expression`, while each `call` fails with `err`. */
#define WITH_FAULT(call, err, expression)   \
    ({                                      \
        fault_begin((call), 0, (err));      \
        int fault_result = (expression);    \
        ck_assert_uint_gt(fault_end(), 0u); \
        fault_result;                       \
    })

/* The same while the ioctls with `request` fail. */
#define WITH_IOCTL_FAULT(request, err, expression) \
    ({                                             \
        fault_begin_ioctl((request), (err));       \
        int fault_result = (expression);           \
        ck_assert_uint_gt(fault_end(), 0u);        \
        fault_result;                              \
    })

/* The same while they give `value` for `argument`. */
#define WITH_IOCTL_ANSWER(request, argument, value, expression) \
    ({                                                          \
        fault_answer_ioctl((request), (argument), (value));     \
        int fault_result = (expression);                        \
        ck_assert_uint_gt(fault_end(), 0u);                     \
        fault_result;                                           \
    })

#endif
