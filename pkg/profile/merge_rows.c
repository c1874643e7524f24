// The sums: one row of values per stack and label set.
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "profile/merge_private.h"
#include "base/banned.h"

#define FIRST_ROWS  256
#define FIRST_SLOTS 64
#define NO_ROW      UINT32_MAX

void kp_merge_rows_finish(struct kp_merge_rows *rows)
{
    kp_array_free(&rows->keys);
    kp_free(rows->values);
    kp_free(rows->high);
    kp_free(rows->plain);
    kp_free(rows->depths);
    kp_free(rows->slots);
}

size_t kp_merge_rows_bytes(const struct kp_merge_rows *rows)
{
    size_t value_bytes = rows->high ? sizeof *rows->values + sizeof *rows->high : sizeof *rows->values;
    return rows->keys.cap * sizeof *rows->keys.items + rows->cap * rows->n_types * value_bytes +
           rows->n_plain * sizeof *rows->plain + rows->cap_depths * sizeof *rows->depths +
           (rows->slots ? ((size_t)rows->mask + 1) * sizeof *rows->slots : 0);
}

// ---- which row ----

// Callers come before what they call.
uint32_t kp_merge_row_depth(struct kp_merge_rows *rows, const struct kp_symbols *symbols, uint32_t node)
{
    if (node < rows->n_depths)
        return rows->depths[node];
    if (symbols->n_nodes > rows->cap_depths) {
        rows->cap_depths = symbols->n_nodes + symbols->n_nodes / 2;
        rows->depths = kp_grow(rows->depths, rows->cap_depths, sizeof *rows->depths);
    }
    for (; rows->n_depths < symbols->n_nodes; rows->n_depths++) {
        uint32_t at = rows->n_depths;
        rows->depths[at] = at == 0 ? 0 : rows->depths[symbols->nodes[at].parent] + 1;
    }
    return rows->depths[node];
}

static uint32_t add_row(struct kp_merge_rows *rows, const struct kp_symbols *symbols, struct kp_merge_row key)
{
    if (rows->full)
        return NO_ROW;
    const uint32_t *labels = symbols->label_sets + key.label_set;
    size_t bytes = rows->sample_bytes + (labels[1] - labels[0]) * sizeof(struct kp_sample_label);
    bytes += kp_merge_row_depth(rows, symbols, key.node) * sizeof(uint32_t);
    bytes += sizeof(struct kp_sample) + rows->n_types * sizeof(int64_t);
    if (bytes > KP_MERGER_MAX_SAMPLE_BYTES) {
        rows->full = true;
        return NO_ROW;
    }
    rows->sample_bytes = bytes;
    size_t row = rows->keys.n;
    *kp_array_add(&rows->keys) = key;
    if (row == rows->cap) {
        size_t cap = row == 0 ? FIRST_ROWS : 2 * row;
        size_t size = rows->n_types * sizeof *rows->values; // no more than 256 types
        rows->values = kp_grow(rows->values, cap, size);
        if (rows->high)
            rows->high = kp_grow(rows->high, cap, size);
        rows->cap = cap;
    }
    size_t size = rows->n_types * sizeof *rows->values;
    if (size > 0)
        memset(rows->values + row * rows->n_types, 0, size); // as a double it is 0, too
    if (size > 0 && rows->high)
        memset(rows->high + row * rows->n_types, 0, size);
    return (uint32_t)row;
}

static uint32_t plain_row(struct kp_merge_rows *rows, const struct kp_symbols *symbols, uint32_t node)
{
    if (node >= rows->n_plain) {
        uint32_t n = symbols->n_nodes + symbols->n_nodes / 2 + FIRST_ROWS;
        rows->plain = kp_grow(rows->plain, n, sizeof *rows->plain);
        memset(rows->plain + rows->n_plain, 0, (n - rows->n_plain) * sizeof *rows->plain);
        rows->n_plain = n;
    }
    if (rows->plain[node] == 0) {
        uint32_t row = add_row(rows, symbols, (struct kp_merge_row){node, 0});
        if (row == NO_ROW)
            return NO_ROW;
        rows->plain[node] = row + 1;
    }
    return rows->plain[node] - 1;
}

static uint32_t slot_of(const struct kp_merge_rows *rows, struct kp_merge_row key)
{
    uint64_t h = kp_keyed_pair(&rows->key, rows->key.start, key.node, key.label_set);
    uint32_t at = (uint32_t)(h ^ h >> 32) & rows->mask;
    while (rows->slots[at].row1 != 0 &&
           (rows->slots[at].key.node != key.node || rows->slots[at].key.label_set != key.label_set))
        at = (at + 1) & rows->mask;
    return at;
}

static void grow_slots(struct kp_merge_rows *rows)
{
    struct kp_merge_slot *old = rows->slots;
    size_t n_old = old ? (size_t)rows->mask + 1 : 0;
    size_t n = old ? 2 * n_old : FIRST_SLOTS;
    rows->slots = KP_NEW_ARRAY(struct kp_merge_slot, n);
    rows->mask = (uint32_t)(n - 1);
    for (size_t i = 0; i < n_old; i++)
        if (old[i].row1 != 0)
            rows->slots[slot_of(rows, old[i].key)] = old[i];
    kp_free(old);
}

uint32_t kp_merge_row_of(
    struct kp_merge_rows *rows, const struct kp_symbols *symbols, struct kp_merge_row key)
{
    if (key.label_set == 0)
        return plain_row(rows, symbols, key.node);
    if (rows->slots == NULL || rows->n_slots >= rows->mask / 2)
        grow_slots(rows);
    struct kp_merge_slot *slot = &rows->slots[slot_of(rows, key)];
    if (slot->row1 == 0) {
        uint32_t row = add_row(rows, symbols, key);
        if (row == NO_ROW)
            return NO_ROW;
        *slot = (struct kp_merge_slot){key, row + 1};
        rows->n_slots++;
    }
    return slot->row1 - 1;
}

// ---- sums ----

static double real_value(const struct kp_merge_rows *rows, size_t at)
{
    if (rows->real)
        return rows->values[at].real;
    if (rows->high == NULL)
        return (double)rows->values[at].whole;
    return (double)rows->high[at] * 0x1p64 + (double)(uint64_t)rows->values[at].whole;
}

static void widen(struct kp_merge_rows *rows)
{
    size_t n = rows->keys.n * rows->n_types;
    rows->high = kp_grow(NULL, rows->cap, rows->n_types * sizeof *rows->high);
    for (size_t i = 0; i < n; i++)
        rows->high[i] = rows->values[i].whole < 0 ? -1 : 0;
}

static void turn_real(struct kp_merge_rows *rows)
{
    size_t n = rows->keys.n * rows->n_types;
    for (size_t i = 0; i < n; i++)
        rows->values[i].real = real_value(rows, i);
    rows->real = true;
    kp_free(rows->high);
    rows->high = NULL;
}

static void add_wide(struct kp_merge_rows *rows, size_t at, int64_t v, bool negate)
{
    uint64_t low = (uint64_t)rows->values[at].whole;
    uint64_t v_low = negate ? -(uint64_t)v : (uint64_t)v;
    int64_t v_high = v == 0 || (v < 0) == negate ? 0 : -1;
    rows->values[at].whole = (int64_t)(low + v_low);
    rows->high[at] += v_high + (low + v_low < low ? 1 : 0);
}

static void add_whole(struct kp_merge_rows *rows, size_t at, int64_t v, bool negate)
{
    int64_t sum;
    bool over = negate ? __builtin_sub_overflow(rows->values[at].whole, v, &sum)
                       : __builtin_add_overflow(rows->values[at].whole, v, &sum);
    if (rows->high == NULL && over)
        widen(rows);
    if (rows->high)
        add_wide(rows, at, v, negate);
    else
        rows->values[at].whole = sum;
}

void kp_merge_row_add_whole(struct kp_merge_rows *rows, uint32_t row, const int64_t *values, bool negate)
{
    size_t at = (size_t)row * rows->n_types;
    for (uint32_t t = 0; t < rows->n_types; t++) {
        if (rows->real)
            rows->values[at + t].real += negate ? -(double)values[t] : (double)values[t];
        else
            add_whole(rows, at + t, values[t], negate);
    }
}

void kp_merge_row_add_real(struct kp_merge_rows *rows, uint32_t row, const double *values)
{
    size_t at = (size_t)row * rows->n_types;
    for (uint32_t t = 0; t < rows->n_types; t++) {
        double v = values[t];
        if (!rows->real && fabs(v) <= 0x1p53 && (double)(int64_t)v == v) {
            add_whole(rows, at + t, (int64_t)v, false);
            continue;
        }
        if (!rows->real)
            turn_real(rows);
        rows->values[at + t].real += v;
    }
}

int64_t kp_merge_round(double v)
{
    if (isnan(v))
        return 0;
    v = round(v);
    if (v >= 0x1p63)
        return INT64_MAX;
    return v < -0x1p63 ? INT64_MIN : (int64_t)v;
}

int64_t kp_merge_row_value(const struct kp_merge_rows *rows, uint32_t row, uint32_t type)
{
    size_t at = (size_t)row * rows->n_types + type;
    if (rows->real)
        return kp_merge_round(rows->values[at].real);
    int64_t low = rows->values[at].whole;
    if (rows->high == NULL || rows->high[at] == (low < 0 ? -1 : 0))
        return low;
    return rows->high[at] < 0 ? INT64_MIN : INT64_MAX;
}
