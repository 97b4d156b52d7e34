/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two archives, by the checksums of sections and pages alone. */
#include "archive/reader.h"

#include "archive/hash.h"
#include "util/error.h"

#include <string.h>

#define PAGE VMK_ARCHIVE_PAGE_SIZE

static bool
same_section(const struct vmk_archive_section *a, const struct vmk_archive_section *b)
{
    return a->version == b->version && a->flags == b->flags && a->size == b->size &&
           a->checksum == b->checksum;
}

/* How the sections of the embedder stand to those of the other archive. */
static void
compare_sections(const struct vmk_archive *a, const struct vmk_archive *b,
                 struct vmk_archive_diff *diff)
{
    for (uint32_t i = 0; i < a->info.section_count; i++) {
        const struct vmk_archive_section *mine = &a->sections[i].section;
        const struct vmk_archive_section *other = vmk_archive_find_section(b, mine->name);
        if (strchr(mine->name, '.') != NULL)
            continue;
        if (other == NULL)
            diff->sections_only_in_first++;
        else if (same_section(mine, other))
            diff->sections_equal++;
        else
            diff->sections_changed++;
    }
    for (uint32_t i = 0; i < b->info.section_count; i++) {
        const char *name = b->sections[i].section.name;
        if (strchr(name, '.') == NULL && vmk_archive_find_section(a, name) == NULL)
            diff->sections_only_in_second++;
    }
}

struct side {
    struct vmk_archive_run run;
    const uint64_t *sums; /* of the run's owner; NULL unless it is data */
};

static int
look(const struct vmk_archive *archive, uint64_t page, struct side *side, vmkit_error **ret_error)
{
    side->sums = NULL;
    vmk_archive_find(archive, page, &side->run);
    return side->run.state == VMK_ARCHIVE_DATA
               ? vmk_reader_get_sums(side->run.owner, &side->sums, ret_error)
               : 0;
}

/* Pages that are in the very same place of the same file, or the same as in the same parent. */
static bool
is_same_place(const struct vmk_archive_run *a, const struct vmk_archive_run *b)
{
    if (a->state != b->state)
        return false;
    switch (a->state) {
    case VMK_ARCHIVE_ZERO:
        return true;
    case VMK_ARCHIVE_DATA:
        return a->rank == b->rank &&
               vmk_format_same_identity(&a->owner->info.identity, &b->owner->info.identity);
    case VMK_ARCHIVE_PARENT:
        return vmk_format_same_identity(&a->owner->info.parent, &b->owner->info.parent);
    }
    return false;
}

static void
compare_pages(const struct side *a, const struct side *b, uint64_t count, uint64_t zero,
              struct vmk_archive_diff *diff)
{
    if (is_same_place(&a->run, &b->run)) {
        diff->pages_equal += count;
        return;
    }
    if (a->run.state == VMK_ARCHIVE_PARENT || b->run.state == VMK_ARCHIVE_PARENT) {
        diff->pages_unknown += count;
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t mine = a->sums == NULL ? zero : a->sums[a->run.rank + i];
        uint64_t other = b->sums == NULL ? zero : b->sums[b->run.rank + i];
        if (mine == other)
            diff->pages_equal++;
        else
            diff->pages_changed++;
    }
}

int
vmk_archive_compare(const struct vmk_archive *a, const struct vmk_archive *b,
                    struct vmk_archive_diff *ret_diff, vmkit_error **ret_error)
{
    static const uint8_t zeros[VMK_ARCHIVE_PAGE_SIZE];
    uint64_t zero = vmk_archive_hash(zeros, sizeof zeros, 0);
    uint64_t a_pages = a->info.memory_size / PAGE, b_pages = b->info.memory_size / PAGE;
    uint64_t pages = a_pages < b_pages ? a_pages : b_pages, count;
    struct vmk_archive_diff diff = {.pages_changed = a_pages + b_pages - 2 * pages};
    compare_sections(a, b, &diff);
    for (uint64_t page = 0; page < pages; page += count) {
        struct side mine, other;
        int result = look(a, page, &mine, ret_error);
        if (result == 0)
            result = look(b, page, &other, ret_error);
        if (result < 0)
            return result;
        count = mine.run.count < other.run.count ? mine.run.count : other.run.count;
        compare_pages(&mine, &other, count, zero, &diff);
    }
    *ret_diff = diff;
    return 0;
}
