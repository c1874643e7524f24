#include "store/order.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

// Numbers of segments are the profiles' in them: no two have the same, and they do not change between runs.
static uint64_t segment_of(const struct kp_hit *hit)
{
    return hit->segment ? hit->segment->min_number : UINT64_MAX;
}

static int by_place(const void *pa, const void *pb, void *picks)
{
    const struct kp_hit *a = kp_pick_hit(picks, pa);
    const struct kp_hit *b = kp_pick_hit(picks, pb);
    int c = compare(segment_of(a), segment_of(b));
    if (c == 0 && a->segment)
        c = compare(a->row.block, b->row.block);
    if (c == 0 && a->segment)
        c = compare(a->row.index, b->row.index);
    return c != 0 ? c : compare(((const struct kp_pick *)pa)->hit, ((const struct kp_pick *)pb)->hit);
}

static int by_life(const void *pa, const void *pb, void *picks)
{
    const struct kp_pick *a = pa;
    const struct kp_pick *b = pb;
    (void)picks;
    int c = compare(a->pod, b->pod);
    if (c == 0)
        c = compare(a->life, b->life);
    if (c == 0)
        c = (a->start_ms > b->start_ms) - (a->start_ms < b->start_ms);
    return c != 0 ? c : compare(a->hit, b->hit);
}

void kp_order_by_place(struct kp_picks *picks, bool first_stays)
{
    size_t from = first_stays ? 1 : 0;
    if (picks->n > from)
        qsort_r(picks->items + from, picks->n - from, sizeof *picks->items, by_place, picks);
}

void kp_order_by_life(struct kp_picks *picks)
{
    if (picks->n > 0)
        qsort_r(picks->items, picks->n, sizeof *picks->items, by_life, picks);
}
