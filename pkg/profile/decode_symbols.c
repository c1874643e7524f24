// Mappings, functions and locations. Nearly all are written with their fields in order and zeros left out:
// the usual form is read straight on, and whatever turns out to be another is read again field by field.
#include <string.h>

#include "profile/decode_private.h"
#include "base/banned.h"

static inline enum kp_decode_step check_id(const struct kp_decoder *d, uint64_t id, uint32_t at)
{
    if (id == 0)
        return KP_DECODE_BROKEN;
    return d->sparse || id == (uint64_t)at + 1 ? KP_DECODE_OK : KP_DECODE_SPARSE;
}

static enum kp_decode_step take_mapping(struct kp_decoder *d, struct kp_bytes b, uint32_t at)
{
    uint64_t v[11];
    if (!kp_quick_numbers(b.p, b.end, v, 10) || v[5] >= d->n_strings || v[6] >= d->n_strings)
        return KP_DECODE_BROKEN;
    d->p->mappings[at] = (struct kp_mapping){.start = v[2],
        .limit = v[3],
        .offset = v[4],
        .filename = (uint32_t)v[5],
        .build_id = (uint32_t)v[6],
        .flags = (v[7] ? KP_MAPPING_FUNCTIONS : 0U) | (v[8] ? KP_MAPPING_FILENAMES : 0U) |
                 (v[9] ? KP_MAPPING_LINES : 0U) | (v[10] ? KP_MAPPING_INLINES : 0U)};
    return check_id(d, v[1], at);
}

static inline enum kp_decode_step take_function(struct kp_decoder *d, struct kp_bytes b, uint32_t at)
{
    uint64_t v[6];
    if (!kp_quick_numbers(b.p, b.end, v, 5) || v[2] >= d->n_strings || v[3] >= d->n_strings ||
        v[4] >= d->n_strings)
        return KP_DECODE_BROKEN;
    d->p->functions[at] = (struct kp_function){.name = (uint32_t)v[2],
        .system_name = (uint32_t)v[3],
        .filename = (uint32_t)v[4],
        .start_line = (int64_t)v[5]};
    return check_id(d, v[1], at);
}

__attribute__((always_inline)) static inline enum kp_decode_step take_line(
    struct kp_decoder *d, struct kp_bytes b, uint32_t first)
{
    uint64_t v[4] = {0};
    uint32_t function;
    if (!kp_quick_numbers(b.p, b.end, v, 3) || !kp_idmap_find(&d->functions, v[1], &function))
        return KP_DECODE_BROKEN;
    *kp_array_add(&d->lines) =
        (struct kp_line){.function = function, .line = (int64_t)v[2], .column = (int64_t)v[3]};
    return kp_decode_room(d->lines.n, first, d->max_depth, d->max_details);
}

// Of a location, what is not a line.
struct place {
    uint64_t id, mapping, address, folded;
};

static enum kp_decode_step take_location_field(
    struct kp_decoder *d, const struct kp_proto *m, struct place *place, uint32_t first)
{
    uint64_t *const fields[] = {NULL, &place->id, &place->mapping, &place->address, NULL, &place->folded};
    if (m->field == 0 || m->field >= KP_COUNT(fields))
        return KP_DECODE_OK;
    if (m->type != (m->field == 4 ? KP_PROTO_BYTES : KP_PROTO_VARINT))
        return KP_DECODE_BROKEN;
    if (m->field == 4)
        return take_line(d, kp_bytes_of(m), first);
    *fields[m->field] = m->value;
    return KP_DECODE_OK;
}

__attribute__((noinline)) static enum kp_decode_step read_location(
    struct kp_decoder *d, struct kp_bytes b, struct place *ret)
{
    struct kp_proto m;
    struct place place = {0};
    enum kp_decode_step step = KP_DECODE_OK;
    size_t first = d->lines.n;
    kp_proto_start(&m, b.p, (size_t)(b.end - b.p));
    while (step == KP_DECODE_OK && kp_quick_next(&m))
        step = take_location_field(d, &m, &place, (uint32_t)first);
    *ret = place;
    return step == KP_DECODE_OK && m.bad ? KP_DECODE_BROKEN : step;
}

// Function and line number, as nearly all have; false if it is another form, or wrong.
static inline bool read_usual_line(
    const struct kp_decoder *d, const uint8_t *p, const uint8_t *end, struct kp_line *ret)
{
    uint64_t id, line;
    if (p[0] != (1 << 3 | KP_PROTO_VARINT))
        return false;
    p = kp_quick_short(p + 1, end, &id);
    if (p[0] != (2 << 3 | KP_PROTO_VARINT))
        return false;
    p = kp_quick_short(p + 1, end, &line);
    ret->line = (int64_t)line;
    ret->column = 0;
    return p == end && kp_idmap_find(&d->functions, id, &ret->function);
}

// False if it is another form, or wrong.
__attribute__((always_inline)) static inline bool read_usual_location(
    struct kp_decoder *d, struct kp_bytes b, struct place *ret)
{
    size_t first = d->lines.n;
    size_t n = first;
    struct kp_line *lines =
        kp_decode_room_for(&d->lines, (size_t)(b.end - b.p) / 2); // at least two bytes each
    b.p = kp_quick_expect(b.p, b.end, 1, &ret->id);
    b.p = kp_quick_expect(b.p, b.end, 2, &ret->mapping);
    b.p = kp_quick_expect(b.p, b.end, 3, &ret->address);
    while (b.p < b.end && *b.p == (4 << 3 | KP_PROTO_BYTES)) {
        uint64_t len;
        b.p = kp_quick_varint(b.p + 1, b.end, &len);
        if (b.p > b.end || len > (uint64_t)(b.end - b.p) || !read_usual_line(d, b.p, b.p + len, &lines[n]))
            return false;
        n++;
        b.p += len;
    }
    if (n - first > d->max_depth || n > d->max_details)
        return false;
    d->lines.n = n;
    if (*b.p == (2 << 3 | KP_PROTO_VARINT)) // where Go's runtime writes the mapping
        b.p = kp_quick_expect(b.p, b.end, 2, &ret->mapping);
    b.p = kp_quick_expect(b.p, b.end, 5, &ret->folded);
    return b.p == b.end;
}

static inline enum kp_decode_step take_location(struct kp_decoder *d, struct kp_bytes b, uint32_t at)
{
    struct place place; // in registers
    struct kp_location *l = &d->p->locations[at];
    l->first_line = (uint32_t)d->lines.n;
    if (!read_usual_location(d, b, &place)) {
        struct place other;
        d->lines.n = l->first_line;
        enum kp_decode_step step = read_location(d, b, &other);
        if (step != KP_DECODE_OK)
            return step;
        place = other;
    }
    l->n_lines = (uint32_t)d->lines.n - l->first_line;
    l->address = place.address;
    l->folded = place.folded != 0;
    // an unknown mapping counts as none
    if (place.mapping == 0 || !kp_idmap_find(&d->mappings, place.mapping, &l->mapping))
        l->mapping = KP_NO_MAPPING;
    return check_id(d, place.id, at);
}

enum kp_decode_step kp_decode_mappings(struct kp_decoder *d)
{
    enum kp_decode_step step = KP_DECODE_OK;
    for (uint32_t i = 0; step == KP_DECODE_OK && i < d->n_mappings; i++)
        step = take_mapping(d, kp_decode_bytes(d, PROFILE_MAPPING, i), i);
    return step;
}

enum kp_decode_step kp_decode_functions(struct kp_decoder *d)
{
    enum kp_decode_step step = KP_DECODE_OK;
    for (uint32_t i = 0; step == KP_DECODE_OK && i < d->n_functions; i++)
        step = take_function(d, kp_decode_bytes(d, PROFILE_FUNCTION, i), i);
    return step;
}

enum kp_decode_step kp_decode_locations(struct kp_decoder *d)
{
    enum kp_decode_step step = KP_DECODE_OK;
    for (uint32_t i = 0; step == KP_DECODE_OK && i < d->n_locations; i++)
        step = take_location(d, kp_decode_bytes(d, PROFILE_LOCATION, i), i);
    return step;
}
