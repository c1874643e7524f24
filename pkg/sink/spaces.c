// Whose captures wait: each namespace has a queue of its own. Queues are served in turn, and none may fill
// what is there for all.
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/quantity.h"
#include "base/share.h"
#include "base/text.h"
#include "sink/sink_private.h"
#include "base/banned.h"

#define MOST_PASSED 64 // that wait for one of their series: what lies behind them waits as well

static struct kp_sink_space *space_get(struct kp_sink *sink, const char *name)
{
    struct kp_sink_space *space;
    HASH_FIND_STR(sink->spaces, name, space);
    if (space == NULL) {
        space = KP_NEW(struct kp_sink_space);
        space->name = kp_strdup(name);
        kp_list_init(&space->items);
        kp_list_append(&sink->turns, &space->turn);
        HASH_ADD_KEYPTR(hh, sink->spaces, space->name, strlen(space->name), space);
    }
    return space;
}

void kp_sink_space_enter(struct kp_sink_item *item)
{
    struct kp_sink *sink = item->sink;
    item->space = space_get(sink, item->record.namespace != NULL ? item->record.namespace : "");
    kp_list_append(&item->space->items, &item->in_space);
    item->space->n++;
    item->space->bytes += item->bytes;
}

void kp_sink_space_leave(struct kp_sink_item *item)
{
    struct kp_sink_space *space = item->space;
    if (space == NULL)
        return;
    item->space = NULL;
    kp_list_remove(&item->in_space);
    space->bytes -= item->bytes;
    if (--space->n > 0)
        return;
    HASH_DEL(item->sink->spaces, space);
    kp_list_remove(&space->turn);
    kp_free(space->name);
    kp_free(space);
}

static bool is_waiting(const struct kp_sink_item *item)
{
    return item->state == ITEM_MEMORY || item->state == ITEM_DISK;
}

static bool is_same_series(const struct kp_record *a, const struct kp_record *b)
{
    return a->pod_uid != NULL && kp_streq(a->pod_uid, b->pod_uid) && a->port == b->port &&
           kp_streq(a->type, b->type) && kp_streq(a->container, b->container);
}

// One of its series is under way: it came before, and arrives before.
static bool is_held_by_its_series(const struct kp_sink_item *item)
{
    if (item->space->n_sending == 0)
        return false;
    kp_list_foreach (node, &item->space->items) {
        const struct kp_sink_item *other = kp_container_of(node, struct kp_sink_item, in_space);
        if (other == item)
            break;
        if (!is_waiting(other) && is_same_series(&other->record, &item->record))
            return true;
    }
    return false;
}

static struct kp_sink_item *first_ready(const struct kp_sink_space *space, bool may_load)
{
    int passed = 0;
    kp_list_foreach (node, (struct kp_list *)(uintptr_t)&space->items) {
        struct kp_sink_item *item = kp_container_of(node, struct kp_sink_item, in_space);
        if (!is_waiting(item))
            continue;
        if (!is_held_by_its_series(item))
            return item->state == ITEM_MEMORY || may_load ? item : NULL;
        if (++passed == MOST_PASSED)
            break;
    }
    return NULL;
}

// Of those with the fewest deliveries under way the one that had its turn longest ago: whose captures take
// the receiver long does not come to have all deliveries.
struct kp_sink_item *kp_sink_next(struct kp_sink *sink, bool may_load)
{
    struct kp_sink_item *best = NULL;
    kp_list_foreach (node, &sink->turns) {
        const struct kp_sink_space *space = kp_container_of(node, struct kp_sink_space, turn);
        if (best != NULL && space->n_sending >= best->space->n_sending)
            continue;
        struct kp_sink_item *item = first_ready(space, may_load);
        best = item != NULL ? item : best;
        if (best != NULL && best->space->n_sending == 0)
            break;
    }
    return best;
}

void kp_sink_sending(struct kp_sink_item *item, int by)
{
    item->sink->n_sending += by;
    item->space->n_sending += by;
    if (by > 0) {
        kp_list_remove(&item->space->turn);
        kp_list_append(&item->sink->turns, &item->space->turn);
    }
}

const char *kp_sink_share_full(struct kp_sink *sink, const char *namespace, size_t bytes)
{
    const struct kp_sink_space *space;
    char has[KP_QUANTITY_TEXT];
    char limit[KP_QUANTITY_TEXT];
    HASH_FIND_STR(sink->spaces, namespace, space);
    if (space == NULL)
        return NULL;
    bool spooled = sink->spool != NULL;
    uint64_t most = spooled ? sink->options.spool_bytes : sink->options.memory_bytes;
    uint64_t used = sink->memory + (spooled ? kp_spool_bytes(sink->spool) : 0);
    if (kp_share_fits(space->n, 1, sink->n_items, KP_SINK_MAX_ITEMS) &&
        kp_share_fits(space->bytes, bytes, used, most))
        return NULL;
    snprintf(sink->full, sizeof sink->full,
        "the registry is away or slow and the %s is full for this namespace (%s of %s are its; the rest is "
        "kept for others): see to the registry, or raise %s",
        spooled ? "spool" : "memory", kp_quantity_format(has, (int64_t)space->bytes),
        kp_quantity_format(limit, (int64_t)most), spooled ? "--spool-bytes" : "it by a spool (--spool-dir)");
    return sink->full;
}
