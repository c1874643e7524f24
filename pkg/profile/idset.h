// The ids of mappings, locations or functions: collected first, then asked. Ids are dense (1..n) in practice,
// which is a bitmap; any other numbers are a sorted array, so that chosen ids cannot make look-ups slow.
// Private to this module.
#ifndef KP_PROFILE_IDSET_H
#define KP_PROFILE_IDSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"

struct kp_idset {
    KP_ARRAY(uint64_t) ids;
    uint64_t max;
    uint64_t *bits; // NULL: ids is sorted instead
};

static inline void kp_idset_add(struct kp_idset *set, uint64_t id)
{
    *kp_array_add(&set->ids) = id;
    if (id > set->max)
        set->max = id;
}

// Call once when all are added. False if one is there twice: *ret_twice.
bool kp_idset_seal(struct kp_idset *set, uint64_t *ret_twice);
void kp_idset_finish(struct kp_idset *set);
bool kp_idset_search(const struct kp_idset *set, uint64_t id);

static inline bool kp_idset_has(const struct kp_idset *set, uint64_t id)
{
    if (set->bits)
        return id <= set->max && (set->bits[id / 64] >> (id % 64) & 1);
    return kp_idset_search(set, id);
}

#endif
