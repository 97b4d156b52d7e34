/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of an arena of frames. An image is what the frames held at one time, as a value that any
 * number of arenas map copy-on-write, on any thread (mem/image.h): a sealed memfd, laid out as
 * guest memory is, a snapshot file, or, of a copy, what lies in its original's image and a memfd
 * with what is its own. A copy hands
 * out further frames above the image, and can be brought back to it: what was written is copied
 * again, what came since is given back. What the guest wrote is known from KVM's dirty log, what
 * the host wrote from a bitmap (vmk_paging_note_write); mem/rollback.h tells which frames are
 * copied back and which are given back.
 */
#ifndef VMK_SANDBOX_FRAMES_IMAGE_H
#define VMK_SANDBOX_FRAMES_IMAGE_H

#include "arch/paging.h"
#include "sandbox/frames.h"

struct vmk_archive;
struct vmk_archive_settings;
struct vmk_frames_image;
struct vmk_image;
struct vmk_page_runs;

/* Where KVM's log is: fill in what the guest wrote to, and take frames out of it. `start` is the
 * gpa of a piece that `grow` was called for, and bit 0 stands for. 0 or a negative errno. */
struct vmk_frames_log {
    int (*read)(void *user_data, uint64_t start, uint64_t *bits, vmkit_error **ret_error);
    int (*clear)(void *user_data, uint64_t start, const uint64_t *bits, vmkit_error **ret_error);
    void *user_data;
};

/* Copy what the frames hold now; of a copy, what may have changed since. `paging` are the page
 * tables in them, and `log` is where KVM's log is, of a copy. -ENOMEM, or what the host says. */
int
vmk_frames_image_new(struct vmk_frames *frames, const struct vmk_paging *paging,
                     const struct vmk_frames_log *log, struct vmk_frames_image **ret_image,
                     vmkit_error **ret_error);

/* What makes further pages of guest memory in the tables of an image that is opened. */
typedef int
vmk_frames_lay_out_fn(void *user_data, struct vmk_paging *paging);

/* What an image that is opened may take: of the guest's memory, tables included, and of the host's
 * at once. */
struct vmk_frames_limits {
    uint64_t guest;
    uint64_t host;
};

/* The image that an archive holds, of which `runs` says what lies where; `parent` is that of the
 * file that it names, or NULL. Its page tables are made from them, above its memory. Raw memory is
 * mapped from the archive's file, and read when it is touched; what is compressed is read at once,
 * or when it is touched, as the settings say; what lies in very many places, at once. 0, or a
 * negative errno with an error. */
int
vmk_frames_image_open(struct vmk_archive *archive, const struct vmk_frames_image *parent,
                      const struct vmk_page_runs *runs, const struct vmk_frames_limits *limits,
                      const struct vmk_archive_settings *settings, vmk_frames_lay_out_fn *lay_out,
                      void *user_data, struct vmk_frames_image **ret_image,
                      vmkit_error **ret_error);

/* What the page tables in the image show. 0 or -ENOMEM. */
int
vmk_frames_image_list(const struct vmk_frames_image *image, struct vmk_page_runs *ret_runs);

/* Where what they show ends, in guest memory. */
uint64_t
vmk_frames_image_get_end(const struct vmk_frames_image *image);

/* What a file of the image holds: of one that was opened, what that file holds, and else what its
 * page tables show and no more. The caller's reference. */
int
vmk_frames_image_get_contents(const struct vmk_frames_image *image, struct vmk_image **ret_contents,
                              vmkit_error **ret_error);

/* -EIO when a part that was touched could not be made. Costs a look at a flag where nothing is made
 * late. */
int
vmk_frames_image_check(const struct vmk_frames_image *image, vmkit_error **ret_error);

/* Whether it is mapped from the file of this descriptor. */
bool
vmk_frames_image_lies_in(const struct vmk_frames_image *image, int fd);

/* Accepts NULL. No copy is left. */
void
vmk_frames_image_free(struct vmk_frames_image *image);

/* Bytes of guest memory from gpa 0 on that the image covers; of the frames that are in use; and of
 * those that hold anything but zeros. */
uint64_t
vmk_frames_image_get_size(const struct vmk_frames_image *image);

uint64_t
vmk_frames_image_get_used(const struct vmk_frames_image *image);

uint64_t
vmk_frames_image_get_data(const struct vmk_frames_image *image);

/* An arena over a copy of the image, which must outlive it, and the page tables in it. `grow` is
 * called for the image's part too. As vmk_frames_new(), and -E2BIG when the limit does not hold
 * what the image has. */
int
vmk_frames_new_copy(const struct vmk_frames_image *image, uint64_t limit,
                    struct vmk_memory_account *account, vmk_frames_grow_fn *grow, void *user_data,
                    struct vmk_paging *paging, struct vmk_frames **ret_frames,
                    vmkit_error **ret_error);

/* Find out what the guest wrote to, for vmk_frames_restore(). 0, or a negative errno with an error,
 * and then nothing changed. */
int
vmk_frames_read_log(struct vmk_frames *frames, const struct vmk_frames_log *log,
                    vmkit_error **ret_error);

/* The log is about to be lost: note what it holds as if the host had written it. As
 * vmk_frames_read_log(). */
int
vmk_frames_keep_log(struct vmk_frames *frames, const struct vmk_frames_log *log,
                    vmkit_error **ret_error);

/* Bring a copy and its page tables back to the image, after vmk_frames_read_log() and without a run
 * in between. Nothing is charged for it any more: vmk_frames_charge_image() comes next. */
void
vmk_frames_restore(struct vmk_frames *frames, struct vmk_paging *paging,
                   const struct vmk_frames_log *log);

/* Charge a copy for what the image has in use. False when others have taken it from the limit. */
bool
vmk_frames_charge_image(struct vmk_frames *frames);

/* Take all back that it was charged. */
void
vmk_frames_uncharge_image(struct vmk_frames *frames);

#endif
