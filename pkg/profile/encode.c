// The same profile gives the same bytes: fields in the order of their numbers, ids 1..n in the order of the
// tables, a gzip header without time or system.
#include <libdeflate.h>
#include <string.h>

#include "base/alloc.h"
#include "profile/profile.h"
#include "profile/proto.h"
#include "base/banned.h"

#define MAX_VARINT 10
#define CHUNK      ((size_t)1 << 16)

struct out {
    uint8_t *data;
    size_t n, cap;
};

static inline void reserve(struct out *o, size_t more)
{
    if (o->cap - o->n >= more)
        return;
    o->cap = 2 * o->cap > o->n + more ? 2 * o->cap : o->n + more + CHUNK;
    o->data = kp_realloc(o->data, o->cap);
}

// The room must be there.
static inline void varint(struct out *o, uint64_t v)
{
    uint8_t *p = o->data + o->n;
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    o->n = (size_t)(p - o->data);
}

static inline void number(struct out *o, unsigned field, uint64_t v)
{
    if (v == 0)
        return;
    varint(o, field << 3 | KP_PROTO_VARINT);
    varint(o, v);
}

static inline void bytes(struct out *o, unsigned field, const void *data, size_t len)
{
    reserve(o, len + 2 * MAX_VARINT);
    varint(o, field << 3 | KP_PROTO_BYTES);
    varint(o, len);
    if (len > 0)
        memcpy(o->data + o->n, data, len);
    o->n += len;
}

// Puts the scratch as a message and empties it.
static inline void message(struct out *o, unsigned field, struct out *scratch)
{
    bytes(o, field, scratch->data, scratch->n);
    scratch->n = 0;
}

static void value_type(struct out *o, struct out *m, unsigned field, struct kp_value_type t)
{
    reserve(m, (size_t)4 * MAX_VARINT);
    number(m, 1, t.type);
    number(m, 2, t.unit);
    message(o, field, m);
}

static size_t varint_size(uint64_t v)
{
    size_t n = 1;
    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

static void frames(struct out *m, const uint32_t *ids, uint32_t n)
{
    size_t size = 0;
    for (uint32_t i = 0; i < n; i++)
        size += varint_size((uint64_t)ids[i] + 1);
    reserve(m, size + 2 * MAX_VARINT);
    varint(m, 1 << 3 | KP_PROTO_BYTES);
    varint(m, size);
    for (uint32_t i = 0; i < n; i++)
        varint(m, (uint64_t)ids[i] + 1);
}

static void values(struct out *m, const int64_t *v, uint32_t n)
{
    size_t size = 0;
    for (uint32_t i = 0; i < n; i++)
        size += varint_size((uint64_t)v[i]);
    reserve(m, size + 2 * MAX_VARINT);
    varint(m, 2 << 3 | KP_PROTO_BYTES);
    varint(m, size);
    for (uint32_t i = 0; i < n; i++)
        varint(m, (uint64_t)v[i]);
}

static void sample(struct out *o, struct out *m, const struct kp_profile *p, uint32_t at)
{
    const struct kp_sample *s = &p->samples[at];
    if (s->n_frames > 0)
        frames(m, p->frames + s->first_frame, s->n_frames);
    values(m, p->values + (size_t)at * p->n_sample_types, p->n_sample_types);
    for (uint32_t i = 0; i < s->n_labels; i++) {
        const struct kp_sample_label *l = &p->labels[s->first_label + i];
        struct out label = {(uint8_t[8 * MAX_VARINT]){0}, 0, (size_t)8 * MAX_VARINT};
        number(&label, 1, l->key);
        number(&label, 2, l->str);
        number(&label, 3, (uint64_t)l->num);
        number(&label, 4, l->unit);
        bytes(m, 3, label.data, label.n);
    }
    message(o, PROFILE_SAMPLE, m);
}

static void mapping(struct out *o, struct out *m, const struct kp_mapping *x, uint32_t at)
{
    reserve(m, (size_t)20 * MAX_VARINT);
    number(m, 1, (uint64_t)at + 1);
    number(m, 2, x->start);
    number(m, 3, x->limit);
    number(m, 4, x->offset);
    number(m, 5, x->filename);
    number(m, 6, x->build_id);
    number(m, 7, (x->flags & KP_MAPPING_FUNCTIONS) != 0);
    number(m, 8, (x->flags & KP_MAPPING_FILENAMES) != 0);
    number(m, 9, (x->flags & KP_MAPPING_LINES) != 0);
    number(m, 10, (x->flags & KP_MAPPING_INLINES) != 0);
    message(o, PROFILE_MAPPING, m);
}

static void location(struct out *o, struct out *m, const struct kp_profile *p, uint32_t at)
{
    const struct kp_location *x = &p->locations[at];
    reserve(m, (size_t)8 * MAX_VARINT);
    number(m, 1, (uint64_t)at + 1);
    number(m, 2, x->mapping == KP_NO_MAPPING ? 0 : (uint64_t)x->mapping + 1);
    number(m, 3, x->address);
    for (uint32_t i = 0; i < x->n_lines; i++) {
        const struct kp_line *line = &p->lines[x->first_line + i];
        struct out l = {(uint8_t[6 * MAX_VARINT]){0}, 0, (size_t)6 * MAX_VARINT};
        number(&l, 1, (uint64_t)line->function + 1);
        number(&l, 2, (uint64_t)line->line);
        number(&l, 3, (uint64_t)line->column);
        bytes(m, 4, l.data, l.n);
    }
    reserve(m, (size_t)2 * MAX_VARINT);
    number(m, 5, x->folded);
    message(o, PROFILE_LOCATION, m);
}

static void function(struct out *o, struct out *m, const struct kp_function *x, uint32_t at)
{
    reserve(m, (size_t)10 * MAX_VARINT);
    number(m, 1, (uint64_t)at + 1);
    number(m, 2, x->name);
    number(m, 3, x->system_name);
    number(m, 4, x->filename);
    number(m, 5, (uint64_t)x->start_line);
    message(o, PROFILE_FUNCTION, m);
}

static void tail(struct out *o, struct out *m, const struct kp_profile *p)
{
    reserve(o, (size_t)20 * MAX_VARINT);
    number(o, PROFILE_DROP_FRAMES, p->drop_frames);
    number(o, PROFILE_KEEP_FRAMES, p->keep_frames);
    number(o, PROFILE_TIME_NANOS, (uint64_t)p->time_ns);
    number(o, PROFILE_DURATION_NANOS, (uint64_t)p->duration_ns);
    if (p->has_period_type)
        value_type(o, m, PROFILE_PERIOD_TYPE, p->period_type);
    reserve(o, (size_t)20 * MAX_VARINT);
    number(o, PROFILE_PERIOD, (uint64_t)p->period);
    for (uint32_t i = 0; i < p->n_comments; i++) {
        reserve(o, (size_t)2 * MAX_VARINT);
        varint(o, PROFILE_COMMENT << 3 | KP_PROTO_VARINT);
        varint(o, p->comments[i]);
    }
    reserve(o, (size_t)4 * MAX_VARINT);
    number(o, PROFILE_DEFAULT_SAMPLE_TYPE, p->default_type);
    number(o, PROFILE_DOC_URL, p->doc_url);
}

static void whole(struct out *o, const struct kp_profile *p)
{
    struct out m = {0};
    reserve(&m, CHUNK);
    for (uint32_t i = 0; i < p->n_sample_types; i++)
        value_type(o, &m, PROFILE_SAMPLE_TYPE, p->sample_types[i]);
    for (uint32_t i = 0; i < p->n_samples; i++)
        sample(o, &m, p, i);
    for (uint32_t i = 0; i < p->n_mappings; i++)
        mapping(o, &m, &p->mappings[i], i);
    for (uint32_t i = 0; i < p->n_locations; i++)
        location(o, &m, p, i);
    for (uint32_t i = 0; i < p->n_functions; i++)
        function(o, &m, &p->functions[i], i);
    for (uint32_t i = 0; i < p->n_strings; i++)
        bytes(o, PROFILE_STRING_TABLE, p->strings[i].data, p->strings[i].len);
    tail(o, &m, p);
    kp_free(m.data);
}

static void squeeze(const struct out *o, int level, struct kp_strbuf *out)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(level > 12 ? 12 : level);
    if (c == NULL) {
        out->overflow = true;
        return;
    }
    size_t bound = libdeflate_gzip_compress_bound(c, o->n);
    kp_auto_free uint8_t *gz = kp_alloc(bound);
    size_t n = libdeflate_gzip_compress(c, o->data, o->n, gz, bound);
    libdeflate_free_compressor(c);
    if (n == 0)
        out->overflow = true;
    kp_strbuf_add(out, gz, n);
}

void kp_profile_encode(const struct kp_profile *profile, int gzip_level, struct kp_strbuf *out)
{
    struct out o = {0};
    reserve(&o, CHUNK);
    whole(&o, profile);
    if (gzip_level > 0)
        squeeze(&o, gzip_level, out);
    else
        kp_strbuf_add(out, o.data, o.n);
    kp_free(o.data);
}
