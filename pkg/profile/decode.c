// Two passes: the first goes over the inflated bytes and lists the messages by kind, the second reads one
// kind after the other into tables of the right size. (Read as they come, locations and functions in turns,
// the processor could not foresee what the next one is.) Ids are 1..n in order in practice, then an id is an
// index; where they are not, tables of ids are made and the second pass starts again. Sentences for what is
// wrong come from the walker, which knows them all.
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

static enum kp_decode_step take_number(const struct kp_proto *f, int64_t *ret)
{
    *ret = (int64_t)f->value;
    return f->type == KP_PROTO_VARINT ? KP_DECODE_OK : KP_DECODE_BROKEN;
}

// Whether there is such a string is seen when all are counted, also of one that a later field replaces.
static enum kp_decode_step take_string(struct kp_decoder *d, const struct kp_proto *f, uint32_t *ret)
{
    if (f->type != KP_PROTO_VARINT || f->value > UINT32_MAX)
        return KP_DECODE_BROKEN;
    *ret = (uint32_t)f->value;
    d->last_string = *ret > d->last_string ? *ret : d->last_string;
    return KP_DECODE_OK;
}

static enum kp_decode_step take_comments(struct kp_decoder *d, const struct kp_proto *f)
{
    struct kp_proto_values it = kp_proto_values(f);
    uint64_t index;
    while (kp_proto_value(&it, &index)) {
        if (index > UINT32_MAX)
            return KP_DECODE_BROKEN;
        if (d->comments.n >= d->max_entities)
            return KP_DECODE_TOO_LARGE;
        *kp_array_add(&d->comments) = (uint32_t)index;
    }
    return it.bad ? KP_DECODE_BROKEN : KP_DECODE_OK;
}

// What is not one of many messages.
static enum kp_decode_step take_field(struct kp_decoder *d, const struct kp_proto *f)
{
    switch (f->field) {
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

// Kinds of messages.
#define LISTED                                                                                               \
    (1U << PROFILE_SAMPLE_TYPE | 1U << PROFILE_SAMPLE | 1U << PROFILE_MAPPING | 1U << PROFILE_LOCATION |     \
        1U << PROFILE_FUNCTION | 1U << PROFILE_STRING_TABLE | 1U << PROFILE_PERIOD_TYPE)

static bool list_grow(const struct kp_decoder *d, struct kp_decode_list *list, size_t more)
{
    if (list->cap >= d->max_entities)
        return false;
    list->cap += list->cap + more;
    list->cap = list->cap < d->max_entities ? list->cap : d->max_entities;
    list->items = kp_grow(list->items, list->cap, sizeof *list->items);
    return true;
}

static inline bool list_add(struct kp_decoder *d, unsigned kind, const uint8_t *body, size_t len)
{
    struct kp_decode_list *list = &d->lists[kind];
    if (list->n == list->cap && !list_grow(d, list, 16))
        return false;
    list->items[list->n++] = (struct kp_decode_field){(uint32_t)(body - d->data), (uint32_t)len};
    return true;
}

// Any field, in any form.
HOT static enum kp_decode_step list_other(struct kp_decoder *d, const uint8_t **p)
{
    struct kp_proto f;
    kp_proto_start(&f, *p, (size_t)(d->data + d->len - *p));
    if (!kp_proto_next(&f))
        return KP_DECODE_BROKEN;
    *p = f.p;
    if (f.field > PROFILE_MAX_FIELD || (LISTED >> f.field & 1) == 0)
        return take_field(d, &f);
    if (f.type != KP_PROTO_BYTES)
        return KP_DECODE_BROKEN;
    return list_add(d, (unsigned)f.field, f.data, f.len) ? KP_DECODE_OK : KP_DECODE_TOO_LARGE;
}

static enum kp_decode_step list_fields(struct kp_decoder *d)
{
    const uint8_t *p = d->data;
    const uint8_t *end = p + d->len;
    enum kp_decode_step step = KP_DECODE_OK;
    if (d->len > UINT32_MAX)
        return KP_DECODE_TOO_LARGE;
    while (step == KP_DECODE_OK && p < end) {
        uint64_t len;
        const uint8_t *body = kp_quick_varint(p + 1, end, &len);
        if ((*p & 0x87) == KP_PROTO_BYTES && (LISTED >> (*p >> 3) & 1) != 0 && body <= end &&
            len <= (uint64_t)(end - body)) {
            if (!list_add(d, *p >> 3, body, (size_t)len))
                return KP_DECODE_TOO_LARGE;
            p = body + len;
        } else {
            step = list_other(d, &p);
        }
    }
    return step;
}

static enum kp_decode_step survey(struct kp_decoder *d)
{
    enum kp_decode_step step = list_fields(d);
    const struct kp_decode_list *l = d->lists;
    if (step != KP_DECODE_OK)
        return step;
    if (l[PROFILE_STRING_TABLE].n == 0 || l[PROFILE_SAMPLE_TYPE].n > MAX_SAMPLE_TYPES ||
        (l[PROFILE_SAMPLE_TYPE].n == 0 && l[PROFILE_SAMPLE].n > 0) ||
        l[PROFILE_SAMPLE_TYPE].n * l[PROFILE_SAMPLE].n > d->len) // a value is a byte at least
        return KP_DECODE_BROKEN;
    d->n_types = (uint32_t)l[PROFILE_SAMPLE_TYPE].n;
    d->n_samples = (uint32_t)l[PROFILE_SAMPLE].n;
    d->mappings.n_dense = d->n_mappings = (uint32_t)l[PROFILE_MAPPING].n;
    d->locations.n_dense = d->n_locations = (uint32_t)l[PROFILE_LOCATION].n;
    d->functions.n_dense = d->n_functions = (uint32_t)l[PROFILE_FUNCTION].n;
    d->n_strings = (uint32_t)l[PROFILE_STRING_TABLE].n;
    for (size_t i = 0; i < d->comments.n; i++)
        if (d->comments.items[i] >= d->n_strings)
            return KP_DECODE_BROKEN;
    return d->last_string < d->n_strings ? KP_DECODE_OK : KP_DECODE_BROKEN;
}

// All in one piece, not zeroed: a profile that is handed over has every entry written.
static void make_tables(struct kp_decoder *d)
{
    struct kp_profile *p = d->p;
    const size_t bytes[] = {d->n_strings * sizeof *p->strings, d->n_types * sizeof *p->sample_types,
        d->n_samples * sizeof *p->samples, (size_t)d->n_samples * d->n_types * sizeof *p->values,
        d->n_mappings * sizeof *p->mappings, d->n_locations * sizeof *p->locations,
        d->n_functions * sizeof *p->functions, d->comments.n * sizeof *p->comments};
    size_t at[KP_COUNT(bytes) + 1] = {0};
    for (size_t i = 0; i < KP_COUNT(bytes); i++)
        at[i + 1] = at[i] + (bytes[i] + 7) / 8 * 8; // none is aligned to more
    uint8_t *room = p->buffers.tables = kp_alloc(at[KP_COUNT(bytes)]);
    p->strings = (void *)(room + at[0]);
    p->sample_types = (void *)(room + at[1]);
    p->samples = (void *)(room + at[2]);
    p->values = (void *)(room + at[3]);
    p->mappings = (void *)(room + at[4]);
    p->locations = (void *)(room + at[5]);
    p->functions = (void *)(room + at[6]);
    p->comments = (void *)(room + at[7]);
    if (d->comments.n > 0)
        memcpy(p->comments, d->comments.items, d->comments.n * sizeof *p->comments);
}

// ---- ids ----

static enum kp_decode_step collect_ids(const struct kp_decoder *d, unsigned kind, struct kp_idmap *map)
{
    uint32_t n = (uint32_t)d->lists[kind].n;
    kp_idmap_make(map, n);
    for (uint32_t i = 0; i < n; i++) {
        struct kp_bytes b = kp_decode_bytes(d, kind, i);
        struct kp_proto m;
        uint64_t id = 0;
        kp_proto_start(&m, b.p, (size_t)(b.end - b.p));
        while (kp_proto_next(&m))
            if (m.field == 1 && m.type == KP_PROTO_VARINT)
                id = m.value;
        if (m.bad || id == 0)
            return KP_DECODE_BROKEN;
        kp_idmap_add(map, id, i);
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

HOT static enum kp_decode_step take_sample(struct kp_decoder *d, struct kp_bytes b, uint32_t at)
{
    struct kp_proto m;
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

static enum kp_decode_step take_strings(struct kp_decoder *d)
{
    const struct kp_decode_field *f = d->lists[PROFILE_STRING_TABLE].items;
    for (uint32_t i = 0; i < d->n_strings; i++)
        d->p->strings[i] = (struct kp_str){(const char *)d->data + f[i].at, f[i].len};
    return f[0].len == 0 ? KP_DECODE_OK : KP_DECODE_BROKEN;
}

static enum kp_decode_step take_types(struct kp_decoder *d)
{
    enum kp_decode_step step = KP_DECODE_OK;
    for (uint32_t i = 0; step == KP_DECODE_OK && i < d->n_types; i++)
        step = take_value_type(d, kp_decode_bytes(d, PROFILE_SAMPLE_TYPE, i), &d->p->sample_types[i]);
    size_t n = d->lists[PROFILE_PERIOD_TYPE].n; // the last one counts
    d->p->has_period_type = n > 0;
    for (uint32_t i = 0; step == KP_DECODE_OK && i < n; i++)
        step = take_value_type(d, kp_decode_bytes(d, PROFILE_PERIOD_TYPE, i), &d->p->period_type);
    return step;
}

static enum kp_decode_step take_samples(struct kp_decoder *d)
{
    enum kp_decode_step step = KP_DECODE_OK;
    for (uint32_t i = 0; step == KP_DECODE_OK && i < d->n_samples; i++)
        step = take_sample(d, kp_decode_bytes(d, PROFILE_SAMPLE, i), i);
    return step;
}

static enum kp_decode_step fill(struct kp_decoder *d)
{
    static enum kp_decode_step (*const takes[])(struct kp_decoder *) = {
        take_strings, take_types, kp_decode_mappings, kp_decode_functions, kp_decode_locations, take_samples};
    enum kp_decode_step step = KP_DECODE_OK;
    d->frames.n = d->labels.n = d->lines.n = 0;
    for (size_t i = 0; step == KP_DECODE_OK && i < KP_COUNT(takes); i++)
        step = takes[i](d);
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
    step = collect_ids(d, PROFILE_MAPPING, &d->mappings);
    if (step == KP_DECODE_OK)
        step = collect_ids(d, PROFILE_LOCATION, &d->locations);
    if (step == KP_DECODE_OK)
        step = collect_ids(d, PROFILE_FUNCTION, &d->functions);
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
    p->n_comments = (uint32_t)d->comments.n;
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
    (void)kp_decode_room_for(&d.frames, len / 8); // about what they come to; and none is NULL
    (void)kp_decode_room_for(&d.labels, 0);
    (void)kp_decode_room_for(&d.lines, len / 40);
    static const unsigned many[] = {PROFILE_SAMPLE, PROFILE_LOCATION, PROFILE_FUNCTION, PROFILE_STRING_TABLE};
    for (size_t i = 0; i < KP_COUNT(many); i++)
        (void)list_grow(&d, &d.lists[many[i]], len / 64 + 16);
    enum kp_decode_step step = decode(&d);
    hand_over(&d);
    kp_idmap_finish(&d.mappings);
    kp_idmap_finish(&d.locations);
    kp_idmap_finish(&d.functions);
    for (size_t i = 0; i < KP_COUNT(d.lists); i++)
        kp_free(d.lists[i].items);
    kp_array_free(&d.comments);
    if (step != KP_DECODE_OK) {
        d.p->buffers.bytes = NULL;
        kp_profile_free(d.p);
        return step == KP_DECODE_TOO_LARGE ? KP_LIMIT : KP_INVALID;
    }
    *ret = d.p;
    return 0;
}
