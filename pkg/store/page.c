// The first few of what matches, in order of time: without sorting the rest, and reading of the segments only
// where something better than what is held can still lie.
#include <stdlib.h>

#include "base/alloc.h"
#include "store/tier.h"
#include "base/banned.h"

// The best `cap` hits so far in a heap whose top is the worst of them.
struct page {
    struct kp_store *store;
    const struct kp_store_query *query;
    const struct kp_id *after;
    struct kp_series_set chosen;
    int64_t now_ms;
    struct kp_hit *heap;
    size_t n, cap;
};

// Whether a comes after b in the order asked for.
static bool later(const struct page *page, int64_t a_ms, uint64_t a_number, int64_t b_ms, uint64_t b_number)
{
    bool after = a_ms != b_ms ? a_ms > b_ms : a_number > b_number;
    bool same = a_ms == b_ms && a_number == b_number;
    return !same && after != page->query->newest_first;
}

static bool hit_later(const struct page *page, const struct kp_hit *a, const struct kp_hit *b)
{
    return later(page, a->row.start_ms, a->row.number, b->row.start_ms, b->row.number);
}

static void swap(struct kp_hit *a, struct kp_hit *b)
{
    struct kp_hit t = *a;
    *a = *b;
    *b = t;
}

static void sift_down(const struct page *page, size_t at, size_t n)
{
    for (;;) {
        size_t worst = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < n; child++)
            if (hit_later(page, &page->heap[child], &page->heap[worst]))
                worst = child;
        if (worst == at)
            return;
        swap(&page->heap[at], &page->heap[worst]);
        at = worst;
    }
}

static void offer(struct page *page, const struct kp_hit *hit)
{
    if (page->n == page->cap) {
        if (!hit_later(page, &page->heap[0], hit))
            return;
        page->heap[0] = *hit;
        sift_down(page, 0, page->n);
        return;
    }
    size_t at = page->n++;
    page->heap[at] = *hit;
    while (at > 0 && hit_later(page, &page->heap[at], &page->heap[(at - 1) / 2])) {
        swap(&page->heap[at], &page->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

// Heap to order asked for.
static void sort(struct page *page)
{
    for (size_t end = page->n; end > 1; end--) {
        swap(&page->heap[0], &page->heap[end - 1]);
        sift_down(page, 0, end - 1);
    }
}

// Whether a row at this place in time can be on the page.
static bool wanted(const struct page *page, int64_t start_ms, uint64_t number)
{
    if (page->after && !later(page, start_ms, number, page->after->start_ms, page->after->number))
        return false;
    const struct kp_hit *worst = page->n == page->cap ? &page->heap[0] : NULL;
    return worst == NULL || later(page, worst->row.start_ms, worst->row.number, start_ms, number);
}

static void look_at_file(struct page *page, struct kp_logfile *file)
{
    int64_t from = page->query->from_ms;
    int64_t to = kp_query_to_ms(page->query);
    if (file->n_live == 0 || file->max_start_ms < from || file->min_start_ms >= to)
        return;
    for (size_t i = 0; i < file->rows.n; i++) {
        const struct kp_row *row = &file->rows.items[i];
        if (row->start_ms < from || row->start_ms >= to || !kp_series_set_has(&page->chosen, row->series) ||
            !wanted(page, row->start_ms, file->head.first + row->number_delta) ||
            !kp_store_row_live(page->store, file, i, page->now_ms))
            continue;
        struct kp_hit hit;
        kp_hit_set_log(&hit, file, i);
        offer(page, &hit);
    }
}

// ---- segments ----

#define CHUNK_ROWS 64

// Where the best row of a run can be.
static int64_t best_ms(const struct page *page, const struct kp_segment_run *run)
{
    return page->query->newest_first ? run->max_start_ms : run->min_start_ms;
}

static int oldest_run_first(const void *pa, const void *pb)
{
    int64_t a = ((const struct kp_wanted_run *)pa)->run->min_start_ms;
    int64_t b = ((const struct kp_wanted_run *)pb)->run->min_start_ms;
    return (a > b) - (a < b);
}

static int newest_run_first(const void *pa, const void *pb)
{
    int64_t a = ((const struct kp_wanted_run *)pa)->run->max_start_ms;
    int64_t b = ((const struct kp_wanted_run *)pb)->run->max_start_ms;
    return (a < b) - (a > b);
}

// Whether nothing at or behind this time can be on the page.
static bool is_past(const struct page *page, int64_t start_ms)
{
    if (page->n < page->cap)
        return false;
    int64_t worst_ms = page->heap[0].row.start_ms;
    return page->query->newest_first ? start_ms < worst_ms : start_ms > worst_ms;
}

static bool is_before_cursor(const struct page *page, int64_t start_ms)
{
    if (page->after == NULL)
        return false;
    return page->query->newest_first ? start_ms > page->after->start_ms : start_ms < page->after->start_ms;
}

static void look_at_row(
    struct page *page, const struct kp_sealed *sealed, uint32_t at, const struct kp_segment_row *row)
{
    if (row->start_ms >= page->query->from_ms && row->start_ms < kp_query_to_ms(page->query) &&
        wanted(page, row->start_ms, row->number) &&
        kp_sealed_row_live(page->store, sealed, at, row, page->now_ms))
        offer(page, &(struct kp_hit){.row = *row, .segment = sealed->segment, .at = at});
}

// The first row of a run, counted from the better end, that is not before the cursor: found by halving. All
// are looked at where rows cannot be read.
static int skip_to_cursor(
    const struct page *page, const struct kp_wanted_run *wanted_run, uint32_t *ret_skip, struct kp_error *err)
{
    uint32_t low = 0;
    uint32_t high = is_before_cursor(page, best_ms(page, wanted_run->run)) ? wanted_run->run->n_rows : 0;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        uint32_t at = page->query->newest_first ? wanted_run->run->n_rows - 1 - mid : mid;
        struct kp_segment_row row;
        struct kp_error why = {0};
        int rc =
            kp_segment_read_rows(wanted_run->sealed->segment, wanted_run->run->first_row + at, 1, &row, &why);
        if (rc == KP_CORRUPT) {
            *ret_skip = 0;
            return 0;
        }
        if (rc != 0)
            return kp_fail(err, rc, "%s", why.text);
        if (is_before_cursor(page, row.start_ms))
            low = mid + 1;
        else
            high = mid;
    }
    *ret_skip = low;
    return 0;
}

// From its better end on, until nothing of it can be on the page.
static int look_at_run(struct page *page, const struct kp_wanted_run *wanted_run, struct kp_error *err)
{
    const struct kp_segment_run *run = wanted_run->run;
    struct kp_segment_row rows[CHUNK_ROWS];
    uint32_t at[CHUNK_ROWS];
    uint32_t done = 0;
    int rc = skip_to_cursor(page, wanted_run, &done, err);
    while (rc == 0 && done < run->n_rows) {
        uint32_t n = run->n_rows - done < CHUNK_ROWS ? run->n_rows - done : CHUNK_ROWS;
        uint32_t first =
            page->query->newest_first ? run->first_row + run->n_rows - done - n : run->first_row + done;
        uint32_t n_read;
        rc = kp_sealed_read_rows(wanted_run->sealed, first, n, rows, at, &n_read, err);
        for (uint32_t i = 0; rc == 0 && i < n_read; i++)
            look_at_row(page, wanted_run->sealed, at[i], &rows[i]);
        if (rc == 0 && n_read > 0 && is_past(page, rows[page->query->newest_first ? 0 : n_read - 1].start_ms))
            break;
        done += n;
    }
    return rc;
}

static int look_at_segments(struct page *page, struct kp_wanted *wanted_runs, struct kp_error *err)
{
    int rc = 0;
    if (wanted_runs->runs.n > 1)
        qsort(wanted_runs->runs.items, wanted_runs->runs.n, sizeof wanted_runs->runs.items[0],
            page->query->newest_first ? newest_run_first : oldest_run_first);
    for (size_t i = 0; rc == 0 && i < wanted_runs->runs.n; i++) {
        const struct kp_wanted_run *wanted_run = &wanted_runs->runs.items[i];
        if (is_past(page, best_ms(page, wanted_run->run)))
            break;
        rc = look_at_run(page, wanted_run, err);
    }
    return rc;
}

static void look_at_files(struct page *page, struct kp_hits *ret)
{
    for (size_t i = 0; i < page->store->files.n; i++)
        look_at_file(page, page->store->files.items[i]);
    for (size_t i = 0; i < page->n; i++)
        kp_hits_hold_file(ret, page->heap[i].file);
}

int kp_hits_page(struct kp_store *store, const struct kp_store_query *query, const struct kp_id *after,
    size_t limit, struct kp_hits *ret, struct kp_error *err)
{
    struct kp_series_set chosen;
    int rc = kp_series_set_choose_locked(&chosen, store, query, err);
    if (rc != 0)
        return rc;
    struct page page = {.store = store,
        .query = query,
        .after = after,
        .chosen = chosen,
        .now_ms = kp_store_now(store),
        .heap = KP_NEW_ARRAY(struct kp_hit, limit),
        .cap = limit};
    struct kp_hits hits = {0};
    struct kp_wanted wanted_runs = {0};
    if (page.chosen.n_chosen > 0) {
        look_at_files(&page, &hits);
        kp_wanted_gather(&wanted_runs, store, &page.chosen, query);
    }
    pthread_rwlock_unlock(&store->lock);
    kp_series_set_finish(&page.chosen);
    rc = look_at_segments(&page, &wanted_runs, err);
    for (size_t i = 0; i < page.n; i++)
        if (page.heap[i].segment)
            kp_hits_hold_segment(&hits, page.heap[i].segment);
    kp_wanted_finish(&wanted_runs);
    sort(&page);
    hits.items = page.heap;
    hits.n = page.n;
    if (rc != 0)
        kp_hits_finish(&hits);
    else
        *ret = hits;
    return rc;
}
