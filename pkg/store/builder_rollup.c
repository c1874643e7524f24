// Sums of the captures of one space, type and label set.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "store/builder_private.h"
#include "base/banned.h"

struct kp_rollup_sum {
    uint32_t key; // 1 + which
    uint32_t n_types, n_entries, shape;
    int64_t *sums;             // entry e, type t: sums[e * n_types + t]
    bool bad;                  // passes what an int64 holds, or its captures do not add up
    KP_ARRAY(uint64_t) series; // of each capture << 1 | start-up
    int64_t time_ns;
    struct kp_segment_rollup rollup;
    UT_hash_handle hh;
};

static bool is_window_type(const char *type, const struct kp_profile *shape)
{
    for (uint32_t i = 0; i < shape->n_sample_types; i++) {
        struct kp_str name = shape->strings[shape->sample_types[i].type];
        kp_auto_free char *text = kp_strndup(name.data, name.len);
        if (kp_aggregation_of(type, text, false) != KP_AGGREGATE_SUM)
            return false;
    }
    return shape->n_sample_types > 0;
}

static struct kp_rollup_sum *sum_of(struct kp_space_builder *s, uint32_t key, uint32_t shape)
{
    struct kp_rollup_sum *sum;
    HASH_FIND(hh, s->rollups, &key, sizeof key, sum);
    if (sum)
        return sum;
    sum = KP_NEW(struct kp_rollup_sum);
    sum->key = key;
    sum->n_types = s->n_types;
    sum->shape = shape;
    sum->rollup.min_start_ms = INT64_MAX;
    sum->rollup.max_start_ms = INT64_MIN;
    sum->rollup.min_duration_ms = UINT32_MAX;
    HASH_ADD(hh, s->rollups, key, sizeof sum->key, sum);
    return sum;
}

// What the header says, mappings left out.
static bool same_head(const struct kp_space_builder *s, uint32_t a, uint32_t b)
{
    const struct kp_shape *x = &s->shapes.items[a];
    const struct kp_shape *y = &s->shapes.items[b];
    return a == b || (x->head_len == y->head_len && memcmp(x->bytes, y->bytes, x->head_len) == 0);
}

static bool make_room(struct kp_space_builder *s, struct kp_rollup_sum *sum)
{
    if (sum->n_entries >= s->n_entries)
        return true;
    size_t more = (size_t)(s->n_entries - sum->n_entries) * sum->n_types;
    if (s->rollup_bytes + more * sizeof *sum->sums > KP_MAX_ROLLUP_BYTES)
        return false;
    size_t n = (size_t)sum->n_entries * sum->n_types;
    sum->sums = kp_grow(sum->sums, n + more, sizeof *sum->sums);
    memset(sum->sums + n, 0, more * sizeof *sum->sums);
    sum->n_entries = s->n_entries;
    s->rollup_bytes += more * sizeof *sum->sums;
    return true;
}

static void add_capture(
    struct kp_space_builder *s, struct kp_rollup_sum *sum, const struct kp_block *block, uint32_t index)
{
    struct kp_segment_rollup *r = &sum->rollup;
    if (sum->bad || sum->n_types != block->n_types || !same_head(s, sum->shape, block->shape[index]) ||
        !make_room(s, sum)) {
        sum->bad = true;
        return;
    }
    for (uint32_t i = block->first[index]; i < block->first[index + 1]; i++)
        for (uint32_t t = 0; t < sum->n_types; t++) {
            int64_t *to = &sum->sums[(size_t)block->entries[i] * sum->n_types + t];
            sum->bad |= __builtin_add_overflow(*to, block->values[(size_t)t * block->n_samples + i], to);
        }
    sum->bad |= __builtin_add_overflow(r->duration_ns, block->duration_ns[index], &r->duration_ns);
    int64_t time = block->time_ns[index];
    if (time != 0 && (sum->time_ns == 0 || time < sum->time_ns))
        sum->time_ns = time;
}

static void take_capture(struct kp_segment_builder *b, const struct kp_block *block, uint32_t index)
{
    struct kp_space_builder *s = b->space;
    const struct kp_segment_row *row = &b->rows.items[s->captures.items[index].row].row;
    const struct kp_built_series *series = kp_builder_series(b, row->series);
    const struct kp_profile *shape = s->shapes.items[block->shape[index]].profile;
    if (series == NULL || series->rollup_key == 0 || !is_window_type(s->type, shape))
        return;
    struct kp_rollup_sum *sum = sum_of(s, series->rollup_key, block->shape[index]);
    struct kp_segment_rollup *r = &sum->rollup;
    bool startup = (row->flags & KP_SROW_STARTUP) != 0;
    *kp_array_add(&sum->series) = (uint64_t)row->series << 1 | startup;
    if (startup) {
        r->n_startup++;
        return;
    }
    add_capture(s, sum, block, index);
    r->n_profiles++;
    r->min_duration_ms = row->duration_ms < r->min_duration_ms ? row->duration_ms : r->min_duration_ms;
    r->max_duration_ms = row->duration_ms > r->max_duration_ms ? row->duration_ms : r->max_duration_ms;
    r->min_start_ms = row->start_ms < r->min_start_ms ? row->start_ms : r->min_start_ms;
    r->max_start_ms = row->start_ms > r->max_start_ms ? row->start_ms : r->max_start_ms;
}

void kp_rollup_take(struct kp_segment_builder *b, const struct kp_block *block)
{
    for (uint32_t i = 0; i < block->n_captures; i++)
        take_capture(b, block, i);
}

static int by_series(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void put_series(struct kp_segment_builder *b, struct kp_rollup_sum *sum)
{
    sum->rollup.first_series = (uint32_t)b->rollup_series.n;
    if (sum->series.n > 1)
        qsort(sum->series.items, sum->series.n, sizeof sum->series.items[0], by_series);
    for (size_t i = 0; i < sum->series.n; i++) {
        uint32_t series = (uint32_t)(sum->series.items[i] >> 1);
        if (i == 0 || series != (uint32_t)(sum->series.items[i - 1] >> 1)) {
            *kp_array_add(&b->rollup_series) = series;
            *kp_array_add(&b->rollup_counts) = 0;
        }
        b->rollup_counts.items[b->rollup_counts.n - 1] += (sum->series.items[i] & 1) == 0;
    }
    sum->rollup.n_series = (uint32_t)b->rollup_series.n - sum->rollup.first_series;
}

static void put_sum(struct kp_segment_builder *b, struct kp_rollup_sum *sum)
{
    struct kp_space_builder *s = b->space;
    uint32_t first[2] = {0, 0};
    kp_auto_free uint32_t *entries = kp_grow(NULL, (size_t)sum->n_entries + 1, sizeof *entries);
    for (uint32_t e = 0; e < sum->n_entries; e++) {
        const int64_t *v = sum->sums + (size_t)e * sum->n_types;
        uint32_t t = 0;
        while (t < sum->n_types && v[t] == 0)
            t++;
        if (t == sum->n_types)
            continue;
        memmove(sum->sums + (size_t)first[1] * sum->n_types, v, sum->n_types * sizeof *v);
        entries[first[1]++] = e;
    }
    const struct kp_block_parts parts = {.space = s->index,
        .n_captures = 1,
        .n_types = sum->n_types,
        .n_entries = s->n_entries,
        .type = s->type,
        .first = first,
        .entries = entries,
        .values = sum->sums,
        .shape = &sum->shape,
        .time_ns = &sum->time_ns,
        .duration_ns = &sum->rollup.duration_ns};
    kp_block_put(&parts, &b->columns);
    sum->rollup.block = kp_builder_put_block(b, KP_BLOCK_SAMPLES, b->level);
    sum->rollup.space = s->index;
    put_series(b, sum);
    *kp_array_add(&b->rollups) = sum->rollup;
}

void kp_rollup_flush(struct kp_segment_builder *b)
{
    for (struct kp_rollup_sum *sum = b->space->rollups; sum; sum = sum->hh.next)
        if (!sum->bad && sum->rollup.n_profiles >= KP_MIN_ROLLUP && sum->n_entries > 0)
            put_sum(b, sum);
    kp_rollup_forget(b->space);
}

void kp_rollup_forget(struct kp_space_builder *s)
{
    struct kp_rollup_sum *sum;
    struct kp_rollup_sum *next;
    HASH_ITER (hh, s->rollups, sum, next) {
        HASH_DEL(s->rollups, sum);
        kp_free(sum->sums);
        kp_array_free(&sum->series);
        kp_free(sum);
    }
    s->rollup_bytes = 0;
}

// ---- at the end ----

// A reader may take a roll-up for all captures of its series only if none of them lies elsewhere, in a space
// that got no roll-up, say. Roll-ups that are left out leave out others of the same series.
static bool prune_once(struct kp_segment_builder *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->rollups.n; i++) {
        const struct kp_segment_rollup *r = &b->rollups.items[i];
        bool whole = true;
        for (uint32_t k = r->first_series; k < r->first_series + r->n_series; k++) {
            const struct kp_built_series *series = kp_builder_series(b, b->rollup_series.items[k]);
            whole &= series->n_summed == series->n_windows;
        }
        if (whole)
            b->rollups.items[kept++] = *r;
    }
    bool changed = kept != b->rollups.n;
    b->rollups.n = kept;
    return changed;
}

void kp_rollup_prune(struct kp_segment_builder *b)
{
    do {
        for (struct kp_built_series *s = b->series; s; s = s->hh.next)
            s->n_summed = 0;
        for (size_t i = 0; i < b->rollups.n; i++) {
            const struct kp_segment_rollup *r = &b->rollups.items[i];
            for (uint32_t k = r->first_series; k < r->first_series + r->n_series; k++)
                kp_builder_series(b, b->rollup_series.items[k])->n_summed += b->rollup_counts.items[k];
        }
    } while (prune_once(b));
}
