// Two passes over the inflated bytes: the first counts what stands on the top level, so that the tables get
// their size; the second fills them. Ids are 1..n in order in practice, then an id is an index; where they
// are not, tables of ids are made and the second pass starts again. Sentences for what is wrong come from the
// walker, which knows them all.
#include "profile/decode.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "profile/decode_private.h"
#include "profile/inflate.h"
#include "base/banned.h"

#define MAX_SAMPLE_TYPES 256

#define HOT __attribute__((noinline)) // the registers to itself

// ---- pass 1 ----

static size_t count_packed(const uint8_t *p, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += p[i] < 0x80; // the last byte of each
    return n;
}

static enum kp_decode_step survey(struct kp_decoder *d)
{
    struct kp_proto f;
    size_t n[PROFILE_MAX_FIELD + 1] = {0};
    kp_proto_start(&f, d->data, d->len);
    while (kp_quick_next(&f)) {
        if (f.field > PROFILE_MAX_FIELD)
            continue;
        if (f.field == PROFILE_COMMENT && f.type == KP_PROTO_BYTES)
            n[PROFILE_COMMENT] += count_packed(f.data, f.len);
        else
            n[f.field]++;
    }
    if (f.bad || n[PROFILE_STRING_TABLE] == 0 || n[PROFILE_SAMPLE_TYPE] > MAX_SAMPLE_TYPES ||
        (n[PROFILE_SAMPLE_TYPE] == 0 && n[PROFILE_SAMPLE] > 0) ||
        n[PROFILE_SAMPLE_TYPE] * n[PROFILE_SAMPLE] > d->len) // a value is a byte at least
        return KP_DECODE_BROKEN;
    for (unsigned i = 1; i <= PROFILE_MAX_FIELD; i++)
        if (n[i] > d->max_entities)
            return KP_DECODE_TOO_LARGE;
    d->n_types = (uint32_t)n[PROFILE_SAMPLE_TYPE];
    d->n_samples = (uint32_t)n[PROFILE_SAMPLE];
    d->n_mappings = (uint32_t)n[PROFILE_MAPPING];
    d->n_locations = (uint32_t)n[PROFILE_LOCATION];
    d->n_functions = (uint32_t)n[PROFILE_FUNCTION];
    d->n_strings = (uint32_t)n[PROFILE_STRING_TABLE];
    d->n_comments = (uint32_t)n[PROFILE_COMMENT];
    d->mappings.n_dense = d->n_mappings;
    d->locations.n_dense = d->n_locations;
    d->functions.n_dense = d->n_functions;
    return KP_DECODE_OK;
}

static void make_tables(struct kp_decoder *d)
{
    struct kp_profile *p = d->p;
    p->strings = KP_ARENA_ARRAY(&d->arena, struct kp_str, d->n_strings);
    p->sample_types = KP_ARENA_ARRAY(&d->arena, struct kp_value_type, d->n_types + 1);
    p->samples = KP_ARENA_ARRAY(&d->arena, struct kp_sample, d->n_samples + 1);
    p->values = KP_ARENA_ARRAY(&d->arena, int64_t, (size_t)d->n_samples * d->n_types + 1);
    p->mappings = KP_ARENA_ARRAY(&d->arena, struct kp_mapping, d->n_mappings + 1);
    p->locations = KP_ARENA_ARRAY(&d->arena, struct kp_location, d->n_locations + 1);
    p->functions = KP_ARENA_ARRAY(&d->arena, struct kp_function, d->n_functions + 1);
    p->comments = KP_ARENA_ARRAY(&d->arena, uint32_t, d->n_comments + 1);
}

// ---- ids ----

static enum kp_decode_step collect_ids(
    const struct kp_decoder *d, uint64_t field, uint32_t n, struct kp_idmap *map)
{
    struct kp_proto f;
    uint32_t at = 0;
    kp_idmap_make(map, n);
    kp_proto_start(&f, d->data, d->len);
    while (kp_proto_next(&f)) {
        struct kp_proto m;
        uint64_t id = 0;
        if (f.field != field || f.type != KP_PROTO_BYTES)
            continue;
        kp_proto_start(&m, f.data, f.len);
        while (kp_proto_next(&m))
            if (m.field == 1 && m.type == KP_PROTO_VARINT)
                id = m.value;
        if (m.bad || id == 0)
            return KP_DECODE_BROKEN;
        kp_idmap_add(map, id, at++);
    }
    return kp_idmap_seal(map) ? KP_DECODE_OK : KP_DECODE_BROKEN;
}

// ---- pass 2 ----

static enum kp_decode_step take_value_type(
    const struct kp_decoder *d, struct kp_bytes b, struct kp_value_type *ret)
{
    uint64_t v[3];
    if (!kp_quick_numbers(b.p, b.end, v, 2) || v[1] >= d->n_strings || v[2] >= d->n_strings)
        return KP_DECODE_BROKEN;
    *ret = (struct kp_value_type){(uint32_t)v[1], (uint32_t)v[2]};
    return KP_DECODE_OK;
}

static enum kp_decode_step take_label(struct kp_decoder *d, struct kp_bytes b, const struct kp_sample *s)
{
    uint64_t v[5];
    if (!kp_quick_numbers(b.p, b.end, v, 4))
        return KP_DECODE_BROKEN;
    if (v[2] == 0 && v[3] == 0 && v[4] == 0)
        return KP_DECODE_OK; // google/pprof does not look at such a one
    if (v[1] >= d->n_strings || v[2] >= d->n_strings || (v[2] == 0 && v[4] >= d->n_strings))
        return KP_DECODE_BROKEN;
    bool text = v[2] != 0;
    *kp_array_add(&d->labels) = (struct kp_sample_label){.key = (uint32_t)v[1],
        .str = (uint32_t)v[2],
        .unit = text ? 0 : (uint32_t)v[4],
        .num = text ? 0 : (int64_t)v[3]};
    return kp_decode_room(d->labels.n, s->first_label, d->max_labels, d->max_details);
}

// Packed, into room for all that they can be, of ids that are indices.
HOT static enum kp_decode_step take_packed_frames(struct kp_decoder *d, struct kp_bytes b)
{
    uint32_t *items = d->frames.items;
    size_t n = d->frames.n;
    const uint32_t n_locations = d->n_locations;
    while (b.p < b.end) {
        uint64_t id;
        b.p = kp_quick_varint(b.p, b.end, &id);
        if (id - 1 >= n_locations)
            return KP_DECODE_BROKEN;
        items[n++] = (uint32_t)id - 1;
    }
    d->frames.n = n;
    return b.p == b.end ? KP_DECODE_OK : KP_DECODE_BROKEN;
}

static enum kp_decode_step take_frames(
    struct kp_decoder *d, const struct kp_proto *m, const struct kp_sample *s)
{
    struct kp_proto_values it = kp_proto_values(m);
    size_t n = d->frames.n;
    size_t more = d->max_depth - (n - s->first_frame);
    more = more < d->max_frames - n ? more : d->max_frames - n;
    size_t room = m->type == KP_PROTO_BYTES ? m->len : 1; // each takes a byte at least
    uint32_t *items = kp_decode_room_for(&d->frames, room < more ? room : more);
    if (m->type == KP_PROTO_BYTES && m->len <= more && d->locations.items == NULL)
        return take_packed_frames(d, kp_bytes_of(m));
    uint64_t id;
    while (kp_proto_value(&it, &id)) {
        if (more-- == 0)
            return KP_DECODE_TOO_LARGE;
        if (!kp_idmap_find(&d->locations, id, &items[n]))
            return KP_DECODE_BROKEN;
        n++;
    }
    d->frames.n = n;
    return it.bad ? KP_DECODE_BROKEN : KP_DECODE_OK;
}

static inline enum kp_decode_step take_packed_values(
    const struct kp_decoder *d, struct kp_bytes b, int64_t *out, uint32_t *n)
{
    while (b.p < b.end) {
        uint64_t v;
        b.p = kp_quick_varint(b.p, b.end, &v);
        if (*n == d->n_types)
            return KP_DECODE_BROKEN;
        out[(*n)++] = (int64_t)v;
    }
    return b.p == b.end ? KP_DECODE_OK : KP_DECODE_BROKEN;
}

static enum kp_decode_step take_values(
    struct kp_decoder *d, const struct kp_proto *m, uint32_t at, uint32_t *n)
{
    int64_t *out = d->p->values + (size_t)at * d->n_types;
    if (m->type == KP_PROTO_BYTES)
        return take_packed_values(d, kp_bytes_of(m), out, n);
    struct kp_proto_values it = kp_proto_values(m);
    uint64_t v;
    while (kp_proto_value(&it, &v)) {
        if (*n == d->n_types)
            return KP_DECODE_BROKEN;
        out[(*n)++] = (int64_t)v;
    }
    return it.bad ? KP_DECODE_BROKEN : KP_DECODE_OK;
}

HOT static enum kp_decode_step take_sample(struct kp_decoder *d, struct kp_bytes b)
{
    struct kp_proto m;
    uint32_t at = d->at_sample++;
    struct kp_sample *s = &d->p->samples[at];
    uint32_t n_values = 0;
    enum kp_decode_step step = KP_DECODE_OK;
    s->first_frame = (uint32_t)d->frames.n;
    s->first_label = (uint32_t)d->labels.n;
    kp_proto_start(&m, b.p, (size_t)(b.end - b.p));
    while (step == KP_DECODE_OK && kp_quick_next(&m)) {
        if (m.field == 1)
            step = take_frames(d, &m, s);
        else if (m.field == 2)
            step = take_values(d, &m, at, &n_values);
        else if (m.field == 3)
            step = m.type == KP_PROTO_BYTES ? take_label(d, kp_bytes_of(&m), s) : KP_DECODE_BROKEN;
    }
    s->n_frames = (uint32_t)d->frames.n - s->first_frame;
    s->n_labels = (uint32_t)d->labels.n - s->first_label;
    if (step != KP_DECODE_OK)
        return step;
    return m.bad || n_values != d->n_types ? KP_DECODE_BROKEN : KP_DECODE_OK;
}

static enum kp_decode_step take_comments(struct kp_decoder *d, const struct kp_proto *f)
{
    struct kp_proto_values it = kp_proto_values(f);
    uint64_t index;
    while (kp_proto_value(&it, &index)) {
        if (index >= d->n_strings || d->at_comment >= d->n_comments)
            return KP_DECODE_BROKEN;
        d->p->comments[d->at_comment++] = (uint32_t)index;
    }
    return it.bad ? KP_DECODE_BROKEN : KP_DECODE_OK;
}

static inline enum kp_decode_step take_text(struct kp_decoder *d, struct kp_bytes b)
{
    if (d->at_string == 0 && b.p != b.end)
        return KP_DECODE_BROKEN;
    d->p->strings[d->at_string++] = (struct kp_str){(const char *)b.p, (uint32_t)(b.end - b.p)};
    return KP_DECODE_OK;
}

static enum kp_decode_step take_message(struct kp_decoder *d, const struct kp_proto *f)
{
    if (f->type != KP_PROTO_BYTES)
        return KP_DECODE_BROKEN;
    switch (f->field) {
    case PROFILE_SAMPLE_TYPE:
        return take_value_type(d, kp_bytes_of(f), &d->p->sample_types[d->at_type++]);
    case PROFILE_SAMPLE:
        return take_sample(d, kp_bytes_of(f));
    case PROFILE_MAPPING:
        return kp_decode_mapping(d, kp_bytes_of(f));
    case PROFILE_LOCATION:
        return kp_decode_location(d, kp_bytes_of(f));
    case PROFILE_FUNCTION:
        return kp_decode_function(d, kp_bytes_of(f));
    case PROFILE_STRING_TABLE:
        return take_text(d, kp_bytes_of(f));
    default:
        d->p->has_period_type = true;
        return take_value_type(d, kp_bytes_of(f), &d->p->period_type);
    }
}

static enum kp_decode_step take_number(const struct kp_proto *f, int64_t *ret)
{
    *ret = (int64_t)f->value;
    return f->type == KP_PROTO_VARINT ? KP_DECODE_OK : KP_DECODE_BROKEN;
}

static enum kp_decode_step take_string(const struct kp_decoder *d, const struct kp_proto *f, uint32_t *ret)
{
    *ret = (uint32_t)f->value;
    return f->type == KP_PROTO_VARINT && f->value < d->n_strings ? KP_DECODE_OK : KP_DECODE_BROKEN;
}

static enum kp_decode_step take_field(struct kp_decoder *d, const struct kp_proto *f)
{
    switch (f->field) {
    case PROFILE_SAMPLE_TYPE:
    case PROFILE_SAMPLE:
    case PROFILE_MAPPING:
    case PROFILE_LOCATION:
    case PROFILE_FUNCTION:
    case PROFILE_STRING_TABLE:
    case PROFILE_PERIOD_TYPE:
        return take_message(d, f);
    case PROFILE_TIME_NANOS: // twice: two profiles behind each other
        return d->p->time_ns != 0 ? KP_DECODE_BROKEN : take_number(f, &d->p->time_ns);
    case PROFILE_DURATION_NANOS:
        return take_number(f, &d->p->duration_ns);
    case PROFILE_PERIOD:
        return take_number(f, &d->p->period);
    case PROFILE_COMMENT:
        return take_comments(d, f);
    case PROFILE_DROP_FRAMES:
        return take_string(d, f, &d->p->drop_frames);
    case PROFILE_KEEP_FRAMES:
        return take_string(d, f, &d->p->keep_frames);
    case PROFILE_DEFAULT_SAMPLE_TYPE:
        return take_string(d, f, &d->p->default_type);
    case PROFILE_DOC_URL:
        return take_string(d, f, &d->p->doc_url);
    default:
        return KP_DECODE_OK;
    }
}

// The four that profiles consist of; false: another field.
static inline bool take_many(struct kp_decoder *d, unsigned tag, struct kp_bytes b, enum kp_decode_step *ret)
{
    switch (tag) {
    case PROFILE_SAMPLE << 3 | KP_PROTO_BYTES:
        *ret = take_sample(d, b);
        return true;
    case PROFILE_LOCATION << 3 | KP_PROTO_BYTES:
        *ret = kp_decode_location(d, b);
        return true;
    case PROFILE_FUNCTION << 3 | KP_PROTO_BYTES:
        *ret = kp_decode_function(d, b);
        return true;
    case PROFILE_STRING_TABLE << 3 | KP_PROTO_BYTES:
        *ret = take_text(d, b);
        return true;
    default:
        return false;
    }
}

static enum kp_decode_step fill(struct kp_decoder *d)
{
    const uint8_t *p = d->data;
    const uint8_t *end = p + d->len;
    enum kp_decode_step step = KP_DECODE_OK;
    d->frames.n = d->labels.n = d->lines.n = 0;
    d->at_type = d->at_sample = d->at_mapping = d->at_location = d->at_function = d->at_string = 0;
    d->at_comment = 0;
    d->p->time_ns = 0;
    while (step == KP_DECODE_OK && p < end) {
        uint64_t len;
        const uint8_t *body = kp_quick_varint(p + 1, end, &len);
        if (body <= end && len <= (uint64_t)(end - body) &&
            take_many(d, *p, (struct kp_bytes){body, body + len}, &step)) {
            p = body + len;
            continue;
        }
        struct kp_proto f;
        kp_proto_start(&f, p, (size_t)(end - p));
        if (!kp_proto_next(&f))
            return KP_DECODE_BROKEN;
        step = take_field(d, &f);
        p = f.p;
    }
    return step;
}

static enum kp_decode_step decode(struct kp_decoder *d)
{
    enum kp_decode_step step = survey(d);
    if (step != KP_DECODE_OK)
        return step;
    make_tables(d);
    step = fill(d);
    if (step == KP_DECODE_OK || step == KP_DECODE_TOO_LARGE || d->sparse ||
        d->n_mappings + d->n_locations + d->n_functions == 0)
        return step;
    // a reference that leads nowhere may also be one by an id that is not an index
    d->sparse = true;
    step = collect_ids(d, PROFILE_MAPPING, d->n_mappings, &d->mappings);
    if (step == KP_DECODE_OK)
        step = collect_ids(d, PROFILE_LOCATION, d->n_locations, &d->locations);
    if (step == KP_DECODE_OK)
        step = collect_ids(d, PROFILE_FUNCTION, d->n_functions, &d->functions);
    return step == KP_DECODE_OK ? fill(d) : step;
}

static void hand_over(struct kp_decoder *d)
{
    struct kp_profile *p = d->p;
    p->frames = p->buffers.frames = d->frames.items;
    p->labels = p->buffers.labels = d->labels.items;
    p->lines = p->buffers.lines = d->lines.items;
    p->n_frames = (uint32_t)d->frames.n;
    p->n_labels = (uint32_t)d->labels.n;
    p->n_lines = (uint32_t)d->lines.n;
    p->n_strings = d->n_strings;
    p->n_sample_types = d->n_types;
    p->n_samples = d->n_samples;
    p->n_mappings = d->n_mappings;
    p->n_locations = d->n_locations;
    p->n_functions = d->n_functions;
    p->n_comments = d->at_comment;
}

int kp_profile_decode_proto(
    uint8_t *bytes, size_t len, const struct kp_profile_limits *limits, struct kp_profile **ret)
{
    const struct kp_profile_limits l = kp_profile_limits_of(limits);
    struct kp_decoder d = {.data = bytes,
        .len = len,
        .max_entities = l.max_entities,
        .max_depth = l.max_depth,
        .max_labels = l.max_labels,
        .p = KP_NEW(struct kp_profile)};
    size_t most = d.max_entities < UINT32_MAX / 32 ? d.max_entities : UINT32_MAX / 32;
    d.max_frames = 16 * most;
    d.max_details = 4 * most;
    d.p->buffers.bytes = bytes;
    (void)kp_decode_room_for(&d.frames, len / 16); // about what they come to; and none is NULL
    (void)kp_decode_room_for(&d.labels, 0);
    (void)kp_decode_room_for(&d.lines, len / 64);
    enum kp_decode_step step = decode(&d);
    hand_over(&d);
    kp_idmap_finish(&d.mappings);
    kp_idmap_finish(&d.locations);
    kp_idmap_finish(&d.functions);
    d.p->arena = d.arena;
    if (step != KP_DECODE_OK) {
        d.p->buffers.bytes = NULL;
        kp_profile_free(d.p);
        return step == KP_DECODE_TOO_LARGE ? KP_LIMIT : KP_INVALID;
    }
    *ret = d.p;
    return 0;
}
