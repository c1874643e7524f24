#include "store/sealed.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

#define CHUNK_ROWS 256

struct kp_sealed *kp_sealed_new(struct kp_segment *segment)
{
    struct kp_sealed *sealed = KP_NEW(struct kp_sealed);
    sealed->segment = segment;
    sealed->dead = KP_NEW_ARRAY(uint64_t, (size_t)segment->n_rows / 64 + 1);
    sealed->refs = 1;
    return sealed;
}

struct kp_sealed *kp_sealed_ref(struct kp_sealed *sealed)
{
    __atomic_add_fetch(&sealed->refs, 1, __ATOMIC_RELAXED);
    return sealed;
}

void kp_sealed_unref(struct kp_sealed *sealed)
{
    if (sealed == NULL || __atomic_sub_fetch(&sealed->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    kp_segment_unref(sealed->segment);
    kp_array_free(&sealed->buried);
    kp_free(sealed->dead);
    kp_free(sealed);
}

bool kp_sealed_is_dead(const struct kp_sealed *sealed, uint32_t row)
{
    return (__atomic_load_n(&sealed->dead[row / 64], __ATOMIC_RELAXED) >> (row % 64) & 1) != 0;
}

bool kp_sealed_kill(struct kp_sealed *sealed, uint32_t row)
{
    uint64_t bit = UINT64_C(1) << (row % 64);
    if ((__atomic_fetch_or(&sealed->dead[row / 64], bit, __ATOMIC_RELAXED) & bit) != 0)
        return false;
    __atomic_add_fetch(&sealed->n_dead, 1, __ATOMIC_RELAXED);
    return true;
}

uint32_t kp_sealed_n_live(const struct kp_sealed *sealed, uint32_t first, uint32_t n)
{
    if (kp_sealed_n_dead(sealed) == 0)
        return n;
    uint32_t live = 0;
    for (uint32_t i = first; i < first + n; i++)
        live += !kp_sealed_is_dead(sealed, i);
    return live;
}

// ---- tombstones ----

static size_t position(const struct kp_sealed *sealed, uint64_t number)
{
    size_t low = 0;
    size_t high = sealed->buried.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (sealed->buried.items[mid] < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool kp_sealed_has_buried(const struct kp_sealed *sealed, uint64_t number)
{
    size_t at = position(sealed, number);
    return at < sealed->buried.n && sealed->buried.items[at] == number;
}

void kp_sealed_bury(struct kp_sealed *sealed, uint64_t number)
{
    size_t at = position(sealed, number);
    if (at < sealed->buried.n && sealed->buried.items[at] == number)
        return;
    (void)kp_array_add(&sealed->buried);
    uint64_t *items = sealed->buried.items;
    memmove(items + at + 1, items + at, (sealed->buried.n - 1 - at) * sizeof *items);
    items[at] = number;
}

// ---- look-ups ----

bool kp_sealed_may_hold(const struct kp_sealed *sealed, const struct kp_id *id)
{
    const struct kp_segment *s = sealed->segment;
    if (id->number < s->min_number || id->number > s->max_number || id->start_ms < s->min_start_ms ||
        id->start_ms > s->max_start_ms)
        return false;
    const struct kp_segment_run *run = kp_segment_find_run(s, id->series);
    return run && id->start_ms >= run->min_start_ms && id->start_ms <= run->max_start_ms;
}

int kp_sealed_find(const struct kp_sealed *sealed, const struct kp_id *id, uint32_t *ret_at,
    struct kp_segment_row *ret_row, struct kp_error *err)
{
    const struct kp_segment_run *run = kp_segment_find_run(sealed->segment, id->series);
    uint32_t low = run ? run->first_row : 0;
    uint32_t high = run ? run->first_row + run->n_rows : 0;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        struct kp_segment_row row;
        int rc = kp_segment_read_rows(sealed->segment, mid, 1, &row, err);
        if (rc != 0)
            return rc;
        if (row.start_ms == id->start_ms && row.number == id->number) {
            *ret_at = mid;
            *ret_row = row;
            return 0;
        }
        if (row.start_ms < id->start_ms || (row.start_ms == id->start_ms && row.number < id->number))
            low = mid + 1;
        else
            high = mid;
    }
    return KP_NOT_FOUND;
}

int kp_sealed_each(const struct kp_sealed *sealed, uint32_t first, uint32_t n,
    int (*each)(void *user, uint32_t at, const struct kp_segment_row *row), void *user, struct kp_error *err)
{
    kp_auto_free struct kp_segment_row *rows = KP_NEW_ARRAY(struct kp_segment_row, CHUNK_ROWS);
    for (uint32_t done = 0; done < n;) {
        uint32_t step = n - done < CHUNK_ROWS ? n - done : CHUNK_ROWS;
        int rc = kp_segment_read_rows(sealed->segment, first + done, step, rows, err);
        for (uint32_t i = 0; rc == 0 && i < step; i++)
            rc = each(user, first + done + i, &rows[i]);
        if (rc != 0)
            return rc;
        done += step;
    }
    return 0;
}
