#include "store/walk.h"

#include <string.h>

#include "base/alloc.h"
#include "store/order.h"
#include "store/rollups.h"
#include "base/banned.h"

#define DEFAULT_BYTES (256U << 20)
#define CACHE_BYTES   (24U << 20)
#define MAX_NOTED     4096 // of those that cannot be read

static size_t max_bytes(const struct kp_walk *walk)
{
    return walk->query->max_bytes != 0 ? walk->query->max_bytes : DEFAULT_BYTES;
}

// ---- rules ----

static void set_rules(
    struct kp_walk *walk, const struct kp_series *series, const struct kp_profile *shape, bool has_window)
{
    walk->rules.n = 0;
    for (uint32_t t = 0; t < shape->n_sample_types; t++) {
        char type[64];
        struct kp_str name = kp_profile_str(shape, shape->sample_types[t].type);
        size_t len = name.len < sizeof type ? name.len : sizeof type - 1;
        memcpy(type, name.data, len);
        type[len] = 0;
        enum kp_aggregation rule = kp_aggregation_of(series->fields[KP_SERIES_TYPE], type, has_window);
        if (kp_merge_is_plain(walk->query) || (rule == KP_AGGREGATE_NONE && walk->query->n_ids > 0))
            rule = KP_AGGREGATE_SUM;
        *kp_array_add(&walk->rules) = rule;
    }
}

static bool has_rule(const struct kp_walk *walk, enum kp_aggregation rule)
{
    for (size_t i = 0; i < walk->rules.n; i++)
        if (walk->rules.items[i] == rule)
            return true;
    return false;
}

static int refuse_type(const struct kp_series *series, struct kp_error *err)
{
    return kp_fail(err, KP_CONFLICT,
        "how values of profiles of type '%.60s' add up over time is not known: name the profiles to be added "
        "by "
        "their ids",
        series->fields[KP_SERIES_TYPE]);
}

// ---- handing out ----

static int check_bytes(const struct kp_walk *walk, struct kp_error *err)
{
    size_t bytes = kp_builds_bytes(walk->builds) + kp_sources_bytes(&walk->sources) +
                   (walk->more_bytes ? walk->more_bytes(walk->user) : 0);
    if (bytes <= max_bytes(walk))
        return 0;
    return kp_fail(err, KP_LIMIT,
        "the sum takes more than %zu MiB of memory: ask for less time, fewer pods or one revision",
        max_bytes(walk) >> 20);
}

static uint32_t *room_for_rows(struct kp_walk *walk, uint32_t n)
{
    if (n > walk->cap_rows) {
        walk->cap_rows = n + n / 2;
        walk->rows = kp_grow(walk->rows, walk->cap_rows, sizeof *walk->rows);
    }
    return walk->rows;
}

// Rules depend on the type and on whether the capture covers a window of time.
static int hand_out(
    struct kp_walk *walk, const struct kp_series *series, struct kp_walk_capture *c, struct kp_error *err)
{
    if (walk->is_peeking) {
        set_rules(walk, series, c->shape, false);
        walk->has_counters = has_rule(walk, KP_AGGREGATE_DELTA);
        return 0;
    }
    bool has_window = c->duration_ns > 0 || (c->pick && c->pick->duration_ms > 0);
    uint64_t id = c->shape_id == 0 ? 0 : c->shape_id << 1 | has_window;
    if (id == 0 || id != walk->rules_id) {
        set_rules(walk, series, c->shape, has_window);
        walk->rules_id = id;
    }
    if (has_rule(walk, KP_AGGREGATE_NONE) && walk->picks->n > 1)
        return refuse_type(series, err);
    c->rules = walk->rules.items;
    int rc = walk->each(walk->user, c, err);
    return rc != 0 ? rc : check_bytes(walk, err);
}

// ---- from the log, and what segments keep as received ----

static struct kp_build *build_of(
    struct kp_walk *walk, const struct kp_series *series, const struct kp_profile *p)
{
    struct kp_str build_id = {"", 0};
    struct kp_str filename = {"", 0};
    uint64_t size = 0;
    if (p->n_mappings > 0) {
        build_id = kp_profile_str(p, p->mappings[0].build_id);
        filename = kp_profile_str(p, p->mappings[0].filename);
        size = p->mappings[0].limit - p->mappings[0].start;
    }
    uint64_t key = kp_build_key(build_id, filename, size, series->fields[KP_SERIES_IMAGE_DIGEST]);
    return kp_builds_get(walk->builds, walk->sources.one_build ? 0 : key, p->n_sample_types);
}

static int check_types(struct kp_walk *walk, uint32_t n_types, struct kp_error *err)
{
    if (walk->n_types == UINT32_MAX)
        walk->n_types = n_types;
    if (walk->n_types == n_types)
        return 0;
    return kp_fail(
        err, KP_CONFLICT, "profiles of %u and of %u sample types cannot be merged", walk->n_types, n_types);
}

static int give_profile(struct kp_walk *walk, const struct kp_pick *pick, const struct kp_series *series,
    const struct kp_profile *p, struct kp_error *err)
{
    int rc = check_types(walk, p->n_sample_types, err);
    if (rc != 0)
        return rc;
    struct kp_build *build = build_of(walk, series, p);
    struct kp_symbols_map *map = kp_symbols_map_profile(build->symbols, p);
    uint32_t *rows = room_for_rows(walk, p->n_samples);
    if (build->symbols->n_mappings == 0 && p->n_mappings > 0)
        (void)kp_symbols_map_mapping(map, 0); // the main binary stays the first
    for (uint32_t i = 0; i < p->n_samples; i++)
        rows[i] = kp_sums_row(
            &build->sums, (struct kp_sums_key){kp_symbols_map_stack(map, i), kp_symbols_map_labels(map, i)});
    struct kp_walk_capture capture = {.pick = pick,
        .weight = pick->weight,
        .shape = p,
        .time_ns = p->time_ns,
        .duration_ns = p->duration_ns,
        .build = build,
        .n_samples = p->n_samples,
        .rows = rows,
        .values = p->values,
        .sample_step = p->n_sample_types,
        .type_step = 1};
    rc = hand_out(walk, series, &capture, err);
    kp_symbols_map_destroy(map);
    return rc;
}

// is_other: its samples cannot be read.
static int read_profile(struct kp_walk *walk, const struct kp_pick *pick, bool is_other,
    struct kp_profile **ret, struct kp_error *err)
{
    struct kp_blob *body = NULL;
    const struct kp_hit *hit = kp_pick_hit(walk->picks, pick);
    int rc = is_other ? kp_hit_read_other(walk->store, hit, &body, err)
                      : kp_hit_read(walk->store, hit, NULL, &body, err);
    if (rc == 0)
        rc = kp_profile_decode(body->data, body->len, NULL, ret, err);
    kp_blob_unref(body);
    return rc == KP_INVALID || rc == KP_LIMIT ? KP_CORRUPT : rc; // it was checked when it came
}

// ---- from segments ----

struct place {
    const struct kp_segment *segment;
    uint32_t block, index;
};

static int open_place(struct kp_walk *walk, const struct place *place, const struct kp_series *series,
    const struct kp_block **ret_block, struct kp_source **ret_source, struct kp_error *err)
{
    int rc = kp_sources_block(&walk->sources, place->segment, place->block, ret_block, err);
    if (rc != 0)
        return rc;
    const struct kp_block *block = *ret_block;
    rc = check_types(walk, block->n_types, err);
    if (rc == 0)
        rc = kp_sources_get(&walk->sources, place->segment, block->space, block->n_types,
            series->fields[KP_SERIES_IMAGE_DIGEST], ret_source, err);
    if (rc != 0)
        return rc;
    const struct kp_space *space = (*ret_source)->space;
    if (place->index >= block->n_captures || block->shape[place->index] >= space->n_shapes ||
        space->shapes[block->shape[place->index]]->n_sample_types != block->n_types)
        return kp_fail(err, KP_CORRUPT, "segment '%s': block %u has no capture %u", place->segment->name,
            place->block, place->index);
    return 0;
}

static int give_place(struct kp_walk *walk, const struct place *place, const struct kp_series *series,
    struct kp_walk_capture *c, struct kp_error *err)
{
    const struct kp_block *block;
    struct kp_source *source;
    int rc = open_place(walk, place, series, &block, &source, err);
    if (rc != 0)
        return rc;
    uint32_t first = block->first[place->index];
    c->n_samples = block->first[place->index + 1] - first;
    c->build = source->build;
    uint32_t *rows = room_for_rows(walk, c->n_samples);
    rc = kp_source_rows(source, block->entries + first, c->n_samples, rows, err);
    if (rc != 0)
        return rc;
    c->shape = source->space->shapes[block->shape[place->index]];
    c->shape_id = (uint64_t)source->number << 31 | block->shape[place->index];
    c->time_ns = block->time_ns[place->index];
    c->duration_ns = c->rollup ? c->rollup->duration_ns : block->duration_ns[place->index];
    c->rows = rows;
    c->values = block->values + first;
    c->sample_step = 1;
    c->type_step = block->n_samples;
    return hand_out(walk, series, c, err);
}

// ---- all ----

// In another form where the first cannot be read: nothing was handed out then.
static int give_pick(struct kp_walk *walk, const struct kp_pick *pick, struct kp_error *err)
{
    const struct kp_hit *hit = kp_pick_hit(walk->picks, pick);
    const struct kp_series *series = kp_pick_series(walk->picks, pick);
    bool is_sampled = hit->segment && (hit->row.flags & KP_SROW_OPAQUE) == 0;
    if (is_sampled) {
        const struct place place = {hit->segment, hit->row.block, hit->row.index};
        struct kp_walk_capture capture = {.pick = pick, .weight = pick->weight};
        struct kp_error why = {0};
        int rc = give_place(walk, &place, series, &capture, &why);
        if (rc != KP_CORRUPT)
            return rc == 0 ? 0 : kp_fail(err, rc, "%s", why.text);
    }
    struct kp_profile *p = NULL;
    int rc = read_profile(walk, pick, is_sampled, &p, err);
    if (rc == 0)
        rc = give_profile(walk, pick, series, p, err);
    kp_profile_free(p);
    return rc;
}

static int give_rollup(struct kp_walk *walk, const struct kp_rollup_use *use, struct kp_error *err)
{
    const struct kp_pick like = {.hit = use->hit, .weight = use->weight};
    const struct place place = {use->segment, use->rollup->block, 0};
    struct kp_walk_capture capture = {.rollup = use->rollup, .weight = use->weight};
    return give_place(walk, &place, kp_pick_series(walk->picks, &like), &capture, err);
}

// What is damaged is left out, but not where it was asked for by name.
static int go_on(struct kp_walk *walk, const struct kp_pick *pick, int rc, struct kp_error *err)
{
    if (rc != KP_CORRUPT || walk->query->n_ids > 0)
        return rc;
    walk->n_damaged++;
    if (pick->duration_ms == 0 && !pick->is_startup && walk->picks->damaged.n < MAX_NOTED)
        *kp_array_add(&walk->picks->damaged) = kp_pick_hit(walk->picks, pick)->row.number;
    kp_error_clear(err);
    return 0;
}

// Whether counters are among the sample types, as the first capture that can be read says.
static int peek(struct kp_walk *walk, struct kp_error *err)
{
    int rc = KP_CORRUPT;
    walk->is_peeking = true;
    for (size_t i = 0; rc == KP_CORRUPT && i < walk->picks->n; i++) {
        rc = kp_merge_check_stop(walk->query, err);
        if (rc == 0)
            rc = give_pick(walk, &walk->picks->items[i], err);
        if (rc == KP_CORRUPT && i + 1 < walk->picks->n)
            kp_error_clear(err);
    }
    walk->is_peeking = false;
    return rc;
}

static void drop_startup(struct kp_picks *picks)
{
    size_t n = 0;
    for (size_t i = 0; i < picks->n; i++)
        if (!picks->items[i].is_startup)
            picks->items[n++] = picks->items[i];
    picks->n = n;
}

static int put_in_order(struct kp_walk *walk, struct kp_error *err)
{
    const struct kp_merge_query *query = walk->query;
    bool is_plain = kp_merge_is_plain(query);
    int rc = is_plain ? 0 : peek(walk, err);
    if (rc != 0)
        return rc;
    if (walk->has_counters) {
        kp_order_by_life(walk->picks);
        return 0;
    }
    kp_order_by_place(walk->picks, query->n_ids > 0);
    if (walk->may_use_rollups && !is_plain && query->n_ids == 0)
        walk->n_uses = kp_rollups_use(walk->picks, query->weigh_by_sampling, &walk->uses);
    drop_startup(walk->picks);
    return 0;
}

int kp_walk_run(struct kp_walk *walk, struct kp_error *err)
{
    walk->n_types = UINT32_MAX;
    walk->sources = (struct kp_sources){.builds = walk->builds,
        .max_bytes = max_bytes(walk) / 4 < CACHE_BYTES ? max_bytes(walk) / 4 : CACHE_BYTES,
        .one_build = walk->query->plain_sum};
    int rc = put_in_order(walk, err);
    for (size_t i = 0; rc == 0 && i < walk->n_uses; i++) {
        rc = kp_merge_check_stop(walk->query, err);
        if (rc == 0)
            rc = give_rollup(walk, &walk->uses[i], err);
        walk->lost_rollup = rc == KP_CORRUPT;
        if (rc == KP_CORRUPT)
            kp_hit_set_damaged(walk->store, &walk->picks->hits.items[walk->uses[i].hit]);
    }
    for (size_t i = 0; rc == 0 && i < walk->picks->n; i++) {
        rc = kp_merge_check_stop(walk->query, err);
        if (rc == 0)
            rc = go_on(walk, &walk->picks->items[i], give_pick(walk, &walk->picks->items[i], err), err);
    }
    return rc;
}

void kp_walk_finish(struct kp_walk *walk)
{
    kp_sources_finish(&walk->sources);
    kp_record_reader_finish(&walk->records);
    kp_array_free(&walk->rules);
    kp_free(walk->rows);
    kp_free(walk->uses);
}

int64_t kp_walk_began_inside(struct kp_walk *walk, const struct kp_pick *pick)
{
    struct kp_record record;
    if (pick->life >> 63 != 0 || kp_hit_read_next(walk->store, &walk->records, kp_pick_hit(walk->picks, pick),
                                     &record, NULL, NULL) != 0)
        return 0;
    int64_t started = record.container_started_ms;
    kp_record_finish(&record);
    return started > 0 && started >= walk->query->select.from_ms && walk->query->n_ids == 0 ? started : 0;
}
