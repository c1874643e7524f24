#include "profile/idmap.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/banned.h"

static int by_id(const void *a, const void *b)
{
    const struct kp_idmap_entry *x = a;
    const struct kp_idmap_entry *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

void kp_idmap_make(struct kp_idmap *map, uint32_t n)
{
    map->items = KP_NEW_ARRAY(struct kp_idmap_entry, (size_t)n + 1);
}

void kp_idmap_add(struct kp_idmap *map, uint64_t id, uint32_t index)
{
    map->items[map->n++] = (struct kp_idmap_entry){id, index};
}

bool kp_idmap_seal(struct kp_idmap *map)
{
    if (map->n > 1)
        qsort(map->items, map->n, sizeof map->items[0], by_id);
    for (size_t i = 1; i < map->n; i++)
        if (map->items[i].id == map->items[i - 1].id)
            return false;
    return true;
}

bool kp_idmap_search(const struct kp_idmap *map, uint64_t id, uint32_t *ret)
{
    const struct kp_idmap_entry key = {.id = id};
    const struct kp_idmap_entry *found = bsearch(&key, map->items, map->n, sizeof key, by_id);
    if (found)
        *ret = found->index;
    return found != NULL;
}

void kp_idmap_finish(struct kp_idmap *map)
{
    kp_free(map->items);
    map->items = NULL;
}
