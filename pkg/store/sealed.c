#include "store/sealed.h"

#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

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

// Damage is met piece by piece: what lies beside it counts.
int kp_sealed_read_rows(struct kp_sealed *sealed, uint32_t first, uint32_t n, struct kp_segment_row *rows,
    uint32_t *ret_at, uint32_t *ret_n, struct kp_error *err)
{
    struct kp_error why = {0};
    int rc = kp_segment_read_rows(sealed->segment, first, n, rows, &why);
    *ret_n = rc == 0 ? n : 0;
    for (uint32_t i = 0; i < *ret_n; i++)
        ret_at[i] = first + i;
    if (rc != KP_CORRUPT)
        return rc == 0 ? 0 : kp_fail(err, rc, "%s", why.text);
    kp_sealed_set_damaged(sealed);
    for (uint32_t at = first; at < first + n;) {
        uint32_t piece_end = (at / KP_RECORD_ROWS + 1) * KP_RECORD_ROWS;
        uint32_t end = piece_end < first + n ? piece_end : first + n;
        kp_error_clear(&why);
        rc = kp_segment_read_rows(sealed->segment, at, end - at, rows + *ret_n, &why);
        if (rc != 0 && rc != KP_CORRUPT)
            return kp_fail(err, rc, "%s", why.text);
        for (; rc == 0 && at < end; at++)
            ret_at[(*ret_n)++] = at;
        at = end;
    }
    return 0;
}

static bool is_row_of(const struct kp_segment_row *row, const struct kp_id *id)
{
    return row->start_ms == id->start_ms && row->number == id->number;
}

struct search {
    const struct kp_id *id;
    uint32_t at;
    struct kp_segment_row row;
    uint32_t n_seen;
};

static int compare_row(void *user, uint32_t at, const struct kp_segment_row *row)
{
    struct search *search = user;
    search->n_seen++;
    if (!is_row_of(row, search->id))
        return 0;
    search->at = at;
    search->row = *row;
    return 1;
}

// Among rows of which some cannot be read.
static int find_beside(struct kp_sealed *sealed, const struct kp_segment_run *run, const struct kp_id *id,
    uint32_t *ret_at, struct kp_segment_row *ret_row, struct kp_error *err)
{
    struct search search = {.id = id};
    int rc = kp_sealed_each(sealed, run->first_row, run->n_rows, compare_row, &search, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return search.n_seen == run->n_rows
                   ? KP_NOT_FOUND
                   : kp_fail(err, KP_CORRUPT, "segment '%s': rows that may be the profile's cannot be read",
                         sealed->segment->name);
    *ret_at = search.at;
    *ret_row = search.row;
    return 0;
}

int kp_sealed_find(struct kp_sealed *sealed, const struct kp_id *id, uint32_t *ret_at,
    struct kp_segment_row *ret_row, struct kp_error *err)
{
    const struct kp_segment_run *run = kp_segment_find_run(sealed->segment, id->series);
    uint32_t low = run ? run->first_row : 0;
    uint32_t high = run ? run->first_row + run->n_rows : 0;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        struct kp_segment_row row;
        struct kp_error why = {0};
        int rc = kp_segment_read_rows(sealed->segment, mid, 1, &row, &why);
        if (rc == KP_CORRUPT)
            return find_beside(sealed, run, id, ret_at, ret_row, err);
        if (rc != 0)
            return kp_fail(err, rc, "%s", why.text);
        if (is_row_of(&row, id)) {
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

int kp_sealed_each(struct kp_sealed *sealed, uint32_t first, uint32_t n,
    int (*each)(void *user, uint32_t at, const struct kp_segment_row *row), void *user, struct kp_error *err)
{
    kp_auto_free struct kp_segment_row *rows = KP_NEW_ARRAY(struct kp_segment_row, KP_SEALED_CHUNK);
    uint32_t at[KP_SEALED_CHUNK];
    for (uint32_t done = 0; done < n;) {
        uint32_t step = n - done < KP_SEALED_CHUNK ? n - done : KP_SEALED_CHUNK;
        uint32_t n_read;
        int rc = kp_sealed_read_rows(sealed, first + done, step, rows, at, &n_read, err);
        for (uint32_t i = 0; rc == 0 && i < n_read; i++)
            rc = each(user, at[i], &rows[i]);
        if (rc != 0)
            return rc;
        done += step;
    }
    return 0;
}
