// Which segments are worth writing again: hours of a day that is over, small ones of it, and those with more
// dead than living.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/text.h"
#include "store/tier.h"
#include "base/banned.h"

#define MAX_JOINED_BYTES ((uint64_t)64 * KP_MIB)
#define MAX_JOINED_FILES 512        // all are open at once, and the footer names them
#define SETTLED_MS       KP_HOUR_MS // after the end of a day: all of it is sealed by then

static uint64_t max_joined(const struct kp_store *store)
{
    uint64_t share = store->budget / 16; // space is given back file by file
    return store->budget > 0 && share < MAX_JOINED_BYTES ? share : MAX_JOINED_BYTES;
}

static int64_t day_of(const struct kp_sealed *sealed)
{
    return sealed->segment->min_received_ms / KP_DAY_MS;
}

// By what can be joined, then time.
static int in_order(const void *pa, const void *pb)
{
    const struct kp_sealed *a = *(struct kp_sealed *const *)pa;
    const struct kp_sealed *b = *(struct kp_sealed *const *)pb;
    int c = strcmp(a->segment->namespace, b->segment->namespace);
    if (c != 0)
        return c;
    if (a->segment->keep_s != b->segment->keep_s)
        return a->segment->keep_s < b->segment->keep_s ? -1 : 1;
    return (a->segment->min_received_ms > b->segment->min_received_ms) -
           (a->segment->min_received_ms < b->segment->min_received_ms);
}

static bool joins(const struct kp_sealed *a, const struct kp_sealed *b)
{
    return a->segment->keep_s == b->segment->keep_s && day_of(a) == day_of(b) &&
           kp_streq(a->segment->namespace, b->segment->namespace);
}

static void take(struct kp_tier_group *ret, struct kp_sealed *const *items, size_t n)
{
    ret->items = KP_NEW_ARRAY(struct kp_sealed *, n);
    for (size_t i = 0; i < n; i++)
        ret->items[ret->n++] = kp_sealed_ref(items[i]);
}

// The first of a day, as many as fit into one file. Large ones stay as they are.
static size_t take_day(struct kp_sealed *const *items, size_t n, uint64_t max_bytes)
{
    uint64_t bytes = 0;
    size_t taken = 0;
    while (taken < n && taken < MAX_JOINED_FILES && joins(items[0], items[taken]) &&
           items[taken]->segment->file_bytes <= max_bytes / 2 &&
           bytes + items[taken]->segment->file_bytes <= max_bytes)
        bytes += items[taken++]->segment->file_bytes;
    return taken;
}

void kp_tier_pick(struct kp_store *store, struct kp_tier_group *ret)
{
    int64_t now_ms = kp_store_now(store);
    kp_auto_free struct kp_sealed **all = KP_NEW_ARRAY(struct kp_sealed *, store->sealed.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < store->sealed.n; i++)
        if (store->sealed.items[i]->no_work_before_ms <= now_ms)
            all[n++] = store->sealed.items[i];
    for (size_t i = 0; i < n; i++)
        if (kp_sealed_is_damaged(all[i])) {
            take(ret, &all[i], 1);
            ret->is_damaged = true;
            return;
        }
    for (size_t i = 0; i < n; i++) {
        uint32_t n_rows = all[i]->segment->n_rows;
        uint32_t live = n_rows - kp_sealed_n_dead(all[i]);
        if (live > 0 && live < n_rows / 2) {
            take(ret, &all[i], 1);
            return;
        }
    }
    qsort(all, n, sizeof *all, in_order);
    for (size_t i = 0; i < n; i++) {
        bool over = (day_of(all[i]) + 1) * KP_DAY_MS + SETTLED_MS <= now_ms;
        size_t taken = over ? take_day(all + i, n - i, max_joined(store)) : 0;
        if (taken > 1) {
            take(ret, all + i, taken);
            return;
        }
    }
}
