// Columns of a block to samples, capture by capture.
#include <string.h>

#include "base/alloc.h"
#include "store/block_private.h"
#include "base/banned.h"

struct reader {
    struct kp_column_reader c[KP_COLUMN_VALUES + KP_MAX_SAMPLE_TYPES];
    struct kp_block *b;
    uint32_t *first, *entries, *slots; // slots: place of the k-th sample in the order of (entry, capture)
    uint8_t *starts;                   // of an entry, in that order
    int64_t *values;
    uint32_t place[KP_BLOCK_CAPTURES]; // of the next sample of each capture
    uint32_t n;                        // samples placed so far
};

static int broken(struct kp_error *err, const char *what)
{
    return kp_fail(err, KP_CORRUPT, "broken block of samples: %s", what);
}

static int get_head(struct reader *r, char **ret_type, struct kp_error *err)
{
    struct kp_column_reader *head = &r->c[KP_COLUMN_HEAD];
    struct kp_block *b = r->b;
    b->space = kp_column_get_below(head, UINT32_MAX);
    b->n_captures = kp_column_get_below(head, KP_BLOCK_CAPTURES + 1);
    b->n_types = kp_column_get_below(head, KP_MAX_SAMPLE_TYPES + 1);
    b->n_samples = kp_column_get_below(head, KP_MAX_BLOCK_VALUES / (b->n_types > 0 ? b->n_types : 1) + 1);
    size_t type_len = kp_column_get_below(head, 4096);
    const uint8_t *type = kp_column_get_bytes(head, type_len);
    if (head->bad || b->n_captures == 0)
        return broken(err, "head");
    if (ret_type)
        *ret_type = kp_strndup((const char *)type, type_len);
    return 0;
}

static int get_captures(struct reader *r, struct kp_error *err)
{
    struct kp_block *b = r->b;
    int64_t *time = KP_ARENA_ARRAY(&b->arena, int64_t, b->n_captures);
    int64_t *duration = KP_ARENA_ARRAY(&b->arena, int64_t, b->n_captures);
    uint32_t *shape = KP_ARENA_ARRAY(&b->arena, uint32_t, b->n_captures);
    r->first = KP_ARENA_ARRAY(&b->arena, uint32_t, (size_t)b->n_captures + 1);
    int64_t last_shape = 0;
    bool bad = false;
    for (uint32_t i = 0; i < b->n_captures; i++) {
        uint32_t left = b->n_samples - r->first[i];
        r->first[i + 1] = r->first[i] + kp_column_get_below(&r->c[KP_COLUMN_COUNTS], (uint64_t)left + 1);
        r->place[i] = r->first[i];
        time[i] = kp_wrap_add(i > 0 ? time[i - 1] : 0, kp_column_get_int(&r->c[KP_COLUMN_TIMES]));
        duration[i] = kp_wrap_add(i > 0 ? duration[i - 1] : 0, kp_column_get_int(&r->c[KP_COLUMN_DURATIONS]));
        last_shape = kp_wrap_add(last_shape, kp_column_get_int(&r->c[KP_COLUMN_SHAPES]));
        bad |= last_shape < 0 || last_shape >= UINT32_MAX;
        shape[i] = (uint32_t)last_shape;
    }
    for (int i = KP_COLUMN_COUNTS; i <= KP_COLUMN_DURATIONS; i++)
        bad |= r->c[i].bad;
    b->first = r->first;
    b->time_ns = time;
    b->duration_ns = duration;
    b->shape = shape;
    return bad || r->first[b->n_captures] != b->n_samples ? broken(err, "captures") : 0;
}

static inline bool place(struct reader *r, uint32_t capture, uint32_t entry)
{
    uint32_t at = r->place[capture];
    if (at >= r->first[capture + 1])
        return false;
    r->place[capture] = at + 1;
    r->entries[at] = entry;
    r->slots[r->n++] = at;
    return true;
}

static bool get_bits(struct reader *r, uint64_t bits, uint32_t entry)
{
    while (bits != 0) {
        uint32_t capture = (uint32_t)__builtin_ctzll(bits);
        if (capture >= r->b->n_captures || !place(r, capture, entry))
            return false;
        bits &= bits - 1;
    }
    return true;
}

static bool get_list(struct reader *r, uint32_t n, uint32_t entry, int64_t *last_first)
{
    struct kp_column_reader *members = &r->c[KP_COLUMN_MEMBERS];
    int64_t capture = kp_wrap_add(*last_first, kp_column_get_int(members));
    *last_first = capture;
    for (uint32_t i = 0;; i++) {
        if (capture < 0 || capture >= r->b->n_captures || !place(r, (uint32_t)capture, entry))
            return false;
        if (i + 1 == n)
            return !members->bad;
        capture += kp_column_get_below(members, KP_BLOCK_CAPTURES);
    }
}

static bool get_set(struct reader *r, uint32_t entry, int64_t *last_first)
{
    uint64_t all = UINT64_MAX >> (64 - r->b->n_captures);
    uint64_t set = kp_column_get(&r->c[KP_COLUMN_SETS]);
    if (set == 0)
        return get_bits(r, all, entry);
    if ((set & 1) == 0)
        return set >> 1 <= r->b->n_samples && get_list(r, (uint32_t)(set >> 1), entry, last_first);
    uint32_t n_bytes = (r->b->n_captures + 7) / 8;
    const uint8_t *bytes = kp_column_get_bytes(&r->c[KP_COLUMN_MEMBERS], n_bytes);
    uint64_t bits = 0;
    for (uint32_t i = 0; bytes && i < n_bytes; i++)
        bits |= (uint64_t)bytes[i] << 8 * i;
    return bits != 0 && get_bits(r, bits, entry);
}

static int get_sets(struct reader *r, struct kp_error *err)
{
    int64_t last_first = 0;
    uint64_t next_entry = 0;
    r->entries = KP_ARENA_ARRAY(&r->b->arena, uint32_t, (size_t)r->b->n_samples + 1);
    while (r->n < r->b->n_samples) {
        uint64_t gap = kp_column_get(&r->c[KP_COLUMN_ENTRIES]);
        if (gap >= UINT32_MAX - next_entry)
            return broken(err, "entries");
        uint32_t entry = (uint32_t)(next_entry + gap);
        next_entry = (uint64_t)entry + 1;
        r->starts[r->n] = 1;
        if (!get_set(r, entry, &last_first) || r->c[KP_COLUMN_ENTRIES].bad || r->c[KP_COLUMN_SETS].bad)
            return broken(err, "which captures have an entry");
    }
    r->b->entries = r->entries;
    return 0;
}

static void get_deltas(struct kp_column_reader *c, const struct reader *r, int64_t *to)
{
    int64_t v = 0;
    for (uint32_t k = 0; k < r->n; k++) {
        int64_t d = kp_column_get_int(c);
        v = r->starts[k] ? d : kp_wrap_add(v, d);
        to[r->slots[k]] = v;
    }
}

static int get_values(struct reader *r, uint32_t type, struct kp_error *err)
{
    struct kp_column_reader *c = &r->c[KP_COLUMN_VALUES + type];
    int64_t *to = r->values + (size_t)type * r->n;
    uint64_t how = kp_column_get(c);
    if (how == KP_VALUES_PLAIN) {
        for (uint32_t k = 0; k < r->n; k++)
            to[r->slots[k]] = kp_column_get_int(c);
    } else if (how == KP_VALUES_DELTAS) {
        get_deltas(c, r, to);
    } else if (how == KP_VALUES_CONSTANT) {
        int64_t v = kp_column_get_int(c);
        for (uint32_t k = 0; k < r->n; k++)
            to[k] = v;
    } else if (how == KP_VALUES_MULTIPLE && type > 0) {
        const int64_t *from = r->values + (size_t)kp_column_get_below(c, type) * r->n;
        uint64_t factor = (uint64_t)kp_column_get_int(c);
        for (uint32_t k = 0; k < r->n; k++)
            to[k] = (int64_t)((uint64_t)from[k] * factor);
    } else {
        c->bad = true;
    }
    return c->bad ? broken(err, "values") : 0;
}

static int read_columns(struct reader *r, char **ret_type, struct kp_error *err)
{
    struct kp_block *b = r->b;
    int rc = get_head(r, ret_type, err);
    if (rc == 0)
        rc = get_captures(r, err);
    if (rc != 0)
        return rc;
    r->slots = kp_grow(NULL, (size_t)b->n_samples + 1, sizeof *r->slots);
    r->starts = KP_NEW_ARRAY(uint8_t, (size_t)b->n_samples + 1);
    r->values = kp_arena_alloc(&b->arena, ((size_t)b->n_samples * b->n_types + 1) * sizeof *r->values);
    b->values = r->values;
    rc = get_sets(r, err);
    for (uint32_t t = 0; rc == 0 && t < b->n_types; t++)
        rc = get_values(r, t, err);
    return rc;
}

int kp_block_get(const void *data, size_t len, struct kp_block **ret, char **ret_type, struct kp_error *err)
{
    struct reader *r = KP_NEW(struct reader);
    char *type = NULL;
    int rc = kp_columns_split(data, len, r->c, KP_COUNT(r->c), err);
    r->b = KP_NEW(struct kp_block);
    if (rc == 0)
        rc = read_columns(r, ret_type ? &type : NULL, err);
    kp_free(r->slots);
    kp_free(r->starts);
    if (rc == 0) {
        *ret = r->b;
        if (ret_type)
            *ret_type = kp_take(type);
    } else {
        kp_block_free(r->b);
    }
    kp_free(type);
    kp_free(r);
    return rc;
}

void kp_block_free(struct kp_block *block)
{
    if (block == NULL)
        return;
    kp_arena_free(block->arena);
    kp_free(block);
}
