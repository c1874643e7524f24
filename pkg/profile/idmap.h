// From the ids of mappings, locations or functions to their place in the tables. Ids are 1..n in order in
// practice, then no map is needed; any other numbers are a sorted array, so that chosen ids cannot make
// look-ups slow. Private to this module.
#ifndef KP_PROFILE_IDMAP_H
#define KP_PROFILE_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kp_idmap_entry {
    uint64_t id;
    uint32_t index;
};

struct kp_idmap {
    struct kp_idmap_entry *items; // NULL = dense: index = id - 1
    size_t n;
    uint32_t n_dense;
};

// Room for n entries; a map of 1..n until then.
void kp_idmap_make(struct kp_idmap *map, uint32_t n);
void kp_idmap_add(struct kp_idmap *map, uint64_t id, uint32_t index);
bool kp_idmap_seal(struct kp_idmap *map); // once all are added; false if an id is there twice
void kp_idmap_finish(struct kp_idmap *map);
bool kp_idmap_search(const struct kp_idmap *map, uint64_t id, uint32_t *ret);

// False: there is none with this id.
static inline bool kp_idmap_find(const struct kp_idmap *map, uint64_t id, uint32_t *ret)
{
    if (map->items)
        return kp_idmap_search(map, id, ret);
    *ret = (uint32_t)(id - 1);
    return id - 1 < map->n_dense;
}

#endif
