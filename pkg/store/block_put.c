// Samples of up to 64 captures to columns. They are put in the order of (entry, capture): then the captures
// that have an entry are one small set, and its values stand side by side, so that what changes slowly is
// cheap as differences and what does not change is a run of zeroes.
//
// Columns: head | samples of each capture | shapes | times | durations | entries | sets | members | one per
// sample type.
#include <string.h>

#include "base/alloc.h"
#include "store/block_private.h"
#include "base/banned.h"

// Sample numbers in the order of (entry, capture). ret_ends[e] = where entry e ends.
static void sort_samples(const struct kp_block_parts *b, uint32_t *order, uint32_t *ret_ends)
{
    uint32_t n = b->first[b->n_captures];
    memset(ret_ends, 0, b->n_entries * sizeof *ret_ends);
    for (uint32_t s = 0; s < n; s++)
        ret_ends[b->entries[s]]++;
    uint32_t sum = 0;
    for (uint32_t e = 0; e < b->n_entries; e++) {
        uint32_t count = ret_ends[e];
        ret_ends[e] = sum;
        sum += count;
    }
    for (uint32_t s = 0; s < n; s++)
        order[ret_ends[b->entries[s]]++] = s;
}

struct set_writer {
    struct kp_column *entries, *sets, *members;
    uint32_t n_captures, next_entry, last_first;
};

// The captures that have one entry: all of them once; or a bit each; or a list (with repetitions).
static void put_set(struct set_writer *w, uint32_t entry, const uint8_t *captures, uint32_t n)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < n; i++)
        bits |= UINT64_C(1) << captures[i];
    bool once = (uint32_t)__builtin_popcountll(bits) == n;
    kp_column_put(w->entries, entry - w->next_entry);
    w->next_entry = entry + 1;
    if (once && n == w->n_captures) {
        kp_column_put(w->sets, 0);
        return;
    }
    bool as_bits = once && n > w->n_captures / 8;
    kp_column_put(w->sets, (uint64_t)n << 1 | as_bits);
    if (as_bits) {
        for (uint32_t i = 0; i < w->n_captures; i += 8)
            kp_column_put_bytes(w->members, &(uint8_t){(uint8_t)(bits >> i)}, 1);
        return;
    }
    kp_column_put_int(w->members, (int64_t)captures[0] - w->last_first);
    w->last_first = captures[0];
    for (uint32_t i = 1; i < n; i++)
        kp_column_put(w->members, captures[i] - captures[i - 1]);
}

static void put_sets(const struct kp_block_parts *b, const uint32_t *order, const uint32_t *ends,
    const uint8_t *capture_of, struct kp_columns *c)
{
    struct set_writer w = {.entries = &c->items[KP_COLUMN_ENTRIES],
        .sets = &c->items[KP_COLUMN_SETS],
        .members = &c->items[KP_COLUMN_MEMBERS],
        .n_captures = b->n_captures};
    kp_auto_free uint8_t *captures = kp_alloc((size_t)b->first[b->n_captures] + 1);
    uint32_t begin = 0;
    for (uint32_t e = 0; e < b->n_entries; e++) {
        for (uint32_t k = begin; k < ends[e]; k++)
            captures[k - begin] = capture_of[order[k]];
        if (ends[e] > begin)
            put_set(&w, e, captures, ends[e] - begin);
        begin = ends[e];
    }
}

// ---- values ----

struct values {
    const int64_t *v;      // in order; n of them
    const uint8_t *starts; // of an entry
    uint32_t n;
};

static bool is_constant(const struct values *x)
{
    for (uint32_t k = 1; k < x->n; k++)
        if (x->v[k] != x->v[0])
            return false;
    return true;
}

// x = factor * y throughout.
static bool is_multiple(const struct values *x, const int64_t *y, int64_t *ret_factor)
{
    uint32_t k = 0;
    while (k < x->n && y[k] == 0)
        k++;
    if (k == x->n || y[k] == -1 || x->v[k] % y[k] != 0)
        return false;
    int64_t factor = x->v[k] / y[k];
    for (uint32_t i = 0; i < x->n; i++) {
        int64_t product;
        if (__builtin_mul_overflow(y[i], factor, &product) || product != x->v[i])
            return false;
    }
    *ret_factor = factor;
    return true;
}

// About what a number takes after squeezing, in quarters of a byte: zeroes are nearly free.
static uint32_t cost(int64_t v)
{
    return v == 0 ? 1 : 2 + (64 - (uint32_t)__builtin_clzll(kp_zigzag(v))) / 2;
}

static void put_numbers(const struct values *x, struct kp_column *out)
{
    uint64_t plain = 0;
    uint64_t deltas = 0;
    for (uint32_t k = 0; k < x->n; k++) {
        plain += cost(x->v[k]);
        deltas += cost(x->starts[k] ? x->v[k] : kp_wrap_sub(x->v[k], x->v[k - 1]));
    }
    kp_column_put(out, plain <= deltas ? KP_VALUES_PLAIN : KP_VALUES_DELTAS);
    for (uint32_t k = 0; k < x->n; k++)
        kp_column_put_int(out, plain <= deltas || x->starts[k] ? x->v[k] : kp_wrap_sub(x->v[k], x->v[k - 1]));
}

static void put_values(const struct values *x, uint32_t type, int64_t *const *all, struct kp_column *out)
{
    int64_t factor;
    if (is_constant(x)) {
        kp_column_put(out, KP_VALUES_CONSTANT);
        kp_column_put_int(out, x->n > 0 ? x->v[0] : 0);
        return;
    }
    for (uint32_t other = 0; other < type; other++) {
        if (!is_multiple(x, all[other], &factor))
            continue;
        kp_column_put(out, KP_VALUES_MULTIPLE);
        kp_column_put(out, other);
        kp_column_put_int(out, factor);
        return;
    }
    put_numbers(x, out);
}

static void put_captures(const struct kp_block_parts *b, struct kp_columns *c)
{
    struct kp_column *head = &c->items[KP_COLUMN_HEAD];
    size_t type_len = strlen(b->type);
    kp_column_put(head, b->space);
    kp_column_put(head, b->n_captures);
    kp_column_put(head, b->n_types);
    kp_column_put(head, b->first[b->n_captures]);
    kp_column_put(head, type_len);
    kp_column_put_bytes(head, b->type, type_len);
    for (uint32_t i = 0; i < b->n_captures; i++) {
        int64_t time = i > 0 ? b->time_ns[i - 1] : 0;
        int64_t duration = i > 0 ? b->duration_ns[i - 1] : 0;
        int64_t shape = i > 0 ? b->shape[i - 1] : 0;
        kp_column_put(&c->items[KP_COLUMN_COUNTS], b->first[i + 1] - b->first[i]);
        kp_column_put_int(&c->items[KP_COLUMN_SHAPES], b->shape[i] - shape);
        kp_column_put_int(&c->items[KP_COLUMN_TIMES], kp_wrap_sub(b->time_ns[i], time));
        kp_column_put_int(&c->items[KP_COLUMN_DURATIONS], kp_wrap_sub(b->duration_ns[i], duration));
    }
}

void kp_block_put(const struct kp_block_parts *b, struct kp_columns *c)
{
    uint32_t n = b->first[b->n_captures];
    kp_auto_free uint32_t *order = kp_grow(NULL, (size_t)n + 1, sizeof *order);
    kp_auto_free uint32_t *ends = kp_grow(NULL, (size_t)b->n_entries + 1, sizeof *ends);
    kp_auto_free uint8_t *capture_of = kp_alloc((size_t)n + 1);
    kp_auto_free uint8_t *starts = KP_NEW_ARRAY(uint8_t, (size_t)n + 1);
    kp_auto_free int64_t *sorted = kp_grow(NULL, (size_t)n * b->n_types + 1, sizeof *sorted);
    int64_t *columns[KP_MAX_SAMPLE_TYPES];
    kp_columns_reset(c, (size_t)KP_COLUMN_VALUES + b->n_types);
    put_captures(b, c);
    for (uint32_t i = 0; i < b->n_captures; i++)
        memset(capture_of + b->first[i], (int)i, b->first[i + 1] - b->first[i]);
    sort_samples(b, order, ends);
    put_sets(b, order, ends, capture_of, c);
    for (uint32_t e = 0; e < b->n_entries; e++)
        starts[e > 0 ? ends[e - 1] : 0] = 1;
    for (uint32_t t = 0; t < b->n_types; t++) {
        columns[t] = sorted + (size_t)t * n;
        for (uint32_t k = 0; k < n; k++)
            columns[t][k] = b->values[(size_t)order[k] * b->n_types + t];
    }
    for (uint32_t t = 0; t < b->n_types; t++)
        put_values(&(struct values){columns[t], starts, n}, t, columns, &c->items[KP_COLUMN_VALUES + t]);
}
