// The footer: one column of tagged fields, then the tables, a column each. Fields and columns that are not
// known are skipped.
#include <endian.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/wire.h"
#include "store/segment_private.h"
#include "base/banned.h"

#define MAX_META_BYTES ((size_t)1 << 20)
#define MAX_TABLE      ((uint64_t)1 << 26) // rows of any table

enum { META, RUNS, ROLLUPS, ROLLUP_SERIES, SPACES, BLOCKS, ROW_CRCS, ROLLUP_KEYS, N_TABLES };

enum { // of META
    F_NAMESPACE = 1,
    F_KEEP_S,
    F_BODY_BYTES,
    F_ROWS,
    F_RUNS,
    F_ROLLUPS,
    F_ROLLUP_SERIES,
    F_SPACES,
    F_BLOCKS,
    F_ROLLUP_KEYS,
    F_MIN_START,
    F_MAX_START,
    F_MIN_RECEIVED,
    F_MAX_RECEIVED,
    F_MIN_NUMBER,
    F_MAX_NUMBER,
    F_ROWS_OFFSET,
    F_RECORD_BLOCK,
    F_SERIES_BLOCK,
    F_REPLACES,
};

// ---- writing ----

// Numbers that are no smaller as varints.
static void put32(struct kp_column *c, uint32_t v)
{
    v = htole32(v);
    kp_column_put_bytes(c, &v, sizeof v);
}

static void put64(struct kp_column *c, uint64_t v)
{
    v = htole64(v);
    kp_column_put_bytes(c, &v, sizeof v);
}

static uint32_t n_rollup_series(const struct kp_segment *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_rollups; i++)
        if (s->rollups[i].first_series + s->rollups[i].n_series > n)
            n = s->rollups[i].first_series + s->rollups[i].n_series;
    return n;
}

static int put_meta(const struct kp_segment *s, struct kp_column *out, struct kp_error *err)
{
    const struct kp_segment_private *p = s->private;
    kp_auto_strbuf w;
    kp_strbuf_init(&w, MAX_META_BYTES);
    kp_wire_put_str(&w, F_NAMESPACE, s->namespace);
    kp_wire_put_uint(&w, F_KEEP_S, s->keep_s);
    kp_wire_put_uint(&w, F_BODY_BYTES, s->body_bytes);
    kp_wire_put_uint(&w, F_ROWS, s->n_rows);
    kp_wire_put_uint(&w, F_RUNS, s->n_runs);
    kp_wire_put_uint(&w, F_ROLLUPS, s->n_rollups);
    kp_wire_put_uint(&w, F_ROLLUP_SERIES, n_rollup_series(s));
    kp_wire_put_uint(&w, F_SPACES, s->n_spaces);
    kp_wire_put_uint(&w, F_BLOCKS, s->n_blocks);
    kp_wire_put_uint(&w, F_ROLLUP_KEYS, p->n_rollup_keys);
    kp_wire_put_int(&w, F_MIN_START, s->min_start_ms);
    kp_wire_put_int(&w, F_MAX_START, s->max_start_ms);
    kp_wire_put_int(&w, F_MIN_RECEIVED, s->min_received_ms);
    kp_wire_put_int(&w, F_MAX_RECEIVED, s->max_received_ms);
    kp_wire_put_uint(&w, F_MIN_NUMBER, s->min_number);
    kp_wire_put_uint(&w, F_MAX_NUMBER, s->max_number);
    kp_wire_put_uint(&w, F_ROWS_OFFSET, p->rows_offset);
    kp_wire_put_uint(&w, F_RECORD_BLOCK, p->first_record_block);
    kp_wire_put_uint(&w, F_SERIES_BLOCK, p->first_series_block);
    for (uint32_t i = 0; i < s->n_replaces; i++)
        kp_wire_put_str(&w, F_REPLACES, s->replaces[i]);
    if (w.overflow)
        return kp_fail(err, KP_LIMIT, "a segment made of %u others has too long a footer", s->n_replaces);
    kp_column_put_bytes(out, w.data, w.len);
    return 0;
}

static void put_runs(const struct kp_segment *s, struct kp_column *c)
{
    uint32_t series = 0;
    for (uint32_t i = 0; i < s->n_runs; i++) {
        const struct kp_segment_run *r = &s->runs[i];
        kp_column_put(c, r->series - series);
        kp_column_put(c, r->n_rows);
        kp_column_put_int(c, kp_wrap_sub(r->min_start_ms, s->min_start_ms));
        kp_column_put_int(c, kp_wrap_sub(r->max_start_ms, s->min_start_ms));
        kp_column_put(c, s->private->rollup_keys_of_run[i]);
        series = r->series;
    }
    for (uint32_t i = 0; i < s->n_runs; i++)
        kp_column_put(c, s->runs[i].body_bytes);
}

static void put_rollups(const struct kp_segment *s, struct kp_column *c)
{
    for (uint32_t i = 0; i < s->n_rollups; i++) {
        const struct kp_segment_rollup *r = &s->rollups[i];
        const uint32_t numbers[] = {r->space, r->block, r->first_series, r->n_series, r->n_profiles,
            r->n_startup, r->min_duration_ms, r->max_duration_ms};
        for (size_t k = 0; k < KP_COUNT(numbers); k++)
            kp_column_put(c, numbers[k]);
        kp_column_put_int(c, r->min_start_ms);
        kp_column_put_int(c, r->max_start_ms);
        kp_column_put_int(c, r->duration_ns);
    }
}

static void put_blocks(const struct kp_segment *s, struct kp_column *c)
{
    for (uint32_t i = 0; i < s->n_blocks; i++) {
        const struct kp_block_info *b = &s->private->blocks[i];
        kp_column_put(c, (uint64_t)b->kind << 1 | (b->originals != 0));
        kp_column_put(c, b->stored_len); // they lie one behind the other
        kp_column_put(c, b->raw_len);
        put32(c, b->crc);
        if (b->originals != 0) {
            kp_column_put(c, b->originals);
            kp_column_put(c, b->first_original);
        }
    }
}

int kp_segment_footer_put(const struct kp_segment *s, struct kp_columns *columns, struct kp_error *err)
{
    kp_columns_reset(columns, N_TABLES);
    struct kp_column *c = columns->items;
    int rc = put_meta(s, &c[META], err);
    if (rc != 0)
        return rc;
    put_runs(s, &c[RUNS]);
    put_rollups(s, &c[ROLLUPS]);
    for (uint32_t i = 0; i < n_rollup_series(s); i++)
        kp_column_put(&c[ROLLUP_SERIES], s->rollup_series[i]);
    for (uint32_t i = 0; i < s->n_spaces; i++) {
        put64(&c[SPACES], s->spaces[i].id[0]);
        put64(&c[SPACES], s->spaces[i].id[1]);
        kp_column_put(&c[SPACES], s->spaces[i].block);
        kp_column_put(&c[SPACES], s->spaces[i].n_entries);
        kp_column_put(&c[SPACES], s->spaces[i].bytes);
    }
    put_blocks(s, &c[BLOCKS]);
    for (uint32_t i = 0; i < (s->n_rows + KP_RECORD_ROWS - 1) / KP_RECORD_ROWS; i++)
        put32(&c[ROW_CRCS], s->private->row_crcs[i]);
    for (uint32_t i = 0; i < s->private->n_rollup_keys; i++) {
        put64(&c[ROLLUP_KEYS], s->private->rollup_keys[i][0]);
        put64(&c[ROLLUP_KEYS], s->private->rollup_keys[i][1]);
    }
    return 0;
}

// ---- reading ----

static uint32_t get32(struct kp_column_reader *c)
{
    uint32_t v = 0;
    const uint8_t *p = kp_column_get_bytes(c, sizeof v);
    if (p)
        memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static uint64_t get64(struct kp_column_reader *c)
{
    uint64_t v = 0;
    const uint8_t *p = kp_column_get_bytes(c, sizeof v);
    if (p)
        memcpy(&v, p, sizeof v);
    return le64toh(v);
}

struct reader {
    struct kp_column_reader c[N_TABLES];
    struct kp_segment *s;
    struct kp_segment_private *p;
    uint64_t n_rollup_series;
    bool bad;
};

static void take_field(struct reader *r, const struct kp_wire *w, char **replaces)
{
    struct kp_segment *s = r->s;
    struct kp_segment_private *p = r->p;
    struct kp_arena **arena = &p->arena;
    uint64_t v = w->value;
    struct {
        uint32_t field;
        uint32_t *to;
    } numbers[] = {{F_KEEP_S, &s->keep_s}, {F_ROWS, &s->n_rows}, {F_RUNS, &s->n_runs},
        {F_ROLLUPS, &s->n_rollups}, {F_SPACES, &s->n_spaces}, {F_BLOCKS, &s->n_blocks},
        {F_ROLLUP_KEYS, &p->n_rollup_keys}, {F_RECORD_BLOCK, &p->first_record_block},
        {F_SERIES_BLOCK, &p->first_series_block}};
    struct {
        uint32_t field;
        int64_t *to;
    } times[] = {{F_MIN_START, &s->min_start_ms}, {F_MAX_START, &s->max_start_ms},
        {F_MIN_RECEIVED, &s->min_received_ms}, {F_MAX_RECEIVED, &s->max_received_ms}};
    struct {
        uint32_t field;
        uint64_t *to;
    } longs[] = {{F_BODY_BYTES, &s->body_bytes}, {F_MIN_NUMBER, &s->min_number},
        {F_MAX_NUMBER, &s->max_number}, {F_ROWS_OFFSET, &p->rows_offset},
        {F_ROLLUP_SERIES, &r->n_rollup_series}};
    if (w->is_bytes) {
        if (w->number == F_NAMESPACE)
            s->namespace = kp_arena_strndup(arena, (const char *)w->data, w->len);
        else if (w->number == F_REPLACES)
            replaces[s->n_replaces++] = kp_arena_strndup(arena, (const char *)w->data, w->len);
        return;
    }
    for (size_t i = 0; i < KP_COUNT(numbers); i++)
        if (numbers[i].field == w->number) {
            r->bad |= v > UINT32_MAX || (v > MAX_TABLE && w->number != F_KEEP_S);
            *numbers[i].to = (uint32_t)v;
        }
    for (size_t i = 0; i < KP_COUNT(times); i++)
        if (times[i].field == w->number)
            *times[i].to = kp_wire_int(w);
    for (size_t i = 0; i < KP_COUNT(longs); i++)
        if (longs[i].field == w->number)
            *longs[i].to = v;
}

static void get_meta(struct reader *r)
{
    struct kp_wire w;
    size_t len = kp_column_left(&r->c[META]);
    char **replaces = KP_ARENA_ARRAY(&r->p->arena, char *, len / 2 + 1); // a field takes two bytes
    kp_wire_start(&w, r->c[META].p, len);
    while (kp_wire_next(&w))
        take_field(r, &w, replaces);
    r->s->replaces = replaces;
    if (r->s->namespace == NULL)
        r->s->namespace = kp_arena_strdup(&r->p->arena, "");
    const uint32_t counts[] = {r->s->n_runs, r->s->n_rollups, r->s->n_spaces, r->s->n_blocks};
    static const int tables[] = {RUNS, ROLLUPS, SPACES, BLOCKS};
    for (size_t i = 0; i < KP_COUNT(counts); i++)
        r->bad |= counts[i] > kp_column_left(&r->c[tables[i]]);
    r->bad |= w.bad || r->n_rollup_series > kp_column_left(&r->c[ROLLUP_SERIES]) ||
              r->p->n_rollup_keys > kp_column_left(&r->c[ROLLUP_KEYS]) / 16 ||
              (r->s->n_rows + KP_RECORD_ROWS - 1) / KP_RECORD_ROWS > kp_column_left(&r->c[ROW_CRCS]) / 4;
}

static void get_runs(struct reader *r)
{
    struct kp_segment *s = r->s;
    struct kp_column_reader *c = &r->c[RUNS];
    struct kp_segment_run *runs = KP_ARENA_ARRAY(&r->p->arena, struct kp_segment_run, (size_t)s->n_runs + 1);
    uint32_t *keys = KP_ARENA_ARRAY(&r->p->arena, uint32_t, (size_t)s->n_runs + 1);
    uint64_t series = 0;
    uint64_t n_rows = 0;
    for (uint32_t i = 0; i < s->n_runs; i++) {
        uint64_t step = kp_column_get_below(c, UINT32_MAX);
        series += step;
        r->bad |= series > UINT32_MAX || (i > 0 && step == 0);
        runs[i].series = (uint32_t)series;
        runs[i].first_row = (uint32_t)n_rows;
        runs[i].n_rows = kp_column_get_below(c, (uint64_t)s->n_rows - n_rows + 1);
        runs[i].min_start_ms = kp_wrap_add(s->min_start_ms, kp_column_get_int(c));
        runs[i].max_start_ms = kp_wrap_add(s->min_start_ms, kp_column_get_int(c));
        keys[i] = kp_column_get_below(c, (uint64_t)r->p->n_rollup_keys + 1);
        n_rows += runs[i].n_rows;
    }
    r->bad |= n_rows != s->n_rows;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s->n_runs; i++) {
        runs[i].body_bytes = kp_column_get(c);
        r->bad |= __builtin_add_overflow(bytes, runs[i].body_bytes, &bytes);
    }
    r->bad |= bytes != s->body_bytes;
    s->runs = runs;
    r->p->rollup_keys_of_run = keys;
}

static void get_rollups(struct reader *r)
{
    struct kp_segment *s = r->s;
    struct kp_column_reader *c = &r->c[ROLLUPS];
    struct kp_segment_rollup *rollups =
        KP_ARENA_ARRAY(&r->p->arena, struct kp_segment_rollup, (size_t)s->n_rollups + 1);
    for (uint32_t i = 0; i < s->n_rollups; i++) {
        struct kp_segment_rollup *x = &rollups[i];
        x->space = kp_column_get_below(c, s->n_spaces);
        x->block = kp_column_get_below(c, s->n_blocks);
        x->first_series = kp_column_get_below(c, r->n_rollup_series + 1);
        x->n_series = kp_column_get_below(c, r->n_rollup_series - x->first_series + 1);
        x->n_profiles = kp_column_get_below(c, UINT32_MAX);
        x->n_startup = kp_column_get_below(c, UINT32_MAX);
        x->min_duration_ms = kp_column_get_below(c, (uint64_t)UINT32_MAX + 1);
        x->max_duration_ms = kp_column_get_below(c, (uint64_t)UINT32_MAX + 1);
        x->min_start_ms = kp_column_get_int(c);
        x->max_start_ms = kp_column_get_int(c);
        x->duration_ns = kp_column_get_int(c);
        r->bad |= !c->bad && r->p->blocks[x->block].kind != KP_BLOCK_SAMPLES;
    }
    uint32_t *series = KP_ARENA_ARRAY(&r->p->arena, uint32_t, r->n_rollup_series + 1);
    for (uint64_t i = 0; i < r->n_rollup_series; i++)
        series[i] = kp_column_get_below(&r->c[ROLLUP_SERIES], (uint64_t)UINT32_MAX + 1);
    s->rollups = rollups;
    s->rollup_series = series;
}

static void get_spaces(struct reader *r)
{
    struct kp_segment *s = r->s;
    struct kp_column_reader *c = &r->c[SPACES];
    struct kp_segment_space_info *spaces =
        KP_ARENA_ARRAY(&r->p->arena, struct kp_segment_space_info, (size_t)s->n_spaces + 1);
    for (uint32_t i = 0; i < s->n_spaces; i++) {
        spaces[i].id[0] = get64(c);
        spaces[i].id[1] = get64(c);
        spaces[i].block = kp_column_get_below(c, s->n_blocks);
        spaces[i].n_entries = kp_column_get_below(c, KP_MAX_SPACE_ITEMS + 1);
        spaces[i].bytes = kp_column_get(c);
        r->bad |= !c->bad && r->p->blocks[spaces[i].block].kind != KP_BLOCK_SPACE;
    }
    s->spaces = spaces;
}

static void check_originals(struct reader *r)
{
    for (uint32_t i = 0; i < r->s->n_blocks; i++) {
        const struct kp_block_info *b = &r->p->blocks[i];
        uint32_t n = (uint32_t)__builtin_popcountll(b->originals);
        for (uint32_t k = 0; k < n; k++)
            r->bad |= (uint64_t)b->first_original + k >= r->s->n_blocks ||
                      r->p->blocks[b->first_original + k].kind != KP_BLOCK_ORIGINAL;
    }
}

static void get_blocks(struct reader *r)
{
    struct kp_segment *s = r->s;
    struct kp_column_reader *c = &r->c[BLOCKS];
    struct kp_block_info *blocks =
        KP_ARENA_ARRAY(&r->p->arena, struct kp_block_info, (size_t)s->n_blocks + 1);
    uint64_t offset = KP_SEGMENT_HEAD_BYTES;
    for (uint32_t i = 0; i < s->n_blocks; i++) {
        struct kp_block_info *b = &blocks[i];
        uint32_t kind = kp_column_get_below(c, 64);
        b->kind = kind >> 1;
        b->offset = offset;
        b->stored_len = kp_column_get_below(c, KP_MAX_BLOCK_RAW + 1);
        b->raw_len = kp_column_get_below(c, KP_MAX_BLOCK_RAW + 1);
        b->crc = get32(c);
        if ((kind & 1) != 0) {
            b->originals = kp_column_get(c);
            b->first_original = kp_column_get_below(c, s->n_blocks);
        }
        offset += b->stored_len;
    }
    r->p->blocks = blocks;
    r->bad |= offset > s->file_bytes || offset != r->p->rows_offset;
    check_originals(r);
}

static void get_rest(struct reader *r)
{
    struct kp_segment *s = r->s;
    uint32_t n = (s->n_rows + KP_RECORD_ROWS - 1) / KP_RECORD_ROWS;
    r->p->row_crcs = KP_ARENA_ARRAY(&r->p->arena, uint32_t, (size_t)n + 1);
    for (uint32_t i = 0; i < n; i++)
        r->p->row_crcs[i] = get32(&r->c[ROW_CRCS]);
    r->p->rollup_keys =
        kp_arena_calloc(&r->p->arena, (size_t)r->p->n_rollup_keys + 1, sizeof *r->p->rollup_keys);
    for (uint32_t i = 0; i < r->p->n_rollup_keys; i++) {
        r->p->rollup_keys[i][0] = get64(&r->c[ROLLUP_KEYS]);
        r->p->rollup_keys[i][1] = get64(&r->c[ROLLUP_KEYS]);
    }
    uint32_t n_series = (s->n_runs + KP_RECORD_ROWS - 1) / KP_RECORD_ROWS;
    r->bad |= r->p->first_record_block > s->n_blocks || n > s->n_blocks - r->p->first_record_block ||
              r->p->first_series_block > s->n_blocks || n_series > s->n_blocks - r->p->first_series_block;
}

int kp_segment_footer_get(const void *data, size_t len, struct kp_segment *s, struct kp_error *err)
{
    struct reader *r = KP_NEW(struct reader);
    r->s = s;
    r->p = s->private;
    int rc = kp_columns_split(data, len, r->c, N_TABLES, err);
    static void (*const steps[])(struct reader *) = {
        get_meta, get_blocks, get_runs, get_spaces, get_rollups, get_rest};
    for (size_t i = 0; i < KP_COUNT(steps) && rc == 0; i++) {
        steps[i](r);
        for (int k = 0; k < N_TABLES; k++)
            r->bad |= r->c[k].bad;
        if (r->bad)
            rc = kp_fail(err, KP_CORRUPT, "its footer is broken");
    }
    kp_free(r);
    return rc;
}
