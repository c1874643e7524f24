// Making the segments of one piece of work.
#include <inttypes.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/log.h"
#include "store/seal_private.h"
#include "store/segment_name.h"
#include "base/banned.h"

// A segment is begun anew at the next space when the builder holds so much.
#define MAX_BUILDER_BYTES ((size_t)96 * KP_MIB)

static char *name_of(
    struct kp_seal *seal, const struct kp_segment_options *o, const struct kp_segment_row *rows, uint32_t n)
{
    struct kp_strbuf name;
    kp_strbuf_init(&name, 4096);
    kp_segment_name_begin(&name, o->namespace, seal->period_ms, seal->inputs.n > 0, o->keep_s);
    uint64_t min = UINT64_MAX;
    uint64_t max = 0;
    for (uint32_t i = 0; i < n; i++) {
        min = rows[i].number < min ? rows[i].number : min;
        max = rows[i].number > max ? rows[i].number : max;
    }
    kp_strbuf_addf(&name, "-%" PRIu64 "-%" PRIu64 "-%" PRIx64 ".%" PRIu64 ".%" PRIu32 ".seg", min, max,
        (uint64_t)seal->now_ms, seal->id, seal->n_put++);
    return kp_strbuf_take(&name, NULL);
}

// Stores what the builder made and opens it. A file that cannot be stored whole is removed again.
static int put(struct kp_seal *seal, const struct kp_segment_options *o, struct kp_blob *blob,
    struct kp_segment_row *rows, uint32_t n, struct kp_error *err)
{
    struct kp_storage *storage = &seal->store->storage;
    kp_auto_free char *name = name_of(seal, o, rows, n);
    struct kp_segment *segment = NULL;
    int rc = storage->ops->put(storage->self, name, blob->data, blob->len, err);
    if (rc == 0)
        rc = kp_segment_open(storage, name, &segment, err);
    if (rc == 0 && segment->n_rows != n) {
        kp_segment_unref(segment);
        rc =
            kp_fail(err, KP_CORRUPT, "segment '%s' holds %u rows, %u were written", name, segment->n_rows, n);
    }
    if (rc != 0) {
        (void)storage->ops->remove(storage->self, name, NULL);
        return rc;
    }
    *kp_array_add(&seal->outputs) = (struct kp_seal_output){kp_sealed_new(segment), rows};
    return 0;
}

static int finish(struct kp_seal *seal, const struct kp_segment_options *o,
    struct kp_segment_builder *builder, struct kp_error *err)
{
    struct kp_blob *blob = NULL;
    struct kp_segment_row *rows = NULL;
    uint32_t n = 0;
    int rc = kp_segment_builder_finish(builder, &blob, &rows, &n, err);
    if (rc == 0 && n > 0)
        rc = put(seal, o, blob, rows, n, err);
    if (rc != 0 || n == 0)
        kp_free(rows);
    kp_blob_unref(blob);
    return rc;
}

// ---- from the log ----

static int add_item(
    struct kp_seal *seal, struct kp_segment_builder *builder, struct kp_seal_item *item, struct kp_error *err)
{
    const struct kp_seal_series *s = &seal->series.items[item->series];
    const struct kp_row *row = &item->row;
    struct kp_error why = {0};
    kp_auto_free uint8_t *payload = NULL;
    int rc = kp_logfile_read_payload(item->file, row, &payload, &why);
    if (rc == KP_CORRUPT) {
        kp_seal_set_bad(seal, item);
        return 0;
    }
    if (rc != 0)
        return kp_fail(err, rc, "%s", why.text);
    struct kp_segment_input input = {.row = {.start_ms = row->start_ms,
                                         .received_ms = row->received_ms,
                                         .key = {row->key[0], row->key[1]},
                                         .number = item->number,
                                         .series = s->series->id,
                                         .body_len = row->body_len,
                                         .life = item->life,
                                         .duration_ms = item->duration_ms,
                                         .weight = item->weight,
                                         .flags = item->flags},
        .type = s->series->fields[KP_SERIES_TYPE],
        .record = payload,
        .record_len = row->record_len,
        .body = payload + row->record_len,
        .body_len = row->body_len,
        .space = {item->space[0], item->space[1]},
        .order = item->order};
    if (!s->opaque) {
        input.rollup[0] = s->rollup[0];
        input.rollup[1] = s->rollup[1];
    }
    return kp_segment_builder_add(builder, &input, &s->identity, err);
}

static bool same_space(const struct kp_seal_item *a, const struct kp_seal_item *b)
{
    return a->group == b->group && a->space[0] == b->space[0] && a->space[1] == b->space[1];
}

// One segment, of items *at to end at most; moves *at behind them. ret_space: which cannot be written; zeroes
// if that is not why it failed.
static int write_until(struct kp_seal *seal, size_t *at, size_t end, const int *cancelled,
    uint64_t ret_space[2], struct kp_error *err)
{
    const struct kp_seal_group *group = &seal->groups.items[seal->items.items[*at].group];
    const struct kp_segment_options o = {.namespace = group->namespace,
        .keep_s = group->keep_s,
        .keep_original = seal->store->options.keep_original,
        .doubt = seal->doubt};
    struct kp_segment_builder *builder = kp_segment_builder_create(&o);
    size_t first = *at;
    int rc = 0;
    for (; rc == 0 && *at < end; ++*at) {
        struct kp_seal_item *item = &seal->items.items[*at];
        bool new_space = *at > first && !same_space(item, item - 1);
        if (*at > first && item->group != item[-1].group)
            break;
        if (new_space && kp_segment_builder_bytes(builder) > MAX_BUILDER_BYTES)
            break;
        if (kp_seal_cancelled(cancelled))
            rc = kp_fail(err, KP_CANCELED, "sealing was stopped");
        else if (!item->bad)
            rc = add_item(seal, builder, item, err);
    }
    if (rc == 0)
        rc = finish(seal, &o, builder, err);
    (void)kp_segment_builder_failed_space(builder, ret_space);
    kp_segment_builder_destroy(builder);
    return rc;
}

// The captures of a space that cannot be written, from item `first` on, are kept as received. Where they
// begin; items.n if there are none.
static size_t give_up_space(struct kp_seal *seal, size_t first, const uint64_t space[2])
{
    struct kp_seal_item *items = seal->items.items;
    uint32_t group = items[first].group;
    size_t from = seal->items.n;
    uint64_t n = 0;
    for (size_t i = first; i < seal->items.n && items[i].group == group; i++) {
        if (items[i].space[0] != space[0] || items[i].space[1] != space[1] ||
            (items[i].flags & KP_SROW_OPAQUE) != 0)
            continue;
        from = n == 0 ? i : from;
        items[i].flags |= KP_SROW_OPAQUE;
        n++;
    }
    kp_metric_add(seal->store->m_as_received, n);
    return from;
}

// One segment, from item *at on; moves *at behind it. What comes before a space that cannot be written
// becomes a segment of its own, so that nothing is built more than three times.
static int write_one(struct kp_seal *seal, size_t *at, const int *cancelled, struct kp_error *err)
{
    size_t first = *at;
    size_t end = seal->items.n;
    for (;;) {
        struct kp_error why = {0};
        uint64_t space[2];
        int rc = write_until(seal, at, end, cancelled, space, &why);
        if (rc == 0)
            return 0;
        size_t from = (space[0] | space[1]) != 0 ? give_up_space(seal, first, space) : seal->items.n;
        if (from == seal->items.n)
            return kp_fail(err, rc, "%s", why.text);
        KP_DEBUG("profiles are sealed as received",
            KP_S("namespace", seal->groups.items[seal->items.items[first].group].namespace), KP_E(&why));
        end = from > first ? from : end;
        *at = first;
    }
}

int kp_seal_write_all(struct kp_seal *seal, const int *cancelled, struct kp_error *err)
{
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < seal->items.n;)
        rc = write_one(seal, &at, cancelled, err);
    return rc;
}

// ---- from older segments ----

struct join {
    const struct kp_seal *seal;
    bool *any_dead; // of each input
};

static bool should_keep(void *user, size_t segment, const struct kp_segment_row *row)
{
    const struct join *join = user;
    const struct kp_seal *seal = join->seal;
    struct kp_sealed *sealed = seal->inputs.items[segment];
    const struct kp_id id = {.start_ms = row->start_ms, .series = row->series, .number = row->number};
    uint32_t at;
    struct kp_segment_row found;
    if (kp_store_expiry(seal->store, sealed->segment->keep_s, row->received_ms) <= seal->now_ms ||
        kp_forgotten_is_before(
            __atomic_load_n(&sealed->forgotten_ms, __ATOMIC_RELAXED), row->start_ms, row->received_ms))
        return false;
    return !join->any_dead[segment] || kp_sealed_find(sealed, &id, &at, &found, NULL) != 0 ||
           !kp_sealed_is_dead(sealed, at);
}

// What they are of is written again, each by itself, so that the others can be joined.
static int find_damaged(struct kp_seal *seal, const int *cancelled, struct kp_error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < seal->inputs.n; i++) {
        struct kp_segment_salvage salvage = {.cancelled = cancelled};
        rc = kp_segment_look(seal->inputs.items[i]->segment, &salvage, err);
        if (rc == 0 && !salvage.is_whole)
            kp_sealed_set_damaged(seal->inputs.items[i]);
        kp_free(salvage.states);
    }
    return rc;
}

static int describe(void *user, uint32_t id, struct kp_record *ret)
{
    struct kp_store *store = user;
    pthread_rwlock_rdlock(&store->lock);
    const struct kp_series *series = kp_series_of_id(&store->series, id);
    if (series)
        kp_series_record(series, ret);
    pthread_rwlock_unlock(&store->lock);
    return series ? 0 : KP_NOT_FOUND;
}

static int write_again(struct kp_seal *seal, const struct kp_segment_options *o,
    struct kp_segment_builder *builder, struct join *join, struct kp_error *err)
{
    struct kp_segment *segment = seal->inputs.items[0]->segment;
    struct kp_segment_salvage salvage = {
        .cancelled = o->cancelled, .describe = describe, .user = seal->store};
    int rc = kp_segment_look(segment, &salvage, err);
    seal->is_whole = rc == 0 && salvage.is_whole;
    seal->n_lost = salvage.n_lost;
    if (rc == 0 && !seal->is_whole)
        rc = kp_segment_builder_salvage(builder, segment, &salvage, should_keep, join, err);
    if (rc == 0 && !seal->is_whole)
        rc = finish(seal, o, builder, err);
    kp_free(salvage.states);
    return rc;
}

static int join_all(struct kp_seal *seal, const struct kp_segment_options *o,
    struct kp_segment_builder *builder, struct join *join, struct kp_error *err)
{
    size_t n = seal->inputs.n;
    kp_auto_free struct kp_segment **segments = KP_NEW_ARRAY(struct kp_segment *, n);
    for (size_t i = 0; i < n; i++)
        segments[i] = seal->inputs.items[i]->segment;
    int rc = kp_segment_builder_join(builder, segments, n, should_keep, join, err);
    return rc == 0 ? finish(seal, o, builder, err) : rc;
}

int kp_seal_join(struct kp_seal *seal, const int *cancelled, struct kp_error *err)
{
    const struct kp_segment *first = seal->inputs.items[0]->segment;
    const struct kp_segment_options o = {.namespace = first->namespace,
        .keep_s = first->keep_s,
        .keep_original = seal->store->options.keep_original,
        .cancelled = cancelled};
    struct join join = {seal, KP_NEW_ARRAY(bool, seal->inputs.n)};
    for (size_t i = 0; i < seal->inputs.n; i++)
        for (uint32_t w = 0; w <= seal->inputs.items[i]->segment->n_rows / 64; w++)
            join.any_dead[i] |= __atomic_load_n(&seal->inputs.items[i]->dead[w], __ATOMIC_RELAXED) != 0;
    struct kp_segment_builder *builder = kp_segment_builder_create(&o);
    int rc = seal->inputs.is_damaged ? write_again(seal, &o, builder, &join, err)
                                     : join_all(seal, &o, builder, &join, err);
    kp_segment_builder_destroy(builder);
    kp_free(join.any_dead);
    if (rc == KP_CORRUPT && !seal->inputs.is_damaged) {
        struct kp_error why = {0};
        int failed = find_damaged(seal, cancelled, &why);
        rc = failed == KP_CANCELED ? failed : rc;
    }
    return rc;
}
