// Two passes over the inflated bytes: the first counts what stands on the top level, so that the tables get
// their size; the second fills them. Ids are 1..n in order in practice, then an id is an index; where they
// are not, tables of ids are made and the second pass starts again. Sentences for what is wrong come from the
// walker, which knows them all.
#include "profile/decode.h"

#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/limits.h"
#include "profile/idmap.h"
#include "profile/inflate.h"
#include "profile/proto.h"
#include "base/banned.h"

#define MAX_SAMPLE_TYPES 256

struct decoder {
    const uint8_t *data;
    size_t len;
    size_t max_entities, max_depth, max_labels;
    size_t max_frames, max_details; // in all: of samples; labels of samples, lines of locations
    struct kp_profile *p;
    struct kp_arena *arena;
    uint32_t n_samples, n_mappings, n_locations, n_functions, n_strings, n_types, n_comments;
    struct kp_idmap mappings, locations, functions;
    bool sparse; // ids are not 1..n
    KP_ARRAY(uint32_t) frames;
    KP_ARRAY(struct kp_sample_label) labels;
    KP_ARRAY(struct kp_line) lines;
    uint32_t at_type, at_sample, at_mapping, at_location, at_function, at_string, at_comment;
};

enum step { OK, BROKEN, TOO_LARGE, SPARSE };

// ---- pass 1 ----

static size_t count_packed(const uint8_t *p, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += p[i] < 0x80; // the last byte of each
    return n;
}

static enum step survey(struct decoder *d)
{
    struct kp_proto f;
    size_t n[PROFILE_MAX_FIELD + 1] = {0};
    kp_proto_start(&f, d->data, d->len);
    while (kp_proto_next(&f)) {
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
        return BROKEN;
    for (unsigned i = 1; i <= PROFILE_MAX_FIELD; i++)
        if (n[i] > d->max_entities)
            return TOO_LARGE;
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
    return OK;
}

static void make_tables(struct decoder *d)
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

static enum step collect_ids(const struct decoder *d, uint64_t field, uint32_t n, struct kp_idmap *map)
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
            return BROKEN;
        kp_idmap_add(map, id, at++);
    }
    return kp_idmap_seal(map) ? OK : BROKEN;
}

static inline enum step check_id(const struct decoder *d, uint64_t id, uint32_t at)
{
    if (id == 0)
        return BROKEN;
    return d->sparse || id == (uint64_t)at + 1 ? OK : SPARSE;
}

// ---- pass 2 ----

// Makes room behind what is there; the items, never NULL.
#define room_for(array, more)                                                                                \
    ((array)->cap - (array)->n <= (more)                                                                     \
            ? ((array)->cap += (array)->cap / 2 + (more) + 8,                                                \
                  (array)->items = kp_grow((array)->items, (array)->cap, sizeof *(array)->items))            \
            : (array)->items)

// Numbers of a flat message; strings are checked by the caller.
static inline enum step flat(const struct kp_proto *f, uint64_t *values, unsigned max)
{
    struct kp_proto m;
    uint64_t field;
    uint64_t value;
    kp_proto_start(&m, f->data, f->len);
    for (;;) {
        if (kp_proto_small_number(&m, &field, &value)) {
            if (field <= max)
                values[field] = value; // [0] is nobody's
            continue;
        }
        if (!kp_proto_next(&m))
            return m.bad ? BROKEN : OK;
        if (m.field == 0 || m.field > max)
            continue;
        if (m.type != KP_PROTO_VARINT)
            return BROKEN;
        values[m.field] = m.value;
    }
}

static enum step take_value_type(const struct decoder *d, const struct kp_proto *f, struct kp_value_type *ret)
{
    uint64_t v[3] = {0};
    if (flat(f, v, 2) != OK || v[1] >= d->n_strings || v[2] >= d->n_strings)
        return BROKEN;
    *ret = (struct kp_value_type){(uint32_t)v[1], (uint32_t)v[2]};
    return OK;
}

static enum step take_mapping(struct decoder *d, const struct kp_proto *f)
{
    uint64_t v[11] = {0};
    if (flat(f, v, 10) != OK || v[5] >= d->n_strings || v[6] >= d->n_strings)
        return BROKEN;
    uint32_t at = d->at_mapping++;
    d->p->mappings[at] = (struct kp_mapping){.start = v[2],
        .limit = v[3],
        .offset = v[4],
        .filename = (uint32_t)v[5],
        .build_id = (uint32_t)v[6],
        .flags = (v[7] ? KP_MAPPING_FUNCTIONS : 0U) | (v[8] ? KP_MAPPING_FILENAMES : 0U) |
                 (v[9] ? KP_MAPPING_LINES : 0U) | (v[10] ? KP_MAPPING_INLINES : 0U)};
    return check_id(d, v[1], at);
}

static enum step take_function(struct decoder *d, const struct kp_proto *f)
{
    uint64_t v[6] = {0};
    if (flat(f, v, 5) != OK || v[2] >= d->n_strings || v[3] >= d->n_strings || v[4] >= d->n_strings)
        return BROKEN;
    uint32_t at = d->at_function++;
    d->p->functions[at] = (struct kp_function){.name = (uint32_t)v[2],
        .system_name = (uint32_t)v[3],
        .filename = (uint32_t)v[4],
        .start_line = (int64_t)v[5]};
    return check_id(d, v[1], at);
}

// Told at once, not when a sample or a location is over: it may be as long as the profile.
static inline enum step check_room(size_t n, uint32_t first, size_t max_own, size_t max_all)
{
    return n - first > max_own || n > max_all ? TOO_LARGE : OK;
}

static enum step take_line(struct decoder *d, const struct kp_proto *f, uint32_t first)
{
    uint64_t v[4] = {0};
    uint32_t function;
    if (flat(f, v, 3) != OK || !kp_idmap_find(&d->functions, v[1], &function))
        return BROKEN;
    *kp_array_add(&d->lines) =
        (struct kp_line){.function = function, .line = (int64_t)v[2], .column = (int64_t)v[3]};
    return check_room(d->lines.n, first, d->max_depth, d->max_details);
}

static enum step take_location(struct decoder *d, const struct kp_proto *f)
{
    struct kp_proto m;
    uint64_t v[6] = {0};
    uint32_t at = d->at_location++;
    struct kp_location *l = &d->p->locations[at];
    enum step step = OK;
    l->first_line = (uint32_t)d->lines.n;
    kp_proto_start(&m, f->data, f->len);
    while (step == OK && kp_proto_next(&m)) {
        if (m.field == 0 || m.field > 5)
            continue;
        if (m.type != (m.field == 4 ? KP_PROTO_BYTES : KP_PROTO_VARINT))
            return BROKEN;
        if (m.field != 4)
            v[m.field] = m.value;
        else
            step = take_line(d, &m, l->first_line);
    }
    if (step != OK || m.bad)
        return step != OK ? step : BROKEN;
    l->n_lines = (uint32_t)d->lines.n - l->first_line;
    l->address = v[3];
    l->folded = v[5] != 0;
    // an unknown mapping counts as none
    if (v[2] == 0 || !kp_idmap_find(&d->mappings, v[2], &l->mapping))
        l->mapping = KP_NO_MAPPING;
    return check_id(d, v[1], at);
}

static enum step take_label(struct decoder *d, const struct kp_proto *f, const struct kp_sample *s)
{
    uint64_t v[5] = {0};
    if (flat(f, v, 4) != OK)
        return BROKEN;
    if (v[2] == 0 && v[3] == 0 && v[4] == 0)
        return OK; // google/pprof does not look at such a one
    if (v[1] >= d->n_strings || v[2] >= d->n_strings || (v[2] == 0 && v[4] >= d->n_strings))
        return BROKEN;
    bool text = v[2] != 0;
    *kp_array_add(&d->labels) = (struct kp_sample_label){.key = (uint32_t)v[1],
        .str = (uint32_t)v[2],
        .unit = text ? 0 : (uint32_t)v[4],
        .num = text ? 0 : (int64_t)v[3]};
    return check_room(d->labels.n, s->first_label, d->max_labels, d->max_details);
}

static enum step take_frames(struct decoder *d, const struct kp_proto *m, const struct kp_sample *s)
{
    struct kp_proto_values it = kp_proto_values(m);
    size_t n = d->frames.n;
    size_t more = d->max_depth - (n - s->first_frame);
    more = more < d->max_frames - n ? more : d->max_frames - n;
    size_t room = m->type == KP_PROTO_BYTES ? m->len : 1; // each takes a byte at least
    uint32_t *items = room_for(&d->frames, room < more ? room : more);
    uint64_t id;
    while (kp_proto_value(&it, &id)) {
        if (more-- == 0)
            return TOO_LARGE;
        if (!kp_idmap_find(&d->locations, id, &items[n]))
            return BROKEN;
        n++;
    }
    d->frames.n = n;
    return it.bad ? BROKEN : OK;
}

static enum step take_values(struct decoder *d, const struct kp_proto *m, uint32_t at, uint32_t *n)
{
    struct kp_proto_values it = kp_proto_values(m);
    int64_t *out = d->p->values + (size_t)at * d->n_types;
    uint64_t v;
    while (kp_proto_value(&it, &v)) {
        if (*n == d->n_types)
            return BROKEN;
        out[(*n)++] = (int64_t)v;
    }
    return it.bad ? BROKEN : OK;
}

static enum step take_sample(struct decoder *d, const struct kp_proto *f)
{
    struct kp_proto m;
    uint32_t at = d->at_sample++;
    struct kp_sample *s = &d->p->samples[at];
    uint32_t n_values = 0;
    enum step step = OK;
    s->first_frame = (uint32_t)d->frames.n;
    s->first_label = (uint32_t)d->labels.n;
    kp_proto_start(&m, f->data, f->len);
    while (step == OK && kp_proto_next(&m)) {
        if (m.field == 1)
            step = take_frames(d, &m, s);
        else if (m.field == 2)
            step = take_values(d, &m, at, &n_values);
        else if (m.field == 3)
            step = m.type == KP_PROTO_BYTES ? take_label(d, &m, s) : BROKEN;
    }
    s->n_frames = (uint32_t)d->frames.n - s->first_frame;
    s->n_labels = (uint32_t)d->labels.n - s->first_label;
    if (step != OK)
        return step;
    return m.bad || n_values != d->n_types ? BROKEN : OK;
}

static enum step take_comments(struct decoder *d, const struct kp_proto *f)
{
    struct kp_proto_values it = kp_proto_values(f);
    uint64_t index;
    while (kp_proto_value(&it, &index)) {
        if (index >= d->n_strings || d->at_comment >= d->n_comments)
            return BROKEN;
        d->p->comments[d->at_comment++] = (uint32_t)index;
    }
    return it.bad ? BROKEN : OK;
}

static enum step take_message(struct decoder *d, const struct kp_proto *f)
{
    if (f->type != KP_PROTO_BYTES)
        return BROKEN;
    switch (f->field) {
    case PROFILE_SAMPLE_TYPE:
        return take_value_type(d, f, &d->p->sample_types[d->at_type++]);
    case PROFILE_SAMPLE:
        return take_sample(d, f);
    case PROFILE_MAPPING:
        return take_mapping(d, f);
    case PROFILE_LOCATION:
        return take_location(d, f);
    case PROFILE_FUNCTION:
        return take_function(d, f);
    case PROFILE_STRING_TABLE:
        if (d->at_string == 0 && f->len != 0)
            return BROKEN;
        d->p->strings[d->at_string++] = (struct kp_str){(const char *)f->data, (uint32_t)f->len};
        return OK;
    default:
        d->p->has_period_type = true;
        return take_value_type(d, f, &d->p->period_type);
    }
}

static enum step take_number(const struct kp_proto *f, int64_t *ret)
{
    *ret = (int64_t)f->value;
    return f->type == KP_PROTO_VARINT ? OK : BROKEN;
}

static enum step take_string(const struct decoder *d, const struct kp_proto *f, uint32_t *ret)
{
    *ret = (uint32_t)f->value;
    return f->type == KP_PROTO_VARINT && f->value < d->n_strings ? OK : BROKEN;
}

static enum step take_field(struct decoder *d, const struct kp_proto *f)
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
        return d->p->time_ns != 0 ? BROKEN : take_number(f, &d->p->time_ns);
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
        return OK;
    }
}

static enum step fill(struct decoder *d)
{
    struct kp_proto f;
    enum step step = OK;
    d->frames.n = d->labels.n = d->lines.n = 0;
    d->at_type = d->at_sample = d->at_mapping = d->at_location = d->at_function = d->at_string = 0;
    d->at_comment = 0;
    d->p->time_ns = 0;
    kp_proto_start(&f, d->data, d->len);
    while (step == OK && kp_proto_next(&f))
        step = take_field(d, &f);
    return step;
}

static enum step decode(struct decoder *d)
{
    enum step step = survey(d);
    if (step != OK)
        return step;
    make_tables(d);
    step = fill(d);
    if (step == OK || step == TOO_LARGE || d->sparse || d->n_mappings + d->n_locations + d->n_functions == 0)
        return step;
    // a reference that leads nowhere may also be one by an id that is not an index
    d->sparse = true;
    step = collect_ids(d, PROFILE_MAPPING, d->n_mappings, &d->mappings);
    if (step == OK)
        step = collect_ids(d, PROFILE_LOCATION, d->n_locations, &d->locations);
    if (step == OK)
        step = collect_ids(d, PROFILE_FUNCTION, d->n_functions, &d->functions);
    return step == OK ? fill(d) : step;
}

static void hand_over(struct decoder *d)
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
    struct decoder d = {.data = bytes,
        .len = len,
        .max_entities = l.max_entities,
        .max_depth = l.max_depth,
        .max_labels = l.max_labels,
        .p = KP_NEW(struct kp_profile)};
    size_t most = d.max_entities < UINT32_MAX / 32 ? d.max_entities : UINT32_MAX / 32;
    d.max_frames = 16 * most;
    d.max_details = 4 * most;
    d.p->buffers.bytes = bytes;
    (void)room_for(&d.frames, len / 16); // about what they come to; and none is NULL
    (void)room_for(&d.labels, 0);
    (void)room_for(&d.lines, len / 64);
    enum step step = decode(&d);
    hand_over(&d);
    kp_idmap_finish(&d.mappings);
    kp_idmap_finish(&d.locations);
    kp_idmap_finish(&d.functions);
    d.p->arena = d.arena;
    if (step != OK) {
        d.p->buffers.bytes = NULL;
        kp_profile_free(d.p);
        return step == TOO_LARGE ? KP_LIMIT : KP_INVALID;
    }
    *ret = d.p;
    return 0;
}
