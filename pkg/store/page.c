// The first few of what matches, in order of time, without sorting the rest.
#include <string.h>

#include "base/alloc.h"
#include "store/hits.h"
#include "store/select.h"
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

int kp_hits_page(struct kp_store *store, const struct kp_store_query *query, const struct kp_id *after,
    size_t limit, struct kp_hits *ret, struct kp_error *err)
{
    (void)err;
    struct page page = {.store = store,
        .query = query,
        .after = after,
        .now_ms = kp_store_now(store),
        .heap = KP_NEW_ARRAY(struct kp_hit, limit),
        .cap = limit};
    *ret = (struct kp_hits){0};
    pthread_rwlock_rdlock(&store->lock);
    kp_series_set_choose(&page.chosen, &store->series, query);
    for (size_t i = 0; page.chosen.n_chosen > 0 && i < store->files.n; i++)
        look_at_file(&page, store->files.items[i]);
    for (size_t i = 0; i < page.n; i++)
        kp_hits_hold_file(ret, page.heap[i].file);
    pthread_rwlock_unlock(&store->lock);
    kp_series_set_finish(&page.chosen);
    sort(&page);
    ret->items = page.heap;
    ret->n = page.n;
    return 0;
}
