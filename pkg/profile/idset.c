#include "profile/idset.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/banned.h"

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool seal_dense(struct kp_idset *set, uint64_t *ret_twice)
{
    set->bits = KP_NEW_ARRAY(uint64_t, set->max / 64 + 1);
    for (size_t i = 0; i < set->ids.n; i++) {
        uint64_t id = set->ids.items[i];
        uint64_t bit = UINT64_C(1) << (id % 64);
        if (set->bits[id / 64] & bit) {
            *ret_twice = id;
            return false;
        }
        set->bits[id / 64] |= bit;
    }
    return true;
}

bool kp_idset_seal(struct kp_idset *set, uint64_t *ret_twice)
{
    if (set->max <= 16 * (uint64_t)set->ids.n + 1024)
        return seal_dense(set, ret_twice);
    qsort(set->ids.items, set->ids.n, sizeof set->ids.items[0], compare);
    for (size_t i = 1; i < set->ids.n; i++) {
        if (set->ids.items[i] == set->ids.items[i - 1]) {
            *ret_twice = set->ids.items[i];
            return false;
        }
    }
    return true;
}

bool kp_idset_search(const struct kp_idset *set, uint64_t id)
{
    return set->ids.n > 0 && bsearch(&id, set->ids.items, set->ids.n, sizeof id, compare) != NULL;
}

void kp_idset_finish(struct kp_idset *set)
{
    kp_array_free(&set->ids);
    kp_free(set->bits);
    set->bits = NULL;
}
