#include "store/order.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/banned.h"

struct item {
    uint64_t keys[4];
    struct kp_pick pick;
};

static int compare(const void *pa, const void *pb)
{
    const struct item *a = pa;
    const struct item *b = pb;
    for (size_t i = 0; i < KP_COUNT(a->keys); i++)
        if (a->keys[i] != b->keys[i])
            return a->keys[i] < b->keys[i] ? -1 : 1;
    return 0;
}

static void sort(struct kp_picks *picks,
    void (*key)(const struct kp_picks *, const struct kp_pick *, uint64_t ret[4]), size_t from)
{
    if (picks->n <= from + 1)
        return;
    size_t n = picks->n - from;
    struct kp_pick *items = picks->items + from;
    kp_auto_free struct item *list = KP_NEW_ARRAY(struct item, n);
    for (size_t i = 0; i < n; i++) {
        key(picks, &items[i], list[i].keys);
        list[i].pick = items[i];
    }
    qsort(list, n, sizeof *list, compare);
    for (size_t i = 0; i < n; i++)
        items[i] = list[i].pick;
}

// Numbers of segments are the profiles' in them: no two have the same, and they do not change between runs.
static void by_place(const struct kp_picks *picks, const struct kp_pick *pick, uint64_t ret[4])
{
    const struct kp_hit *hit = kp_pick_hit(picks, pick);
    ret[0] = hit->segment ? hit->segment->min_number : UINT64_MAX;
    ret[1] = hit->segment ? hit->row.block : 0;
    ret[2] = hit->segment ? hit->row.index : 0;
    ret[3] = pick->hit;
}

static void by_life(const struct kp_picks *picks, const struct kp_pick *pick, uint64_t ret[4])
{
    (void)picks;
    ret[0] = pick->pod;
    ret[1] = pick->life;
    ret[2] = (uint64_t)pick->start_ms ^ UINT64_C(1) << 63;
    ret[3] = pick->hit;
}

void kp_order_by_place(struct kp_picks *picks, bool first_stays)
{
    sort(picks, by_place, first_stays ? 1 : 0);
}

void kp_order_by_life(struct kp_picks *picks)
{
    sort(picks, by_life, 0);
}
