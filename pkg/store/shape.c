// All of a profile but samples, times and symbols. As bytes: a table of the strings it uses, then numbers.
#include <string.h>

#include "base/alloc.h"
#include "store/segment_private.h"
#include "base/banned.h"

static void put_string(const struct kp_profile *p, uint32_t string, struct kp_column *out)
{
    kp_column_put(out, p->strings[string].len);
    kp_column_put_bytes(out, p->strings[string].data, p->strings[string].len);
}

static void put_type(const struct kp_profile *p, struct kp_value_type type, struct kp_column *out)
{
    put_string(p, type.type, out);
    put_string(p, type.unit, out);
}

void kp_shape_put(const struct kp_profile *p, struct kp_column *out, size_t *ret_head_len)
{
    size_t begin = out->len;
    kp_column_put(out, p->n_sample_types);
    for (uint32_t i = 0; i < p->n_sample_types; i++)
        put_type(p, p->sample_types[i], out);
    kp_column_put(out, p->has_period_type);
    if (p->has_period_type)
        put_type(p, p->period_type, out);
    kp_column_put_int(out, p->period);
    const uint32_t strings[] = {p->drop_frames, p->keep_frames, p->default_type, p->doc_url};
    for (size_t i = 0; i < KP_COUNT(strings); i++)
        put_string(p, strings[i], out);
    kp_column_put(out, p->n_comments);
    for (uint32_t i = 0; i < p->n_comments; i++)
        put_string(p, p->comments[i], out);
    *ret_head_len = out->len - begin;
    kp_column_put(out, p->n_mappings);
    for (uint32_t i = 0; i < p->n_mappings; i++) {
        const struct kp_mapping *m = &p->mappings[i];
        put_string(p, m->filename, out);
        put_string(p, m->build_id, out);
        kp_column_put(out, m->flags);
        kp_column_put(out, m->limit - m->start);
        kp_column_put(out, m->offset);
        kp_column_put(out, m->start);
    }
}

struct reader {
    struct kp_column_reader c;
    struct kp_arena **arena;
    struct kp_profile *p;
};

static uint32_t get_string(struct reader *r)
{
    size_t len = kp_column_get(&r->c);
    const uint8_t *data = kp_column_get_bytes(&r->c, len);
    if (data == NULL || len == 0)
        return 0;
    for (uint32_t i = 1; i < r->p->n_strings && i < 16; i++) // some come twice
        if (r->p->strings[i].len == len && memcmp(r->p->strings[i].data, data, len) == 0)
            return i;
    r->p->strings[r->p->n_strings] = (struct kp_str){kp_arena_memdup(r->arena, data, len), (uint32_t)len};
    return r->p->n_strings++;
}

static struct kp_value_type get_type(struct reader *r)
{
    struct kp_value_type type = {.type = get_string(r)};
    type.unit = get_string(r);
    return type;
}

static void get_mappings(struct reader *r)
{
    struct kp_profile *p = r->p;
    p->n_mappings = kp_column_get_below(&r->c, kp_column_left(&r->c) / 6 + 1);
    p->mappings = KP_ARENA_ARRAY(r->arena, struct kp_mapping, (size_t)p->n_mappings + 1);
    for (uint32_t i = 0; i < p->n_mappings; i++) {
        struct kp_mapping *m = &p->mappings[i];
        m->filename = get_string(r);
        m->build_id = get_string(r);
        m->flags = kp_column_get_below(&r->c, 16);
        uint64_t size = kp_column_get(&r->c);
        m->offset = kp_column_get(&r->c);
        m->start = kp_column_get(&r->c);
        m->limit = m->start + size;
    }
}

int kp_shape_get(
    const void *data, size_t len, struct kp_arena **arena, struct kp_profile **ret, struct kp_error *err)
{
    const uint8_t *bytes = data;
    struct kp_profile *p = KP_ARENA_NEW(arena, struct kp_profile);
    struct reader r = {.c = {.p = bytes, .end = bytes + len}, .arena = arena, .p = p};
    kp_auto_free struct kp_str *strings = KP_NEW_ARRAY(struct kp_str, len + 2); // each takes a byte at least
    strings[0].data = "";
    p->strings = strings;
    p->n_strings = 1;
    p->n_sample_types = kp_column_get_below(&r.c, KP_MAX_SAMPLE_TYPES + 1);
    p->sample_types = KP_ARENA_ARRAY(arena, struct kp_value_type, (size_t)p->n_sample_types + 1);
    for (uint32_t i = 0; i < p->n_sample_types; i++)
        p->sample_types[i] = get_type(&r);
    p->has_period_type = kp_column_get_below(&r.c, 2) != 0;
    if (p->has_period_type)
        p->period_type = get_type(&r);
    p->period = kp_column_get_int(&r.c);
    p->drop_frames = get_string(&r);
    p->keep_frames = get_string(&r);
    p->default_type = get_string(&r);
    p->doc_url = get_string(&r);
    p->n_comments = kp_column_get_below(&r.c, kp_column_left(&r.c) + 1);
    p->comments = KP_ARENA_ARRAY(arena, uint32_t, (size_t)p->n_comments + 1);
    for (uint32_t i = 0; i < p->n_comments; i++)
        p->comments[i] = get_string(&r);
    get_mappings(&r);
    p->strings = kp_arena_memdup(arena, strings, p->n_strings * sizeof *strings);
    if (r.c.bad || kp_column_left(&r.c) != 0)
        return kp_fail(err, KP_CORRUPT, "broken shape of a profile");
    *ret = p;
    return 0;
}
