// Takes profiles in: headers, and samples as rows of the merger's own symbol space.
#include "profile/merge.h"

#include <string.h>

#include "base/alloc.h"
#include "profile/merge_private.h"
#include "base/banned.h"

struct kp_merger *kp_merger_create(void)
{
    struct kp_merger *m = KP_NEW(struct kp_merger);
    m->symbols = kp_symbols_create(KP_SYMBOLS_MERGE);
    m->rows.key = kp_keyed_random();
    return m;
}

void kp_merger_destroy(struct kp_merger *m)
{
    if (m == NULL)
        return;
    kp_merge_rows_finish(&m->rows);
    kp_array_free(&m->comments);
    kp_array_free(&m->seen);
    kp_free(m->types);
    kp_free(m->scaled);
    kp_symbols_destroy(m->symbols);
    kp_free(m);
}

size_t kp_merger_bytes(const struct kp_merger *m)
{
    return sizeof *m + kp_symbols_bytes(m->symbols) + kp_merge_rows_bytes(&m->rows) +
           m->comments.cap * sizeof *m->comments.items + m->seen.cap + m->rows.sample_bytes;
}

struct kp_symbols *kp_merger_symbols(struct kp_merger *m)
{
    return m->symbols;
}

bool kp_merger_is_full(const struct kp_merger *m)
{
    return m->rows.full;
}

// ---- headers ----

static uint32_t intern(struct kp_merger *m, const struct kp_profile *p, uint32_t string)
{
    return kp_symbols_string(m->symbols, p->strings[string].data, p->strings[string].len);
}

static struct kp_value_type intern_type(
    struct kp_merger *m, const struct kp_profile *p, struct kp_value_type type)
{
    return (struct kp_value_type){intern(m, p, type.type), intern(m, p, type.unit)};
}

static bool same_type(const struct kp_merger *m, struct kp_value_type ours, const struct kp_profile *p,
    struct kp_value_type theirs)
{
    const struct kp_str *strings = m->symbols->strings;
    return kp_str_equal(strings[ours.type], p->strings[theirs.type]) &&
           kp_str_equal(strings[ours.unit], p->strings[theirs.unit]);
}

static void print_types(
    struct kp_strbuf *buf, const struct kp_str *strings, const struct kp_value_type *types, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct kp_str type = strings[types[i].type];
        struct kp_str unit = strings[types[i].unit];
        kp_strbuf_addf(buf, "%s%.*s/%.*s", i > 0 ? " " : "", (int)(type.len < 32 ? type.len : 32), type.data,
            (int)(unit.len < 32 ? unit.len : 32), unit.data);
    }
}

static int conflict(const char *what, struct kp_strbuf *theirs, struct kp_strbuf *ours, struct kp_error *err)
{
    int rc = kp_fail(err, KP_CONFLICT, "profiles of different %s cannot be merged: '%s' and '%s'", what,
        ours->data, theirs->data);
    kp_strbuf_finish(theirs);
    kp_strbuf_finish(ours);
    return rc;
}

static int check_same(const struct kp_merger *m, const struct kp_profile *p, struct kp_error *err)
{
    struct kp_strbuf theirs, ours;
    // one without a period type is taken as one whose period type is empty
    if (!same_type(m, m->period_type, p, p->period_type)) {
        kp_strbuf_init(&theirs, 80);
        kp_strbuf_init(&ours, 80);
        print_types(&theirs, p->strings, &p->period_type, 1);
        print_types(&ours, m->symbols->strings, &m->period_type, 1);
        return conflict("period types", &theirs, &ours, err);
    }
    bool same = p->n_sample_types == m->rows.n_types;
    for (uint32_t i = 0; same && i < p->n_sample_types; i++)
        same = same_type(m, m->types[i], p, p->sample_types[i]);
    if (same)
        return 0;
    kp_strbuf_init(&theirs, 80);
    kp_strbuf_init(&ours, 80);
    print_types(&theirs, p->strings, p->sample_types, p->n_sample_types);
    print_types(&ours, m->symbols->strings, m->types, m->rows.n_types);
    return conflict("sample types", &theirs, &ours, err);
}

static void start(struct kp_merger *m, const struct kp_profile *p)
{
    m->started = true;
    m->rows.n_types = p->n_sample_types;
    m->types = KP_NEW_ARRAY(struct kp_value_type, (size_t)p->n_sample_types + 1);
    for (uint32_t i = 0; i < p->n_sample_types; i++)
        m->types[i] = intern_type(m, p, p->sample_types[i]);
    m->scaled = KP_NEW_ARRAY(double, (size_t)p->n_sample_types + 1);
    m->has_period_type = p->has_period_type;
    m->period_type = intern_type(m, p, p->period_type);
    m->drop_frames = intern(m, p, p->drop_frames);
    m->keep_frames = intern(m, p, p->keep_frames);
}

static void add_comment(struct kp_merger *m, uint32_t comment)
{
    while (m->seen.n <= comment)
        *kp_array_add(&m->seen) = false;
    if (!m->seen.items[comment])
        *kp_array_add(&m->comments) = comment;
    m->seen.items[comment] = true;
}

int kp_merger_add_header(struct kp_merger *m, const struct kp_merge_header *header, struct kp_error *err)
{
    const struct kp_profile *p = header->profile;
    int rc = m->started ? check_same(m, p, err) : 0;
    if (rc != 0)
        return rc;
    if (!m->started)
        start(m, p);
    if (header->time_ns != 0 && (m->time_ns == 0 || header->time_ns < m->time_ns))
        m->time_ns = header->time_ns;
    int64_t duration;
    if (__builtin_add_overflow(m->duration_ns, header->duration_ns, &duration))
        duration = header->duration_ns < 0 ? INT64_MIN : INT64_MAX;
    m->duration_ns = duration;
    if (m->period == 0 || m->period < p->period)
        m->period = p->period;
    if (m->default_type == 0)
        m->default_type = intern(m, p, p->default_type);
    if (m->doc_url == 0)
        m->doc_url = intern(m, p, p->doc_url);
    for (uint32_t i = 0; i < p->n_comments; i++)
        add_comment(m, intern(m, p, p->comments[i]));
    return 0;
}

// ---- samples ----

static bool all_zero(const int64_t *values, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (values[i] != 0)
            return false;
    return true;
}

static void add_scaled(struct kp_merger *m, uint32_t row, const int64_t *values, double factor)
{
    if (factor == 1 || factor == -1) {
        kp_merge_row_add_whole(&m->rows, row, values, factor < 0);
        return;
    }
    for (uint32_t t = 0; t < m->rows.n_types; t++)
        m->scaled[t] = (double)values[t] * factor;
    kp_merge_row_add_real(&m->rows, row, m->scaled);
}

int kp_merger_add(struct kp_merger *m, const struct kp_profile *p, double factor, struct kp_error *err)
{
    const struct kp_merge_header header = {p, p->time_ns, p->duration_ns};
    int rc = kp_merger_add_header(m, &header, err);
    if (rc != 0)
        return rc;
    struct kp_symbols_map *map = kp_symbols_map_profile(m->symbols, p);
    if (m->symbols->n_mappings == 0 && p->n_mappings > 0)
        (void)kp_symbols_map_mapping(map, 0); // the main binary stays the first
    for (uint32_t i = 0; i < p->n_samples && !m->rows.full; i++) {
        const int64_t *values = p->values + (size_t)i * p->n_sample_types;
        if (all_zero(values, p->n_sample_types))
            continue;
        const struct kp_merge_row key = {kp_symbols_map_stack(map, i), kp_symbols_map_labels(map, i)};
        uint32_t row = kp_merge_row_of(&m->rows, m->symbols, key);
        if (row != UINT32_MAX)
            add_scaled(m, row, values, factor);
    }
    kp_symbols_map_destroy(map);
    if (m->rows.full)
        return kp_fail(err, KP_LIMIT,
            "the samples of all profiles together take more than %u MB: merge fewer profiles",
            KP_MERGER_MAX_SAMPLE_BYTES >> 20);
    return 0;
}

void kp_merger_add_row(struct kp_merger *m, uint32_t node, uint32_t label_set, const double *values)
{
    uint32_t row = kp_merge_row_of(&m->rows, m->symbols, (struct kp_merge_row){node, label_set});
    if (row != UINT32_MAX)
        kp_merge_row_add_real(&m->rows, row, values);
}

int kp_profile_merge(
    const struct kp_profile *const *profiles, size_t n, struct kp_profile **ret, struct kp_error *err)
{
    struct kp_merger *m = kp_merger_create();
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = kp_merger_add(m, profiles[i], 1, err);
    if (rc == 0)
        *ret = kp_merger_profile(m);
    kp_merger_destroy(m);
    return rc;
}
